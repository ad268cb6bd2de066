package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// say lets a member send a message that the hub accepts.
func (w *world) say(from, text string) {
	w.t.Helper()
	if _, err := w.hub.SubmitMessage(w.t.Context(), mmrtest.DomainOf(from), w.Room, mmrtest.Again(w.t, w.Say(from, text))); err != nil {
		w.t.Fatal(err)
	}
}

// TestFanout: who gets what (draft-ietf-mimi-protocol-06, section 5.5).
func TestFanout(t *testing.T) {
	w := trio(t)
	// The Commit that let them in brought each provider its Welcome, for its own
	// leaves alone, with the tree.
	for name, domain := range map[string]string{bob: "b.example", carol: "c.example"} {
		first := w.delivered(domain, 1)[0]
		if len(first) != 1 || first[0].Message.Message.Welcome == nil || first[0].Message.RatchetTree.Representation != protocol.TreeFull ||
			!slices.Equal(targetsOf(first[0]), []mimi.URI{w.Users[name]}) {
			t.Errorf("%s: not the Welcome of %s alone: %+v", domain, name, first)
		}
	}
	// An Add by Bob: a Commit for Alice and Carol, a Welcome for Carol's colleague
	// in the same body and behind it, nothing for Bob's provider.
	w.Commit(bob, mmrtest.Add("cleo@c.example"))
	if body := w.delivered("c.example", 2)[1]; len(body) != 2 || body[0].Message.Message.PublicMessage == nil || body[1].Message.Message.Welcome == nil ||
		!slices.Equal(targetsOf(body[0]), []mimi.URI{w.Users[carol]}) || !slices.Equal(targetsOf(body[1]), []mimi.URI{w.Users["cleo@c.example"]}) {
		t.Errorf("the Commit and the Welcome are not for the right ones: %v", body)
	}
	w.delivered(home, 1)
	w.delivered("b.example", 1)
	// A message goes to all leaves of the others.
	w.say(alice, "hello")
	body := w.delivered("c.example", 3)[2]
	if len(body) != 1 || body[0].Message.Message.PrivateMessage == nil || !slices.Equal(targetsOf(body[0]), []mimi.URI{w.Users[carol], w.Users["cleo@c.example"]}) {
		t.Errorf("the message is not for both: %v", body)
	}
	if !body[0].Message.Accepted.Equal(w.Clock.Now().Truncate(time.Millisecond)) {
		t.Errorf("accepted at %v", body[0].Message.Accepted)
	}
	// Proposals stay together, in their order.
	req := w.MakeProposals(carol, w.Leave(carol)...)
	if _, err := w.hub.Update(t.Context(), "c.example", w.Room, mmrtest.Again(t, req)); err != nil {
		t.Fatal(err)
	}
	w.Proposed("c.example", req)
	proposals := w.delivered("b.example", 3)[2]
	if len(proposals) != 1 || len(proposals[0].Message.MoreProposals) != 1 ||
		proposals[0].Message.Message.PublicMessage.Content.Proposal.Type() != mls.ProposalSelfRemove {
		t.Errorf("moreProposals are not those of the request: %v", proposals)
	}
	// Those who are removed get the Commit that does it.
	w.Commit(alice, mmrtest.Pending)
	if body := w.delivered("c.example", 4)[3]; !slices.Contains(targetsOf(body[0]), w.Users[carol]) {
		t.Error("a removed client does not get the Commit")
	}
	w.say(bob, "without carol")
	if body := w.delivered("c.example", 5)[4]; slices.Contains(targetsOf(body[0]), w.Users[carol]) {
		t.Error("a removed client gets messages")
	}
}

// bodies are what is queued for a provider, in order.
func (s snapshot) bodies(room mimi.URI, domain string) [][]byte {
	var out [][]byte
	for _, d := range s.Lanes[hub.Lane{Room: room, Domain: domain}] {
		out = append(out, d.Body)
	}
	return out
}

