package client_test

import (
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// parted is Alice, who is out of two rooms with Bob, and Bob, who is out of two others: in
// each he had the pseudonym of another set of last resort.
type parted struct {
	*couple
	rooms map[mimi.URI]mimi.URI // by pseudonym
}

func part(t *testing.T) *parted {
	t.Helper()
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.bare()
	p := &parted{&couple{world: w, a: a, b: b, alice: a.person("alice", "Alice"), bob: b.person("bob", "Bob")}, map[mimi.URI]mimi.URI{}}
	w.connect(p.alice, p.bob)
	var rooms []mimi.URI
	for n := range 4 {
		room, pseudonym := w.together(p.alice, p.bob, n)
		rooms, p.rooms[pseudonym] = append(rooms, room), room
	}
	if len(p.rooms) != 4 {
		t.Fatalf("four rooms with %d pseudonyms", len(p.rooms))
	}
	for _, room := range rooms[:2] {
		if err := a.client.Leave(t.Context(), p.alice, room); err != nil {
			t.Fatal(err)
		}
		p.gone(p.alice, room, p.alice)
	}
	for _, room := range rooms[2:] {
		if err := b.client.Leave(t.Context(), p.bob, room); err != nil {
			t.Fatal(err)
		}
		a.await("Bob leaves", 0, func(e *client.Event) bool {
			return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) == 1 && e.Removed[0].User == p.bob
		})
	}
	return p
}

// again makes four rooms more, in which Bob has the pseudonyms of the first four.
func (p *parted) again() (alerts map[mimi.URI]int) {
	p.t.Helper()
	alerts = map[mimi.URI]int{}
	for n := range 4 {
		room, pseudonym := p.together(p.alice, p.bob, 4+n)
		if p.rooms[pseudonym].IsZero() {
			p.t.Fatal("a room with a pseudonym of its own")
		}
		alerts[room] = 1
	}
	return alerts
}

// TestPseudonymOfAFormerRoom: the pseudonym of somebody in a room that the account has
// left, or they, is remembered, also over a restart; in another room it is told, in that
// one and once.
func TestPseudonymOfAFormerRoom(t *testing.T) {
	p := part(t)
	p.a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
	p.a.stop()
	p.a.start()
	want := p.again()
	p.a.wantAlerts(client.ReasonSharedPseudonym, want)
	for room := range want {
		e, _ := p.a.await("alert", 0, func(e *client.Event) bool {
			return e.Room == room && e.Reason == client.ReasonSharedPseudonym
		})
		if e.Actor.User != p.bob {
			t.Errorf("the alert is about %+v", e.Actor)
		}
	}
	// His own gateway tells Bob himself, and not the rooms.
	p.b.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
}

// TestFormerPseudonymsEnd: they are remembered for a time, and the newest alone.
func TestFormerPseudonymsEnd(t *testing.T) {
	t.Run("by their age", func(t *testing.T) {
		p := part(t)
		p.a.stop()
		p.a.limits.FormerAge = time.Second
		p.clock.Advance(2 * time.Second)
		p.a.start()
		p.again()
		p.a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
	})
	t.Run("by their number", func(t *testing.T) {
		p := part(t)
		p.a.stop()
		p.a.limits.FormerPseudonyms = 1
		p.a.start()
		// One more room is left, with the pseudonym of one of the others in it.
		room, _ := p.together(p.alice, p.bob, 9)
		p.a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{room: 1})
		p.clock.Advance(time.Second)
		if err := p.a.client.Leave(t.Context(), p.alice, room); err != nil {
			t.Fatal(err)
		}
		p.a.await("gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == room })
		for n := range 3 {
			p.together(p.alice, p.bob, 10+n)
		}
		p.a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{room: 1})
		last, _ := p.together(p.alice, p.bob, 13)
		p.a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{room: 1, last: 1})
	})
}

// TestSameRoomIsNoFormerRoom: who comes back into a room under a pseudonym that they had
// in it before is nobody's phantom.
func TestSameRoomIsNoFormerRoom(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.bare()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	room, first := w.together(alice, bob, 0)
	seen, heard := map[mimi.URI]int{first: 1}, 0
	for range 4 {
		if err := a.client.Kick(t.Context(), alice, room, bob); err != nil {
			t.Fatal(err)
		}
		_, heard = b.await("gone", heard, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == room })
		if err := a.client.Invite(t.Context(), alice, room, bob); err != nil {
			t.Fatal(err)
		}
		members, err := a.stores.Client.Members(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			if m.User == bob {
				seen[m.UserPseudonym]++
			}
		}
	}
	if len(seen) != 4 || seen[first] != 2 {
		t.Fatalf("he has come back as %v", seen)
	}
	a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
}
