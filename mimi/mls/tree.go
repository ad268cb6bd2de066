package mls

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A tree is the public ratchet tree (RFC 9420, section 7). Nodes are immutable
// once they are in a tree: a changed node is a new one, so that a copy of a tree
// shares what did not change.
type tree struct {
	suite *suite.Suite
	nodes []*Node  // of a full tree; nil is a blank node
	hash  [][]byte // cached tree hashes; nil is unknown
	// changed collects the nodes that differ from the tree this one was cloned
	// from. Nodes beyond the end of the tree are blank.
	changed map[treemath.Node]struct{}
	// blankFrom says that no leaf before it is blank.
	blankFrom LeafIndex
}

// newTree returns a tree with one blank leaf.
func newTree(s *suite.Suite) *tree {
	return &tree{suite: s, nodes: make([]*Node, 1), hash: make([][]byte, 1), changed: map[treemath.Node]struct{}{}}
}

// treeOf returns the tree with these nodes. Its form is that of a RatchetTree
// that was decoded; nothing else is verified. maxLeaves bounds it.
func treeOf(s *suite.Suite, nodes RatchetTree, maxLeaves int) (*tree, error) {
	// RFC 9420, section 12.4.3.3: 2
	if len(nodes) == 0 || nodes[len(nodes)-1] == nil {
		return nil, fmt.Errorf("%w: the last node is blank", ErrTreeForm)
	}
	leaves := treemath.Leaves(uint32(len(nodes)/2 + 1))
	if int64(leaves) > int64(maxLeaves) {
		return nil, fmt.Errorf("%w: %d leaves, at most %d are allowed", ErrTreeForm, leaves, maxLeaves)
	}
	width := treemath.Width(leaves)
	t := &tree{suite: s, nodes: make([]*Node, width), hash: make([][]byte, width), changed: map[treemath.Node]struct{}{}}
	copy(t.nodes, nodes)
	for i, n := range t.nodes {
		if n != nil && (n.Leaf != nil) != treemath.Node(i).IsLeaf() {
			return nil, fmt.Errorf("%w: node %d has the wrong type", ErrTreeForm, i)
		}
	}
	return t, nil
}

// ratchetTree returns the nodes without the blank ones at the end.
func (t *tree) ratchetTree() RatchetTree {
	end := len(t.nodes)
	// RFC 9420, section 12.4.3.3: 1
	for end > 0 && t.nodes[end-1] == nil {
		end--
	}
	return RatchetTree(slices.Clone(t.nodes[:end]))
}

// clone returns a copy to be changed.
func (t *tree) clone() *tree {
	c := *t
	c.nodes = slices.Clone(t.nodes)
	c.hash = slices.Clone(t.hash)
	c.changed = map[treemath.Node]struct{}{}
	return &c
}

// leaves returns the number of leaves, blank ones included.
func (t *tree) leaves() uint32 { return uint32(len(t.nodes)/2 + 1) }

func (t *tree) root() treemath.Node { return treemath.Root(t.leaves()) }

// leaf returns the leaf node at i, or nil if it is blank or outside.
func (t *tree) leaf(i LeafIndex) *LeafNode {
	if uint32(i) >= t.leaves() {
		return nil
	}
	if n := t.nodes[treemath.Leaf(uint32(i))]; n != nil {
		return n.Leaf
	}
	return nil
}

// parent returns the parent node at x, or nil if it is blank.
func (t *tree) parent(x treemath.Node) *ParentNode {
	if n := t.nodes[x]; n != nil {
		return n.Parent
	}
	return nil
}

// encryptionKey returns the public key of a node that is not blank.
func (t *tree) encryptionKey(x treemath.Node) []byte {
	if n := t.nodes[x]; n.Leaf != nil {
		return n.Leaf.EncryptionKey
	} else {
		return n.Parent.EncryptionKey
	}
}

// set replaces a node and forgets the hashes that cover it.
func (t *tree) set(x treemath.Node, n *Node) {
	t.nodes[x] = n
	t.changed[x] = struct{}{}
	for root := t.root(); ; x = x.Parent() {
		t.hash[x] = nil
		if x == root {
			return
		}
	}
}

func (t *tree) setLeaf(i LeafIndex, l *LeafNode) {
	t.set(treemath.Leaf(uint32(i)), &Node{Leaf: l})
}

// blankPath blanks the inner nodes above leaf i.
func (t *tree) blankPath(i LeafIndex) {
	for _, x := range treemath.DirectPath(uint32(i), t.leaves()) {
		if t.nodes[x] != nil {
			t.set(x, nil)
		}
	}
}

