package bridge_test

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// TestBeingAdded: an invitation names who added the person, and nothing is sent
// for them before they join.
func TestBeingAdded(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		account, alice := w.account("alice")
		room, people := w.engine.room(client.RoomGroup, "Picnic", user(t, betaDomain, "bob"), account)
		w.engine.state(room, account, client.LeafInvited)
		w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: account, Actor: people[0], Name: "Picnic"})
		portal := w.portal(room)
		w.wantMember(portal, alice, event.MembershipInvite)
		actions := w.mx.Actions()
		last := actions[len(actions)-1]
		if last.Who != alice || last.By != w.ghosts(portal)["bob@mimi.beta.localhost"] {
			t.Errorf("the invitation is %+v, and the ghosts are %v", last, w.ghosts(portal))
		}
		// Further events do not let a double puppet in.
		w.deliver(&client.Event{Kind: client.EventRoom, Room: room, Actor: people[0], Name: "Picnic"})
		w.says(room, people[0], textOf("are you coming?"))
		w.wantMember(portal, alice, event.MembershipInvite)
		if w.engine.calls("Join", account, room) != 0 {
			t.Error("the gateway has joined for Alice")
		}
		w.mx.Join(t.Context(), alice, portal)
		if n := w.engine.calls("Join", account, room); n != 1 {
			t.Errorf("Alice's joining was told %d times", n)
		}
	})
}

// TestColleagueIsAddedFromElsewhere: a further person here is invited to the
// portal that is there.
func TestColleagueIsAddedFromElsewhere(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		room, people, portal := w.group()
		account, anna := w.account("anna")
		w.engine.add(w.engine.rooms[room], account, false, client.LeafInvited)
		w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: account, Actor: people[1], Name: "Picnic"})
		w.wantMember(w.portal(room), anna, event.MembershipInvite)
		actions := w.mx.Actions()
		last := actions[len(actions)-1]
		if last.Who != anna || last.Room != portal || last.By != w.ghosts(portal)["bob@mimi.beta.localhost"] {
			t.Errorf("the invitation is %+v", last)
		}
		if w.engine.calls("Join", account, room) != 0 {
			t.Error("the gateway has joined for Anna")
		}
	})
}

// TestUninvitedGuests: who comes into the Matrix room without being in the MIMI
// room is put out.
func TestUninvitedGuests(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	_, _, portal := w.group()
	anna := bridgetest.UserID("anna")
	w.mx.Join(t.Context(), anna, portal)
	w.wantMember(portal, anna, event.MembershipLeave)
	answer(t, w.mx, portal, "Somebody who is in the MIMI room has to invite them")
}

// TestDirectChatsAreForTwo: nobody else is let in.
func TestDirectChatsAreForTwo(t *testing.T) {
	w := newWorld(t, options{})
	_, portal := w.connected()
	anna := bridgetest.UserID("anna")
	w.mx.Invite(t.Context(), bridgetest.UserID("alice"), anna, portal)
	w.wantMember(portal, anna, event.MembershipLeave)
	answer(t, w.mx, portal, "A direct chat is for two people", "create-group")
}

func TestDecliningAGroup(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	account, alice := w.account("alice")
	room, people := w.engine.room(client.RoomGroup, "Picnic", user(t, betaDomain, "bob"), account)
	w.engine.state(room, account, client.LeafInvited)
	w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: account, Actor: people[0]})
	portal := w.portal(room)
	w.mx.Leave(t.Context(), alice, portal)
	if n := w.engine.calls("Leave", account, room); n != 1 {
		t.Errorf("Alice's declining was told %d times", n)
	}
	w.deliver(&client.Event{Kind: client.EventGone, Room: room, Account: account, Actor: people[1]})
	w.wantMember(portal, alice, event.MembershipLeave)
}

// TestJoinedBeforeInvited: who was invited in Matrix, and has joined there before
// the invitation came by way of MIMI, joins when it comes.
func TestJoinedBeforeInvited(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, anna := w.account("anna")
	w.engine.failing("Join", client.ErrNotMember) // the Welcome is still under way
	w.mx.Invite(t.Context(), bridgetest.UserID("alice"), anna, portal)
	w.mx.Join(t.Context(), anna, portal)
	w.engine.failing("Join", nil)
	before := w.engine.calls("Join", account, room)
	w.once = true
	w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: account, Actor: people[0]})
	if n := w.engine.calls("Join", account, room) - before; n != 1 {
		t.Errorf("Anna's joining was told %d times", n)
	}
}

