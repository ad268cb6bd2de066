package room_test

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The roles of the capability tests: alice acts in role actorRole, bob and cathy
// have targetRole, dave is banned, erin is outside.
const (
	targetRole uint32 = 2
	actorRole  uint32 = 3
	otherRole  uint32 = 4
)

var staff = []room.Claim{{CredentialType: 2, ID: []byte("dept"), Value: []byte("hr")}}

// stage returns a room where the actor's role, or role zero, has the given
// capabilities and transitions; zero is the role of outsiders, and joining is what
// the preauthorized role has.
func stage(t testing.TB, actor, zero, joining []room.Capability, transitions bool) *room.State {
	t.Helper()
	var all, open []room.Transition
	if transitions {
		all = []room.Transition{
			{From: 0, To: []uint32{1, 2, 4}},
			{From: 1, To: []uint32{0, 2, 4}},
			{From: 2, To: []uint32{0, 1, 4}},
			{From: 3, To: []uint32{0, 4}},
		}
		open = []room.Transition{{From: 0, To: []uint32{2}}}
	}
	roles := []room.Role{
		{Index: 0, Name: "no_role", Capabilities: zero, Transitions: open},
		{Index: 1, Name: "banned", MaxActive: ptr(0)},
		{Index: targetRole, Name: "target"},
		{Index: actorRole, Name: "actor", Capabilities: actor, Transitions: all},
		{Index: otherRole, Name: "other", Capabilities: joining},
	}
	return setting{
		roles: roles,
		base:  room.BasePolicy{MultiDevice: true},
		people: []room.Participant{
			{User: alice, Role: actorRole},
			{User: bob, Role: targetRole},
			{User: cathy, Role: targetRole},
			{User: dave, Role: room.RoleBanned},
		},
		clients: map[mimi.URI]int{alice: 2, bob: 2},
		preauth: []room.Preauthorization{{Claims: staff, Role: roles[4]}},
		more: map[room.ComponentID]wire.Message{
			room.ComponentRoomMetadata: &room.RoomMetadata{URI: "mimi://hub.example/r/x", Name: "before"},
			room.ComponentJoinLinks:    &room.JoinLinks{Links: [][]byte{[]byte("one")}},
		},
	}.open(t)
}

// A capabilityCase is a change that takes one capability.
type capabilityCase struct {
	name string
	need room.Capability
	// instead are capabilities that allow the change as well.
	instead []room.Capability
	// transition says that authorized_role_changes is consulted.
	transition bool
	// committer is not alice where alice leaves.
	committer mimi.URI
	change    func(t testing.TB, s *room.State) []room.Action
}

func metadataCase(need room.Capability, edit func(*room.RoomMetadata)) capabilityCase {
	return capabilityCase{name: need.String(), need: need, change: func(t testing.TB, _ *room.State) []room.Action {
		m := room.RoomMetadata{URI: "mimi://hub.example/r/x", Name: "before"}
		edit(&m)
		return by(alice, update(t, room.ComponentRoomMetadata, &m))
	}}
}

func componentCase(need room.Capability, id room.ComponentID, m wire.Message) capabilityCase {
	return capabilityCase{name: id.String(), need: need, change: func(t testing.TB, _ *room.State) []room.Action {
		return by(alice, update(t, id, m))
	}}
}

