package mls

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/pages"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A tree is the public ratchet tree (RFC 9420, section 7). A copy of a tree shares
// what did not change.
type tree struct {
	suite *suite.Suite
	nodes pages.Array[slot] // of a full tree
	// changed collects the nodes that differ from the tree this one was cloned
	// from. Nodes beyond the end of the tree are blank.
	changed map[treemath.Node]struct{}
	// blankFrom says that no leaf before it is blank.
	blankFrom LeafIndex
	// index is nil in a tree that was loaded.
	index *treeIndex
}

// A slot is the place of a node.
type slot struct {
	node *treeNode // nil is blank
	hash []byte    // cached tree hash of the subtree; nil is unknown
}

// newTree returns a tree with one blank leaf.
func newTree(s *suite.Suite) *tree {
	t := &tree{suite: s, changed: map[treemath.Node]struct{}{}, index: newTreeIndex(1)}
	t.nodes.Resize(1)
	return t
}

// treeOf returns the tree with these nodes. Its form is that of a RatchetTree
// that was decoded; nothing else is verified. maxLeaves bounds it.
func treeOf(s *suite.Suite, nodes RatchetTree, maxLeaves int) (*tree, error) {
	// RFC 9420, section 12.4.3.3: 2
	if len(nodes) == 0 || nodes[len(nodes)-1] == nil {
		return nil, fmt.Errorf("%w: the last node is blank", ErrTreeForm)
	}
	t, err := treeFor(s, uint64(len(nodes)), maxLeaves)
	if err != nil {
		return nil, err
	}
	for i, n := range nodes {
		if n == nil {
			continue
		}
		// unmutated: a RatchetTree that was decoded has no such node
		if (n.Leaf != nil) != treemath.Node(i).IsLeaf() {
			return nil, fmt.Errorf("%w: node %d has the wrong type", ErrTreeForm, i)
		}
		node, err := newTreeNode(n)
		if err != nil {
			return nil, fmt.Errorf("node %d: %w", i, err)
		}
		t.nodes.Set(i, slot{node: node})
	}
	t.buildIndex()
	return t, nil
}

// treeFor returns an empty tree for this number of nodes, without index.
func treeFor(s *suite.Suite, nodes uint64, maxLeaves int) (*tree, error) {
	leaves := nodes/2 + 1
	if leaves <= math.MaxUint32/2 {
		leaves = uint64(treemath.Leaves(uint32(leaves)))
	}
	if leaves > uint64(max(maxLeaves, 0)) {
		return nil, fmt.Errorf("%w: %d leaves, at most %d are allowed", ErrTreeForm, leaves, maxLeaves)
	}
	t := &tree{suite: s, changed: map[treemath.Node]struct{}{}}
	t.nodes.Resize(int(treemath.Width(uint32(leaves))))
	return t, nil
}

// buildIndex makes the index anew: of a tree that was loaded, or outgrew it.
func (t *tree) buildIndex() {
	t.index = newTreeIndex(t.leaves())
	for i := range t.nodes.Len() {
		t.index.replace(treemath.Node(i), nil, t.at(treemath.Node(i)))
	}
}

// ratchetTree returns the nodes without the blank ones at the end.
func (t *tree) ratchetTree() RatchetTree {
	nodes := make(RatchetTree, t.end())
	for i := range nodes {
		if n := t.at(treemath.Node(i)); n != nil {
			nodes[i] = n.node()
		}
	}
	return nodes
}

// end is the number of nodes without the blank ones at the end.
func (t *tree) end() int {
	end := t.nodes.Len()
	// RFC 9420, section 12.4.3.3: 1
	for end > 0 && t.nodes.At(end-1).node == nil {
		end--
	}
	return end
}

// Wire encodes the tree as a [RatchetTree], from the encodings of its nodes.
func (t *tree) Wire(c *wire.Codec) {
	nodes := make([]*treeNode, t.end())
	for i := range nodes {
		nodes[i] = t.at(treemath.Node(i))
	}
	wire.Vector(c, &nodes, func(c *wire.Codec, n **treeNode) {
		wire.Optional(c, n, func(c *wire.Codec, n *treeNode) { c.Raw(n.raw) })
	})
}

// clone returns a copy to be changed. From now on t stays as it is.
func (t *tree) clone() *tree {
	return &tree{
		suite: t.suite, nodes: t.nodes.Clone(), changed: map[treemath.Node]struct{}{},
		blankFrom: t.blankFrom, index: t.index.clone(),
	}
}

// leaves returns the number of leaves, blank ones included.
func (t *tree) leaves() uint32 { return uint32(t.nodes.Len()/2 + 1) }

func (t *tree) root() treemath.Node { return treemath.Root(t.leaves()) }

// at returns the node at x, or nil if it is blank. It has to be inside.
func (t *tree) at(x treemath.Node) *treeNode { return t.nodes.At(int(x)).node }

// noNode is a node that no tree has.
const noNode = ^treemath.Node(0)

// inside returns the node at x, or nil if it is blank or outside.
func (t *tree) inside(x treemath.Node) *treeNode {
	if int64(x) >= int64(t.nodes.Len()) {
		return nil
	}
	return t.at(x)
}

// leaf returns the leaf node at i, or nil if it is blank or outside.
func (t *tree) leaf(i LeafIndex) *LeafNode {
	if uint32(i) >= t.leaves() {
		return nil
	}
	return t.at(treemath.Leaf(uint32(i))).leaf()
}

// parent returns the parent node at x, or nil if it is blank.
func (t *tree) parent(x treemath.Node) *ParentNode { return t.at(x).parent() }

// encryptionKey returns the public key of a node that is not blank.
func (t *tree) encryptionKey(x treemath.Node) []byte { return t.at(x).encryptionKey() }

