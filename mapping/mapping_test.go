package mapping_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

const driver = "sqlite3-fk-wal-fullsync"

func uriOf(path string) string { return "file:" + path + "?_txlock=immediate" }

// openDB opens a database as bridgev2 does, and closes it at the end of the
// test. A query without the context of the transaction around it panics.
func openDB(tb testing.TB, path string) *dbutil.Database {
	tb.Helper()
	db, err := dbutil.NewFromConfig("mimi-gateway test", dbutil.Config{
		PoolConfig:        dbutil.PoolConfig{Type: driver, URI: uriOf(path), MaxOpenConns: 5, MaxIdleConns: 1},
		DeadlockDetection: true,
	}, dbutil.NoopLogger)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// openIn opens the store in a folder, which holds the key file too.
func openIn(tb testing.TB, dir string) *mapping.Store {
	tb.Helper()
	keys, err := mapping.LoadKeyFile(filepath.Join(dir, "gw.key"))
	if err != nil {
		tb.Fatal(err)
	}
	store, err := mapping.Open(tb.Context(), openDB(tb, filepath.Join(dir, "gw.db")), keys)
	if err != nil {
		tb.Fatal(err)
	}
	return store
}

func open(tb testing.TB) *mapping.Store { return openIn(tb, emptyIn(tb)) }

// emptyDir is a folder with an empty database and its key file. Making one costs
// as much as a test; copying it does not.
var emptyDir = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "mapping-test-*"); err != nil {
		return "", err
	}
	db, err := dbutil.NewWithDialect(uriOf(filepath.Join(dir, "gw.db")), driver)
	if err != nil {
		return dir, err
	}
	keys, err := mapping.LoadKeyFile(filepath.Join(dir, "gw.key"))
	if err == nil {
		_, err = mapping.Open(context.Background(), db, keys)
	}
	return dir, errors.Join(err, db.Close())
})

// emptyIn returns a folder of the test's own with a copy of emptyDir.
func emptyIn(tb testing.TB) string {
	tb.Helper()
	from, err := emptyDir()
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	for _, name := range []string{"gw.db", "gw.key"} {
		content, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func TestHub(t *testing.T) {
	storetest.Hub(t, func(t *testing.T) hub.Store { return open(t).Hub() })
}

func TestQueue(t *testing.T) {
	storetest.Queue(t, func(t *testing.T) storetest.HubQueue { return open(t).Hub() })
}

func TestClient(t *testing.T) {
	storetest.Client(t, func(t *testing.T) client.Store { return open(t).Client() })
}

func TestPeople(t *testing.T) { peopleSuites(t, open) }

// peopleSuites are the suites of identity, connection and keymaterial.
func peopleSuites(t *testing.T, open func(testing.TB) *mapping.Store) {
	t.Run("Pins", func(t *testing.T) {
		storetest.Pins(t, func(t *testing.T) identity.PinStore { return open(t).People() })
	})
	t.Run("Packages", func(t *testing.T) {
		storetest.Packages(t, func(t *testing.T) connection.Packages { return open(t).People() })
	})
	t.Run("Replays", func(t *testing.T) {
		storetest.Replays(t, func(t *testing.T) connection.Replays { return open(t).People() })
	})
	t.Run("KeyMaterial", func(t *testing.T) {
		storetest.KeyMaterial(t, func(t *testing.T) keymaterial.Store { return open(t).People() })
	})
	t.Run("Privates", func(t *testing.T) {
		storetest.Privates(t, func(t *testing.T) keymaterial.Privates { return open(t).People() })
	})
	t.Run("Nonces", func(t *testing.T) {
		storetest.Nonces(t, func(t *testing.T) keymaterial.Nonces { return open(t).People() })
	})
	t.Run("Pseudonyms", func(t *testing.T) {
		storetest.Pseudonyms(t, func(t *testing.T) keymaterial.Pseudonyms { return open(t).People() })
	})
	t.Run("Registrations", func(t *testing.T) {
		storetest.Registrations(t, func(t *testing.T) storetest.RegistrationStore { return open(t).People() })
	})
	t.Run("Allowances", func(t *testing.T) {
		storetest.Allowances(t, func(t *testing.T) keymaterial.Allowances { return open(t).People() })
	})
}
