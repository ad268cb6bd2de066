package room

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// Decide returns the room after a change if the room's policy allows the change,
// and nil otherwise. A hub and a member that open the same room and see the same
// change come to the same answer. A refusal wraps [ErrInvalid] or [ErrDenied];
// where one action is at fault it is an [ActionError].
//
// The rules are draft-ietf-mimi-room-policy-03, section 8: every action is
// authorised by the role that its actor has before the change, the result must
// satisfy [State.Apply]. The clients of a user whom the same change removes or
// bans go with the user, whoever proposes it; all other client changes are
// authorised one by one.
func Decide(s *State, ch Change) (*State, error) {
	next, err := s.apply(ch)
	if err != nil {
		return nil, err
	}
	j := judge{old: s, next: next, gone: map[mimi.URI]bool{}, joined: map[mimi.URI]bool{}}
	// Components first: the clients of those who join, leave or are banned are
	// judged by what became of their users.
	for _, components := range []bool{true, false} {
		for i, a := range ch.Actions {
			if err := j.action(a, components); err != nil {
				return nil, &ActionError{i, a.Actor.User, err}
			}
		}
	}
	// Last, so that nobody is told of a limit who has no say anyway.
	if err := next.checkLimits(s); err != nil {
		return nil, err
	}
	return next, nil
}

// Authorize is [Decide] without the result.
func Authorize(s *State, ch Change) error {
	_, err := Decide(s, ch)
	return err
}

// A judge decides on the actions of one change.
type judge struct {
	old, next *State
	// gone are users who are rightfully removed or banned, joined those who
	// rightfully put themselves into the participant list.
	gone, joined map[mimi.URI]bool
}

// action judges one action, if it is one on a component or if it is not.
func (j *judge) action(a Action, components bool) error {
	role, err := j.actingRole(&a.Actor)
	if err != nil {
		return err
	}
	switch op := a.Operation.(type) {
	case UpdateComponent:
		if components {
			return j.update(&a.Actor, role, op)
		}
	case RemoveComponent:
		if components {
			return j.removal(role, op.ID)
		}
	case AddClient:
		if !components {
			return j.addClient(&a.Actor, role, op.User)
		}
	case RemoveClient:
		if !components {
			return j.removeClient(&a.Actor, role, op.User)
		}
	case ReInit:
		return need(role, CanSendMLSReinitProposal)
	case DestroyRoom:
		return need(role, CanDestroyRoom)
	}
	return nil
}

// need fails with a [MissingCapability] unless the role has one of the
// capabilities; the first is the one that is named.
func need(role *Role, oneOf ...Capability) error {
	if !slices.ContainsFunc(oneOf, role.Has) {
		return mimi.Refuse("room-capability", MissingCapability(oneOf[0]))
	}
	return nil
}

// transition fails unless the role's authorized_role_changes list the change.
func transition(role *Role, from, to uint32) error {
	if !role.Allows(from, to) {
		return fmt.Errorf("%w: role %d may not change role %d to %d", ErrRoleChange, role.Index, from, to)
	}
	return nil
}

// actingRole returns the role in which an actor acts: the one in the participant
// list, else, for those outside the group, the one that it is preauthorized for,
// else role zero (draft-ietf-mimi-room-policy-03, sections 4 and 8). A
// preauthorization never helps a listed user, who may be banned.
func (j *judge) actingRole(a *Actor) (*Role, error) {
	if a.Kind == Member && !j.old.Active(a.User) {
		return nil, ErrNotMember
	}
	index, listed := j.old.roleOf[a.User]
	if !listed {
		if preauthorized, ok := j.old.preauth.Match(a.Claims); ok {
			index = preauthorized
		}
	}
	if r := j.old.roles.Role(index); r != nil {
		return r, nil
	}
	return &Role{}, nil // role zero without a definition: no capabilities
}

// update judges an AppDataUpdate with the operation update.
func (j *judge) update(a *Actor, role *Role, op UpdateComponent) error {
	switch op.ID {
	case ComponentParticipantList:
		return j.participants(a, role, op.Data)
	case ComponentRoomMetadata:
		return j.metadata(role, &j.old.metadata, &j.next.metadata, j.old.data[op.ID] == nil)
	case ComponentEncryptedMetadata:
		return j.encryptedMetadata(role, op)
	case ComponentJoinLinks:
		return j.joinLinks(role, op.Data)
	default:
		return need(role, components[op.ID].need)
	}
}

