package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/interop"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
)

// runMLS plays "mls-peer", one MLS client behind JSON lines, or "interop", which
// drives such clients of several implementations.
func runMLS(ctx context.Context, args []string, stdout io.Writer) error {
	if args[0] == "interop" {
		return runInterop(ctx, args[1:], stdout)
	}
	flags := flag.NewFlagSet("mimi-lab mls-peer", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	if err := flags.Parse(args[1:]); err != nil || flags.NArg() > 0 {
		return mlspeer.Help(stdout)
	}
	return mlspeer.Serve(ctx, os.Stdin, stdout)
}

// runInterop plays the scenarios of package interop, and has the known answers of
// the profile computed once more.
func runInterop(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("mimi-lab interop", flag.ContinueOnError)
	peers := flags.String("peers", "", "implementations to play with, separated by commas (all: openmls,mls-rs,ts-mls,mls-go)")
	suites := flags.String("suites", "", "cipher suites, separated by commas (all: 1,2,3)")
	scenarios := flags.String("scenarios", "", "names of scenarios, separated by semicolons (all of them)")
	verbose := flags.Bool("v", false, "show errors in full")
	profile := flags.Bool("profile", false, "only the known answers of the minimal-metadata profile")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *profile {
		return interop.Profile(ctx, stdout)
	}
	o := interop.Options{Peers: split(*peers, ","), Scenarios: split(*scenarios, ";"), Verbose: *verbose}
	for _, s := range split(*suites, ",") {
		id, err := strconv.ParseUint(s, 0, 16)
		if err != nil {
			return fmt.Errorf("%q is no cipher suite: %w", s, errUsage)
		}
		o.Suites = append(o.Suites, uint16(id))
	}
	err := interop.Run(ctx, o, stdout)
	if len(o.Peers)+len(o.Suites)+len(o.Scenarios) == 0 && ctx.Err() == nil {
		err = errors.Join(err, interop.Profile(ctx, stdout))
	}
	return err
}

// split splits a list; an empty one has no elements.
func split(list, separator string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, separator)
}
