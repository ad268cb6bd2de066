package client_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// TestCrash plays a story again and again, and ends one of the gateways at every
// point at which it writes: before a write, before a commit of the store, and after
// one whose success it then never learns. It is started again on what its store
// has; whoever was told that something failed tries again. In the end every message
// has arrived, once and in order, and both sides agree about the room.
func TestCrash(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 23
	}
	for _, victim := range []string{"a.example", "b.example"} {
		for n := 1; ; n += stride {
			crashed := false
			ok := t.Run(fmt.Sprintf("%s/%d", victim, n), func(t *testing.T) {
				crashed = crashAt(t, victim, n, client.RoomOptions{Name: "Plans"})
			})
			if !ok {
				return
			}
			if !crashed {
				t.Logf("%s: %d points", victim, n)
				break
			}
		}
	}
}

// TestCrashPlain is TestCrash with a plain room for the group.
func TestCrashPlain(t *testing.T) {
	stride := 1
	if testing.Short() {
		stride = 37
	}
	for _, victim := range []string{"a.example", "b.example"} {
		crashed := true
		for n := 2; crashed; n += stride {
			if !t.Run(fmt.Sprintf("%s/%d", victim, n), func(t *testing.T) {
				crashed = crashAt(t, victim, n, client.RoomOptions{Name: "Plans", Plain: true})
			}) {
				return
			}
		}
	}
}

// crashAt plays the story with a crash at the nth point of a gateway, and reports
// whether the story had that many.
func crashAt(t *testing.T, victim string, n int, opts client.RoomOptions) bool {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	v := w.gateways[victim]
	v.stores.Faults.Crash(n)
	s := &crashStory{world: w, victim: v}
	defer w.driveClock()()

	s.do("connect", func() error {
		_, err := a.client.Connect(t.Context(), alice, bob)
		return except(err, client.ErrAlreadyAsked, client.ErrAlreadyConnected)
	})
	var direct, group mimi.URI
	s.do("accept", func() error {
		request := s.await(b, "asked", func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Account == bob })
		room, err := b.client.Accept(t.Context(), bob, request.Request)
		if errors.Is(err, client.ErrNoRequest) {
			return nil // accepted before the crash
		}
		direct = room
		return err
	})
	for g, account := range map[*gateway]mimi.URI{a: alice, b: bob} {
		e := s.await(g, "connected", func(e *client.Event) bool { return e.Kind == client.EventConnected && e.Account == account })
		direct = e.Room
	}
	for i := range 3 {
		s.say(a, alice, direct, fmt.Sprintf("direct %d", i))
	}
	s.do("create", func() error {
		if !group.IsZero() {
			return nil
		}
		room, failed, err := a.client.CreateRoom(t.Context(), alice, opts, nil)
		if err == nil {
			group = room
		}
		return errors.Join(err, failed[bob])
	})
	s.do("invite", func() error {
		return except(a.client.Invite(t.Context(), alice, group, bob), client.ErrAlreadyMember)
	})
	s.await(b, "invited", func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Room == group })
	s.do("join", func() error { return b.client.Join(t.Context(), bob, group) })
	for i := range 3 {
		s.say(b, bob, group, fmt.Sprintf("group %d", i))
	}
	s.do("leave", func() error { return except(b.client.Leave(t.Context(), bob, group), client.ErrNotMember) })
	s.await(b, "gone", func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == group })

	s.inOrder(b, direct, "direct")
	s.inOrder(a, group, "group")
	s.await(a, "bob leaving", func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == group && len(e.Removed) == 1
	})
	s.do("look at the room", func() error {
		info, err := a.client.Room(t.Context(), group)
		if err == nil && len(info.Members) != 1 {
			err = fmt.Errorf("there are %d members", len(info.Members))
		}
		return err
	})
	return s.crashed || v.stores.Faults.Restart()
}

// except is nil for errors that say that it was done already.
func except(err error, fine ...error) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}

// A crashStory tries each step until it succeeds, and restarts its victim when that
// has crashed.
type crashStory struct {
	world   *world
	victim  *gateway
	crashed bool
	sent    map[string][]string // message ids by topic
}

// revive restarts the victim if it has crashed.
func (s *crashStory) revive() bool {
	if s.crashed || !s.victim.stores.Faults.Crashed() {
		return false
	}
	s.crashed = true
	s.victim.stop()
	s.victim.stores.Faults.Restart()
	s.victim.start()
	return true
}