// memberCases are changes by alice, a member.
func memberCases() []capabilityCase {
	return []capabilityCase{
		{
			name: "add a participant with clients", need: room.CanAddParticipant, transition: true,
			change: func(t testing.TB, _ *room.State) []room.Action {
				return by(alice, added(t, erin, targetRole), room.AddClient{User: erin}, room.AddClient{User: erin})
			},
		},
		{
			name: "add the clients of an inactive participant", need: room.CanAddParticipant, transition: true,
			change: func(testing.TB, *room.State) []room.Action { return by(alice, room.AddClient{User: cathy}) },
		},
		{
			name: "remove a participant with clients", need: room.CanRemoveParticipant, transition: true,
			change: func(t testing.TB, s *room.State) []room.Action {
				return by(alice, removed(t, s, bob), room.RemoveClient{User: bob}, room.RemoveClient{User: bob})
			},
		},
		{
			name: "add an own client", need: room.CanAddOwnClient,
			change: func(testing.TB, *room.State) []room.Action { return by(alice, room.AddClient{User: alice}) },
		},
		{
			name: "remove an own client", need: room.CanRemoveOwnClient,
			change: func(testing.TB, *room.State) []room.Action { return by(alice, room.RemoveClient{User: alice}) },
		},
		{
			name: "leave", need: room.CanRemoveSelf, transition: true, committer: bob,
			change: func(t testing.TB, s *room.State) []room.Action {
				return by(alice, removed(t, s, alice), room.RemoveClient{User: alice}, room.RemoveClient{User: alice})
			},
		},
		{
			name: "ban", need: room.CanBan, transition: true,
			instead: []room.Capability{room.CanChangeUserRole},
			change: func(t testing.TB, s *room.State) []room.Action {
				return by(alice, changed(t, s, bob, 1), room.RemoveClient{User: bob}, room.RemoveClient{User: bob})
			},
		},
		{
			name: "ban an outsider", need: room.CanBan, transition: true,
			instead: []room.Capability{room.CanAddParticipant},
			change:  func(t testing.TB, _ *room.State) []room.Action { return by(alice, added(t, erin, 1)) },
		},
		{
			name: "unban", need: room.CanUnban, transition: true,
			instead: []room.Capability{room.CanChangeUserRole},
			change:  func(t testing.TB, s *room.State) []room.Action { return by(alice, changed(t, s, dave, targetRole)) },
		},
		{
			name: "kick", need: room.CanKick,
			change: func(testing.TB, *room.State) []room.Action {
				return by(alice, room.RemoveClient{User: bob}, room.RemoveClient{User: bob})
			},
		},
		{
			name: "change the role of another", need: room.CanChangeUserRole, transition: true,
			change: func(t testing.TB, s *room.State) []room.Action { return by(alice, changed(t, s, bob, otherRole)) },
		},
		{
			name: "change the own role", need: room.CanChangeOwnRole,
			change: func(t testing.TB, s *room.State) []room.Action {
				return from(room.Actor{User: alice, Claims: staff}, changed(t, s, alice, otherRole))
			},
		},
		{
			name: "add a join link", need: room.CanCreateJoinCode,
			change: func(t testing.TB, _ *room.State) []room.Action {
				return by(alice, update(t, room.ComponentJoinLinks, &room.JoinLinksUpdate{Added: [][]byte{[]byte("two")}}))
			},
		},
		{
			name: "remove a join link", need: room.CanDeleteJoinCode,
			change: func(t testing.TB, _ *room.State) []room.Action {
				return by(alice, update(t, room.ComponentJoinLinks, &room.JoinLinksUpdate{Removed: []uint32{0}}))
			},
		},
		{
			name: "remove the join links", need: room.CanDeleteJoinCode,
			change: func(testing.TB, *room.State) []room.Action {
				return by(alice, room.RemoveComponent{ID: room.ComponentJoinLinks})
			},
		},
		{
			name: "remove the metadata", need: room.CanChangeRoomName,
			change: func(testing.TB, *room.State) []room.Action {
				return by(alice, room.RemoveComponent{ID: room.ComponentRoomMetadata})
			},
		},
		metadataCase(room.CanChangeRoomName, func(m *room.RoomMetadata) { m.Name = "after" }),
		metadataCase(room.CanChangeRoomDescription, func(m *room.RoomMetadata) {
			m.Descriptions = []room.RichDescription{{Content: []byte("words")}}
		}),
		metadataCase(room.CanChangeRoomAvatar, func(m *room.RoomMetadata) { m.Avatar = "https://x.example/a.png" }),
		metadataCase(room.CanChangeRoomSubject, func(m *room.RoomMetadata) { m.Subject = "after" }),
		metadataCase(room.CanChangeRoomMood, func(m *room.RoomMetadata) { m.Mood = "after" }),
		{
			name: "reinit", need: room.CanSendMLSReinitProposal,
			change: func(testing.TB, *room.State) []room.Action { return by(alice, room.ReInit{}) },
		},
		{
			name: "destroy", need: room.CanDestroyRoom,
			change: func(testing.TB, *room.State) []room.Action { return by(alice, room.DestroyRoom{}) },
		},
		componentCase(room.CanChangeRoomMembershipStyle, room.ComponentBasePolicy, &room.BasePolicy{
			MultiDevice: true, Discoverable: true,
			Policies: []room.ComponentID{room.ComponentRolesList, room.ComponentPreauthList},
		}),
		{
			name: "change role definitions", need: room.CanChangeRoleDefinitions,
			change: func(t testing.TB, s *room.State) []room.Action {
				roles := rolesOf(t, s)
				roles.Roles[2].Description = "after"
				return by(alice, update(t, room.ComponentRolesList, roles))
			},
		},
		componentCase(room.CanChangePreauthorizedUserList, room.ComponentPreauthList, &room.PreauthorizedUsers{}),
		componentCase(room.CanChangeMLSOperationalPolicies, room.ComponentOperationalPolicy, &room.OperationalParameters{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentStatusPolicy, &room.StatusNotificationPolicy{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentJoinLinkPolicy, &room.JoinLinkPolicy{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentLinkPreviewPolicy, &room.LinkPreviewPolicy{ProxyUse: room.Forbidden}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentAssetPolicy, &room.AssetPolicy{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentLoggingPolicy, &room.LoggingPolicy{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentHistoryPolicy, &room.HistoryPolicy{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentBotPolicy, &room.BotPolicy{}),
		componentCase(room.CanChangeOtherPolicyAttribute, room.ComponentExpirationPolicy, &room.MessageExpiration{}),
	}
}

func rolesOf(t testing.TB, s *room.State) *room.RoleList {
	t.Helper()
	data, _ := s.Component(room.ComponentRolesList)
	roles, err := room.Decode[room.RoleList](data)
	if err != nil {
		t.Fatal(err)
	}
	return &roles
}

// allBut returns every capability that a role other than zero can have, without
// some.
func allBut(t testing.TB, without ...room.Capability) []room.Capability {
	t.Helper()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(registry(t))), func(c room.Capability) bool {
		return c == room.CanOpenJoin || slices.Contains(without, c)
	})
}

// TestCapabilities gives the actor one capability and expects success, then every
// other capability and expects failure: no capability does the work of another
// but those that the draft names.
func TestCapabilities(t *testing.T) {
	for _, tc := range memberCases() {
		t.Run(tc.name, func(t *testing.T) {
			run := func(s *room.State) room.Change {
				return room.Change{Committer: cmp.Or(tc.committer, alice), Actions: tc.change(t, s)}
			}
			s := stage(t, []room.Capability{tc.need}, nil, nil, true)
			accept(t, s, run(s))

			s = stage(t, allBut(t, append(tc.instead, tc.need)...), nil, nil, true)
			refuse(t, s, run(s), room.MissingCapability(tc.need))

			s = stage(t, []room.Capability{tc.need}, nil, nil, false)
			if tc.transition {
				refuse(t, s, run(s), room.ErrRoleChange)
			} else {
				accept(t, s, run(s))
			}
			for _, other := range tc.instead {
				s = stage(t, []room.Capability{other, room.CanKick}, nil, nil, true)
				accept(t, s, run(s))
			}
		})
	}
}

// TestJoining covers the capabilities with which people come in from outside.
func TestJoining(t *testing.T) {
	join := func(t testing.TB, a room.Actor, role uint32) room.Change {
		a.Kind = room.Joiner
		return room.Change{Committer: a.User, Actions: from(a, room.AddClient{User: a.User}, added(t, a.User, role))}
	}
	one := func(c room.Capability) []room.Capability { return []room.Capability{c} }
	stranger, invited, hired := room.Actor{User: erin}, room.Actor{User: erin, JoinCode: true}, room.Actor{User: erin, Claims: staff}
	elsewhere := room.Actor{User: erin, JoinCode: true, CodeRole: otherRole}

	for _, tc := range []struct {
		name          string
		zero, joining []room.Capability
		transitions   bool
		actor         room.Actor
		role          uint32
		want          error
	}{
		{"open", one(room.CanOpenJoin), nil, true, stranger, targetRole, nil},
		{"open, but closed", one(room.CanUseJoinCode), allBut(t), true, stranger, targetRole, room.MissingCapability(room.CanOpenJoin)},
		{"open, role not listed", one(room.CanOpenJoin), nil, true, stranger, otherRole, room.ErrRoleChange},
		{"open, no entry for role zero", one(room.CanOpenJoin), nil, false, stranger, targetRole, room.ErrRoleChange},
		{"open, as banned", one(room.CanOpenJoin), nil, true, stranger, room.RoleBanned, room.ErrBanned},

		{"code", one(room.CanUseJoinCode), nil, true, invited, targetRole, nil},
		{"code, not usable", nil, allBut(t), true, invited, targetRole, room.MissingCapability(room.CanUseJoinCode)},
		{"code, role not listed", one(room.CanUseJoinCode), nil, true, invited, otherRole, room.ErrRoleChange},
		{"code, for another role", one(room.CanUseJoinCode), nil, true, elsewhere, targetRole, room.ErrJoinCode},
		{"no code", one(room.CanUseJoinCode), nil, true, stranger, targetRole, room.MissingCapability(room.CanOpenJoin)},

		{"preauthorized", nil, one(room.CanJoinIfPreauthorized), false, hired, otherRole, nil},
		{"preauthorized, without capability", nil, allBut(t, room.CanJoinIfPreauthorized), true, hired, otherRole, room.MissingCapability(room.CanJoinIfPreauthorized)},
		{"preauthorized, for another role", nil, one(room.CanJoinIfPreauthorized), true, hired, targetRole, room.ErrPreauthorization},
		{"preauthorized, wrong claims", nil, one(room.CanJoinIfPreauthorized), true, room.Actor{User: erin, Claims: []room.Claim{{CredentialType: 2, ID: []byte("dept"), Value: []byte("it")}}}, otherRole, room.MissingCapability(room.CanOpenJoin)},
		{"preauthorized, through the open door", one(room.CanOpenJoin), nil, true, hired, targetRole, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := stage(t, nil, tc.zero, tc.joining, tc.transitions)
			ch := join(t, tc.actor, tc.role)
			roles := s.JoinRoles(erin, tc.actor.Claims, tc.actor.JoinCode)
			if tc.want != nil {
				refuse(t, s, ch, tc.want)
				if slices.Contains(roles, tc.role) && tc.actor.CodeRole == 0 {
					t.Errorf("JoinRoles offers %v", roles)
				}
				return
			}
			if next := accept(t, s, ch); next.Role(erin) != tc.role || next.Clients(erin) != 1 {
				t.Error("not joined")
			}
			if !slices.Contains(roles, tc.role) {
				t.Errorf("JoinRoles offers %v", roles)
			}
		})
	}

	t.Run("a banned user is not preauthorized", func(t *testing.T) {
		s := stage(t, nil, one(room.CanOpenJoin), one(room.CanJoinIfPreauthorized), true)
		banned := room.Actor{User: dave, Kind: room.Joiner, Claims: staff, JoinCode: true}
		refuse(t, s, room.Change{Actions: from(banned, room.AddClient{User: dave})}, room.ErrBanned)
		refuse(t, s, room.Change{Actions: from(banned, room.AddClient{User: dave}, changed(t, s, dave, otherRole))}, room.MissingCapability(room.CanChangeOwnRole))
		refuse(t, s, room.Change{Actions: from(banned, room.AddClient{User: dave}, added(t, dave, otherRole))}, room.ErrSameUser)
		if roles := s.JoinRoles(dave, staff, true); len(roles) > 0 {
			t.Errorf("JoinRoles offers %v", roles)
		}
	})
	t.Run("without entering the list", func(t *testing.T) {
		s := stage(t, nil, one(room.CanOpenJoin), nil, true)
		refuse(t, s, room.Change{Actions: from(room.Actor{User: erin, Kind: room.Joiner}, room.AddClient{User: erin})}, room.ErrNotParticipant)
	})
	t.Run("a member puts nobody in its own place", func(t *testing.T) {
		s := stage(t, nil, one(room.CanOpenJoin), nil, true)
		refuse(t, s, room.Change{Actions: by(erin, added(t, erin, targetRole), room.AddClient{User: erin})}, room.ErrNotMember)
	})
}

// TestOwnClientFromOutside covers external commits by participants.
func TestOwnClientFromOutside(t *testing.T) {
	again := func(a room.Actor, ops ...room.Operation) room.Change {
		a.User, a.Kind = alice, room.Joiner
		return room.Change{Committer: alice, Actions: from(a, append([]room.Operation{room.AddClient{User: alice}}, ops...)...)}
	}
	resync := room.RemoveClient{User: alice}
	may := stage(t, []room.Capability{room.CanAddOwnClient}, nil, nil, false)
	accept(t, may, again(room.Actor{}))
	if next := accept(t, may, again(room.Actor{}, resync)); next.Clients(alice) != 2 {
		t.Errorf("after a resync there are %d clients", next.Clients(alice))
	}
	mayNot := stage(t, allBut(t, room.CanAddOwnClient), nil, nil, true)
	refuse(t, mayNot, again(room.Actor{}), room.MissingCapability(room.CanAddOwnClient))
	refuse(t, mayNot, again(room.Actor{}, resync), room.MissingCapability(room.CanAddOwnClient))
	accept(t, mayNot, again(room.Actor{JoinCode: true})) // canUseJoinCode, held by a participant
	none := stage(t, nil, nil, nil, true)
	refuse(t, none, again(room.Actor{JoinCode: true}), room.MissingCapability(room.CanAddOwnClient))
	refuse(t, may, again(room.Actor{}, room.RemoveClient{User: bob}), room.MissingCapability(room.CanKick))
}

// TestPreauthorizedSender covers a hub that acts from outside in the role that it
// is preauthorized for (draft-ietf-mimi-room-policy-03, section 4).
func TestPreauthorizedSender(t *testing.T) {
	sender := room.Actor{User: hub, Kind: room.ExternalSender, Claims: staff}
	s := stage(t, nil, nil, []room.Capability{room.CanKick}, true)
	kick := room.RemoveClient{User: bob}
	accept(t, s, room.Change{Actions: from(sender, kick)})
	sender.Claims = nil
	refuse(t, s, room.Change{Actions: from(sender, kick)}, room.MissingCapability(room.CanKick))
}

func TestKickedUsersComeBack(t *testing.T) {
	s := stage(t, []room.Capability{room.CanKick}, nil, nil, false)
	s = accept(t, s, room.Change{Committer: alice, Actions: by(alice, room.RemoveClient{User: bob}, room.RemoveClient{User: bob})})
	if s.Role(bob) != targetRole || s.Active(bob) {
		t.Error("a kick changes more or less than the clients")
	}
	refuse(t, s, room.Change{Actions: by(bob, room.ReInit{})}, room.ErrNotMember)
}

// TestProposalsAreTheirSenders covers commits of what others have proposed.
func TestProposalsAreTheirSenders(t *testing.T) {
	s := stage(t, []room.Capability{room.CanRemoveSelf, room.CanRemoveOwnClient}, nil, nil, true)
	leaving := by(alice, removed(t, s, alice), room.RemoveClient{User: alice})
	// bob, who has no capability at all, commits, and sweeps alice's second client.
	sweep := append(slices.Clone(leaving), by(bob, room.RemoveClient{User: alice})...)
	if next := accept(t, s, room.Change{Committer: bob, Actions: sweep}); next.Role(alice) != room.RoleNone {
		t.Error("alice is still there")
	}
	refuse(t, s, room.Change{Committer: bob, Actions: leaving}, room.ErrClientsRemain)
	refuse(t, s, room.Change{Committer: alice, Actions: sweep}, room.ErrCommitterLeaves)
	forged := by(bob, removed(t, s, alice), room.RemoveClient{User: alice}, room.RemoveClient{User: alice})
	refuse(t, s, room.Change{Committer: bob, Actions: forged}, room.MissingCapability(room.CanRemoveParticipant))
}

// TestRoleOfAnotherIsNotOnesOwn: canChangeUserRole excludes the holder.
func TestRoleOfAnotherIsNotOnesOwn(t *testing.T) {
	s := stage(t, allBut(t, room.CanChangeOwnRole), nil, nil, true)
	refuse(t, s, room.Change{Actions: by(alice, changed(t, s, alice, otherRole))}, room.MissingCapability(room.CanChangeOwnRole))
	s = stage(t, allBut(t), nil, nil, true)
	refuse(t, s, room.Change{Actions: by(alice, changed(t, s, alice, otherRole))}, room.ErrPreauthorization)
	refuse(t, s, room.Change{Actions: from(room.Actor{User: alice, Claims: staff}, changed(t, s, alice, targetRole))}, room.ErrPreauthorization)
}

// TestBanWithoutBannedRole: the role must be named "banned".
func TestBanWithoutBannedRole(t *testing.T) {
	build := func(name string) *room.State {
		return setting{
			roles: []room.Role{
				{Index: 1, Name: name},
				{Index: 2, Name: "x", Capabilities: []room.Capability{room.CanBan, room.CanUnban, room.CanKick}, Transitions: []room.Transition{{From: 1, To: []uint32{2}}, {From: 2, To: []uint32{1}}}},
			},
			base:    room.BasePolicy{MultiDevice: true},
			people:  []room.Participant{{User: alice, Role: 2}, {User: bob, Role: 2}, {User: cathy, Role: 1}},
			clients: map[mimi.URI]int{alice: 1},
		}.open(t)
	}
	s := build("banned")
	accept(t, s, room.Change{Actions: by(alice, changed(t, s, bob, 1))})
	accept(t, s, room.Change{Actions: by(alice, changed(t, s, cathy, 2))})
	s = build("outcast")
	refuse(t, s, room.Change{Actions: by(alice, changed(t, s, bob, 1))}, room.MissingCapability(room.CanChangeUserRole))
	refuse(t, s, room.Change{Actions: by(alice, changed(t, s, cathy, 2))}, room.MissingCapability(room.CanChangeUserRole))
}

// TestUnbanBringsNoClients: canUnban alone does not authorise adding clients.
func TestUnbanBringsNoClients(t *testing.T) {
	s := stage(t, []room.Capability{room.CanUnban}, nil, nil, true)
	unban := changed(t, s, dave, targetRole)
	accept(t, s, room.Change{Actions: by(alice, unban)})
	refuse(t, s, room.Change{Actions: by(alice, unban, room.AddClient{User: dave})}, room.MissingCapability(room.CanAddParticipant))
}

func TestBanTakesTheClients(t *testing.T) {
	s := stage(t, []room.Capability{room.CanBan}, nil, nil, true)
	refuse(t, s, room.Change{Actions: by(alice, changed(t, s, bob, 1), room.RemoveClient{User: bob})}, room.ErrBanned)
}

// TestEncryptedMetadata covers what a hub can judge of metadata it cannot read.
func TestEncryptedMetadata(t *testing.T) {
	op := room.UpdateComponent{ID: room.ComponentEncryptedMetadata, Data: []byte("sealed")}
	for _, c := range []room.Capability{room.CanChangeRoomName, room.CanChangeRoomMood} {
		accept(t, stage(t, []room.Capability{c}, nil, nil, false), room.Change{Actions: by(alice, op)})
	}
	s := stage(t, allBut(t, room.CanChangeRoomName, room.CanChangeRoomDescription, room.CanChangeRoomAvatar, room.CanChangeRoomSubject, room.CanChangeRoomMood), nil, nil, true)
	refuse(t, s, room.Change{Actions: by(alice, op)}, room.MissingCapability(room.CanChangeRoomName))
	op.Rekeyed = true
	accept(t, s, room.Change{Actions: by(alice, op)})
}

func TestMayChangeMetadata(t *testing.T) {
	s := stage(t, []room.Capability{room.CanChangeRoomName}, nil, nil, false)
	before := room.RoomMetadata{URI: "mimi://hub.example/r/x", Name: "before"}
	after := before
	after.Name = "after"
	if err := s.MayChangeMetadata(alice, &before, &after); err != nil {
		t.Error(err)
	}
	if err := s.MayChangeMetadata(bob, &before, &before); err != nil {
		t.Error("no change:", err)
	}
	for _, tc := range []struct {
		user mimi.URI
		edit func(*room.RoomMetadata)
		want error
	}{
		{bob, func(*room.RoomMetadata) {}, room.MissingCapability(room.CanChangeRoomName)},
		{alice, func(m *room.RoomMetadata) { m.Mood = "x" }, room.MissingCapability(room.CanChangeRoomMood)},
		{alice, func(m *room.RoomMetadata) { m.URI = "mimi://hub.example/r/y" }, room.ErrImmutable},
		{dave, func(*room.RoomMetadata) {}, room.ErrBanned},
		{erin, func(*room.RoomMetadata) {}, room.ErrNotMember},
	} {
		m := after
		tc.edit(&m)
		if err := s.MayChangeMetadata(tc.user, &before, &m); !errors.Is(err, tc.want) {
			t.Errorf("got %v, want %v", err, tc.want)
		}
	}
}