func TestInvitingInMatrix(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	account, alice := w.account("alice")
	annasAccount, anna := w.account("anna")
	w.mx.Invite(t.Context(), alice, anna, portal)
	if n := w.engine.calls("Invite", account, room, annasAccount); n != 1 {
		t.Errorf("Anna was added %d times", n)
	}
	// Ben is a contact: his ghost is known from a chat.
	ben := user(t, betaDomain, "ben")
	chat := w.engine.connect(account, ben)
	w.deliver(&client.Event{Kind: client.EventConnected, Account: account, Peer: ben, Room: chat})
	ghost := w.ghosts(w.portal(chat))["ben@mimi.beta.localhost"]
	w.mx.Invite(t.Context(), alice, ghost, portal)
	if n := w.engine.calls("Invite", account, room, ben); n != 1 {
		t.Errorf("Ben was added %d times", n)
	}
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: w.engine.rooms[room].Members[0].Person, Added: w.people(room, ben)})
	w.wantMember(portal, ghost, event.MembershipJoin)
}

// people returns members of a room.
func (w *world) people(room mimi.URI, users ...mimi.URI) (out []client.Person) {
	for _, m := range w.engine.rooms[room].Members {
		for _, u := range users {
			if m.User == u {
				out = append(out, m.Person)
			}
		}
	}
	return out
}

// TestRefusedInvitation: what MIMI does not follow is undone, with a reason.
func TestRefusedInvitation(t *testing.T) {
	for name, test := range map[string]struct {
		who  id.UserID
		fail error
		want string
	}{
		"policy":    {bridgetest.UserID("anna"), client.ErrDenied, "rules of this room do not allow"},
		"busy":      {bridgetest.UserID("anna"), client.ErrBusy, "Try again"},
		"elsewhere": {"@eve:elsewhere.example", nil, "Only people of this homeserver can be invited by their Matrix id"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{puppets: true})
			_, _, portal := w.group()
			w.engine.failing("Invite", test.fail)
			w.mx.Invite(t.Context(), bridgetest.UserID("alice"), test.who, portal)
			w.wantMember(portal, test.who, event.MembershipLeave)
			answer(t, w.mx, portal, string(test.who)+" was not added", test.want)
		})
	}
}

func TestRemovingInMatrix(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	ghost := w.ghosts(portal)["bob@mimi.beta.localhost"]
	w.mx.Kick(t.Context(), alice, ghost, portal)
	if n := w.engine.calls("Kick", account, room, people[1].User); n != 1 {
		t.Errorf("Bob was removed %d times", n)
	}
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: people[0], Removed: people[1:]})
	w.wantMember(portal, ghost, event.MembershipLeave)
}

func TestRefusedRemoval(t *testing.T) {
	w := newWorld(t, options{})
	_, _, portal := w.group()
	w.engine.failing("Kick", client.ErrDenied)
	ghost := w.ghosts(portal)["bob@mimi.beta.localhost"]
	w.mx.Kick(t.Context(), bridgetest.UserID("alice"), ghost, portal)
	w.wantMember(portal, ghost, event.MembershipJoin)
	answer(t, w.mx, portal, "bob@mimi.beta.localhost is still in the MIMI room", "rules of this room")
}

// TestBeingRemoved: who is removed from a group by somebody elsewhere is out of the
// Matrix room before anything that follows is shown there.
func TestBeingRemoved(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		room, people, portal := w.group()
		annasAccount, anna := w.account("anna")
		w.mx.Invite(t.Context(), bridgetest.UserID("alice"), anna, portal)
		w.mx.Join(t.Context(), anna, portal)
		w.engine.drop(room, annasAccount)
		w.deliver(&client.Event{Kind: client.EventGone, Room: room, Account: annasAccount, Actor: people[1]})
		w.wantMember(portal, anna, event.MembershipLeave)
		w.says(room, people[1], textOf("now we can talk"))
		w.wantMember(portal, anna, event.MembershipLeave)
		actions := w.mx.Actions()
		last := actions[len(actions)-1]
		if last.Who != anna || last.Reason != "Removed by bob@mimi.beta.localhost" {
			t.Errorf("the removal is %+v", last)
		}
	})
}

// TestTheLastOneIsRemoved: nobody here is in the room any more when it is told.
func TestTheLastOneIsRemoved(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.engine.drop(room, account)
	w.deliver(&client.Event{Kind: client.EventGone, Room: room, Account: account, Actor: people[1]})
	w.wantMember(portal, alice, event.MembershipLeave)
}

func TestLeaving(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	account, alice := w.account("alice")
	w.mx.Leave(t.Context(), alice, portal)
	if n := w.engine.calls("Leave", account, room); n != 1 {
		t.Errorf("Alice's leaving was told %d times", n)
	}
}

