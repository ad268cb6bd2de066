// Package interop plays scenarios between our MLS implementation and others, and
// shows which of them work.
//
// Every implementation is a peer that speaks the protocol of package mlspeer. A
// scenario is a script for four clients, two of each implementation; after each
// step all of them have to agree on the epoch, its members and its secrets.
package interop

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
)

// An Outcome is what became of a scenario.
type Outcome int

// The outcomes.
const (
	OK Outcome = iota
	Failed
	Unsupported // by the other implementation
)

// A Cell is one scenario with one peer, in one role and cipher suite.
type Cell struct {
	Peer     string
	Suite    uint16
	TheyOpen bool // the peer creates the group
	Scenario string
	Outcome  Outcome
	Err      error // of a failure, or what is not supported
	// Alone is how the scenario went when the peer had all the roles. It is only
	// set after a failure.
	Alone error
	// FailedAlone says that Alone is a failure, too.
	FailedAlone bool
}

// A pool keeps clients of one implementation for reuse: each scenario starts
// with "init".
type pool struct {
	name  string
	start func() (client, error)
	idle  []client
}

// take returns n clients.
func (p *pool) take(n int) ([]client, error) {
	for len(p.idle) < n {
		c, err := p.start()
		if err != nil {
			return nil, fmt.Errorf("failed to start %s: %w", p.name, err)
		}
		p.idle = append(p.idle, c)
	}
	return p.idle[:n], nil
}

// drop ends all clients: after a failure they may be in any state.
func (p *pool) drop() {
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}

// play runs one scenario. first creates the group; second may be the same pool.
func play(ctx context.Context, s scenario, id uint16, first, second *pool, firstIsTheirs, secondIsTheirs bool) error {
	need := 2
	if first == second {
		need = 4
	}
	a, err := first.take(need)
	if err != nil {
		return err
	}
	b := a[len(a)-2:]
	if first != second {
		if b, err = second.take(2); err != nil {
			return err
		}
	}
	r := roles{
		a:  &member{client: a[0], name: first.name + " 1", theirs: firstIsTheirs},
		a2: &member{client: a[1], name: first.name + " 2", theirs: firstIsTheirs},
		b:  &member{client: b[0], name: second.name + " 3", theirs: secondIsTheirs},
		b2: &member{client: b[1], name: second.name + " 4", theirs: secondIsTheirs},
	}
	w := &world{ctx: ctx, suite: id, cast: []*member{r.a, r.b, r.a2, r.b2}}
	if s.setup != nil {
		s.setup(w, r)
	}
	w.start()
	if w.err == nil {
		s.play(w, r)
	}
	if w.err != nil && !errors.Is(w.err, errUnsupported) {
		first.drop()
		second.drop()
	}
	return w.err
}

// newRandom is a generator for a history that is the same each time.
func newRandom(seed ...[]byte) *rand.Rand {
	h := sha256.New()
	for _, s := range seed {
		h.Write(s)
	}
	return rand.New(rand.NewChaCha8([32]byte(h.Sum(nil))))
}

// cell plays a scenario in one role, and, if it fails, with the peer alone.
func cell(ctx context.Context, s scenario, id uint16, ours, theirs *pool, theyOpen bool) Cell {
	c := Cell{Peer: theirs.name, Suite: id, TheyOpen: theyOpen, Scenario: s.name}
	if theyOpen {
		c.Err = play(ctx, s, id, theirs, ours, true, false)
	} else {
		c.Err = play(ctx, s, id, ours, theirs, false, true)
	}
	switch {
	case c.Err == nil:
	case errors.Is(c.Err, errUnsupported):
		c.Outcome = Unsupported
	default:
		c.Outcome = Failed
		c.Alone = play(ctx, s, id, theirs, theirs, true, true)
		c.FailedAlone = c.Alone != nil
	}
	return c
}
