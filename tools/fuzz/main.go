// Command fuzz runs every fuzz target of the main module for a while, some at a
// time, and ends with status 1 if one of them fails; the others run all the same.
//
// A decoder's target says which inputs its decoder refuses by skipping them
// (t.Skip). So the outcome of the seeds tells whether the corpus is worth
// anything: a corpus without an accepted seed explores the first check of the
// decoder and nothing behind it, and one without a refused seed comes from a
// target that does not tell. Both fail.
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
	"time"
)

// options are the flags.
type options struct {
	root     string
	fuzztime time.Duration
	jobs     int
	only     *regexp.Regexp
	out      io.Writer
}

func main() {
	opts := options{out: os.Stdout}
	flag.StringVar(&opts.root, "root", ".", "`folder` of the module")
	flag.DurationVar(&opts.fuzztime, "fuzztime", time.Minute, "`time` for each target")
	flag.IntVar(&opts.jobs, "jobs", runtime.NumCPU(), "`number` of targets that run at a time")
	only := flag.String("only", "", "run those targets alone whose \"package name\" matches this `expression`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var err error
	if opts.only, err = regexp.Compile(*only); err == nil {
		err = run(ctx, opts)
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "fuzz: %v\n", err)
		os.Exit(1)
	}
}

// run fuzzes all targets, and returns an error that lists those which failed.
func run(ctx context.Context, opts options) error {
	targets, err := find(opts.root)
	if err != nil {
		return err
	}
	targets = slices.DeleteFunc(targets, func(t target) bool { return !opts.only.MatchString(t.String()) })
	if len(targets) == 0 {
		return errors.New("no fuzz targets found")
	}
	dir, err := os.MkdirTemp("", "fuzz-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if opts.root, err = filepath.Abs(opts.root); err != nil {
		return err
	}
	binaries, err := newBinaries(ctx, opts.root, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(opts.out, "%d targets, %v each, %d at a time: about %v\n", len(targets), opts.fuzztime, opts.jobs,
		(time.Duration(len(targets)) * opts.fuzztime / time.Duration(max(opts.jobs, 1))).Round(time.Second))

	var mu sync.Mutex // guards failed and opts.out
	var failed []string
	queue := make(chan target)
	var workers sync.WaitGroup
	for range max(opts.jobs, 1) {
		workers.Go(func() {
			for t := range queue {
				r, err := t.run(ctx, binaries, opts.fuzztime)
				mu.Lock()
				if err != nil {
					failed = append(failed, fmt.Sprintf("%v: %v", t, err))
					fmt.Fprintf(opts.out, "%-68v FAILED\n", t)
				} else {
					fmt.Fprintf(opts.out, "%-68v %v\n", t, r)
				}
				mu.Unlock()
			}
		})
	}
	for _, t := range targets {
		if ctx.Err() != nil {
			break
		}
		queue <- t
	}
	close(queue)
	workers.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if len(failed) > 0 {
		slices.Sort(failed)
		return fmt.Errorf("%d of %d targets failed:\n%s", len(failed), len(targets), strings.Join(failed, "\n"))
	}
	fmt.Fprintf(opts.out, "%d targets passed\n", len(targets))
	return nil
}
