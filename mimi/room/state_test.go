package room_test

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// plain is a room of alice, who may do everything, and bob.
func plain() setting {
	everyone := []uint32{0, 1, 2, 3}
	var all []room.Transition
	for _, from := range everyone {
		all = append(all, room.Transition{From: from, To: everyone})
	}
	return setting{
		roles: []room.Role{
			{Index: 0, Name: "no_role"},
			{Index: 1, Name: "banned", MaxActive: ptr(0)},
			{Index: 2, Name: "user", Transitions: all},
			{Index: 3, Name: "boss", Transitions: all},
		},
		base:    room.BasePolicy{MultiDevice: true},
		people:  []room.Participant{{User: alice, Role: 3}, {User: bob, Role: 2}},
		clients: map[mimi.URI]int{alice: 2, bob: 1},
	}
}

// almighty is [plain] with every capability for the boss.
func almighty(t testing.TB) setting {
	s := plain()
	s.roles[3].Capabilities = allBut(t)
	return s
}

func TestOpenRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(*setting)
		want error
	}{
		{"a participant with an unknown role", func(s *setting) { s.people[1].Role = 9 }, room.ErrUnknownRole},
		{"a client of an outsider", func(s *setting) { s.clients[erin] = 1 }, room.ErrNotParticipant},
		{"a client of a banned user", func(s *setting) { s.people[1].Role = 1 }, room.ErrBanned},
		{"a negative number of clients", func(s *setting) { s.clients[bob] = -1 }, room.ErrNoClient},
		{"canAddParticipant in a fixed-membership room", func(s *setting) {
			s.base.FixedMembership = true
			s.roles[2].Capabilities = []room.Capability{room.CanAddParticipant}
		}, room.ErrFixedMembershipRole},
		{"a preauthorized role that is not in roles_list", func(s *setting) {
			s.preauth = []room.Preauthorization{{Claims: staff, Role: room.Role{Index: 9, Name: "x"}}}
		}, room.ErrUnknownRole},
		{"a preauthorized role that differs from roles_list", func(s *setting) {
			r := s.roles[2]
			r.Capabilities = []room.Capability{room.CanBan}
			s.preauth = []room.Preauthorization{{Claims: staff, Role: r}}
		}, room.ErrPreauthRole},
		{"a role that shares history, but does not exist", func(s *setting) {
			s.more = map[room.ComponentID]wire.Message{room.ComponentHistoryPolicy: &room.HistoryPolicy{Roles: []uint32{9}}}
		}, room.ErrUnknownRole},
		{"a role that shares history without active participants", func(s *setting) {
			s.roles[2].MaxActive = ptr(0)
			s.more = map[room.ComponentID]wire.Message{room.ComponentHistoryPolicy: &room.HistoryPolicy{Roles: []uint32{2}}}
		}, room.ErrConflict},
		{"a bot whose role does not exist", func(s *setting) {
			s.more = map[room.ComponentID]wire.Message{room.ComponentBotPolicy: &room.BotPolicy{Bots: []room.Bot{{Role: 9}}}}
		}, room.ErrUnknownRole},
		{"two links where on_request allows one", func(s *setting) {
			s.more = map[room.ComponentID]wire.Message{
				room.ComponentJoinLinkPolicy: &room.JoinLinkPolicy{OnRequest: true},
				room.ComponentJoinLinks:      &room.JoinLinks{Links: [][]byte{{1}, {2}}},
			}
		}, room.ErrJoinLinkCount},
		{"a name in plain sight of the hub", func(s *setting) {
			s.more = map[room.ComponentID]wire.Message{
				room.ComponentRoomMetadata:          &room.RoomMetadata{URI: "x:y", Name: "Name"},
				room.ComponentMinimalMetadataPolicy: octets{1},
			}
		}, room.ErrPlainMetadata},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := plain()
			tc.edit(&s)
			if _, err := room.Open(s.components(t), s.clients); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// octets are a component whose content this package does not know.
type octets []byte

func (o octets) Wire(c *wire.Codec) {
	for _, b := range o {
		wire.Uint8(c, &b)
	}
}

func TestOpenNeedsComponents(t *testing.T) {
	all := plain().components(t)
	for _, id := range []room.ComponentID{room.ComponentParticipantList, room.ComponentRolesList, room.ComponentBasePolicy} {
		some := maps.Clone(all)
		delete(some, id)
		if _, err := room.Open(some, nil); !errors.Is(err, room.ErrMissingComponent) {
			t.Errorf("without %v: %v", id, err)
		}
	}
	for id := range all {
		bad := maps.Clone(all)
		bad[id] = []byte{0xff}
		if _, err := room.Open(bad, nil); !errors.Is(err, room.ErrMalformed) {
			t.Errorf("malformed %v: %v", id, err)
		}
	}
	unlisted := maps.Clone(all)
	unlisted[room.ComponentBasePolicy] = encode(t, &room.BasePolicy{})
	if _, err := room.Open(unlisted, nil); !errors.Is(err, room.ErrPolicyNotListed) {
		t.Errorf("unlisted: %v", err)
	}
	unlisted = maps.Clone(all)
	unlisted[room.ComponentPreauthList] = encode(t, &room.PreauthorizedUsers{})
	if _, err := room.Open(unlisted, nil); !errors.Is(err, room.ErrPolicyNotListed) {
		t.Errorf("unlisted preauth_list: %v", err)
	}
}

func TestUnknownComponentsAreKept(t *testing.T) {
	data := almighty(t).components(t)
	data[0x8d47] = []byte("whatever")
	s, err := room.Open(data, map[mimi.URI]int{alice: 1})
	if err != nil {
		t.Fatal(err)
	}
	s = accept(t, s, room.Change{Actions: by(alice, added(t, erin, 2))})
	if got, ok := s.Component(0x8d47); !ok || string(got) != "whatever" {
		t.Errorf("kept %q", got)
	}
}

// TestApplyRefuses covers changes that are wrong whoever sends them: alice has
// every capability.
func TestApplyRefuses(t *testing.T) {
	s := almighty(t).open(t)
	j := position(t, s, bob)
	type u = room.ParticipantListUpdate
	assign := func(pairs ...uint32) (l []room.RoleAssignment) {
		for k := 0; k < len(pairs); k += 2 {
			l = append(l, room.RoleAssignment{Index: pairs[k], Role: pairs[k+1]})
		}
		return l
	}
	newcomer := []room.Participant{{User: erin, Role: 2}}
	roles := update(t, room.ComponentRolesList, rolesOf(t, s))
	base := s.Base()
	preauth := room.PreauthorizedUsers{}
	base.Policies = append(base.Policies, room.ComponentPreauthList)
	withPreauth := []room.Operation{update(t, room.ComponentPreauthList, &preauth), update(t, room.ComponentBasePolicy, &base)}
	status := update(t, room.ComponentStatusPolicy, &room.StatusNotificationPolicy{})
	metadata := update(t, room.ComponentRoomMetadata, &room.RoomMetadata{URI: "x:y"})

	for _, tc := range []struct {
		name string
		ops  []room.Operation
		want error
	}{
		{"no operation", []room.Operation{nil}, room.ErrOperation},
		{"role change and removal of one user", []room.Operation{list(t, u{Changed: assign(j, 3), Removed: []uint32{j}})}, room.ErrSameUser},
		{"two role changes of one user", []room.Operation{list(t, u{Changed: assign(j, 3, j, 3)})}, room.ErrSameUser},
		{"two removals of one user", []room.Operation{list(t, u{Removed: []uint32{j, j}})}, room.ErrSameUser},
		{"two removals in two updates", []room.Operation{list(t, u{Removed: []uint32{j}}), list(t, u{Removed: []uint32{j}}), room.RemoveClient{User: bob}}, room.ErrSameUser},
		{"removal and addition of one user", []room.Operation{list(t, u{Removed: []uint32{j}, Added: []room.Participant{{User: bob, Role: 2}}})}, room.ErrSameUser},
		{"removal and addition in two updates", []room.Operation{removed(t, s, bob), added(t, bob, 2)}, room.ErrSameUser},
		{"two additions of one user", []room.Operation{list(t, u{Added: append(newcomer, newcomer...)})}, room.ErrSameUser},
		{"addition of a participant", []room.Operation{added(t, bob, 2)}, room.ErrSameUser},
		{"index out of range", []room.Operation{list(t, u{Removed: []uint32{2}})}, room.ErrIndex},
		{"index out of range by far", []room.Operation{list(t, u{Changed: assign(1<<32-1, 2)})}, room.ErrIndex},
		{"index of an added user", []room.Operation{list(t, u{Added: newcomer, Changed: assign(2, 3)})}, room.ErrIndex},
		{"role change to the same role", []room.Operation{list(t, u{Changed: assign(j, 2)})}, room.ErrNoChange},
		{"role change to an unknown role", []room.Operation{list(t, u{Changed: assign(j, 9)})}, room.ErrUnknownRole},
		{"addition in an unknown role", []room.Operation{added(t, erin, 9)}, room.ErrUnknownRole},
		{"roles with participants", []room.Operation{roles, added(t, erin, 2)}, room.ErrRolesWithParticipants},
		{"roles with removal", []room.Operation{roles, removed(t, s, bob), room.RemoveClient{User: bob}}, room.ErrRolesWithParticipants},
		{"preauth with addition", append(withPreauth, added(t, erin, 2)), room.ErrPreauthWithParticipants},
		{"preauth with role change", append(withPreauth, changed(t, s, bob, 3)), room.ErrPreauthWithParticipants},
		{"preauth, unlisted", withPreauth[:1], room.ErrPolicyNotListed},
		{"more than one metadata update", []room.Operation{metadata, metadata}, room.ErrUpdateConflict},
		{"more than one policy update", []room.Operation{status, status}, room.ErrUpdateConflict},
		{"update and removal", []room.Operation{status, room.RemoveComponent{ID: room.ComponentStatusPolicy}}, room.ErrUnknownComponent},
		{"unknown component", []room.Operation{room.UpdateComponent{ID: 0x7777}}, room.ErrUnknownComponent},
		{"removal of an unknown component", []room.Operation{room.RemoveComponent{ID: 0x7777}}, room.ErrUnknownComponent},
		{"removal of an absent component", []room.Operation{room.RemoveComponent{ID: room.ComponentBotPolicy}}, room.ErrUnknownComponent},
		{"removal of the participant list", []room.Operation{room.RemoveComponent{ID: room.ComponentParticipantList}}, room.ErrMissingComponent},
		{"malformed update", []room.Operation{room.UpdateComponent{ID: room.ComponentParticipantList, Data: []byte{1}}}, room.ErrMalformed},
		{"malformed policy", []room.Operation{room.UpdateComponent{ID: room.ComponentStatusPolicy, Data: []byte{9, 9}}}, room.ErrEnum},
		{"a client too few", []room.Operation{room.RemoveClient{User: bob}, room.RemoveClient{User: bob}}, room.ErrNoClient},
		{"removal of a client just added", []room.Operation{room.AddClient{User: bob}, room.RemoveClient{User: bob}, room.RemoveClient{User: bob}}, room.ErrNoClient},
		{"a client of an outsider", []room.Operation{room.AddClient{User: erin}}, room.ErrNotParticipant},
		{"a removed user's client stays", []room.Operation{removed(t, s, bob)}, room.ErrClientsRemain},
		{"a banned user's client stays", []room.Operation{changed(t, s, bob, 1)}, room.ErrBanned},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refuse(t, s, room.Change{Committer: alice, Actions: by(alice, tc.ops...)}, tc.want)
		})
	}
	t.Run("a role with holders", func(t *testing.T) {
		less := rolesOf(t, s)
		less.Roles = append(less.Roles[:2:2], less.Roles[3])
		for k := range less.Roles {
			less.Roles[k].Transitions = nil
		}
		refuse(t, s, room.Change{Actions: by(alice, update(t, room.ComponentRolesList, less))}, room.ErrUnknownRole)
	})
	t.Run("the committer leaves", func(t *testing.T) {
		both := []room.Operation{room.RemoveClient{User: alice}, room.RemoveClient{User: alice}}
		refuse(t, s, room.Change{Committer: alice, Actions: by(alice, both...)}, room.ErrCommitterLeaves)
		accept(t, s, room.Change{Committer: bob, Actions: by(alice, both...)})
	})
	t.Run("preauth with removal is fine", func(t *testing.T) {
		accept(t, s, room.Change{Committer: alice, Actions: by(alice, append(withPreauth, removed(t, s, bob), room.RemoveClient{User: bob})...)})
	})
	t.Run("an action is named", func(t *testing.T) {
		_, err := room.Decide(s, room.Change{Actions: append(by(alice, added(t, erin, 2)), by(bob, room.DestroyRoom{})...)})
		var action *room.ActionError
		if !errors.As(err, &action) || action.Index != 1 || action.Actor != bob {
			t.Errorf("got %v", err)
		}
	})
}

