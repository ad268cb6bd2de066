package mls

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
)

// Detach forgets the private keys of an own leaf, which stays in the group: for an owner
// who is gone and could not leave. From then on the leaf is one like those of others. Its
// proposals stay pending, and a pending commit of it is dropped. It fails with [ErrNotOwn],
// and with [ErrLastOwn] for the only own leaf: then there is nothing to keep, and whoever
// has the rows of the group deletes them all.
//
// What message keys are derived from is the group's, and stays for the other own leaves.
func (g *Group) Detach(i LeafIndex) error {
	if _, ok := g.own[i]; !ok {
		return fmt.Errorf("%w: %d", ErrNotOwn, i)
	}
	if len(g.own) == 1 {
		return fmt.Errorf("%w: %d", ErrLastOwn, i)
	}
	if g.pending != nil && g.pending.public.From == i {
		g.dropPending()
	}
	g.dropOwn(i)
	for ref, u := range g.updates {
		if u.leaf != i {
			continue
		}
		delete(g.updates, ref)
		g.journal.del(updateRow(ProposalRef(ref)))
		if g.pending != nil {
			g.pending.next = nil // it may bring the leaf's new keys
		}
	}
	own := g.OwnLeaves()
	for x := range g.keys {
		if x.Covers(uint32(i)) && !slices.ContainsFunc(own, func(j LeafIndex) bool { return g.merged(x, j) }) {
			g.dropKey(x)
		}
	}
	return nil
}

// merged reports whether a leaf has the private key of a node: it is the leaf, or it is
// below the node and not unmerged there (RFC 9420, section 4.2).
func (g *Group) merged(x treemath.Node, i LeafIndex) bool {
	if !x.Covers(uint32(i)) {
		return false
	}
	n := g.state.tree.inside(x)
	return n == nil || n.isLeaf() || !slices.Contains(n.parent().UnmergedLeaves, i)
}