// wantBodies waits until a provider has these deliveries behind the first ones, in
// this order.
func (w *world) wantBodies(domain string, skip int, want [][]byte) {
	w.t.Helper()
	w.net.wait(w.t, func() bool { return len(w.net.got[domain]) >= skip+len(want) })
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	var got [][]byte
	for _, r := range w.net.got[domain][skip:] {
		got = append(got, r.body)
	}
	if !slices.EqualFunc(got, want, bytes.Equal) {
		w.t.Errorf("%s got %d deliveries, of %d that were accepted, or not in their order", domain, len(got), len(want))
	}
}

// TestOrder: what is accepted is delivered after a restart between acceptance and
// fan-out, in the order of acceptance for each room and provider, through failures.
func TestOrder(t *testing.T) {
	w := trio(t)
	w.drained()
	w.hub.Stop()
	for i := range 40 {
		w.say(bob, fmt.Sprint(i))
	}
	w.Commit(carol)
	before := w.stored()
	if len(before.bodies(w.Room, "c.example")) != 40 || len(before.bodies(w.Room, home)) != 41 {
		t.Fatal("not everything is queued")
	}
	var tries int
	w.net.set(func(_ context.Context, domain string) error {
		w.net.mu.Lock()
		defer w.net.mu.Unlock()
		if tries++; tries%3 != 0 {
			return errors.New("down")
		}
		return nil
	})
	w.clock.hurry()
	w.restart()
	w.wantBodies("c.example", 1, before.bodies(w.Room, "c.example"))
	w.wantBodies(home, 0, before.bodies(w.Room, home))
	w.drained()
}

