package mlsbench

import (
	"context"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/interop"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// inside marks operations with the tree inside the Welcome or GroupInfo.
const inside = ", tree inside"

// comparedOps are the operations of the comparison, in order.
var comparedOps = []string{
	mlstest.OpJoin, mlstest.OpJoin + inside, mlstest.OpProcess, mlstest.OpAddCommit, mlstest.OpAddCommit + inside,
	mlstest.OpExternalJoin, mlstest.OpExternalJoin + inside, mlstest.OpProtect, mlstest.OpUnprotect,
}

// A guest is the client of some implementation in a large group. It collects how
// long its library took.
type guest struct {
	l     *mlstest.Large
	peer  *interop.Measured
	times map[string][]int64
	// reasons say why there are no times of an operation.
	reasons map[string]error
	names   int
}

func newGuest(l *mlstest.Large, peer *interop.Measured) *guest {
	return &guest{l: l, peer: peer, times: map[string][]int64{}, reasons: map[string]error{}}
}

// do makes a request that belongs to an operation, and notes its time or why it
// failed.
func (g *guest) do(ctx context.Context, op, request string, params any) (*mlspeer.Answer, bool) {
	a, err := g.peer.Ask(ctx, request, params)
	if err != nil {
		g.reasons[op] = err
		return nil, false
	}
	g.times[op] = append(g.times[op], a.NS)
	return a, true
}

// start makes a new client of the peer.
func (g *guest) start(ctx context.Context) error {
	g.names++
	_, err := g.peer.Ask(ctx, "init", mlspeer.Init{
		Suite: uint16(g.l.Suite), Identity: fmt.Appendf(nil, "guest %s %d", g.peer.Name, g.names), PublicHandshake: true,
	})
	return err
}

// round lets a new client do everything, with the tree inside of messages or
// beside them. What the peer cannot do is noted, and ends the round if the rest
// depends on it. An error is one of ours.
func (g *guest) round(ctx context.Context, inBand bool, repeat int) error {
	suffix := ""
	if inBand {
		suffix = inside
	}
	if err := g.start(ctx); err != nil {
		g.reasons[mlstest.OpJoin+suffix] = err
		return nil
	}
	joined, err := g.join(ctx, mlstest.OpJoin+suffix, inBand)
	if err != nil {
		return err
	}
	if joined {
		if err := g.stay(ctx, repeat); err != nil {
			return err
		}
		if err := g.add(ctx, mlstest.OpAddCommit+suffix, inBand); err != nil {
			return err
		}
	}
	return g.external(ctx, mlstest.OpExternalJoin+suffix, inBand)
}

// join lets the client join, and commit where that completes the tree.
func (g *guest) join(ctx context.Context, op string, inBand bool) (bool, error) {
	kp, err := g.peer.Ask(ctx, "keypackage", mlspeer.KeyPackage{})
	if err != nil {
		g.reasons[op] = err
		return false, nil
	}
	var m mls.MLSMessage
	if err := mls.Unmarshal(kp.KeyPackage, &m); err != nil {
		return false, err
	}
	welcome, tree, err := g.l.Seat(ctx, m.KeyPackage, inBand)
	if err != nil {
		return false, err
	}
	if _, ok := g.do(ctx, op, "join", mlspeer.Join{Welcome: welcome, Tree: tree}); !ok {
		return false, nil
	}
	if g.l.Shape == mlstest.Fresh {
		return true, nil
	}
	a, err := g.peer.Ask(ctx, "commit", mlspeer.Commit{})
	if err == nil {
		err = g.l.Accept(ctx, a.Commit)
	}
	if err != nil {
		g.reasons[mlstest.OpProcess] = err
	}
	return err == nil, nil
}

// stay processes commits of others, and sends and receives messages.
func (g *guest) stay(ctx context.Context, repeat int) error {
	for range repeat {
		m, err := g.l.Advance(ctx)
		if err != nil {
			return err
		}
		if _, ok := g.do(ctx, mlstest.OpProcess, "process", mlspeer.Process{Msg: m}); !ok {
			return nil
		}
	}
	// The first message of a sender in an epoch is not counted.
	text := make([]byte, mlstest.TextSize)
	a, err := g.peer.Ask(ctx, "protect", mlspeer.Protect{Data: text})
	if err != nil {
		g.reasons[mlstest.OpProtect] = err
		return nil
	}
	if err := g.l.Accept(ctx, a.Msg); err != nil {
		return err
	}
	m, err := g.l.Say()
	if err != nil {
		return err
	}
	if _, err := g.peer.Ask(ctx, "process", mlspeer.Process{Msg: m}); err != nil {
		g.reasons[mlstest.OpUnprotect] = err
		return nil
	}
	for range 10 * repeat {
		g.do(ctx, mlstest.OpProtect, "protect", mlspeer.Protect{Data: text})
		if m, err = g.l.Say(); err != nil {
			return err
		}
		g.do(ctx, mlstest.OpUnprotect, "process", mlspeer.Process{Msg: m})
	}
	return nil
}

// add lets the client add somebody.
func (g *guest) add(ctx context.Context, op string, inBand bool) error {
	keys, err := g.l.NewKeyPackage()
	if err != nil {
		return err
	}
	kp, err := mls.Marshal(&mls.MLSMessage{KeyPackage: &keys.KeyPackage})
	if err != nil {
		return err
	}
	if a, ok := g.do(ctx, op, "commit", mlspeer.Commit{Add: []mlspeer.Hex{kp}, Tree: inBand}); ok {
		return g.l.Accept(ctx, a.Commit)
	}
	return nil
}

// external lets a new client make an external Commit, which nobody gets.
func (g *guest) external(ctx context.Context, op string, inBand bool) error {
	info, tree, err := g.l.Info(inBand)
	if err != nil {
		return err
	}
	if err := g.start(ctx); err != nil {
		g.reasons[op] = err
		return nil
	}
	g.do(ctx, op, "external_join", mlspeer.ExternalJoin{GroupInfo: info, Tree: tree})
	return nil
}

// median returns the time in the middle, and whether there is one.
func (g *guest) median(op string) (float64, bool) {
	times := slices.Sorted(slices.Values(g.times[op]))
	if len(times) == 0 {
		return 0, false
	}
	return float64(times[len(times)/2]), true
}
