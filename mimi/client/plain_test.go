package client_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
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
	lose, lost := next(mls.ContentCommit) // not a name that is on its way
	p.b.set(func(g *gateway) { g.lose = lose })
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
	for range 16 {
		p.clock.Advance(24 * time.Hour)
	}
	p.renewed(p.room)
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

// TestPlainKeyMaterialIsForWhoSigned: a hub gets no KeyPackage by saying that it is
// for somebody else than who asks, and strangers get none; the answer is the same as
// for somebody who does not exist.
func TestPlainKeyMaterialIsForWhoSigned(t *testing.T) {
	p := newPlainRoom(t)
	var seen *protocol.KeyMaterialRequest
	p.b.set(func(g *gateway) {
		g.handOut = func(req *protocol.KeyMaterialRequest, _ *protocol.KeyMaterialResponse) { seen = req }
	})
	if err := p.a.client.Invite(t.Context(), p.alice, p.room, p.bob); !errors.Is(err, client.ErrAlreadyMember) || seen != nil {
		t.Fatalf("who is there: %v, key material was fetched: %v", err, seen != nil)
	}
	if err := p.a.client.Kick(t.Context(), p.alice, p.room, p.bob); err != nil {
		t.Fatal(err)
	}
	if err := p.a.client.Invite(t.Context(), p.alice, p.room, p.bob); err != nil || seen == nil {
		t.Fatalf("who was removed: %v, key material was fetched: %v", err, seen != nil)
	}
	ask := func(from string, change func(*protocol.KeyMaterialRequest)) protocol.KeyMaterialUserCode {
		t.Helper()
		req := *seen
		if change != nil {
			change(&req)
		}
		answer, err := p.b.client.UserKeyMaterial(t.Context(), from, &req)
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status != protocol.KeyMaterialSuccess && len(answer.Clients) > 0 {
			t.Error("a refusal has KeyPackages")
		}
		return answer.Status
	}
	if code := ask("a.example", nil); code != protocol.KeyMaterialSuccess {
		t.Fatalf("the request is answered by %d", code)
	}
	nobody := mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "nobody"}
	for name, refused := range map[string]protocol.KeyMaterialUserCode{
		"another hub":       ask("c.example", nil),
		"in another's name": ask("a.example", func(req *protocol.KeyMaterialRequest) { req.RequestingUser = p.anna }),
		"for another user":  ask("a.example", func(req *protocol.KeyMaterialRequest) { req.TargetUser = p.ben }),
		"for nobody":        ask("a.example", func(req *protocol.KeyMaterialRequest) { req.TargetUser = nobody }),
		"for another room":  ask("a.example", func(req *protocol.KeyMaterialRequest) { req.Room.ID = "3a1f7d52-7d3b-4c55-9a67-0d3a0c5f7e11" }),
		"with a bad signature": ask("a.example", func(req *protocol.KeyMaterialRequest) {
			req.Signature = append(bytes.Clone(req.Signature[1:]), req.Signature[0])
		}),
		"with a basic credential": ask("a.example", func(req *protocol.KeyMaterialRequest) {
			req.Requester.Credential = mls.BasicCredential([]byte(p.alice.String()))
		}),
	} {
		if refused != protocol.KeyMaterialNoConsent {
			t.Errorf("%s: answered by %d", name, refused)
		}
	}
}

// TestPlainKeyPackageOfAnotherUser: a provider that hands out somebody else's
// KeyPackage, under the right name, does not get that person into the room.
func TestPlainKeyPackageOfAnotherUser(t *testing.T) {
	p := newPlainRoom(t)
	p.connect(p.alice, p.ben)
	var bens *protocol.KeyMaterialResponse
	p.b.set(func(g *gateway) {
		g.handOut = func(_ *protocol.KeyMaterialRequest, answer *protocol.KeyMaterialResponse) { bens = answer }
	})
	if err := p.a.client.Kick(t.Context(), p.alice, p.room, p.bob); err != nil {
		t.Fatal(err)
	}
	if err := p.a.client.Invite(t.Context(), p.alice, p.room, p.ben); err != nil {
		t.Fatal(err)
	}
	p.b.set(func(g *gateway) {
		g.handOut = func(_ *protocol.KeyMaterialRequest, answer *protocol.KeyMaterialResponse) {
			answer.Clients[0].KeyPackage = bens.Clients[0].KeyPackage
		}
	})
	if err := p.a.client.Invite(t.Context(), p.alice, p.room, p.bob); !errors.Is(err, keymaterial.ErrOtherPerson) {
		t.Errorf("the KeyPackage of another user: %v", err)
	}
}

// TestPeerWithoutProfile: with a provider that has no minimal-metadata rooms there are
// plain rooms only. It has no connections either, and decides itself who may be added.
func TestPeerWithoutProfile(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, bob := a.person("alice", "Alice"), b.person("bob", "Bob")
	b.set(func(g *gateway) { g.noProfile = true })
	room, failed, err := a.client.CreateRoom(t.Context(), alice, client.RoomOptions{}, []mimi.URI{bob})
	if err != nil || !errors.Is(failed[bob], client.ErrNotConnected) {
		t.Errorf("Bob is added to a minimal-metadata room: %v, %v", err, failed[bob])
	}
	_, failed, err = a.client.CreateRoom(t.Context(), alice, client.RoomOptions{Plain: true}, []mimi.URI{bob})
	if refused, ok := errors.AsType[*protocol.KeyMaterialError](failed[bob]); err != nil || !ok || refused.Code != protocol.KeyMaterialNoConsent {
		t.Errorf("his provider was not asked: %v, %v", err, failed[bob])
	}
	if _, err := a.client.MakeLink(t.Context(), alice, room, client.LinkOptions{}); err != nil {
		t.Error(err)
	}
}

// TestNotInPlainRooms: what plain rooms do not have is refused with a reason.
func TestNotInPlainRooms(t *testing.T) {
	p := newPlainRoom(t)
	if _, err := p.a.client.MakeLink(t.Context(), p.alice, p.room, client.LinkOptions{}); !errors.Is(err, client.ErrPlainRoom) {
		t.Errorf("a join link: %v", err)
	}
	if err := p.a.client.Loosen(t.Context(), p.alice, p.room, identity.RequireAdmins); !errors.Is(err, client.ErrPlainRoom) {
		t.Errorf("another policy: %v", err)
	}
	if err := p.a.client.Identify(t.Context(), p.alice, p.room); err != nil {
		t.Errorf("showing who one is, where everybody sees it: %v", err)
	}
}
