package client_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A couple is Alice and Bob in a group of theirs, connected before.
type couple struct {
	*world
	a, b       *gateway
	alice, bob mimi.URI
	direct     mimi.URI
	group      mimi.URI
}

func newCouple(t *testing.T) *couple { return coupleOf(t, "Alice", "Bob") }

// quietCouple is a couple who have no names to tell: whatever is sent in their rooms
// is sent by the test. There may be gateways at further domains.
func quietCouple(t *testing.T, others ...string) *couple { return coupleOf(t, "", "", others...) }

func coupleOf(t *testing.T, alice, bob string, others ...string) *couple {
	w := newWorld(t, append([]string{"a.example", "b.example"}, others...)...)
	c := &couple{world: w, a: w.gateways["a.example"], b: w.gateways["b.example"]}
	c.alice, c.bob = c.a.person("alice", alice), c.b.person("bob", bob)
	c.direct = w.connect(c.alice, c.bob)
	room, failed, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Plans"}, []mimi.URI{c.bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	c.group = room
	w.join(c.bob, room)
	return c
}

func TestConnectErrors(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, anna := a.person("alice", "Alice"), a.person("anna", "Anna")
	b.people["bob"] = "Bob"
	bob, nobody := mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "bob"}, mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "nobody"}
	away := mimi.URI{Domain: "c.example", Kind: mimi.KindUser, ID: "carol"}
	for peer, want := range map[mimi.URI]error{
		alice: client.ErrSelf, anna: client.ErrColleague, nobody: client.ErrNoPerson, away: client.ErrUnreachable,
	} {
		if _, err := a.client.Connect(t.Context(), alice, peer); !errors.Is(err, want) {
			t.Errorf("connect with %s: %v, want %v", peer, err, want)
		}
	}
	if _, err := a.client.Connect(t.Context(), alice, bob); err != nil {
		t.Fatal(err)
	}
	if _, err := a.client.Connect(t.Context(), alice, bob); !errors.Is(err, client.ErrAlreadyAsked) {
		t.Errorf("asked twice: %v", err)
	}
	request, _ := b.await("asked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked })
	if _, err := b.client.Accept(t.Context(), nobody, request.Request); !errors.Is(err, client.ErrNoRequest) {
		t.Errorf("accepted somebody else's request: %v", err)
	}
	if _, err := b.client.Accept(t.Context(), bob, request.Request); err != nil {
		t.Fatal(err)
	}
	if _, err := b.client.Accept(t.Context(), bob, request.Request); !errors.Is(err, client.ErrNoRequest) {
		t.Errorf("accepted twice: %v", err)
	}
	a.await("connected", 0, func(e *client.Event) bool { return e.Kind == client.EventConnected })
	if _, err := a.client.Connect(t.Context(), alice, bob); !errors.Is(err, client.ErrAlreadyConnected) {
		t.Errorf("asked a contact: %v", err)
	}
}

// TestDeclineSendsNothing compares what the asker's side gets after a decline with
// what it gets when nobody answers: nothing, in both cases.
func TestDeclineSendsNothing(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	if _, err := a.client.Connect(t.Context(), alice, bob); err != nil {
		t.Fatal(err)
	}
	request, _ := b.await("asked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked })
	a.set(func(g *gateway) { g.down = true }) // whatever b sends now fails loudly
	if err := b.client.Decline(t.Context(), bob, request.Request); err != nil {
		t.Fatal(err)
	}
	a.set(func(g *gateway) { g.down = false })
	if left, err := b.client.Requests(t.Context(), bob); err != nil || len(left) > 0 {
		t.Errorf("%d requests left, %v", len(left), err)
	}
	if seen := a.seen(); seen != "" {
		t.Errorf("the asker saw %s", seen)
	}
}

func TestInviteErrors(t *testing.T) {
	c := newCouple(t)
	carol := c.b.person("carol", "Carol")
	for _, tt := range []struct {
		who, room, user mimi.URI
		want            error
	}{
		{c.alice, c.group, carol, client.ErrNotConnected},
		{c.alice, c.group, c.bob, client.ErrAlreadyMember},
		{c.alice, c.group, c.alice, client.ErrAlreadyMember},
		{c.alice, c.direct, mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: "ghost"}, client.ErrNoPerson},
		{carol, c.group, c.alice, client.ErrNotConnected},
	} {
		if err := c.gateways[tt.who.Domain].client.Invite(t.Context(), tt.who, tt.room, tt.user); !errors.Is(err, tt.want) {
			t.Errorf("%s invites %s: %v, want %v", tt.who.ID, tt.user.ID, err, tt.want)
		}
	}
	anna := c.a.person("anna", "Anna")
	if err := c.a.client.Invite(t.Context(), c.alice, c.direct, anna); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a third person in a connection room: %v", err)
	}
	if err := c.b.client.Kick(t.Context(), c.bob, c.group, c.alice); !errors.Is(err, client.ErrDenied) {
		t.Errorf("a member who is no administrator removes the creator: %v", err)
	}
}

