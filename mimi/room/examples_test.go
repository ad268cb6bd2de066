package room_test

import (
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// The role examples of draft-ietf-mimi-room-policy-03, appendix A. The names
// canRevokeVoice and canGrantVoice in its first example are in no registry and are
// left out.

type caps = []room.Capability

func plus(lists ...caps) caps {
	all := slices.Concat(lists...)
	slices.Sort(all)
	return slices.Compact(all)
}

func moves(from uint32, to ...uint32) room.Transition { return room.Transition{From: from, To: to} }

var (
	copying = caps{
		room.CanReceiveMessage, room.CanCopyMessage, room.CanReactToMessage, room.CanDeleteOwnReaction, room.CanFollowLink,
		room.CanCopyLink, room.CanDownloadImage, room.CanDownloadVideo, room.CanDownloadAudio,
	}
	uploading = caps{room.CanUploadImage, room.CanUploadVideo, room.CanUploadAudio, room.CanUploadAttachment}
	linking   = caps{room.CanSendLink, room.CanSendLinkPreview}
	selves    = caps{room.CanChangeOwnName, room.CanChangeOwnPresence, room.CanChangeOwnMood, room.CanChangeOwnAvatar}
	naming    = caps{room.CanChangeRoomName, room.CanChangeRoomAvatar, room.CanChangeRoomSubject, room.CanChangeRoomMood}
	policing  = caps{room.CanRemoveParticipant, room.CanBan, room.CanUnban, room.CanKick, room.CanChangeUserRole}
	writing   = caps{room.CanSendMessage, room.CanEditOwnMessage, room.CanDeleteOwnMessage, room.CanStartTopic}
	ruling    = caps{room.CanChangeRoomMembershipStyle, room.CanChangePreauthorizedUserList, room.CanDestroyRoom}
	enforcing = caps{
		room.CanRemoveParticipant, room.CanChangeUserRole, room.CanBan, room.CanUnban, room.CanChangeRoleDefinitions,
		room.CanChangePreauthorizedUserList, room.CanChangeMLSOperationalPolicies, room.CanDestroyRoom, room.CanSendMLSReinitProposal,
	}
)

func outsiders(c caps, t ...room.Transition) room.Role {
	return room.Role{Index: 0, Name: "no_role", Capabilities: c, MaxActive: ptr(0), Transitions: t}
}

var bannedRole = room.Role{Index: 1, Name: "banned", MaxActive: ptr(0)}

func enforcer(index uint32, t ...room.Transition) room.Role {
	return room.Role{
		Index: index, Name: "policy_enforcer", Capabilities: enforcing, MinParticipants: 1, MaxParticipants: ptr(2), MaxActive: ptr(0),
		Transitions: t,
	}
}

// three are the role changes of roles 2, 3 and 4 that the first two examples
// share.
var (
	ordinaryMoves = []room.Transition{moves(0, 2), moves(2, 0)}
	adminMoves    = []room.Transition{moves(0, 1, 2, 3), moves(1, 0, 2, 3), moves(2, 0, 1, 3), moves(3, 0, 1, 2)}
	superMoves    = []room.Transition{moves(0, 1, 2, 3, 4), moves(1, 0, 2, 3, 4), moves(2, 0, 1, 3, 4), moves(3, 0, 1, 2, 4), moves(4, 0, 1, 2, 3)}
	enforcerMoves = []room.Transition{moves(0, 1), moves(1, 0), moves(2, 0, 1), moves(3, 0, 1), moves(4, 0, 1)}
)

func cooperative() []room.Role {
	ordinary := plus(
		caps{
			room.CanAddParticipant, room.CanRemoveParticipant, room.CanAddOwnClient, room.CanRemoveOwnClient, room.CanRemoveSelf,
			room.CanReportAbuse, room.CanReplyToMessage, room.CanReplyInTopic, room.CanEditOwnTopic, room.CanDownloadAttachment,
		},
		writing, copying, uploading, linking, naming, selves,
	)
	admin := plus(ordinary, policing, caps{room.CanDeleteOtherMessage, room.CanEditOtherTopic, room.CanChangeRoomDescription})
	return []room.Role{
		outsiders(nil),
		bannedRole,
		{Index: 2, Name: "ordinary_user", Capabilities: ordinary, Transitions: ordinaryMoves},
		{Index: 3, Name: "group_admin", Capabilities: admin, MinParticipants: 1, Transitions: adminMoves},
		{Index: 4, Name: "super_admin", Capabilities: plus(admin, ruling), Transitions: superMoves},
		enforcer(5, enforcerMoves...),
	}
}

func strict() []room.Role {
	ordinary := plus(
		caps{
			room.CanAddOwnClient, room.CanJoinIfPreauthorized, room.CanRemoveOwnClient, room.CanRemoveSelf, room.CanChangeOwnRole,
			room.CanReportAbuse, room.CanReplyInTopic, room.CanDownloadAttachment,
		},
		writing, copying, uploading, linking, selves,
	)
	admin := plus(ordinary, policing, naming, caps{
		room.CanAddParticipant, room.CanCreateJoinCode, room.CanDeleteJoinCode, room.CanDeleteOtherReaction,
		room.CanDeleteOtherMessage, room.CanEditOwnTopic, room.CanEditOtherTopic, room.CanChangeRoomDescription,
	})
	return []room.Role{
		outsiders(caps{room.CanUseJoinCode}, moves(0, 2)),
		bannedRole,
		{Index: 2, Name: "ordinary_user", Capabilities: ordinary, Transitions: ordinaryMoves},
		{Index: 3, Name: "group_admin", Capabilities: admin, MinParticipants: 1, Transitions: adminMoves},
		{
			Index: 4, Name: "super_admin", Transitions: superMoves,
			Capabilities: plus(admin, ruling, caps{room.CanChangeRoleDefinitions, room.CanSendMLSReinitProposal}),
		},
		enforcer(5, enforcerMoves...),
	}
}

func moderated() []room.Role {
	guest := plus(copying, caps{room.CanRemoveSelf})
	attendee := plus(guest, caps{
		room.CanAddOwnClient, room.CanJoinIfPreauthorized, room.CanRemoveOwnClient, room.CanChangeOwnRole, room.CanReportAbuse,
		room.CanReplyInTopic, room.CanDownloadAttachment, room.CanChangeOwnName, room.CanChangeOwnPresence, room.CanChangeOwnAvatar,
	})
	speaker := plus(attendee, writing, uploading, linking)
	moderator := plus(speaker, policing, naming, caps{
		room.CanAddParticipant, room.CanCreateJoinCode, room.CanDeleteJoinCode, room.CanDeleteOtherReaction,
		room.CanDeleteOtherMessage, room.CanEditOwnTopic, room.CanEditOtherTopic,
	})
	none := outsiders(caps{room.CanUseJoinCode}, moves(0, 2, 3))
	none.MaxActive = nil
	return []room.Role{
		none,
		bannedRole,
		{Index: 2, Name: "guest", Capabilities: guest, Transitions: []room.Transition{moves(0, 2), moves(2, 0)}},
		{Index: 3, Name: "attendee", Capabilities: attendee, Transitions: []room.Transition{moves(0, 3), moves(3, 0)}},
		{Index: 4, Name: "speaker", Capabilities: speaker, Transitions: []room.Transition{moves(0, 4), moves(4, 0)}},
		{
			Index: 5, Name: "moderator", Capabilities: moderator, MinParticipants: 1,
			Transitions: []room.Transition{
				moves(0, 1, 2, 3, 4, 5), moves(1, 0, 2, 3, 4, 5), moves(2, 0, 1, 3, 4, 5), moves(3, 0, 1, 2, 4, 5),
				moves(4, 0, 1, 2, 3, 5), moves(5, 0, 1, 2, 3, 4),
			},
		},
		{
			Index: 6, Name: "super_admin",
			Capabilities: plus(moderator, ruling, caps{room.CanChangeRoomDescription, room.CanChangeRoleDefinitions, room.CanSendMLSReinitProposal}),
			Transitions: []room.Transition{
				moves(0, 1, 2, 3, 4, 5, 6), moves(1, 0, 2, 3, 4, 5, 6), moves(2, 0, 1, 3, 4, 5, 6), moves(3, 0, 1, 2, 4, 5, 6),
				moves(4, 0, 1, 2, 3, 5, 6), moves(5, 0, 1, 2, 3, 4, 6), moves(6, 0, 1, 2, 3, 4, 5),
			},
		},
		enforcer(7, append(slices.Clone(enforcerMoves), moves(5, 0, 1), moves(6, 0, 1))...),
	}
}

func organisations() []room.Role {
	orgUser := plus(copying, linking, caps{
		room.CanRemoveSelf, room.CanAddOwnClient, room.CanRemoveOwnClient, room.CanSendMessage, room.CanReportAbuse,
		room.CanReplyInTopic, room.CanEditOwnMessage, room.CanDownloadAttachment, room.CanChangeOwnName, room.CanChangeOwnPresence,
		room.CanChangeOwnAvatar,
	})
	orgAdmin := plus(orgUser, uploading, caps{
		room.CanDeleteOwnMessage, room.CanStartTopic, room.CanAddParticipant, room.CanRemoveParticipant, room.CanBan, room.CanKick,
		room.CanChangeUserRole,
	})
	host := caps{room.CanChangeOwnRole, room.CanJoinIfPreauthorized}
	admin := func(index uint32, name string, t ...room.Transition) room.Role {
		return room.Role{Index: index, Name: name, Capabilities: orgAdmin, MinParticipants: 1, MaxParticipants: ptr(3), MinActive: 1, Transitions: t}
	}
	return []room.Role{
		outsiders(nil),
		bannedRole,
		{Index: 2, Name: "org_a_user", Capabilities: plus(orgUser, host), Transitions: []room.Transition{moves(0, 2), moves(2, 0)}},
		{Index: 3, Name: "org_b_user", Capabilities: orgUser, Transitions: []room.Transition{moves(0, 3), moves(3, 0)}},
		{Index: 4, Name: "org_c_user", Capabilities: orgUser, Transitions: []room.Transition{moves(0, 4), moves(4, 0)}},
		{Index: 5, Name: "org_a_admin", Capabilities: plus(orgAdmin, host), Transitions: []room.Transition{moves(0, 2, 5), moves(2, 0, 1, 5), moves(5, 0, 1, 2)}},
		admin(6, "org_b_admin", moves(0, 3, 6), moves(3, 0, 1, 6), moves(6, 0, 1, 3)),
		admin(7, "org_c_admin", moves(0, 4, 7), moves(4, 0, 1, 7), moves(7, 0, 1, 4)),
		{
			Index: 8, Name: "super_admin", MinParticipants: 1, MinActive: 1,
			Capabilities: plus(orgAdmin, host, naming, ruling, caps{
				room.CanUnban, room.CanDeleteOtherReaction, room.CanDeleteOtherMessage, room.CanEditOwnTopic, room.CanEditOtherTopic,
				room.CanChangeRoomDescription, room.CanChangeRoleDefinitions, room.CanSendMLSReinitProposal,
			}),
			Transitions: []room.Transition{
				moves(0, 1, 2, 3, 4, 5, 6, 7, 8), moves(1, 0, 2, 3, 4, 5, 6, 7, 8), moves(2, 0, 1, 5, 8), moves(3, 0, 1, 6), moves(4, 0, 1, 7),
				moves(5, 0, 1, 2, 8), moves(6, 0, 1, 3), moves(7, 0, 1, 4), moves(8, 0, 1, 2, 5),
			},
		},
		enforcer(9, moves(0, 1), moves(1, 0), moves(3, 0, 1), moves(4, 0, 1), moves(5, 0, 1), moves(6, 0, 1), moves(7, 0, 1), moves(8, 0, 1)),
	}
}

// exampleRoom has one client for each of the people, and the enforcing hub with
// none.
func exampleRoom(t testing.TB, roles []room.Role, enforcing uint32, people map[mimi.URI]uint32, preauth ...room.Preauthorization) *room.State {
	t.Helper()
	s := setting{roles: roles, base: room.BasePolicy{MultiDevice: true}, clients: map[mimi.URI]int{}, preauth: preauth}
	for _, u := range everyone {
		if role, ok := people[u]; ok {
			s.people = append(s.people, room.Participant{User: u, Role: role})
			if role != room.RoleBanned {
				s.clients[u] = 1
			}
		}
	}
	s.people = append(s.people, room.Participant{User: hub, Role: enforcing})
	return s.open(t)
}

func byHub(ops ...room.Operation) room.Change {
	return room.Change{Actions: from(room.Actor{User: hub, Kind: room.ExternalSender}, ops...)}
}

func TestDraftCooperativeRoom(t *testing.T) {
	s := exampleRoom(t, cooperative(), 5, map[mimi.URI]uint32{alice: 3, bob: 2, cathy: 2, dave: 1})
	accept(t, s, commit(bob, invite(t, erin, 2, 1)...))
	refuse(t, s, commit(bob, invite(t, erin, 3, 1)...), room.ErrRoleChange)
	accept(t, s, commit(bob, leave(t, s, cathy)...))
	refuse(t, s, commit(bob, leave(t, s, alice)...), room.ErrRoleChange) // (3,[0]) is not the ordinary user's
	refuse(t, s, commit(bob, room.RemoveClient{User: cathy}), room.MissingCapability(room.CanKick))
	refuse(t, s, room.Change{Committer: bob, Actions: by(alice, leave(t, s, alice)...)}, room.ErrMinParticipants)
	accept(t, s, commit(alice, changed(t, s, bob, 3)))
	accept(t, s, commit(alice, changed(t, s, dave, 2)))
	refuse(t, s, commit(alice, changed(t, s, bob, 4)), room.ErrRoleChange) // no admin makes a super_admin
	refuse(t, s, room.Change{Committer: erin, Actions: from(room.Actor{User: erin, Kind: room.Joiner, JoinCode: true}, invite(t, erin, 2, 1)...)}, room.MissingCapability(room.CanUseJoinCode))

	// The enforcer cleans up and bans, and restores nobody.
	accept(t, s, byHub(leave(t, s, dave)...))
	accept(t, s, byHub(changed(t, s, bob, 1), room.RemoveClient{User: bob}))
	accept(t, s, byHub(added(t, erin, 1)))
	refuse(t, s, byHub(changed(t, s, dave, 2)), room.ErrRoleChange)
	refuse(t, s, byHub(added(t, erin, 2)), room.MissingCapability(room.CanAddParticipant))
	refuse(t, s, byHub(room.RemoveClient{User: bob}), room.MissingCapability(room.CanKick))
	refuse(t, s, byHub(room.AddClient{User: hub}), room.MissingCapability(room.CanAddOwnClient))
	// and is never left with none of its kind.
	refuse(t, s, byHub(removed(t, s, hub)), room.MissingCapability(room.CanRemoveSelf))
}

func TestDraftStrictRoom(t *testing.T) {
	roles := strict()
	s := exampleRoom(t, roles, 5, map[mimi.URI]uint32{alice: 4, bob: 3, cathy: 2}, room.Preauthorization{Claims: staff, Role: roles[2]})
	refuse(t, s, commit(cathy, invite(t, erin, 2, 1)...), room.MissingCapability(room.CanAddParticipant))
	accept(t, s, commit(bob, invite(t, erin, 3, 1)...))
	joiner := room.Actor{User: erin, Kind: room.Joiner}
	coded, hired := joiner, joiner
	coded.JoinCode, hired.Claims = true, staff
	refuse(t, s, room.Change{Committer: erin, Actions: from(joiner, invite(t, erin, 2, 1)...)}, room.MissingCapability(room.CanOpenJoin))
	refuse(t, s, room.Change{Committer: erin, Actions: from(coded, invite(t, erin, 3, 1)...)}, room.ErrRoleChange)
	accept(t, s, room.Change{Committer: erin, Actions: from(coded, invite(t, erin, 2, 1)...)})
	accept(t, s, room.Change{Committer: erin, Actions: from(hired, invite(t, erin, 2, 1)...)})
	// Nothing of one's name or role without the admin.
	refuse(t, s, commit(cathy, update(t, room.ComponentRoomMetadata, &room.RoomMetadata{URI: "x:y", Name: "n"})), room.MissingCapability(room.CanChangeRoomName))
	accept(t, s, commit(bob, update(t, room.ComponentRoomMetadata, &room.RoomMetadata{URI: "x:y", Name: "n"})))
	refuse(t, s, commit(bob, update(t, room.ComponentRolesList, rolesOf(t, s))), room.MissingCapability(room.CanChangeRoleDefinitions))
	accept(t, s, commit(alice, update(t, room.ComponentRolesList, rolesOf(t, s))))
	if err := s.MaySend(cathy, room.CanReplyToMessage); err == nil {
		t.Error("ordinary users reply outside of topics")
	}
}

func TestDraftModeratedRoom(t *testing.T) {
	roles := moderated()
	s := exampleRoom(t, roles, 7, map[mimi.URI]uint32{alice: 5, bob: 4, cathy: 3, dave: 2})
	for _, tc := range []struct {
		who     mimi.URI
		what    room.Capability
		allowed bool
	}{
		{dave, room.CanReactToMessage, true},
		{dave, room.CanReplyInTopic, false},
		{cathy, room.CanReplyInTopic, true},
		{cathy, room.CanSendMessage, false},
		{bob, room.CanSendMessage, true},
		{bob, room.CanDeleteOtherMessage, false},
		{alice, room.CanDeleteOtherMessage, true},
	} {
		if err := s.MaySend(tc.who, tc.what); (err == nil) != tc.allowed {
			t.Errorf("role %d, %v: %v", s.Role(tc.who), tc.what, err)
		}
	}
	// Raising a hand: the moderator makes the attendee a speaker, and back.
	spoken := accept(t, s, commit(alice, changed(t, s, cathy, 4)))
	accept(t, spoken, commit(alice, changed(t, spoken, cathy, 3)))
	refuse(t, s, commit(bob, changed(t, s, cathy, 4)), room.MissingCapability(room.CanChangeUserRole))
	// A guest has one client and no more.
	refuse(t, s, commit(dave, room.AddClient{User: dave}), room.MissingCapability(room.CanAddOwnClient))
	accept(t, s, commit(cathy, room.AddClient{User: cathy}))
	// Codes lead to guests and attendees.
	coded := room.Actor{User: erin, Kind: room.Joiner, JoinCode: true}
	if got := s.JoinRoles(erin, nil, true); !slices.Equal(got, []uint32{2, 3}) {
		t.Errorf("roles to join in: %v", got)
	}
	accept(t, s, room.Change{Committer: erin, Actions: from(coded, invite(t, erin, 3, 1)...)})
	refuse(t, s, room.Change{Committer: erin, Actions: from(coded, invite(t, erin, 4, 1)...)}, room.ErrRoleChange)
	accept(t, s, commit(alice, room.RemoveClient{User: bob})) // kick
	refuse(t, s, commit(alice, leave(t, s, alice)...), room.ErrCommitterLeaves)
	refuse(t, s, room.Change{Committer: bob, Actions: by(alice, leave(t, s, alice)...)}, room.ErrMinParticipants)
}

func TestDraftOrganisations(t *testing.T) {
	roles := organisations()
	frank := user("b.example", "frank")
	s := exampleRoom(t, roles, 9, map[mimi.URI]uint32{alice: 8, bob: 6, cathy: 7, dave: 3, erin: 2}, room.Preauthorization{Claims: staff, Role: roles[5]})
	// bob rules his organisation, and no other.
	accept(t, s, commit(bob, invite(t, frank, 3, 1)...))
	accept(t, s, commit(bob, changed(t, s, dave, 6)))
	accept(t, s, commit(bob, changed(t, s, dave, 1), room.RemoveClient{User: dave}))
	refuse(t, s, commit(bob, invite(t, frank, 4, 1)...), room.ErrRoleChange)
	refuse(t, s, commit(bob, changed(t, s, erin, 1), room.RemoveClient{User: erin}), room.ErrRoleChange)
	refuse(t, s, commit(bob, leave(t, s, cathy)...), room.ErrRoleChange)
	refuse(t, s, commit(alice, leave(t, s, cathy)...), room.ErrMinParticipants) // no organisation without its one admin
	// but cannot unban: only the super_admin.
	banned := accept(t, s, commit(bob, changed(t, s, dave, 1), room.RemoveClient{User: dave}))
	refuse(t, banned, commit(bob, changed(t, banned, dave, 3)), room.ErrRoleChange)
	accept(t, banned, commit(alice, changed(t, banned, dave, 3)))
	// At most three admins.
	for _, name := range []string{"one", "two"} {
		s = accept(t, s, commit(bob, invite(t, user("b.example", name), 6, 1)...))
	}
	refuse(t, s, commit(bob, invite(t, user("b.example", "three"), 6, 1)...), room.ErrMaxParticipants)
	refuse(t, s, commit(bob, changed(t, s, dave, 6)), room.ErrMaxParticipants)
	// At least one, and that one active.
	refuse(t, s, room.Change{Committer: alice, Actions: by(cathy, room.RemoveClient{User: cathy})}, room.ErrMinActive)
	accept(t, s, room.Change{Committer: alice, Actions: by(bob, room.RemoveClient{User: bob})})
	// The host's staff promotes itself; others have no such capability.
	accept(t, s, room.Change{Committer: erin, Actions: from(room.Actor{User: erin, Claims: staff}, changed(t, s, erin, 5))})
	refuse(t, s, room.Change{Committer: dave, Actions: from(room.Actor{User: dave, Claims: staff}, changed(t, s, dave, 5))}, room.MissingCapability(room.CanChangeOwnRole))
	hired := room.Actor{User: frank, Kind: room.Joiner, Claims: staff}
	accept(t, s, room.Change{Committer: frank, Actions: from(hired, invite(t, frank, 5, 1)...)})
	refuse(t, s, room.Change{Committer: frank, Actions: from(hired, invite(t, frank, 2, 1)...)}, room.ErrPreauthorization)
}
