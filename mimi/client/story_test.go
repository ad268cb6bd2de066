package client_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func TestConnectAndTalk(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	alice := w.gateways["a.example"].person("alice", "Alice")
	w.gateways["b.example"].people["bob"] = "Bob"
	bob, err := mimi.UserURI("b.example", "bob")
	if err != nil {
		t.Fatal(err)
	}
	room := w.connect(alice, bob)
	w.say(alice, room, "hello", "b.example")
	w.say(bob, room, "hi", "a.example")
}

func TestGroup(t *testing.T) {
	w := newWorld(t, "a.example", "b.example")
	a, b := w.gateways["a.example"], w.gateways["b.example"]
	alice, anna := a.person("alice", "Alice"), a.person("anna", "Anna")
	bob, ben := b.person("bob", "Bob"), b.person("ben", "Ben")
	w.connect(alice, bob)
	room, failed, err := a.client.CreateRoom(t.Context(), alice, client.RoomOptions{Name: "Plans"}, []mimi.URI{bob})
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	if e := w.join(bob, room); e.Name != "Plans" || e.Actor.User != alice {
		t.Errorf("Bob was invited to %q by %v", e.Name, e.Actor.User)
	}
	if err := a.client.Invite(t.Context(), alice, room, anna); err != nil {
		t.Fatal(err)
	}
	w.join(anna, room)
	if err := b.client.Invite(t.Context(), bob, room, ben); err != nil {
		t.Fatal(err)
	}
	w.join(ben, room)
	w.say(alice, room, "one", "b.example")
	w.say(anna, room, "two", "b.example")
	w.say(bob, room, "three", "a.example")
	w.say(ben, room, "four", "a.example")
	if err := b.client.Leave(t.Context(), ben, room); err != nil {
		t.Fatal(err)
	}
	b.await("Ben is gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == ben })
	if err := a.client.Kick(t.Context(), alice, room, anna); err != nil {
		t.Fatal(err)
	}
	a.await("Anna is gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == anna })
	w.say(bob, room, "five", "a.example")
	w.say(alice, room, "six", "b.example")
	for _, g := range w.gateways {
		info, err := g.client.Room(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		if len(info.Members) != 2 || info.Name != "Plans" {
			t.Errorf("%s sees %q with %d members", g.domain, info.Name, len(info.Members))
		}
	}
}
