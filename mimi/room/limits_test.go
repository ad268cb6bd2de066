package room_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// TestLimits has alice, who may do everything, run into the limits of a room that
// has alice as boss with two clients, bob as user with one, cathy as user without.
func TestLimits(t *testing.T) {
	type edit = func(*setting)
	addErin := func(t testing.TB, _ *room.State) []room.Operation { return []room.Operation{added(t, erin, 2)} }
	addErinActive := func(t testing.TB, _ *room.State) []room.Operation {
		return []room.Operation{added(t, erin, 2), room.AddClient{User: erin}}
	}
	activateCathy := func(testing.TB, *room.State) []room.Operation { return []room.Operation{room.AddClient{User: cathy}} }
	removeBob := func(t testing.TB, s *room.State) []room.Operation {
		return []room.Operation{removed(t, s, bob), room.RemoveClient{User: bob}}
	}
	removeCathy := func(t testing.TB, s *room.State) []room.Operation { return []room.Operation{removed(t, s, cathy)} }
	kickBob := func(testing.TB, *room.State) []room.Operation { return []room.Operation{room.RemoveClient{User: bob}} }
	promoteBob := func(t testing.TB, s *room.State) []room.Operation { return []room.Operation{changed(t, s, bob, 3)} }
	banCathy := func(t testing.TB, s *room.State) []room.Operation { return []room.Operation{changed(t, s, cathy, 1)} }
	secondBob := func(testing.TB, *room.State) []room.Operation { return []room.Operation{room.AddClient{User: bob}} }
	ownClient := func(testing.TB, *room.State) []room.Operation { return []room.Operation{room.AddClient{User: alice}} }
	swap := func(t testing.TB, s *room.State) []room.Operation {
		return append(removeBob(t, s), addErinActive(t, s)...)
	}

	for _, tc := range []struct {
		name string
		edit edit
		ops  func(testing.TB, *room.State) []room.Operation
		want error
	}{
		{"max_users reached", func(s *setting) { s.base.MaxUsers = ptr(3) }, addErin, room.ErrMaxUsers},
		{"max_users not reached", func(s *setting) { s.base.MaxUsers = ptr(4) }, addErin, nil},
		{"max_users does not count banned users", func(s *setting) {
			s.base.MaxUsers = ptr(4)
			s.people = append(s.people, room.Participant{User: dave, Role: 1})
		}, addErin, nil},
		{"max_users exceeded before, removal", func(s *setting) { s.base.MaxUsers = ptr(1) }, removeCathy, nil},
		{"max_users exceeded before, exchange", func(s *setting) { s.base.MaxUsers = ptr(1) }, swap, nil},
		{"max_clients reached", func(s *setting) { s.base.MaxClients = ptr(3) }, activateCathy, room.ErrMaxClients},
		{"max_clients not reached", func(s *setting) { s.base.MaxClients = ptr(4) }, activateCathy, nil},
		{"multi_device false", func(s *setting) { s.base.MultiDevice = false }, secondBob, room.ErrSingleDevice},
		{"multi_device true", func(*setting) {}, secondBob, nil},
		{"multi_device false, first client", func(s *setting) { s.base.MultiDevice = false }, activateCathy, nil},
		{"fixed_membership, removal", fixed, removeCathy, room.ErrFixedMembership},
		{"fixed_membership, own client", fixed, ownClient, nil},

		{"maximum_participants_constraint, addition", func(s *setting) { s.roles[2].MaxParticipants = ptr(2) }, addErin, room.ErrMaxParticipants},
		{"maximum_participants_constraint, room for one more", func(s *setting) { s.roles[2].MaxParticipants = ptr(3) }, addErin, nil},
		{"maximum_participants_constraint, exchange", func(s *setting) { s.roles[2].MaxParticipants = ptr(2) }, swap, nil},
		{"maximum_participants_constraint, role change", func(s *setting) { s.roles[3].MaxParticipants = ptr(1) }, promoteBob, room.ErrMaxParticipants},
		{"maximum_participants_constraint, ban", func(s *setting) { s.roles[1].MaxParticipants = ptr(0) }, banCathy, room.ErrMaxParticipants},
		{"maximum_active, client of an inactive user", func(s *setting) { s.roles[2].MaxActive = ptr(1) }, activateCathy, room.ErrMaxActive},
		{"maximum_active, second client of an active user", func(s *setting) { s.roles[2].MaxActive = ptr(1) }, secondBob, nil},
		{"maximum_active, inactive addition", func(s *setting) { s.roles[2].MaxActive = ptr(1) }, addErin, nil},
		{"maximum_active, active addition", func(s *setting) { s.roles[2].MaxActive = ptr(1) }, addErinActive, room.ErrMaxActive},
		{"maximum_active, role change", func(s *setting) { s.roles[3].MaxActive = ptr(1) }, promoteBob, room.ErrMaxActive},
		{"minimum_participants_constraint, removal", func(s *setting) { s.roles[2].MinParticipants = 2 }, removeCathy, room.ErrMinParticipants},
		{"minimum_participants_constraint, one to spare", func(s *setting) { s.roles[2].MinParticipants = 1 }, removeCathy, nil},
		{"minimum_participants_constraint, role change", func(s *setting) { s.roles[2].MinParticipants = 2 }, promoteBob, room.ErrMinParticipants},
		{"minimum_participants_constraint, ban", func(s *setting) { s.roles[2].MinParticipants = 2 }, banCathy, room.ErrMinParticipants},
		{"minimum_participants_constraint, exchange", func(s *setting) { s.roles[2].MinParticipants = 2 }, swap, nil},
		{"minimum_participants_constraint, broken before, addition", func(s *setting) { s.roles[2].MinParticipants = 9 }, addErin, nil},
		{"minimum_active, removal", func(s *setting) { s.roles[2].MinActive = 1 }, removeBob, room.ErrMinActive},
		{"minimum_active, kick", func(s *setting) { s.roles[2].MinActive = 1 }, kickBob, room.ErrMinActive},
		{"minimum_active, removal of an inactive user", func(s *setting) { s.roles[2].MinActive = 1 }, removeCathy, nil},
		{"minimum_active, role change", func(s *setting) { s.roles[2].MinActive = 1 }, promoteBob, room.ErrMinActive},
	} {
		t.Run(tc.name, func(t *testing.T) {
			room3 := almighty(t)
			room3.people = append(room3.people, room.Participant{User: cathy, Role: 2})
			tc.edit(&room3)
			s := room3.open(t)
			ch := room.Change{Committer: alice, Actions: by(alice, tc.ops(t, s)...)}
			if tc.want == nil {
				accept(t, s, ch)
			} else {
				refuse(t, s, ch, tc.want)
			}
		})
	}
}

