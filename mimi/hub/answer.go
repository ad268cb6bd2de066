package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// requestHash recognises a repeat of an accepted request.
func requestHash(endpoint, from string, req wire.Message) [32]byte {
	body, err := wire.Marshal(req)
	if err != nil {
		return [32]byte{} // what was decoded encodes; nothing is accepted under this hash
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", endpoint, from)
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// answered runs f, which accepts a request or refuses it, unless the request was
// accepted before: then it repeats that answer. response is what f answers; it may
// be nil if the answer is empty.
func (h *Hub) answered(ctx context.Context, uri mimi.URI, request [32]byte, response wire.Message, f func(*hosted, *Change) error) error {
	err := h.withRoom(ctx, uri, func(r *hosted) error {
		if repeated, err := h.repeat(ctx, uri, request, response); repeated || err != nil {
			return err
		}
		change := &Change{Request: request, At: h.now()}
		if err := f(r, change); err != nil {
			return err
		}
		if response != nil {
			var err error
			if change.Answer, err = wire.Marshal(response); err != nil {
				return err
			}
		}
		return h.store(ctx, r, change)
	})
	if errors.Is(err, protocol.ErrNoSuchRoom) {
		// The request that closed a room may be repeated as well.
		if repeated, again := h.repeat(ctx, uri, request, response); repeated || again != nil {
			return again
		}
	}
	return err
}

// repeat reads what an accepted request was answered.
func (h *Hub) repeat(ctx context.Context, uri mimi.URI, request [32]byte, response wire.Message) (ok bool, err error) {
	answer, ok, err := h.cfg.Store.Answer(ctx, uri, request)
	if err != nil {
		return false, fmt.Errorf("hub: look up an answer: %w", err)
	}
	if !ok || response == nil {
		return ok, nil
	}
	if err := wire.Unmarshal(answer, response); err != nil {
		return false, fmt.Errorf("hub: stored answer: %w", err)
	}
	return true, nil
}

// now is the time of acceptance: the protocol has milliseconds.
func (h *Hub) now() time.Time { return h.cfg.Clock.Now().Truncate(time.Millisecond) }

// proposalFaults are what makes a proposal invalid, in whatever room. Everything
// else that is wrong with a request is notAllowed.
var proposalFaults = []error{
	mmr.ErrProposal, room.ErrInvalid, identity.ErrPolicy, identity.ErrPolicyChange,
	mls.ErrUnknownProposal, mls.ErrDuplicateRef, mls.ErrOwnUpdate, mls.ErrSelfRemoval, mls.ErrSameLeaf, mls.ErrSamePSK, mls.ErrPSK,
	mls.ErrSeveralGCE, mls.ErrReInit, mls.ErrExternalInit, mls.ErrExternalCommit, mls.ErrByValue, mls.ErrAppData, mls.ErrExternalSender,
	mls.ErrTwoSelfRemoves, mls.ErrLifetime, mls.ErrKeyPackageSuite,
}

// refuse says in the protocol's terms why a request was refused, which is not the
// hub's fault (draft-ietf-mimi-protocol-06, section 5.3). refs are the proposals
// that are to blame, if these can be named.
func refuse(err error, refs ...mls.ProposalRef) error {
	if errors.Is(err, protocol.ErrMalformed) {
		return err
	}
	if _, ok := errors.AsType[*protocol.WrongEpochError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*protocol.NotAllowedError](err); ok {
		return err
	}
	switch {
	case errors.Is(err, mmr.ErrRemovalPending):
		return mimi.RefusedAs(err, &protocol.NotAllowedError{Reason: protocol.ReasonRemovalPending})
	case !errors.Is(err, room.ErrDenied) && slices.ContainsFunc(proposalFaults, func(fault error) bool { return errors.Is(err, fault) }):
		invalid := &protocol.InvalidProposalError{Reason: err.Error()}
		for _, ref := range refs {
			invalid.Refs = append(invalid.Refs, ref)
		}
		return mimi.RefusedAs(err, invalid)
	default:
		return mimi.RefusedAs(err, &protocol.NotAllowedError{Reason: err.Error()})
	}
}

// refuseCommit is refuse for a Commit. Proposals by value have no reference;
// invalid ones are then counted by nobody.
func (r *hosted) refuseCommit(err error, commit *mls.Commit) error {
	if errors.Is(err, mls.ErrUnknownProposal) {
		var unknown []mls.ProposalRef
		for _, p := range commit.Proposals {
			if _, known := r.pending[rowName(p.Reference)]; p.Proposal == nil && !known {
				unknown = append(unknown, p.Reference)
			}
		}
		return refuse(err, unknown...)
	}
	return refuse(err)
}

// refuseProposal is refuse for a proposal that was sent by itself.
func (r *hosted) refuseProposal(err error, m *mls.PublicMessage) error {
	ref, refErr := proposalRef(r, m)
	if refErr != nil {
		return refErr
	}
	return refuse(err, ref)
}

// proposalRef is the reference of a proposal in a PublicMessage, valid or not (RFC
// 9420, section 5.2): the hash of its AuthenticatedContent, which is the wire
// format and the PublicMessage without membership tag.
func proposalRef(r *hosted, m *mls.PublicMessage) (mls.ProposalRef, error) {
	b, err := wire.Marshal(m)
	if err != nil {
		return nil, err
	}
	if m.Content.Sender.Type == mls.SenderMember {
		tag, err := wire.Marshal((*opaque)(&m.MembershipTag))
		if err != nil {
			return nil, err
		}
		b = b[:len(b)-len(tag)]
	}
	content := binary.BigEndian.AppendUint16(nil, uint16(mls.WireFormatPublicMessage))
	return r.suite.RefHash("MLS 1.0 Proposal Reference", append(content, b...)), nil
}

// opaque is opaque<V>.
type opaque []byte

// Wire implements [wire.Message].
func (o *opaque) Wire(c *wire.Codec) { wire.Opaque(c, (*[]byte)(o)) }
