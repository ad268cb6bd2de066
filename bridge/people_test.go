package bridge_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"image/png"
	"slices"
	"strings"
	"testing"

	"github.com/skip2/go-qrcode"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// part lets a contact come into another state, as the engine does.
func (e *engine) part(name string, account, peer mimi.URI, from func(client.ContactState) bool, to client.ContactState, none error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call(name, account, peer); err != nil {
		return err
	}
	i := slices.IndexFunc(e.contacts, func(c *client.Contact) bool { return c.Account == account && c.Peer == peer })
	switch {
	case i < 0 && to == client.ContactBlocked:
		e.contacts = append(e.contacts, &client.Contact{Account: account, Peer: peer, State: to})
	case i < 0 || !from(e.contacts[i].State):
		return none
	case to == 0:
		e.contacts = slices.Delete(e.contacts, i, i+1)
	default:
		e.contacts[i].State = to
	}
	return nil
}

func (e *engine) RemoveContact(_ context.Context, account, peer mimi.URI) error {
	return e.part("RemoveContact", account, peer, func(s client.ContactState) bool { return s != client.ContactBlocked }, 0, client.ErrNotConnected)
}

func (e *engine) Block(_ context.Context, account, peer mimi.URI) error {
	return e.part("Block", account, peer, func(client.ContactState) bool { return true }, client.ContactBlocked, nil)
}

func (e *engine) Unblock(_ context.Context, account, peer mimi.URI) error {
	return e.part("Unblock", account, peer, func(s client.ContactState) bool { return s == client.ContactBlocked }, 0, client.ErrNotBlocked)
}

// TestCommandsAboutPeople: block, unblock and disconnect do what they say, here and in a
// direct chat without an address, and are answered with what follows.
func TestCommandsAboutPeople(t *testing.T) {
	w := newWorld(t, options{})
	_, portal := w.connected()
	account, alice := w.account("alice")
	bob := user(t, betaDomain, "bob")
	w.command(alice, "disconnect", "Usage", "address")
	w.command(alice, "disconnect carol@mimi.beta.localhost", "not connected")
	w.command(alice, "block bob", "not a MIMI address")
	w.mx.Join(t.Context(), alice, portal)
	w.mx.Say(t.Context(), alice, portal, "!mimi block")
	answer(t, w.mx, portal, "bob@mimi.beta.localhost is blocked", "not told", "unblock")
	if n := w.engine.calls("Block", account, bob); n != 1 {
		t.Errorf("blocked %d times", n)
	}
	w.command(alice, "connections", "bob@mimi.beta.localhost: blocked")
	w.engine.failing("Connect", client.ErrBlocked)
	w.command(alice, "start-chat bob@mimi.beta.localhost", "have blocked", "unblock")
	w.command(alice, "unblock bob@mimi.beta.localhost", "not blocked any more", "start-chat")
	w.command(alice, "unblock bob@mimi.beta.localhost", "have not blocked")
	w.engine.connect(account, bob)
	w.command(alice, "disconnect bob@mimi.beta.localhost", "not connected with bob@mimi.beta.localhost any more", "stays with them")
}

// TestPeerEndsTheConnection: who has left, or has closed their account, is told of in the
// direct chat and by the bot, and why nothing can be sent is said.
func TestPeerEndsTheConnection(t *testing.T) {
	for reason, sentence := range map[client.Reason]string{
		client.ReasonPeerLeft:   "bob@mimi.beta.localhost has ended the connection",
		client.ReasonPeerClosed: "bob@mimi.beta.localhost has closed their account",
	} {
		w := newWorld(t, options{})
		room, portal := w.connected()
		account, alice := w.account("alice")
		w.mx.Join(t.Context(), alice, portal)
		w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Peer: user(t, betaDomain, "bob"), Room: room, Reason: reason})
		if n := strings.Count(strings.Join(w.texts(portal, bridgetest.BotID), "\n"), sentence); n != 1 {
			t.Errorf("%s is told %d times in the chat", reason, n)
		}
		told := 0
		for _, other := range w.mx.Rooms(alice, "join") {
			if other != portal {
				told += strings.Count(strings.Join(w.texts(other, bridgetest.BotID), "\n"), sentence)
			}
		}
		for _, other := range w.mx.Rooms(alice, "invite") {
			told += strings.Count(strings.Join(w.texts(other, bridgetest.BotID), "\n"), sentence)
		}
		if told != 1 {
			t.Errorf("%s is told %d times by the bot", reason, told)
		}
	}
}

