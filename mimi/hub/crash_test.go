package hub_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

// quiet is a trio whose hub does not deliver.
func quiet(t *testing.T) *world {
	t.Helper()
	w := start(t, hub.Limits{})
	w.hub.Stop()
	w.Found(mmrtest.GroupPolicy(), alice)
	mmrtest.Trio(w.World)
	return w
}

// history plays requests of all kinds against a hub that does not deliver, each
// until it is answered. failed is called after an attempt that was not.
func (w *world) history(failed func(error)) {
	w.t.Helper()
	ctx := w.t.Context()
	until := func(what string, f func() error) {
		w.t.Helper()
		for range 3 {
			err := f()
			if err == nil {
				return
			}
			failed(fmt.Errorf("%s: %w", what, err))
		}
		w.t.Fatalf("%s: no answer", what)
	}
	update := func(what, from string, req *protocol.UpdateRequest) {
		w.t.Helper()
		var answers []time.Time
		until(what, func() error {
			response, err := w.hub.Update(ctx, from, w.Room, mmrtest.Again(w.t, req))
			if err == nil {
				answers = append(answers, response.Accepted)
			}
			return err
		})
		// Once more: the same answer.
		until(what+" again", func() error {
			response, err := w.hub.Update(ctx, from, w.Room, mmrtest.Again(w.t, req))
			if err == nil && !response.Accepted.Equal(answers[0]) {
				w.t.Errorf("%s: another answer to the same request", what)
			}
			return err
		})
	}
	message := w.Say(bob, "hello")
	until("message", func() error {
		_, err := w.hub.SubmitMessage(ctx, "b.example", w.Room, mmrtest.Again(w.t, message))
		return err
	})
	a := w.Make(bob, mmrtest.Add(dave))
	update("Commit", "b.example", a.Request)
	a.Accepted()
	code, registration := w.code(alice)
	until("code", func() error { return w.hub.JoinCode(ctx, home, mmrtest.Again(w.t, registration)) })
	c := w.Client("eve@e.example")
	until("GroupInfo", func() error {
		_, err := w.ask("e.example", c.Params.Credential, c.Params.SignatureKey, code)
		return err
	})
	w.Joining = nil
	a = w.JoinAs(c)
	update("external Commit", "e.example", a.Request)
	a.Accepted()
	leaving := w.MakeProposals(carol, w.Leave(carol)...)
	update("proposals", "c.example", leaving)
	w.Proposed("c.example", leaving)
	a = w.Make(alice, mmrtest.Pending)
	update("removal", home, a.Request)
	a.Accepted()
}

// outcome is what the history leads to: everything that does not depend on chance.
type outcome struct {
	Version    uint64
	Keys       []string
	Deliveries map[string]int
}

func (w *world) outcome() outcome {
	s := w.stored()
	o := outcome{Version: s.Version, Deliveries: map[string]int{}}
	for _, row := range s.Rows {
		o.Keys = append(o.Keys, row.Key)
	}
	for id, deliveries := range s.Lanes {
		o.Deliveries[id.Domain] = len(deliveries)
	}
	return o
}

// consistent fails unless hub and members have the same table, and the same room.
func (w *world) consistent() {
	w.t.Helper()
	info, err := w.ask(home, w.Credential(alice), w.Key(alice), w.register())
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(w.Public().Table(), info.Table); diff != "" {
		w.t.Errorf("tables of the members (-) and of the hub (+):\n%s", diff)
	}
}

// TestCrash: wherever the process crashes, a request and its deliveries are there
// both or not at all, the repeated request gets its one answer, and everything is
// delivered once in the order of acceptance.
func TestCrash(t *testing.T) {
	reference := quiet(t)
	reference.history(func(err error) { t.Fatal(err) })
	want := reference.outcome()
	reference.consistent()
	for n := 1; ; n++ {
		w := quiet(t)
		w.store.Faults.Crash(n)
		crashes := 0
		w.history(func(err error) {
			if !errors.Is(err, storetest.ErrCrashed) {
				t.Fatalf("crash at point %d: %v", n, err)
			}
			if w.store.Faults.Restart() {
				crashes++
			}
			w.hub = w.another()
		})
		w.store.Faults.Restart()
		if diff := cmp.Diff(want, w.outcome()); diff != "" {
			t.Fatalf("crash at point %d: without (-) and with (+) the crash:\n%s", n, diff)
		}
		w.consistent()
		if crashes == 0 {
			if n < 15 {
				t.Errorf("only %d points at which the hub can crash", n-1)
			}
			return
		}
	}
}

