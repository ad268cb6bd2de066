package protocol

import (
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A FanoutMessage is an event of a room on its way from the hub
// (draft-ietf-mimi-protocol-06, section 5.5).
//
//	struct {
//	    uint64 timestamp;  /* hub acceptance time, milliseconds from the UNIX epoch */
//	    select (protocol) {
//	        case mls10:
//	            MLSMessage message;
//	            select (message.wire_format) {
//	                case application: optional<Frank> frank;
//	                case welcome:     RatchetTreeOption ratchetTreeOption;
//	                case proposal:    MLSMessage moreProposals<V>;
//	                case commit:      MLSMessage externalProposals<V>;
//	            };
//	    };
//	} FanoutMessage;
//
// The protocol that selects the rest is the room's and is not sent.
type FanoutMessage struct {
	// Accepted is the hub's acceptance time, in whole milliseconds.
	Accepted time.Time
	// Message is a PrivateMessage with an application message, a PublicMessage with
	// a Proposal or Commit, or a Welcome.
	Message mls.MLSMessage
	// Frank of an application message, or nil.
	Frank *Frank
	// RatchetTree of the epoch that a Welcome lets in to.
	RatchetTree RatchetTreeOption
	// MoreProposals are those of the [UpdateRequest] with a Proposal.
	MoreProposals []mls.MLSMessage
	// ExternalProposals replace those that an external Commit invalidated.
	ExternalProposals []mls.MLSMessage
}

// Wire implements [wire.Message].
func (m *FanoutMessage) Wire(c *wire.Codec) {
	milliseconds(c, &m.Accepted)
	m.Message.Wire(c)
	switch {
	case m.Message.Welcome != nil:
		m.RatchetTree.Wire(c)
	case isApplication(&m.Message):
		wire.Optional(c, &m.Frank, wire.Struct)
	case contentType(&m.Message) == mls.ContentProposal:
		proposals(c, &m.MoreProposals)
	case contentType(&m.Message) == mls.ContentCommit:
		proposals(c, &m.ExternalProposals)
	default:
		c.Fail(fmt.Errorf("%w: fan-out of a message of wire format 0x%04x that is no event of a room", ErrMalformed, uint16(m.Message.WireFormat())))
	}
}
