package mapping_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

func user(id string) mimi.URI { return mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: id} }

func room(id string) mimi.URI { return mimi.URI{Domain: "hub.example", Kind: mimi.KindRoom, ID: id} }

func account(id string) *client.Account {
	return &client.Account{User: user(id), Client: user(id), Name: id, Secret: []byte("secret of " + id)}
}

func keysIn(t *testing.T, dir, name string) mapping.Keys {
	t.Helper()
	keys, err := mapping.LoadKeyFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestOpenRefusesPostgreSQL(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "gw.db"))
	db.Dialect = dbutil.Postgres
	if _, err := mapping.Open(t.Context(), db, keysIn(t, dir, "gw.key")); !errors.Is(err, mapping.ErrDialect) {
		t.Errorf("error is %v, want ErrDialect", err)
	}
}

// A database that may lose its last commits, or that does not check foreign
// keys, is no place for a ratchet.
func TestOpenRefusesWeakDrivers(t *testing.T) {
	for _, kind := range []string{"sqlite3", "sqlite3-fk-wal", "litestream"} {
		dir := t.TempDir()
		db, err := dbutil.NewWithDialect(uriOf(filepath.Join(dir, "gw.db")), kind)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := mapping.Open(t.Context(), db, keysIn(t, dir, "gw.key")); err == nil || !strings.Contains(err.Error(), driver) {
			t.Errorf("%s: error is %v, want one that names %s", kind, err, driver)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenChecksTheKey(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "gw.db"))
	right := keysIn(t, dir, "gw.key")
	if _, err := mapping.Open(t.Context(), db, right); err != nil {
		t.Fatal(err)
	}
	_, err := mapping.Open(t.Context(), db, keysIn(t, dir, "other.key"))
	if !errors.Is(err, mapping.ErrKey) || !strings.Contains(err.Error(), right.ID()) || !strings.Contains(err.Error(), "other.key") {
		t.Errorf("error is %v, want ErrKey with the id of the key that is needed", err)
	}
	if _, err := mapping.Open(t.Context(), db, mapping.Keys{}); err == nil {
		t.Error("opened without a key")
	}
	if _, err := mapping.Open(t.Context(), db, right); err != nil {
		t.Errorf("the right key does not open any more: %v", err)
	}
}

// The tables stand beside bridgev2's and share its transactions.
func TestTransactionOfTheParent(t *testing.T) {
	dir := t.TempDir()
	db := openDB(t, filepath.Join(dir, "gw.db"))
	store, err := mapping.Open(t.Context(), db, keysIn(t, dir, "gw.key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `CREATE TABLE parent (n INTEGER)`); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	for _, outcome := range []error{stop, nil} {
		err := db.DoTxn(t.Context(), nil, func(ctx context.Context) error {
			if _, err := db.Exec(ctx, `INSERT INTO parent (n) VALUES (1)`); err != nil {
				return err
			}
			if err := store.Client().Atomically(ctx, func(ctx context.Context) error {
				return store.Client().PutAccount(ctx, account("alice"))
			}); err != nil {
				return err
			}
			if _, err := store.Intake().PutTransaction(ctx, "1", [][]byte{{1}}); err != nil {
				return err
			}
			if err := store.Hub().Create(ctx, room("1"), nil); err != nil {
				return err
			}
			return outcome
		})
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
		want := 0
		if outcome == nil {
			want = 1
		}
		var parents, rooms, entries int
		if err := db.QueryRow(t.Context(), `SELECT (SELECT COUNT(*) FROM parent), (SELECT COUNT(*) FROM mimi_hub_room), (SELECT COUNT(*) FROM mimi_intake_entry)`).
			Scan(&parents, &rooms, &entries); err != nil {
			t.Fatal(err)
		}
		accounts, err := store.Client().Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if parents != want || rooms != want || entries != want || len(accounts) != want {
			t.Errorf("outcome %v: %d, %d, %d and %d rows, want %d each", outcome, parents, rooms, entries, len(accounts), want)
		}
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	t.Run("write", func(t *testing.T) {
		if err := openIn(t, dir).Client().PutAccount(t.Context(), account("alice")); err != nil {
			t.Fatal(err)
		}
	})
	a, err := openIn(t, dir).Client().Account(t.Context(), user("alice"))
	if err != nil || string(a.Secret) != "secret of alice" {
		t.Errorf("Account = %v, %v after reopening", a, err)
	}
}

// A row that was moved to another place does not open: whoever can write to the
// database cannot give one room the keys of another.
func TestMovedRowDoesNotOpen(t *testing.T) {
	dir := t.TempDir()
	store := openIn(t, dir).Client()
	for _, id := range []string{"1", "2"} {
		if err := store.PutRoom(t.Context(), &client.Room{URI: room(id)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.PutRows(t.Context(), room("1"), []mls.Row{{Key: "a", Value: []byte("x"), Secret: true}}); err != nil {
		t.Fatal(err)
	}
	db := openDB(t, filepath.Join(dir, "gw.db"))
	if _, err := db.Exec(t.Context(), `UPDATE mimi_room_row SET room = $1`, room("2").String()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Rows(t.Context(), room("2")); !errors.Is(err, mapping.ErrSealed) {
		t.Errorf("error is %v, want ErrSealed", err)
	}
}

// Nothing that a contract calls secret is in any file of the database, not even
// after it was replaced or deleted.
func TestFilesHoldNoSecret(t *testing.T) {
	dir := t.TempDir()
	needles := plantSecrets(t, openIn(t, dir))
	kek, err := os.ReadFile(filepath.Join(dir, "gw.key"))
	if err != nil {
		t.Fatal(err)
	}
	needles = append(needles, kek)
	scanned := 0
	for _, suffix := range []string{"", "-wal", "-shm"} {
		content, err := os.ReadFile(filepath.Join(dir, "gw.db"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		scanned += len(content)
		for _, needle := range needles {
			if bytes.Contains(content, needle) {
				t.Errorf("gw.db%s holds %.20q", suffix, needle)
			}
		}
	}
	wal, err := os.ReadFile(filepath.Join(dir, "gw.db-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(wal, []byte("visible-marker")) {
		t.Errorf("the scan of %d octets does not even find what is public", scanned)
	}
}

// plantSecrets writes every secret field, replaces it, and returns what must
// not be found.
func plantSecrets(t *testing.T, store *mapping.Store) (needles [][]byte) {
	t.Helper()
	c := store.Client()
	secret := func(what string) []byte {
		s := []byte("planted-" + what + "-0123456789")
		needles = append(needles, s)
		return s
	}
	for i, round := range []string{"first", "second"} {
		a := account("visible-marker")
		a.Secret = secret("account" + round)
		_, err := store.Intake().PutTransaction(t.Context(), round, [][]byte{secret("intake" + round)})
		for _, err := range []error{
			err,
			c.PutSecret(t.Context(), "ca", secret("ca"+round)),
			c.PutAccount(t.Context(), a),
			store.People().PutPackage(t.Context(), &connection.StoredPackage{Ref: connection.Ref{byte(i)}, User: a.User, Secret: secret("package" + round)}),
			store.People().PutPrivate(t.Context(), &keymaterial.Private{Secret: secret("private" + round)}),
			c.PutContact(t.Context(), &client.Contact{ID: "1", Account: a.User, Peer: user("bob"), Secret: secret("contact" + round)}),
			c.PutRequest(t.Context(), &client.Request{Account: a.User, Peer: user("bob"), Secret: secret("request" + round)}),
			c.PutRoom(t.Context(), &client.Room{URI: room("1"), Secret: secret("room" + round)}),
			c.PutRows(t.Context(), room("1"), []mls.Row{{Key: "a", Value: secret("row" + round), Secret: true}}),
			c.PutOutgoing(t.Context(), &client.Outgoing{Room: room("1"), Account: a.User, Source: "$1", Secret: secret("outgoing" + round)}),
			c.AddEvent(t.Context(), &client.StoredEvent{Lane: room("1"), Secret: secret("event" + round)}),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return needles
}