// TestConnectThroughASharedRoom: a participant of a group is asked like everybody else,
// by their address; who does not show it can't be.
func TestConnectThroughASharedRoom(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	bob := user(t, betaDomain, "bob")
	ghost := w.ghosts(portal)["bob@mimi.beta.localhost"]
	if ghost == "" {
		t.Fatalf("no ghost of Bob among %v", w.ghosts(portal))
	}
	w.mx.Say(t.Context(), alice, portal, "!mimi connect "+ghost.String())
	answer(t, w.mx, portal, "bob@mimi.beta.localhost has been asked")
	if n := w.engine.calls("Connect", account, bob); n != 1 {
		t.Errorf("asked %d times", n)
	}
	w.mx.Say(t.Context(), alice, portal, "!mimi connect [Bob]("+ghost.URI().MatrixToURL()+")")
	answer(t, w.mx, portal, "have asked this person already")
	hidden := client.Person{Pseudonym: user(t, betaDomain, "5f7a7c3e-7a8a-4f0e-8a30-0d3b51a4a6a1")}
	w.engine.mu.Lock()
	w.engine.rooms[room].Members = append(w.engine.rooms[room].Members, client.RoomMember{Person: hidden})
	w.engine.mu.Unlock()
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: people[0], Added: []client.Person{hidden}})
	for _, other := range w.ghosts(portal) {
		if other != ghost {
			w.mx.Say(t.Context(), alice, portal, "!mimi connect "+other.String())
			answer(t, w.mx, portal, "does not show who they are", "start-chat")
			return
		}
	}
	t.Error("the unverified participant has no ghost")
}

// Safety implements [bridge.Connections]: the code is about the names, and about the
// version of the engine's keys.
func (e *engine) Safety(_ context.Context, account, peer mimi.URI) (*client.Safety, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.call("Safety", account, peer); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(e.contacts, func(c *client.Contact) bool { return c.Account == account && c.Peer == peer })
	if i < 0 || e.contacts[i].State != client.ContactConnected {
		return nil, client.ErrNotConnected
	}
	party := func(u mimi.URI) *identity.SafetyParty {
		return &identity.SafetyParty{CipherSuite: suite.X25519AES128, User: u, Client: u, PublicKey: []byte{e.keys}}
	}
	code, err := identity.NewSafetyCode(party(account), party(peer))
	return &client.Safety{Code: code, Verified: e.contacts[i].Verified, KeyChanged: e.contacts[i].KeyChanged}, err
}

func (e *engine) Verify(ctx context.Context, account, peer mimi.URI, digest [sha256.Size]byte) error {
	safety, err := e.Safety(ctx, account, peer)
	e.mu.Lock()
	err = errors.Join(err, e.call("Verify", account, peer))
	e.mu.Unlock()
	if err == nil && safety.Code.Digest() != digest {
		err = client.ErrKeyChanged
	}
	if err == nil {
		err = e.mark(account, peer, true)
	}
	return err
}

func (e *engine) Unverify(_ context.Context, account, peer mimi.URI) error {
	return e.mark(account, peer, false)
}

func (e *engine) mark(account, peer mimi.URI, verified bool) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.contacts {
		if c.Account == account && c.Peer == peer {
			c.Verified = verified
			return nil
		}
	}
	return client.ErrNotConnected
}

