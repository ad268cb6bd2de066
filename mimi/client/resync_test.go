package client_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// strand makes Bob's gateway lose track of the group: a commit does not come, and a
// message shows that.
func (c *couple) strand() {
	c.t.Helper()
	c.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := c.a.client.Rename(c.t.Context(), c.alice, c.group, "Other plans"); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.a.client.Send(c.t.Context(), c.alice, c.group, "$gap", content.Text(content.PlainPart("into the gap"))); err != nil {
		c.t.Fatal(err)
	}
}

// resynced waits until a gateway says that it has joined the group anew.
func (c *couple) resynced(g *gateway) {
	c.t.Helper()
	e, _ := g.await("resync", 0, func(e *client.Event) bool { return e.Kind == client.EventAlert && e.Room == c.group })
	if e.Reason != client.ReasonResync {
		c.t.Fatalf("%s: alert %s", g.domain, e.Reason)
	}
}

// await receives from a channel.
func await[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(2 * time.Minute):
		t.Fatalf("there was no %s", what)
		panic("unreachable")
	}
}

// members checks who is in a room, as both gateways see it.
func (c *couple) members(room mimi.URI, want ...mimi.URI) {
	c.t.Helper()
	for _, g := range []*gateway{c.a, c.b} {
		info, err := g.client.Room(c.t.Context(), room)
		if err != nil {
			c.t.Fatal(err)
		}
		var have []mimi.URI
		for _, m := range info.Members {
			have = append(have, m.User)
		}
		if len(have) != len(want) || slices.ContainsFunc(want, func(u mimi.URI) bool { return !slices.Contains(have, u) }) {
			c.t.Errorf("%s sees %v, want %v", g.domain, have, want)
		}
	}
}

// TestMissedOwnRemoval: who was removed, and is not told so by a commit that it
// understands, learns it from the hub when it asks to come back.
func TestMissedOwnRemoval(t *testing.T) {
	c := quietCouple(t)
	c.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	defer c.driveClock()()
	if err := c.b.client.Rename(t.Context(), c.bob, c.group, "Still here"); !errors.Is(err, client.ErrNotMember) {
		t.Errorf("who was removed renames the room: %v, want ErrNotMember", err)
	}
	c.gone(c.bob, c.group, mimi.URI{})
	if _, err := c.b.client.Room(t.Context(), c.group); !errors.Is(err, client.ErrNotMember) {
		t.Errorf("the room is still there: %v", err)
	}
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	c.rejoins(c.bob, c.group)
}

// rejoins lets an account accept the second invitation to a room.
func (c *couple) rejoins(account, room mimi.URI) {
	c.t.Helper()
	g := c.gateways[account.Domain]
	invited := func(e *client.Event) bool {
		return e.Kind == client.EventInvited && e.Account == account && e.Room == room
	}
	_, first := g.await("invited", 0, invited)
	g.await("invited again", first, invited)
	if err := g.client.Join(c.t.Context(), account, room); err != nil {
		c.t.Fatal(err)
	}
	c.say(account, room, "back again", "a.example")
}

// TestMissedRemovalOfAnother: who was removed learns it, also if the account beside
// it is lost with the removal that was missed. Both can be added again.
func TestMissedRemovalOfAnother(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	c.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	if _, err := c.a.client.Send(t.Context(), c.alice, c.group, "$gap", content.Text(content.PlainPart("into the gap"))); err != nil {
		t.Fatal(err)
	}
	defer c.driveClock()()
	c.gone(c.bob, c.group, mimi.URI{})
	c.b.await("lost", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonLost
	})
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, ben); err != nil {
		t.Fatal(err)
	}
	c.b.await("Ben is out", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == ben })
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	c.rejoins(c.bob, c.group)
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, ben); err != nil {
		t.Fatal(err)
	}
	c.rejoins(ben, c.group)
	c.members(c.group, c.alice, c.bob, ben)
}

