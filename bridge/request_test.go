package bridge_test

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// request lets Bob ask Alice, and returns the room of the request.
func (w *world) request() (ref client.Ref, room id.RoomID) {
	w.t.Helper()
	account, alice := w.account("alice")
	bob := user(w.t, betaDomain, "bob")
	ref = w.engine.ask(account, bob)
	w.deliver(&client.Event{Kind: client.EventAsked, Account: account, Peer: bob, Request: ref})
	rooms := w.mx.Rooms(alice, event.MembershipInvite)
	if len(rooms) != 1 {
		w.t.Fatalf("Alice is invited to %d rooms", len(rooms))
	}
	return ref, rooms[0]
}

// both runs a test with and without double puppeting.
func both(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	for name, puppets := range map[string]bool{"puppets": true, "no puppets": false} {
		t.Run(name, func(t *testing.T) { f(t, newWorld(t, options{puppets: puppets})) })
	}
}

// TestRequestIsNoPortal: nothing but the person can accept a request, also where
// the gateway may act as the person.
func TestRequestIsNoPortal(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		_, room := w.request()
		portals, err := w.bridge.GetAllPortals(t.Context())
		if err != nil || len(portals) != 0 {
			t.Errorf("there are %d portals (%v)", len(portals), err)
		}
		state := w.mx.Room(room).State
		if name := state[event.StateRoomName.Type][""].AsRoomName().Name; name != "bob@mimi.beta.localhost" {
			t.Errorf("the room is called %q", name)
		}
		if topic := state[event.StateTopic.Type][""]; topic == nil || !strings.Contains(topic.AsTopic().Topic, "Join to accept") {
			t.Error("the room does not explain what joining means")
		}
		invitations := w.mx.Actions()
		last := invitations[len(invitations)-1]
		if !w.bridge.IsGhostMXID(last.By) || last.Who != bridgetest.UserID("alice") || !strings.Contains(last.Reason, "bob@mimi.beta.localhost wants to talk to you") {
			t.Errorf("the invitation is %+v", last)
		}
		w.wantMember(room, bridgetest.UserID("alice"), event.MembershipInvite)
	})
}

// TestWithdrawnRequestIsTakenBack: of a request that has expired, or whose sender was
// blocked, no invitation stays.
func TestWithdrawnRequestIsTakenBack(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ref, room := w.request()
		account, alice := w.account("alice")
		w.deliver(&client.Event{Kind: client.EventWithdrawn, Account: account, Peer: user(t, betaDomain, "bob"), Request: ref})
		w.wantMember(room, alice, event.MembershipLeave)
		w.deliver(&client.Event{Kind: client.EventWithdrawn, Account: account, Peer: user(t, betaDomain, "bob"), Request: client.Ref{1}})
	})
}

// connected lets the engine connect Alice with Bob.
func (w *world) connected() (room mimi.URI, portal id.RoomID) {
	w.t.Helper()
	account, _ := w.account("alice")
	bob := user(w.t, betaDomain, "bob")
	room = w.engine.connect(account, bob)
	w.deliver(&client.Event{Kind: client.EventConnected, Account: account, Peer: bob, Room: room})
	return room, w.portal(room)
}

func TestJoiningAccepts(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ref, room := w.request()
		account, alice := w.account("alice")
		w.mx.Join(t.Context(), alice, room)
		if n := w.engine.calls("Accept", account, ref); n != 1 {
			t.Fatalf("the request was accepted %d times", n)
		}
		_, portal := w.connected()
		if portal != room {
			t.Errorf("the portal is %s and not the room that Alice has joined", portal)
		}
		w.wantMember(portal, alice, event.MembershipJoin)
		if _, ok := w.ghosts(portal)["bob@mimi.beta.localhost"]; !ok {
			t.Errorf("the ghosts in the chat are %v", w.ghosts(portal))
		}
		w.mx.Say(t.Context(), alice, portal, "hello")
		if texts := w.texts(portal, bridgetest.BotID); len(texts) != 1 || !strings.Contains(texts[0], "can read what is written") {
			t.Errorf("the bot has said %q", texts)
		}
	})
}

