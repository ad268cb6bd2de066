package mls

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// encodeOldLeaf is the row of a leaf of a past epoch: as a node of a tree, or a
// zero for one that was blank.
func encodeOldLeaf(n *treeNode) []byte {
	if n == nil {
		return []byte{0}
	}
	return n.raw
}

func decodeOldLeaf(b []byte) (*treeNode, error) {
	if len(b) == 1 && b[0] == 0 {
		return nil, nil
	}
	n, err := storedTreeNode(b)
	if err == nil && !n.isLeaf() {
		err = fmt.Errorf("%w: a parent in the place of a leaf", ErrTreeForm)
	}
	return n, err
}

// storedPast is the row of a past epoch.
type storedPast struct {
	encoded    []byte
	senderData suite.Secret
	leaves     uint32
}

// Wire codes the structure.
func (s *storedPast) Wire(c *wire.Codec) {
	wire.Opaque(c, &s.encoded)
	s.senderData.Wire(c)
	wire.Uint32(c, &s.leaves)
}

// storedProposal is the row of a pending proposal.
type storedProposal struct {
	content *authenticatedContent
	tag     []byte
}

// Wire codes the structure.
func (s *storedProposal) Wire(c *wire.Codec) {
	if c.Decoding() {
		s.content = new(authenticatedContent)
	}
	s.content.Wire(c)
	wire.Opaque(c, &s.tag)
}

// storedUpdate is the row of the private side of an own Update.
type storedUpdate struct {
	leaf                  LeafIndex
	encryption, signature suite.Secret
}

// Wire codes the structure.
func (s *storedUpdate) Wire(c *wire.Codec) {
	wire.Uint32(c, &s.leaf)
	s.encryption.Wire(c)
	s.signature.Wire(c)
}
