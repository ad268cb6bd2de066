package secrettree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// ErrRow reports a stored row that this package did not write.
var ErrRow = errors.New("secrettree: malformed row")

// The rows of a tree are one per node, one per ratchet and one per skipped key,
// so that a message writes only what it changes:
//
//	n/<node>                           secret of a node
//	r/<leaf>/<kind>                    next generation, its secret
//	k/<leaf>/<kind>/<generation>       key and nonce of a skipped message
func nodeKey(x treemath.Node) string { return fmt.Sprintf("n/%08x", uint32(x)) }

func ratchetRow(id ratchetID) string { return fmt.Sprintf("r/%08x/%d", id.leaf, id.kind) }

func skippedRow(id ratchetID, generation uint32) string {
	return fmt.Sprintf("k/%08x/%d/%08x", id.leaf, id.kind, generation)
}

func (k *skippedKey) row() suite.Secret {
	return suite.NewSecret(slices.Concat(k.key.Bytes(), k.nonce.Bytes()))
}

// touch notes that a ratchet has changed.
func (t *Tree) touch(id ratchetID, r *ratchet) {
	b := binary.BigEndian.AppendUint32(nil, r.next)
	t.dirty[ratchetRow(id)] = suite.NewSecret(append(b, r.secret.Bytes()...))
}

// Flush calls row for every row that has changed since the last Flush, with an
// absent value for one that is gone.
func (t *Tree) Flush(row func(key string, value suite.Secret)) {
	for k, v := range t.dirty {
		row(k, v)
	}
	clear(t.dirty)
}

// Keys calls f for the keys of all rows that the tree has, flushed or not.
func (t *Tree) Keys(f func(key string)) {
	for x := range t.nodes {
		f(nodeKey(x))
	}
	for id, r := range t.ratchets {
		f(ratchetRow(id))
		for g := range r.skipped {
			f(skippedRow(id, g))
		}
	}
}

// Erase overwrites all secrets of the tree.
func (t *Tree) Erase() {
	for _, s := range t.nodes {
		s.Erase()
	}
	for _, r := range t.ratchets {
		r.secret.Erase()
		for _, k := range r.skipped {
			k.key.Erase()
			k.nonce.Erase()
		}
	}
	clear(t.nodes)
	clear(t.ratchets)
}

// Empty returns a tree without secrets, to be filled by [Tree.Load].
func Empty(s *suite.Suite, leaves uint32, limits Limits) *Tree { return newTree(s, leaves, limits) }

// Load puts one row back that Flush has given.
func (t *Tree) Load(key string, value suite.Secret) error {
	var leaf, generation, node uint32
	var kind Kind
	b := value.Bytes()
	switch {
	case scan(key, "n/%08x", &node) && nodeKey(treemath.Node(node)) == key:
		if node >= treemath.Width(t.leaves) || len(b) != t.suite.Nh() {
			return fmt.Errorf("%w %s", ErrRow, key)
		}
		t.nodes[treemath.Node(node)] = value.Clone()
		return nil
	case scan(key, "r/%08x/%d", &leaf, &kind) && ratchetRow(ratchetID{leaf, kind}) == key:
		if kind > Application || leaf >= t.leaves || len(b) != 4+t.suite.Nh() {
			return fmt.Errorf("%w %s", ErrRow, key)
		}
		r := t.loading(ratchetID{leaf, kind})
		r.next, r.secret = binary.BigEndian.Uint32(b), suite.NewSecret(b[4:])
		return nil
	case scan(key, "k/%08x/%d/%08x", &leaf, &kind, &generation) && skippedRow(ratchetID{leaf, kind}, generation) == key:
		nk := t.suite.Nk()
		if kind > Application || leaf >= t.leaves || len(b) != nk+t.suite.Nn() {
			return fmt.Errorf("%w %s", ErrRow, key)
		}
		t.loading(ratchetID{leaf, kind}).skipped[generation] = skippedKey{suite.NewSecret(b[:nk]), suite.NewSecret(b[nk:])}
		return nil
	}
	return fmt.Errorf("%w %s", ErrRow, key)
}

// Check fails if a loaded tree has a ratchet without its row.
func (t *Tree) Check() error {
	for id, r := range t.ratchets {
		if r.secret.IsZero() {
			return fmt.Errorf("%w: %s is missing", ErrRow, ratchetRow(id))
		}
	}
	return nil
}

func (t *Tree) loading(id ratchetID) *ratchet {
	r, ok := t.ratchets[id]
	if !ok {
		r = &ratchet{skipped: map[uint32]skippedKey{}}
		t.ratchets[id] = r
	}
	return r
}

func scan(s, format string, to ...any) bool {
	n, err := fmt.Sscanf(s, format, to...)
	return err == nil && n == len(to)
}
