package mls

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrUnsupportedProposal reports a proposal type that this package cannot
// decode. Since the form of such a proposal is unknown, so is everything behind
// it: the whole message is refused.
var ErrUnsupportedProposal = errors.New("mls: unsupported proposal type")

// A ProposalBody is the content of a [Proposal]: one of [Add], [Update],
// [Remove], [PreSharedKey], [ReInit], [ExternalInit], [GroupContextExtensions],
// [AppDataUpdate], [AppEphemeral] and [SelfRemove], as a pointer.
type ProposalBody interface {
	wire.Message
	ProposalType() ProposalType
}

// A Proposal asks for a change of the group (RFC 9420, section 12.1).
//
//	struct {
//	    ProposalType proposal_type;
//	    select (Proposal.proposal_type) { ... };
//	} Proposal;
type Proposal struct{ Body ProposalBody }

// Type returns the type of the body, or 0 without one.
func (p *Proposal) Type() ProposalType {
	if p.Body == nil {
		return 0
	}
	return p.Body.ProposalType()
}

// newProposalBody returns an empty body of type t, or nil for an unknown type.
func newProposalBody(t ProposalType) ProposalBody {
	switch t {
	case ProposalAdd:
		return new(Add)
	case ProposalUpdate:
		return new(Update)
	case ProposalRemove:
		return new(Remove)
	case ProposalPreSharedKey:
		return new(PreSharedKey)
	case ProposalReInit:
		return new(ReInit)
	case ProposalExternalInit:
		return new(ExternalInit)
	case ProposalGroupContextExtensions:
		return new(GroupContextExtensions)
	case ProposalAppDataUpdate:
		return new(AppDataUpdate)
	case ProposalAppEphemeral:
		return new(AppEphemeral)
	case ProposalSelfRemove:
		return new(SelfRemove)
	}
	return nil
}

// Wire codes the structure. An unknown type fails with
// [ErrUnsupportedProposal].
func (p *Proposal) Wire(c *wire.Codec) {
	t := p.Type()
	wire.Uint16(c, &t)
	if c.Decoding() {
		p.Body = newProposalBody(t)
	}
	if p.Body == nil {
		c.Fail(fmt.Errorf("%w 0x%04x", ErrUnsupportedProposal, uint16(t)))
		return
	}
	p.Body.Wire(c)
}

// Add adds a client (RFC 9420, section 12.1.1).
//
//	struct { KeyPackage key_package; } Add;
type Add struct{ KeyPackage KeyPackage }

// ProposalType is add.
func (*Add) ProposalType() ProposalType { return ProposalAdd }

// Wire codes the structure.
func (p *Add) Wire(c *wire.Codec) { p.KeyPackage.Wire(c) }

// Update replaces the leaf of its sender (RFC 9420, section 12.1.2).
//
//	struct { LeafNode leaf_node; } Update;
type Update struct{ LeafNode LeafNode }

// ProposalType is update.
func (*Update) ProposalType() ProposalType { return ProposalUpdate }

// Wire codes the structure.
func (p *Update) Wire(c *wire.Codec) { p.LeafNode.Wire(c) }

// Remove removes a member (RFC 9420, section 12.1.3).
//
//	struct { uint32 removed; } Remove;
type Remove struct{ Removed LeafIndex }

// ProposalType is remove.
func (*Remove) ProposalType() ProposalType { return ProposalRemove }

// Wire codes the structure.
func (p *Remove) Wire(c *wire.Codec) { wire.Uint32(c, &p.Removed) }

// PreSharedKey mixes a PSK into the key schedule (RFC 9420, section 12.1.4).
//
//	struct { PreSharedKeyID psk; } PreSharedKey;
type PreSharedKey struct{ PSK PreSharedKeyID }

// ProposalType is psk.
func (*PreSharedKey) ProposalType() ProposalType { return ProposalPreSharedKey }

// Wire codes the structure.
func (p *PreSharedKey) Wire(c *wire.Codec) { p.PSK.Wire(c) }

// ReInit asks to continue in a new group (RFC 9420, section 12.1.5).
//
//	struct {
//	    opaque group_id<V>;
//	    ProtocolVersion version;
//	    CipherSuite cipher_suite;
//	    Extension extensions<V>;
//	} ReInit;
type ReInit struct {
	GroupID     []byte
	Version     ProtocolVersion
	CipherSuite CipherSuite
	Extensions  Extensions
}

