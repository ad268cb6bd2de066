package secrettree

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A ratchet derives the keys of one kind of messages of one sender (RFC 9420,
// section 9.1).
type ratchet struct {
	secret  suite.Secret // of generation next
	next    uint32
	skipped map[uint32]skippedKey // of generations below next
}

type skippedKey struct{ key, nonce suite.Secret }

// derive returns the key and nonce of a generation, given its secret.
func (t *Tree) derive(secret suite.Secret, generation uint32) skippedKey {
	return skippedKey{
		key:   t.suite.DeriveTreeSecret(secret, "key", generation, t.suite.Nk()),
		nonce: t.suite.DeriveTreeSecret(secret, "nonce", generation, t.suite.Nn()),
	}
}

// forward moves on to a generation that is not yet reached, without changing
// anything before the key is consumed. start is what the ratchet's own start
// changes.
func (t *Tree) forward(id ratchetID, r *ratchet, start func(), generation uint32) (*Key, error) {
	steps := generation - r.next
	if int64(steps) > int64(t.limits.Forward) || generation == ^uint32(0) {
		return nil, ErrTooFar
	}
	secret := r.secret.Clone()
	skipped := map[uint32]skippedKey{}
	for g := r.next; g < generation; g++ {
		if int64(generation-g) <= int64(t.limits.Skipped) {
			skipped[g] = t.derive(secret, g)
		}
		next := t.suite.DeriveTreeSecret(secret, "secret", g, t.suite.Nh())
		secret.Erase()
		secret = next
	}
	k := t.derive(secret, generation)
	after := t.suite.DeriveTreeSecret(secret, "secret", generation, t.suite.Nh())
	secret.Erase()
	return &Key{generation, k.key, k.nonce, func() {
		start()
		// RFC 9420, section 9.2: 5
		r.secret.Erase()
		r.secret, r.next = after, generation+1
		for g, s := range skipped {
			r.skipped[g] = s
			t.touch(skippedRow(id, g))
		}
		t.prune(id, r)
		t.touch(ratchetRow(id))
	}}, nil
}

// prune forgets the oldest skipped keys beyond the limit.
func (t *Tree) prune(id ratchetID, r *ratchet) {
	excess := len(r.skipped) - t.limits.Skipped
	if excess <= 0 {
		return
	}
	generations := make([]uint32, 0, len(r.skipped))
	for g := range r.skipped {
		generations = append(generations, g)
	}
	slices.Sort(generations)
	for _, g := range generations[:excess] {
		t.dropSkipped(id, r, g)
	}
}

func (t *Tree) dropSkipped(id ratchetID, r *ratchet, generation uint32) {
	k := r.skipped[generation]
	k.key.Erase()
	k.nonce.Erase()
	delete(r.skipped, generation)
	t.touch(skippedRow(id, generation))
}