func TestDecliningAnInvitationLeaves(t *testing.T) {
	c := newCouple(t)
	ben := c.b.person("ben", "Ben")
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, ben); err != nil {
		t.Fatal(err)
	}
	c.b.await("invited", 0, func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Account == ben })
	if _, err := c.b.client.Send(t.Context(), ben, c.group, "$early", content.Text(content.PlainPart("hi"))); !errors.Is(err, client.ErrInvited) {
		t.Errorf("sent before joining: %v", err)
	}
	if err := c.b.client.Leave(t.Context(), ben, c.group); err != nil {
		t.Fatal(err)
	}
	out, _ := c.a.await("Ben is out", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && len(e.Removed) == 1 && e.Removed[0].User == ben
	})
	if out.Actor.User != ben {
		t.Errorf("it is said that %s has removed him", out.Actor.User)
	}
}

func TestRenameAndNames(t *testing.T) {
	c := newCouple(t)
	if err := c.b.client.Rename(t.Context(), c.bob, c.group, "Better plans"); err != nil {
		t.Fatal(err)
	}
	c.a.await("new name", 0, func(e *client.Event) bool { return e.Kind == client.EventRoom && e.Name == "Better plans" })
	if err := c.b.client.SetName(t.Context(), c.bob, "Robert"); err != nil {
		t.Fatal(err)
	}
	// The name was told today already; a newcomer is told the new one.
	anna := c.a.person("anna", "Anna")
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, anna); err != nil {
		t.Fatal(err)
	}
	c.a.await("Robert", 0, func(e *client.Event) bool {
		return e.Kind == client.EventName && e.Name == "Robert" && e.Room == c.group
	})
}

// TestConcurrentCommits lets both sides add people at once: one commit loses, and
// is made again.
func TestConcurrentCommits(t *testing.T) {
	c := newCouple(t)
	defer c.driveClock()()
	var people []mimi.URI
	for i := range 4 {
		people = append(people, c.a.person(fmt.Sprintf("ann%d", i), "Ann"), c.b.person(fmt.Sprintf("ben%d", i), "Ben"))
	}
	var wg sync.WaitGroup
	for _, p := range people {
		host := map[string]mimi.URI{"a.example": c.alice, "b.example": c.bob}[p.Domain]
		wg.Go(func() {
			if err := c.gateways[p.Domain].client.Invite(t.Context(), host, c.group, p); err != nil {
				t.Errorf("add %s: %v", p, err)
			}
		})
	}
	wg.Wait()
	for _, p := range people {
		c.join(p, c.group)
	}
	for _, g := range c.gateways {
		seen := map[mimi.URI]bool{}
		g.await("ten members", 0, func(e *client.Event) bool {
			if e.Kind == client.EventMembers && e.Room == c.group {
				for _, p := range e.Added {
					seen[p.User] = true
				}
			}
			return !slices.ContainsFunc(people, func(p mimi.URI) bool { return !seen[p] })
		})
		info, err := g.client.Room(t.Context(), c.group)
		if err != nil || len(info.Members) != 10 {
			t.Errorf("%s sees %d members, %v", g.domain, len(info.Members), err)
		}
	}
	c.say(people[0], c.group, "hello from Ann", "b.example")
	c.say(people[1], c.group, "hello from Ben", "a.example")
}

// TestHubUnreachable: what is said while the hub is away is sent later, in order.
func TestHubUnreachable(t *testing.T) {
	c := newCouple(t)
	stop := c.driveClock()
	defer func() { stop() }()
	c.a.set(func(g *gateway) { g.down = true })
	var ids []string
	for i := range 3 {
		sent, err := c.b.client.Send(t.Context(), c.bob, c.group, fmt.Sprintf("$away%d", i), content.Text(content.PlainPart("away")))
		if !errors.Is(err, client.ErrQueued) {
			t.Fatalf("message %d: %v, want ErrQueued", i, err)
		}
		ids = append(ids, string(sent.ID[:]))
	}
	c.a.set(func(g *gateway) { g.down = false })
	last := 0
	for i, id := range ids {
		_, at := c.a.await(fmt.Sprintf("message %d", i), last, func(e *client.Event) bool { return string(e.Message) == id })
		last = at
	}
}

