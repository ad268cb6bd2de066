package client_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A leafQueue is the queue reference of a leaf, with what it is bound to.
type leafQueue struct {
	tbs identity.PseudonymousCredentialTBS
	ref identity.QueueReference
}

// queues returns the references of a gateway's accounts, by room.
func (g *gateway) queues(rooms ...mimi.URI) map[mimi.URI]leafQueue {
	g.w.t.Helper()
	out := map[mimi.URI]leafQueue{}
	s := identitytest.Suite(g.w.t, suite.X25519AES128)
	for _, room := range rooms {
		if err := g.client.EachLeaf(g.w.t.Context(), room, func(_ mimi.URI, leaf *mls.LeafNode) {
			cred, err := identity.ParseCredential(s, leaf.Credential, leaf.SignatureKey)
			if err != nil {
				g.w.t.Fatal(err)
			}
			ref, err := identity.QueueFrom(leaf.Extensions, &cred.PseudonymousCredentialTBS)
			if err != nil {
				g.w.t.Fatal(err)
			}
			out[room] = leafQueue{cred.PseudonymousCredentialTBS, *ref}
		}); err != nil {
			g.w.t.Fatal(err)
		}
	}
	return out
}

// queueKeys are those of the gateway, as they are stored.
func (g *gateway) queueKeys() (ring identity.ProviderKeyRing) {
	g.w.t.Helper()
	b, err := g.stores.Client.Secret(g.w.t.Context(), "queue-keys")
	if err == nil {
		err = wire.Unmarshal(b, &ring)
	}
	if err != nil {
		g.w.t.Fatal(err)
	}
	return ring
}

// TestCornerQueueKeyRotation over a simulated year: at every moment each leaf's reference
// opens, in its own leaf alone; no two are equal; each own update seals it anew to
// the newest key; and what nobody has sealed anew for long is refused.
func TestCornerQueueKeyRotation(t *testing.T) {
	c := newCouple(t)
	rooms := []mimi.URI{c.direct, c.group}
	last := c.b.queues(rooms...)
	first, seen := last[c.group], map[string]bool{}
	keys := map[uint8]bool{}
	var newestBefore identity.ProviderKey
	for c.clock.Now().Before(time.Date(2027, 11, 22, 12, 0, 0, 0, time.UTC)) {
		ring := c.b.queueKeys()
		newest, _ := ring.Newest()
		keys[newest.ID] = true
		now := c.b.queues(rooms...)
		for room, q := range now {
			id, err := ring.OpenQueue(&q.tbs, &q.ref, c.clock.Now())
			if err != nil {
				t.Fatalf("%v: %v", c.clock.Now(), err)
			}
			for other, o := range now {
				if other == room {
					continue
				}
				if bytes.Equal(o.ref.Sealed.Ciphertext, q.ref.Sealed.Ciphertext) || bytes.Equal(o.ref.Sealed.KEMOutput, q.ref.Sealed.KEMOutput) {
					t.Error("two rooms share a reference")
				}
				if _, err := ring.OpenQueue(&o.tbs, &q.ref, c.clock.Now()); !errors.Is(err, identity.ErrQueue) {
					t.Errorf("a reference opens in another leaf: %v", err)
				}
				// Both are for the same queue, and only the provider can tell.
				if same, err := ring.OpenQueue(&o.tbs, &o.ref, c.clock.Now()); err != nil || !bytes.Equal(same.ID, id.ID) {
					t.Errorf("the leaves of one account have different queues: %v", err)
				}
			}
			if q.tbs.ClientPseudonym == last[room].tbs.ClientPseudonym {
				continue
			}
			if bytes.Equal(q.ref.Sealed.Ciphertext, last[room].ref.Sealed.Ciphertext) {
				t.Error("an own update has kept the reference")
			}
			if q.ref.KeyID != newest.ID && q.ref.KeyID != newestBefore.ID {
				t.Errorf("%v: an update has sealed to key %d, the newest are %d and %d", c.clock.Now(), q.ref.KeyID, newestBefore.ID, newest.ID)
			}
			seen[string(q.ref.Sealed.Ciphertext)] = true
		}
		last, newestBefore = now, newest
		for range 7 {
			c.clock.Advance(24 * time.Hour)
		}
		c.settled()
	}
	if len(keys) < 12 || len(seen) < 2*15 {
		t.Errorf("in a year, %d keys and %d references", len(keys), len(seen))
	}
	ring := c.b.queueKeys()
	if _, err := ring.OpenQueue(&first.tbs, &first.ref, c.clock.Now()); !errors.Is(err, identity.ErrQueue) || !errors.Is(err, identity.ErrProviderKey) {
		t.Errorf("a reference of a year ago: %v", err)
	}
}

// TestProviderKeyOver: a key seals for 30 days and opens for 120 more, whether or not
// anybody has rotated it away.
func TestProviderKeyOver(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	bob := p.Person(t, "bob", "phone")
	leaf := bob.Leaf(t, mimi.URI{}, nil)
	day := 24 * time.Hour
	ring, err := identity.ProviderKeyRing{}.Rotate(s, identitytest.Start, identitytest.Start.Add(30*day), 90*day, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := ring.Newest()
	ref, err := key.SealQueue(leaf.TBS(), identity.QueueID{ID: []byte("q"), NotAfter: 1 << 33})
	if err != nil {
		t.Fatal(err)
	}
	for days, want := range map[time.Duration]error{0: nil, 30: nil, 149: nil, 151: identity.ErrProviderKeyOver, 4000: identity.ErrProviderKeyOver} {
		if _, err := ring.OpenQueue(leaf.TBS(), ref, identitytest.Start.Add(days*day)); !errors.Is(err, want) {
			t.Errorf("after %d days: %v, want %v", days, err, want)
		}
	}
}

// TestTokenKeyRotation over a simulated year: at every moment the directory has a key
// for connection tokens that is good for days to come. Keys come and go. Nothing is
// fetched meanwhile: the clock runs faster than schedule ticks can follow.
func TestTokenKeyRotation(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	seen := map[string]bool{}
	for week := range 52 {
		for range 7 {
			w.clock.Advance(24 * time.Hour)
		}
		var key identity.ProviderKey
		good := func() bool {
			_, keys, err := b.client.IdentityCA()
			if err != nil || len(keys) == 0 {
				t.Fatalf("week %d: %d keys, %v", week, len(keys), err)
			}
			key = keys[len(keys)-1]
			return key.NotAfter.Sub(w.clock.Now()) > 13*24*time.Hour && !b.client.IssuerIsDue()
		}
		w.until("key that is renewed in time", func() bool {
			if good() {
				return true
			}
			w.clock.Advance(time.Hour) // the maintenance of the next day
			return false
		})
		seen[string(key.Public)] = true
	}
	if len(seen) < 12 {
		t.Errorf("%d keys in a year", len(seen))
	}
}
