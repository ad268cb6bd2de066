package mls

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
)

// verifyForm checks what RFC 9420, section 12.4.3.1, demands of the inner nodes
// of a tree that a new member receives, and that all keys are keys.
func (t *tree) verifyForm() error {
	if t.leaves() > 1 && t.rightHalfBlank() {
		return fmt.Errorf("%w: the right half has no member", ErrTreeForm)
	}
	for i := range t.nodes.Len() {
		x := treemath.Node(i)
		n := t.at(x)
		if n == nil {
			continue
		}
		key := n.encryptionKey()
		if err := t.suite.CheckHPKEKey(key); err != nil {
			return fmt.Errorf("node %d: %w", x, err)
		}
		// RFC 9420, section 12.4.3.1: 14
		if other, ok := t.withEncryptionKey(key, x); ok {
			return fmt.Errorf("%w: nodes %d and %d have the same encryption key", ErrDuplicateKey, x, other)
		}
		if p := n.parent(); p != nil {
			if err := t.verifyUnmerged(x, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifyUnmerged checks the unmerged leaves of the parent node at x.
func (t *tree) verifyUnmerged(x treemath.Node, p *ParentNode) error {
	for _, i := range p.UnmergedLeaves {
		// RFC 9420, section 12.4.3.1: 12
		if !x.Covers(uint32(i)) || t.inside(treemath.Leaf(uint32(i))) == nil {
			return fmt.Errorf("%w: unmerged leaf %d of node %d is not a member below it", ErrUnmergedLeaves, i, x)
		}
		for y := treemath.Leaf(uint32(i)).Parent(); y != x; y = y.Parent() {
			between := t.parent(y)
			if between == nil {
				continue
			}
			// RFC 9420, section 12.4.3.1: 13
			if _, ok := slices.BinarySearch(between.UnmergedLeaves, i); !ok {
				return fmt.Errorf("%w: leaf %d is unmerged at node %d, but not at node %d below it", ErrUnmergedLeaves, i, x, y)
			}
		}
	}
	return nil
}
