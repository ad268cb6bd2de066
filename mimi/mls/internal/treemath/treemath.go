// Package treemath computes relations between the nodes of an array-based tree
// (RFC 9420, appendix C). A tree always has a power of two of leaves.
package treemath

import "math/bits"

// A Node is an index into the array: leaf i is node 2*i, inner nodes are odd.
type Node uint32

// Leaf returns the node of leaf i.
func Leaf(i uint32) Node { return Node(2 * i) }

// IsLeaf reports whether x is a leaf.
func (x Node) IsLeaf() bool { return x&1 == 0 }

// LeafIndex returns the position of x among the leaves, if it is one.
func (x Node) LeafIndex() uint32 { return uint32(x) / 2 }

// Level returns the height of x above the leaves.
func (x Node) Level() int { return bits.TrailingZeros32(^uint32(x)) }

// Width returns the number of nodes of a tree with n leaves.
func Width(n uint32) uint32 {
	if n == 0 {
		return 0
	}
	return 2*n - 1
}

// Leaves returns the smallest power of two that is at least n, and 1 for 0.
func Leaves(n uint32) uint32 {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len32(n-1)
}

// Root returns the root of a tree with n leaves, a power of two.
func Root(n uint32) Node { return Node(n - 1) }

// Left returns the left child of an inner node.
func (x Node) Left() Node { return x ^ (1 << (x.Level() - 1)) }

// Right returns the right child of an inner node.
func (x Node) Right() Node { return x ^ (3 << (x.Level() - 1)) }

// Parent returns the parent of x, which must not be the root.
func (x Node) Parent() Node {
	k := x.Level()
	b := (x >> (k + 1)) & 1
	return (x | (1 << k)) ^ (b << (k + 1))
}

// Sibling returns the other child of the parent of x, which must not be the
// root.
func (x Node) Sibling() Node {
	p := x.Parent()
	if x < p {
		return p.Right()
	}
	return p.Left()
}

// Span returns the first leaf below x and the first one behind.
func (x Node) Span() (from, to uint32) {
	half := uint32(1) << x.Level()
	first := (uint32(x) + 1 - half) / 2
	return first, first + half
}

// Covers reports whether leaf i is x or below x.
func (x Node) Covers(i uint32) bool {
	from, to := x.Span()
	return from <= i && i < to
}

// DirectPath returns the ancestors of leaf i in a tree with n leaves, from its
// parent to the root.
func DirectPath(i, n uint32) []Node {
	var path []Node
	for x, root := Leaf(i), Root(n); x != root; {
		x = x.Parent()
		path = append(path, x)
	}
	return path
}

// CommonAncestor returns the lowest node above both leaves.
func CommonAncestor(a, b uint32) Node {
	x := Leaf(a)
	for !x.Covers(b) {
		x = x.Parent()
	}
	return x
}
