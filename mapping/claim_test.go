package mapping_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
)

func pool(uri string) dbutil.PoolConfig { return dbutil.PoolConfig{Type: driver, URI: uri} }

func claim(t *testing.T, path string) *mapping.Claimed {
	t.Helper()
	c, err := mapping.Claim(pool(uriOf(path)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClaimRefusesASecond(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gw.db")
	first := claim(t, path)
	link := filepath.Join(dir, "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{uriOf(path), path + "?_txlock=immediate", "file://" + path + "?cache=private&_txlock=immediate", uriOf(link)} {
		if _, err := mapping.Claim(pool(uri)); !errors.Is(err, mapping.ErrInUse) {
			t.Errorf("%s: error is %v, want ErrInUse", uri, err)
		}
	}
	claim(t, filepath.Join(dir, "other.db"))
	if err := first.Release(); err != nil {
		t.Fatal(err)
	}
	claim(t, path)
}

// A claim lasts until it is released, even if nobody holds on to it.
func TestClaimOutlivesItsValue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gw.db")
	claim(t, path)
	for range 3 {
		runtime.GC()
	}
	if _, err := mapping.Claim(pool(uriOf(path))); !errors.Is(err, mapping.ErrInUse) {
		t.Errorf("error is %v, want ErrInUse", err)
	}
}

// A claim that is refused leaves the locks of the one that holds alone: SQLite
// would lose its own if somebody closed the file.
func TestClaimRefusedDisturbsNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gw.db")
	claim(t, path)
	store := openIn(t, dir).Client()
	if _, err := mapping.Claim(pool(uriOf(path))); !errors.Is(err, mapping.ErrInUse) {
		t.Fatal(err)
	}
	if err := store.PutAccount(t.Context(), account("alice")); err != nil {
		t.Error(err)
	}
}

func TestClaimMakesFilesPrivate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gw.db")
	check := func(t *testing.T, suffixes ...string) {
		t.Helper()
		for _, suffix := range suffixes {
			info, err := os.Stat(path + suffix)
			if err != nil {
				t.Error(err)
			} else if info.Mode() != 0o600 {
				t.Errorf("gw.db%s has mode %v, want 0600", suffix, info.Mode())
			}
		}
	}
	t.Run("new", func(t *testing.T) {
		c := claim(t, path)
		defer c.Release()
		store := openIn(t, dir).Client()
		if err := store.PutAccount(t.Context(), account("alice")); err != nil {
			t.Fatal(err)
		}
		check(t, "", ".lock", "-wal", "-shm")
	})
	t.Run("existing", func(t *testing.T) {
		for _, suffix := range []string{"-wal", "-shm"} {
			if err := os.WriteFile(path+suffix, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, suffix := range []string{"", ".lock", "-wal", "-shm"} {
			if err := os.Chmod(path+suffix, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		defer claim(t, path).Release()
		check(t, "", ".lock", "-wal", "-shm")
		if accounts, err := openIn(t, dir).Client().Accounts(t.Context()); err != nil || len(accounts) != 1 {
			t.Errorf("%d accounts, %v: the claim has damaged the database", len(accounts), err)
		}
	})
}

func TestClaimRefusesSettings(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, c := range map[string]struct {
		kind, uri, want string
	}{
		"postgres":           {"postgres", "postgres://gw@localhost/gw", "PostgreSQL is not supported"},
		"postgres URI":       {driver, "postgres://gw@localhost/gw", "PostgreSQL is not supported"},
		"other driver":       {"sqlite3-fk-wal", "file:gw.db?_txlock=immediate", driver},
		"unknown driver":     {"mysql", "file:gw.db?_txlock=immediate", driver},
		"no txlock":          {driver, "file:gw.db", "_txlock=immediate"},
		"deferred":           {driver, "file:gw.db?_txlock=deferred", "_txlock=immediate"},
		"memory":             {driver, "file::memory:?_txlock=immediate", "name a file"},
		"memory mode":        {driver, "file:gw.db?mode=memory&_txlock=immediate", "name a file"},
		"empty":              {driver, "?_txlock=immediate", "name a file"},
		"folder":             {driver, "file:./?_txlock=immediate", "name a file"},
		"folder that is not": {driver, "file:none/gw.db?_txlock=immediate", "no such file"},
		"malformed path":     {driver, "file:gw%zz?_txlock=immediate", "malformed"},
		"malformed options":  {driver, "file:gw?_txlock=immediate&a=%zz", "malformed"},
	} {
		_, err := mapping.Claim(dbutil.PoolConfig{Type: c.kind, URI: c.uri})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one that says %q", name, err, c.want)
		}
	}
	if err := os.Symlink("target.db", "dangling.db"); err != nil {
		t.Fatal(err)
	}
	if _, err := mapping.Claim(pool(uriOf("dangling.db"))); err == nil {
		t.Error("a link to nothing was accepted; SQLite would make its target with another mode")
	}
}
