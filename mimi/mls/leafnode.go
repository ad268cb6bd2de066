package mls

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Capabilities are the features that a client supports (RFC 9420, section 7.2).
// Unknown values are kept and have no meaning.
//
//	struct {
//	    ProtocolVersion versions<V>;
//	    CipherSuite cipher_suites<V>;
//	    ExtensionType extensions<V>;
//	    ProposalType proposals<V>;
//	    CredentialType credentials<V>;
//	} Capabilities;
type Capabilities struct {
	Versions     []ProtocolVersion
	CipherSuites []CipherSuite
	Extensions   []ExtensionType
	Proposals    []ProposalType
	Credentials  []CredentialType
}

// Wire codes the structure.
func (p *Capabilities) Wire(c *wire.Codec) {
	wire.Vector(c, &p.Versions, wire.Uint16)
	wire.Vector(c, &p.CipherSuites, wire.Uint16)
	wire.Vector(c, &p.Extensions, wire.Uint16)
	wire.Vector(c, &p.Proposals, wire.Uint16)
	wire.Vector(c, &p.Credentials, wire.Uint16)
}

// supportsExtension reports whether t is default or listed.
func (p *Capabilities) supportsExtension(t ExtensionType) bool {
	// RFC 9420, sections 7.2: 4; 13.4: 1, 3; 13.5: 3, 4
	return t.isDefault() || slices.Contains(p.Extensions, t)
}

// supportsProposal reports whether t is default or listed.
func (p *Capabilities) supportsProposal(t ProposalType) bool {
	// RFC 9420, sections 7.2: 4; 13.4: 1, 3; 13.5: 3, 4
	return t.isDefault() || slices.Contains(p.Proposals, t)
}

// A LeafNode is a member's appearance in the tree (RFC 9420, section 7.2).
//
//	struct {
//	    HPKEPublicKey encryption_key;
//	    SignaturePublicKey signature_key;
//	    Credential credential;
//	    Capabilities capabilities;
//	    LeafNodeSource leaf_node_source;
//	    select (LeafNode.leaf_node_source) {
//	        case key_package: Lifetime lifetime;
//	        case update:      struct{};
//	        case commit:      opaque parent_hash<V>;
//	    };
//	    Extension extensions<V>;
//	    /* SignWithLabel(., "LeafNodeTBS", LeafNodeTBS) */
//	    opaque signature<V>;
//	} LeafNode;
type LeafNode struct {
	EncryptionKey []byte
	SignatureKey  []byte
	Credential    Credential
	Capabilities  Capabilities
	Source        LeafNodeSource
	// NotBefore and NotAfter are the lifetime, in seconds since 1970, of a leaf
	// whose source is key_package.
	NotBefore, NotAfter uint64
	// ParentHash is only there if the source is commit.
	ParentHash []byte
	Extensions Extensions
	Signature  []byte

	received received
}

// Wire codes the structure.
func (n *LeafNode) Wire(c *wire.Codec) {
	mark := c.Mark()
	n.wireTBS(c)
	wire.Opaque(c, &n.Signature)
	n.received.keep(c, mark)
}

// wireTBS codes what stands before the signature.
func (n *LeafNode) wireTBS(c *wire.Codec) {
	wire.Opaque(c, &n.EncryptionKey)
	wire.Opaque(c, &n.SignatureKey)
	n.Credential.Wire(c)
	n.Capabilities.Wire(c)
	wire.Uint8(c, &n.Source)
	switch n.Source {
	case LeafNodeSourceKeyPackage:
		wire.Uint64(c, &n.NotBefore)
		wire.Uint64(c, &n.NotAfter)
	case LeafNodeSourceUpdate:
	case LeafNodeSourceCommit:
		wire.Opaque(c, &n.ParentHash)
	default:
		c.Fail(fmt.Errorf("mls: unknown leaf node source %d", n.Source))
	}
	n.Extensions.code(c)
}

// encoded returns the octets of n, as they were received.
func (n *LeafNode) encoded() ([]byte, error) { return n.received.bytes(n) }

// leafNodeTBS appends the group and the position to what was received before
// the signature:
//
//	    select (LeafNodeTBS.leaf_node_source) {
//	        case key_package: struct{};
//	        case update, commit:
//	            opaque group_id<V>;
//	            uint32 leaf_index;
//	    };
//	} LeafNodeTBS;
func (n *LeafNode) leafNodeTBS(groupID []byte, index LeafIndex) ([]byte, error) {
	all, err := n.encoded()
	if err != nil {
		return nil, err
	}
	signature, err := wire.Marshal((*opaque)(&n.Signature))
	if err != nil {
		return nil, err
	}
	tbs := all[: len(all)-len(signature) : len(all)-len(signature)]
	if n.Source == LeafNodeSourceKeyPackage {
		return tbs, nil
	}
	id, err := wire.Marshal((*opaque)(&groupID))
	if err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint32(slices.Concat(tbs, id), uint32(index)), nil
}

// sign sets the signature. The group and the position are of no meaning for a
// leaf of a KeyPackage.
func (n *LeafNode) sign(s *suite.Suite, key suite.SignatureKey, groupID []byte, index LeafIndex) error {
	n.received, n.Signature = nil, nil
	tbs, err := n.leafNodeTBS(groupID, index)
	if err != nil {
		return err
	}
	n.Signature, err = s.SignWithLabel(key, "LeafNodeTBS", tbs)
	return err
}

// VerifySignature checks the signature of a leaf at a position of a group; both
// are of no meaning for a leaf of a KeyPackage.
func (n *LeafNode) VerifySignature(s *suite.Suite, groupID []byte, index LeafIndex) error {
	tbs, err := n.leafNodeTBS(groupID, index)
	if err != nil {
		return err
	}
	return s.VerifyWithLabel(n.SignatureKey, "LeafNodeTBS", tbs, n.Signature)
}

// clone returns a copy that shares no mutable list with n.
func (n *LeafNode) clone() *LeafNode {
	c := *n
	c.Extensions = slices.Clone(n.Extensions)
	return &c
}
