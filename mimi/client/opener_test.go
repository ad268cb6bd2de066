package client_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// A crowd is a couple whose group has many more members of Alice's provider, and Bob
// not yet. His gateway opens two links at a time.
type crowd struct {
	*couple
	others []mimi.URI
}

// newCrowd makes a group of so many people of a.example, Alice included.
func newCrowd(t *testing.T, size int) *crowd {
	w := newWorld(t, "a.example", "b.example")
	c := &crowd{couple: &couple{world: w, a: w.gateways["a.example"], b: w.gateways["b.example"]}}
	c.restart(c.b, client.Limits{LinkBatch: 2})
	c.alice, c.bob = c.a.person("alice", ""), c.b.person("bob", "")
	c.direct = w.connect(c.alice, c.bob)
	for i := range size - 1 {
		c.others = append(c.others, c.a.person(fmt.Sprintf("ann%d", i), ""))
	}
	room, failed, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Plans"}, c.others)
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	c.group = room
	for _, other := range c.others {
		w.join(other, room)
	}
	c.b.set(func(g *gateway) { g.looked = 0 })
	return c
}

// restart ends a gateway and starts it anew with other limits.
func (w *world) restart(g *gateway, limits client.Limits) {
	w.t.Helper()
	g.stop()
	g.set(func(g *gateway) { g.limits = limits })
	g.start()
}

// invite lets Alice add Bob, and waits until he knows.
func (c *crowd) invite() {
	c.t.Helper()
	if err := c.a.client.Invite(c.t.Context(), c.alice, c.group, c.bob); err != nil {
		c.t.Fatal(err)
	}
	c.b.await("invited", 0, func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Room == c.group })
}

// sees returns whom Bob's gateway sees in the group, and how many leaves are closed.
func (c *crowd) sees() (users []mimi.URI, closed int) {
	c.t.Helper()
	info, err := c.b.client.Room(c.t.Context(), c.group)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range info.Members {
		users = append(users, m.User)
	}
	return users, info.Closed
}

// links returns how many links Bob's gateway has looked at.
func (c *crowd) links() (n int) {
	c.b.set(func(g *gateway) { n = g.looked })
	return n
}

// opened waits until Bob's gateway has opened everything.
func (c *crowd) opened() {
	c.t.Helper()
	c.until("end of opening", func() bool { _, closed := c.sees(); return closed == 0 })
}

// TestInvitedOpensWhatItNeeds: who is only invited opens the own link and the adder's,
// and whoever writes.
func TestInvitedOpensWhatItNeeds(t *testing.T) {
	c := newCrowd(t, 9)
	c.invite()
	users, closed := c.sees()
	if len(users) != 2 || !slices.Contains(users, c.alice) || !slices.Contains(users, c.bob) || closed != 8 {
		t.Errorf("sees %v and %d closed leaves", users, closed)
	}
	c.say(c.others[5], c.group, "hello", "b.example") // checks that the name is known
	if users, closed := c.sees(); len(users) != 3 || closed != 7 {
		t.Errorf("after a message: sees %v and %d closed leaves", users, closed)
	}
	opened, _ := c.b.await("opened", 0, func(e *client.Event) bool { return e.Kind == client.EventOpened })
	if len(opened.Added) != 1 || opened.Added[0].User != c.others[5] {
		t.Errorf("opened %v", opened.Added)
	}
	c.say(c.others[5], c.group, "hello again", "b.example")
	if n := c.links(); n != 3 {
		t.Errorf("%d links were looked at, want 3", n)
	}
	if err := c.a.client.Rename(t.Context(), c.others[2], c.group, "New plans"); err != nil {
		t.Fatal(err)
	}
	renamed, _ := c.b.await("a new name", 0, func(e *client.Event) bool { return e.Kind == client.EventRoom && e.Name == "New plans" })
	if renamed.Actor.User != c.others[2] {
		t.Errorf("renamed by %v", renamed.Actor)
	}
}

