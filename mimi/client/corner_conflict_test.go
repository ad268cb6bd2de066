package client_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The corner cases of docs/mmr-profile.md, section 8, each have a test whose name
// begins with TestCorner. Those of this file are about Commits that meet others.

// An attempt is an Add as it went to the hub.
type attempt struct {
	keyPackage []byte
	entry      *identity.EncryptedIdentityLinkKey
}

// attempts returns the Adds that a gateway has sent to hubs since it was told to
// forget.
func (g *gateway) attempts() (out []attempt) {
	t := g.w.t
	t.Helper()
	var sent []*protocol.UpdateRequest
	g.set(func(g *gateway) { sent = g.sent })
	for _, req := range sent {
		m := req.ProposalOrCommit.PublicMessage
		if m == nil || m.Content.Commit == nil {
			continue
		}
		for _, p := range m.Content.Commit.Proposals {
			if p.Proposal == nil || p.Proposal.Type() != mls.ProposalAdd {
				continue
			}
			var safe mls.SafeAAD
			if _, err := wire.UnmarshalPrefix(m.Content.AuthenticatedData, &safe); err != nil {
				t.Fatal(err)
			}
			aad := must[*identity.AddAAD](t)(identity.AddAADFrom(safe))
			kp := must[[]byte](t)(mls.Marshal(&p.Proposal.Body.(*mls.Add).KeyPackage))
			out = append(out, attempt{kp, aad.Keys[0]})
		}
	}
	return out
}

// collide lets Bob add Carol of c.example, whose Commit meets another one that was
// accepted a moment before, and returns both attempts and how many sets Bob has
// asked for.
func (c *couple) collide(carol mimi.URI, other func() error) (first, second attempt, fetched int) {
	t := c.t
	t.Helper()
	c.b.set(func(g *gateway) {
		g.sent, g.fetchings = nil, 0
		g.sending = func(*protocol.UpdateRequest) {
			g.set(func(g *gateway) { g.sending = nil })
			if err := other(); err != nil {
				t.Error(err)
			}
		}
	})
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	c.say(carol, c.group, "hello", "a.example", "b.example")
	tried := c.b.attempts()
	if len(tried) != 2 {
		t.Fatalf("there were %d attempts, want 2", len(tried))
	}
	c.b.set(func(g *gateway) { fetched = g.fetchings })
	return tried[0], tried[1], fetched
}

// carol is a contact of Bob's at a third provider.
func (c *couple) carol() mimi.URI {
	c.t.Helper()
	u := c.gateways["c.example"].person("carol", "")
	c.connect(c.bob, u)
	return u
}

// TestCornerConflictWithoutRotation: an Add that lost to another Commit is made
// again with the same set, in the same room, with a new nonce.
func TestCornerConflictWithoutRotation(t *testing.T) {
	c := quietCouple(t, "c.example")
	first, second, fetched := c.collide(c.carol(), func() error { return c.a.client.Rename(t.Context(), c.alice, c.group, "Other plans") })
	if !bytes.Equal(first.keyPackage, second.keyPackage) || fetched != 1 {
		t.Errorf("%d sets were fetched, the same KeyPackage: %t", fetched, bytes.Equal(first.keyPackage, second.keyPackage))
	}
	if first.entry.Generation != second.entry.Generation || bytes.Equal(first.entry.Nonce, second.entry.Nonce) {
		t.Error("the entry is of another generation, or has the same nonce")
	}
}

// TestCornerConflictWithRotation: an Add that lost to a removal is made again with
// another set: the hub has seen the first one beside the old generation, whose key
// the removed member has.
func TestCornerConflictWithRotation(t *testing.T) {
	c := quietCouple(t, "c.example")
	ben, ann := c.guest("ben"), c.guest("ann")
	carol := c.carol()
	// The first removal of a room begins at generation 0, a later one elsewhere.
	for i, gone := range []mimi.URI{ben, ann} {
		first, second, fetched := c.collide(carol, func() error { return c.a.client.Kick(t.Context(), c.alice, c.group, gone) })
		if bytes.Equal(first.keyPackage, second.keyPackage) || fetched != 2 {
			t.Errorf("removal %d: %d sets were fetched, the same KeyPackage: %t", i, fetched, bytes.Equal(first.keyPackage, second.keyPackage))
		}
		if second.entry.Generation <= first.entry.Generation {
			t.Errorf("removal %d: the second attempt is of generation %d after %d", i, second.entry.Generation, first.entry.Generation)
		}
		if i > 0 {
			break
		}
		if err := c.a.client.Kick(t.Context(), c.alice, c.group, carol); err != nil {
			t.Fatal(err)
		}
		far := c.gateways["c.example"]
		far.await("gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == carol })
		far.set(func(g *gateway) { g.events = nil })
		// Bob, who adds her again, knows it too.
		c.until("room without Carol", func() bool { return !c.b.sees(c.group, carol) })
	}
}

// TestInviteLostAnswer: an Add whose answer was lost is found to be accepted when
// it is asked for again, and that is a success. Whoever is added a third time is told that
// the person is there.
func TestInviteLostAnswer(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.carol()
	c.b.set(func(g *gateway) { g.mute = func(*protocol.UpdateRequest) bool { return true } })
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("without an answer: %v", err)
	}
	c.b.set(func(g *gateway) { g.mute, g.sent = nil, nil })
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Errorf("again: %v", err)
	}
	if tried := c.b.attempts(); len(tried) != 1 {
		t.Errorf("she was added %d times, want the first attempt alone again", len(tried))
	}
	c.join(carol, c.group)
	c.say(carol, c.group, "hello", "a.example", "b.example")
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); !errors.Is(err, client.ErrAlreadyMember) {
		t.Errorf("a third time: %v", err)
	}
}

