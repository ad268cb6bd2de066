package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// LoggingPolicy is the component logging_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 6.5). If Logging is [Forbidden] the
// other fields are empty.
type LoggingPolicy struct {
	Logging Optionality
	// Clients that log; at least one if Logging is [Required].
	Clients []string
	// MachineReadable and HumanReadable point to the provider's logging policy;
	// either may be empty.
	MachineReadable, HumanReadable string
}

// Wire codes the policy as
//
//	struct {
//	  Optionality logging;
//	  select (logging) {
//	    case mandatory:
//	      Uri logging_clients<V>;
//	      Uri machine_readable_policy;
//	      Uri human_readable_policy;
//	    case optional:
//	      Uri logging_clients<V>;
//	      Uri machine_readable_policy;
//	      Uri human_readable_policy;
//	    case forbidden:
//	      struct {};
//	  }
//	} LoggingPolicy;
func (p *LoggingPolicy) Wire(c *wire.Codec) {
	optionality(c, &p.Logging)
	if p.Logging == Forbidden {
		if len(p.Clients) > 0 || p.MachineReadable != "" || p.HumanReadable != "" {
			c.Fail(fmt.Errorf("%w: logging is forbidden", ErrConflict))
		}
		return
	}
	wire.Vector(c, &p.Clients, uri)
	optionalURI(c, &p.MachineReadable)
	optionalURI(c, &p.HumanReadable)
	check(c, atMost("logging clients", p.Clients, MaxList), distinctValues("logging client", p.Clients))
	if p.Logging == Required && len(p.Clients) == 0 {
		c.Fail(fmt.Errorf("%w: logging is required without a logging client", ErrConflict))
	}
}

// Active reports whether messages of the room are logged.
func (p *LoggingPolicy) Active() bool { return p.Logging != Forbidden && len(p.Clients) > 0 }
