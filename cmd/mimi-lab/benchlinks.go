package main

import (
	"context"
	"flag"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/linkbench"
)

const benchLinksHelp = `usage: mimi-lab bench links [flags]

Measures what identity links cost in rooms of several sizes.

The members are accounts of four providers, each with a certificate of its provider's
identity CA, in a room that is hosted by the first one. Two more gateways are measured,
each with a database in a file (TMPDIR says where) and one account: one is added to the
room, by a Welcome, and one enters it by a join link. Everything is encoded on its way;
there is no HTTPS.

  Welcome           from the hub's request until the invitation is shown
  a message         from the hub's request until it is shown with its sender's name: with
                    few links open, after half of the members (as far as they are at the
                    first two providers) have written, and with all links open
  other links       after the person has joined, until the last name is shown
  second start      with the room loaded; no link is opened again
  by a link         until it is shown; the first own message waits for all links

CPU is that of the process, in all threads. The floor is the cryptography that one link
needs, at the CPU time that package mimi/mls/suite takes for it, the lowest of several
times at the start of the run. Nothing fails because it is slow.

`

// runBenchLinks measures identity links.
func runBenchLinks(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("mimi-lab bench links", flag.ContinueOnError)
	flags.SetOutput(stdout)
	flags.Usage = func() {
		fmt.Fprint(stdout, benchLinksHelp)
		flags.PrintDefaults()
	}
	var o linkbench.Options
	sizes := flags.String("sizes", "10,100,1000", "numbers of members, ascending, separated by commas")
	flags.IntVar(&o.Messages, "messages", 101, "how many messages are timed at each point; a tenth of them costs less than what is shown")
	flags.StringVar(&o.CPUProfile, "cpuprofile", "", "`folder` for CPU profiles")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if o.Sizes, err = parseSizes(*sizes, 10); err != nil {
		return err
	}
	if flags.NArg() > 0 || o.Messages < 1 || len(o.Sizes) == 0 {
		return fmt.Errorf("mimi-lab bench links: there are sizes and messages, and no other arguments: %w", errUsage)
	}
	return linkbench.Run(ctx, o, stdout)
}
