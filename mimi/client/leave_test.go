package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// isLeave reports whether an update is the proposals of somebody who leaves.
func isLeave(req *protocol.UpdateRequest) bool {
	p := req.ProposalOrCommit.PublicMessage.Content.Proposal
	return p != nil && p.Type() == mls.ProposalSelfRemove
}

// gone waits until an account hears that it is out of a room, and checks whose doing
// that was, and that it was not told of a loss.
func (c *couple) gone(account, room, actor mimi.URI) {
	c.t.Helper()
	g := c.gateways[account.Domain]
	e, _ := g.await("gone", 0, func(e *client.Event) bool {
		return (e.Kind == client.EventGone && e.Account == account || e.Kind == client.EventAlert) && e.Room == room
	})
	if e.Kind == client.EventAlert {
		c.t.Fatalf("%s: alert %s in a room that was left", g.domain, e.Reason)
	}
	if e.Actor.User != actor {
		c.t.Errorf("it is said that %q has removed %s, want %q", e.Actor.User, account, actor)
	}
}

// TestLeaveIsStoredBeforeItIsSent: the hub accepts that somebody leaves, and its
// answer does not come. The commit of it may be here before the question is
// repeated, and is understood all the same.
func TestLeaveIsStoredBeforeItIsSent(t *testing.T) {
	c := quietCouple(t)
	c.b.set(func(g *gateway) { g.mute = isLeave })
	if err := c.b.client.Leave(t.Context(), c.bob, c.group); !errors.Is(err, client.ErrLeaving) {
		t.Fatalf("leaving without an answer: %v", err)
	}
	c.b.set(func(g *gateway) { g.mute = nil })
	defer c.driveClock()()
	c.gone(c.bob, c.group, c.bob)
	c.a.await("Bob leaves", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1 && e.Removed[0].User == c.bob
	})
}

// TestLeaveWhileTheHubIsAway: who leaves, and says so again, hears each time that they will
// have left; also where something that was done before has no answer yet.
func TestLeaveWhileTheHubIsAway(t *testing.T) {
	for name, before := range map[string]func(c *couple) error{
		"nothing else": func(*couple) error { return nil },
		"a Commit without an answer": func(c *couple) error {
			return except(c.b.client.Rename(c.t.Context(), c.bob, c.group, "Last words"), client.ErrUnreachable)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := quietCouple(t)
			c.a.set(func(g *gateway) { g.down = true })
			if err := before(c); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.b.client.Leave(t.Context(), c.bob, c.group); !errors.Is(err, client.ErrLeaving) {
					t.Errorf("leaving: %v, want ErrLeaving", err)
				}
			}
			if err := c.b.client.Rename(t.Context(), c.bob, c.group, "Too late"); !errors.Is(err, client.ErrNotMember) && !errors.Is(err, client.ErrUnreachable) {
				t.Errorf("renamed by who has left: %v", err)
			}
			c.b.stop()
			c.b.start()
			c.a.set(func(g *gateway) { g.down = false })
			defer c.driveClock()()
			c.gone(c.bob, c.group, c.bob)
			c.a.await("Bob leaves", 0, func(e *client.Event) bool {
				return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1 && e.Removed[0].User == c.bob
			})
		})
	}
}

// TestLeaveSurvivesARestart: the same, with a crash in place of the wait.
func TestLeaveSurvivesARestart(t *testing.T) {
	c := quietCouple(t)
	// The commit waits at the hub until Bob's gateway is there again.
	c.b.set(func(g *gateway) {
		g.mute = func(req *protocol.UpdateRequest) bool { g.down = isLeave(req); return g.down }
	})
	if err := c.b.client.Leave(t.Context(), c.bob, c.group); !errors.Is(err, client.ErrLeaving) {
		t.Fatalf("leaving without an answer: %v", err)
	}
	c.a.await("Bob leaves", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1
	})
	c.b.stop()
	c.b.set(func(g *gateway) { g.mute, g.down = nil, false })
	c.b.start()
	defer c.driveClock()()
	c.gone(c.bob, c.group, c.bob)
}

