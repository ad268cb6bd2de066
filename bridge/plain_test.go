package bridge_test

import (
	"encoding/json"
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// marked checks that people see that a Matrix room is a plain room: the bot says so,
// and the room's state does.
func (w *world) marked(room id.RoomID) {
	w.t.Helper()
	if texts := strings.Join(w.texts(room, bridgetest.BotID), "\n"); !strings.Contains(texts, "This is a plain room") {
		w.t.Errorf("the room is not said to be plain: %q", texts)
	}
	if d := w.disclosed(room); !d.Plain || !strings.Contains(d.Body, "see the real address") {
		w.t.Errorf("the state event is %+v", d)
	}
}

// disclosed returns the state event of a portal.
func (w *world) disclosed(room id.RoomID) (d bridge.Disclosure) {
	w.t.Helper()
	raw, err := json.Marshal(w.mx.Room(room).State[bridge.DisclosureEvent.Type][""])
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	if err != nil || d.Provider != alphaDomain {
		w.t.Fatalf("the state event is %s: %v", raw, err)
	}
	return d
}

// TestPlainGroup: people choose a plain room by its type, and are told what it is.
func TestPlainGroup(t *testing.T) {
	w := newWorld(t, options{plain: true, puppets: true})
	account, alice := w.account("alice")
	room := w.mx.CreateRoomAs(alice)
	w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 100})
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Rename(t.Context(), alice, room, "Picnic")
	w.mx.Say(t.Context(), alice, room, "!mimi create-group")
	answer(t, w.mx, room, "Please specify type of group", "plain", "group")
	w.mx.Say(t.Context(), alice, room, "!mimi create-group plain")
	answer(t, w.mx, room, "Successfully created group")
	if n := w.engine.calls("CreateRoom", account, "Picnic", 0); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	for _, info := range w.engine.rooms {
		if !info.Plain {
			t.Error("the group is not a plain room")
		}
	}
	w.marked(room)
}

// TestPlainGroupsAreOff: where the operator does not allow plain rooms, people are not
// offered them.
func TestPlainGroupsAreOff(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	_, alice := w.account("alice")
	room := w.mx.CreateRoomAs(alice)
	w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 100})
	w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
	w.mx.Rename(t.Context(), alice, room, "Picnic")
	w.mx.Say(t.Context(), alice, room, "!mimi create-group plain")
	answer(t, w.mx, room, "Failed to create group")
	if len(w.engine.rooms) > 0 {
		t.Error("a room was made")
	}
}

// TestInvitedToPlainRoom: who is added to a plain room reads what it is before they
// join, and before the first message.
func TestInvitedToPlainRoom(t *testing.T) {
	w := newWorld(t, options{})
	account, alice := w.account("alice")
	room, people := w.engine.room(client.RoomGroup, "Picnic", user(t, betaDomain, "bob"), account)
	w.engine.rooms[room].Plain = true
	w.engine.state(room, account, client.LeafInvited)
	w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: account, Actor: people[0], Name: "Picnic", Plain: true})
	portal := w.portal(room)
	w.wantMember(portal, alice, event.MembershipInvite)
	actions := w.mx.Actions()
	if last := actions[len(actions)-1]; last.Who != alice || !strings.Contains(last.Reason, "plain room") {
		t.Errorf("the invitation is %+v", last)
	}
	w.marked(portal)
}

// TestOtherRoomsAreNotPlain: the marks are those of plain rooms alone.
func TestOtherRoomsAreNotPlain(t *testing.T) {
	w := newWorld(t, options{plain: true})
	_, _, portal := w.group()
	if d := w.disclosed(portal); d.Plain || strings.Contains(d.Body, "plain room") {
		t.Errorf("the state event is %+v", d)
	}
}

// TestKeyMaterialIsExplained: people are told why somebody can't be added.
func TestKeyMaterialIsExplained(t *testing.T) {
	w := newWorld(t, options{})
	_, _, portal := w.group()
	_, alice := w.account("alice")
	_, anna := w.account("anna")
	for code, want := range map[protocol.KeyMaterialUserCode]string{
		protocol.KeyMaterialNoConsent:            "does not allow this kind of room",
		protocol.KeyMaterialNoCompatibleMaterial: "Try again in an hour",
		protocol.KeyMaterialUserDeleted:          "nobody with this address any more",
	} {
		w.engine.failing("Invite", &protocol.KeyMaterialError{Code: code})
		w.mx.Invite(t.Context(), alice, anna, portal)
		answer(t, w.mx, portal, want)
	}
}
