package room

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// The two ways in which a change is refused. Every error of this package wraps
// one of them, so that a hub can answer with notAllowed or invalidProposal
// (draft-ietf-mimi-protocol-06, section 5.3) without knowing the rules.
var (
	// ErrInvalid reports data or a change that no policy could allow.
	ErrInvalid = errors.New("room: invalid")
	// ErrDenied reports a change that is well-formed, but that this room's
	// policy does not allow to this actor, or not now.
	ErrDenied = errors.New("room: not allowed")
)

// What makes a component malformed.
var (
	// ErrMalformed reports octets that are not the encoding of the component.
	ErrMalformed = invalid("malformed component")
	// ErrTooLarge reports a component, list or text beyond its limit.
	ErrTooLarge = invalid("limit exceeded")
	// ErrText reports a text that is not UTF-8, has a zero character, or is
	// empty where it must not be.
	ErrText = invalid("malformed text")
	// ErrURIField reports a field that is not a URI, or not of the scheme that
	// the field asks for.
	ErrURIField = invalid("malformed URI field")
	// ErrEnum reports an octet that is no value of its enum.
	ErrEnum = invalid("unknown enum value")
	// ErrDuplicate reports an element that stands twice in a list whose elements
	// are distinct.
	ErrDuplicate = invalid("duplicate element")
	// ErrRange reports numbers that contradict each other, such as a minimum
	// above its maximum.
	ErrRange = invalid("contradicting numbers")
	// ErrConflict reports settings of one component that contradict each other.
	ErrConflict = invalid("contradicting settings")
)

// What makes the components of a room contradict each other.
var (
	// ErrMissingComponent reports a room without one of participant_list,
	// roles_list and base_room_policy, or the removal of one that stays.
	ErrMissingComponent = invalid("required component is missing")
	// ErrPolicyNotListed reports a base policy whose policy_component_ids does
	// not list roles_list, or preauth_list although it is present.
	ErrPolicyNotListed = invalid("component is not listed in policy_component_ids")
	// ErrUnknownRole reports a reference to a role that roles_list lacks.
	ErrUnknownRole = invalid("no such role")
	// ErrRoleZero reports role zero, which stands for not being a participant,
	// where a participant's role is needed.
	ErrRoleZero = invalid("role index 0 is no participant's role")
	// ErrBannedRole reports a role named "banned" whose index is not 1.
	ErrBannedRole = invalid(`the role named "banned" has role_index 1`)
	// ErrOpenJoinRole reports canOpenJoin in a role other than zero.
	ErrOpenJoinRole = invalid("canOpenJoin is for role zero only")
	// ErrPreauthRole reports a preauthorized role that differs from the role of
	// the same index in roles_list.
	ErrPreauthRole = invalid("preauthorized role differs from roles_list")
	// ErrFixedMembershipRole reports canAddParticipant in a role of a
	// fixed-membership room.
	ErrFixedMembershipRole = invalid("a role of a fixed-membership room may add participants")
	// ErrNotParticipant reports a client, or an actor, whose user is not in the
	// participant list.
	ErrNotParticipant = invalid("user is not in the participant list")
	// ErrPlainMetadata reports a name, description, avatar, subject or mood in
	// the room_metadata of a minimal-metadata room, where the hub would read it.
	ErrPlainMetadata = invalid("room_metadata of a minimal-metadata room must not name it")
	// ErrJoinLinkCount reports a second join link where on_request allows one.
	ErrJoinLinkCount = invalid("on_request allows one join link")
	// ErrParent reports a parent-dependent room whose participants are not a
	// strict subset of its parent's.
	ErrParent = invalid("participants are not a strict subset of the parent room's")
)