func fixed(s *setting) {
	s.base.FixedMembership = true
	for i := range s.roles {
		s.roles[i].Capabilities = without(s.roles[i].Capabilities, room.CanAddParticipant)
	}
}

// TestFixedMembershipJoin: no door is open in a fixed-membership room.
func TestFixedMembershipJoin(t *testing.T) {
	for _, isFixed := range []bool{false, true} {
		open := plain()
		open.base.FixedMembership = isFixed
		open.roles[0].Capabilities = []room.Capability{room.CanOpenJoin}
		open.roles[0].Transitions = open.roles[3].Transitions
		s := open.open(t)
		ch := room.Change{Committer: erin, Actions: from(room.Actor{User: erin, Kind: room.Joiner}, added(t, erin, 2), room.AddClient{User: erin})}
		if isFixed {
			refuse(t, s, ch, room.ErrFixedMembership)
		} else {
			accept(t, s, ch)
		}
	}
}

func without(list []room.Capability, c room.Capability) (rest []room.Capability) {
	for _, x := range list {
		if x != c {
			rest = append(rest, x)
		}
	}
	return rest
}

// TestLimitsLowered: whoever lowers a limit must respect it.
func TestLimitsLowered(t *testing.T) {
	s := almighty(t).open(t)
	for _, tc := range []struct {
		name string
		edit func(*room.BasePolicy)
		want error
	}{
		{"max_users", func(b *room.BasePolicy) { b.MaxUsers = ptr(1) }, room.ErrMaxUsers},
		{"max_clients", func(b *room.BasePolicy) { b.MaxClients = ptr(2) }, room.ErrMaxClients},
		{"multi_device", func(b *room.BasePolicy) { b.MultiDevice = false }, room.ErrSingleDevice},
		{"fixed_membership", func(b *room.BasePolicy) { b.FixedMembership = true }, room.ErrFixedMembershipRole},
		{"enough", func(b *room.BasePolicy) { b.MaxUsers, b.MaxClients = ptr(2), ptr(3) }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			base := s.Base()
			tc.edit(&base)
			ch := room.Change{Actions: by(alice, update(t, room.ComponentBasePolicy, &base))}
			if tc.want == nil {
				accept(t, s, ch)
			} else {
				refuse(t, s, ch, tc.want)
			}
		})
	}
}

func TestMaySend(t *testing.T) {
	all := registry(t)
	for c, name := range all {
		sending := c>>8 == 1 || c >= 0x200 && c <= 0x203 || c == room.CanSendLink || c == room.CanSendLinkPreview
		switch c {
		case room.CanReceiveMessage, room.CanCopyMessage, room.CanReportAbuse, room.CanSendDirectMessage, room.CanTargetMessage:
			sending = false
		}
		with := plain()
		with.roles[2].Capabilities = []room.Capability{c}
		if c == room.CanOpenJoin {
			continue
		}
		s := with.open(t)
		if !s.Holds(bob, c) || s.Holds(alice, c) || s.Holds(erin, c) {
			t.Errorf("%s: who holds it", name)
		}
		err := s.MaySend(bob, c)
		if !sending {
			if !errors.Is(err, room.ErrOperation) {
				t.Errorf("%s is about sending: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.MaySend(alice, c); !errors.Is(err, room.MissingCapability(c)) {
			t.Errorf("%s, without: %v", name, err)
		}
	}
	s := stage(t, []room.Capability{room.CanReplyToMessage, room.CanReceiveMessage}, allBut(t), nil, false)
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"a reply", s.MaySend(alice, room.CanReplyToMessage), nil},
		{"a reply with a picture", s.MaySend(alice, room.CanReplyToMessage, room.CanUploadImage), room.MissingCapability(room.CanUploadImage)},
		{"anything", s.MaySendAnything(alice), nil},
		{"anything, without", s.MaySendAnything(bob), room.MissingCapability(room.CanSendMessage)},
		{"an outsider, whatever role zero has", s.MaySend(erin, room.CanSendMessage), room.ErrNotMember},
		{"a banned user", s.MaySendAnything(dave), room.ErrBanned},
		{"receive", s.MayReceive(alice), nil},
		{"receive, without", s.MayReceive(bob), room.MissingCapability(room.CanReceiveMessage)},
		{"receive, banned", s.MayReceive(dave), room.ErrBanned},
		{"receive, outside", s.MayReceive(erin), room.ErrNotMember},
	} {
		if !errors.Is(tc.err, tc.want) || tc.want != nil && !errors.Is(tc.err, room.ErrDenied) {
			t.Errorf("%s: got %v, want %v", tc.name, tc.err, tc.want)
		}
	}
}