// removal judges an AppDataUpdate with the operation remove.
func (j *judge) removal(role *Role, id ComponentID) error {
	switch id {
	case ComponentRoomMetadata:
		empty := RoomMetadata{URI: j.old.metadata.URI}
		return j.metadata(role, &j.old.metadata, &empty, false)
	case ComponentJoinLinks:
		return need(role, CanDeleteJoinCode)
	default:
		return need(role, components[id].need)
	}
}

// metadata judges the change of a room's metadata field by field. Whoever brings
// metadata into a room that had none brings its room_uri, too.
func (j *judge) metadata(role *Role, before, after *RoomMetadata, created bool) error {
	if created {
		before = &RoomMetadata{URI: after.URI}
	}
	needs, err := before.Changed(after)
	if err != nil {
		return err
	}
	for _, capability := range needs {
		if err := need(role, capability); err != nil {
			return err
		}
	}
	if len(needs) == 0 {
		return need(role, metadataCapabilities...)
	}
	return nil
}

// encryptedMetadata judges metadata that only members can read. What the hub sees
// is that something changes: that takes a capability for some field, unless a new
// wrapper key demands it of everyone. Members ask no more here, or they would
// refuse a commit that the hub has accepted; see [State.MayChangeMetadata].
func (j *judge) encryptedMetadata(role *Role, op UpdateComponent) error {
	if op.Rekeyed {
		return nil
	}
	return need(role, metadataCapabilities...)
}

// MayChangeMetadata fails unless a participant may change the room's metadata from
// before to after. A client asks it before it sends encrypted metadata, and again
// when it has decrypted those of another: if that one was not allowed to, the
// commit stands and the old metadata are still shown.
func (s *State) MayChangeMetadata(user mimi.URI, before, after *RoomMetadata) error {
	role, err := s.speaker(user)
	if err != nil {
		return err
	}
	needs, err := before.Changed(after)
	if err != nil {
		return err
	}
	for _, capability := range needs {
		if err := need(role, capability); err != nil {
			return err
		}
	}
	return nil
}

// joinLinks judges changes of the active join links.
func (j *judge) joinLinks(role *Role, data []byte) error {
	u, err := Decode[JoinLinksUpdate](data)
	if err != nil {
		return err
	}
	if len(u.Added) > 0 {
		err = need(role, CanCreateJoinCode)
	}
	if err == nil && len(u.Removed) > 0 {
		err = need(role, CanDeleteJoinCode)
	}
	return err
}

// addClient judges a client that enters the group
// (draft-ietf-mimi-room-policy-03, section 8.1.1).
func (j *judge) addClient(a *Actor, role *Role, user mimi.URI) error {
	if user != a.User {
		// Right now or after an earlier addition to the list: who may give the
		// user this role may bring the user's clients.
		if err := need(role, CanAddParticipant); err != nil {
			return err
		}
		return transition(role, RoleNone, j.next.roleOf[user])
	}
	if j.joined[user] {
		return nil
	}
	return j.ownClient(a, role)
}

// ownClient judges a further client of a listed actor.
func (j *judge) ownClient(a *Actor, role *Role) error {
	if j.old.roleOf[a.User] == RoleNone {
		return ErrNotParticipant
	}
	if a.Kind == Joiner && a.JoinCode && role.Has(CanUseJoinCode) {
		return nil
	}
	return need(role, CanAddOwnClient)
}

// removeClient judges a client that leaves the group
// (draft-ietf-mimi-room-policy-03, section 8.1.2).
func (j *judge) removeClient(a *Actor, role *Role, user mimi.URI) error {
	switch {
	case j.gone[user]:
		return nil
	case user != a.User:
		return need(role, CanKick)
	case a.Kind == Joiner:
		// The joiner replaces its own leaf; what it may add it may replace.
		return j.ownClient(a, role)
	default:
		return need(role, CanRemoveOwnClient)
	}
}
