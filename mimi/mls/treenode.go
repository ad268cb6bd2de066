package mls

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A treeNode is a node in a tree: its encoding, and what that says. It never
// changes, and shares no memory with the message that brought it, which may be
// much larger. Most nodes of a group that was loaded are never looked at: a node
// is decoded when somebody asks.
type treeNode struct {
	raw     []byte // as a Node is sent
	decoded atomic.Pointer[Node]
}

// newTreeNode encodes a node.
func newTreeNode(n *Node) (*treeNode, error) {
	if n.Leaf == nil {
		raw, err := wire.Marshal(n)
		return &treeNode{raw: raw}, err
	}
	leaf, err := n.Leaf.encoded()
	if err != nil {
		return nil, err
	}
	return &treeNode{raw: append(append(make([]byte, 0, 1+len(leaf)), nodeTypeLeaf), leaf...)}, nil
}

// storedTreeNode takes over the encoding of a node that was stored. It looks no
// further than at the keys: the rest is covered by the tree hash.
func storedTreeNode(raw []byte) (*treeNode, error) {
	n := &treeNode{raw: raw}
	if len(raw) == 0 || (raw[0] != nodeTypeLeaf && raw[0] != nodeTypeParent) {
		return nil, fmt.Errorf("%w: no node", ErrTreeForm)
	}
	var keys nodeKeys
	if _, err := wire.UnmarshalPrefix(raw[1:], &keys); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTreeForm, err)
	}
	return n, nil
}

// nodeKeys is how a ParentNode and a LeafNode start; of a ParentNode, the second
// one is the parent hash.
type nodeKeys struct{ encryption, signature []byte }

// Wire codes the structure.
func (k *nodeKeys) Wire(c *wire.Codec) {
	wire.Opaque(c, &k.encryption)
	wire.Opaque(c, &k.signature)
}

func (n *treeNode) isLeaf() bool { return n.raw[0] == nodeTypeLeaf }

// node decodes the node, or returns nil if it was stored and is damaged.
func (n *treeNode) node() *Node {
	if d := n.decoded.Load(); d != nil {
		return d
	}
	d := new(Node)
	if wire.UnmarshalShared(n.raw, d) != nil {
		return nil
	}
	// Two who decode at the same time get the same result; one of both stays.
	n.decoded.CompareAndSwap(nil, d)
	return n.decoded.Load()
}

// leaf returns the leaf, or nil.
func (n *treeNode) leaf() *LeafNode {
	if n == nil || !n.isLeaf() {
		return nil
	}
	if d := n.node(); d != nil {
		return d.Leaf
	}
	return nil
}

// parent returns the parent node, or nil.
func (n *treeNode) parent() *ParentNode {
	if n == nil || n.isLeaf() {
		return nil
	}
	if d := n.node(); d != nil {
		return d.Parent
	}
	return nil
}

// encryptionKey reads the HPKE public key, without decoding the rest.
func (n *treeNode) encryptionKey() []byte {
	key, _ := cutOpaque(n.raw[1:])
	return key
}

// leafFacts reads what the index of a tree needs of a leaf.
func (n *treeNode) leafFacts() (signatureKey []byte, credential CredentialType) {
	_, rest := cutOpaque(n.raw[1:])
	signatureKey, rest = cutOpaque(rest)
	if len(rest) < 2 {
		return signatureKey, 0
	}
	return signatureKey, CredentialType(binary.BigEndian.Uint16(rest))
}

// cutOpaque splits an opaque<V> off octets that are known to start with one.
func cutOpaque(b []byte) (value, rest []byte) {
	size := 1 << (b[0] >> 6)
	n := int(b[0] & 0x3f)
	for _, o := range b[1:size] {
		n = n<<8 | int(o)
	}
	return b[size : size+n : size+n], b[size+n:]
}

// same reports whether two nodes, of which either may be blank, are the same.
func (n *treeNode) same(o *treeNode) bool {
	if n == nil || o == nil {
		return n == o
	}
	return bytes.Equal(n.raw, o.raw)
}
