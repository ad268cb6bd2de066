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
	"slices"
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
	// FailedAlone says that Alone is a failure, too, and not only unsupported.
	FailedAlone bool
	// Reproduced says that the script with the peer's faults has shown them all.
	Reproduced bool
}

// A pool keeps clients of one implementation for reuse: each scenario starts
// with "init".
type pool struct {
	name  string
	start func() (client, error)
	idle  []client
}

// take returns n clients. They are told to start over by the scenario.
func (p *pool) take(n int) ([]client, error) {
	p.idle = slices.DeleteFunc(p.idle, func(c client) bool { return !c.alive() })
	for len(p.idle) < n {
		c, err := p.start()
		if err != nil {
			return nil, fmt.Errorf("failed to start %s: %w", p.name, err)
		}
		p.idle = append(p.idle, c)
	}
	return p.idle[:n], nil
}

// drop ends all clients.
func (p *pool) drop() {
	for _, c := range p.idle {
		c.close()
	}
	p.idle = nil
}

// play runs one scenario. first creates the group; second may be the same pool.
// The role only names it.
func play(ctx context.Context, s scenario, id uint16, role string, first, second *pool, firstIsTheirs, secondIsTheirs bool) error {
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
	w := &world{ctx: ctx, suite: id, role: role, cast: []*member{r.a, r.b, r.a2, r.b2}}
	w.noExternal = hasFault(first.name, "external commit") || hasFault(second.name, "external commit")
	w.keepRoot = hasFault(first.name, "empty subtree") || hasFault(second.name, "empty subtree")
	if s.setup != nil {
		s.setup(w, r)
	}
	w.start()
	if w.err == nil {
		s.play(w, r)
	}
	return w.err
}

// newRandom is a generator for a history that is the same each time.
func newRandom(seed string) *rand.Rand {
	return rand.New(rand.NewChaCha8(sha256.Sum256([]byte(seed))))
}

// cell plays a scenario in one role, and, if it fails, with the peer alone.
func cell(ctx context.Context, s scenario, id uint16, ours, theirs *pool, theyOpen bool) Cell {
	c := Cell{Peer: theirs.name, Suite: id, TheyOpen: theyOpen, Scenario: s.name}
	if theyOpen {
		c.Err = play(ctx, s, id, c.opener(), theirs, ours, true, false)
	} else {
		c.Err = play(ctx, s, id, c.opener(), ours, theirs, false, true)
	}
	switch {
	case c.Err == nil:
	case errors.Is(c.Err, errUnsupported):
		c.Outcome = Unsupported
	default:
		c.Outcome = Failed
		c.Alone = play(ctx, s, id, c.opener(), theirs, theirs, true, true)
		c.FailedAlone = c.Alone != nil && !errors.Is(c.Alone, errUnsupported)
	}
	return c
}