// TestLinksAreOpenedOnce: each link of a room is opened once, in batches that are told
// of, and a restart opens none again.
func TestLinksAreOpenedOnce(t *testing.T) {
	c := newCrowd(t, 9)
	c.invite()
	c.join(c.bob, c.group)
	c.opened()
	names := map[mimi.URI]int{}
	batches := 0
	c.b.await("names of all", 0, func(e *client.Event) bool {
		if e.Kind == client.EventOpened && e.Room == c.group {
			batches++
			if len(e.Added) > 2 {
				t.Errorf("%d names at once, want 2", len(e.Added))
			}
			for _, p := range e.Added {
				names[p.User]++
			}
		}
		return len(names) == 8
	})
	for user, n := range names {
		if n != 1 {
			t.Errorf("%s was told %d times", user, n)
		}
	}
	if batches != 4 {
		t.Errorf("%d batches, want 4", batches)
	}
	if n := c.links(); n != 10 {
		t.Errorf("%d links were looked at, want 10", n)
	}
	c.restart(c.b, client.Limits{LinkBatch: 2})
	c.say(c.others[3], c.group, "hello", "b.example")
	c.say(c.bob, c.group, "hello", "a.example")
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Other plans"); err != nil {
		t.Fatal(err)
	}
	c.b.await("renamed", 0, func(e *client.Event) bool { return e.Kind == client.EventRoom && e.Name == "Other plans" })
	if n := c.links(); n != 10 {
		t.Errorf("%d links were looked at after a restart, want 10", n)
	}
}

// TestLinksOpenAfterACrash: a gateway that is ended while it opens the links of a room
// goes on where it was.
func TestLinksOpenAfterACrash(t *testing.T) {
	for n := 1; n < 40; n += 3 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCrowd(t, 7)
			c.invite()
			s := &crashStory{world: c.world, victim: c.b}
			c.b.set(func(g *gateway) { g.stores.Faults.Crash(n) })
			s.do("join", func() error { return c.b.client.Join(t.Context(), c.bob, c.group) })
			c.until("end of opening", func() bool {
				if s.revive() {
					return false
				}
				info, err := c.b.client.Room(t.Context(), c.group)
				return err == nil && info.Closed == 0
			})
			c.b.stores.Faults.Restart()
			if users, _ := c.sees(); len(users) != 8 {
				t.Errorf("sees %v", users)
			}
			// What was opened in a transaction that did not end is opened again.
			if looked := c.links(); looked < 8 || looked > 8+2+1 {
				t.Errorf("%d links were looked at, for 8 leaves", looked)
			}
		})
	}
}

// TestSendingOpensAllLinks: where everybody has to be known, nothing is sent before
// all links have been opened.
func TestSendingOpensAllLinks(t *testing.T) {
	c := newCrowd(t, 9)
	c.invite()
	c.join(c.bob, c.group)
	if _, err := c.b.client.Send(t.Context(), c.bob, c.group, "$first", content.Text(content.PlainPart("hello"))); err != nil {
		t.Fatal(err)
	}
	if users, closed := c.sees(); closed != 0 || len(users) != 10 {
		t.Errorf("sent while %d links were closed", closed)
	}
	if n := c.links(); n != 10 {
		t.Errorf("%d links were looked at, want 10", n)
	}
}

// TestInvitingOpensAllLinks: only who knows everybody can tell that somebody is in the
// room already.
func TestInvitingOpensAllLinks(t *testing.T) {
	c := newCrowd(t, 9)
	c.connect(c.bob, c.others[7])
	c.invite()
	c.join(c.bob, c.group)
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, c.others[7]); !errors.Is(err, client.ErrAlreadyMember) {
		t.Errorf("invites somebody whose link was closed: %v", err)
	}
}

// TestLinkJoinOpensLater: who enters by a link opens the links of a large room in the
// background.
func TestLinkJoinOpensLater(t *testing.T) {
	c := newCrowd(t, 9)
	link, err := c.a.client.MakeLink(t.Context(), c.alice, c.group, client.LinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.b.client.JoinLink(t.Context(), c.bob, link.Text(), client.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	c.opened()
	if n := c.links(); n != 10 {
		t.Errorf("%d links were looked at, want 10", n)
	}
}

// TestResyncOpensNothingAgain: whoever was seen before a resync is known after it.
func TestResyncOpensNothingAgain(t *testing.T) {
	c := newCrowd(t, 5)
	c.invite()
	c.join(c.bob, c.group)
	c.opened()
	before := c.links()
	c.strand()
	defer c.driveClock()()
	c.resynced(c.b)
	c.say(c.bob, c.group, "back again", "a.example")
	c.opened()
	if n := c.links() - before; n != 1 {
		t.Errorf("a resync looked at %d links, want the own one", n)
	}
	c.members(c.group, append(slices.Clone(c.others), c.alice, c.bob)...)
}
