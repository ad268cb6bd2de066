// Package room is the state of a MIMI room as far as its policy is concerned: the
// application components of draft-ietf-mimi-room-policy-03 and of
// draft-ietf-mimi-protocol-06, sections 7.5 and 7.6, and the pure decisions that
// depend on them. It does no I/O and keeps nothing.
//
// [Open] makes a [State] from the app_data_dictionary of a GroupContext and the
// number of clients of each user. [Decide] judges a [Change], which is one commit
// or a bundle of proposals, and returns the next State. The hub and every member
// call it with the same arguments, so that they agree. [ApplyComponent] computes
// the new data of one component, as the MLS layer needs it. [Cooperative] and
// [ConnectionRoom] are the policies with which this gateway creates rooms.
//
// # Where the drafts leave a choice
//
// Syntax. bool is an enum without a maximum: one octet, 0 or 1, nothing else.
// "optional uint32" is optional<uint32> of RFC 9420, section 2.1.1. "Component
// policy_component_ids<V>" is a vector of ComponentID, because no struct Component
// is defined. "Uri parent_room<V>" and "Uri link_preview_proxy<V>" are taken by the
// letter as vectors of Uri, with at most one element, as the prose speaks of one
// URI; absent, the field is the same single zero octet in every reading. "opaque
// join_link" without a length would be one octet; it is opaque<V> here.
// "optional<MediaType> permitted_media_types<V>" is one optional vector, because
// the prose says "if present" of the list and not of its elements. Where a select
// says mandatory, the enum's required(1) is meant. "Role target_role" of a
// preauthorization is the whole Role by the letter; since a role that differs from
// the one in roles_list would give a joiner what no list shows, the two must be
// equal. "WireFormats wire_formats<V>" is a vector of WireFormat, and
// "ContentType" the one octet of RFC 9420, section 6. A PendingProposalStrategy of
// "extension" has no number and is refused.
//
// Participant list. All positions in the updates of one commit are those of the
// list before the commit, in every one of several updates: their senders can have
// seen no other. Role changes come first, then removals, then additions. A role
// change to the role that the user has already is refused, as is any role zero. A
// participant is a user, or a provider with a role of its own.
//
// Updates. A component that its update replaces is updated at most once in a
// commit; the drafts say so of room_metadata only, but the second of two updates
// would silently undo the first. participant_list, roles_list and base_room_policy
// cannot be removed. policy_component_ids must list roles_list and, if present,
// preauth_list; of other components it may list any. A change of mls_operational_policy
// needs canChangeMlsOperationalPolicies, one of join_links needs canCreateJoinCode
// and canDeleteJoinCode, and one of any other policy canChangeOtherPolicyAttribute,
// although the registry calls these reserved: no other capability covers them, and a
// component that nobody may change is safer than one that anybody may.
//
// Constraints. A minimum refuses the change that makes a role too small, a maximum
// the one that makes it too large, counted over the whole commit; a role that breaks
// a constraint already, as at creation, does not block other changes.
// fixed_membership keeps the participant list for everyone, since the draft names no
// role that would not be "ordinary". multi_device is about the clients of each user.
//
// Roles. The role of index 1 is the banned role only if it is named "banned"; the
// name is not allowed elsewhere. Banning someone who is not in the list is adding
// them as banned, by canBan or canAddParticipant, and needs the transition from 0 to
// 1, which the draft's policy_enforcer has. A banned user has no clients. A join code
// opens the way only to roles that role zero's authorized_role_changes list: the
// draft's examples have such entries where canUseJoinCode is role zero's only
// capability. An external commit that replaces the joiner's own leaf needs
// canAddOwnClient and not canRemoveOwnClient. Clients of a listed user without
// clients, whose KeyPackages came late, are added by those who may add a participant
// with that role. A preauthorization without claims, which everyone would match, is
// malformed: that is what canOpenJoin is for.
//
// Not checked here, because a room does not know it: whether a join code is valid,
// whether the claims are true, which domain is the hub's, whether a parent room has
// changed (a hub calls [State.CheckParent]), and whether two rooms of fixed
// membership have the same participants.
package room