// do repeats a step until it succeeds.
func (s *crashStory) do(what string, step func() error) {
	t := s.world.t
	t.Helper()
	var err error
	for range 50 {
		if err = step(); err == nil {
			s.revive()
			return
		}
		if !s.revive() {
			s.pause()
		}
	}
	t.Fatalf("%s: %v", what, err)
}

// pause lets goroutines work.
func (s *crashStory) pause() {
	done := make(chan struct{})
	time.AfterFunc(2*time.Millisecond, func() { close(done) })
	<-done
}

// await waits for an event, moving the clock on and restarting the victim.
func (s *crashStory) await(g *gateway, what string, ok func(*client.Event) bool) *client.Event {
	t := s.world.t
	t.Helper()
	for range 5000 {
		g.mu.Lock()
		for _, e := range g.events {
			if ok(e) {
				g.mu.Unlock()
				return e
			}
		}
		g.mu.Unlock()
		s.revive()
		s.pause()
	}
	t.Fatalf("%s: no event: %s; have %s", g.domain, what, g.seen())
	return nil
}

// say sends a message until it is accepted, and waits until it has arrived.
func (s *crashStory) say(g *gateway, account, room mimi.URI, text string) {
	t := s.world.t
	t.Helper()
	var id content.MessageID
	s.do("say "+text, func() error {
		sent, err := g.client.Send(t.Context(), account, room, "$"+text, content.Text(content.PlainPart(text)))
		if sent.ID != (content.MessageID{}) {
			id = sent.ID
		}
		return except(err, client.ErrQueued)
	})
	if s.sent == nil {
		s.sent = map[string][]string{}
	}
	topic := room.String()
	s.sent[topic] = append(s.sent[topic], string(id[:]))
}

// inOrder checks that what was said in a room arrived at a gateway, once and in
// order. An event may be delivered again after a crash; it has the same number
// then.
func (s *crashStory) inOrder(g *gateway, room mimi.URI, what string) {
	t := s.world.t
	t.Helper()
	want := s.sent[room.String()]
	last := want[len(want)-1]
	s.await(g, what, func(e *client.Event) bool { return e.Kind == client.EventMessage && string(e.Message) == last })
	g.mu.Lock()
	defer g.mu.Unlock()
	var got []string
	for _, e := range g.events {
		if e.Kind == client.EventMessage && e.Room == room {
			got = append(got, string(e.Message))
		}
	}
	if fmt.Sprintf("%x", got) != fmt.Sprintf("%x", want) {
		t.Errorf("%s: %d messages sent, %d arrived, or in another order", what, len(want), len(got))
	}
}

// TestCrashConsent is TestCrash for consent: asked, granted and taken back.
func TestCrashConsent(t *testing.T) {
	for _, victim := range []string{"a.example", "b.example"} {
		crashed := true
		for n := 1; crashed; n++ {
			if !t.Run(fmt.Sprintf("%s/%d", victim, n), func(t *testing.T) { crashed = crashConsent(t, victim, n) }) {
				return
			}
		}
	}
}

func crashConsent(t *testing.T, victim string, n int) bool {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	for _, g := range w.gateways {
		g.set(func(g *gateway) { g.noProfile = true })
	}
	v := w.gateways[victim]
	v.stores.Faults.Crash(n)
	s := &crashStory{world: w, victim: v}
	defer w.driveClock()()

	s.do("ask", func() error {
		return except(a.client.AskConsent(t.Context(), alice, bob), client.ErrAlreadyAsked, client.ErrConsented, client.ErrQueued)
	})
	s.do("accept", func() error {
		request := s.await(b, "asked", func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Account == bob })
		_, err := b.client.Accept(t.Context(), bob, request.Request)
		return except(err, client.ErrNoRequest)
	})
	s.await(a, "granted", func(e *client.Event) bool { return e.Kind == client.EventGranted && e.Account == alice })
	s.do("take back", func() error {
		return except(b.client.RemoveContact(t.Context(), bob, alice), client.ErrNotConnected)
	})
	s.await(a, "revoked", func(e *client.Event) bool { return e.Reason == client.ReasonConsentRevoked && e.Account == alice })
	s.do("look", func() error {
		theirs, err := b.client.Consents(t.Context(), bob)
		if err == nil && len(theirs) > 0 {
			err = fmt.Errorf("%d consents are left", len(theirs))
		}
		return err
	})
	return s.crashed || v.stores.Faults.Restart()
}
