package treemath

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
)

type treeMath struct {
	Leaves  uint32  `json:"n_leaves"`
	Nodes   uint32  `json:"n_nodes"`
	Root    Node    `json:"root"`
	Left    []*Node `json:"left"`
	Right   []*Node `json:"right"`
	Parent  []*Node `json:"parent"`
	Sibling []*Node `json:"sibling"`
}

func TestVectorsTreeMath(t *testing.T) {
	vectors.Run(t, "tree-math", func(t *testing.T, c treeMath) {
		if got := Width(c.Leaves); got != c.Nodes {
			t.Errorf("%d nodes, want %d", got, c.Nodes)
		}
		if got := Root(c.Leaves); got != c.Root {
			t.Errorf("root %d, want %d", got, c.Root)
		}
		check := func(what string, x Node, want *Node, defined bool, f func() Node) {
			t.Helper()
			if defined != (want != nil) {
				t.Errorf("%s of %d: defined %v, want %v", what, x, defined, want)
			} else if defined && f() != *want {
				t.Errorf("%s of %d is %d, want %d", what, x, f(), *want)
			}
		}
		for x := range Node(c.Nodes) {
			check("left", x, c.Left[x], !x.IsLeaf(), x.Left)
			check("right", x, c.Right[x], !x.IsLeaf(), x.Right)
			check("parent", x, c.Parent[x], x != c.Root, x.Parent)
			check("sibling", x, c.Sibling[x], x != c.Root, x.Sibling)
		}
	})
}

func TestSpanAndCommonAncestor(t *testing.T) {
	const n = 16
	for a := range uint32(n) {
		if p := DirectPath(a, n); len(p) != 4 || p[3] != Root(n) {
			t.Errorf("direct path of %d: %v", a, p)
		}
		for b := range uint32(n) {
			x := CommonAncestor(a, b)
			if !x.Covers(a) || !x.Covers(b) || (a != b && (x.Left().Covers(a) == x.Left().Covers(b))) {
				t.Errorf("common ancestor of %d and %d: %d", a, b, x)
			}
		}
	}
}

func TestLeavesIsPowerOfTwo(t *testing.T) {
	for n, want := range map[uint32]uint32{0: 1, 1: 1, 2: 2, 3: 4, 4: 4, 5: 8, 1025: 2048} {
		if got := Leaves(n); got != want {
			t.Errorf("Leaves(%d) = %d, want %d", n, got, want)
		}
	}
}
