// Command mimi-lab runs whole worlds on loopback, and checks what happens in
// them: real homeservers, real gateways, and people with Matrix clients.
//
//	mimi-lab demo        plays the story of the README
//	mimi-lab attack all  plays the active attacks, each of which a check refuses
//	mimi-lab privacy     proves what a hub does not learn, and that it would be noticed
//	mimi-lab interop     plays MLS with other implementations
//	mimi-lab bench mls   measures MLS operations
//	mimi-lab bench links measures identity links in large rooms
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errUsage marks errors of the command line.
var errUsage = errors.New("usage: mimi-lab demo [flags]; mimi-lab demo -h lists the flags")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "mimi-lab: %v\n", err)
		os.Exit(1)
	}
}

// run plays what args name. It returns nil if every expectation held.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	switch args[0] {
	case "demo":
		return runDemo(ctx, args[1:], stdout)
	case "attack":
		return runAttack(ctx, args[1:], stdout)
	case "privacy":
		return runPrivacy(ctx, args[1:], stdout)
	case "bench":
		return runBench(ctx, args[1:], stdout)
	case "mls-peer", "interop":
		return runMLS(ctx, args, stdout)
	default:
		return fmt.Errorf("unknown command %q; %w", args[0], errUsage)
	}
}