// TestDeadProvider: a provider that does not answer holds up nobody else, not even
// in its own room.
func TestDeadProvider(t *testing.T) {
	w := trio(t)
	w.delivered("b.example", 1)
	w.delivered("c.example", 1)
	release := make(chan struct{})
	w.net.set(func(ctx context.Context, domain string) error {
		if domain != "c.example" {
			return nil
		}
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for i := range 5 {
		w.say(alice, fmt.Sprint(i))
	}
	w.delivered("b.example", 6)
	close(release)
	w.delivered("c.example", 6)
}

// TestRetry: attempts are repeated until one succeeds, at growing intervals on the
// clock of the Config, or when the provider says (draft-ietf-mimi-protocol-06,
// section 5.5).
func TestRetry(t *testing.T) {
	w := trio(t)
	w.delivered("c.example", 1)
	attempt := 0
	w.net.set(func(ctx context.Context, domain string) error {
		if domain != "c.example" {
			return nil
		}
		switch attempt++; {
		case attempt == 3:
			return &protocol.RetryLaterError{After: 42 * time.Minute}
		case attempt < 6:
			return errors.New("down")
		case attempt == 6:
			// An attempt takes so long at most.
			w.Clock.Advance(hub.DefaultLimits().Delivery)
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})
	w.clock.hurry()
	w.say(alice, "hello")
	w.delivered("c.example", 2)
	w.hub.Stop()
	ms := time.Millisecond
	if want := []time.Duration{500 * ms, 1000 * ms, 42 * time.Minute, 2000 * ms, 4000 * ms, 8000 * ms}; !slices.Equal(w.clock.pauses, want) {
		t.Errorf("pauses %v, want %v", w.clock.pauses, want)
	}
}

// TestPauseAfterSuccess: a delivery that succeeds makes the next pause a short one.
func TestPauseAfterSuccess(t *testing.T) {
	w := quiet(t)
	w.say(alice, "hello")
	attempt := 0
	w.net.set(func(_ context.Context, domain string) error {
		if domain != "c.example" {
			return nil
		}
		if attempt++; attempt < 4 || attempt == 5 { // the Welcome, then the message
			return errors.New("down")
		}
		return nil
	})
	w.clock.hurry()
	w.restart()
	w.delivered("c.example", 2)
	w.hub.Stop()
	ms := time.Millisecond
	if want := []time.Duration{500 * ms, 1000 * ms, 2000 * ms, 500 * ms}; !slices.Equal(w.clock.pauses, want) {
		t.Errorf("pauses %v, want %v", w.clock.pauses, want)
	}
}

// TestPauseEnds: an attempt follows when the pause has passed on the clock, and not
// before.
func TestPauseEnds(t *testing.T) {
	w := trio(t)
	w.delivered("c.example", 1)
	w.net.set(func(context.Context, string) error { return errors.New("down") })
	w.say(alice, "hello")
	w.net.wait(t, func() bool { return w.net.tried["c.example"] == 2 })
	w.net.set(nil)
	w.hub.Stop() // ends the pause without an attempt
	w.net.mu.Lock()
	if n := w.net.tried["c.example"]; n != 2 {
		t.Errorf("%d attempts", n)
	}
	w.net.mu.Unlock()
	w.restart()
	w.delivered("c.example", 2)
}

// TestBackAgain: a provider that asks something is there again, and gets what it has
// missed at once, however long the pause after the last failure was to be.
func TestBackAgain(t *testing.T) {
	w := trio(t)
	w.delivered("c.example", 1)
	w.net.set(func(_ context.Context, domain string) error {
		if domain == "c.example" {
			return errors.New("down")
		}
		return nil
	})
	w.say(alice, "hello")
	w.net.wait(t, func() bool { return w.net.tried["c.example"] == 2 })
	w.net.set(nil)
	w.say(carol, "I am back") // the clock stands still
	w.delivered("c.example", 2)
}

// TestStopAndStart: the same hub is stopped and started again.
func TestStopAndStart(t *testing.T) {
	w := trio(t)
	w.delivered("c.example", 1)
	w.net.set(func(context.Context, string) error { return errors.New("down") })
	w.say(alice, "one")
	w.net.wait(t, func() bool { return w.net.tried["c.example"] == 2 })
	w.hub.Stop()
	w.hub.Stop()
	w.net.set(nil)
	w.say(alice, "while it is stopped")
	if err := w.hub.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.hub.Start(t.Context()); err == nil {
		t.Error("started twice")
	}
	w.say(alice, "three")
	w.delivered("c.example", 4)
}

// TestForget: answers are kept for a while.
func TestForget(t *testing.T) {
	w := trio(t)
	good := w.Say(bob, "hello")
	first, err := w.hub.SubmitMessage(t.Context(), "b.example", w.Room, mmrtest.Again(t, good))
	if err != nil {
		t.Fatal(err)
	}
	w.delivered("c.example", 2)
	// Answers are forgotten while the hub runs, not only when it starts.
	<-w.clock.housekeeping
	w.Clock.Advance(hub.DefaultLimits().Memory + time.Hour)
	<-w.clock.housekeeping // it has been done, and is due again
	second, err := w.hub.SubmitMessage(t.Context(), "b.example", w.Room, mmrtest.Again(t, good))
	if err != nil || !second.Accepted.After(first.Accepted) {
		t.Errorf("a message is not as if it were new after its answer was forgotten: %v", err)
	}
}

// TestClosed: a room from which all leaves leave is closed; the one who is left
// without anybody to commit that.
func TestClosed(t *testing.T) {
	w := trio(t)
	w.Commit(alice, mmrtest.Remove(bob, carol))
	req := w.MakeProposals(alice, w.Leave(alice)...)
	first, err := w.hub.Update(t.Context(), home, w.Room, mmrtest.Again(t, req))
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.hub.SubmitMessage(t.Context(), home, w.Room, &protocol.SubmitMessageRequest{
		Message: mls.MLSMessage{PrivateMessage: &mls.PrivateMessage{}}, Sender: w.Users[alice],
	})
	if !errors.Is(err, protocol.ErrNoSuchRoom) {
		t.Errorf("a message in a closed room: %v", err)
	}
	if _, _, err := w.store.Load(t.Context(), w.Room); !errors.Is(err, hub.ErrNoRoom) {
		t.Errorf("rows of a closed room: %v", err)
	}
	for range 2 {
		again, err := w.hub.Update(t.Context(), home, w.Room, mmrtest.Again(t, req))
		if err != nil || !again.Accepted.Equal(first.Accepted) {
			t.Errorf("the request that closed the room, again: %v, %v", again, err)
		}
		w.restart()
	}
	// What was accepted before is delivered.
	w.delivered("b.example", 2)
	w.delivered("c.example", 2)
}