// TestLeavingIsQueued: who leaves a room whose provider is out of reach is told that
// they will have left.
func TestLeavingIsQueued(t *testing.T) {
	w := newWorld(t, options{})
	_, _, portal := w.group()
	_, alice := w.account("alice")
	w.engine.failing("Leave", client.ErrLeaving)
	w.mx.Leave(t.Context(), alice, portal)
	u, err := w.bridge.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	if texts := w.texts(u.ManagementRoom, bridgetest.BotID); len(texts) != 1 || !strings.Contains(texts[0], "The others see you leave as soon as it can be") {
		t.Errorf("Alice is told %q", texts)
	}
}

// TestInvitedWithoutALogin: who has no login leaves; that the hub hears of it later holds
// nothing up.
func TestInvitedWithoutALogin(t *testing.T) {
	w := newWorld(t, options{})
	room, people, _ := w.group()
	nobody := user(t, alphaDomain, "mimibot") // the bot itself
	w.engine.failing("Leave", client.ErrLeaving)
	w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: nobody, Actor: people[1]})
	if n := w.engine.calls("Leave", nobody, room); n == 0 {
		t.Error("nobody has left")
	}
}

func TestSomebodyElsewhereLeaves(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	ghost := w.ghosts(portal)["bob@mimi.beta.localhost"]
	w.engine.drop(room, people[1].User)
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: people[1], Removed: people[1:]})
	w.wantMember(portal, ghost, event.MembershipLeave)
}

func TestNameOfTheRoom(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.mx.Rename(t.Context(), alice, portal, "Tea")
	if n := w.engine.calls("Rename", account, room, "Tea"); n != 1 {
		t.Errorf("the new name was told %d times", n)
	}
	w.engine.rooms[room].Name = "Croquet"
	w.deliver(&client.Event{Kind: client.EventRoom, Room: room, Actor: people[1], Name: "Croquet"})
	if name := w.mx.Room(portal).State[event.StateRoomName.Type][""].AsRoomName().Name; name != "Croquet" {
		t.Errorf("the room is called %q", name)
	}
	w.engine.failing("Rename", client.ErrDenied)
	w.mx.Rename(t.Context(), alice, portal, "Nonsense")
	if name := w.mx.Room(portal).State[event.StateRoomName.Type][""].AsRoomName().Name; name != "Croquet" {
		t.Errorf("a name that was refused stays: %q", name)
	}
}

func TestNamesOfPeople(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.deliver(&client.Event{Kind: client.EventName, Room: room, Actor: people[1], Peer: people[1].User, Name: "Bob Dodgson"})
	if _, ok := w.ghosts(portal)["Bob Dodgson (bob@mimi.beta.localhost)"]; !ok {
		t.Errorf("the ghosts are %v", w.ghosts(portal))
	}
	w.mx.SetDisplayname(t.Context(), alice, portal, "Alice Liddell")
	if n := w.engine.calls("SetName", account, "Alice Liddell"); n != 1 {
		t.Errorf("Alice's new name was told %d times", n)
	}
}

// TestUnverifiedMembers have a ghost in their room alone, until it turns out who
// they are.
func TestUnverifiedMembers(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	ben := user(t, betaDomain, "ben")
	unknown := w.engine.add(w.engine.rooms[room], ben, false, client.LeafJoined)
	members := w.engine.rooms[room].Members
	members[len(members)-1].User = mimi.URI{}
	known := unknown
	unknown.User = mimi.URI{}
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Added: []client.Person{unknown}})
	ghost, ok := w.ghosts(portal)[unknown.Pseudonym.Handle()+" (unverified)"]
	if !ok {
		t.Fatalf("the ghosts are %v", w.ghosts(portal))
	}
	members[len(members)-1].User = ben
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: known, Added: []client.Person{known}})
	if got := w.ghosts(portal)["ben@mimi.beta.localhost"]; got != ghost {
		t.Errorf("the ghosts are %v, and Ben's was %s", w.ghosts(portal), ghost)
	}
}

func TestAlerts(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.deliver(&client.Event{Kind: client.EventAlert, Room: room, Actor: people[1], Reason: client.ReasonQuarantine})
	answer(t, w.mx, portal, "whom bob@mimi.beta.localhost brought could not be verified")
	w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Peer: people[1].User, Reason: client.ReasonIdentityCA})
	w.deliver(&client.Event{Kind: client.EventRefused, Account: account, Peer: people[1].User, Reason: client.ReasonExpired})
	u, err := w.bridge.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	texts := w.texts(u.ManagementRoom, bridgetest.BotID)
	if len(texts) != 2 || !strings.Contains(texts[0], "other keys") || !strings.Contains(texts[1], "30 days") {
		t.Errorf("the bot has said %q", texts)
	}
}

