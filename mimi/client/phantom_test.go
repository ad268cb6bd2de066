package client_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// bare lets the gateway make no sets on demand: only those of last resort are there.
func (g *gateway) bare() {
	g.stop()
	g.limits.Sets = -1
	g.start()
}

// alerts counts the alerts for a reason that a gateway has shown, by room or account.
func (g *gateway) alerts(reason client.Reason) map[mimi.URI]int {
	n := map[mimi.URI]int{}
	g.set(func(g *gateway) {
		for _, e := range g.events {
			if e.Kind != client.EventAlert || e.Reason != reason {
				continue
			}
			if e.Room.IsZero() {
				n[e.Account]++
			} else {
				n[e.Room]++
			}
		}
	})
	return n
}

// wantAlerts waits for alerts, and for an event of each of their lanes that comes after
// them: there are no more.
func (g *gateway) wantAlerts(reason client.Reason, want map[mimi.URI]int) {
	g.w.t.Helper()
	g.w.until(fmt.Sprintf("%s in %v", reason, want), func() bool {
		have := g.alerts(reason)
		for where, n := range want {
			if have[where] < n {
				return false
			}
		}
		return true
	})
	g.w.until("end of the events", func() bool {
		lanes, err := g.stores.Client.EventLanes(g.w.t.Context())
		return err == nil && len(lanes) == 0
	})
	if have := g.alerts(reason); fmt.Sprint(have) != fmt.Sprint(want) {
		g.w.t.Errorf("%s: %s: there are %v, want %v", g.domain, reason, have, want)
	}
}

// TestPseudonymInTwoRooms: who is added with a set of KeyPackages that was used before
// is in two rooms under one pseudonym. Members of both are told in both, once for each
// pair of rooms, and not again after a restart or when the person joins anew.
func TestPseudonymInTwoRooms(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.bare()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	rooms := map[mimi.URI]mimi.URI{} // by pseudonym
	for n := range 4 {
		room, pseudonym := w.together(alice, bob, n)
		rooms[pseudonym] = room
	}
	a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
	last, pseudonym := w.together(alice, bob, 4)
	first := rooms[pseudonym]
	if first.IsZero() {
		t.Fatal("the fifth room has a pseudonym of its own")
	}
	want := map[mimi.URI]int{first: 1, last: 1}
	a.wantAlerts(client.ReasonSharedPseudonym, want)
	e, _ := a.await("alert", 0, func(e *client.Event) bool { return e.Room == first && e.Reason == client.ReasonSharedPseudonym })
	if e.Actor.User != bob || e.Actor.Pseudonym != pseudonym {
		t.Errorf("the alert is about %+v", e.Actor)
	}
	// His own gateway tells Bob himself, and not the rooms.
	b.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
	a.stop()
	a.start()
	w.say(bob, last, "after a restart", "a.example")
	c := &couple{world: w, a: a, b: b, alice: alice, bob: bob, group: last}
	c.strand()
	c.resynced(b)
	w.say(bob, last, "joined anew", "a.example")
	a.wantAlerts(client.ReasonSharedPseudonym, want)
}

// TestPseudonymInTwoRoomsOfDifferentPeople: what no account here sees twice is no alert;
// it is one when an account comes into the second room.
func TestPseudonymInTwoRoomsOfDifferentPeople(t *testing.T) {
	w := newWorld(t, "a.example", "b.example", "c.example")
	a, b, c := w.gateways["a.example"], w.gateways["b.example"], w.gateways["c.example"]
	b.bare()
	alice, anna, bob, carol := a.person("alice", ""), a.person("anna", ""), b.person("bob", ""), c.person("carol", "")
	for _, who := range []mimi.URI{alice, anna, bob} {
		w.connect(carol, who)
	}
	rooms := map[mimi.URI]mimi.URI{}
	var first, second mimi.URI
	for n := 0; second.IsZero(); n++ {
		room, pseudonym := w.together(carol, bob, n)
		if first = rooms[pseudonym]; !first.IsZero() {
			second = room
		}
		rooms[pseudonym] = room
	}
	c.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{first: 1, second: 1})
	add := func(who, room mimi.URI) {
		t.Helper()
		if err := c.client.Invite(t.Context(), carol, room, who); err != nil {
			t.Fatal(err)
		}
		w.join(who, room)
		w.say(bob, room, "hello "+who.ID, "a.example")
	}
	add(alice, first)
	add(anna, second)
	a.wantAlerts(client.ReasonSharedPseudonym, map[mimi.URI]int{})
	add(alice, second)
	want := map[mimi.URI]int{first: 1, second: 1}
	a.wantAlerts(client.ReasonSharedPseudonym, want)
	add(anna, first) // Alice has seen it
	a.wantAlerts(client.ReasonSharedPseudonym, want)
}

// TestReuseIsShown: whose set of last resort is handed out again is told so, by whom it
// was fetched, once a day.
func TestReuseIsShown(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	b.bare()
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	n := 0
	reuse := func(times int) {
		t.Helper()
		for times > 0 {
			w.together(alice, bob, n)
			n++
			b.set(func(g *gateway) {
				if g.reused[len(g.reused)-1] > 0 {
					times--
				}
			})
		}
	}
	b.wantAlerts(client.ReasonLastResort, map[mimi.URI]int{})
	reuse(1)
	b.wantAlerts(client.ReasonLastResort, map[mimi.URI]int{bob: 1})
	e, _ := b.await("alert", 0, func(e *client.Event) bool { return e.Reason == client.ReasonLastResort })
	if e.Peer != alice {
		t.Errorf("it was fetched by %s", e.Peer)
	}
	b.stop()
	b.start()
	reuse(2)
	b.wantAlerts(client.ReasonLastResort, map[mimi.URI]int{bob: 1})
	w.clock.Advance(24 * time.Hour)
	reuse(1)
	b.wantAlerts(client.ReasonLastResort, map[mimi.URI]int{bob: 2})
}
