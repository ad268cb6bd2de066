package protocol

import (
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// An UpdateRequest changes a room: a Commit with what belongs to it, or
// proposals (draft-ietf-mimi-protocol-06, section 5.3).
//
//	struct {
//	    MLSMessage proposalOrCommit;  /* PublicMessage or SemiPrivateMessage */
//	    select (proposalOrCommit.content.content_type) {
//	        case commit:
//	            optional<Welcome> welcome;            /* without ratchet_tree */
//	            GroupInfoOption groupInfoOption;      /* without ratchet_tree */
//	            RatchetTreeOption ratchetTreeOption;
//	        case proposal:
//	            MLSMessage moreProposals<V>;
//	    };
//	} HandshakeBundle;
//
//	struct { HandshakeBundle bundle; } UpdateRequest;
//
// The protocol that selects the bundle is the room's and is not sent.
type UpdateRequest struct {
	// ProposalOrCommit is a PublicMessage.
	ProposalOrCommit mls.MLSMessage

	// Welcome for the clients that the Commit adds, if any. It is no MLSMessage.
	Welcome *mls.Welcome
	// GroupInfo of the epoch that the Commit starts.
	GroupInfo GroupInfoOption
	// RatchetTree of that epoch.
	RatchetTree RatchetTreeOption

	// MoreProposals follow the first, in order.
	MoreProposals []mls.MLSMessage
}

// IsCommit tells a Commit from proposals.
func (r *UpdateRequest) IsCommit() bool { return contentType(&r.ProposalOrCommit) == mls.ContentCommit }

// Wire implements [wire.Message].
func (r *UpdateRequest) Wire(c *wire.Codec) {
	r.ProposalOrCommit.Wire(c)
	switch contentType(&r.ProposalOrCommit) {
	case mls.ContentCommit:
		wire.Optional(c, &r.Welcome, wire.Struct)
		r.GroupInfo.Wire(c)
		r.RatchetTree.Wire(c)
	case mls.ContentProposal:
		proposals(c, &r.MoreProposals)
	default:
		c.Fail(fmt.Errorf("%w: an update is a Commit or Proposal in a PublicMessage", ErrMalformed))
	}
}

// contentType returns the content type of a PublicMessage, or 0.
func contentType(m *mls.MLSMessage) mls.ContentType {
	if m.PublicMessage == nil {
		return 0
	}
	return m.PublicMessage.Content.ContentType
}

// proposals codes a list of messages that must all be public proposals.
func proposals(c *wire.Codec, list *[]mls.MLSMessage) {
	wire.Vector(c, list, func(c *wire.Codec, m *mls.MLSMessage) {
		m.Wire(c)
		if contentType(m) != mls.ContentProposal {
			c.Fail(fmt.Errorf("%w: want Proposals in PublicMessages", ErrMalformed))
		}
	})
}

// An UpdateResponseCode is the outcome of an update.
//
//	enum { success(0), wrongEpoch(1), notAllowed(2), invalidProposal(3), (255) } UpdateResponseCode;
type UpdateResponseCode uint8

// The outcomes.
const (
	UpdateSuccess         UpdateResponseCode = 0
	UpdateWrongEpoch      UpdateResponseCode = 1
	UpdateNotAllowed      UpdateResponseCode = 2
	UpdateInvalidProposal UpdateResponseCode = 3
)

// An UpdateRoomResponse answers an [UpdateRequest]
// (draft-ietf-mimi-protocol-06, section 5.3).
//
//	struct {
//	    UpdateResponseCode responseCode;
//	    string errorDescription;
//	    select (responseCode) {
//	        case success:         uint64 accepted_timestamp;  /* milliseconds from the UNIX epoch */
//	        case wrongEpoch:      uint64 currentEpoch;
//	        case invalidProposal: ProposalRef invalidProposals<V>;
//	    };
//	} UpdateRoomResponse;
type UpdateRoomResponse struct {
	Code             UpdateResponseCode
	ErrorDescription string
	// Accepted is the hub's acceptance time, in whole milliseconds.
	Accepted time.Time
	// CurrentEpoch of the group at the hub, with UpdateWrongEpoch.
	CurrentEpoch uint64
	// InvalidProposals with UpdateInvalidProposal.
	InvalidProposals []mls.ProposalRef
}

// Wire implements [wire.Message].
func (r *UpdateRoomResponse) Wire(c *wire.Codec) {
	enum(c, &r.Code, UpdateSuccess, UpdateInvalidProposal)
	text(c, &r.ErrorDescription, MaxDescription)
	switch r.Code {
	case UpdateSuccess:
		milliseconds(c, &r.Accepted)
	case UpdateWrongEpoch:
		wire.Uint64(c, &r.CurrentEpoch)
	case UpdateInvalidProposal:
		wire.Vector(c, &r.InvalidProposals, wire.Opaque)
	}
}

// Err returns nil for a success, and otherwise the [*WrongEpochError],
// [*NotAllowedError] or [*InvalidProposalError] that the response stands for.
func (r *UpdateRoomResponse) Err() error {
	switch r.Code {
	case UpdateSuccess:
		return nil
	case UpdateWrongEpoch:
		return &WrongEpochError{r.CurrentEpoch}
	case UpdateInvalidProposal:
		refs := make([][]byte, len(r.InvalidProposals))
		for i, ref := range r.InvalidProposals {
			refs[i] = ref
		}
		return &InvalidProposalError{refs, r.ErrorDescription}
	default:
		return &NotAllowedError{r.ErrorDescription}
	}
}

// UpdateResult returns the response that says err, or false if err is none that
// this endpoint's response can say.
func UpdateResult(err error) (*UpdateRoomResponse, bool) {
	if e, ok := errors.AsType[*WrongEpochError](err); ok {
		return &UpdateRoomResponse{Code: UpdateWrongEpoch, CurrentEpoch: e.Current}, true
	}
	if e, ok := errors.AsType[*InvalidProposalError](err); ok {
		r := &UpdateRoomResponse{Code: UpdateInvalidProposal, ErrorDescription: clip(e.Reason, MaxDescription)}
		for _, ref := range e.Refs {
			r.InvalidProposals = append(r.InvalidProposals, ref)
		}
		return r, true
	}
	if e, ok := errors.AsType[*NotAllowedError](err); ok {
		return &UpdateRoomResponse{Code: UpdateNotAllowed, ErrorDescription: clip(e.Reason, MaxDescription)}, true
	}
	return nil, false
}
