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
type row struct {
	table      byte
	at         uint32 // node or leaf
	kind       Kind
	generation uint32
}

func nodeRow(x treemath.Node) row { return row{table: 'n', at: uint32(x)} }

func ratchetRow(id ratchetID) row { return row{table: 'r', at: id.leaf, kind: id.kind} }

func skippedRow(id ratchetID, generation uint32) row { return row{'k', id.leaf, id.kind, generation} }

// String is the key of the row.
func (r row) String() string {
	b := appendHex(append(make([]byte, 0, 24), r.table, '/'), r.at)
	if r.table != 'n' {
		b = append(b, '/', '0'+byte(r.kind))
	}
	if r.table == 'k' {
		b = appendHex(append(b, '/'), r.generation)
	}
	return string(b)
}

func appendHex(b []byte, v uint32) []byte {
	for shift := 28; shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[v>>shift&0xf])
	}
	return b
}

// touch notes that a row has changed, or is gone.
func (t *Tree) touch(r row) { t.dirty[r] = struct{}{} }

// value is what is stored in a row, absent if it is gone.
func (t *Tree) value(r row) suite.Secret {
	if r.table == 'n' {
		return t.nodes[treemath.Node(r.at)]
	}
	x, ok := t.ratchets[ratchetID{r.at, r.kind}]
	if !ok {
		return suite.Secret{}
	}
	if r.table == 'r' {
		b := binary.BigEndian.AppendUint32(make([]byte, 0, 64), x.next)
		return suite.NewSecret(append(b, x.secret.Bytes()...))
	}
	k, ok := x.skipped[r.generation]
	if !ok {
		return suite.Secret{}
	}
	return suite.NewSecret(slices.Concat(k.key.Bytes(), k.nonce.Bytes()))
}

// Flush calls f for every row that has changed since the last Flush, with an
// absent value for one that is gone.
func (t *Tree) Flush(f func(key string, value suite.Secret)) {
	for r := range t.dirty {
		f(r.String(), t.value(r))
	}
	if len(t.dirty) > 0 {
		t.dirty = map[row]struct{}{} // a map keeps the size it once had
	}
}

// Keys calls f for the keys of all rows that the tree has, flushed or not.
func (t *Tree) Keys(f func(key string)) {
	for x := range t.nodes {
		f(nodeRow(x).String())
	}
	for id, r := range t.ratchets {
		f(ratchetRow(id).String())
		for g := range r.skipped {
			f(skippedRow(id, g).String())
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
	case scan(key, "n/%08x", &node) && nodeRow(treemath.Node(node)).String() == key:
		if node >= treemath.Width(t.leaves) || len(b) != t.suite.Nh() {
			return fmt.Errorf("%w %s", ErrRow, key)
		}
		t.nodes[treemath.Node(node)] = value.Clone()
		return nil
	case scan(key, "r/%08x/%d", &leaf, &kind) && ratchetRow(ratchetID{leaf, kind}).String() == key:
		if kind > Application || leaf >= t.leaves || len(b) != 4+t.suite.Nh() {
			return fmt.Errorf("%w %s", ErrRow, key)
		}
		r := t.loading(ratchetID{leaf, kind})
		r.next, r.secret = binary.BigEndian.Uint32(b), suite.NewSecret(b[4:])
		return nil
	case scan(key, "k/%08x/%d/%08x", &leaf, &kind, &generation) && skippedRow(ratchetID{leaf, kind}, generation).String() == key:
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
			return fmt.Errorf("%w: %v is missing", ErrRow, ratchetRow(id))
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
