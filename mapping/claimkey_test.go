package mapping_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
)

// TestMissingKeyFile: a key is made for a new database, and never for one that
// another key has sealed.
func TestMissingKeyFile(t *testing.T) {
	dir := t.TempDir()
	database, key := filepath.Join(dir, "gw.db"), filepath.Join(dir, "gw.key")
	claim := func() *mapping.Claimed {
		t.Helper()
		c, err := mapping.Claim(dbutil.PoolConfig{Type: "sqlite3-fk-wal-fullsync", URI: "file:" + database + "?_txlock=immediate"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Release() })
		return c
	}
	first := claim()
	if _, err := first.LoadKeyFile(key); err != nil {
		t.Fatalf("new database: %v", err)
	}
	if err := errors.Join(first.Release(), os.WriteFile(database, []byte("not empty"), 0o600), os.Remove(key)); err != nil {
		t.Fatal(err)
	}
	if _, err := claim().LoadKeyFile(key); !errors.Is(err, mapping.ErrKey) {
		t.Errorf("missing key of an old database: %v, want ErrKey", err)
	}
	if _, err := os.Stat(key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key file was made for an old database: %v", err)
	}
}
