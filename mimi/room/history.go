package room

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// HistoryPolicy is the component chat_history_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 6.6). If Sharing is [Forbidden] the
// other fields are zero.
type HistoryPolicy struct {
	Sharing Optionality
	// Roles that may share; none of them zero, banned, or without active
	// participants.
	Roles []uint32
	// Automatic sharing needs no user.
	Automatic bool
	// MaxPeriod is how far back shared history reaches, in seconds.
	MaxPeriod uint32
}

// Wire codes the policy as
//
//	struct {
//	  Optionality history_sharing;
//	  select (history_sharing) {
//	    case mandatory:
//	      uint32 roles_that_can_share<V>;
//	      bool automatically_share;
//	      uint32 max_time_period;
//	    case optional:
//	      uint32 roles_that_can_share<V>;
//	      bool automatically_share;
//	      uint32 max_time_period;
//	    case forbidden:
//	      struct {};
//	  }
//	} HistoryPolicy;
func (p *HistoryPolicy) Wire(c *wire.Codec) {
	optionality(c, &p.Sharing)
	if p.Sharing == Forbidden {
		if len(p.Roles) > 0 || p.Automatic || p.MaxPeriod != 0 {
			c.Fail(fmt.Errorf("%w: history sharing is forbidden", ErrConflict))
		}
		return
	}
	uint32s(c, &p.Roles)
	boolean(c, &p.Automatic)
	wire.Uint32(c, &p.MaxPeriod)
	check(c, atMost("roles that can share", p.Roles, MaxRoles), distinctValues("role that can share", p.Roles))
	if slices.Contains(p.Roles, RoleNone) || slices.Contains(p.Roles, RoleBanned) {
		c.Fail(fmt.Errorf("%w: roles 0 and 1 cannot share history", ErrConflict))
	}
}

// checkRoles checks what the policy says of the roles of the room.
func (p *HistoryPolicy) checkRoles(roles *RoleList) error {
	for _, index := range p.Roles {
		switch r := roles.Role(index); {
		case r == nil:
			return fmt.Errorf("%w: role %d shares history", ErrUnknownRole, index)
		case r.MaxActive != nil && *r.MaxActive == 0:
			return fmt.Errorf("%w: role %d shares history, but has no clients", ErrConflict, index)
		}
	}
	return nil
}