// ProposalType is reinit.
func (*ReInit) ProposalType() ProposalType { return ProposalReInit }

// Wire codes the structure.
func (p *ReInit) Wire(c *wire.Codec) {
	wire.Opaque(c, &p.GroupID)
	wire.Uint16(c, &p.Version)
	wire.Uint16(c, &p.CipherSuite)
	p.Extensions.code(c)
}

// ExternalInit carries the init secret of an external Commit (RFC 9420, section
// 12.1.6).
//
//	struct { opaque kem_output<V>; } ExternalInit;
type ExternalInit struct{ KEMOutput []byte }

// ProposalType is external_init.
func (*ExternalInit) ProposalType() ProposalType { return ProposalExternalInit }

// Wire codes the structure.
func (p *ExternalInit) Wire(c *wire.Codec) { wire.Opaque(c, &p.KEMOutput) }

// GroupContextExtensions replaces the extensions of the GroupContext (RFC 9420,
// section 12.1.7).
//
//	struct { Extension extensions<V>; } GroupContextExtensions;
type GroupContextExtensions struct{ Extensions Extensions }

// ProposalType is group_context_extensions.
func (*GroupContextExtensions) ProposalType() ProposalType { return ProposalGroupContextExtensions }

// Wire codes the structure.
func (p *GroupContextExtensions) Wire(c *wire.Codec) { p.Extensions.code(c) }

// AppDataUpdateOperation is what an [AppDataUpdate] does.
type AppDataUpdateOperation uint8

// The operations of draft-ietf-mls-extensions-09, section "Updating Application
// Data in the GroupContext".
const (
	AppDataUpdateUpdate AppDataUpdateOperation = 1
	AppDataUpdateRemove AppDataUpdateOperation = 2
)

// AppDataUpdate changes or removes the data of one component in the GroupContext
// (draft-ietf-mls-extensions-09, section "Updating Application Data in the
// GroupContext").
//
//	struct {
//	    ComponentID component_id;
//	    AppDataUpdateOperation op;
//	    select (AppDataUpdate.op) {
//	        case update: opaque update<V>;
//	        case remove: struct{};
//	    };
//	} AppDataUpdate;
type AppDataUpdate struct {
	Component ComponentID
	Operation AppDataUpdateOperation
	Update    []byte // update only
}

// ProposalType is app_data_update.
func (*AppDataUpdate) ProposalType() ProposalType { return ProposalAppDataUpdate }

// Wire codes the structure.
func (p *AppDataUpdate) Wire(c *wire.Codec) {
	wire.Uint16(c, &p.Component)
	wire.Uint8(c, &p.Operation)
	switch p.Operation {
	case AppDataUpdateUpdate:
		wire.Opaque(c, &p.Update)
	case AppDataUpdateRemove:
	default:
		c.Fail(fmt.Errorf("mls: unknown AppDataUpdate operation %d", p.Operation))
	}
}

// AppEphemeral carries data of a component to everyone who processes the Commit
// (draft-ietf-mls-extensions-09, section "Attaching Application Data to a
// Commit").
//
//	struct {
//	    ComponentID component_id;
//	    opaque data<V>;
//	} AppEphemeral;
type AppEphemeral struct {
	Component ComponentID
	Data      []byte
}

// ProposalType is app_ephemeral.
func (*AppEphemeral) ProposalType() ProposalType { return ProposalAppEphemeral }

// Wire codes the structure.
func (p *AppEphemeral) Wire(c *wire.Codec) {
	wire.Uint16(c, &p.Component)
	wire.Opaque(c, &p.Data)
}

// SelfRemove removes its sender. It is only committed by reference, and is
// always sent as a PublicMessage (draft-ietf-mls-extensions-09, section
// "SelfRemove Proposal").
//
//	struct {} SelfRemove;
type SelfRemove struct{}

// ProposalType is self_remove.
func (*SelfRemove) ProposalType() ProposalType { return ProposalSelfRemove }

// Wire codes nothing.
func (*SelfRemove) Wire(*wire.Codec) {}
