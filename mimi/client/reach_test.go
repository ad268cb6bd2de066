package client_test

import (
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// sees reports whether an account sees somebody in a room by their real address.
func (w *world) sees(account, room, peer mimi.URI) bool {
	w.t.Helper()
	info, err := w.gateways[account.Domain].client.Room(w.t.Context(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.ContainsFunc(info.Members, func(m client.RoomMember) bool { return m.User == peer })
}

// withoutCA is a room of three in which Carol's gateway cannot get the identity CA of
// Alice's provider.
func withoutCA(t *testing.T) (c *couple, carol mimi.URI, far *gateway) {
	c = quietCouple(t, "c.example")
	carol, far = c.carol(), c.gateways["c.example"]
	far.set(func(g *gateway) { g.withheld = "a.example" })
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	c.alerted(far, client.ReasonQuarantine, 1)
	return c, carol, far
}

// TestMissingCAIsAskedForAgain: a provider that did not answer is asked again after a
// minute, and ever less often, but every hour. Its people have names as soon as it does.
func TestMissingCAIsAskedForAgain(t *testing.T) {
	c, carol, far := withoutCA(t)
	count := func() (n int) {
		far.set(func(g *gateway) { n = g.directories })
		return n
	}
	before, began := count(), c.clock.Now()
	c.advanceUntil("a second question", func() bool { return count() > before })
	if d := c.clock.Now().Sub(began); d < 50*time.Second || d > 5*time.Minute {
		t.Errorf("asked again after %s", d)
	}
	began = c.clock.Now()
	for range 12 {
		before = count()
		c.advanceUntil("another question", func() bool {
			c.clock.Advance(time.Minute)
			return count() > before
		})
	}
	if d := c.clock.Now().Sub(began); d < 7*time.Hour {
		t.Errorf("asked 12 times in %s", d)
	}
	far.set(func(g *gateway) { g.withheld = "" })
	c.advanceUntil("Carol sees Alice", func() bool { return c.sees(carol, c.group, c.alice) })
	if err := c.send(carol, "$1"); err != nil {
		t.Errorf("sending to those who are verified: %v", err)
	}
	before = count()
	c.clock.Advance(2 * time.Hour)
	c.say(c.alice, c.group, "hello", "c.example")
	if n := count() - before; n > 0 {
		t.Errorf("asked %d times for what is known", n)
	}
}

// TestMissingCAIsAskedForAtStart: a gateway that starts does not wait.
func TestMissingCAIsAskedForAtStart(t *testing.T) {
	c, carol, far := withoutCA(t)
	far.stop()
	far.set(func(g *gateway) { g.withheld = "" })
	far.start()
	c.until("name", func() bool { return c.sees(carol, c.group, c.alice) })
}