// TestUpdateOrder: role changes, then removals, then additions; positions are
// those before the commit, in every update of it.
func TestUpdateOrder(t *testing.T) {
	before := room.ParticipantList{Participants: []room.Participant{
		{User: alice, Role: 3}, {User: bob, Role: 2}, {User: cathy, Role: 2}, {User: dave, Role: 2},
	}}
	got, err := before.Apply(
		room.ParticipantListUpdate{
			Changed: []room.RoleAssignment{{Index: 3, Role: 3}}, Removed: []uint32{0}, Added: []room.Participant{{User: erin, Role: 2}},
		},
		room.ParticipantListUpdate{Removed: []uint32{2}, Added: []room.Participant{{User: hub, Role: 5}}},
	)
	if err != nil {
		t.Fatal(err)
	}
	want := []room.Participant{{User: bob, Role: 2}, {User: dave, Role: 3}, {User: erin, Role: 2}, {User: hub, Role: 5}}
	if string(encode(t, &got)) != string(encode(t, &room.ParticipantList{Participants: want})) {
		t.Errorf("got %v", got.Participants)
	}
	if before.Participants[3].Role != 2 || len(before.Participants) != 4 {
		t.Error("the old list was modified")
	}
}

func TestJoinLinks(t *testing.T) {
	l := room.JoinLinks{Links: [][]byte{{0}, {1}, {2}}}
	got, err := l.Apply(room.JoinLinksUpdate{Removed: []uint32{1}, Added: [][]byte{{1}}}, room.JoinLinksUpdate{Removed: []uint32{0}})
	if err != nil || string(encode(t, &got)) != string(encode(t, &room.JoinLinks{Links: [][]byte{{2}, {1}}})) {
		t.Errorf("%v, %v", got, err)
	}
	for _, tc := range []struct {
		u    room.JoinLinksUpdate
		want error
	}{
		{room.JoinLinksUpdate{Removed: []uint32{3}}, room.ErrIndex},
		{room.JoinLinksUpdate{Removed: []uint32{1, 1}}, room.ErrDuplicate},
		{room.JoinLinksUpdate{Added: [][]byte{{2}}}, room.ErrDuplicate},
	} {
		if _, err := l.Apply(tc.u); !errors.Is(err, tc.want) {
			t.Errorf("got %v, want %v", err, tc.want)
		}
	}
}

