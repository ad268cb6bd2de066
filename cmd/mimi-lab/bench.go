package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlsbench"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

const benchHelp = `usage: mimi-lab bench mls [flags]

Measures MLS operations in groups of several sizes.

Each size has two trees: a fresh one, in which one commit has added everybody and
only the inner nodes above leaf 0 are set, and a filled one, in which all inner
nodes are set. The member that is measured is a group of its own at a leaf in the
middle; all other leaves belong to one group, the crowd. 1000 members are measured
again with leaves as large as those of docs/mmr-profile.md. Messages come from
octets, and become octets; trees are beside GroupInfos and Welcomes.

  add-commit          Commit with path and one Add, Welcome and public GroupInfo;
                      it is discarded
  merge               Merge of a commit with path
  process commit      of leaf 0, with path
  join by Welcome     with decoding the tree
  external join       making the external Commit, with decoding the tree
  protect, unprotect  a message of 256 octets, of a sender that has sent before;
                      "first": the first message of the epoch
  hub stage+apply     of an add-commit with path, with its GroupInfo
  save                Dirty after a commit or message, and what it gives to write
  load                LoadGroup from rows; "hub": LoadPublicGroup

Wall time and CPU time (all threads, user and system) are per operation, as are
allocations. The floor is the cryptography that RFC 9420 requires for the operation
on this very tree, at the CPU time that package mimi/mls/suite takes for it, measured
in the same run; -floor lists it. Rows of 100 members and more that take over 1.25 times
their floor are marked with "*". Nothing fails because it is slow.

CPU profiles also have what is done between the runs; this leaves it out:
  go tool pprof -tagfocus timed=yes FILE

`

// runBench runs what args name.
func runBench(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 || args[0] != "mls" {
		return fmt.Errorf("usage: mimi-lab bench mls [flags]; -h explains them: %w", errUsage)
	}
	flags := flag.NewFlagSet("mimi-lab bench mls", flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.Usage = func() {
		fmt.Fprint(stdout, benchHelp)
		flags.PrintDefaults()
	}
	sizes := flags.String("sizes", "2,10,100,1000,10000", "numbers of members, separated by commas")
	quick := flags.Bool("quick", false, "sizes 2, 10 and 100, and less time for each operation")
	suites := flags.String("suites", "1", "cipher suites, separated by commas")
	ops := flags.String("ops", "", "operations, separated by semicolons (all of them)")
	budget := flags.Duration("time", 500*time.Millisecond, "how long to measure each operation")
	o := mlsbench.Options{}
	flags.BoolVar(&o.Floor, "floor", false, "list what the floor of each operation consists of")
	flags.StringVar(&o.JSON, "json", "", "`file` for the figures")
	flags.StringVar(&o.CPUProfile, "cpuprofile", "", "`folder` for a CPU profile of each operation")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if *quick {
		*sizes, *budget = "2,10,100", min(*budget, 100*time.Millisecond)
	}
	o.Operations, o.Budget = split(*ops, ";"), *budget
	for _, s := range split(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 2 || n > 1<<15 {
			return fmt.Errorf("%q is no size from 2 to %d: %w", s, 1<<15, errUsage)
		}
		o.Sizes = append(o.Sizes, n)
	}
	for _, s := range split(*suites, ",") {
		id, err := strconv.ParseUint(s, 0, 16)
		if err != nil {
			return fmt.Errorf("%q is no cipher suite: %w", s, errUsage)
		}
		o.Suites = append(o.Suites, suite.ID(id))
	}
	return mlsbench.Run(ctx, o, stdout)
}