// nextLeaf returns the leftmost blank leaf, and extends the tree if there is
// none (RFC 9420, section 12.1.1).
func (t *tree) nextLeaf() LeafIndex {
	for ; uint32(t.blankFrom) < t.leaves(); t.blankFrom++ {
		if t.leaf(t.blankFrom) == nil {
			return t.blankFrom
		}
	}
	more := len(t.nodes) + 1
	t.nodes = append(t.nodes, make([]*Node, more)...)
	t.hash = append(t.hash, make([][]byte, more)...)
	return t.blankFrom
}

// add puts a new leaf at the leftmost blank place (RFC 9420, section 12.1.1).
func (t *tree) add(l *LeafNode) LeafIndex {
	i := t.nextLeaf()
	for _, x := range treemath.DirectPath(uint32(i), t.leaves()) {
		p := t.parent(x)
		if p == nil {
			continue
		}
		n := *p
		at, _ := slices.BinarySearch(p.UnmergedLeaves, i)
		n.UnmergedLeaves = slices.Insert(slices.Clone(p.UnmergedLeaves), at, i)
		t.set(x, &Node{Parent: &n})
	}
	t.setLeaf(i, l)
	return i
}

// update replaces a leaf (RFC 9420, section 12.1.2).
func (t *tree) update(i LeafIndex, l *LeafNode) {
	t.setLeaf(i, l)
	t.blankPath(i)
}

// remove blanks a leaf (RFC 9420, section 12.1.3). The tree keeps its size until
// [tree.truncate].
func (t *tree) remove(i LeafIndex) {
	t.set(treemath.Leaf(uint32(i)), nil)
	t.blankPath(i)
	t.blankFrom = min(t.blankFrom, i)
}

// truncate removes the right half of the tree while it has no member (RFC 9420,
// section 7.7).
func (t *tree) truncate() {
	for t.leaves() > 1 {
		half := t.leaves() / 2
		for i := half; i < t.leaves(); i++ {
			if t.leaf(LeafIndex(i)) != nil {
				return
			}
		}
		width := treemath.Width(half)
		for x := int(width); x < len(t.nodes); x++ {
			if t.nodes[x] != nil {
				t.changed[treemath.Node(x)] = struct{}{}
			}
		}
		t.nodes, t.hash = t.nodes[:width:width], t.hash[:width:width]
	}
}

// resolution returns the nodes that together cover the members below x (RFC
// 9420, section 4.1.1).
func (t *tree) resolution(x treemath.Node) []treemath.Node {
	return t.appendResolution(nil, x)
}

func (t *tree) appendResolution(to []treemath.Node, x treemath.Node) []treemath.Node {
	n := t.nodes[x]
	switch {
	case n != nil && n.Parent != nil:
		to = append(to, x)
		for _, i := range n.Parent.UnmergedLeaves {
			to = append(to, treemath.Leaf(uint32(i)))
		}
	case n != nil:
		to = append(to, x)
	case !x.IsLeaf():
		to = t.appendResolution(to, x.Left())
		to = t.appendResolution(to, x.Right())
	}
	return to
}

// occupied reports whether the resolution of x is not empty.
func (t *tree) occupied(x treemath.Node) bool {
	if t.nodes[x] != nil {
		return true
	}
	return !x.IsLeaf() && (t.occupied(x.Left()) || t.occupied(x.Right()))
}

// A pathStep is a node of a filtered direct path, with its child that is not on
// the path.
type pathStep struct{ node, copath treemath.Node }

// filteredPath returns the filtered direct path of leaf i (RFC 9420, section
// 4.1.2): without the nodes whose other child covers no one.
func (t *tree) filteredPath(i LeafIndex) []pathStep {
	var path []pathStep
	x := treemath.Leaf(uint32(i))
	for root := t.root(); x != root; x = x.Parent() {
		if sibling := x.Sibling(); t.occupied(sibling) {
			path = append(path, pathStep{x.Parent(), sibling})
		}
	}
	return path
}

// members calls f for each member in the order of the leaves, until it returns
// false.
func (t *tree) members(f func(LeafIndex, *LeafNode) bool) {
	for i := range t.leaves() {
		if l := t.leaf(LeafIndex(i)); l != nil && !f(LeafIndex(i), l) {
			return
		}
	}
}

// find returns the leaf that is the same octets as l.
func (t *tree) find(l *LeafNode) (LeafIndex, bool) {
	want, err := l.encoded()
	if err != nil {
		return 0, false
	}
	found, ok := LeafIndex(0), false
	t.members(func(i LeafIndex, m *LeafNode) bool {
		if bytes.Equal(m.EncryptionKey, l.EncryptionKey) {
			if got, err := m.encoded(); err == nil && bytes.Equal(got, want) {
				found, ok = i, true
			}
		}
		return !ok
	})
	return found, ok
}
