package mls

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// HPKECiphertext is an encryption to a public key (RFC 9420, section 7.6).
type HPKECiphertext = suite.HPKECiphertext

// A ProposalRef identifies a proposal by the hash of the AuthenticatedContent
// that carried it (RFC 9420, section 5.2).
type ProposalRef []byte

// A ProposalOrRef is a proposal by value or by reference (RFC 9420, section
// 12.4).
//
//	enum { reserved(0), proposal(1), reference(2), (255) } ProposalOrRefType;
//
//	struct {
//	    ProposalOrRefType type;
//	    select (ProposalOrRef.type) {
//	        case proposal:  Proposal proposal;
//	        case reference: ProposalRef reference;
//	    };
//	} ProposalOrRef;
type ProposalOrRef struct {
	Proposal  *Proposal   // by value, or
	Reference ProposalRef // by reference
}

// Wire codes the structure.
func (p *ProposalOrRef) Wire(c *wire.Codec) {
	kind := uint8(2)
	if p.Proposal != nil {
		kind = 1
	}
	wire.Uint8(c, &kind)
	switch kind {
	case 1:
		if c.Decoding() {
			p.Proposal = new(Proposal)
		}
		p.Proposal.Wire(c)
	case 2:
		wire.Opaque(c, &p.Reference)
	default:
		c.Fail(fmt.Errorf("mls: unknown ProposalOrRef type %d", kind))
	}
}

// An UpdatePathNode is the new key of one node of an [UpdatePath], and its
// secret for everyone below (RFC 9420, section 7.6).
//
//	struct {
//	    HPKEPublicKey encryption_key;
//	    HPKECiphertext encrypted_path_secret<V>;
//	} UpdatePathNode;
type UpdatePathNode struct {
	EncryptionKey       []byte
	EncryptedPathSecret []HPKECiphertext
}

// Wire codes the structure.
func (n *UpdatePathNode) Wire(c *wire.Codec) {
	wire.Opaque(c, &n.EncryptionKey)
	wire.Vector(c, &n.EncryptedPathSecret, wire.Struct)
}

// An UpdatePath replaces the keys on the committer's way to the root (RFC 9420,
// section 7.6).
//
//	struct {
//	    LeafNode leaf_node;
//	    UpdatePathNode nodes<V>;
//	} UpdatePath;
type UpdatePath struct {
	LeafNode LeafNode
	Nodes    []UpdatePathNode
}

// Wire codes the structure.
func (p *UpdatePath) Wire(c *wire.Codec) {
	p.LeafNode.Wire(c)
	wire.Vector(c, &p.Nodes, wire.Struct)
}

// A Commit starts a new epoch (RFC 9420, section 12.4).
//
//	struct {
//	    ProposalOrRef proposals<V>;
//	    optional<UpdatePath> path;
//	} Commit;
type Commit struct {
	Proposals []ProposalOrRef
	Path      *UpdatePath
}

// Wire codes the structure.
func (m *Commit) Wire(c *wire.Codec) {
	wire.Vector(c, &m.Proposals, wire.Struct)
	wire.Optional(c, &m.Path, wire.Struct)
}
