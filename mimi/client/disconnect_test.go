package client_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// stateOf returns how far an account is with a person; zero if they are no contacts.
func (w *world) stateOf(account, peer mimi.URI) client.ContactState {
	w.t.Helper()
	contacts, err := w.gateways[account.Domain].client.Contacts(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, contact := range contacts {
		if contact.Peer == peer {
			return contact.State
		}
	}
	return 0
}

// alertedAbout waits until an account is alerted about a person.
func (w *world) alertedAbout(account, peer mimi.URI, reason client.Reason) *client.Event {
	w.t.Helper()
	e, _ := w.gateways[account.Domain].await(string(reason), 0, func(e *client.Event) bool {
		return (e.Kind == client.EventAlert || e.Kind == client.EventRefused) && e.Account == account && e.Peer == peer && e.Reason == reason
	})
	return e
}

// countEvents counts events of a gateway.
func (g *gateway) countEvents(ok func(*client.Event) bool) (n int) {
	g.set(func(g *gateway) {
		for _, e := range g.events {
			if ok(e) {
				n++
			}
		}
	})
	return n
}

func sends(w *world, account, room mimi.URI, text string) error {
	sources++
	_, err := w.gateways[account.Domain].client.Send(w.t.Context(), account, room, text, content.Text(content.PlainPart(text)))
	return err
}

// TestRemovedContact: who ends a connection is out of its room, and has nothing of the
// other person any more; they learn that, and can ask anew.
func TestRemovedContact(t *testing.T) {
	c := quietCouple(t)
	if err := c.b.client.RemoveContact(t.Context(), c.bob, c.alice); err != nil {
		t.Fatal(err)
	}
	c.gone(c.bob, c.direct, c.bob)
	c.until("forgotten contact", func() bool { return c.stateOf(c.bob, c.alice) == 0 })
	if e := c.alertedAbout(c.alice, c.bob, client.ReasonPeerLeft); e.Room != c.direct {
		t.Errorf("told of room %s", e.Room)
	}
	if state := c.stateOf(c.alice, c.bob); state != client.ContactLeft {
		t.Errorf("the other side is in state %d", state)
	}
	if err := sends(c.world, c.alice, c.direct, "anybody there"); !errors.Is(err, client.ErrPeerLeft) {
		t.Errorf("said to nobody: %v", err)
	}
	// Neither can add the other to anything now.
	other, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Other"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Invite(t.Context(), c.alice, other, c.bob); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("added who has left: %v", err)
	}
	if err := c.b.client.RemoveContact(t.Context(), c.bob, c.alice); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("removed twice: %v", err)
	}
	c.say(c.bob, c.group, "still in the group", "a.example")
	if room := c.connectAgain(c.alice, c.bob); room == c.direct {
		t.Error("the room of a new connection is the old one")
	}
	c.a.await("out of the old room", 0, func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == c.alice && e.Room == c.direct
	})
}

// connectAgain is connect for two who were connected before.
func (w *world) connectAgain(asker, asked mimi.URI) mimi.URI {
	w.t.Helper()
	a, b := w.gateways[asker.Domain], w.gateways[asked.Domain]
	if _, err := a.client.Connect(w.t.Context(), asker, asked); err != nil {
		w.t.Fatalf("connect again: %v", err)
	}
	var request *client.Request
	w.until("request", func() bool {
		all, err := b.client.Requests(w.t.Context(), asked)
		if err != nil {
			w.t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(r *client.Request) bool { return r.Peer == asker })
		if i >= 0 {
			request = all[i]
		}
		return i >= 0
	})
	room, err := b.client.Accept(w.t.Context(), asked, request.Ref)
	if err != nil {
		w.t.Fatalf("accept again: %v", err)
	}
	w.until("new connection", func() bool {
		return w.stateOf(asker, asked) == client.ContactConnected && w.stateOf(asked, asker) == client.ContactConnected
	})
	return room
}

// TestRemovedContactSurvivesACrash: the hub accepts the leave, and its answer does not
// come; then the gateway is started anew.
func TestRemovedContactSurvivesACrash(t *testing.T) {
	for name, mute := range map[string]bool{"after the leave": true, "before the leave": false} {
		t.Run(name, func(t *testing.T) {
			c := quietCouple(t)
			if mute {
				c.b.set(func(g *gateway) { g.mute = isLeave })
			} else {
				c.a.set(func(g *gateway) { g.down = true })
			}
			if err := c.b.client.RemoveContact(t.Context(), c.bob, c.alice); err != nil {
				t.Fatal(err)
			}
			c.b.stop()
			c.b.set(func(g *gateway) { g.mute = nil })
			c.a.set(func(g *gateway) { g.down = false })
			c.b.start()
			defer c.driveClock()()
			c.gone(c.bob, c.direct, c.bob)
			c.alertedAbout(c.alice, c.bob, client.ReasonPeerLeft)
			if state := c.stateOf(c.bob, c.alice); state != 0 {
				t.Errorf("state %d is left", state)
			}
		})
	}
}

