package client_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// crowded waits until a gateway counts as many people as it should.
func (w *world) crowded(g *gateway, day, month int) {
	w.t.Helper()
	var crowd client.Crowd
	w.until(fmt.Sprintf("crowd of %d and %d at %s", day, month, g.domain), func() bool {
		var err error
		if crowd, err = g.client.Crowd(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		return crowd.Day == day && crowd.Month == month
	})
	if crowd.Want != 20 {
		w.t.Errorf("%d people should be active, want 20", crowd.Want)
	}
}

// TestCrowd: k is the people who sent or were sent something in the last day; each
// once, whatever they did and in how many rooms; after a restart too. Who has an
// account and does nothing hides nobody.
func TestCrowd(t *testing.T) {
	c := quietCouple(t)
	ben := c.b.person("ben", "")
	c.b.person("idle", "")
	c.crowded(c.a, 0, 0)
	c.crowded(c.b, 0, 0)
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, ben); err != nil {
		t.Fatal(err)
	}
	c.b.await("invited", 0, func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Account == ben })
	for range 3 {
		c.say(c.alice, c.group, "hello", "b.example")
		c.say(c.alice, c.direct, "hello", "b.example")
	}
	c.crowded(c.a, 1, 1)
	c.crowded(c.b, 1, 1) // Ben has not said yes: he was sent nothing
	c.join(ben, c.group)
	c.clock.Advance(time.Hour)
	c.say(c.bob, c.group, "and now", "a.example")
	c.say(c.alice, c.group, "we are three", "b.example")
	c.crowded(c.b, 2, 2)
	c.b.stop()
	c.b.start()
	c.crowded(c.b, 2, 2)
	c.clock.Advance(26 * time.Hour)
	c.crowded(c.b, 0, 2)
	if _, err := c.b.client.Send(t.Context(), c.bob, c.direct, "$later", content.Text(content.PlainPart("later"))); err != nil {
		t.Fatal(err)
	}
	c.crowded(c.b, 1, 2)
	for range 30 {
		c.clock.Advance(24 * time.Hour)
	}
	c.crowded(c.b, 0, 1)
	c.clock.Advance(48 * time.Hour)
	c.crowded(c.b, 0, 0)
}

// TestSmallCrowd: the operator is told at the start and once a day, as long as there
// are few people; the metrics every hour.
func TestSmallCrowd(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a := w.gateways["a.example"]
	a.limits.Crowd = 1
	told := func() (n int) {
		a.set(func(g *gateway) {
			for _, line := range g.warnings {
				if strings.Contains(line, "few people") {
					n++
				}
			}
		})
		return n
	}
	counted := func(day int) {
		t.Helper()
		w.until("count of people", func() (ok bool) {
			a.set(func(g *gateway) { ok = g.crowd.Want == 1 && g.crowd.Day == day })
			return ok
		})
	}
	a.stop()
	a.set(func(g *gateway) { g.warnings, g.crowd = nil, client.Crowd{} })
	a.start()
	w.until("warning", func() bool { return told() == 1 })
	alice, bob := a.person("alice", ""), w.gateways["b.example"].person("bob", "")
	room := w.connect(alice, bob)
	w.say(alice, room, "hello", "b.example")
	w.until("next count", func() (ok bool) {
		w.clock.Advance(time.Hour)
		a.set(func(g *gateway) { ok = g.crowd.Day == 1 })
		return ok
	})
	counted(1)
	if n := told(); n != 1 {
		t.Errorf("told %d times of a crowd that is large enough", n)
	}
	for range 47 {
		w.clock.Advance(time.Hour)
		a.set(func(g *gateway) { g.crowd = client.Crowd{} })
	}
	w.until("second warning", func() bool { w.clock.Advance(time.Hour); return told() >= 2 })
	if n := told(); n > 2 {
		t.Errorf("told %d times in two days", n)
	}
}
