package mapping_test

import (
	"path/filepath"
	"testing"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
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

func open(tb testing.TB) *mapping.Store { return openIn(tb, tb.TempDir()) }

func TestHub(t *testing.T) {
	storetest.Hub(t, func(t *testing.T) hub.Store { return open(t).Hub() })
}

func TestQueue(t *testing.T) {
	storetest.Queue(t, func(t *testing.T) storetest.HubQueue { return open(t).Hub() })
}

func TestClient(t *testing.T) {
	storetest.Client(t, func(t *testing.T) client.Store { return open(t).Client() })
}
