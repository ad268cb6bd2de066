//go:build lab

package privacy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Options say what is shown and where it goes.
type Options struct {
	// Seed of all names; 0 for one by chance, which is printed.
	Seed uint64
	// Only has the properties that are asked for, such as "T2"; empty for all.
	Only []string
	// Dir receives the recordings, if it is not empty.
	Dir string
}

// A finding is what a search has found.
type finding struct {
	// hits say what was found: the opposite of what is promised.
	hits []string
	// figures say what was searched.
	figures string
}

func (f *finding) hit(format string, args ...any) {
	f.hits = append(f.hits, fmt.Sprintf(format, args...))
}

// A property is one of those of docs/mmr-profile.md, section 9.
type property struct {
	name, promise string
	// show searches the main world. nil for properties with a world of their own.
	show func(s *story) *finding
	// alone plays in worlds of its own.
	alone func(p *proof, setup Setup) *finding
	// fault is what the control does: the name of a fault, or what else is different,
	// in words.
	fault, words string
	// control searches where it has to be found; nil means the same search in a world
	// with the fault.
	control func(p *proof, s *story) *finding
}

// A proof is one run.
type proof struct {
	ctx  context.Context //nolint:containedctx // that of the run
	open Open
	pair OpenPair
	opts Options
	seed uint64
	out  io.Writer
}

// ErrBroken reports a property that does not hold, or a control that was missed.
var ErrBroken = errors.New("privacy: not everything holds")

// Run plays a story, searches it for the opposite of each property, and plays the
// controls. It fails with [ErrBroken] unless nothing is found, and everything in the
// controls.
func Run(ctx context.Context, open Open, pair OpenPair, opts Options, out io.Writer) error {
	p := &proof{ctx: ctx, open: open, pair: pair, opts: opts, seed: opts.Seed, out: out}
	if p.seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:])
		p.seed = binary.BigEndian.Uint64(b[:])
	}
	fmt.Fprintf(out, "names are made up from the seed %d\n", p.seed)
	begin := time.Now()
	var main *story
	err := attempt(func() { main = p.story() })
	if main != nil {
		defer main.world.Close()
	}
	if err != nil {
		return fmt.Errorf("privacy: the story cannot be played: %w", err)
	}
	asked := slices.DeleteFunc(properties(), func(prop property) bool { return len(opts.Only) > 0 && !slices.Contains(opts.Only, prop.name) })
	passes, caught := p.all(asked, main)
	fmt.Fprintf(out, "%d of %d properties hold, %d of %d controls are caught (%.0f s)\n", passes, len(asked), caught, len(asked), time.Since(begin).Seconds())
	if opts.Dir != "" {
		if err := attempt(func() { main.record(opts.Dir) }); err != nil {
			return fmt.Errorf("privacy: write the recordings: %w", err)
		}
		if err := attempt(func() { fmt.Fprintln(out, main.plant()) }); err != nil {
			return fmt.Errorf("privacy: %w", err)
		}
	}
	if passes != len(asked) || caught != len(asked) || len(asked) == 0 {
		return ErrBroken
	}
	return nil
}

// atOnce is how many properties are looked at at a time: worlds wait more than they
// work.
const atOnce = 4

// all plays properties and their controls, and prints what came of them in order.
func (p *proof) all(props []property, main *story) (passes, caught int) {
	type result struct {
		out          strings.Builder
		pass, caught bool
	}
	results := make([]result, len(props))
	done := make([]chan struct{}, len(props))
	free := make(chan struct{}, atOnce)
	for i, prop := range props {
		done[i] = make(chan struct{})
		go func() {
			defer close(done[i])
			free <- struct{}{}
			defer func() { <-free }()
			r := &results[i]
			one := *p
			one.out = &r.out
			r.pass, r.caught = one.shows(prop, main), one.catches(prop, main)
		}()
	}
	for i := range props {
		<-done[i]
		fmt.Fprint(p.out, results[i].out.String())
		if results[i].pass {
			passes++
		}
		if results[i].caught {
			caught++
		}
	}
	return passes, caught
}

// shows searches for the opposite of a property, and says whether it holds.
func (p *proof) shows(prop property, main *story) bool {
	var f *finding
	err := attempt(func() {
		if prop.show != nil {
			f = prop.show(main)
		} else {
			f = prop.alone(p, Setup{})
		}
	})
	switch {
	case err != nil:
		fmt.Fprintf(p.out, "FAIL  %-4s %s: it cannot be shown: %v\n", prop.name, prop.promise, err)
		return false
	case len(f.hits) > 0:
		fmt.Fprintf(p.out, "FAIL  %-4s %s\n", prop.name, prop.promise)
		p.list(f.hits)
		return false
	}
	fmt.Fprintf(p.out, "PASS  %-4s %s\n           %s\n", prop.name, prop.promise, f.figures)
	return true
}

// catches plays the control of a property, and says whether it was caught.
func (p *proof) catches(prop property, main *story) bool {
	var f *finding
	err := attempt(func() {
		switch {
		case prop.control != nil:
			f = prop.control(p, main)
		case prop.alone != nil:
			f = prop.alone(p, Setup{Fault: prop.fault})
		default:
			faulty := p.storyIn(Setup{Fault: prop.fault})
			defer faulty.world.Close()
			f = prop.show(faulty)
		}
	})
	what := prop.words
	if prop.fault != "" {
		what = "fault " + prop.fault
	}
	if err != nil || len(f.hits) == 0 {
		fmt.Fprintf(p.out, "      MISSED  %s: %v\n", what, err)
		return false
	}
	fmt.Fprintf(p.out, "      CAUGHT  %s: %d hits, such as: %s\n", what, len(f.hits), f.hits[0])
	return true
}

// listed is how many hits are printed.
const listed = 10

func (p *proof) list(hits []string) {
	for i, h := range hits {
		if i == listed {
			fmt.Fprintf(p.out, "           and %d more\n", len(hits)-i)
			return
		}
		fmt.Fprintf(p.out, "           %s\n", strings.TrimSpace(h))
	}
}