// TestCrashOfDelivery: a crash between a delivery and its note repeats the delivery,
// and loses none.
func TestCrashOfDelivery(t *testing.T) {
	repeated := false
	for n := 1; n <= 12; n++ {
		w := quiet(t)
		for i := range 3 {
			w.say(bob, fmt.Sprint(i))
		}
		want := w.stored().bodies(w.Room, "c.example")
		w.store.Faults.Crash(n)
		if err := w.hub.Start(t.Context()); err == nil {
			<-w.clock.paused // the lane that has met the crash tries again later
		}
		w.hub.Stop()
		w.store.Faults.Restart()
		w.restart()
		w.wantBodies("c.example", 0, want)
		w.hub.Stop()
		repeated = repeated || w.net.tried["c.example"] > len(want)
	}
	if !repeated {
		t.Error("no crash was between a delivery and its note")
	}
}

// TestLostAcknowledgement: a write whose acknowledgement was lost is delivered, and
// answered when the request comes again.
func TestLostAcknowledgement(t *testing.T) {
	w := start(t, hub.Limits{})
	w.Found(mmrtest.GroupPolicy(), alice)
	a := w.Make(alice, mmrtest.Add(bob))
	w.store.Faults.LoseCommit(1)
	err := a.Send()
	if !errors.Is(err, storetest.ErrInjected) {
		t.Fatalf("an internal error is not told as such: %v", err)
	}
	w.delivered("b.example", 1)
	if err := a.Send(); err != nil {
		t.Fatal(err)
	}
	a.Accepted()
	w.Commit(alice)
	w.delivered("b.example", 2)
}

// TestFailedWrite: nothing has happened, and the same request is accepted later.
func TestFailedWrite(t *testing.T) {
	w := quiet(t)
	before := w.stored()
	for _, fail := range []func(){func() { w.store.Faults.FailWrite(1) }, func() { w.store.Faults.FailCommit(1) }} {
		a := w.Make(bob, mmrtest.Add(dave))
		fail()
		if err := a.Send(); !errors.Is(err, storetest.ErrInjected) {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, w.stored()); diff != "" {
			t.Errorf("a failed write has changed something:\n%s", diff)
		}
		if err := a.Send(); err != nil {
			t.Fatal(err)
		}
		a.Accepted()
		w.Commit(alice, mmrtest.Remove(dave))
		delete(w.Users, dave)
		w.Commit(alice) // re-encrypts the metadata
		before = w.stored()
	}
}

// TestConflict: if somebody else has changed a room in the store, the request is
// decided again on the room as it is.
func TestConflict(t *testing.T) {
	w := trio(t)
	w.Commit(alice)
	first, second := w.hub, w.another()
	w.hub = second
	w.Commit(bob)
	w.hub = first
	code := w.register() // does not depend on the epoch
	c := w.Client(dave)
	if _, err := w.ask("d.example", c.Params.Credential, c.Params.SignatureKey, code); err != nil {
		t.Fatal(err)
	}
	w.Commit(carol)
	w.consistent()
}

// TestCacheEviction: rooms that are not in memory are read again.
func TestCacheEviction(t *testing.T) {
	a := start(t, hub.Limits{Rooms: 1})
	a.Found(mmrtest.GroupPolicy(), alice)
	// Another room on the same hub.
	b := &world{World: mmrtest.Start(t, nil), t: t, store: a.store, net: a.net, clock: a.clock, hub: a.hub}
	b.Hub, b.Joining = b, b.admit
	_, _ = b.Random.Read(make([]byte, 100))
	b.Found(mmrtest.GroupPolicy(), alice)
	if a.Room == b.Room {
		t.Fatal("it is the same room")
	}
	mmrtest.Trio(a.World)
	mmrtest.Trio(b.World)
	for range 2 {
		a.Commit(bob, mmrtest.NewCredential)
		b.Accept(b.Join(dave))
		a.Commit(alice, mmrtest.Rename("a"))
		b.Commit(alice, mmrtest.Remove(dave))
		b.Commit(carol)
		delete(b.Users, dave)
	}
	a.consistent()
	b.consistent()
}
