// Package mlsbench measures what MLS operations cost at several sizes of groups,
// and compares that with the cryptography that RFC 9420 requires for them, and
// with other implementations.
package mlsbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// Options say what Run measures.
type Options struct {
	Sizes      []int
	Suites     []suite.ID
	Peers      []string      // other implementations
	PeerSizes  []int         // of the groups they are in
	Operations []string      // all, if there are none
	Budget     time.Duration // for each operation
	Floor      bool          // list what each floor consists of
	JSON       string        // a file for the figures, or nothing
	CPUProfile string        // a folder for profiles, or nothing
}

// A primitive is measured several times, each time so much shorter than an
// operation.
const (
	unitRounds = 4
	unitShare  = 20
)

// The group with leaves as large as those of the profile, and the numbers of own
// leaves that one group is measured with.
const profileSize = 1000

var ownLeaves = []int{1, 10, 1000}

// A bench is one run.
type bench struct {
	Options
	out     io.Writer
	units   unitCosts // the lowest so far
	prices  *prices
	results []result
}

// Run measures and writes tables.
func Run(ctx context.Context, o Options, out io.Writer) error {
	b := &bench{Options: o, out: out}
	if o.CPUProfile != "" {
		if err := os.MkdirAll(o.CPUProfile, 0o755); err != nil {
			return err
		}
	}
	for _, id := range o.Suites {
		if err := b.suite(ctx, id); err != nil {
			return err
		}
		if len(o.Peers) == 0 {
			continue
		}
		if err := b.compare(ctx, id); err != nil {
			return err
		}
	}
	return b.writeJSON()
}

func (b *bench) suite(ctx context.Context, id suite.ID) error {
	if err := checkSuite(id); err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%v, %s, %d CPUs\n", id, runtime.Version(), runtime.NumCPU())
	b.units = unitCosts{}
	for range unitRounds {
		if err := b.measureUnits(id); err != nil {
			return err
		}
	}
	b.writePrices()
	for _, size := range b.Sizes {
		for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
			p := mlstest.LargeParams{Suite: id, Size: size, Shape: shape}
			if shape == mlstest.Filled && size == slices.Max(b.Sizes) {
				p.Own = ownFor(size)
			}
			if err := b.group(ctx, p); err != nil {
				return err
			}
		}
	}
	if !slices.Contains(b.Sizes, profileSize) {
		return nil
	}
	for _, shape := range []mlstest.Shape{mlstest.Fresh, mlstest.Filled} {
		if err := b.group(ctx, mlstest.LargeParams{Suite: id, Size: profileSize, Shape: shape, Profile: true}); err != nil {
			return err
		}
	}
	return nil
}

// measureUnits measures the primitives, and keeps the lowest costs of this run.
func (b *bench) measureUnits(id suite.ID) error {
	units, err := measureUnits(id, b.Budget/unitShare)
	if err != nil {
		return err
	}
	b.units.lower(units)
	b.prices = b.units.prices()
	return nil
}

// ownFor returns those numbers of own leaves that a group of this size has room
// for.
func ownFor(size int) []int {
	return slices.DeleteFunc(slices.Clone(ownLeaves), func(own int) bool { return own > 1 && own > size/5 })
}

// group measures one group.
func (b *bench) group(ctx context.Context, p mlstest.LargeParams) error {
	p.Now = time.Now
	p.Progress = b.progress()
	began := time.Now()
	l, err := mlstest.NewLarge(ctx, p)
	if err != nil {
		return fmt.Errorf("group of %d, %s: %w", p.Size, p.Shape, err)
	}
	b.writeHead(p, time.Since(began))
	floors, err := sampleFloors(ctx, l, l.Members[0])
	if err != nil {
		return err
	}
	for _, o := range l.Operations(l.Members[0]) {
		if !b.wanted(o.Name) {
			continue
		}
		if err := b.operation(ctx, result{Suite: uint16(p.Suite), Size: p.Size, Tree: p.Shape, Profile: p.Profile, Own: 1, Op: o.Name}, o, floors[o.Name]); err != nil {
			return err
		}
	}
	if len(p.Own) > 1 {
		if err := b.own(ctx, l); err != nil {
			return err
		}
	}
	if p.Profile && p.Shape == mlstest.Filled && len(b.Operations) == 0 {
		return b.memory(ctx, l)
	}
	return nil
}

// operation measures one operation and writes its row.
func (b *bench) operation(ctx context.Context, r result, o mlstest.Operation, f floor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stop, err := b.profile(&r)
	if err != nil {
		return err
	}
	got, err := measure(ctx, o, b.Budget, b.CPUProfile != "")
	if err := errors.Join(err, stop()); err != nil {
		return fmt.Errorf("%s, %d members, %s: %w", o.Name, r.Size, r.Tree, err)
	}
	r.set(got, f, b.prices)
	b.results = append(b.results, r)
	b.writeRow(&r)
	return nil
}

// profile starts a CPU profile, if there is to be one.
func (b *bench) profile(r *result) (stop func() error, err error) {
	if b.CPUProfile == "" {
		return func() error { return nil }, nil
	}
	name := fmt.Sprintf("%s-own%d-%s.pprof", r.group(), r.Own, strings.NewReplacer(" ", "-", ",", "", "+", "-").Replace(r.Op))
	f, err := os.Create(filepath.Join(b.CPUProfile, name))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return f.Close()
	}, nil
}

// wanted reports whether an operation was asked for.
func (b *bench) wanted(op string) bool {
	return len(b.Operations) == 0 || slices.Contains(b.Operations, op)
}

// ownOps are the operations that could depend on the number of own leaves.
var ownOps = []string{mlstest.OpProcess, mlstest.OpProtect, mlstest.OpUnprotect, mlstest.OpSaveCommit, mlstest.OpSaveProtect}

// own measures the same operations at nodes with few and many own leaves in one
// group.
func (b *bench) own(ctx context.Context, l *mlstest.Large) error {
	var names []string
	table := map[string][]result{}
	for i, m := range l.Members {
		own := l.Own[i]
		for _, o := range l.Operations(m) {
			if !slices.Contains(ownOps, o.Name) || !b.wanted(o.Name) {
				continue
			}
			got, err := measure(ctx, o, b.Budget, false)
			if err != nil {
				return fmt.Errorf("%s with %d own leaves: %w", o.Name, own, err)
			}
			r := result{Suite: uint16(l.Suite), Size: l.Size, Tree: l.Shape, Own: own, Op: o.Name}
			r.set(got, nil, b.prices)
			if i == 0 {
				names = append(names, o.Name)
			} else {
				b.results = append(b.results, r)
			}
			table[o.Name] = append(table[o.Name], r)
		}
	}
	b.writeOwn(l, names, table)
	return nil
}