// TestAlertsOfReuse: a pseudonym in two rooms is told in the room, with who it is about and
// what to do; and to whom used keys belong, in the chat with the bot.
func TestAlertsOfReuse(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.deliver(&client.Event{Kind: client.EventAlert, Room: room, Actor: people[1], Reason: client.ReasonSharedPseudonym})
	answer(t, w.mx, portal, "In this room bob@mimi.beta.localhost has the same pseudonym", "ask them in another way", "remove them")
	w.deliver(&client.Event{Kind: client.EventAlert, Room: room, Actor: client.Person{Pseudonym: people[1].Pseudonym, Hidden: true}, Reason: client.ReasonSharedPseudonym})
	answer(t, w.mx, portal, "In this room somebody has the same pseudonym")
	w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Peer: people[1].User, Reason: client.ReasonLastResort})
	u, err := w.bridge.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	texts := w.texts(u.ManagementRoom, bridgetest.BotID)
	if len(texts) != 1 || !strings.Contains(texts[0], "rooms that bob@mimi.beta.localhost adds you to") || !strings.Contains(texts[0], "you don't have to do anything") {
		t.Errorf("the bot has said %q", texts)
	}
}

// TestLostRoomIsTold: who has lost a room hears in it whether anybody is asked for help,
// and what to do otherwise.
func TestLostRoomIsTold(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	w.deliver(&client.Event{Kind: client.EventAlert, Room: room, Reason: client.ReasonLost, Count: 2})
	answer(t, w.mx, portal, "lost track of this room, and asks your contacts", "`join <link>`")
	w.deliver(&client.Event{Kind: client.EventAlert, Room: room, Reason: client.ReasonLost})
	answer(t, w.mx, portal, "nobody in it whom it could ask", "Ask a member", "`join <link>`")
}

// TestGroupIsNoManagementRoom: what is said in a room that was made for a group is sent to
// it, and not taken for a command, although bridgev2 has made it the management room of
// who invited the bot.
func TestGroupIsNoManagementRoom(t *testing.T) {
	w := newWorld(t, options{})
	_, alice := w.account("alice")
	managed := func() id.RoomID {
		u, err := w.bridge.GetUserByMXID(t.Context(), alice)
		if err != nil {
			t.Fatal(err)
		}
		return u.ManagementRoom
	}
	room := w.mx.CreateRoomAs(alice)
	w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 100})
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	if managed() != room {
		t.Fatalf("the management room is %q", managed())
	}
	w.mx.Rename(t.Context(), alice, room, "Picnic")
	w.mx.Say(t.Context(), alice, room, "!mimi create-group")
	answer(t, w.mx, room, "Successfully created group")
	group := w.groupIn(room)
	source, _ := w.mx.Say(t.Context(), alice, room, "help yourselves to the cake")
	if w.engine.message(group, string(source)) == nil {
		t.Error("what Alice says in the group is not sent")
	}
	w.command(alice, "help", "create-group") // in another room
	if managed() == room {
		t.Error("the group is still the management room")
	}
}

func TestCreateGroup(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	account, alice := w.account("alice")
	annasAccount, anna := w.account("anna")
	ben := user(t, betaDomain, "ben")
	chat := w.engine.connect(account, ben)
	w.deliver(&client.Event{Kind: client.EventConnected, Account: account, Peer: ben, Room: chat})
	ghost := w.ghosts(w.portal(chat))["ben@mimi.beta.localhost"]
	w.engine.failing("Invite "+ben.String(), client.ErrUnreachable)

	room := w.mx.CreateRoomAs(alice)
	w.mx.Power(room, map[id.UserID]int{alice: 100})
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Join(t.Context(), anna, room)
	w.mx.Invite(t.Context(), alice, ghost, room)
	w.mx.Rename(t.Context(), alice, room, "Picnic")

	w.mx.Say(t.Context(), alice, room, "!mimi create-group")
	answer(t, w.mx, room, "Failed to create group", "The bot may not invite", "power level 50")
	w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 100})
	w.mx.Say(t.Context(), alice, room, "!mimi create-group")
	answer(t, w.mx, room, "Successfully created group", "ben@mimi.beta.localhost", "cannot be reached")
	if n := w.engine.calls("CreateRoom", account, "Picnic", 2); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	group := w.groupIn(room)
	if n := w.engine.calls("Join", annasAccount, group); n != 1 {
		t.Errorf("Anna, who is in the room already, has joined %d times", n)
	}
	if texts := w.texts(room, bridgetest.BotID); !strings.Contains(strings.Join(texts, "\n"), "can read what is written here") {
		t.Errorf("nothing is disclosed: %q", texts)
	}
}
