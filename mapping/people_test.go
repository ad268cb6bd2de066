package mapping_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// An empty candidate is none, whether nil or not.
func TestPinWithoutCandidate(t *testing.T) {
	p := open(t).People()
	if err := p.PutPin(t.Context(), identity.Pin{Domain: "b.example", Version: 1, Candidate: []byte{}}); err != nil {
		t.Fatal(err)
	}
	if changed, err := p.Changed(t.Context()); err != nil || len(changed) != 0 {
		t.Errorf("%d changed pins, %v, want none", len(changed), err)
	}
}

// What was handed out or used is not counted any more.
func TestCountPackagesAfterUse(t *testing.T) {
	p, now := open(t).People(), time.UnixMilli(0)
	for n := range byte(4) {
		if err := p.PutPackage(t.Context(), &connection.StoredPackage{
			Ref: connection.Ref{n}, User: user("bob"), Suite: suite.X25519AES128, NotAfter: now.Add(time.Hour), LastResort: n == 3,
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.HandOut(t.Context(), user("bob"), suite.X25519AES128, now); err != nil {
		t.Fatal(err)
	}
	for _, ref := range []connection.Ref{{1}, {3}} {
		if err := p.UsePackage(t.Context(), ref); err != nil {
			t.Fatal(err)
		}
	}
	if single, last, err := p.CountPackages(t.Context(), user("bob"), suite.X25519AES128, now); err != nil || single != 1 || last != 1 {
		t.Errorf("%d and %d packages, %v, want 1 and 1", single, last, err)
	}
}

// Of the sets that were handed out equally often, the one that expires last
// comes first, whatever it is called.
func TestLastResortExpiresLast(t *testing.T) {
	p, now := open(t).People(), time.UnixMilli(0)
	for name, hours := range map[string]time.Duration{"a": 3, "b": 1, "c": 2} {
		if err := p.PutKeyPackages(t.Context(), []keymaterial.Row{{
			Set: user(name), Suite: suite.X25519AES128, LastResort: true, NotAfter: now.Add(hours * time.Hour),
		}}); err != nil {
			t.Fatal(err)
		}
	}
	q := keymaterial.Query{Suites: []mls.CipherSuite{suite.X25519AES128}, Slots: []uint32{0}, Now: now}
	for _, want := range []string{"a", "c", "b", "a"} {
		set, err := p.TakeLastResort(t.Context(), q)
		if err != nil || set.Rows[0].Set != user(want) {
			t.Fatalf("set %+v, %v, want that of %s", set, err, want)
		}
	}
}

// A transaction of the client takes back what it took from the other stores.
func TestTransactionSpansStores(t *testing.T) {
	store := open(t)
	p := store.People()
	if err := p.PutPrivate(t.Context(), &keymaterial.Private{Secret: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	err := store.Client().Atomically(t.Context(), func(ctx context.Context) error {
		if err := p.DeletePrivate(ctx, [32]byte{}); err != nil {
			return err
		}
		return errStop
	})
	if !errors.Is(err, errStop) {
		t.Fatal(err)
	}
	if _, err := p.Private(t.Context(), [32]byte{}); err != nil {
		t.Errorf("Private: %v", err)
	}
}

var errStop = errors.New("stop")

// TestKeyMaterialJoinsToNoAccount: no column of the tables of key material names an
// account, or anything that a table which does has too, except pseudonyms, which
// members of a room learn by opening links. A further column needs a thought, and
// then a line here.
func TestKeyMaterialJoinsToNoAccount(t *testing.T) {
	db := openDB(t, filepath.Join(emptyIn(t), "gw.db"))
	for table, want := range map[string]string{
		"mimi_key_package": "token set_uri slot suite key_package last_resort not_after reused",
		"mimi_key_token":   "token registration",
		"mimi_key_private": "ref not_after secret",
		"mimi_nonce":       "hash until",
		"mimi_allowance":   "account day issued secret",
	} {
		columns := column(t, db, "SELECT name FROM pragma_table_info($1) ORDER BY cid", table)
		if got := strings.Join(columns, " "); got != want {
			t.Errorf("%s has the columns %s, want %s", table, got, want)
		}
		if keys := column(t, db, `SELECT "table" FROM pragma_foreign_key_list($1)`, table); len(keys) > 0 {
			t.Errorf("%s refers to %v", table, keys)
		}
	}
	for _, name := range []string{"token", "registration", "ref"} {
		tables := column(t, db, `
			SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
			WHERE m.type = 'table' AND c.name = $1 AND m.name LIKE 'mimi_%' AND m.name NOT LIKE 'mimi_key_%' ORDER BY m.name`, name)
		// References of packages, requests and consent are hashes of other things.
		if got := strings.Join(tables, " "); got != map[string]string{"ref": "mimi_consent mimi_package mimi_request mimi_request_room"}[name] {
			t.Errorf("a column %s is in %s as well", name, got)
		}
	}
}

// column returns the only column of a query.
func column(t *testing.T, db *dbutil.Database, query string, args ...any) []string {
	t.Helper()
	rows, err := db.Query(t.Context(), query, args...)
	values, err := dbutil.ConvertRowFn[string](func(row dbutil.Scannable) (s string, err error) {
		return s, row.Scan(&s)
	}).NewRowIter(rows, err).AsList()
	if err != nil {
		t.Fatal(err)
	}
	return values
}