func TestAcceptingByCommand(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		ref, room := w.request()
		account, alice := w.account("alice")
		w.command(alice, "requests", "bob@mimi.beta.localhost")
		w.command(alice, "accept bob@mimi.beta.localhost", "You are connected with bob@mimi.beta.localhost")
		if n := w.engine.calls("Accept", account, ref); n != 1 {
			t.Fatalf("the request was accepted %d times", n)
		}
		_, portal := w.connected()
		if portal != room {
			t.Errorf("the portal is %s and not the room of the request", portal)
		}
		// Alice has said yes, so that the gateway may join for her if it can.
		want := event.MembershipInvite
		if u, err := w.bridge.GetUserByMXID(t.Context(), alice); err != nil {
			t.Fatal(err)
		} else if u.DoublePuppet(t.Context()) != nil {
			want = event.MembershipJoin
		}
		w.wantMember(portal, alice, want)
	})
}

func TestDeclining(t *testing.T) {
	account := user(t, alphaDomain, "alice")
	for name, decline := range map[string]func(w *world, alice id.UserID, room id.RoomID){
		"by leaving": func(w *world, alice id.UserID, room id.RoomID) { w.mx.Leave(w.t.Context(), alice, room) },
		"by command": func(w *world, alice id.UserID, _ id.RoomID) {
			w.command(alice, "decline bob@mimi.beta.localhost", "is not told")
		},
		"by saying so": func(w *world, alice id.UserID, room id.RoomID) {
			// Joined, but the other side could not be reached.
			w.engine.failing("Accept", client.ErrUnreachable)
			w.mx.Join(w.t.Context(), alice, room)
			answer(w.t, w.mx, room, "not connected yet", "cannot be reached", "accept")
			w.mx.Say(w.t.Context(), alice, room, "who are you?")
			answer(w.t, w.mx, room, "Nobody reads this yet")
			w.mx.Say(w.t.Context(), alice, room, "decline")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{puppets: true})
			ref, room := w.request()
			alice := bridgetest.UserID("alice")
			decline(w, alice, room)
			if n := w.engine.calls("Decline", account, ref); n != 1 {
				t.Errorf("the request was declined %d times", n)
			}
			for who, membership := range w.mx.Room(room).Members {
				if membership != event.MembershipLeave {
					t.Errorf("%s is still in the room: %s", who, membership)
				}
			}
			// A repeat of the request's event shows nothing.
			w.deliver(&client.Event{Kind: client.EventAsked, Account: account, Peer: user(t, betaDomain, "bob"), Request: ref})
			if rooms := w.mx.Rooms(alice, event.MembershipInvite); len(rooms) != 0 {
				t.Error("Alice is invited again")
			}
		})
	}
}

// TestRetryingToAccept: who has joined while the other provider was out of reach
// can try again in the same room.
func TestRetryingToAccept(t *testing.T) {
	w := newWorld(t, options{})
	ref, room := w.request()
	account, alice := w.account("alice")
	w.engine.failing("Accept", client.ErrUnreachable)
	w.mx.Join(t.Context(), alice, room)
	w.engine.failing("Accept", nil)
	w.mx.Say(t.Context(), alice, room, "accept")
	if n := w.engine.calls("Accept", account, ref); n != 2 {
		t.Errorf("there were %d attempts", n)
	}
	if _, portal := w.connected(); portal != room {
		t.Error("the room is not the chat")
	}
}

// TestStrangersCannotAnswer: only the person who is asked can.
func TestStrangersCannotAnswer(t *testing.T) {
	w := newWorld(t, options{})
	_, room := w.request()
	anna := bridgetest.UserID("anna")
	w.mx.Join(t.Context(), anna, room)
	w.mx.Say(t.Context(), anna, room, "decline")
	for _, line := range w.engine.log {
		if strings.HasPrefix(line, "Accept") || strings.HasPrefix(line, "Decline") {
			t.Errorf("somebody else has answered: %s", line)
		}
	}
}

// TestRequestsForThoseWithoutLogin are declined, which tells nobody.
func TestRequestsForThoseWithoutLogin(t *testing.T) {
	w := newWorld(t, options{provision: config.AutoProvisionOff})
	account, alice := w.account("alice")
	bob := user(t, betaDomain, "bob")
	ref := w.engine.ask(account, bob)
	w.deliver(&client.Event{Kind: client.EventAsked, Account: account, Peer: bob, Request: ref})
	if n := w.engine.calls("Decline", account, ref); n != 1 {
		t.Errorf("the request was declined %d times", n)
	}
	if rooms := w.mx.Rooms(alice, event.MembershipInvite); len(rooms) != 0 {
		t.Error("Alice is invited")
	}
}

