package mls

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrVersion reports another protocol version than mls10.
var ErrVersion = errors.New("mls: unsupported protocol version")

// wireVersion codes the constant version field of many structures.
func wireVersion(c *wire.Codec) {
	v := MLS10
	wire.Uint16(c, &v)
	if v != MLS10 {
		c.Fail(fmt.Errorf("%w %d", ErrVersion, v))
	}
}

// A GroupContext is what the members of a group agree on in one epoch (RFC 9420,
// section 8.1).
//
//	struct {
//	    ProtocolVersion version = mls10;
//	    CipherSuite cipher_suite;
//	    opaque group_id<V>;
//	    uint64 epoch;
//	    opaque tree_hash<V>;
//	    opaque confirmed_transcript_hash<V>;
//	    Extension extensions<V>;
//	} GroupContext;
type GroupContext struct {
	CipherSuite             CipherSuite
	GroupID                 []byte
	Epoch                   uint64
	TreeHash                []byte
	ConfirmedTranscriptHash []byte
	Extensions              Extensions
}

// Wire codes the structure.
func (g *GroupContext) Wire(c *wire.Codec) {
	wireVersion(c)
	wire.Uint16(c, &g.CipherSuite)
	wire.Opaque(c, &g.GroupID)
	wire.Uint64(c, &g.Epoch)
	wire.Opaque(c, &g.TreeHash)
	wire.Opaque(c, &g.ConfirmedTranscriptHash)
	g.Extensions.code(c)
}

// A GroupInfo describes an epoch to those who want to join (RFC 9420, section
// 12.4.3).
//
//	struct {
//	    GroupContext group_context;
//	    Extension extensions<V>;
//	    MAC confirmation_tag;
//	    uint32 signer;
//	    /* SignWithLabel(., "GroupInfoTBS", GroupInfoTBS) */
//	    opaque signature<V>;
//	} GroupInfo;
type GroupInfo struct {
	GroupContext    GroupContext
	Extensions      Extensions
	ConfirmationTag []byte
	Signer          LeafIndex
	Signature       []byte

	received received
}

// Wire codes the structure.
func (g *GroupInfo) Wire(c *wire.Codec) {
	mark := c.Mark()
	g.GroupContext.Wire(c)
	g.Extensions.code(c)
	wire.Opaque(c, &g.ConfirmationTag)
	wire.Uint32(c, &g.Signer)
	wire.Opaque(c, &g.Signature)
	g.received.keep(c, mark)
}

// tbs returns what stands before the signature.
func (g *GroupInfo) tbs() ([]byte, error) {
	all, err := g.received.bytes(g)
	if err != nil {
		return nil, err
	}
	signature, err := wire.Marshal((*opaque)(&g.Signature))
	if err != nil {
		return nil, err
	}
	return all[:len(all)-len(signature)], nil
}

func (g *GroupInfo) sign(s *suite.Suite, key suite.SignatureKey) error {
	g.received, g.Signature = nil, nil
	tbs, err := g.tbs()
	if err != nil {
		return err
	}
	g.Signature, err = s.SignWithLabel(key, "GroupInfoTBS", tbs)
	return err
}

// VerifySignature checks the signature with the key of the signer's leaf, which
// the caller has looked up in the tree of this epoch.
func (g *GroupInfo) VerifySignature(s *suite.Suite, signatureKey []byte) error {
	tbs, err := g.tbs()
	if err != nil {
		return err
	}
	return s.VerifyWithLabel(signatureKey, "GroupInfoTBS", tbs, g.Signature)
}
