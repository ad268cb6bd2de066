package mls

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// treeHash returns the tree hash of the subtree at x (RFC 9420, section 7.8). It
// is cached for later.
func (t *tree) treeHash(x treemath.Node) ([]byte, error) {
	s := t.nodes.At(int(x))
	if s.hash != nil {
		return s.hash, nil
	}
	h, err := t.hashWithout(x, nil)
	if err != nil {
		return nil, err
	}
	t.nodes.Set(int(x), slot{s.node, h})
	return h, nil
}

// rootHash is the tree hash of the whole tree.
func (t *tree) rootHash() ([]byte, error) { return t.treeHash(t.root()) }

// hashWithout is the tree hash of the subtree at x after these leaves, all below
// x and ascending, were blanked and removed from every list of unmerged leaves.
//
//	struct {
//	    uint32 leaf_index;
//	    optional<LeafNode> leaf_node;
//	} LeafNodeHashInput;
//
//	struct {
//	    optional<ParentNode> parent_node;
//	    opaque left_hash<V>;
//	    opaque right_hash<V>;
//	} ParentNodeHashInput;
func (t *tree) hashWithout(x treemath.Node, without []LeafIndex) ([]byte, error) {
	if x.IsLeaf() {
		input := binary.BigEndian.AppendUint32([]byte{nodeTypeLeaf}, x.LeafIndex())
		l := t.at(x)
		// RFC 9420, section 7.8: 1
		if l == nil || len(without) > 0 {
			return t.suite.Hash(input, []byte{0}), nil
		}
		return t.suite.Hash(input, []byte{1}, l.raw[1:]), nil
	}
	split, _ := slices.BinarySearchFunc(without, x, func(i LeafIndex, x treemath.Node) int {
		return int(treemath.Leaf(uint32(i))) - int(x)
	})
	in := parentHashNode{node: t.at(x)}
	var err error
	if in.left, err = t.hashChild(x.Left(), without[:split]); err != nil {
		return nil, err
	}
	if in.right, err = t.hashChild(x.Right(), without[split:]); err != nil {
		return nil, err
	}
	if in.node != nil && len(without) > 0 {
		p := *t.parent(x)
		p.UnmergedLeaves = slices.DeleteFunc(slices.Clone(p.UnmergedLeaves), func(i LeafIndex) bool {
			_, found := slices.BinarySearch(without, i)
			return found
		})
		if in.node, err = newTreeNode(&Node{Parent: &p}); err != nil {
			return nil, err
		}
	}
	b, err := wire.Marshal(&in)
	if err != nil {
		return nil, err
	}
	return t.suite.Hash(b), nil
}

// hashChild uses the cache where nothing is left out.
func (t *tree) hashChild(x treemath.Node, without []LeafIndex) ([]byte, error) {
	if len(without) == 0 {
		return t.treeHash(x)
	}
	return t.hashWithout(x, without)
}

// parentHashNode is a TreeHashInput of a parent.
type parentHashNode struct {
	node        *treeNode
	left, right []byte
}

func (p *parentHashNode) Wire(c *wire.Codec) {
	kind := nodeTypeParent
	wire.Uint8(c, &kind)
	wire.Optional(c, &p.node, func(c *wire.Codec, n *treeNode) { c.Raw(n.raw[1:]) })
	wire.Opaque(c, &p.left)
	wire.Opaque(c, &p.right)
}

// parentHashInput is
//
//	struct {
//	    HPKEPublicKey encryption_key;
//	    opaque parent_hash<V>;
//	    opaque original_sibling_tree_hash<V>;
//	} ParentHashInput;
type parentHashInput struct{ encryptionKey, parentHash, siblingHash []byte }

func (p *parentHashInput) Wire(c *wire.Codec) {
	wire.Opaque(c, &p.encryptionKey)
	wire.Opaque(c, &p.parentHash)
	wire.Opaque(c, &p.siblingHash)
}

// below returns the entries of an ascending list that are leaves below x.
func below(l []LeafIndex, x treemath.Node) []LeafIndex {
	from, to := x.Span()
	a, _ := slices.BinarySearch(l, LeafIndex(from))
	b, _ := slices.BinarySearch(l, LeafIndex(to))
	return l[a:b]
}

// parentHash is the parent hash of the node p at x with this child on the copath
// (RFC 9420, section 7.9).
func (t *tree) parentHash(p *ParentNode, copath treemath.Node) ([]byte, error) {
	sibling, err := t.hashChild(copath, below(p.UnmergedLeaves, copath))
	if err != nil {
		return nil, err
	}
	b, err := wire.Marshal(&parentHashInput{p.EncryptionKey, p.ParentHash, sibling})
	if err != nil {
		return nil, err
	}
	return t.suite.Hash(b), nil
}

// verifyParentHashes checks that every parent node is parent-hash valid (RFC
// 9420, section 7.9.2), "top down": exactly one descendant vouches for it.
func (t *tree) verifyParentHashes() error {
	for i := 1; i < t.nodes.Len(); i += 2 {
		x := treemath.Node(i)
		if t.at(x) == nil {
			continue
		}
		chains := 0
		for _, side := range [][2]treemath.Node{{x.Left(), x.Right()}, {x.Right(), x.Left()}} {
			ok, err := t.vouched(x, side[0], side[1])
			if err != nil {
				return err
			}
			if ok {
				chains++
			}
		}
		// RFC 9420, sections 7.9.2: 1; 12.4.3.1: 11
		if chains != 1 {
			return fmt.Errorf("%w: node %d has %d chains to a leaf", ErrParentHash, x, chains)
		}
	}
	return nil
}

// vouched reports whether a node D below child has the parent hash of x: D is in
// the resolution of the child, and the rest of that resolution are exactly the
// leaves below the child that are unmerged at x.
func (t *tree) vouched(x, child, copath treemath.Node) (bool, error) {
	p := t.parent(x)
	unmerged := below(p.UnmergedLeaves, child)
	var d treemath.Node
	found, rest := 0, 0
	for _, r := range t.resolution(child) {
		if r.IsLeaf() {
			if _, ok := slices.BinarySearch(unmerged, LeafIndex(r.LeafIndex())); ok {
				rest++
				continue
			}
		}
		d = r
		found++
	}
	if found != 1 || rest != len(unmerged) {
		return false, nil
	}
	var have []byte
	if l := t.at(d).leaf(); l != nil {
		if l.Source != LeafNodeSourceCommit {
			return false, nil
		}
		have = l.ParentHash
	} else {
		have = t.parent(d).ParentHash
	}
	want, err := t.parentHash(p, copath)
	if err != nil {
		return false, err
	}
	return bytes.Equal(have, want), nil
}
