package client_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// asked asks a gateway who is in a room, and checks that the answer is one that was made
// just now would be.
func (w *world) asked(g *gateway, room mimi.URI) []client.RoomMember {
	w.t.Helper()
	told, anew, err := g.client.Roster(w.t.Context(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	if !reflect.DeepEqual(told, anew) {
		w.t.Errorf("%s: it is said that in the room are\n%+v\nwho are\n%+v", g.domain, told, anew)
	}
	return told
}

// TestRosterIsKept: who is in a room is listed once, and again only when something of
// that has changed: not for a message.
func TestRosterIsKept(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.carol()
	before := c.asked(c.b, c.group)
	same := func(what string, want bool) {
		t.Helper()
		after := c.asked(c.b, c.group)
		if kept := &before[0] == &after[0]; kept != want {
			t.Errorf("%s: the list is the same: %v, want %v", what, kept, want)
		}
		before = after
	}
	c.say(c.alice, c.group, "one", "b.example")
	c.say(c.bob, c.group, "two", "a.example")
	same("messages", true)
	change := func(what string, do func() error, seen func(m []client.RoomMember) bool) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		c.until(what, func() bool { return seen(c.asked(c.b, c.group)) })
		same(what, false)
		same("after "+what, true)
	}
	there := func(user mimi.URI, state client.LeafState) func([]client.RoomMember) bool {
		return func(all []client.RoomMember) bool {
			for _, m := range all {
				if m.User == user {
					return m.State == state
				}
			}
			return false
		}
	}
	ben := c.b.person("ben", "Ben")
	change("somebody is added", func() error { return c.b.client.Invite(t.Context(), c.bob, c.group, ben) }, there(ben, client.LeafInvited))
	change("somebody joins", func() error { return c.b.client.Join(t.Context(), ben, c.group) }, there(ben, client.LeafJoined))
	change("somebody from elsewhere is added", func() error { return c.b.client.Invite(t.Context(), c.bob, c.group, carol) }, there(carol, 0))
	c.until("Alice knows Carol", func() bool { return c.a.sees(c.group, carol) })
	change("somebody is removed", func() error { return c.a.client.Kick(t.Context(), c.alice, c.group, carol) },
		func(all []client.RoomMember) bool { return !there(carol, 0)(all) })
	c.asked(c.a, c.group)
	// Their certificates end, and are not renewed while nobody has a day's work done.
	until := before
	c.clock.Advance(40 * 24 * time.Hour)
	after := c.asked(c.b, c.group)
	if &until[0] == &after[0] {
		t.Error("certificates have ended, and the list is the same")
	}
}

// TestRosterCostsNothing: to ask again who is in a room costs the same whatever its size.
func TestRosterCostsNothing(t *testing.T) {
	c := newCrowd(t, 24)
	c.invite()
	c.join(c.bob, c.group)
	c.opened()
	var info *client.RoomInfo
	ask := func() {
		var err error
		if info, err = c.b.client.Room(t.Context(), c.group); err != nil {
			t.Fatal(err)
		}
	}
	took := func(n int, f func()) time.Duration {
		begin := time.Now()
		for range n {
			f()
		}
		return time.Since(begin) / time.Duration(n)
	}
	allocations := testing.AllocsPerRun(100, ask)
	if len(info.Members) != 25 || allocations > 25 {
		t.Errorf("%d members cost %.0f allocations", len(info.Members), allocations)
	}
	t.Logf("again: %v, %.0f allocations; anew: %v", took(1000, ask), allocations, took(1000, func() {
		if _, _, err := c.b.client.Roster(t.Context(), c.group); err != nil {
			t.Fatal(err)
		}
	}))
}
