package mls

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// PSKType says where a pre-shared key comes from (RFC 9420, section 8.4).
type PSKType uint8

// The PSK types of RFC 9420 and of the extensions draft.
const (
	PSKExternal    PSKType = 1
	PSKResumption  PSKType = 2
	PSKApplication PSKType = 3
)

// ResumptionPSKUsage says what a resumption PSK is for (RFC 9420, section 8.4).
type ResumptionPSKUsage uint8

// The usages of RFC 9420.
const (
	ResumptionApplication ResumptionPSKUsage = 1
	ResumptionReInit      ResumptionPSKUsage = 2
	ResumptionBranch      ResumptionPSKUsage = 3
)

// A PreSharedKeyID names a pre-shared key and this one use of it (RFC 9420,
// section 8.4, and draft-ietf-mls-extensions-09, section "Pre-Shared Keys").
//
//	struct {
//	    PSKType psktype;
//	    select (PreSharedKeyID.psktype) {
//	        case external:    opaque psk_id<V>;
//	        case resumption:  ResumptionPSKUsage usage;
//	                          opaque psk_group_id<V>;
//	                          uint64 psk_epoch;
//	        case application: ComponentID component_id;
//	                          opaque psk_id<V>;
//	    };
//	    opaque psk_nonce<V>;
//	} PreSharedKeyID;
type PreSharedKeyID struct {
	Type      PSKType
	Usage     ResumptionPSKUsage // resumption
	Component ComponentID        // application
	ID        []byte             // external, application
	GroupID   []byte             // resumption
	Epoch     uint64             // resumption
	Nonce     []byte
}

// Wire codes the structure.
func (p *PreSharedKeyID) Wire(c *wire.Codec) {
	wire.Uint8(c, &p.Type)
	switch p.Type {
	case PSKExternal:
		wire.Opaque(c, &p.ID)
	case PSKResumption:
		wire.Uint8(c, &p.Usage)
		if p.Usage < ResumptionApplication || p.Usage > ResumptionBranch {
			c.Fail(fmt.Errorf("mls: unknown resumption PSK usage %d", p.Usage))
		}
		wire.Opaque(c, &p.GroupID)
		wire.Uint64(c, &p.Epoch)
	case PSKApplication:
		wire.Uint16(c, &p.Component)
		wire.Opaque(c, &p.ID)
	default:
		c.Fail(fmt.Errorf("mls: unknown PSK type %d", p.Type))
	}
	wire.Opaque(c, &p.Nonce)
}