// TestPendingLeaveDoesNotBreakResync: a gateway loses track of a room while one of
// its accounts leaves. The others come back, and the one who leaves does not.
func TestPendingLeaveDoesNotBreakResync(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	c.leavesUnheard(ben)
	c.strand()
	defer c.driveClock()()
	c.resynced(c.b)
	c.b.await("Ben is out", 0, func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == ben && e.Room == c.group
	})
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(c.alice, c.group, "welcome back", "b.example")
	c.members(c.group, c.alice, c.bob)
}

// TestCornerExternalJoinInFlight: another commit comes between the GroupInfo and the external
// Commit that is made of it. The next one is made of the room as it is then.
func TestCornerExternalJoinInFlight(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	names := []string{"Third plans", "Fourth plans"}
	c.b.set(func(g *gateway) {
		g.informed = func() {
			if len(names) == 0 {
				return
			}
			name := names[0]
			names = names[1:]
			if err := c.a.client.Rename(t.Context(), c.alice, c.group, name); err != nil {
				t.Error(err)
			}
		}
	})
	c.strand()
	defer c.driveClock()()
	c.resynced(c.b)
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(ben, c.group, "so am I", "a.example")
	c.members(c.group, c.alice, c.bob, ben)
}

// TestResyncAnswerIsLost: the hub takes the new leaf, and its answer does not come.
// Asking anew in the name of the old leaf would look as if the account was removed.
func TestResyncAnswerIsLost(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	lost := 0
	c.b.set(func(g *gateway) {
		g.mute = func(*protocol.UpdateRequest) bool {
			lost++
			return lost == 1 || lost == 3
		}
	})
	c.strand()
	defer c.driveClock()()
	c.resynced(c.b)
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(ben, c.group, "so am I", "a.example")
	c.members(c.group, c.alice, c.bob, ben)
}

// TestCornerExternalJoinWhileRemovalIsPending: the hub lets nobody in while a removal is pending. A
// gateway that has lost track tries again when that is over, and says nothing and
// destroys nothing meanwhile.
func TestCornerExternalJoinWhileRemovalIsPending(t *testing.T) {
	c := quietCouple(t, "c.example")
	far := c.gateways["c.example"]
	carol := far.person("carol", "")
	c.connect(c.alice, carol)
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	c.say(carol, c.group, "hello", "a.example", "b.example")
	// Bob loses track, and nobody but the hub learns that Carol leaves.
	lose, lost := next(mls.ContentCommit)
	asked := make(chan struct{}, 100)
	c.b.set(func(g *gateway) { g.lose, g.informed = lose, func() { asked <- struct{}{} } })
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Other plans"); err != nil {
		t.Fatal(err)
	}
	await(t, "commit to lose", lost)
	c.leavesUnheard(carol)
	if _, err := c.a.client.Send(t.Context(), c.alice, c.group, "$gap", content.Text(content.PlainPart("into the gap"))); err != nil {
		t.Fatal(err)
	}
	await(t, "question for the GroupInfo", asked)
	if _, err := c.b.client.Room(t.Context(), c.group); err != nil {
		t.Errorf("the room while a removal is pending: %v", err)
	}
	if _, err := c.b.client.Send(t.Context(), c.bob, c.direct, "$direct", content.Text(content.PlainPart("I am lost"))); err != nil {
		t.Error(err)
	}
	// Alice's commit passes over Carol, who is not told.
	far.set(func(g *gateway) { g.lose = everything })
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Third plans"); err != nil {
		t.Fatal(err)
	}
	defer c.driveClock()()
	c.resynced(c.b)
	c.say(c.bob, c.group, "back again", "a.example")
	c.members(c.group, c.alice, c.bob, carol)
}

// TestResyncSurvivesACrash plays a resync of two accounts again and again, and ends
// their gateway at every point at which it writes.
func TestResyncSurvivesACrash(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 7
	}
	for n, crashed := 1, true; crashed; n += stride {
		if !t.Run(fmt.Sprint(n), func(t *testing.T) { crashed = resyncAndCrash(t, n) }) {
			return
		}
	}
}

