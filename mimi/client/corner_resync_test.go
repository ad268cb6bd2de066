package client_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

// public returns a room as a gateway has stored it.
func (g *gateway) public(room mimi.URI) *mmr.Room {
	g.w.t.Helper()
	return g.rogue(room).rules.Room()
}

// leafOf returns the leaf of a person in a room, and its pseudonyms, as a gateway
// sees them.
func (g *gateway) leafOf(user, room mimi.URI) (leaf mls.LeafIndex, userPseudonym, clientPseudonym mimi.URI) {
	t := g.w.t
	t.Helper()
	members, err := g.stores.Client.Members(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.User == user {
			return mls.LeafIndex(m.Index), m.UserPseudonym, m.ClientPseudonym
		}
	}
	t.Fatalf("%s does not know %s in the room", g.domain, user)
	panic("unreachable")
}

// TestCornerResync: who joins anew is the same person under the same user
// pseudonym, with a fresh client pseudonym; it rotates the wrapper key, its own
// entry is of the generation before, and the others follow.
func TestCornerResync(t *testing.T) {
	c := quietCouple(t)
	_, user, client := c.a.leafOf(c.bob, c.group)
	before := c.a.public(c.group)
	c.strand()
	c.resynced(c.b)
	c.say(c.bob, c.group, "back again", "a.example")
	leaf, again, fresh := c.a.leafOf(c.bob, c.group)
	if again != user || fresh == client {
		t.Errorf("Bob was %s, %s and is %s, %s", user, client, again, fresh)
	}
	after := c.a.public(c.group)
	if after.Newest() <= before.Newest() || after.Newest() != c.b.public(c.group).Newest() {
		t.Errorf("generation %d before, %d after at a, %d at b", before.Newest(), after.Newest(), c.b.public(c.group).Newest())
	}
	if entry, ok := after.Table().Key(leaf); !ok || entry == nil || entry.Generation != before.Newest() {
		t.Errorf("the entry of the new leaf is %v, want one of generation %d", entry, before.Newest())
	}
	c.members(c.group, c.alice, c.bob)
}

// TestCornerPoisonedCommit: an external Commit that does not prove knowledge of the
// wrapper key passes the hub. No member applies it. The first one to come back
// rotates the key by its resync, and whoever does not get that key is told, and is
// added again. The leaf that came with the poison has no name, and is removed.
func TestCornerPoisonedCommit(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol, far := c.carol(), c.gateways["c.example"]
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	c.say(carol, c.group, "hello", "a.example", "b.example")
	c.alone(c.b)
	leaf, _, _ := far.leafOf(carol, c.group)
	poisoner := far.rogue(c.group)
	far.set(func(g *gateway) { g.lose = everything })
	var kept [][]byte
	c.b.set(func(g *gateway) { g.lose = keep(&kept) })
	if err := poisoner.poison(leaf); err != nil {
		t.Fatalf("the hub refuses what it cannot know: %v", err)
	}
	defer c.driveClock()()
	c.resynced(c.a)
	if _, err := c.a.client.Send(t.Context(), c.alice, c.group, "$who", content.Text(content.PlainPart("who is that"))); !errors.Is(err, client.ErrQuarantine) {
		t.Errorf("sending to a room with a leaf that has no name: %v", err)
	}
	c.until("delivery", func() bool { return c.b.holds(&kept, 2) })
	c.b.hears("a.example", c.group, &kept)
	c.b.await("lost", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonLost
	})
	for _, gone := range []mimi.URI{carol, c.bob} {
		if err := c.a.client.Kick(t.Context(), c.alice, c.group, gone); err != nil {
			t.Fatal(err)
		}
	}
	c.b.await("gone", 0, func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == c.bob && e.Room == c.group
	})
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	c.rejoins(c.bob, c.group)
	c.say(c.alice, c.group, "we are among ourselves", "b.example")
	c.say(c.bob, c.group, "at last", "a.example")
	c.members(c.group, c.alice, c.bob)
}
