package protocol

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A FanoutTarget is one leaf that a [MinimalMetadataFanout] is for.
//
//	struct { QueueReference queue; PseudonymousCredentialTBS tbs; }
type FanoutTarget struct {
	// Queue is the queue_reference of the leaf, and TBS the part of its credential
	// that the reference is bound to.
	Queue identity.QueueReference
	TBS   identity.PseudonymousCredentialTBS
}

// Wire implements [wire.Message].
func (t *FanoutTarget) Wire(c *wire.Codec) {
	t.Queue.Wire(c)
	t.TBS.Wire(c)
	if t.Queue.Domain != t.TBS.Domain() {
		c.Fail(mimi.Refuse("target-domain", fmt.Errorf("%w: a queue of another provider than the pseudonym", ErrMalformed)))
	}
}

// A MinimalMetadataFanout is a [FanoutMessage] with the leaves that it is for, all
// of the provider that it is sent to (mmr-profile.md, section 10).
//
//	struct {
//	    FanoutMessage message;
//	    struct { QueueReference queue; PseudonymousCredentialTBS tbs; } targets<V>;
//	} MinimalMetadataFanout;
type MinimalMetadataFanout struct {
	Message FanoutMessage
	// Targets are one or more.
	Targets []FanoutTarget
}

// Wire implements [wire.Message].
func (f *MinimalMetadataFanout) Wire(c *wire.Codec) {
	f.Message.Wire(c)
	wire.Vector(c, &f.Targets, wire.Struct)
	if len(f.Targets) == 0 {
		c.Fail(mimi.Refuse("target-missing", fmt.Errorf("%w: fan-out to nobody", ErrMalformed)))
	}
}

// MarshalFanout returns the body of a notify request: the messages one behind the
// other, in the order of the room.
func MarshalFanout(messages ...*MinimalMetadataFanout) ([]byte, error) {
	var body []byte
	for _, m := range messages {
		b, err := wire.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode a fan-out message: %w", err)
		}
		body = append(body, b...)
	}
	return body, nil
}

// ParseFanout reads the body of a notify request: one or more messages. It fails
// with [ErrMalformed].
func ParseFanout(body []byte) ([]*MinimalMetadataFanout, error) {
	var messages []*MinimalMetadataFanout
	for {
		m := &MinimalMetadataFanout{}
		rest, err := wire.UnmarshalPrefix(body, m)
		if err != nil {
			return nil, fmt.Errorf("%w: fan-out message %d: %w", ErrMalformed, len(messages), err)
		}
		messages = append(messages, m)
		if len(rest) == 0 {
			return messages, nil
		}
		body = rest
	}
}

// MarshalPlainFanout returns the body of a notify request for a plain room: the
// draft's own form, messages one behind the other without targets.
func MarshalPlainFanout(messages ...*FanoutMessage) ([]byte, error) {
	var body []byte
	for _, m := range messages {
		b, err := wire.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encode a fan-out message: %w", err)
		}
		body = append(body, b...)
	}
	return body, nil
}

// ParsePlainFanout reads the body of a notify request for a plain room: one or
// more messages. It fails with [ErrMalformed].
func ParsePlainFanout(body []byte) ([]*FanoutMessage, error) {
	var messages []*FanoutMessage
	for {
		m := &FanoutMessage{}
		rest, err := wire.UnmarshalPrefix(body, m)
		if err != nil {
			return nil, fmt.Errorf("%w: fan-out message %d: %w", ErrMalformed, len(messages), err)
		}
		messages = append(messages, m)
		if len(rest) == 0 {
			return messages, nil
		}
		body = rest
	}
}

// FirstFanout reads the first message in the body of a notify request, whose
// beginning is the same for rooms of both kinds. A Welcome says by the KeyPackage
// that it names of which kind its room is. It fails with [ErrMalformed].
func FirstFanout(body []byte) (*FanoutMessage, error) {
	m := &FanoutMessage{}
	if _, err := wire.UnmarshalPrefix(body, m); err != nil {
		return nil, fmt.Errorf("%w: fan-out message 0: %w", ErrMalformed, err)
	}
	return m, nil
}

// CheckFanout fails with [ErrMalformed] unless body is that of a notify request
// for a room of either kind.
func CheckFanout(body []byte) error {
	if _, err := ParseFanout(body); err != nil {
		if _, plain := ParsePlainFanout(body); plain != nil {
			return err
		}
	}
	return nil
}

// A GroupInfoRatchetTreeTBE is what a hub tells somebody who may join
// (draft-ietf-mimi-protocol-06, section 5.6; the last two fields are of
// mmr-profile.md, section 10).
//
//	struct {
//	    GroupInfo groupInfo;   /* without embedded ratchet_tree */
//	    RatchetTreeOption ratchetTreeOption;
//	    PendingProposal pending_proposals<V>;
//	    optional<IdentityLinkTable> table;
//	    opaque link_bundle<V>;
//	} GroupInfoRatchetTreeTBE;
type GroupInfoRatchetTreeTBE struct {
	GroupInfo   mls.GroupInfo
	RatchetTree RatchetTreeOption
	// PendingProposals are those that the hub accepted in the current epoch.
	PendingProposals []PendingProposal
	// Table is the identity-link table of the GroupInfo's epoch; nil for a plain
	// room.
	Table *identity.IdentityLinkTable
	// LinkBundle is what was registered with the joining code of the request;
	// empty without one.
	LinkBundle []byte
}

// Wire implements [wire.Message].
func (t *GroupInfoRatchetTreeTBE) Wire(c *wire.Codec) {
	treelessGroupInfo(c, &t.GroupInfo)
	t.RatchetTree.Wire(c)
	wire.Vector(c, &t.PendingProposals, wire.Struct)
	wire.Optional(c, &t.Table, wire.Struct)
	wire.Opaque(c, &t.LinkBundle)
	if len(t.LinkBundle) > MaxLinkBundle {
		c.Fail(fmt.Errorf("%w: link bundle of %d octets", ErrMalformed, len(t.LinkBundle)))
	}
}
