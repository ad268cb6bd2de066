package room

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The role indexes that have a meaning in every room
// (draft-ietf-mimi-room-policy-03, sections 3 and 8.1.3).
const (
	// RoleNone stands for a user who is not in the participant list. roles_list
	// may define it, to say what outsiders may do.
	RoleNone uint32 = 0
	// RoleBanned is the role of banned users, if the room has a role of this
	// index and of the name "banned".
	RoleBanned uint32 = 1
)

// bannedName is the role_name that makes role 1 the banned role.
const bannedName = "banned"

// A Role is what its holders may do, and how many they may be
// (draft-ietf-mimi-room-policy-03, section 3).
type Role struct {
	// Index is what the participant list refers to.
	Index uint32
	// Name and Description are for people. The name is not empty.
	Name, Description string
	// Capabilities of the holders, without repetition.
	Capabilities []Capability
	// MinParticipants is zero if there is no minimum, MaxParticipants nil if
	// there is no maximum.
	MinParticipants uint32
	MaxParticipants *uint32
	// MinActive and MaxActive bound the participants who have a client in the
	// group. A MaxActive of zero means that none may have one.
	MinActive uint32
	MaxActive *uint32
	// Transitions that holders may make, one element per source role.
	Transitions []Transition
}

// A Transition lists the roles to which a participant of one role may be moved.
// Role zero is not being a participant.
type Transition struct {
	From uint32
	To   []uint32
}

// Wire codes the transition as
//
//	struct {
//	   uint32 from_role_index;
//	   uint32 target_role_indexes<V>;
//	} SingleSourceRoleChangeTargets;
func (t *Transition) Wire(c *wire.Codec) {
	wire.Uint32(c, &t.From)
	uint32s(c, &t.To)
	check(c, atMost("target roles", t.To, MaxRoles), distinctValues("target role", t.To))
}

// Wire codes the role as
//
//	struct {
//	  uint32 role_index;
//	  opaque role_name<V>;
//	  opaque role_description<V>;
//	  CapabilityType role_capabilities<V>;
//	  uint32 minimum_participants_constraint;
//	  optional uint32 maximum_participants_constraint;
//	  uint32 minimum_active_participants_constraint;
//	  optional uint32 maximum_active_participants_constraint;
//	  SingleSourceRoleChangeTargets authorized_role_changes<V>;
//	} Role;
func (r *Role) Wire(c *wire.Codec) {
	wire.Uint32(c, &r.Index)
	text(c, &r.Name, MaxName)
	text(c, &r.Description, MaxText)
	uint16s(c, &r.Capabilities)
	wire.Uint32(c, &r.MinParticipants)
	optionalUint32(c, &r.MaxParticipants)
	wire.Uint32(c, &r.MinActive)
	optionalUint32(c, &r.MaxActive)
	wire.Vector(c, &r.Transitions, wire.Struct[Transition])
	check(c, r.check())
}

func (r *Role) check() error {
	for _, err := range []error{
		atMost("capabilities", r.Capabilities, MaxCapabilities),
		distinctValues("capability", r.Capabilities),
		notAbove("participants", r.MinParticipants, r.MaxParticipants),
		notAbove("active participants", r.MinActive, r.MaxActive),
		atMost("role changes", r.Transitions, MaxRoles),
		// Two entries for one source would leave open which of them counts.
		distinct("from_role_index", r.Transitions, func(t *Transition) uint32 { return t.From }),
	} {
		if err != nil {
			return fmt.Errorf("role %d: %w", r.Index, err)
		}
	}
	switch {
	case r.Name == "":
		return fmt.Errorf("role %d: %w: role_name is empty", r.Index, ErrText)
	case r.Name == bannedName && r.Index != RoleBanned:
		return fmt.Errorf("role %d: %w", r.Index, ErrBannedRole)
	case r.Index != RoleNone && r.Has(CanOpenJoin):
		return fmt.Errorf("role %d: %w", r.Index, ErrOpenJoinRole)
	}
	return nil
}

// Has reports whether holders of the role have a capability.
func (r *Role) Has(capability Capability) bool { return slices.Contains(r.Capabilities, capability) }

// Allows reports whether authorized_role_changes lists the transition.
func (r *Role) Allows(from, to uint32) bool {
	i := slices.IndexFunc(r.Transitions, func(t Transition) bool { return t.From == from })
	return i >= 0 && slices.Contains(r.Transitions[i].To, to)
}

// RoleList is the component roles_list, and its own update
// (draft-ietf-mimi-room-policy-03, section 3).
type RoleList struct {
	Roles []Role
}

// Wire codes the list as
//
//	struct {
//	  Role roles<V>;
//	} RoleData;
//
// Its indexes are distinct, need not be contiguous, and every role that a
// transition names exists or is zero.
func (l *RoleList) Wire(c *wire.Codec) {
	wire.Vector(c, &l.Roles, wire.Struct[Role])
	check(
		c,
		atMost("roles", l.Roles, MaxRoles),
		distinct("role_index", l.Roles, func(r *Role) uint32 { return r.Index }),
		l.checkTransitions(),
	)
}

func (l *RoleList) checkTransitions() error {
	known := map[uint32]bool{RoleNone: true}
	for i := range l.Roles {
		known[l.Roles[i].Index] = true
	}
	for i := range l.Roles {
		for _, t := range l.Roles[i].Transitions {
			for _, index := range append([]uint32{t.From}, t.To...) {
				if !known[index] {
					return fmt.Errorf("%w: role %d may change role %d", ErrUnknownRole, l.Roles[i].Index, index)
				}
			}
		}
	}
	return nil
}

// Role returns the role of an index, or nil if there is none.
func (l *RoleList) Role(index uint32) *Role {
	for i := range l.Roles {
		if l.Roles[i].Index == index {
			return &l.Roles[i]
		}
	}
	return nil
}

// Banned reports whether index is the banned role: 1, where it is named "banned".
func (l *RoleList) Banned(index uint32) bool {
	if index != RoleBanned {
		return false
	}
	r := l.Role(RoleBanned)
	return r != nil && r.Name == bannedName
}
