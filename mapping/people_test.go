package mapping_test

import (
	"context"
	"errors"
	"testing"
	"time"

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