// resyncAndCrash reports whether the resync had that many points.
func resyncAndCrash(t *testing.T, n int) bool {
	c := quietCouple(t)
	ben := c.guest("ben")
	s := &crashStory{world: c.world, victim: c.b}
	c.b.set(func(g *gateway) { g.stores.Faults.Crash(n) })
	c.strand()
	defer c.driveClock()()
	s.await(c.b, "resync", func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonResync
	})
	s.say(c.b, c.bob, c.group, "back again")
	s.say(c.b, ben, c.group, "so am I")
	for _, id := range s.sent[c.group.String()] {
		s.await(c.a, "what is said after the resync", func(e *client.Event) bool {
			return e.Kind == client.EventMessage && string(e.Message) == id
		})
	}
	c.members(c.group, c.alice, c.bob, ben)
	return s.crashed || c.b.stores.Faults.Restart()
}

// TestAbandonedRemovalDoesNotLockOut: all members who are left have lost track of the
// room, on one gateway, while a removal is pending that only they could commit. The
// hub lets them join anew when that has waited for long, and then they commit it.
func TestAbandonedRemovalDoesNotLockOut(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	lose, lost := next(mls.ContentCommit)
	c.b.set(func(g *gateway) { g.lose = lose })
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Other plans"); err != nil {
		t.Fatal(err)
	}
	await(t, "commit to lose", lost)
	if err := c.a.client.Leave(t.Context(), c.alice, c.group); err != nil {
		t.Fatal(err)
	}
	began := c.clock.Now()
	defer c.driveClock()()
	c.resynced(c.b)
	if waited := c.clock.Now().Sub(began); waited < 5*time.Minute {
		t.Errorf("the hub has let them in after %s", waited)
	}
	c.gone(c.alice, c.group, c.alice)
	c.until("two members", func() bool {
		info, err := c.b.client.Room(t.Context(), c.group)
		return err == nil && len(info.Members) == 2
	})
	c.say(c.bob, c.group, "alone")
	c.say(ben, c.group, "not quite")
}

// TestLateCommitsAreAwaited: a room that is behind its hub is not joined anew as long
// as what is missing comes, however long that takes in all.
func TestLateCommitsAreAwaited(t *testing.T) {
	c := quietCouple(t)
	const catchUp = 21 * time.Second // no other timer runs as long
	c.b.stop()
	c.b.limits.CatchUp = catchUp
	c.b.start()
	var kept [][]byte
	c.b.set(func(g *gateway) { g.lose = keep(&kept) })
	for _, name := range []string{"One", "Two", "Three", "Four", "Five"} {
		if err := c.a.client.Rename(t.Context(), c.alice, c.group, name); err != nil {
			t.Fatal(err)
		}
	}
	c.until("commits", func() bool { return c.b.holds(&kept, 5) })
	c.b.set(func(g *gateway) { g.lose, g.sent = nil, nil })
	epoch := func() uint64 { return must[*client.RoomInfo](t)(c.b.client.Room(t.Context(), c.group)).Epoch }
	behind := epoch()
	renamed := make(chan error, 1)
	go func() { renamed <- c.b.client.Rename(t.Context(), c.bob, c.group, "Six") }() // at an epoch that is over
	// How often it has begun to wait before each of the commits comes: it does so anew
	// at 30 and at 60 seconds.
	begun := []int{1, 1, 2, 2, 3}
	for i, body := range kept {
		c.until("somebody who waits", func() (waits bool) {
			c.b.set(func(g *gateway) { waits = g.armed[catchUp] == begun[i] })
			return waits
		})
		c.clock.Advance(15 * time.Second)
		if err := c.b.client.Notify(t.Context(), "a.example", c.group, body); err != nil {
			t.Fatal(err)
		}
		c.until("commit", func() bool { return epoch() > behind+uint64(i) })
	}
	if err := await(t, "name", renamed); err != nil {
		t.Fatal(err)
	}
	for _, e := range c.b.all() {
		if e.Kind == client.EventAlert {
			t.Errorf("there was an alert: %s", e.Reason)
		}
	}
}