// guest lets Bob add another account of his gateway to the group.
func (c *couple) guest(localpart string) mimi.URI {
	c.t.Helper()
	u := c.b.person(localpart, "")
	if err := c.b.client.Invite(c.t.Context(), c.bob, c.group, u); err != nil {
		c.t.Fatal(err)
	}
	c.join(u, c.group)
	c.say(u, c.group, "hello", "a.example")
	return u
}

// leavesUnheard lets somebody leave the group, and Alice not learn of it.
func (c *couple) leavesUnheard(account mimi.URI) {
	c.t.Helper()
	lose, lost := next(mls.ContentProposal)
	c.a.set(func(g *gateway) { g.lose = lose })
	if err := c.gateways[account.Domain].client.Leave(c.t.Context(), account, c.group); err != nil {
		c.t.Fatal(err)
	}
	await(c.t, "proposal to lose", lost)
}

// TestLeaveIsAskedAgain: a commit that passes over a pending removal does not keep
// anybody in the room.
func TestLeaveIsAskedAgain(t *testing.T) {
	c := quietCouple(t)
	ben := c.guest("ben")
	c.leavesUnheard(ben)
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Other plans"); err != nil {
		t.Fatal(err)
	}
	defer c.driveClock()()
	c.gone(ben, c.group, ben)
	c.say(c.bob, c.group, "Ben is gone", "a.example")
}

// closed checks that a hub has closed a room, and that nobody here is in it.
func (c *couple) closed(room mimi.URI) {
	c.t.Helper()
	if _, _, err := c.gateways[room.Domain].stores.Hub.Load(c.t.Context(), room); !errors.Is(err, hub.ErrNoRoom) {
		c.t.Errorf("the hub still has the room: %v", err)
	}
	for _, g := range c.gateways {
		if _, err := g.client.Room(c.t.Context(), room); !errors.Is(err, client.ErrNotMember) {
			c.t.Errorf("%s still has the room: %v", g.domain, err)
		}
	}
}

// TestLastMemberClosesTheRoom: nobody can commit that the last member leaves. The
// hub closes the room.
func TestLastMemberClosesTheRoom(t *testing.T) {
	c := quietCouple(t)
	if err := c.b.client.Leave(t.Context(), c.bob, c.group); err != nil {
		t.Fatal(err)
	}
	c.gone(c.bob, c.group, c.bob)
	c.a.await("Bob leaves", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1
	})
	if err := c.a.client.Leave(t.Context(), c.alice, c.group); err != nil {
		t.Fatal(err)
	}
	c.gone(c.alice, c.group, c.alice)
	c.closed(c.group)
}

// TestLastMembersCloseTheRoom: the last ones leave at the same time, none of them
// commits that for another, and each hears that they are out.
func TestLastMembersCloseTheRoom(t *testing.T) {
	c := quietCouple(t)
	var kept [][]byte
	c.a.set(func(g *gateway) { g.lose = keep(&kept) })
	if err := c.b.client.Leave(t.Context(), c.bob, c.group); err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Leave(t.Context(), c.alice, c.group); err != nil {
		t.Fatal(err)
	}
	c.gone(c.bob, c.group, c.bob)
	c.a.hears("a.example", c.group, &kept)
	c.gone(c.alice, c.group, c.alice)
	c.closed(c.group)
}

// TestClosingAnswerIsLost: the answer to the last member does not come, and the hub
// does not know the room any more when it is asked again.
func TestClosingAnswerIsLost(t *testing.T) {
	c := quietCouple(t)
	room, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Alone"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.a.set(func(g *gateway) { g.mute = isLeave })
	if err := c.a.client.Leave(t.Context(), c.alice, room); !errors.Is(err, client.ErrLeaving) {
		t.Fatalf("leaving without an answer: %v", err)
	}
	c.a.set(func(g *gateway) { g.mute = nil })
	c.clock.Advance(hub.DefaultLimits().Memory)
	if err := c.a.stores.Hub.Forget(t.Context(), c.clock.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Leave(t.Context(), c.alice, room); err != nil && !errors.Is(err, client.ErrNotMember) {
		t.Error(err)
	}
	c.gone(c.alice, room, c.alice)
	c.closed(room)
}
