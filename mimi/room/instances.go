package room

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The roles of the instances of this package, beside [RoleNone] and [RoleBanned].
// The indexes are those of the draft's example "Cooperatively administered room".
const (
	// RoleMember is an ordinary participant; in a connection room, the responder.
	RoleMember uint32 = 2
	// RoleAdmin is an administrator; the creator of a room starts as one.
	RoleAdmin uint32 = 3
)

// An Instance is a policy that rooms of this gateway are created with.
type Instance struct {
	// Name of the policy, for logs.
	Name string
	// Roles and Base become roles_list and base_room_policy.
	Roles RoleList
	Base  BasePolicy
	// CreatorRole is the role of the first participant.
	CreatorRole uint32
}

// messaging are the capabilities of everyone who takes part in a conversation:
// those of the draft's ordinary_user that concern messages, assets and links,
// and canEditReaction and canEditOwnTopic with them.
var messaging = []Capability{
	CanSendMessage, CanReceiveMessage, CanCopyMessage, CanReportAbuse, CanReplyToMessage, CanReactToMessage,
	CanEditReaction, CanDeleteOwnReaction, CanEditOwnMessage, CanDeleteOwnMessage, CanStartTopic, CanReplyInTopic,
	CanEditOwnTopic,
	CanUploadImage, CanUploadAudio, CanUploadVideo, CanUploadAttachment,
	CanDownloadImage, CanDownloadAudio, CanDownloadVideo, CanDownloadAttachment,
	CanSendLink, CanSendLinkPreview, CanFollowLink, CanCopyLink,
}

// Cooperative returns the policy of group rooms: the draft's example
// "Cooperatively administered room" (draft-ietf-mimi-room-policy-03, appendix A.1)
// with these differences.
//
//   - There are two roles, not four: ordinary_user and group_admin. The creator is
//     group_admin, which has the super_admin's capabilities as well. Nobody outside
//     the room enforces policy: the hub of a minimal-metadata room does not know
//     whom it would act upon.
//   - Ordinary users add others, but do not remove them; administrators do. A person
//     who is bridged from another network can be invited without being asked, and
//     must not be able to empty the room.
//   - No minimum of administrators. Leaving is never refused, because the network
//     from which people come does not ask; a room without administrators still
//     adds, renames and talks.
//   - Role zero may use join codes, for ordinary_user. Codes exist only if a
//     participant who may add others has registered one.
func Cooperative() Instance {
	ordinary := slices.Concat(
		[]Capability{CanAddParticipant, CanAddOwnClient, CanRemoveOwnClient, CanRemoveSelf},
		messaging,
		[]Capability{CanChangeRoomName, CanChangeRoomAvatar, CanChangeRoomSubject, CanChangeRoomMood},
	)
	admin := slices.Concat(ordinary, []Capability{
		CanRemoveParticipant, CanBan, CanUnban, CanKick, CanChangeUserRole, CanDeleteOtherReaction, CanDeleteOtherMessage,
		CanEditOtherTopic, CanChangeRoomDescription, CanDestroyRoom, CanChangeRoomMembershipStyle,
		CanChangeRoleDefinitions, CanChangePreauthorizedUserList, CanChangeOtherPolicyAttribute, CanSendMLSReinitProposal,
	})
	return Instance{
		Name: "cooperative",
		Roles: RoleList{[]Role{
			{
				Index: RoleNone, Name: "no_role", Capabilities: []Capability{CanUseJoinCode}, MaxActive: limit(0),
				Transitions: []Transition{{RoleNone, []uint32{RoleMember}}},
			},
			{Index: RoleBanned, Name: bannedName, MaxActive: limit(0)},
			{
				Index: RoleMember, Name: "ordinary_user", Capabilities: ordinary,
				Transitions: []Transition{{RoleNone, []uint32{RoleMember}}, {RoleMember, []uint32{RoleNone}}},
			},
			{
				Index: RoleAdmin, Name: "group_admin", Capabilities: admin,
				Transitions: []Transition{
					{RoleNone, []uint32{RoleBanned, RoleMember, RoleAdmin}},
					{RoleBanned, []uint32{RoleNone, RoleMember, RoleAdmin}},
					{RoleMember, []uint32{RoleNone, RoleBanned, RoleAdmin}},
					{RoleAdmin, []uint32{RoleNone, RoleBanned, RoleMember}},
				},
			},
		}},
		Base:        pseudonymous(),
		CreatorRole: RoleAdmin,
	}
}

