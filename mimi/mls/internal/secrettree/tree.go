// Package secrettree gives out the message keys of one epoch (RFC 9420, section
// 9), each at most once.
package secrettree

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// The ways in which a key is not available.
var (
	// ErrConsumed reports a key that was used, or that is too old to be kept.
	ErrConsumed = errors.New("secrettree: message key is not available any more")
	// ErrTooFar reports a generation so far ahead that deriving its key is
	// refused.
	ErrTooFar = errors.New("secrettree: generation is too far ahead")
	// ErrNoLeaf reports a leaf outside of the tree.
	ErrNoLeaf = errors.New("secrettree: no such leaf")
)

// A Kind selects one of the two ratchets of a leaf.
type Kind uint8

// The ratchets of a leaf.
const (
	Handshake Kind = iota
	Application
)

func (k Kind) label() string {
	if k == Handshake {
		return "handshake"
	}
	return "application"
}

// Limits bound what a sender can make a receiver store and compute.
type Limits struct {
	Skipped int // keys kept per ratchet for messages that come late
	Forward int // generations a ratchet moves at once
}

// A Tree is the secret tree of one epoch with its ratchets. Only unconsumed
// secrets are in it.
type Tree struct {
	suite    *suite.Suite
	leaves   uint32
	limits   Limits
	nodes    map[treemath.Node]suite.Secret
	ratchets map[ratchetID]*ratchet
	dirty    map[row]struct{} // rows that have changed since Flush, or are gone
}

type ratchetID struct {
	leaf uint32
	kind Kind
}

// New grows a tree with this number of leaves, a power of two, from
// encryption_secret, which the tree takes over.
func New(s *suite.Suite, encryption suite.Secret, leaves uint32, limits Limits) *Tree {
	t := newTree(s, leaves, limits)
	t.setNode(treemath.Root(leaves), encryption)
	return t
}

func newTree(s *suite.Suite, leaves uint32, limits Limits) *Tree {
	return &Tree{
		suite: s, leaves: leaves, limits: limits,
		nodes:    map[treemath.Node]suite.Secret{},
		ratchets: map[ratchetID]*ratchet{},
		dirty:    map[row]struct{}{},
	}
}

// Leaves returns the number of leaves.
func (t *Tree) Leaves() uint32 { return t.leaves }

func (t *Tree) setNode(x treemath.Node, secret suite.Secret) {
	t.nodes[x] = secret
	t.touch(nodeRow(x))
}

func (t *Tree) dropNode(x treemath.Node) {
	secret := t.nodes[x]
	secret.Erase()
	delete(t.nodes, x)
	t.touch(nodeRow(x))
}

// leafSecret walks down to a leaf. It returns the secrets beside the way, and
// the node from which the walk began, and changes nothing.
func (t *Tree) leafSecret(leaf uint32) (secret suite.Secret, beside []nodeSecret, from treemath.Node, err error) {
	from = treemath.Leaf(leaf)
	root := treemath.Root(t.leaves)
	for {
		if s, ok := t.nodes[from]; ok {
			secret = s.Clone()
			break
		}
		if from == root {
			return suite.Secret{}, nil, 0, ErrConsumed
		}
		from = from.Parent()
	}
	for x := from; !x.IsLeaf(); {
		left := t.suite.ExpandWithLabel(secret, "tree", []byte("left"), t.suite.Nh())
		right := t.suite.ExpandWithLabel(secret, "tree", []byte("right"), t.suite.Nh())
		secret.Erase()
		if x.Left().Covers(leaf) {
			secret, beside, x = left, append(beside, nodeSecret{x.Right(), right}), x.Left()
		} else {
			secret, beside, x = right, append(beside, nodeSecret{x.Left(), left}), x.Right()
		}
	}
	return secret, beside, from, nil
}

// Take returns the secret of a leaf itself and consumes it: this is the exporter
// tree of draft-ietf-mls-extensions-09, section "Exported Secrets".
func (t *Tree) Take(leaf uint32) (suite.Secret, error) {
	if leaf >= t.leaves {
		return suite.Secret{}, ErrNoLeaf
	}
	secret, beside, from, err := t.leafSecret(leaf)
	if err != nil {
		return suite.Secret{}, err
	}
	t.settle(beside, from)
	return secret, nil
}

// A nodeSecret is the secret of a node.
type nodeSecret struct {
	node   treemath.Node
	secret suite.Secret
}

func (t *Tree) settle(beside []nodeSecret, from treemath.Node) {
	// RFC 9420, section 9.2: 4
	t.dropNode(from)
	for _, s := range beside {
		t.setNode(s.node, s.secret)
	}
}

// A Key is a key and nonce for one message. Nothing has changed in the tree
// until [Key.Consume].
type Key struct {
	Generation uint32
	Key        suite.Secret
	Nonce      suite.Secret

	consume func()
}

// Consume makes the key unavailable for ever, with everything it could be
// derived from, and erases it.
func (k *Key) Consume() {
	k.consume()
	k.Key.Erase()
	k.Nonce.Erase()
}

// state returns the ratchet of a leaf: the one at work, or a new one and what
// its start changes in the tree.
func (t *Tree) state(id ratchetID) (*ratchet, func(), error) {
	if id.leaf >= t.leaves {
		return nil, nil, fmt.Errorf("%w: %d", ErrNoLeaf, id.leaf)
	}
	if r, ok := t.ratchets[id]; ok {
		return r, func() {}, nil
	}
	secret, beside, from, err := t.leafSecret(id.leaf)
	if err != nil {
		return nil, nil, err
	}
	defer secret.Erase()
	both := [2]*ratchet{}
	for _, kind := range []Kind{Handshake, Application} {
		both[kind] = &ratchet{
			secret:  t.suite.ExpandWithLabel(secret, kind.label(), nil, t.suite.Nh()),
			skipped: map[uint32]skippedKey{},
		}
	}
	return both[id.kind], func() {
		t.settle(beside, from)
		for kind, r := range both {
			other := ratchetID{id.leaf, Kind(kind)}
			t.ratchets[other] = r
			t.touch(ratchetRow(other))
		}
	}, nil
}

// Next returns the next key for sending.
func (t *Tree) Next(leaf uint32, kind Kind) (*Key, error) {
	r, start, err := t.state(ratchetID{leaf, kind})
	if err != nil {
		return nil, err
	}
	return t.forward(ratchetID{leaf, kind}, r, start, r.next)
}

// Get returns the key of one generation for receiving. Whoever opened the
// message with it, and found it authentic, consumes it.
func (t *Tree) Get(leaf uint32, kind Kind, generation uint32) (*Key, error) {
	id := ratchetID{leaf, kind}
	r, start, err := t.state(id)
	if err != nil {
		return nil, err
	}
	if generation >= r.next {
		return t.forward(id, r, start, generation)
	}
	k, ok := r.skipped[generation]
	// RFC 9420, sections 9.1: 1; 9.2: 6
	if !ok {
		return nil, ErrConsumed
	}
	return &Key{generation, k.key.Clone(), k.nonce.Clone(), func() { t.dropSkipped(id, r, generation) }}, nil
}
