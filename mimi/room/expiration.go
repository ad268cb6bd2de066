package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MessageExpiration is the component message_expiration_policy, and its own
// update (draft-ietf-mimi-room-policy-03, section 6.8). Durations are seconds. If
// Expiring is [Forbidden] they are absent.
type MessageExpiration struct {
	Expiring Optionality
	Min, Max uint32
	// Default lies between Min and Max, or is nil.
	Default *uint32
}

// Wire codes the policy as
//
//	struct {
//	  Optionality expiring_messages;
//	  select (expiring_messages) {
//	    case mandatory:
//	      uint32 min_expiration_duration;
//	      uint32 max_expiration_duration;
//	      optional uint32 default_expiration_duration;
//	    case optional:
//	      uint32 min_expiration_duration;
//	      uint32 max_expiration_duration;
//	      optional uint32 default_expiration_duration;
//	    case forbidden:
//	      struct {};
//	  }
//	} MessageExpiration;
func (p *MessageExpiration) Wire(c *wire.Codec) {
	optionality(c, &p.Expiring)
	if p.Expiring == Forbidden {
		if p.Min != 0 || p.Max != 0 || p.Default != nil {
			c.Fail(fmt.Errorf("%w: expiring messages are forbidden", ErrConflict))
		}
		return
	}
	wire.Uint32(c, &p.Min)
	wire.Uint32(c, &p.Max)
	optionalUint32(c, &p.Default)
	if p.Min > p.Max || p.Default != nil && (*p.Default < p.Min || *p.Default > p.Max) {
		c.Fail(fmt.Errorf("%w: expiration durations", ErrRange))
	}
}