// Plain returns the policy of plain rooms for at most maxUsers users: that of
// [Cooperative], with real addresses in the participant list
// (docs/mmr-profile.md, section 11, "Plain rooms"). There is no component of the
// profile to hold the limit, so it stands in the base policy.
func Plain(maxUsers uint32) Instance {
	in := Cooperative()
	in.Name = "plain"
	in.Base.Pseudonyms, in.Base.MaxUsers = false, limit(maxUsers)
	return in
}

// ConnectionRoom returns the policy of the rooms in which two users connect
// (mmr-profile.md, sections 4 and 6). The requester creates the room alone; the
// responder enters with a join code, under a pseudonym that the requester cannot
// know before. So fixed_membership is false, which would demand both users from the
// start, and the same is said by other means: at most two users, one of each role,
// nobody adds a participant or changes a policy. Each removes its own clients or
// leaves; the requester may also remove the responder, whose identity it checks
// only after the join.
func ConnectionRoom() Instance {
	own := slices.Concat([]Capability{CanAddOwnClient, CanRemoveOwnClient, CanRemoveSelf}, messaging)
	base := pseudonymous()
	base.MaxUsers = limit(2)
	return Instance{
		Name: "connection",
		Roles: RoleList{[]Role{
			{
				Index: RoleNone, Name: "no_role", Capabilities: []Capability{CanUseJoinCode}, MaxActive: limit(0),
				Transitions: []Transition{{RoleNone, []uint32{RoleMember}}},
			},
			{
				Index: RoleMember, Name: "responder", Capabilities: own, MaxParticipants: limit(1),
				Transitions: []Transition{{RoleMember, []uint32{RoleNone}}},
			},
			{
				Index: RoleAdmin, Name: "requester", Capabilities: slices.Concat(own, []Capability{CanRemoveParticipant, CanKick}),
				MaxParticipants: limit(1),
				Transitions:     []Transition{{RoleMember, []uint32{RoleNone}}, {RoleAdmin, []uint32{RoleNone}}},
			},
		}},
		Base:        base,
		CreatorRole: RoleAdmin,
	}
}

// pseudonymous is the base policy of minimal-metadata rooms.
func pseudonymous() BasePolicy {
	return BasePolicy{MultiDevice: true, Pseudonyms: true, Policies: []ComponentID{ComponentRolesList}}
}

func limit(n uint32) *uint32 { return &n }

// InitialComponents returns the components of a new room, whose only participant
// is the creator. Components of other packages and documents, such as
// minimal_metadata_policy, are the caller's to add. It fails if the instance is not
// a valid policy.
func InitialComponents(creator mimi.URI, in Instance) (Components, error) {
	data := Components{}
	for id, m := range map[ComponentID]wire.Message{
		ComponentParticipantList: &ParticipantList{[]Participant{{creator, in.CreatorRole}}},
		ComponentRolesList:       &in.Roles,
		ComponentBasePolicy:      &in.Base,
	} {
		var err error
		if data[id], err = Encode(m); err != nil {
			return nil, fmt.Errorf("initial %v: %w", id, err)
		}
	}
	if _, err := Open(data, map[mimi.URI]int{creator: 1}); err != nil {
		return nil, fmt.Errorf("%s policy: %w", in.Name, err)
	}
	return data, nil
}

// Check fails with [ErrOtherPolicy] unless the roles and the base policy of a room
// are exactly those of the instance: what a responder asks of a connection room,
// and a hub of a room that it is asked to host.
func (in Instance) Check(s *State) error {
	for id, m := range map[ComponentID]wire.Message{ComponentRolesList: &in.Roles, ComponentBasePolicy: &in.Base} {
		want, err := Encode(m)
		if err != nil {
			return err
		}
		if !bytes.Equal(want, s.data[id]) {
			return fmt.Errorf("%w: %v is not that of the %s policy", ErrOtherPolicy, id, in.Name)
		}
	}
	return nil
}