// TestSafetyCodeCommands: the number and a picture are shown, and what was shown can be
// marked as compared; a code that is told is compared, and another one is refused.
func TestSafetyCodeCommands(t *testing.T) {
	w := newWorld(t, options{})
	_, portal := w.connected()
	account, alice := w.account("alice")
	bob := user(t, betaDomain, "bob")
	w.mx.Join(t.Context(), alice, portal)
	say := func(text string, want ...string) {
		t.Helper()
		w.mx.Say(t.Context(), alice, portal, "!mimi "+text)
		answer(t, w.mx, portal, want...)
	}
	say("verified", "have not been shown the safety code")
	safety, err := w.engine.Safety(t.Context(), account, bob)
	if err != nil {
		t.Fatal(err)
	}
	digits := strings.Fields(safety.Code.String())
	say("verify", strings.Join(digits[:4], " "), strings.Join(digits[12:], " "), "not compared it yet", "verified bob@mimi.beta.localhost")
	var picture *event.MessageEventContent
	if err := w.mx.Await(t.Context(), portal, func(r bridgetest.Room) bool {
		for _, evt := range r.Timeline {
			if m := evt.Content.AsMessage(); m.MsgType == event.MsgImage {
				picture = m
			}
		}
		return picture != nil
	}); err != nil {
		t.Fatal(err)
	}
	data, ok := w.mx.Media(picture.URL)
	if img, err := png.Decode(bytes.NewReader(data)); !ok || err != nil || img.Bounds().Dx() != 512 {
		t.Errorf("the picture is none: %v", err)
	}
	want, err := qrcode.Encode(safety.Code.Picture(), qrcode.Medium, 512)
	if err != nil || !bytes.Equal(data, want) {
		t.Errorf("the picture is of something else (%v)", err)
	}
	say("verified", "bob@mimi.beta.localhost is verified")
	w.command(alice, "connections", "bob@mimi.beta.localhost: connected, verified")
	w.engine.mu.Lock()
	w.engine.keys++
	w.engine.mu.Unlock()
	say("verified", "keys of this person have changed", "verify")
	w.command(alice, "unverify bob@mimi.beta.localhost", "is not verified any more")
	w.command(alice, "verify bob@mimi.beta.localhost "+safety.Code.String(), "not the same code", "administrator")
	now, err := w.engine.Safety(t.Context(), account, bob)
	if err != nil {
		t.Fatal(err)
	}
	w.command(alice, "verify bob@mimi.beta.localhost 1234", "no safety code", "64 digits")
	w.command(alice, "verify bob@mimi.beta.localhost "+now.Code.Picture(), "is verified")
	w.command(alice, "unverify bob@mimi.beta.localhost", "is not verified any more")
	marked := w.engine.calls("Verify", account, bob)
	w.mx.Say(t.Context(), alice, portal, "!mimi verify "+now.Code.String())
	if err := w.mx.Await(t.Context(), portal, func(bridgetest.Room) bool { return w.engine.calls("Verify", account, bob) == marked+1 }); err != nil {
		t.Errorf("a code in the direct chat was not compared: %v", err)
	}
	w.command(alice, "verify carol@mimi.beta.localhost", "not connected")
}

// TestKeyChangeIsTold in the direct chat and by the bot, with what to do next.
func TestKeyChangeIsTold(t *testing.T) {
	for _, reason := range []client.Reason{client.ReasonKeyChanged, client.ReasonVerifiedChanged} {
		w := newWorld(t, options{})
		_, portal := w.connected()
		account, alice := w.account("alice")
		w.mx.Join(t.Context(), alice, portal)
		w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Peer: user(t, betaDomain, "bob"), Reason: reason})
		n := 0
		for _, membership := range []event.Membership{event.MembershipJoin, event.MembershipInvite} {
			for _, room := range w.mx.Rooms(alice, membership) {
				for _, text := range w.texts(room, bridgetest.BotID) {
					if strings.Contains(text, "uses another key than") && strings.Contains(text, "safety codes") && strings.Contains(text, "verify") {
						n++
					}
				}
			}
		}
		if n != 2 {
			t.Errorf("%s: told %d times, and not in the chat and by the bot", reason, n)
		}
	}
}