// TestBlockedLearnsNothing: requests of somebody who is blocked, or unknown, are
// answered alike, and the blocked person's are shown to nobody. That holds over a
// restart.
func TestBlockedLearnsNothing(t *testing.T) {
	c := quietCouple(t)
	anna := c.a.person("anna", "")
	if err := c.b.client.Block(t.Context(), c.bob, c.alice); err != nil {
		t.Fatal(err)
	}
	if err := c.b.client.Block(t.Context(), c.bob, anna); err != nil { // no contact
		t.Fatal(err)
	}
	c.gone(c.bob, c.direct, c.bob)
	c.alertedAbout(c.alice, c.bob, client.ReasonPeerLeft)
	c.b.stop()
	c.b.start()
	c.until("room left behind", func() bool {
		_, err := c.b.client.Room(t.Context(), c.direct)
		return errors.Is(err, client.ErrNotMember)
	})
	for _, asker := range []mimi.URI{c.alice, anna} {
		if state := c.stateOf(c.bob, asker); state != client.ContactBlocked {
			t.Errorf("%s is in state %d", asker, state)
		}
	}
	dan := c.a.person("dan", "") // the one who is not blocked
	sizes := map[int]bool{}
	for _, asker := range []mimi.URI{c.alice, anna, dan} {
		answer, err := network{c.a}.ConnectionPackage(t.Context(), c.bob)
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(answer)] = true
		if _, err := c.a.client.Connect(t.Context(), asker, c.bob); err != nil {
			t.Errorf("%s is not answered: %v", asker, err)
		}
	}
	if len(sizes) != 1 {
		t.Errorf("packages of %d sizes", len(sizes))
	}
	c.b.await("request of who is not blocked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == dan })
	if n := c.b.countEvents(func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == anna }); n != 0 {
		t.Errorf("a blocked person's request was shown %d times", n)
	}
	if requests, err := c.b.client.Requests(t.Context(), c.bob); err != nil || len(requests) != 1 {
		t.Errorf("%d requests wait, %v", len(requests), err)
	}
	if _, err := c.b.client.Connect(t.Context(), c.bob, c.alice); !errors.Is(err, client.ErrBlocked) {
		t.Errorf("asked who is blocked: %v", err)
	}
	if err := c.b.client.Block(t.Context(), c.bob, dan); err != nil {
		t.Fatal(err)
	}
	c.b.await("request that is taken back", 0, func(e *client.Event) bool { return e.Kind == client.EventWithdrawn && e.Peer == dan })
	if err := c.b.client.Unblock(t.Context(), c.bob, c.alice); err != nil {
		t.Fatal(err)
	}
	if err := c.b.client.Unblock(t.Context(), c.bob, c.alice); !errors.Is(err, client.ErrNotBlocked) {
		t.Errorf("unblocked twice: %v", err)
	}
	if err := c.a.client.RemoveContact(t.Context(), c.alice, c.bob); err != nil { // her unanswered request
		t.Fatal(err)
	}
	c.connectAgain(c.alice, c.bob)
}

// TestAddedByWhoIsBlocked: KeyPackages that a person has fetched before they were
// blocked still add the account; it leaves again, and its user sees nothing.
func TestAddedByWhoIsBlocked(t *testing.T) {
	c := quietCouple(t)
	defer c.driveClock()()
	room, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Trap"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var blocked error
	c.a.set(func(g *gateway) {
		g.fetched = func() { blocked = c.b.client.Block(t.Context(), c.bob, c.alice) }
	})
	if err := c.a.client.Invite(t.Context(), c.alice, room, c.bob); err != nil {
		t.Fatal(err)
	}
	if blocked != nil {
		t.Fatal(blocked)
	}
	out, _ := c.a.await("Bob leaves", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) == 1 && e.Removed[0].User == c.bob
	})
	if out.Actor.User != c.bob {
		t.Errorf("it is said that %s has removed him", out.Actor.User)
	}
	if n := c.b.countEvents(func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Room == room }); n != 0 {
		t.Errorf("the user was shown the invitation %d times", n)
	}
}

