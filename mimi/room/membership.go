package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// participants judges each change of the participant list by itself
// (draft-ietf-mimi-protocol-06, section 7.5). State.Apply has checked the update.
func (j *judge) participants(a *Actor, role *Role, data []byte) error {
	u, err := Decode[ParticipantListUpdate](data)
	if err != nil {
		return err
	}
	list := j.old.participants.Participants
	for _, change := range u.Changed {
		if err := j.changeRole(a, role, list[change.Index], change.Role); err != nil {
			return fmt.Errorf("role of participant %d: %w", change.Index, err)
		}
	}
	for _, index := range u.Removed {
		if err := j.removeParticipant(a, role, list[index]); err != nil {
			return fmt.Errorf("removal of participant %d: %w", index, err)
		}
	}
	for i, added := range u.Added {
		if err := j.addParticipant(a, role, added); err != nil {
			return fmt.Errorf("addition %d: %w", i, err)
		}
	}
	return nil
}

// changeRole judges a role change (draft-ietf-mimi-room-policy-03, section
// 8.1.3).
func (j *judge) changeRole(a *Actor, role *Role, target Participant, to uint32) error {
	roles := &j.old.roles
	if target.User == a.User {
		return j.changeOwnRole(a, role, to)
	}
	capabilities := []Capability{CanChangeUserRole}
	switch {
	case roles.Banned(to):
		capabilities = []Capability{CanBan, CanChangeUserRole}
	case roles.Banned(target.Role):
		capabilities = []Capability{CanUnban, CanChangeUserRole}
	}
	if err := need(role, capabilities...); err != nil {
		return err
	}
	if err := transition(role, target.Role, to); err != nil {
		return err
	}
	if roles.Banned(to) && role.Has(CanBan) {
		j.gone[target.User] = true
	}
	return nil
}

// changeOwnRole judges an actor's change of its own role: to the one that it is
// preauthorized for, and no other.
func (j *judge) changeOwnRole(a *Actor, role *Role, to uint32) error {
	if err := need(role, CanChangeOwnRole); err != nil {
		return err
	}
	if first, ok := j.old.preauth.Match(a.Claims); !ok || first != to {
		return fmt.Errorf("%w: role %d", ErrPreauthorization, to)
	}
	return nil
}

// removeParticipant judges a removal from the participant list.
func (j *judge) removeParticipant(a *Actor, role *Role, target Participant) error {
	capability := CanRemoveParticipant
	if target.User == a.User {
		capability = CanRemoveSelf
	}
	if err := need(role, capability); err != nil {
		return err
	}
	if err := transition(role, target.Role, RoleNone); err != nil {
		return err
	}
	j.gone[target.User] = true
	return nil
}

// addParticipant judges an addition to the participant list. Putting a user there
// as banned is a ban: the user's role changes from zero to one.
func (j *judge) addParticipant(a *Actor, role *Role, added Participant) error {
	if added.User == a.User {
		if err := j.join(a, added.Role); err != nil {
			return err
		}
		j.joined[a.User] = true
		return nil
	}
	capabilities := []Capability{CanAddParticipant}
	if j.old.roles.Banned(added.Role) {
		capabilities = []Capability{CanBan, CanAddParticipant}
	}
	if err := need(role, capabilities...); err != nil {
		return err
	}
	return transition(role, RoleNone, added.Role)
}

// join judges a user who is not in the participant list and enters it from
// outside: preauthorized, through an open door, or with a join code
// (draft-ietf-mimi-room-policy-03, section 8.1.1).
func (j *judge) join(a *Actor, to uint32) error {
	if a.Kind != Joiner {
		return ErrNotMember
	}
	preauthorized, matched := j.old.preauth.Match(a.Claims)
	if matched && preauthorized == to && j.old.roleHas(to, CanJoinIfPreauthorized) {
		return nil
	}
	outside := j.old.Definition(RoleNone)
	door := outside.Has(CanOpenJoin) || a.JoinCode && outside.Has(CanUseJoinCode)
	switch {
	case !door && matched && preauthorized != to:
		return fmt.Errorf("%w: role %d", ErrPreauthorization, to)
	case !door && matched:
		return MissingCapability(CanJoinIfPreauthorized)
	case !door && a.JoinCode:
		return MissingCapability(CanUseJoinCode)
	case !door:
		return MissingCapability(CanOpenJoin)
	case !outside.Has(CanOpenJoin) && a.CodeRole != RoleNone && a.CodeRole != to:
		return fmt.Errorf("%w: %d, not %d", ErrJoinCode, a.CodeRole, to)
	}
	return transition(&outside, RoleNone, to)
}

// roleHas reports whether a role exists and has a capability.
func (s *State) roleHas(index uint32, capability Capability) bool {
	r := s.roles.Role(index)
	return r != nil && r.Has(capability)
}

// JoinRoles returns the roles in which a user who is not in the participant list
// can enter the room from outside, most preferred first: the one that it is
// preauthorized for, then those that role zero may take, if the door is open or
// there is a join code. It is empty if the user cannot enter, or is listed.
func (s *State) JoinRoles(user mimi.URI, claims []Claim, joinCode bool) []uint32 {
	if s.roleOf[user] != RoleNone {
		return nil
	}
	j := judge{old: s, next: s}
	a := Actor{User: user, Kind: Joiner, JoinCode: joinCode, Claims: claims}
	var roles []uint32
	if r, ok := s.preauth.Match(claims); ok && j.join(&a, r) == nil {
		roles = append(roles, r)
	}
	for i := range s.roles.Roles {
		index := s.roles.Roles[i].Index
		if index != RoleNone && !s.roles.Banned(index) && j.join(&a, index) == nil && (len(roles) == 0 || roles[0] != index) {
			roles = append(roles, index)
		}
	}
	return roles
}