// TestRequestSurvivesFailures lets each request to the homeserver fail in turn:
// in the end there is one invitation.
func TestRequestSurvivesFailures(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t, options{puppets: true})
		account, alice := w.account("alice")
		bob := user(t, betaDomain, "bob")
		e := &client.Event{Kind: client.EventAsked, Account: account, Peer: bob, Request: w.engine.ask(account, bob), Seq: 1}
		w.mx.FailAt(n)
		err := w.connector.Deliver(t.Context(), e)
		failed := w.mx.Failed()
		if failed && err == nil {
			t.Errorf("request %d failed, and the event is forgotten", n)
		}
		if err := w.connector.Deliver(t.Context(), e); err != nil {
			t.Fatalf("after failure %d: %v", n, err)
		}
		if rooms := w.mx.Rooms(alice, event.MembershipInvite); len(rooms) != 1 {
			t.Errorf("after failure %d Alice has %d invitations", n, len(rooms))
		}
		if !failed {
			return
		}
	}
}

func TestStartChat(t *testing.T) {
	alice := bridgetest.UserID("alice")
	account := user(t, alphaDomain, "alice")
	bob := user(t, betaDomain, "bob")
	for name, test := range map[string]struct {
		text  string
		fail  error
		parts []string
		asked int
	}{
		"address":     {"bob@mimi.beta.localhost", nil, []string{"has been asked", "bob@mimi.beta.localhost"}, 1},
		"im":          {"im:bob@mimi.beta.localhost", nil, []string{"has been asked"}, 1},
		"mimi":        {"mimi://mimi.beta.localhost/u/bob", nil, []string{"has been asked"}, 1},
		"no address":  {"bob", nil, []string{"not a MIMI address", "bob@example.org"}, 0},
		"unreachable": {"bob@mimi.beta.localhost", client.ErrUnreachable, []string{"cannot be reached", "later"}, 1},
		"nobody":      {"bob@mimi.beta.localhost", client.ErrNoPerson, []string{"Nobody can be reached"}, 1},
		"colleague":   {"bob@mimi.beta.localhost", client.ErrColleague, []string{"own homeserver", "Matrix id"}, 1},
		"twice":       {"bob@mimi.beta.localhost", client.ErrAlreadyAsked, []string{"asked this person already"}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{})
			if test.fail != nil {
				w.engine.failing("Connect", test.fail)
			}
			w.command(alice, "start-chat "+test.text, test.parts...)
			if n := w.engine.calls("Connect", account, bob); n != test.asked {
				t.Errorf("Bob was asked %d times", n)
			}
		})
	}
}

// TestAskerGetsAChat: the chat is there when the other person has accepted, and
// the command says where it is from then on.
func TestAskerGetsAChat(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		_, alice := w.account("alice")
		w.command(alice, "start-chat bob@mimi.beta.localhost", "has been asked")
		w.engine.contacts = nil
		_, portal := w.connected()
		if m := w.mx.Room(portal).Members[alice]; m != event.MembershipInvite && m != event.MembershipJoin {
			t.Errorf("Alice is %q in the chat", m)
		}
		w.command(alice, "start-chat bob@mimi.beta.localhost", "connected with bob@mimi.beta.localhost already", string(portal))
		w.command(alice, "connections", "bob@mimi.beta.localhost: connected")
	})
}

// TestNamesOfDirectChatsStayThere: what one person knows from a chat is not shown
// to others.
func TestNamesOfDirectChatsStayThere(t *testing.T) {
	w := newWorld(t, options{})
	room, portal := w.connected()
	bob := w.engine.rooms[room].Members[0].Person
	w.engine.contacts[0].Name = "Bob Dodgson"
	w.deliver(&client.Event{Kind: client.EventName, Room: room, Actor: bob, Peer: bob.User, Name: "Bob Dodgson"})
	ghost, ok := w.ghosts(portal)["Bob Dodgson (bob@mimi.beta.localhost)"]
	if !ok {
		t.Fatalf("the ghosts are %v", w.ghosts(portal))
	}
	if name, _, err := w.mx.Displayname(t.Context(), ghost); name != "bob@mimi.beta.localhost" || err != nil {
		t.Errorf("the ghost's profile says %q (%v)", name, err)
	}
	if name := w.mx.Room(portal).State[event.StateRoomName.Type][""].AsRoomName().Name; name != "Bob Dodgson (bob@mimi.beta.localhost)" {
		t.Errorf("the chat is called %q", name)
	}
}