// TestRequestExpires: a request that nobody answers ends after 30 days, on both sides;
// who asked is told once, also over restarts, and can ask again.
func TestRequestExpires(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", ""), b.person("bob", "")
	contact, err := a.client.Connect(t.Context(), alice, bob)
	if err != nil {
		t.Fatal(err)
	}
	b.await("asked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked })
	w.clock.Advance(connection.RequestLifetime - time.Hour)
	w.ticked(a)
	if state := w.stateOf(alice, bob); state != client.ContactAsked {
		t.Fatalf("state %d before the end", state)
	}
	for range 2 {
		w.clock.Advance(7 * time.Hour)
		w.ticked(a)
		w.ticked(b)
		for _, g := range []*gateway{a, b} {
			g.stop()
			g.start()
		}
		w.alertedAbout(alice, bob, client.ReasonExpired)
	}
	if n := a.countEvents(func(e *client.Event) bool { return e.Reason == client.ReasonExpired }); n != 1 {
		t.Errorf("told %d times", n)
	}
	if state := w.stateOf(alice, bob); state != client.ContactExpired {
		t.Errorf("state %d", state)
	}
	if left, err := b.client.Requests(t.Context(), bob); err != nil || len(left) != 0 {
		t.Errorf("%d requests wait, %v", len(left), err)
	}
	if n := b.countEvents(func(e *client.Event) bool {
		return e.Kind == client.EventWithdrawn && e.Account == bob && e.Peer == alice
	}); n != 1 {
		t.Errorf("the request was taken back %d times", n)
	}
	w.until("closed room", func() bool {
		_, err := a.client.Room(t.Context(), contact.Room)
		return errors.Is(err, client.ErrNotMember)
	})
	w.connectAgain(alice, bob)
}

// ticked waits for a schedule tick of a gateway.
func (w *world) ticked(g *gateway) {
	w.t.Helper()
	var before int
	g.set(func(g *gateway) { before = g.ticks })
	w.until("schedule tick", func() bool {
		w.clock.Advance(time.Minute)
		after := 0
		g.set(func(g *gateway) { after = g.ticks })
		return after > before
	})
}

// TestReplayedRequest: a request that comes again is shown once, also after a restart
// and after it was declined.
func TestReplayedRequest(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", ""), b.person("bob", "")
	var kept []byte
	a.set(func(g *gateway) {
		g.requesting = func(req *protocol.ConnectionRequest) {
			b, err := mls.Marshal(req)
			if err != nil {
				t.Error(err)
			}
			kept = b
		}
	})
	if _, err := a.client.Connect(t.Context(), alice, bob); err != nil {
		t.Fatal(err)
	}
	request, _ := b.await("asked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked })
	if err := b.client.Decline(t.Context(), bob, request.Request); err != nil {
		t.Fatal(err)
	}
	b.stop()
	b.start()
	var again protocol.ConnectionRequest
	if err := mls.Unmarshal(kept, &again); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.client.ConnectionRequest(t.Context(), "a.example", &again); err != nil {
			t.Errorf("the replay was answered with %v", err)
		}
	}
	if left, err := b.client.Requests(t.Context(), bob); err != nil || len(left) != 0 {
		t.Errorf("%d requests wait, %v", len(left), err)
	}
}

// TestRequestThroughASharedRoom: somebody whom one shares a room with is asked like
// everybody else. The room's hub has no part in it: it is down.
func TestRequestThroughASharedRoom(t *testing.T) {
	w := newWorld(t, "a.example", "b.example", "c.example")
	a, b, hub := w.gateways["a.example"], w.gateways["b.example"], w.gateways["c.example"]
	alice, bob, carol := a.person("alice", ""), b.person("bob", ""), hub.person("carol", "")
	w.connect(carol, alice)
	w.connect(carol, bob)
	room, failed, err := hub.client.CreateRoom(t.Context(), carol, client.RoomOptions{Name: "Shared"}, []mimi.URI{alice, bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	w.join(alice, room)
	w.join(bob, room)
	var seen mimi.URI
	w.until("open link of Bob", func() bool {
		info, err := a.client.Room(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range info.Members {
			if m.User.Domain == "b.example" {
				seen = m.User
			}
		}
		return !seen.IsZero()
	})
	hub.set(func(g *gateway) { g.down = true })
	if _, err := a.client.Connect(t.Context(), alice, seen); err != nil {
		t.Fatal(err)
	}
	request, _ := b.await("asked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Peer == alice })
	if _, err := b.client.Accept(t.Context(), bob, request.Request); err != nil {
		t.Fatal(err)
	}
	w.until("connection", func() bool { return w.stateOf(alice, bob) == client.ContactConnected })
}

// TestCrashWhileRemoving ends the gateway at every point at which it writes that a
// connection ends: in the end it has ended on both sides, and the room is left.
func TestCrashWhileRemoving(t *testing.T) {
	crashed := true
	for n := 1; crashed; n++ {
		c := quietCouple(t)
		c.b.stores.Faults.Crash(n)
		s := &crashStory{world: c.world, victim: c.b}
		stop := c.driveClock()
		s.do("remove", func() error {
			return except(c.b.client.RemoveContact(t.Context(), c.bob, c.alice), client.ErrNotConnected)
		})
		s.await(c.a, "end of the connection", func(e *client.Event) bool { return e.Reason == client.ReasonPeerLeft })
		s.await(c.b, "out of the room", func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == c.direct })
		stop()
		crashed = s.crashed || c.b.stores.Faults.Restart()
		if state := c.stateOf(c.bob, c.alice); state != 0 {
			t.Errorf("crash %d: state %d is left", n, state)
		}
	}
}

// TestEndedConnectionIsLeftAtTheStart: a crash may come when a connection has ended, and
// its room is not left yet.
func TestEndedConnectionIsLeftAtTheStart(t *testing.T) {
	for _, state := range []client.ContactState{client.ContactEnding, client.ContactBlocked} {
		c := quietCouple(t)
		if err := c.b.client.EndContact(t.Context(), c.bob, c.alice, state); err != nil {
			t.Fatal(err)
		}
		c.b.stop()
		c.b.start()
		c.gone(c.bob, c.direct, c.bob)
		c.alertedAbout(c.alice, c.bob, client.ReasonPeerLeft)
	}
}
