package mls

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrTreeForm reports a ratchet tree whose encoding breaks a rule of RFC 9420,
// section 12.4.3.3 or section 7.1.
var ErrTreeForm = errors.New("mls: malformed ratchet tree")

// A ParentNode is an inner node of the tree (RFC 9420, section 7.1).
//
//	struct {
//	    HPKEPublicKey encryption_key;
//	    opaque parent_hash<V>;
//	    uint32 unmerged_leaves<V>;
//	} ParentNode;
type ParentNode struct {
	EncryptionKey  []byte
	ParentHash     []byte
	UnmergedLeaves []LeafIndex // strictly ascending
}

// Wire codes the structure and refuses another order of the leaves.
func (n *ParentNode) Wire(c *wire.Codec) {
	wire.Opaque(c, &n.EncryptionKey)
	wire.Opaque(c, &n.ParentHash)
	wire.Vector(c, &n.UnmergedLeaves, wire.Uint32)
	for i := 1; i < len(n.UnmergedLeaves); i++ {
		// RFC 9420, section 7.1: 1
		if n.UnmergedLeaves[i-1] >= n.UnmergedLeaves[i] {
			c.Fail(fmt.Errorf("%w: unmerged leaves are not in ascending order", ErrTreeForm))
			return
		}
	}
}

// A Node is one node of a [RatchetTree]: a leaf or a parent.
//
//	struct {
//	    NodeType node_type;
//	    select (Node.node_type) {
//	        case leaf:   LeafNode leaf_node;
//	        case parent: ParentNode parent_node;
//	    };
//	} Node;
type Node struct {
	Leaf   *LeafNode
	Parent *ParentNode
}

// The values of NodeType.
const (
	nodeTypeLeaf   uint8 = 1
	nodeTypeParent uint8 = 2
)

// Wire codes the structure.
func (n *Node) Wire(c *wire.Codec) {
	kind := nodeTypeParent
	if n.Leaf != nil {
		kind = nodeTypeLeaf
	}
	wire.Uint8(c, &kind)
	switch kind {
	case nodeTypeLeaf:
		if c.Decoding() {
			n.Leaf = new(LeafNode)
		}
		n.Leaf.Wire(c)
	case nodeTypeParent:
		if c.Decoding() {
			n.Parent = new(ParentNode)
		}
		if n.Parent == nil {
			c.Fail(fmt.Errorf("%w: a node without content", ErrTreeForm))
			return
		}
		n.Parent.Wire(c)
	default:
		c.Fail(fmt.Errorf("%w: node type %d", ErrTreeForm, kind))
	}
}

// A RatchetTree is the public tree of an epoch (RFC 9420, section 12.4.3.3):
// nodes from left to right, nil for a blank one, the last one not blank.
//
//	optional<Node> ratchet_tree<V>;
type RatchetTree []*Node

// Wire codes the structure. It refuses a tree that ends with a blank node, and
// one with leaves and parents in each other's place.
func (t *RatchetTree) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]*Node)(t), func(c *wire.Codec, n **Node) { wire.Optional(c, n, wire.Struct) })
	nodes := *t
	// RFC 9420, section 12.4.3.3: 2
	if len(nodes) == 0 || nodes[len(nodes)-1] == nil {
		c.Fail(fmt.Errorf("%w: the last node is blank", ErrTreeForm))
		return
	}
	for i, n := range nodes {
		if n != nil && (n.Leaf != nil) != (i%2 == 0) {
			c.Fail(fmt.Errorf("%w: node %d has the wrong type", ErrTreeForm, i))
			return
		}
	}
}
