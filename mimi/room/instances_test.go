package room_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// found opens a new room of alice's.
func found(t testing.TB, in room.Instance) *room.State {
	t.Helper()
	data, err := room.InitialComponents(alice, in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := room.Open(data, map[mimi.URI]int{alice: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s.Role(alice) != room.RoleAdmin || len(s.Participants()) != 1 || !s.Base().Pseudonyms {
		t.Fatalf("new room: %v, %+v", s.Participants(), s.Base())
	}
	return s
}

func invite(t testing.TB, who mimi.URI, as uint32, clients int) []room.Operation {
	t.Helper()
	ops := []room.Operation{added(t, who, as)}
	for range clients {
		ops = append(ops, room.AddClient{User: who})
	}
	return ops
}

func leave(t testing.TB, s *room.State, who mimi.URI) []room.Operation {
	t.Helper()
	ops := []room.Operation{removed(t, s, who)}
	for range s.Clients(who) {
		ops = append(ops, room.RemoveClient{User: who})
	}
	return ops
}

func commit(who mimi.URI, ops ...room.Operation) room.Change {
	return room.Change{Committer: who, Actions: by(who, ops...)}
}

func TestCooperative(t *testing.T) {
	s := found(t, room.Cooperative())
	// The creator adds bob, bob adds cathy, cathy adds nobody as an administrator.
	s = accept(t, s, commit(alice, invite(t, bob, room.RoleMember, 1)...))
	s = accept(t, s, commit(bob, invite(t, cathy, room.RoleMember, 2)...))
	refuse(t, s, commit(cathy, invite(t, dave, room.RoleAdmin, 1)...), room.ErrRoleChange)

	// Ordinary users remove nobody, and change no policy.
	refuse(t, s, commit(bob, leave(t, s, cathy)...), room.MissingCapability(room.CanRemoveParticipant))
	refuse(t, s, commit(bob, room.RemoveClient{User: cathy}), room.MissingCapability(room.CanKick))
	refuse(t, s, commit(bob, changed(t, s, cathy, room.RoleAdmin)), room.MissingCapability(room.CanChangeUserRole))
	base := s.Base()
	base.Discoverable = true
	refuse(t, s, commit(bob, update(t, room.ComponentBasePolicy, &base)), room.MissingCapability(room.CanChangeRoomMembershipStyle))

	// cathy leaves: she proposes, bob commits.
	s = accept(t, s, room.Change{Committer: bob, Actions: by(cathy, leave(t, s, cathy)...)})
	if s.Role(cathy) != room.RoleNone || s.Active(cathy) {
		t.Error("cathy is still there")
	}
	// The administrator bans bob, who cannot come back, with a code or without.
	s = accept(t, s, commit(alice, changed(t, s, bob, room.RoleBanned), room.RemoveClient{User: bob}))
	back := room.Actor{User: bob, Kind: room.Joiner, JoinCode: true}
	refuse(t, s, room.Change{Committer: bob, Actions: from(back, room.AddClient{User: bob})}, room.ErrBanned)
	s = accept(t, s, commit(alice, changed(t, s, bob, room.RoleMember)))
	// erin joins with a code, as an ordinary user and no more.
	erinJoins := room.Actor{User: erin, Kind: room.Joiner, JoinCode: true}
	refuse(t, s, room.Change{Committer: erin, Actions: from(erinJoins, invite(t, erin, room.RoleAdmin, 1)...)}, room.ErrRoleChange)
	s = accept(t, s, room.Change{Committer: erin, Actions: from(erinJoins, invite(t, erin, room.RoleMember, 1)...)})
	// The last administrator leaves; the room goes on.
	s = accept(t, s, room.Change{Committer: erin, Actions: by(alice, leave(t, s, alice)...)})
	s = accept(t, s, commit(erin, invite(t, dave, room.RoleMember, 1)...))
	if err := s.MaySend(dave, room.CanSendMessage, room.CanSendLink); err != nil {
		t.Error(err)
	}
	if err := room.Cooperative().Check(s); err != nil {
		t.Error(err)
	}
}

func TestConnectionRoom(t *testing.T) {
	s := found(t, room.ConnectionRoom())
	refuse(t, s, commit(alice, invite(t, bob, room.RoleMember, 1)...), room.MissingCapability(room.CanAddParticipant))

	join := func(who mimi.URI, role uint32, code bool) room.Change {
		a := room.Actor{User: who, Kind: room.Joiner, JoinCode: code}
		return room.Change{Committer: who, Actions: from(a, room.AddClient{User: who}, added(t, who, role))}
	}
	refuse(t, s, join(bob, room.RoleMember, false), room.MissingCapability(room.CanOpenJoin))
	refuse(t, s, join(bob, room.RoleAdmin, true), room.ErrRoleChange)
	if got := s.JoinRoles(bob, nil, true); !slices.Equal(got, []uint32{room.RoleMember}) {
		t.Errorf("roles to join in: %v", got)
	}
	s = accept(t, s, join(bob, room.RoleMember, true))

	// No third, even with a code; no policy change by either.
	refuse(t, s, join(cathy, room.RoleMember, true), room.ErrMaxUsers)
	for _, who := range []mimi.URI{alice, bob} {
		base := s.Base()
		base.MaxUsers = nil
		refuse(t, s, commit(who, update(t, room.ComponentBasePolicy, &base)), room.MissingCapability(room.CanChangeRoomMembershipStyle))
		refuse(t, s, commit(who, room.UpdateComponent{ID: room.ComponentMinimalMetadataPolicy, Data: []byte{1}}), room.MissingCapability(room.CanChangeRoomMembershipStyle))
		refuse(t, s, commit(who, changed(t, s, who, 2+3-s.Role(who))), room.MissingCapability(room.CanChangeOwnRole))
		refuse(t, s, commit(who, room.DestroyRoom{}), room.MissingCapability(room.CanDestroyRoom))
		// Each has several clients, and removes them.
		more := accept(t, s, commit(who, room.AddClient{User: who}))
		accept(t, more, commit(who, room.RemoveClient{User: who}))
	}
	// The responder removes nobody but itself; the requester may remove it.
	refuse(t, s, commit(bob, leave(t, s, alice)...), room.MissingCapability(room.CanRemoveParticipant))
	refuse(t, s, commit(bob, room.RemoveClient{User: alice}), room.MissingCapability(room.CanKick))
	accept(t, s, room.Change{Committer: alice, Actions: by(bob, leave(t, s, bob)...)})
	accept(t, s, room.Change{Committer: bob, Actions: by(alice, leave(t, s, alice)...)})
	accept(t, s, commit(alice, room.RemoveClient{User: bob}))
	s = accept(t, s, commit(alice, leave(t, s, bob)...))
	refuse(t, s, room.Change{Committer: bob, Actions: from(room.Actor{User: bob, Kind: room.Joiner}, room.AddClient{User: bob})}, room.ErrNotParticipant)
}

func TestInstanceCheck(t *testing.T) {
	group, connection := found(t, room.Cooperative()), found(t, room.ConnectionRoom())
	if err := room.ConnectionRoom().Check(connection); err != nil {
		t.Error(err)
	}
	if err := room.ConnectionRoom().Check(group); !errors.Is(err, room.ErrOtherPolicy) {
		t.Errorf("got %v", err)
	}
	data := connection.Components()
	base := connection.Base()
	base.MaxUsers = ptr(3)
	data[room.ComponentBasePolicy] = encode(t, &base)
	wider, err := room.Open(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := room.ConnectionRoom().Check(wider); !errors.Is(err, room.ErrOtherPolicy) {
		t.Errorf("a third may join: %v", err)
	}
}

// TestInstancesAreFresh: changing a returned policy changes no other.
func TestInstancesAreFresh(t *testing.T) {
	in := room.Cooperative()
	in.Roles.Roles[2].Capabilities[0] = room.CanDestroyRoom
	in.Base.Policies[0] = 0
	if got := room.Cooperative(); got.Roles.Roles[2].Capabilities[0] != room.CanAddParticipant || got.Base.Policies[0] != room.ComponentRolesList {
		t.Error("the policy is shared")
	}
}

func TestInitialComponentsRefuse(t *testing.T) {
	in := room.Cooperative()
	in.CreatorRole = 9
	if _, err := room.InitialComponents(alice, in); !errors.Is(err, room.ErrUnknownRole) {
		t.Errorf("got %v", err)
	}
	if _, err := room.InitialComponents(mimi.URI{}, room.Cooperative()); !errors.Is(err, room.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// A group room is created, its creator adds a user with one client, and the hub
// refuses what the user may not do.
func Example() {
	alice := mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: "alice"}
	bob := mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "bob"}
	components, err := room.InitialComponents(alice, room.Cooperative())
	if err != nil {
		panic(err)
	}
	state, err := room.Open(components, map[mimi.URI]int{alice: 1})
	if err != nil {
		panic(err)
	}

	update, err := room.ParticipantListUpdate{Added: []room.Participant{{User: bob, Role: room.RoleMember}}}.Operation()
	if err != nil {
		panic(err)
	}
	state, err = room.Decide(state, room.Change{Committer: alice, Actions: []room.Action{
		{Actor: room.Actor{User: alice}, Operation: update},
		{Actor: room.Actor{User: alice}, Operation: room.AddClient{User: bob}},
	}})
	fmt.Println(len(state.Participants()), err)

	err = room.Authorize(state, room.Change{Committer: bob, Actions: []room.Action{
		{Actor: room.Actor{User: bob}, Operation: room.DestroyRoom{}},
	}})
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// action 0: room: not allowed: the role lacks canDestroyRoom
}