// set replaces a node, nil for a blank one, and forgets the hashes that cover it.
// Where none is known, none is known above.
func (t *tree) set(x treemath.Node, n *treeNode) {
	old := t.nodes.At(int(x))
	t.index.replace(x, old.node, n)
	t.nodes.Set(int(x), slot{node: n})
	t.changed[x] = struct{}{}
	for root := t.root(); x != root && old.hash != nil; {
		x = x.Parent()
		old = t.nodes.At(int(x))
		t.nodes.Set(int(x), slot{node: old.node})
	}
}

// setNode is set for a node that was decoded or made.
func (t *tree) setNode(x treemath.Node, n *Node) error {
	node, err := newTreeNode(n)
	if err != nil {
		return fmt.Errorf("node %d: %w", x, err)
	}
	t.set(x, node)
	return nil
}

func (t *tree) setLeaf(i LeafIndex, l *LeafNode) error {
	return t.setNode(treemath.Leaf(uint32(i)), &Node{Leaf: l})
}

// blankPath blanks the inner nodes above leaf i.
func (t *tree) blankPath(i LeafIndex) {
	for _, x := range treemath.DirectPath(uint32(i), t.leaves()) {
		if t.at(x) != nil {
			t.set(x, nil)
		}
	}
}

// nextLeaf returns the leftmost blank leaf, and extends the tree if there is
// none (RFC 9420, section 12.1.1).
func (t *tree) nextLeaf() LeafIndex {
	for ; uint32(t.blankFrom) < t.leaves(); t.blankFrom++ {
		if t.at(treemath.Leaf(uint32(t.blankFrom))) == nil {
			return t.blankFrom
		}
	}
	t.nodes.Resize(2*t.nodes.Len() + 1)
	t.buildIndex()
	return t.blankFrom
}

// add puts a new leaf at the leftmost blank place (RFC 9420, section 12.1.1).
func (t *tree) add(l *LeafNode) (LeafIndex, error) {
	i := t.nextLeaf()
	for _, x := range treemath.DirectPath(uint32(i), t.leaves()) {
		p := t.parent(x)
		if p == nil {
			continue
		}
		n := *p
		at, _ := slices.BinarySearch(p.UnmergedLeaves, i)
		n.UnmergedLeaves = slices.Insert(slices.Clone(p.UnmergedLeaves), at, i)
		if err := t.setNode(x, &Node{Parent: &n}); err != nil {
			return 0, err
		}
	}
	return i, t.setLeaf(i, l)
}

// update replaces a leaf (RFC 9420, section 12.1.2).
func (t *tree) update(i LeafIndex, l *LeafNode) error {
	t.blankPath(i)
	return t.setLeaf(i, l)
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
	for t.leaves() > 1 && t.rightHalfBlank() {
		width := int(treemath.Width(t.leaves() / 2))
		for x := width; x < t.nodes.Len(); x++ {
			if t.at(treemath.Node(x)) != nil {
				t.set(treemath.Node(x), nil)
			}
		}
		t.nodes.Resize(width)
	}
}

// rightHalfBlank reports whether no leaf of the right half is a member.
func (t *tree) rightHalfBlank() bool {
	for i := t.leaves() / 2; i < t.leaves(); i++ {
		if t.at(treemath.Leaf(i)) != nil {
			return false
		}
	}
	return true
}

// resolution returns the nodes that together cover the members below x (RFC
// 9420, section 4.1.1).
func (t *tree) resolution(x treemath.Node) []treemath.Node {
	return t.appendResolution(nil, x)
}

func (t *tree) appendResolution(to []treemath.Node, x treemath.Node) []treemath.Node {
	switch n := t.at(x); {
	case n != nil:
		to = append(to, x)
		if p := n.parent(); p != nil {
			for _, i := range p.UnmergedLeaves {
				to = append(to, treemath.Leaf(uint32(i)))
			}
		}
	case !x.IsLeaf():
		to = t.appendResolution(to, x.Left())
		to = t.appendResolution(to, x.Right())
	}
	return to
}

// A pathStep is a node of a filtered direct path.
type pathStep struct {
	node   treemath.Node
	copath treemath.Node // its child that is not on the path
	// recipients are the nodes to which the path secret of the node is encrypted: the
	// resolution of copath, without the leaves that the same Commit adds (RFC 9420,
	// section 7.5).
	recipients []treemath.Node
}

// filteredPath returns the filtered direct path of leaf i (RFC 9420, section
// 4.1.2): without the nodes whose other child covers no one.
func (t *tree) filteredPath(i LeafIndex, added map[LeafIndex]bool) []pathStep {
	path := make([]pathStep, 0, 16)
	x := treemath.Leaf(uint32(i))
	for root := t.root(); x != root; x = x.Parent() {
		sibling := x.Sibling()
		all := t.resolution(sibling)
		if len(all) == 0 {
			continue
		}
		path = append(path, pathStep{x.Parent(), sibling, slices.DeleteFunc(all, func(x treemath.Node) bool {
			// RFC 9420, sections 7.5: 2; 7.6: 1
			return x.IsLeaf() && added[LeafIndex(x.LeafIndex())]
		})})
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

// find returns the leaf that is the same octets as l. The index has to be there.
func (t *tree) find(l *LeafNode) (LeafIndex, bool) {
	want, err := l.encoded()
	if err != nil {
		return 0, false
	}
	x, ok := t.index.encryption.find(l.EncryptionKey, func(x treemath.Node) bool {
		return x.IsLeaf() && bytes.Equal(t.at(x).raw[1:], want)
	})
	return LeafIndex(x.LeafIndex()), ok
}