func TestApplyComponent(t *testing.T) {
	if _, err := room.ApplyComponent(0x7777, nil, [][]byte{{}}); !errors.Is(err, room.ErrUnknownComponent) {
		t.Error(err)
	}
	if _, err := room.ApplyComponent(room.ComponentStatusPolicy, nil, nil); !errors.Is(err, room.ErrOperation) {
		t.Error(err)
	}
	got, err := room.ApplyComponent(room.ComponentParticipantList, nil, [][]byte{added(t, alice, 2).Data, added(t, bob, 2).Data})
	want := encode(t, &room.ParticipantList{Participants: []room.Participant{{User: alice, Role: 2}, {User: bob, Role: 2}}})
	if err != nil || string(got) != string(want) {
		t.Errorf("%x, %v", got, err)
	}
}

func TestParentRoom(t *testing.T) {
	parent := plain()
	parent.people = append(parent.people, room.Participant{User: cathy, Role: 2}, room.Participant{User: dave, Role: 1})
	for _, tc := range []struct {
		name   string
		people []mimi.URI
		ok     bool
	}{
		{"strict subset", []mimi.URI{alice, bob}, true},
		{"same participants", []mimi.URI{alice, bob, cathy}, false},
		{"someone else", []mimi.URI{alice, erin}, false},
		{"banned in the parent", []mimi.URI{alice, dave}, false},
	} {
		child := plain()
		child.people, child.clients = nil, nil
		for _, u := range tc.people {
			child.people = append(child.people, room.Participant{User: u, Role: 2})
		}
		if err := child.open(t).CheckParent(parent.open(t)); (err == nil) != tc.ok || err != nil && !errors.Is(err, room.ErrParent) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestApplyAsksNobody: Apply knows validity and limits, not who may.
func TestApplyAsksNobody(t *testing.T) {
	few := plain()
	few.base.MaxUsers = ptr(3)
	s := few.open(t)
	next, err := s.Apply(room.Change{Actions: by(bob, added(t, erin, 2))})
	if err != nil || next.Role(erin) != 2 {
		t.Fatalf("got %v", err)
	}
	if _, err := next.Apply(room.Change{Actions: by(bob, added(t, cathy, 2))}); !errors.Is(err, room.ErrMaxUsers) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Apply(room.Change{Actions: by(bob, added(t, bob, 2))}); !errors.Is(err, room.ErrSameUser) {
		t.Errorf("got %v", err)
	}
}

func TestRemoveComponent(t *testing.T) {
	with := almighty(t)
	with.more = map[room.ComponentID]wire.Message{
		room.ComponentStatusPolicy:          &room.StatusNotificationPolicy{},
		room.ComponentMinimalMetadataPolicy: octets{1},
		room.ComponentEncryptedMetadata:     octets{1},
	}
	s := with.open(t)
	removal := room.RemoveComponent{ID: room.ComponentStatusPolicy}
	next := accept(t, s, commit(alice, removal))
	if _, ok := next.Component(room.ComponentStatusPolicy); ok {
		t.Error("it is still there")
	}
	status := update(t, room.ComponentStatusPolicy, &room.StatusNotificationPolicy{ReadReceipts: room.Forbidden})
	refuse(t, s, commit(bob, removal), room.MissingCapability(room.CanChangeOtherPolicyAttribute))
	refuse(t, s, commit(alice, removal, removal), room.ErrUpdateConflict)
	refuse(t, s, commit(alice, removal, status), room.ErrUpdateConflict)
	refuse(t, s, commit(alice, status, removal), room.ErrUpdateConflict)
	// What a minimal-metadata room is made with, it keeps.
	refuse(t, s, commit(alice, room.RemoveComponent{ID: room.ComponentMinimalMetadataPolicy}), room.ErrMissingComponent)
	refuse(t, s, commit(alice, room.RemoveComponent{ID: room.ComponentEncryptedMetadata}), room.ErrMissingComponent)
	big := room.UpdateComponent{ID: room.ComponentEncryptedMetadata, Data: make([]byte, room.MaxComponent+1)}
	refuse(t, s, commit(alice, big), room.ErrTooLarge)
}

func TestPlainMetadata(t *testing.T) {
	with := almighty(t)
	s := with.open(t)
	named := room.RoomMetadata{URI: "mimi://hub.example/r/x", Name: "Name"}
	s = accept(t, s, commit(alice, update(t, room.ComponentRoomMetadata, &named)))
	elsewhere := named
	elsewhere.URI = "mimi://hub.example/r/y"
	refuse(t, s, commit(alice, update(t, room.ComponentRoomMetadata, &elsewhere)), room.ErrImmutable)
	refuse(t, s, commit(bob, update(t, room.ComponentRoomMetadata, &named)), room.MissingCapability(room.CanChangeRoomName))
	accept(t, s, commit(alice, update(t, room.ComponentRoomMetadata, &named)))

	with.more = map[room.ComponentID]wire.Message{room.ComponentMinimalMetadataPolicy: octets{1}}
	s = with.open(t)
	refuse(t, s, commit(alice, update(t, room.ComponentRoomMetadata, &named)), room.ErrPlainMetadata)
	named.Name = ""
	accept(t, s, commit(alice, update(t, room.ComponentRoomMetadata, &named)))
}

// TestNoNamesInErrors: in a room without pseudonyms a URI is a person.
func TestNoNamesInErrors(t *testing.T) {
	s := almighty(t).open(t)
	for _, ch := range []room.Change{
		commit(alice, added(t, bob, 2)),
		commit(alice, room.AddClient{User: erin}),
		commit(bob, removed(t, s, alice)),
		commit(bob, room.DestroyRoom{}),
		commit(alice, removed(t, s, bob)),
		commit(alice, changed(t, s, bob, 1)),
	} {
		_, err := room.Decide(s, ch)
		if err == nil || strings.Contains(err.Error(), "mimi:/") || strings.Contains(err.Error(), ".example") {
			t.Errorf("got %v", err)
		}
	}
}

func TestDefinition(t *testing.T) {
	s := plain().open(t)
	if r := s.Definition(2); r.Name != "user" {
		t.Errorf("got %v", r)
	}
	if r := s.Definition(9); r.Index != 9 || len(r.Capabilities) > 0 {
		t.Errorf("got %v", r)
	}
	if !s.Active(alice) || s.Active(erin) || s.Clients(alice) != 2 || s.MinimalMetadata() || s.Banned(bob) {
		t.Error("wrong answers")
	}
}
