package protocol

import (
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A SubmitMessageRequest sends an application message to a room
// (draft-ietf-mimi-protocol-06, section 5.4).
//
//	struct {
//	    Protocol protocol;
//	    select (protocol) {
//	        case mls10:
//	            MLSMessage appMessage;  /* PrivateMessage containing an application message */
//	            IdentifierUri sendingUri;
//	    };
//	} SubmitMessageRequest;
type SubmitMessageRequest struct {
	// Message is a PrivateMessage with an application message in it.
	Message mls.MLSMessage
	// Sender is the user as in the participant list: in minimal-metadata rooms the
	// user_pseudonym.
	Sender mimi.URI
}

// Wire implements [wire.Message].
func (r *SubmitMessageRequest) Wire(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	r.Message.Wire(c)
	if !isApplication(&r.Message) {
		c.Fail(fmt.Errorf("%w: want an application message in a PrivateMessage", ErrMalformed))
	}
	userURI(c, &r.Sender)
}

func isApplication(m *mls.MLSMessage) bool {
	return m.PrivateMessage != nil && m.PrivateMessage.ContentType == mls.ContentApplication
}

// A SubmitResponseCode is the outcome of submitting a message. The draft calls
// the first value both accepted and success.
//
//	enum { accepted(0), notAllowed(1), epochTooOld(2), (255) } SubmitResponseCode;
type SubmitResponseCode uint8

// The outcomes.
const (
	SubmitAccepted    SubmitResponseCode = 0
	SubmitNotAllowed  SubmitResponseCode = 1
	SubmitEpochTooOld SubmitResponseCode = 2
)

// A SubmitMessageResponse answers a [SubmitMessageRequest]
// (draft-ietf-mimi-protocol-06, section 5.4).
//
//	struct {
//	    Protocol protocol;
//	    select (protocol) {
//	        case mls10:
//	            SubmitResponseCode statusCode;
//	            select (statusCode) {
//	                case accepted:
//	                    uint64 accepted_timestamp;  /* milliseconds from the UNIX epoch */
//	                    optional<Frank> frank;
//	                case epochTooOld:
//	                    uint64 currentEpoch;
//	            };
//	    };
//	} SubmitMessageResponse;
type SubmitMessageResponse struct {
	Code SubmitResponseCode
	// Accepted is the hub's acceptance time, in whole milliseconds.
	Accepted time.Time
	// Frank is nil unless the message had a franking tag and the room a franking
	// agent.
	Frank *Frank
	// CurrentEpoch of the group at the hub, with SubmitEpochTooOld.
	CurrentEpoch uint64
}

// Wire implements [wire.Message].
func (r *SubmitMessageResponse) Wire(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	enum(c, &r.Code, SubmitAccepted, SubmitEpochTooOld)
	switch r.Code {
	case SubmitAccepted:
		milliseconds(c, &r.Accepted)
		wire.Optional(c, &r.Frank, wire.Struct)
	case SubmitEpochTooOld:
		wire.Uint64(c, &r.CurrentEpoch)
	}
}

// Err returns nil for an accepted message, and otherwise the [*WrongEpochError]
// or [*NotAllowedError] that the response stands for.
func (r *SubmitMessageResponse) Err() error {
	switch r.Code {
	case SubmitAccepted:
		return nil
	case SubmitEpochTooOld:
		return &WrongEpochError{r.CurrentEpoch}
	default:
		return &NotAllowedError{}
	}
}

// SubmitResult returns the response that says err, or false if err is none that
// this endpoint's response can say. The Reason of a [*NotAllowedError] has no
// place in it.
func SubmitResult(err error) (*SubmitMessageResponse, bool) {
	if e, ok := errors.AsType[*WrongEpochError](err); ok {
		return &SubmitMessageResponse{Code: SubmitEpochTooOld, CurrentEpoch: e.Current}, true
	}
	if _, ok := errors.AsType[*NotAllowedError](err); ok {
		return &SubmitMessageResponse{Code: SubmitNotAllowed}, true
	}
	return nil, false
}
