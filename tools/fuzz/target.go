package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// A result is what a target did.
type result struct {
	accepted, refused int // seeds
	execs             int
	found, corpus     int // new interesting inputs, and all that are kept
}

// String says it in one line.
func (r result) String() string {
	return fmt.Sprintf("%9d executions  corpus %4d (%d new)  seeds %d accepted, %d refused", r.execs, r.corpus, r.found, r.accepted, r.refused)
}

// converters are the targets whose subject takes any text, so that there may be
// nothing to refuse.
var converters = map[target]bool{
	{"bridge/msgconv", "FuzzRender"}:   true,
	{"bridge/msgconv", "FuzzMarkdown"}: true,
}

// grace is how long a target may take beyond its time, to start and to end.
const grace = time.Minute

func (t target) run(ctx context.Context, b *binaries, fuzztime time.Duration) (r result, err error) {
	if _, err := b.of(ctx, t.pkg); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(ctx, fuzztime+grace)
	defer cancel()
	if err := t.seeds(ctx, b, &r); err != nil {
		return r, err
	}
	switch {
	case r.accepted == 0:
		return r, fmt.Errorf("none of %d seeds is accepted by the decoder", r.refused)
	case r.refused == 0 && !converters[t]:
		return r, fmt.Errorf("none of %d seeds is refused: the target must skip (t.Skip) what its decoder refuses, and needs such a seed", r.accepted)
	}
	if err := t.fuzz(ctx, b, fuzztime, &r); err != nil {
		return r, err
	}
	if r.execs <= r.accepted+r.refused {
		return r, fmt.Errorf("%d executions: it got no further than its seeds", r.execs)
	}
	return r, nil
}

// outcome is the line of a subtest that runs one seed.
var outcome = regexp.MustCompile(`(?m)^\s*--- (PASS|SKIP): Fuzz\w+/`)

// seeds runs the seeds alone, each of which is a subtest, and counts those that
// were accepted and those that were skipped.
func (t target) seeds(ctx context.Context, b *binaries, r *result) error {
	out, err := b.run(ctx, t.pkg, "-test.v", "-test.run=^"+t.name+"$")
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	for _, m := range outcome.FindAllSubmatch(out, -1) {
		if string(m[1]) == "PASS" {
			r.accepted++
		} else {
			r.refused++
		}
	}
	return nil
}

// progress is the line that the fuzzer writes now and then, and at its end.
var progress = regexp.MustCompile(`execs: (\d+) .*new interesting: (\d+) \(total: (\d+)\)`)

// raced is what is left of a run that found nothing but ended badly: when its
// time is over, the fuzzer may take the end of its own context for a failure
// (go.dev/issue/75804).
var raced = regexp.MustCompile(`(?s)^--- FAIL: Fuzz\w+ \([0-9.]+s\)\n\s+context deadline exceeded\n(FAIL\n)?(exit status \d+\n)?$`)

// notice is a line of the fuzzer about itself.
var notice = regexp.MustCompile(`(?m)^fuzz: .*\n`)

// fuzz runs the fuzzer with one worker. By default it spends up to a minute on
// making a single input smaller, which for large seeds is all the time there is.
func (t target) fuzz(ctx context.Context, b *binaries, fuzztime time.Duration, r *result) error {
	out, err := b.run(ctx, t.pkg, "-test.run=^$", "-test.fuzz=^"+t.name+"$", "-test.fuzzcachedir="+b.corpus(t.pkg),
		"-test.fuzztime="+fuzztime.String(), "-test.fuzzminimizetime=10x", "-test.parallel=1")
	if err != nil && !raced.Match(notice.ReplaceAll(out, nil)) {
		return fmt.Errorf("%w\n%s", err, bytes.TrimSpace(out))
	}
	all := progress.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return errors.New("the fuzzer reported no executions")
	}
	for i, n := range []*int{&r.execs, &r.found, &r.corpus} {
		if *n, err = strconv.Atoi(string(all[len(all)-1][i+1])); err != nil {
			return err
		}
	}
	return nil
}
