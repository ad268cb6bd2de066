package mlsbench

import (
	"math/bits"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A tree is a ratchet tree whose blank nodes at the end are not there. What the
// floor needs to know about trees is written here again, from RFC 9420, section 4
// and appendix C, so that a fault of package mls does not become a fault of the
// floor.
type tree struct {
	nodes  mls.RatchetTree
	leaves uint32 // a power of two
}

func newTree(nodes *mls.RatchetTree) tree {
	n := uint32(len(*nodes)/2 + 1)
	return tree{*nodes, 1 << bits.Len32(n-1)}
}

// width is how many nodes there are, blank ones at the end included.
func (t tree) width() uint32 { return 2*t.leaves - 1 }

// depth is how many levels are above the leaves.
func (t tree) depth() int { return bits.Len32(t.leaves) - 1 }

// at returns a node, nil for a blank one.
func (t tree) at(x uint32) *mls.Node {
	if int64(x) < int64(len(t.nodes)) {
		return t.nodes[x]
	}
	return nil
}

func level(x uint32) int { return bits.TrailingZeros32(^x) }

func isLeaf(x uint32) bool { return x%2 == 0 }

func left(x uint32) uint32 { return x ^ 1<<(level(x)-1) }

func right(x uint32) uint32 { return x ^ 3<<(level(x)-1) }

// covers reports whether leaf i is x or below x.
func covers(x uint32, i mls.LeafIndex) bool {
	half := uint32(1)<<level(x) - 1
	return x-half <= 2*uint32(i) && 2*uint32(i) <= x+half
}

// A step is a node of a direct path, with its child beside the path.
type step struct{ node, copath uint32 }

// directPath returns the nodes above leaf i, from the root down to its parent.
func (t tree) directPath(i mls.LeafIndex) []step {
	var path []step
	for x := t.leaves - 1; !isLeaf(x); {
		if covers(left(x), i) {
			path, x = append(path, step{x, right(x)}), left(x)
		} else {
			path, x = append(path, step{x, left(x)}), right(x)
		}
	}
	return path
}

// filteredPath is the direct path without the nodes that have nobody on the
// other side (section 4.1.2).
func (t tree) filteredPath(i mls.LeafIndex) []step {
	return slices.DeleteFunc(t.directPath(i), func(s step) bool { return len(t.resolution(s.copath)) == 0 })
}

// resolution is that of section 4.1.1.
func (t tree) resolution(x uint32) []uint32 {
	n := t.at(x)
	switch {
	case n != nil && n.Parent != nil:
		list := []uint32{x}
		for _, i := range n.Parent.UnmergedLeaves {
			list = append(list, 2*uint32(i))
		}
		return list
	case n != nil:
		return []uint32{x}
	case isLeaf(x):
		return nil
	}
	return append(t.resolution(left(x)), t.resolution(right(x))...)
}