// TestInviteSettledInTheBackground: an Add whose answer was lost is accepted before
// anybody asks for it again, also over a restart. To its account it is a success once, and
// to others, or much later, the person is there.
func TestInviteSettledInTheBackground(t *testing.T) {
	lost := func(t *testing.T) (c *couple, carol mimi.URI) {
		c = quietCouple(t, "c.example")
		carol = c.carol()
		c.b.set(func(g *gateway) { g.mute = func(*protocol.UpdateRequest) bool { return true } })
		if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); !errors.Is(err, client.ErrUnreachable) {
			t.Fatalf("without an answer: %v", err)
		}
		c.b.set(func(g *gateway) { g.mute, g.sent = nil, nil })
		return c, carol
	}
	settled := func(c *couple, carol mimi.URI) {
		t.Helper()
		stop := c.driveClock()
		defer stop()
		c.until("room with Carol", func() bool { return c.b.sees(c.group, carol) && c.a.sees(c.group, carol) })
	}
	invite := func(t *testing.T, g *gateway, account, room, user mimi.URI, want error) {
		t.Helper()
		if err := g.client.Invite(t.Context(), account, room, user); !errors.Is(err, want) {
			t.Errorf("%s invites again: %v, want %v", account.ID, err, want)
		}
	}
	t.Run("once", func(t *testing.T) {
		c, carol := lost(t)
		settled(c, carol)
		invite(t, c.a, c.alice, c.group, carol, client.ErrAlreadyMember)
		ben := c.b.person("ben", "Ben")
		invite(t, c.b, c.bob, c.group, ben, nil)
		invite(t, c.b, c.bob, c.group, ben, client.ErrAlreadyMember)
		c.join(ben, c.group)
		invite(t, c.b, ben, c.group, carol, client.ErrAlreadyMember)
		c.b.stop()
		c.b.start()
		invite(t, c.b, c.bob, c.group, carol, nil)
		if tried := c.b.attempts(); len(tried) > 2 {
			t.Errorf("she was added %d times", len(tried)-1)
		}
		invite(t, c.b, c.bob, c.group, carol, client.ErrAlreadyMember)
		c.join(carol, c.group)
		c.say(carol, c.group, "hello", "a.example", "b.example")
	})
	t.Run("much later", func(t *testing.T) {
		c, carol := lost(t)
		settled(c, carol)
		c.clock.Advance(time.Hour)
		invite(t, c.b, c.bob, c.group, carol, client.ErrAlreadyMember)
	})
}

// sees reports whether a gateway knows somebody as a member of a room.
func (g *gateway) sees(room, user mimi.URI) bool {
	info, err := g.client.Room(g.w.t.Context(), room)
	if err != nil {
		g.w.t.Error(err)
		return false
	}
	return slices.ContainsFunc(info.Members, func(m client.RoomMember) bool { return m.User == user })
}

// TestCornerLateWelcome: a Welcome that is processed after the room has gone on
// brings the table of its own epoch, and what followed is applied to that: another
// member, a removal that rotates the key, a name and a message.
func TestCornerLateWelcome(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.carol()
	far := c.gateways["c.example"]
	var kept [][]byte
	far.set(func(g *gateway) { g.lose = keep(&kept) })
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	ben := c.guest("ben")
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, ben); err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Later plans"); err != nil {
		t.Fatal(err)
	}
	said, err := c.a.client.Send(t.Context(), c.alice, c.group, "$late", content.Text(content.PlainPart("are you there")))
	if err != nil {
		t.Fatal(err)
	}
	c.until("delivery", func() bool { return far.holds(&kept, 6) })
	far.hears("a.example", c.group, &kept)
	e, _ := far.await("message", 0, func(e *client.Event) bool { return string(e.Message) == string(said.ID[:]) })
	if e.Actor.User != c.alice {
		t.Errorf("Carol hears it from %q", e.Actor.User)
	}
	c.join(carol, c.group)
	info, err := far.client.Room(t.Context(), c.group)
	if err != nil || info.Name != "Later plans" || len(info.Members) != 3 {
		t.Errorf("Carol sees %+v, %v", info, err)
	}
	for _, m := range info.Members {
		if m.User.IsZero() {
			t.Errorf("the link of %s does not open", m.Pseudonym)
		}
	}
	c.say(carol, c.group, "yes", "a.example", "b.example")
}
