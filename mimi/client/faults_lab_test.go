//go:build lab

package client_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// faulty is a world of Alice and Bob, whose gateway has a fault.
func faulty(t *testing.T, fault string) (w *world, b *gateway, alice, bob mimi.URI) {
	t.Helper()
	w = newWorld(t, "a.example", "b.example")
	b = w.gateways["b.example"]
	b.stop()
	faults, ok := client.NamedFaults(fault)
	if !ok {
		t.Fatalf("there is no fault %s", fault)
	}
	b.faults = faults
	b.start()
	alice, bob = w.gateways["a.example"].person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	return w, b, alice, bob
}

// lifetimes returns when the KeyPackages say they were made that Bob was added with.
func lifetimes(t *testing.T, b *gateway, room mimi.URI) (notBefore uint64) {
	t.Helper()
	if err := b.client.EachLeaf(t.Context(), room, func(_ mimi.URI, leaf *mls.LeafNode) { notBefore = leaf.NotBefore }); err != nil {
		t.Fatal(err)
	}
	return notBefore
}

// TestFaultLastResortTwice: the control of T2.
func TestFaultLastResortTwice(t *testing.T) {
	for fault, shared := range map[string]bool{"last-resort-twice": true, "answer-decline": false} {
		w, b, alice, bob := faulty(t, fault)
		_, one := w.together(alice, bob, 1)
		_, two := w.together(alice, bob, 2)
		if (one == two) != shared {
			t.Errorf("with the fault %s, two rooms have the pseudonyms %s and %s", fault, one, two)
		}
		if (len(b.reused) == 2) != shared {
			t.Errorf("with the fault %s, sets of last resort were used %d times", fault, len(b.reused))
		}
	}
}

// TestFaultUploadAtOnce: the control of T9. What was taken is replaced at once, and a
// KeyPackage says to the second when.
func TestFaultUploadAtOnce(t *testing.T) {
	for fault, seen := range map[string]bool{"upload-at-once": true, "answer-decline": false} {
		w, b, alice, bob := faulty(t, fault)
		before := w.clock.Now()
		room, _ := w.together(alice, bob, 1)
		made := lifetimes(t, b, room)
		if (made%86400 != 0 && made >= uint64(before.Unix())) != seen {
			t.Errorf("with the fault %s, a KeyPackage says that it was made at %d", fault, made)
		}
		if _, err := b.client.ConnectionPackage(t.Context(), "a.example", bob); err != nil {
			t.Fatal(err)
		}
		single, _, err := b.stores.People.CountPackages(t.Context(), bob, suite.X25519AES128, identity.HandOutHorizon(w.clock.Now()))
		if err != nil || (single == 5) != seen {
			t.Errorf("with the fault %s, there are %d packages after a fetch, %v", fault, single, err)
		}
	}
}
