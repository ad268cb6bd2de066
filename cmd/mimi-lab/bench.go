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
  hub stage+apply     of a commit of leaf 0, with path, with its GroupInfo
  save                Dirty after a commit or message, and what it gives to write
  load                LoadGroup from rows; "hub": LoadPublicGroup

Wall time and CPU time (all threads, user and system) are per operation, as are
allocations. The floor is the cryptography that RFC 9420 requires for the operation
on this very tree, at the CPU time that package mimi/mls/suite takes for it, the
lowest of several times at the start of the run; -floor lists it. Rows of 100 members
and more whose wall time is over 1.25 times their floor are marked with "*". Nothing
fails because it is slow. The wall time is less than the CPU time where several cores
share the work, and more if the machine has other things to do: measure on one that
has not. Cores that share memory slow each other down: with GOMAXPROCS=1 in the
environment the CPU time is that of the work alone.

Other implementations then take the place of the member in the middle. They run as
programs, built with optimisations, as does ours beside them ("mimi-lab mls-peer"),
and say how long their library took for each request, without JSON and hex. The
table shows the median. add-commit includes merging there, and with us, in addition,
the GroupInfo for the hub. OpenMLS stores groups in memory while it works; storing
is not counted with the others. "tree inside": in the Welcome or GroupInfo.

CPU profiles also have what is done between the runs; this leaves it out:
  go tool pprof -tagfocus timed=yes FILE

`

// benchFlags are flags that still have to be read.
type benchFlags struct {
	sizes, suites, ops, peers, peerSizes string
	quick                                bool
}

// runBench runs what args name.
func runBench(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) > 0 && args[0] == "links" {
		return runBenchLinks(ctx, args[1:], stdout)
	}
	if len(args) == 0 || args[0] != "mls" {
		return fmt.Errorf("usage: mimi-lab bench mls|links [flags]; -h explains them: %w", errUsage)
	}
	flags := flag.NewFlagSet("mimi-lab bench mls", flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.Usage = func() {
		fmt.Fprint(stdout, benchHelp)
		flags.PrintDefaults()
	}
	var f benchFlags
	var o mlsbench.Options
	flags.StringVar(&f.sizes, "sizes", "2,10,100,1000,10000", "numbers of members, separated by commas; empty: only other implementations")
	flags.StringVar(&f.suites, "suites", "1", "cipher suites, separated by commas")
	flags.StringVar(&f.ops, "ops", "", "operations of ours, separated by semicolons (all of them)")
	flags.StringVar(&f.peers, "peers", "openmls,mls-rs,mls-go", "other implementations, separated by commas, or none")
	flags.StringVar(&f.peerSizes, "peer-sizes", "10,100,1000", "numbers of members where others are measured")
	flags.BoolVar(&f.quick, "quick", false, "sizes 2, 10 and 100 (peers 10 and 100), and less time for each operation")
	flags.DurationVar(&o.Budget, "time", 500*time.Millisecond, "how long to measure each operation")
	flags.BoolVar(&o.Floor, "floor", false, "list what the floor of each operation consists of")
	flags.StringVar(&o.JSON, "json", "", "`file` for the figures")
	flags.StringVar(&o.CPUProfile, "cpuprofile", "", "`folder` for a CPU profile of each operation")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%q is no flag: %w", flags.Arg(0), errUsage)
	}
	if err := f.read(&o); err != nil {
		return err
	}
	return mlsbench.Run(ctx, o, stdout)
}

// read turns flags into options.
func (f *benchFlags) read(o *mlsbench.Options) (err error) {
	if f.quick {
		f.sizes, f.peerSizes, o.Budget = "2,10,100", "10,100", min(o.Budget, 100*time.Millisecond)
	}
	o.Operations = split(f.ops, ";")
	if o.Sizes, err = parseSizes(f.sizes, 2); err != nil {
		return err
	}
	if f.peers != "none" {
		o.Peers = split(f.peers, ",")
		if o.PeerSizes, err = parseSizes(f.peerSizes, 4); err != nil {
			return err
		}
	}
	for _, s := range split(f.suites, ",") {
		id, err := strconv.ParseUint(s, 0, 16)
		if err != nil {
			return fmt.Errorf("%q is no cipher suite: %w", s, errUsage)
		}
		o.Suites = append(o.Suites, suite.ID(id))
	}
	return nil
}

// parseSizes reads numbers of members.
func parseSizes(list string, least int) ([]int, error) {
	const most = 1 << 15
	var sizes []int
	for _, s := range split(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("%q is no size from %d to %d: %w", s, least, most, errUsage)
		}
		sizes = append(sizes, n)
	}
	return sizes, nil
}
