package client_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// queueKeys are a gateway's queue keys.
func (g *gateway) queueKeys() (ring identity.ProviderKeyRing) {
	t := g.w.t
	t.Helper()
	if err := wire.Unmarshal(must[[]byte](t)(g.stores.Client.Secret(t.Context(), "queue-keys")), &ring); err != nil {
		t.Fatal(err)
	}
	return ring
}

// A sealedQueue is a queue reference as it stands in a leaf.
type sealedQueue struct {
	tbs *identity.PseudonymousCredentialTBS
	ref *identity.QueueReference
}

// queueOf returns the queue reference in a person's leaf.
func (g *gateway) queueOf(user, room mimi.URI) sealedQueue {
	t := g.w.t
	t.Helper()
	i, _, _ := g.leafOf(user, room)
	x := g.rogue(room)
	m, _ := x.group.View().Member(i)
	tbs, _ := x.rules.Room().Leaf(i)
	return sealedQueue{tbs, must[*identity.QueueReference](t)(identity.QueueFrom(m.Leaf.Extensions, tbs))}
}

// opens opens a queue reference with the keys that the provider has now.
func (g *gateway) opens(q sealedQueue) (*identity.QueueID, error) {
	return g.queueKeys().OpenQueue(q.tbs, q.ref, g.w.clock.Now())
}

// TestCornerQueueKeyRotation: a queue key that seals no more still opens what was
// sealed to it, so that nobody is cut off; with its next update a leaf has a
// reference under the new key, to the same queue. In the end the old key is gone.
func TestCornerQueueKeyRotation(t *testing.T) {
	c := quietCouple(t)
	before := c.b.queueOf(c.bob, c.group)
	queue := must[*identity.QueueID](t)(c.b.opens(before))
	first, _ := c.b.queueKeys().Newest()
	if before.ref.KeyID != first.ID {
		t.Fatalf("the leaf's queue is under key %d, want %d", before.ref.KeyID, first.ID)
	}
	for range 16 {
		c.clock.Advance(24 * time.Hour)
	}
	c.settled()
	second, _ := c.b.queueKeys().Newest()
	after := c.b.queueOf(c.bob, c.group)
	if second.ID == first.ID || after.ref.KeyID != second.ID {
		t.Errorf("the leaf's queue is under key %d, want the new key %d", after.ref.KeyID, second.ID)
	}
	for name, q := range map[string]sealedQueue{"the old reference": before, "the new reference": after} {
		if same, err := c.b.opens(q); err != nil || !bytes.Equal(same.ID, queue.ID) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.b.opens(sealedQueue{after.tbs, before.ref}); err == nil {
		t.Error("a reference opens in another leaf")
	}
	c.say(c.alice, c.group, "are you there", "b.example")
	c.say(c.bob, c.group, "I am", "a.example")
	for range 10 {
		for range 15 {
			c.clock.Advance(24 * time.Hour)
		}
		c.settled()
	}
	if _, err := c.b.opens(before); !errors.Is(err, identity.ErrProviderKey) {
		t.Errorf("after half a year: %v, want %v", err, identity.ErrProviderKey)
	}
	c.say(c.alice, c.group, "and now", "b.example")
}

// TestCornerKeyMaterialExhausted: beyond the limit for a token a provider hands out
// no more sets of single use. Whoever wants to add is told, other contacts notice
// nothing, and after the hour it goes on.
func TestCornerKeyMaterialExhausted(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.carol()
	create := func() error {
		_, failed, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Again"}, []mimi.URI{c.bob})
		return errors.Join(err, failed[c.bob])
	}
	var err error
	for i := 0; err == nil && i <= client.DefaultLimits().Sets; i++ {
		err = create()
	}
	var refused *protocol.KeyMaterialError
	if !errors.As(err, &refused) || refused.Code != protocol.KeyMaterialNoCompatibleMaterial {
		t.Fatalf("after %d sets: %v", client.DefaultLimits().Sets, err)
	}
	far := c.gateways["c.example"]
	if _, failed, err := far.client.CreateRoom(t.Context(), carol, client.RoomOptions{Name: "Carol's"}, []mimi.URI{c.bob}); err != nil || len(failed) > 0 {
		t.Errorf("another contact: %v, %v", err, failed)
	}
	c.clock.Advance(time.Hour)
	if err := create(); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}
