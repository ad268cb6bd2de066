package bridge_test

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// botSays returns what the bot has said to Alice alone.
func (w *world) botSays() string {
	w.t.Helper()
	var all []string
	for _, room := range w.mx.Rooms(bridgetest.UserID("alice"), event.MembershipJoin) {
		all = append(all, w.texts(room, bridgetest.BotID)...)
	}
	for _, room := range w.mx.Rooms(bridgetest.UserID("alice"), event.MembershipInvite) {
		all = append(all, w.texts(room, bridgetest.BotID)...)
	}
	return strings.Join(all, "\n")
}

// TestStartChatAsksForConsent: somebody whose provider has no chats under pseudonyms is
// asked for consent, and the asker is told what that means.
func TestStartChatAsksForConsent(t *testing.T) {
	w := newWorld(t, options{plain: true, puppets: true})
	account, alice := w.account("alice")
	bob := user(t, betaDomain, "bob")
	w.engine.failing("Connect", protocol.ErrNoProfile)
	room := w.mx.CreateRoomAs(alice)
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Say(t.Context(), alice, room, "!mimi start-chat bob@mimi.beta.localhost")
	answer(t, w.mx, room, "no chats under pseudonyms", "everybody's address", "whether you may add them")
	if n := w.engine.calls("AskConsent", account, bob); n != 1 {
		t.Errorf("consent was asked for %d times", n)
	}
	for err, words := range map[error]string{
		client.ErrAlreadyAsked: "have asked this person already", client.ErrConsented: "has agreed already",
		client.ErrNotAsked: "does not take requests", client.ErrNoPerson: "Nobody can be reached",
	} {
		w.engine.failing("AskConsent", err)
		w.mx.Say(t.Context(), alice, room, "!mimi start-chat bob@mimi.beta.localhost")
		answer(t, w.mx, room, words)
	}
}

// TestStartChatWithoutPlainRooms: where plain groups are off, nobody is asked for consent.
func TestStartChatWithoutPlainRooms(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	account, alice := w.account("alice")
	w.engine.failing("Connect", protocol.ErrNoProfile)
	room := w.mx.CreateRoomAs(alice)
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Say(t.Context(), alice, room, "!mimi start-chat bob@mimi.beta.localhost")
	answer(t, w.mx, room, "does not offer chats under pseudonyms")
	if n := w.engine.calls("AskConsent", account, user(t, betaDomain, "bob")); n != 0 {
		t.Errorf("consent was asked for %d times", n)
	}
}

// TestConsentRequest: a request for consent is shown as every other one, says what it is,
// and its room goes when it is answered.
func TestConsentRequest(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		account, alice := w.account("alice")
		bob := user(t, betaDomain, "bob")
		ref := w.engine.ask(account, bob)
		w.deliver(&client.Event{Kind: client.EventAsked, Account: account, Peer: bob, Request: ref, Plain: true})
		rooms := w.mx.Rooms(alice, event.MembershipInvite)
		if len(rooms) != 1 {
			t.Fatalf("Alice is invited to %d rooms", len(rooms))
		}
		topic := w.mx.Room(rooms[0]).State[event.StateTopic.Type][""].AsTopic().Topic
		if !strings.Contains(topic, "wants to add you to plain groups") || !strings.Contains(topic, "everybody's address") {
			t.Errorf("the room says %q", topic)
		}
		w.mx.Join(t.Context(), alice, rooms[0])
		if n := w.engine.calls("Accept", account, ref); n != 1 {
			t.Fatalf("the request was accepted %d times", n)
		}
		w.deliver(&client.Event{Kind: client.EventConsented, Account: account, Peer: bob, Request: ref})
		w.wantMember(rooms[0], alice, event.MembershipLeave)
		if n := strings.Count(w.botSays(), "can add you to plain groups now"); n != 1 {
			t.Errorf("the bot has said it %d times: %q", n, w.botSays())
		}
	})
}

// TestConsentRequestForOneRoom: a person is told that it is about one group.
func TestConsentRequestForOneRoom(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	account, alice := w.account("alice")
	ref := w.engine.ask(account, user(t, betaDomain, "bob"))
	w.deliver(&client.Event{Kind: client.EventAsked, Account: account, Peer: user(t, betaDomain, "bob"), Request: ref, Plain: true, OneRoom: true})
	rooms := w.mx.Rooms(alice, event.MembershipInvite)
	if len(rooms) != 1 || !strings.Contains(w.mx.Room(rooms[0]).State[event.StateTopic.Type][""].AsTopic().Topic, "to one plain group") {
		t.Fatalf("%d rooms", len(rooms))
	}
	w.mx.Leave(t.Context(), alice, rooms[0])
	if n := w.engine.calls("Decline", account, ref); n != 1 {
		t.Errorf("declined %d times", n)
	}
}

// TestConsentAnswers: people are told what came of their requests.
func TestConsentAnswers(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	account, _ := w.account("alice")
	bob := user(t, betaDomain, "bob")
	for _, e := range []*client.Event{
		{Kind: client.EventGranted},
		{Kind: client.EventGranted, OneRoom: true},
		{Kind: client.EventRefused, Reason: client.ReasonNotAsked},
		{Kind: client.EventRefused, Reason: client.ReasonConsentRefused},
		{Kind: client.EventAlert, Reason: client.ReasonConsentRevoked},
	} {
		e.Account, e.Peer = account, bob
		w.deliver(e)
	}
	said := w.botSays()
	for _, want := range []string{
		"has agreed that you add them to plain groups", "to one group, and not to others", "does not take requests to add them",
		"does not want to be added to plain groups by you.", "by you any more",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the bot has not said %q: %q", want, said)
		}
	}
}

// TestConsentIsListed: requests and connections say what is about plain groups.
func TestConsentIsListed(t *testing.T) {
	w := newWorld(t, options{plain: true, puppets: true})
	account, alice := w.account("alice")
	bob := user(t, betaDomain, "bob")
	w.engine.ask(account, bob)
	w.engine.requests[0].Plain = true
	room := w.mx.CreateRoomAs(alice)
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Say(t.Context(), alice, room, "!mimi requests")
	answer(t, w.mx, room, "bob@mimi.beta.localhost, to add you to plain groups, since")
	w.mx.Say(t.Context(), alice, room, "!mimi accept")
	answer(t, w.mx, room, "You have agreed")
	w.engine.consents = []*client.Consent{
		{Account: account, Peer: bob, Side: client.ConsentOfAccount, State: client.ConsentGranted},
		{Account: account, Peer: bob, Side: client.ConsentOfPeer, State: client.ConsentAsked},
		{Account: account, Peer: bob, Side: client.ConsentOfPeer, State: client.ConsentGranted},
		{Account: account, Peer: bob, Side: client.ConsentOfAccount, State: client.ConsentGranted, Room: user(t, betaDomain, "x")},
	}
	w.mx.Say(t.Context(), alice, room, "!mimi connections")
	answer(t, w.mx, room, "can add you to plain groups", "has not answered", "has agreed that you add them", "can add you to one plain group")
}
