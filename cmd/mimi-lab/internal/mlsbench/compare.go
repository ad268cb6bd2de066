package mlsbench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/interop"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// startPeers builds and starts all clients of the comparison, ours first. Those
// that cannot be built are left out, and that is said.
func (b *bench) startPeers(ctx context.Context) ([]*interop.Measured, error) {
	ours, err := interop.MeasureOurs()
	if err != nil {
		return nil, err
	}
	peers := []*interop.Measured{ours}
	for _, name := range b.Peers {
		fmt.Fprintf(b.out, "building %s, optimised; the first time takes minutes\n", name)
		p, err := interop.Measure(ctx, name)
		if err != nil {
			fmt.Fprintf(b.out, "  %v\n", err)
			continue
		}
		peers = append(peers, p)
	}
	return peers, nil
}

// compare measures other implementations in the place of one member.
func (b *bench) compare(ctx context.Context, id suite.ID) error {
	peers, err := b.startPeers(ctx)
	defer func() {
		for _, p := range peers {
			p.Close()
		}
	}()
	if err != nil {
		return err
	}
	return b.comparePeers(ctx, id, peers)
}

func (b *bench) comparePeers(ctx context.Context, id suite.ID, peers []*interop.Measured) error {
	reasons := &reasonList{}
	for _, size := range b.PeerSizes {
		for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
			l, err := mlstest.NewLarge(ctx, mlstest.LargeParams{
				Suite: id, Size: size, Shape: shape, Own: []int{}, Now: time.Now, Progress: b.progress(),
			})
			if err != nil {
				return err
			}
			guests, err := b.comparedGuests(ctx, l, peers)
			if err != nil {
				return fmt.Errorf("%d members, %s: %w", size, shape, err)
			}
			b.writeComparison(l, guests, reasons)
		}
	}
	reasons.write(b)
	return nil
}

// comparedGuests lets all peers into a group, in turn: so the machine is as busy
// with other things for one as for the other.
func (b *bench) comparedGuests(ctx context.Context, l *mlstest.Large, peers []*interop.Measured) ([]*guest, error) {
	guests := make([]*guest, len(peers))
	for i, p := range peers {
		guests[i] = newGuest(l, p)
	}
	progress := b.progress()
	rounds, repeat := b.effort(l.Size)
	for i := range rounds {
		for j, g := range guests {
			progress(g.peer.Name, i, rounds)
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := g.round(ctx, i%2 == 1, repeat); err != nil {
				return nil, fmt.Errorf("%s: %w", peers[j].Name, err)
			}
		}
	}
	return guests, nil
}

// effort says how often a guest joins, each time with one kind of Welcome, and
// how many commits it processes then.
func (b *bench) effort(size int) (rounds, repeat int) {
	switch {
	case b.Budget < 50*time.Millisecond:
		return 2, 1
	case size <= 100:
		return 10, 10
	case size <= 1000:
		return 6, 5
	default:
		return 4, 2
	}
}

// writeComparison writes a line for each operation, and a column for each peer.
func (b *bench) writeComparison(l *mlstest.Large, guests []*guest, reasons *reasonList) {
	fmt.Fprintf(b.out, "\n%d members, %s tree: time within the library\n%-28s", l.Size, l.Shape, "")
	for _, g := range guests {
		fmt.Fprintf(b.out, "  %10s", g.peer.Name)
	}
	fmt.Fprintf(b.out, "  %s\n", "fastest")
	for _, op := range comparedOps {
		fmt.Fprintf(b.out, "%-28s", op)
		times := make([]float64, len(guests))
		for i, g := range guests {
			v, ok := g.median(op)
			if !ok {
				fmt.Fprintf(b.out, "  %10s", "-")
				reasons.add(g, op)
				continue
			}
			times[i] = v
			fmt.Fprintf(b.out, "  %10s", ns(v))
			b.results = append(b.results, result{
				Suite: uint16(l.Suite), Size: l.Size, Tree: l.Shape, Own: 1, Op: op, Peer: g.peer.Name, Runs: len(g.times[op]), Wall: v,
			})
		}
		fmt.Fprintf(b.out, "  %s\n", ahead(guests, times))
	}
}

// ahead says who is the fastest: by how much before the next one, if we are, and
// else before us.
func ahead(guests []*guest, times []float64) string {
	best := -1
	for i, v := range times {
		if v > 0 && (best < 0 || v < times[best]) {
			best = i
		}
	}
	if best < 0 {
		return "-"
	}
	next := times[0]
	if best == 0 {
		next = 0
		for _, v := range times[1:] {
			if v > 0 && (next == 0 || v < next) {
				next = v
			}
		}
	}
	if next == 0 {
		return guests[best].peer.Name
	}
	return fmt.Sprintf("%s, %.1f times", guests[best].peer.Name, next/times[best])
}

// A reasonList has why peers cannot do something: each reason once.
type reasonList struct{ lines []string }

func (r *reasonList) add(g *guest, op string) {
	err := g.reasons[op]
	if err == nil {
		return // something before it failed, and has its own reason
	}
	text := strings.Join(strings.Fields(err.Error()), " ")
	line := fmt.Sprintf("%s, %s: %.200s", g.peer.Name, op, text)
	if !slices.Contains(r.lines, line) {
		r.lines = append(r.lines, line)
	}
}

func (r *reasonList) write(b *bench) {
	if len(r.lines) > 0 {
		fmt.Fprintf(b.out, "\nWhat is missing:\n  %s\n", strings.Join(r.lines, "\n  "))
	}
}
