package bridge_test

import (
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// wantLevel checks what level somebody has in a Matrix room.
func (w *world) wantLevel(room id.RoomID, who id.UserID, want int) {
	w.t.Helper()
	power, err := w.mx.GetPowerLevels(w.t.Context(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	if got := power.GetUserLevel(who); got != want {
		w.t.Errorf("%s has level %d, and should have %d", who, got, want)
	}
}

// gives is a person giving somebody a level in a Matrix room.
func (w *world) gives(who id.UserID, room id.RoomID, to id.UserID, level int) {
	w.t.Helper()
	w.mx.SetLevels(w.t.Context(), who, room, func(power *event.PowerLevelsEventContent) { power.SetUserLevel(to, level) })
}

// TestRolesFromMatrix: who gets the level of administrators in a portal becomes one in
// MIMI, and the other way round.
func TestRolesFromMatrix(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	bob := w.ghosts(portal)["bob@mimi.beta.localhost"]
	w.wantLevel(portal, alice, 50)
	w.gives(alice, portal, bob, 50)
	if n := w.engine.calls("SetRole", account, room, people[1].User, true); n != 1 {
		t.Fatalf("Bob was made an administrator %d times", n)
	}
	w.wantLevel(portal, bob, 50)
	w.gives(alice, portal, bob, 0)
	if n := w.engine.calls("SetRole", account, room, people[1].User, false); n != 1 {
		t.Errorf("Bob was made an ordinary member %d times", n)
	}
	w.wantLevel(portal, bob, 0)
}

// TestRolesInARoomThatWasThereBefore: its levels make administrators as well, and stay as
// its people have set them.
func TestRolesInARoomThatWasThereBefore(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	account, alice := w.account("alice")
	annasAccount, anna := w.account("anna")
	room := w.mx.CreateRoomAs(alice)
	w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 50})
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Join(t.Context(), anna, room)
	w.mx.Rename(t.Context(), alice, room, "Picnic")
	w.mx.Say(t.Context(), alice, room, "!mimi create-group")
	answer(t, w.mx, room, "Successfully created group")
	group := w.groupIn(room)
	w.gives(alice, room, anna, 60)
	if n := w.engine.calls("SetRole", account, group, annasAccount, true); n != 1 {
		t.Errorf("Anna was made an administrator %d times: %q", n, w.engine.log)
	}
	w.wantLevel(room, anna, 60)
	members := w.engine.rooms[group].Members
	w.deliver(&client.Event{Kind: client.EventMembers, Room: group, Actor: members[0].Person, Changed: []client.Person{members[1].Person}})
	answer(t, w.mx, room, annasAccount.Handle()+" is an administrator of the MIMI room now")
	w.wantLevel(room, anna, 60)
	w.engine.failing("SetRole", client.ErrDenied)
	w.gives(alice, room, anna, 10)
	answer(t, w.mx, room, annasAccount.Handle()+" has the same role in MIMI as before", "rules of this room")
	w.wantLevel(room, anna, 10)
}

// TestRolesFromMIMI: a role that somebody gets elsewhere becomes a level in the portal.
func TestRolesFromMIMI(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		room, people, portal := w.group()
		_, alice := w.account("alice")
		bob := w.ghosts(portal)["bob@mimi.beta.localhost"]
		w.engine.role(room, people[1].User, true)
		w.engine.role(room, people[0].User, false)
		w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: people[1]})
		w.wantLevel(portal, bob, 50)
		w.wantLevel(portal, alice, 0)
	})
}

// TestRefusedRole: what MIMI does not follow is put back, with a reason.
func TestRefusedRole(t *testing.T) {
	for name, test := range map[string]struct {
		fail error
		want string
	}{
		"policy":      {client.ErrDenied, "rules of this room"},
		"own":         {client.ErrOwnRole, "Ask another administrator"},
		"no identity": {client.ErrAdminHides, "`identify`"},
		"no hub":      {client.ErrUnreachable, "Try again later"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{})
			_, _, portal := w.group()
			_, alice := w.account("alice")
			bob := w.ghosts(portal)["bob@mimi.beta.localhost"]
			w.engine.failing("SetRole", test.fail)
			w.gives(alice, portal, bob, 50)
			w.wantLevel(portal, bob, 0)
			answer(t, w.mx, portal, "bob@mimi.beta.localhost has the same role in MIMI as before", test.want)
		})
	}
}