// TestRepeatedSend: the same source is one message.
func TestRepeatedSend(t *testing.T) {
	c := newCouple(t)
	first, err := c.a.client.Send(t.Context(), c.alice, c.group, "$once", content.Text(content.PlainPart("once")))
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.a.client.Send(t.Context(), c.alice, c.group, "$once", content.Text(content.PlainPart("once")))
	if err != nil || again != first {
		t.Errorf("the repeat gave %v, %v; want %v", again, err, first)
	}
	c.say(c.alice, c.group, "a later one", "b.example")
	n := 0
	c.b.set(func(g *gateway) {
		for _, e := range g.events {
			if string(e.Message) == string(first.ID[:]) {
				n++
			}
		}
	})
	if n != 1 {
		t.Errorf("the message arrived %d times", n)
	}
}

// nextCommit says of the first commit that comes in that it is lost.
func nextCommit() func(body []byte) bool {
	lose, _ := next(mls.ContentCommit)
	return lose
}

// next says of the first commit or proposal that comes in that it is lost, and then
// closes lost.
func next(kind mls.ContentType) (lose func(body []byte) bool, lost <-chan struct{}) {
	done := make(chan struct{})
	found := false
	return func(body []byte) bool {
		if found {
			return false
		}
		m := public(body)
		if found = m != nil && m.Content.ContentType == kind; found {
			close(done)
		}
		return found
	}, done
}

// public returns the first message of a notify request, of a room of either kind, if it is
// a Commit or a Proposal.
func public(body []byte) *mls.PublicMessage {
	if messages, err := protocol.ParseFanout(body); err == nil {
		return messages[0].Message.Message.PublicMessage
	}
	if messages, err := protocol.ParsePlainFanout(body); err == nil {
		return messages[0].Message.PublicMessage
	}
	return nil
}

// TestCornerWithheldCommit: a hub that withholds a commit cannot keep a member out for
// long. The member joins anew, says so, and takes part again.
func TestCornerWithheldCommit(t *testing.T) {
	c := newCouple(t)
	defer c.driveClock()()
	anna := c.a.person("anna", "Anna")
	c.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, anna); err != nil {
		t.Fatal(err)
	}
	c.join(anna, c.group)
	if _, err := c.a.client.Send(t.Context(), c.alice, c.group, "$gap", content.Text(content.PlainPart("into the gap"))); err != nil {
		t.Fatal(err)
	}
	c.b.await("resync", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonResync
	})
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(c.alice, c.group, "welcome back", "b.example")
	info, err := c.b.client.Room(t.Context(), c.group)
	if err != nil || len(info.Members) != 3 {
		t.Fatalf("%v, %v", info, err)
	}
	for _, m := range info.Members {
		if m.User.IsZero() {
			t.Errorf("%s is not known any more", m.Pseudonym)
		}
	}
}

// TestMissedRemoval: whoever misses a removal misses the new wrapper key, and
// cannot come back before a member has removed and added them again.
func TestMissedRemoval(t *testing.T) {
	c := newCouple(t)
	defer c.driveClock()()
	anna := c.a.person("anna", "Anna")
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, anna); err != nil {
		t.Fatal(err)
	}
	c.join(anna, c.group)
	c.say(anna, c.group, "hello", "b.example")
	c.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, anna); err != nil {
		t.Fatal(err)
	}
	if _, err := c.a.client.Send(t.Context(), c.alice, c.group, "$gap", content.Text(content.PlainPart("into the gap"))); err != nil {
		t.Fatal(err)
	}
	c.b.await("lost", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonLost
	})
	c.say(c.alice, c.direct, "I shall add you again", "b.example")
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	c.b.await("gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == c.group })
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	c.rejoins(c.bob, c.group)
}

// TestLeavingAConnection ends it for both.
func TestLeavingAConnection(t *testing.T) {
	c := newCouple(t)
	if err := c.b.client.Leave(t.Context(), c.bob, c.direct); err != nil {
		t.Fatal(err)
	}
	c.b.await("gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == c.direct })
	contacts, err := c.b.client.Contacts(t.Context(), c.bob)
	if err != nil || len(contacts) != 0 {
		t.Errorf("Bob still has %d contacts, %v", len(contacts), err)
	}
	// What Alice was given to add Bob to rooms is void.
	if _, failed, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Again"}, []mimi.URI{c.bob}); err != nil || failed[c.bob] == nil {
		t.Errorf("Bob was added after leaving: %v, %v", failed, err)
	}
}

// TestTooManyRequests: what waits for a person's decision is bounded; the asker
// cannot tell.
func TestTooManyRequests(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	bob := b.person("bob", "Bob")
	limit := client.DefaultLimits().Requests
	for i := range limit + 3 {
		asker := a.person(fmt.Sprintf("asker%d", i), "")
		if _, err := a.client.Connect(t.Context(), asker, bob); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if waiting, err := b.client.Requests(t.Context(), bob); err != nil || len(waiting) != limit {
		t.Errorf("%d requests wait, %v; want %d", len(waiting), err, limit)
	}
}