// What makes a change invalid, whoever sends it.
var (
	// ErrUnknownComponent reports an update of a component that is not a room's.
	ErrUnknownComponent = invalid("unknown component")
	// ErrUpdateConflict reports more than one update of a component that is
	// replaced as a whole, or an update beside a removal, in one change.
	ErrUpdateConflict = invalid("component is changed more than once")
	// ErrIndex reports an index beyond the end of its list.
	ErrIndex = invalid("index out of range")
	// ErrSameUser reports a change that operates on the same user in the
	// participant list more than once.
	ErrSameUser = invalid("user is changed more than once")
	// ErrNoChange reports a role change to the role that the user already has.
	ErrNoChange = invalid("role change changes nothing")
	// ErrRolesWithParticipants reports a change of roles_list together with one
	// of the participant list.
	ErrRolesWithParticipants = invalid("roles_list and participant_list change in one commit")
	// ErrPreauthWithParticipants reports a change of preauth_list together with
	// one of the participant list other than removals.
	ErrPreauthWithParticipants = invalid("preauth_list changes in one commit with additions or role changes")
	// ErrNoClient reports the removal of more clients than the user has.
	ErrNoClient = invalid("user has no such client")
	// ErrClientsRemain reports a user who is removed from the participant list
	// while clients of that user stay in the group.
	ErrClientsRemain = invalid("clients of a removed user stay in the group")
	// ErrCommitterLeaves reports a commit after which its committer has no
	// client in the group.
	ErrCommitterLeaves = invalid("the committer cannot commit its own leaving")
	// ErrOperation reports an action without an operation.
	ErrOperation = invalid("action without operation")
)

// What a policy refuses. A missing capability is a [MissingCapability].
var (
	// ErrRoleChange reports a transition that the authorized_role_changes of the
	// actor's role do not list.
	ErrRoleChange = denied("role change is not authorized")
	// ErrPreauthorization reports a role that is not the first one which the
	// actor's claims match.
	ErrPreauthorization = denied("not the role that the preauthorization gives")
	// ErrJoinCode reports a join code that refers to another role.
	ErrJoinCode = denied("join code refers to another role")
	// ErrNotMember reports an actor without a client in the group who is no
	// external joiner or sender either, or one who sends without being a
	// participant.
	ErrNotMember = denied("not a member of the room")
	// ErrBanned reports a client, or a message, of a user whose role is "banned".
	ErrBanned = denied("user is banned")
	// ErrFixedMembership reports a user added to or removed from the participant
	// list of a fixed-membership room.
	ErrFixedMembership = denied("membership of the room is fixed")
	// ErrMaxUsers reports more non-banned participants than max_users.
	ErrMaxUsers = denied("too many users")
	// ErrMaxClients reports more clients than max_clients.
	ErrMaxClients = denied("too many clients")
	// ErrSingleDevice reports a second client of a user where multi_device is
	// false.
	ErrSingleDevice = denied("only one client per user")
	// ErrMinParticipants reports a role left with less than its
	// minimum_participants_constraint.
	ErrMinParticipants = denied("too few participants in role")
	// ErrMaxParticipants reports a role with more than its
	// maximum_participants_constraint.
	ErrMaxParticipants = denied("too many participants in role")
	// ErrMinActive reports a role left with less than its
	// minimum_active_participants_constraint.
	ErrMinActive = denied("too few active participants in role")
	// ErrMaxActive reports a role with more than its
	// maximum_active_participants_constraint.
	ErrMaxActive = denied("too many active participants in role")
	// ErrImmutable reports a change of something that no capability covers: the
	// room_uri.
	ErrImmutable = denied("cannot be changed")
	// ErrOtherPolicy reports a room whose roles or base policy are not those of
	// the [Instance] that it was compared with.
	ErrOtherPolicy = denied("room does not have the expected policy")
)

func invalid(what string) error { return fmt.Errorf("%w: %s", ErrInvalid, what) }
func denied(what string) error  { return fmt.Errorf("%w: %s", ErrDenied, what) }

// A MissingCapability reports that the actor's role lacks a capability. It is
// comparable: errors.Is(err, room.MissingCapability(room.CanBan)). It wraps
// [ErrDenied].
type MissingCapability Capability

// Error names the capability.
func (m MissingCapability) Error() string {
	return ErrDenied.Error() + ": the role lacks " + Capability(m).String()
}

// Unwrap returns [ErrDenied].
func (m MissingCapability) Unwrap() error { return ErrDenied }

// An ActionError says which action of a [Change] was refused, so that a hub can
// name the proposal.
type ActionError struct {
	// Index of the action in [Change.Actions].
	Index int
	// Actor who proposed it.
	Actor mimi.URI
	// Err is the reason.
	Err error
}

// Error says which action failed and why. It does not name the actor, who can be
// a person in a room without pseudonyms.
func (e *ActionError) Error() string {
	return fmt.Sprintf("action %d: %v", e.Index, e.Err)
}

// Unwrap returns the reason.
func (e *ActionError) Unwrap() error { return e.Err }