// TestOtherLevelsArePutBack: MIMI has no other levels than those of its two roles.
func TestOtherLevelsArePutBack(t *testing.T) {
	for name, change := range map[string]func(*event.PowerLevelsEventContent, id.UserID){
		"between":     func(p *event.PowerLevelsEventContent, bob id.UserID) { p.SetUserLevel(bob, 25) },
		"of an event": func(p *event.PowerLevelsEventContent, _ id.UserID) { p.SetEventLevel(event.StateTopic, 50) },
		"of nobody":   func(p *event.PowerLevelsEventContent, _ id.UserID) { p.SetUserLevel("@eve:elsewhere.example", 50) },
		"of levels":   func(p *event.PowerLevelsEventContent, _ id.UserID) { p.SetEventLevel(event.StatePowerLevels, 0) },
		"of everyone": func(p *event.PowerLevelsEventContent, _ id.UserID) { p.UsersDefault = 50 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{})
			room, people, portal := w.group()
			account, alice := w.account("alice")
			bob := w.ghosts(portal)["bob@mimi.beta.localhost"]
			w.mx.SetLevels(t.Context(), alice, portal, func(p *event.PowerLevelsEventContent) { change(p, bob) })
			w.wantLevel(portal, bob, 0)
			power, err := w.mx.GetPowerLevels(t.Context(), portal)
			if err != nil || power.UsersDefault != 0 || power.GetEventLevel(event.StateTopic) != 0 ||
				power.GetEventLevel(event.StatePowerLevels) != 50 || power.GetUserLevel("@eve:elsewhere.example") != 0 {
				t.Errorf("levels %+v, %v", power, err)
			}
			answer(t, w.mx, portal, "administrators have 50", "put back")
			for _, admin := range []bool{false, true} {
				if n := w.engine.calls("SetRole", account, room, people[1].User, admin); n > 0 {
					t.Errorf("Bob got a role")
				}
			}
		})
	}
}

func TestRoleCommands(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	bob := w.ghosts(portal)["bob@mimi.beta.localhost"]
	say := func(text string) {
		before := len(w.texts(portal, bridgetest.BotID))
		w.mx.Say(t.Context(), alice, portal, "!mimi "+text)
		if err := w.mx.Await(t.Context(), portal, func(bridgetest.Room) bool { return len(w.texts(portal, bridgetest.BotID)) > before }); err != nil {
			t.Fatal(err)
		}
	}
	for n, who := range []string{"bob@mimi.beta.localhost", string(bob), "[Bob](https://matrix.to/#/" + string(bob) + ")"} {
		say("promote " + who)
		answer(t, w.mx, portal, "an administrator of this room now")
		if got := w.engine.calls("SetRole", account, room, people[1].User, true); got != n+1 {
			t.Errorf("promote %s: %d calls, %q", who, got, w.engine.log)
		}
	}
	say("demote bob@mimi.beta.localhost")
	answer(t, w.mx, portal, "an ordinary member of this room now")
	if n := w.engine.calls("SetRole", account, room, people[1].User, false); n != 1 {
		t.Errorf("demoted %d times", n)
	}
	say("promote")
	answer(t, w.mx, portal, "Usage: `!mimi promote <participant>`")
	say("promote bob")
	answer(t, w.mx, portal, "not a MIMI address")
	say("promote eve@mimi.beta.localhost")
	answer(t, w.mx, portal, "not in this room")
	w.engine.failing("SetRole", client.ErrDenied)
	say("demote bob@mimi.beta.localhost")
	answer(t, w.mx, portal, "The rules of this room do not allow it to you")
}

// TestRoleOfWhoHides: a member of whom only the pseudonym is known has a role as well.
func TestRoleOfWhoHides(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.engine.rooms[room].Members[1].User, w.engine.rooms[room].Members[1].Hidden = mimi.URI{}, true
	hidden := w.engine.rooms[room].Members[1].Person
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: people[0], Added: []client.Person{hidden}})
	var ghost id.UserID
	for name, user := range w.ghosts(portal) {
		if name != "bob@mimi.beta.localhost" {
			ghost = user
		}
	}
	w.gives(alice, portal, ghost, 50)
	if n := w.engine.calls("SetRole", account, room, hidden.Pseudonym, true); n != 1 {
		t.Errorf("made an administrator %d times: %q", n, w.engine.log)
	}
	w.mx.Say(t.Context(), alice, portal, "!mimi demote "+string(ghost))
	answer(t, w.mx, portal, "an ordinary member of this room now")
}
