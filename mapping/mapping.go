// Package mapping keeps the gateway's state in SQLite: it implements the stores
// that the packages below mimi/, and bridge, declare where they use them.
//
// The tables stand in the file of bridgev2's database, under a version table of
// their own, and share its transactions: a context of [dbutil.Database.DoTxn],
// or of [Client.Atomically], carries the transaction through every store.
//
// What is secret is sealed with AES-256-GCM under a key that is not in the
// database: see [LoadKeyFile]. [Claim] keeps other processes and other users of
// the machine away from the file.
//
// PostgreSQL is refused for now. The schema and the statements are portable; the
// order of commits under concurrent writers is what has to be looked at first.
package mapping

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"

	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // the driver sqlite3-fk-wal-fullsync
)

//go:embed schema/*.sql
var schema embed.FS

var upgrades = dbutil.BuildUpgradeTable().WithFSPath(schema, "schema").Finish()

// ErrDialect reports a database other than SQLite.
var ErrDialect = errors.New("mapping: PostgreSQL is not supported yet: set database.type to " + driver + " and database.uri to a file")

// A Store is the whole of the gateway's tables. Its methods return the parts,
// each of which implements the store of one package.
type Store struct{ tables *tables }

// tables is what all parts share.
type tables struct {
	db   *dbutil.Database
	keys Keys
	// writer holds a token while no write of this process is under way. Without
	// it writers would wait for each other in SQLite's busy handler, which
	// sleeps, is not fair, and gives up after five seconds.
	writer chan struct{}
}

// Open makes the tables in db, or upgrades them, and checks that keys are those
// that its secrets are sealed with ([ErrKey]). It refuses PostgreSQL
// ([ErrDialect]) and a SQLite database that might forget a commit in a power
// failure: a forgotten ratchet step would encrypt two messages with one key.
//
// db stays the caller's, who closes it after the last use of the Store.
func Open(ctx context.Context, db *dbutil.Database, keys Keys) (*Store, error) {
	if db.Dialect != dbutil.SQLite {
		return nil, ErrDialect
	}
	child := db.Child("mimi_version", upgrades, nil)
	t := &tables{db: child, keys: keys, writer: make(chan struct{}, 1)}
	t.writer <- struct{}{}
	if err := t.checkPragmas(ctx); err != nil {
		return nil, err
	}
	if err := child.Upgrade(ctx); err != nil {
		return nil, fmt.Errorf("mapping: upgrade schema: %w", err)
	}
	if err := t.checkKey(ctx); err != nil {
		return nil, err
	}
	return &Store{t}, nil
}

// Hub returns the rooms that this provider hosts.
func (s *Store) Hub() *Hub { return &Hub{s.tables} }

// Client returns what the engine of the local users keeps.
func (s *Store) Client() *Client { return &Client{s.tables} }

// People returns what identity, connection and keymaterial keep.
func (s *Store) People() *People { return &People{s.tables} }

// Intake returns the Matrix transactions that are not yet handled.
func (s *Store) Intake() *Intake { return &Intake{s.tables} }

// checkPragmas looks at one connection for what the driver has set on all.
func (t *tables) checkPragmas(ctx context.Context) error {
	for _, p := range []struct{ name, want string }{
		{"foreign_keys", "1"},
		{"journal_mode", "wal"},
		{"synchronous", "2"}, // FULL
	} {
		var got string
		if err := t.db.QueryRow(ctx, "PRAGMA "+p.name).Scan(&got); err != nil {
			return fmt.Errorf("mapping: read pragma %s: %w", p.name, err)
		}
		if got != p.want {
			return fmt.Errorf("mapping: the database has %s = %s in place of %s: set database.type to %s, and database.uri to a file", p.name, got, p.want, driver)
		}
	}
	return nil
}

// checkKey compares the key with the one that the database was made with.
func (t *tables) checkKey(ctx context.Context) error {
	const table, proof = "mimi_key", "mimi-gateway"
	return t.atomically(ctx, func(ctx context.Context) error {
		var id string
		var sealed []byte
		err := t.db.QueryRow(ctx, `SELECT id, proof FROM mimi_key`).Scan(&id, &sealed)
		if errors.Is(err, sql.ErrNoRows) {
			sealed, err = t.keys.seal([]byte(proof), table, t.keys.ID())
			if err != nil {
				return err
			}
			return t.exec(ctx, "name key", `INSERT INTO mimi_key (id, proof) VALUES ($1, $2)`, t.keys.ID(), sealed)
		} else if err != nil {
			return fmt.Errorf("mapping: read key id: %w", err)
		}
		_, err = t.keys.open(sealed, table, id)
		return err
	})
}
