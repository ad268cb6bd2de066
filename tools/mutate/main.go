// Command mutate removes each check of the MLS packages in turn and runs their
// tests: one has to fail. It ends with status 1 if a check survives, that is, if
// no test notices that it is gone.
//
//	go -C tools run ./mutate -root ..
//
// A check is what a comment marks with section and ordinal, as docs/mls-conformance.md
// explains; with -all also every condition that leads to a named error. All
// checks are compiled into one binary for each package, in which an environment
// variable says which of them is off: files in the checkout stay as they are. A
// first run of each test tells which checks it reaches, so that a check is only
// tried with those.
//
// A check that cannot matter to a test has a comment above it:
//
//	// unmutated: what else catches it
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// options are the flags.
type options struct {
	root string
	jobs int
	only *regexp.Regexp
	all  bool
	out  io.Writer
}

func main() {
	opts := options{out: os.Stdout}
	flag.StringVar(&opts.root, "root", ".", "`folder` of the module")
	flag.IntVar(&opts.jobs, "jobs", runtime.NumCPU(), "`number` of tests that run at a time")
	flag.BoolVar(&opts.all, "all", false, "also remove conditions that are not marked, but lead to a named error")
	lab := flag.String("lab", "", "build mimi-lab with a switch at each check that \"mimi-lab attack --removed\" removes, to this `file`, and do nothing else")
	only := flag.String("only", "", "only remove checks whose place matches this `expression`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if opts.only, err = regexp.Compile(*only); err == nil && *lab != "" {
		err = buildLab(ctx, opts.root, *lab)
	} else if err == nil {
		err = run(ctx, opts)
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "mutate: %v\n", err)
		os.Exit(1)
	}
}

// packages are where checks are, and the tests that have to notice.
var packages = []string{"mimi/wire", "mimi/mls/suite", "mimi/mls/internal/schedule", "mimi/mls/internal/secrettree", "mimi/mls"}

func run(ctx context.Context, opts options) error {
	root, err := filepath.Abs(opts.root)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var checks []check
	b := &build{root: root, dir: dir, overlay: map[string]string{}, rapid: map[string]bool{}}
	for _, pkg := range packages {
		found, err := b.instrument(pkg)
		if err != nil {
			return err
		}
		checks = append(checks, found...)
	}
	fixed := 0
	checks = slices.DeleteFunc(checks, func(c check) bool {
		if c.fixed {
			fixed++
		}
		return c.fixed || !opts.only.MatchString(c.String()) || (!opts.all && !c.marked)
	})
	if len(checks) == 0 {
		return errors.New("no checks found")
	}
	fmt.Fprintf(opts.out, "%d checks, %d places that are marked and cannot be removed\n", len(checks), fixed)
	tests, err := b.tests(ctx, opts.jobs)
	if err != nil {
		return err
	}
	survivors := tryAll(ctx, b, opts, checks, tests)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(survivors) > 0 {
		return fmt.Errorf("%d of %d checks can be removed without a failing test:\n%s", len(survivors), len(checks), strings.Join(survivors, "\n"))
	}
	fmt.Fprintf(opts.out, "%d checks, each is missed when it is gone\n", len(checks))
	return nil
}

// tryAll removes the checks, some at a time, and returns those that nobody
// misses.
func tryAll(ctx context.Context, b *build, opts options, checks []check, tests []test) []string {
	var mu sync.Mutex // guards survivors and opts.out
	var survivors []string
	queue := make(chan check)
	var workers sync.WaitGroup
	for range max(opts.jobs, 1) {
		workers.Go(func() {
			for c := range queue {
				by, reached := b.try(ctx, c, tests)
				mu.Lock()
				switch {
				case by != "":
				case reached == 0:
					survivors = append(survivors, c.String()+": no test reaches it")
				default:
					survivors = append(survivors, fmt.Sprintf("%v: %d tests reach it", c, reached))
				}
				if by == "" && ctx.Err() == nil {
					fmt.Fprintf(opts.out, "survives: %s\n", survivors[len(survivors)-1])
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		queue <- c
	}
	close(queue)
	workers.Wait()
	slices.Sort(survivors)
	return survivors
}
