package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// safety returns what an account compares with a person.
func (w *world) safety(account, peer mimi.URI) *client.Safety {
	w.t.Helper()
	s, err := w.gateways[account.Domain].client.Safety(w.t.Context(), account, peer)
	if err != nil {
		w.t.Fatalf("safety code of %s with %s: %v", account, peer, err)
	}
	return s
}

// shared adds somebody to a new room of somebody else.
func (w *world) shared(adder, added mimi.URI) mimi.URI {
	w.t.Helper()
	room, failed, err := w.gateways[adder.Domain].client.CreateRoom(w.t.Context(), adder, client.RoomOptions{Name: "Shared"}, []mimi.URI{added})
	if err != nil || len(failed) > 0 {
		w.t.Fatal(err, failed)
	}
	w.join(added, room)
	return room
}

// alerts counts what an account was told about the keys of a person.
func (w *world) alerts(account, peer mimi.URI) int {
	return w.gateways[account.Domain].countEvents(func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Account == account && e.Peer == peer &&
			(e.Reason == client.ReasonKeyChanged || e.Reason == client.ReasonVerifiedChanged)
	})
}

// TestSafetyCode: both sides have the same code, another one with everybody, and the mark
// of having compared it stays over restarts.
func TestSafetyCode(t *testing.T) {
	c := quietCouple(t)
	anna := c.a.person("anna", "")
	c.connect(anna, c.bob)
	ours, theirs := c.safety(c.alice, c.bob), c.safety(c.bob, c.alice)
	if ours.Code != theirs.Code || ours.Code.Digits() != theirs.Code.Digits() {
		t.Error("the two have different codes")
	}
	if other := c.safety(anna, c.bob); other.Code == ours.Code {
		t.Error("two people have the same code with a third one")
	}
	if ours.Verified || ours.KeyChanged {
		t.Error("verified before anything was compared")
	}
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, c.safety(anna, c.bob).Code.Digest()); !errors.Is(err, client.ErrKeyChanged) {
		t.Errorf("another code is taken for compared: %v", err)
	}
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, ours.Code.Digest()); err != nil {
		t.Fatal(err)
	}
	c.a.stop()
	c.a.start()
	if !c.safety(c.alice, c.bob).Verified || c.safety(c.bob, c.alice).Verified {
		t.Error("who has compared is verified, and only that")
	}
	if err := c.a.client.Unverify(t.Context(), c.alice, c.bob); err != nil {
		t.Fatal(err)
	}
	if c.safety(c.alice, c.bob).Verified {
		t.Error("verified after it was taken back")
	}
	for peer, want := range map[mimi.URI]error{anna: client.ErrNotConnected, {Domain: "b.example", Kind: mimi.KindUser, ID: "carol"}: client.ErrNotConnected} {
		if _, err := c.a.client.Safety(t.Context(), c.alice, peer); !errors.Is(err, want) {
			t.Errorf("code with %s: %v", peer, err)
		}
	}
}

// TestRenewedCertificateIsNoChange: certificates are renewed for the same key, and nobody
// is told.
func TestRenewedCertificateIsNoChange(t *testing.T) {
	c := quietCouple(t)
	before := c.safety(c.alice, c.bob).Code
	for range 17 {
		c.clock.Advance(24 * time.Hour)
	}
	c.settled()
	c.shared(c.alice, c.bob)
	if n := c.alerts(c.alice, c.bob); n != 0 {
		t.Errorf("told %d times", n)
	}
	if after := c.safety(c.alice, c.bob).Code; after != before {
		t.Error("the code has changed")
	}
}

// TestKeyChange: who is connected with a person is told once when they use another key,
// also after restarts; what was verified is not any more, and nothing is sent to the
// person alone until the codes are compared again.
func TestKeyChange(t *testing.T) {
	c := quietCouple(t)
	old := c.safety(c.alice, c.bob)
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, old.Code.Digest()); err != nil {
		t.Fatal(err)
	}
	if err := c.b.client.ChangeKey(t.Context(), c.bob); err != nil {
		t.Fatal(err)
	}
	room := c.shared(c.alice, c.bob)
	if e := c.alertedAbout(c.alice, c.bob, client.ReasonVerifiedChanged); !e.Room.IsZero() {
		t.Errorf("the alert is one of room %s", e.Room)
	}
	c.a.stop()
	c.a.start()
	c.shared(c.alice, c.bob)
	if n := c.alerts(c.alice, c.bob); n != 1 {
		t.Errorf("told %d times", n)
	}
	now := c.safety(c.alice, c.bob)
	if now.Code == old.Code || now.Verified || !now.KeyChanged {
		t.Errorf("verified %t, changed %t, same code %t", now.Verified, now.KeyChanged, now.Code == old.Code)
	}
	if mine := c.safety(c.bob, c.alice); mine.Code != now.Code {
		t.Error("the two have different codes")
	}
	if err := sends(c.world, c.alice, c.direct, "held back"); !errors.Is(err, client.ErrKeyChanged) {
		t.Errorf("sent to a changed key: %v", err)
	}
	c.say(c.alice, room, "groups go on", "b.example")
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, old.Code.Digest()); !errors.Is(err, client.ErrKeyChanged) {
		t.Errorf("the old code is taken for compared: %v", err)
	}
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, now.Code.Digest()); err != nil {
		t.Fatal(err)
	}
	c.say(c.alice, c.direct, "compared again", "b.example")

	// Who has not compared is told, and goes on.
	if err := c.b.client.ChangeKey(t.Context(), c.bob); err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Unverify(t.Context(), c.alice, c.bob); err != nil {
		t.Fatal(err)
	}
	c.shared(c.alice, c.bob)
	c.alertedAbout(c.alice, c.bob, client.ReasonKeyChanged)
	c.say(c.alice, c.direct, "not verified anyway", "b.example")
	if n := c.alerts(c.alice, c.bob); n != 2 {
		t.Errorf("told %d times", n)
	}
}
