package client_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// plainRoom is a plain room of Alice's with Bob in it, and Anna and Ben, who are
// their colleagues.
type plainRoom struct {
	*world
	a, b                  *gateway
	alice, anna, bob, ben mimi.URI
	room                  mimi.URI
}

func newPlainRoom(t *testing.T) *plainRoom {
	w := newWorld(t, "a.example", "b.example")
	p := &plainRoom{world: w, a: w.gateways["a.example"], b: w.gateways["b.example"]}
	p.alice, p.anna = p.a.person("alice", "Alice"), p.a.person("anna", "Anna")
	p.bob, p.ben = p.b.person("bob", "Bob"), p.b.person("ben", "Ben")
	w.connect(p.alice, p.bob)
	room, failed, err := p.a.client.CreateRoom(t.Context(), p.alice, client.RoomOptions{Name: "Plans", Topic: "Where to", Plain: true}, []mimi.URI{p.bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	p.room = room
	if e := w.join(p.bob, room); e.Name != "Plans" || e.Actor.User != p.alice || !e.Plain {
		t.Errorf("Bob was invited to %q by %v, plain %v", e.Name, e.Actor.User, e.Plain)
	}
	return p
}

// TestPlainRoom: a plain room does what every other room does, and shows its hub who
// is in it.
func TestPlainRoom(t *testing.T) {
	p := newPlainRoom(t)
	if err := p.a.client.Invite(t.Context(), p.alice, p.room, p.anna); err != nil {
		t.Fatal(err)
	}
	p.join(p.anna, p.room)
	if err := p.b.client.Invite(t.Context(), p.bob, p.room, p.ben); err != nil {
		t.Fatal(err)
	}
	p.join(p.ben, p.room)
	p.say(p.alice, p.room, "one", "b.example")
	p.say(p.anna, p.room, "two", "b.example")
	p.say(p.bob, p.room, "three", "a.example")
	p.say(p.ben, p.room, "four", "a.example")
	seen, err := p.a.hub.Participants(t.Context(), p.room)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 4 || seen[0] != p.alice || seen[1] != p.bob {
		t.Errorf("the hub sees %v", seen)
	}
	if err := p.b.client.Rename(t.Context(), p.bob, p.room, "Trip"); err != nil {
		t.Fatal(err)
	}
	p.a.await("the new name", 0, func(e *client.Event) bool {
		return e.Kind == client.EventRoom && e.Name == "Trip" && e.Actor.User == p.bob
	})
	if err := p.b.client.Leave(t.Context(), p.ben, p.room); err != nil {
		t.Fatal(err)
	}
	p.b.await("Ben is gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == p.ben })
	if err := p.a.client.Kick(t.Context(), p.alice, p.room, p.anna); err != nil {
		t.Fatal(err)
	}
	p.a.await("Anna is gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == p.anna })
	p.say(p.bob, p.room, "five", "a.example")
	p.say(p.alice, p.room, "six", "b.example")
	for _, g := range p.gateways {
		info, err := g.client.Room(t.Context(), p.room)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Members) != 2 || info.Name != "Trip" || info.Topic != "Where to" || !info.Plain || info.Kind != client.RoomGroup {
			t.Errorf("%s sees %+v", g.domain, info)
		}
		for _, m := range info.Members {
			if m.User != m.Pseudonym || m.Client.IsZero() || m.Hidden {
				t.Errorf("%s sees %+v in a plain room", g.domain, m)
			}
		}
	}
	p.a.await("Bob's name", 0, func(e *client.Event) bool {
		return e.Kind == client.EventName && e.Room == p.room && e.Peer == p.bob && e.Name == "Bob"
	})
}

// TestPlainRoomAfterRestart: nothing of a plain room is in memory alone.
func TestPlainRoomAfterRestart(t *testing.T) {
	p := newPlainRoom(t)
	for _, g := range p.gateways {
		g.stop()
		g.start()
	}
	p.say(p.bob, p.room, "one", "a.example")
	p.say(p.alice, p.room, "two", "b.example")
}

// TestPlainRoomResync: a gateway that has lost track of a plain room replaces its
// leaf by one with the same address and key.
func TestPlainRoomResync(t *testing.T) {
	p := newPlainRoom(t)
	defer p.driveClock()()
	lost := make(chan struct{})
	p.b.set(func(g *gateway) {
		g.lose = func([]byte) bool {
			g.lose = nil
			close(lost)
			return true
		}
	})
	if err := p.a.client.Rename(t.Context(), p.alice, p.room, "Trip"); err != nil {
		t.Fatal(err)
	}
	<-lost
	if err := p.a.client.Rename(t.Context(), p.alice, p.room, "Journey"); err != nil {
		t.Fatal(err)
	}
	p.b.await("joined anew", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == p.room && e.Reason == client.ReasonResync
	})
	p.say(p.bob, p.room, "one", "a.example")
	p.say(p.alice, p.room, "two", "b.example")
	info, err := p.b.client.Room(t.Context(), p.room)
	if err != nil || info.Name != "Journey" || len(info.Members) != 2 {
		t.Errorf("after a resync: %+v, %v", info, err)
	}
}

// TestPlainRoomRenewal: members see a renewed certificate, under the same address.
func TestPlainRoomRenewal(t *testing.T) {
	p := newPlainRoom(t)
	before, err := p.a.client.Room(t.Context(), p.room)
	if err != nil {
		t.Fatal(err)
	}
	p.clock.Advance(20 * 24 * time.Hour)
	p.say(p.bob, p.room, "one", "a.example")
	p.say(p.alice, p.room, "two", "b.example")
	after, err := p.a.client.Room(t.Context(), p.room)
	if err != nil {
		t.Fatal(err)
	}
	if after.Epoch <= before.Epoch || len(after.Members) != 2 || after.Members[0].Expired {
		t.Errorf("from epoch %d to %d: %+v", before.Epoch, after.Epoch, after.Members)
	}
}

// TestPlainRoomsAreOff: where the operator has not allowed plain rooms, none is made,
// and nobody is added to one.
func TestPlainRoomsAreOff(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	w.connect(alice, bob)
	b.stop()
	b.noPlainRooms = true
	b.start()
	if _, _, err := b.client.CreateRoom(t.Context(), bob, client.RoomOptions{Name: "Plans", Plain: true}, nil); !errors.Is(err, client.ErrPlainRooms) {
		t.Errorf("a plain room is made: %v", err)
	}
	_, failed, err := a.client.CreateRoom(t.Context(), alice, client.RoomOptions{Name: "Plans", Plain: true}, []mimi.URI{bob})
	if err != nil {
		t.Fatal(err)
	}
	if refused, ok := errors.AsType[*protocol.KeyMaterialError](failed[bob]); !ok || refused.Code != protocol.KeyMaterialNoConsent {
		t.Errorf("Bob is added: %v", failed[bob])
	}
}

// TestPlainRoomForContacts: only contacts are given KeyPackages for a plain room, and
// only so many.
func TestPlainRoomForContacts(t *testing.T) {
	p := newPlainRoom(t)
	if err := p.a.client.Invite(t.Context(), p.alice, p.room, p.ben); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("somebody who is no contact is invited: %v", err)
	}
	kick := func() {
		if err := p.a.client.Kick(t.Context(), p.alice, p.room, p.bob); err != nil {
			t.Fatal(err)
		}
	}
	kick()
	var err error
	for n := range client.DefaultLimits().Sets {
		if err = p.a.client.Invite(t.Context(), p.alice, p.room, p.bob); err != nil {
			if n != client.DefaultLimits().Sets-1 { // the first was used by newPlainRoom
				t.Errorf("after %d KeyPackages: %v", n+1, err)
			}
			break
		}
		kick()
	}
	if refused, ok := errors.AsType[*protocol.KeyMaterialError](err); !ok || refused.Code != protocol.KeyMaterialNoCompatibleMaterial {
		t.Errorf("there is no limit: %v", err)
	}
}

// TestPlainRoomShowsNames: what the hub stores of a plain room has real addresses and
// its name in it, which is why it is the control of the tests that look for them.
func TestPlainRoomShowsNames(t *testing.T) {
	p := newPlainRoom(t)
	rows, _, err := p.a.stores.Hub.Load(t.Context(), p.room)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, row := range rows {
		all = append(all, row.Value...)
	}
	for _, want := range []string{p.alice.String(), p.bob.String(), "Plans"} {
		if !bytes.Contains(all, []byte(want)) {
			t.Errorf("the hub does not see %s", want)
		}
	}
}
