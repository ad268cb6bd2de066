package mls

import (
	"encoding/binary"
	"fmt"
	"slices"
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
	if p := n.Parent; p != nil {
		size := 16 + len(p.EncryptionKey) + len(p.ParentHash) + 4*len(p.UnmergedLeaves)
		raw, err := wire.Append(make([]byte, 0, size), n)
		return &treeNode{raw: raw}, err
	}
	leaf, err := n.Leaf.encoded()
	if err != nil {
		return nil, err
	}
	return &treeNode{raw: append(append(make([]byte, 0, 1+len(leaf)), nodeTypeLeaf), leaf...)}, nil
}

// storedTreeNode takes over the encoding of a node that was stored. It looks no
// further than at what is needed without decoding: the rest is covered by the tree
// hash.
func storedTreeNode(raw []byte) (*treeNode, error) {
	if len(raw) == 0 || (raw[0] != nodeTypeLeaf && raw[0] != nodeTypeParent) {
		return nil, fmt.Errorf("%w: no node", ErrTreeForm)
	}
	head := wire.Message(new(leafHead))
	if raw[0] == nodeTypeParent {
		head = new(opaque)
	}
	if _, err := wire.UnmarshalPrefix(raw[1:], head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTreeForm, err)
	}
	return &treeNode{raw: raw}, nil
}

// A leafHead is how a LeafNode starts: what the index of a tree needs of it. The
// lists are not decoded, but a number of types of two octets each.
type leafHead struct {
	encryptionKey, signatureKey []byte
	credential                  Credential
	versions, suites            []byte
	extensions                  []byte
	proposals, credentials      typeList
}

// Wire codes the structure.
func (h *leafHead) Wire(c *wire.Codec) {
	wire.Opaque(c, &h.encryptionKey)
	wire.Opaque(c, &h.signatureKey)
	wire.Uint16(c, &h.credential.Type)
	wire.Opaque(c, &h.credential.Body)
	wire.Opaque(c, &h.versions)
	wire.Opaque(c, &h.suites)
	wire.Opaque(c, &h.extensions)
	wire.Opaque(c, &h.proposals)
	wire.Opaque(c, &h.credentials)
}

// A typeList is an encoded list of types.
type typeList []byte

// each calls f for each type once, however often it is listed.
func (l typeList) each(f func(t uint16)) {
	types := make([]uint16, len(l)/2)
	for i := range types {
		types[i] = binary.BigEndian.Uint16(l[2*i:])
	}
	slices.Sort(types)
	for _, t := range slices.Compact(types) {
		f(t)
	}
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

// head reads the start of a leaf, without decoding the rest.
func (n *treeNode) head() *leafHead {
	h := new(leafHead)
	// It was decoded before, or checked by storedTreeNode.
	if _, err := wire.UnmarshalPrefix(n.raw[1:], h); err != nil {
		panic("internal error: a leaf of the tree does not decode: " + err.Error())
	}
	return h
}

// signatureKey reads the signature key of a leaf, without decoding the rest.
func (n *treeNode) signatureKey() []byte {
	_, rest := cutOpaque(n.raw[1:])
	key, _ := cutOpaque(rest)
	return key
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
