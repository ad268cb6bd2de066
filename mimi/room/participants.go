package room

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Participant is a user of the room and the user's one role
// (draft-ietf-mimi-protocol-06, section 7.5).
type Participant struct {
	// User is a user, by pseudonym in a minimal-metadata room, or a provider
	// that has a role of its own, such as one that enforces policy.
	User mimi.URI
	// Role is a role_index. Participants never have role zero.
	Role uint32
}

// Wire codes the participant as
//
//	struct {
//	  opaque user<V>;
//	  uint32 role_index;
//	} UserRolePair;
func (p *Participant) Wire(c *wire.Codec) {
	p.User.Wire(c)
	if k := p.User.Kind; k != mimi.KindUser && k != mimi.KindProvider {
		c.Fail(fmt.Errorf("%w: a participant is a user or a provider, not kind %q", ErrURIField, k))
	}
	wire.Uint32(c, &p.Role)
	if p.Role == RoleNone {
		c.Fail(ErrRoleZero)
	}
}

// A ParticipantList is the component participant_list
// (draft-ietf-mimi-protocol-06, section 7.5). Its order is part of its value:
// updates refer to positions.
type ParticipantList struct {
	Participants []Participant
}

// Wire codes the list as
//
//	struct {
//	  UserRolePair participants<V>;
//	} ParticipantListData;
//
// No user stands in it twice: each has exactly one role.
func (l *ParticipantList) Wire(c *wire.Codec) {
	wire.Vector(c, &l.Participants, wire.Struct[Participant])
	check(
		c,
		atMost("participants", l.Participants, MaxParticipants),
		distinct("participant", l.Participants, func(p *Participant) mimi.URI { return p.User }),
	)
}

// A RoleAssignment gives the participant at a position of the list another role.
type RoleAssignment struct {
	// Index is a position in the list of the current epoch, from zero.
	Index uint32
	// Role is the new role_index, not zero.
	Role uint32
}

// Wire codes the assignment as
//
//	struct {
//	  uint32 user_index;
//	  uint32 role_index;
//	} UserindexRolePair;
func (a *RoleAssignment) Wire(c *wire.Codec) {
	wire.Uint32(c, &a.Index)
	wire.Uint32(c, &a.Role)
	if a.Role == RoleNone {
		c.Fail(ErrRoleZero)
	}
}

// A ParticipantListUpdate is the update of participant_list in an AppDataUpdate
// proposal (draft-ietf-mimi-protocol-06, section 7.5).
type ParticipantListUpdate struct {
	// Changed users get another role.
	Changed []RoleAssignment
	// Removed are positions of users who leave the list.
	Removed []uint32
	// Added are appended, in this order.
	Added []Participant
}

// Wire codes the update as
//
//	struct {
//	  UserindexRolePair changedRoleParticipants<V>;
//	  uint32 removedIndices<V>;
//	  UserRolePair addedParticipants<V>;
//	} ParticipantListUpdate;
func (u *ParticipantListUpdate) Wire(c *wire.Codec) {
	wire.Vector(c, &u.Changed, wire.Struct[RoleAssignment])
	uint32s(c, &u.Removed)
	wire.Vector(c, &u.Added, wire.Struct[Participant])
	check(
		c,
		atMost("role changes", u.Changed, MaxParticipants),
		atMost("removals", u.Removed, MaxParticipants),
		atMost("additions", u.Added, MaxParticipants),
	)
}

// Find returns the position of a user.
func (l *ParticipantList) Find(user mimi.URI) (index uint32, ok bool) {
	i := slices.IndexFunc(l.Participants, func(p Participant) bool { return p.User == user })
	// No list is longer than MaxParticipants.
	return uint32(max(i, 0)), i >= 0
}

// Apply returns the list after the updates of one commit: roles change first,
// then users are removed, then users are appended, in the order of the updates.
// Positions in every update are those of l. It fails if an update refers to no
// position ([ErrIndex]), changes nothing ([ErrNoChange]), or if the updates
// operate on one user more than once ([ErrSameUser]); l is not modified.
func (l *ParticipantList) Apply(updates ...ParticipantListUpdate) (ParticipantList, error) {
	next := slices.Clone(l.Participants)
	users := make(map[mimi.URI]bool, len(next)) // whether the user is changed already
	for _, p := range next {
		users[p.User] = false
	}
	touch := func(i uint32) error {
		if int64(i) >= int64(len(l.Participants)) {
			return fmt.Errorf("%w: participant %d of %d", ErrIndex, i, len(l.Participants))
		}
		if u := l.Participants[i].User; users[u] {
			return fmt.Errorf("%w: participant %d", ErrSameUser, i)
		} else {
			users[u] = true
		}
		return nil
	}
	removed := map[int]bool{}
	for _, u := range updates {
		for _, a := range u.Changed {
			if err := touch(a.Index); err != nil {
				return ParticipantList{}, err
			}
			if next[a.Index].Role == a.Role {
				return ParticipantList{}, fmt.Errorf("%w: participant %d, role %d", ErrNoChange, a.Index, a.Role)
			}
			next[a.Index].Role = a.Role
		}
		for _, i := range u.Removed {
			if err := touch(i); err != nil {
				return ParticipantList{}, err
			}
			removed[int(i)] = true
		}
	}
	kept := next[:0]
	for i, p := range next {
		if !removed[i] {
			kept = append(kept, p)
		}
	}
	for _, u := range updates {
		for i, p := range u.Added {
			if _, ok := users[p.User]; ok {
				return ParticipantList{}, fmt.Errorf("%w: addition %d is or was a participant", ErrSameUser, i)
			}
			users[p.User] = true
			kept = append(kept, p)
		}
	}
	return ParticipantList{kept}, atMost("participants", kept, MaxParticipants)
}
