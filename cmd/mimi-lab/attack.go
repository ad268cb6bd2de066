package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/attack"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// attackLimit is how long all attacks may take together.
const attackLimit = 20 * time.Minute

// manyChecks is on how many checks attacks have to succeed that are removed.
const manyChecks = 60

// runAttack plays the active attacks against a running gateway.
func runAttack(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("attack", flag.ContinueOnError)
	set.SetOutput(stdout)
	var removed, list bool
	var only, one string
	set.BoolVar(&removed, "removed", false, "remove the check that each attack meets, which needs a build with switches")
	set.BoolVar(&list, "list", false, "list the attacks as the table of docs/attacks.md")
	set.StringVar(&only, "only", "", "only attacks whose name contains this")
	set.StringVar(&one, "one", "", "with --removed, the one attack that this process plays")
	set.Usage = func() {
		fmt.Fprintf(stdout, "usage: mimi-lab attack [flags] %s|all\n", strings.Join(attack.Groups, "|"))
		set.PrintDefaults()
	}
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() != 1 || set.Arg(0) != "all" && !slices.Contains(attack.Groups, set.Arg(0)) {
		set.Usage()
		return fmt.Errorf("attack: name one group, or all; %w", errUsage)
	}
	attacks := slices.DeleteFunc(attack.All(set.Arg(0)), func(a attack.Attack) bool { return !strings.Contains(a.Name, only) })
	if list {
		_, err := io.WriteString(stdout, attack.Table(attacks))
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, attackLimit)
	defer cancel()
	if i := slices.IndexFunc(attacks, func(a attack.Attack) bool { return a.Group+"/"+a.Name == one }); removed && i >= 0 {
		return attack.One(ctx, openPair, attacks[i], stdout)
	}
	if removed {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		atLeast := 0
		if set.Arg(0) == "all" && only == "" {
			atLeast = manyChecks
		}
		return attack.RunRemoved(ctx, func(ctx context.Context, name string) *exec.Cmd {
			return exec.CommandContext(ctx, self, "attack", "--removed", "--one", name, "all") //nolint:gosec // ourselves
		}, attacks, atLeast, stdout)
	}
	return attack.Run(ctx, openPair, attacks, stdout)
}

// openPair starts two engines: the victim and the attacker.
func openPair(ctx context.Context) (*attack.Pair, error) { return openPairWith(ctx, client.Faults{}) }

func openPairWith(ctx context.Context, faults client.Faults) (*attack.Pair, error) {
	w, err := newEngines(ctx, []string{"victim", "evil"}, faults, plainRooms)
	if err != nil {
		w.close()
		return nil, err
	}
	return &attack.Pair{Victim: w.side(0), Evil: w.side(1), Close: w.close}, nil
}

// side is an engine as the attacks see it.
func (w *engines) side(i int) *attack.Side {
	e := w.all[i]
	return &attack.Side{
		Name: e.name, Domain: e.domain, Node: e.node, Store: e.store, Tap: w.taps[i], Log: e.log,
		Introduce: func(localpart, name string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.people[localpart] = name
		},
		Await: e.await, Count: e.count,
		Refusals: func() map[string]int {
			e.mu.Lock()
			defer e.mu.Unlock()
			return maps.Clone(e.refusals)
		},
		Logged: func() string {
			b, err := os.ReadFile(filepath.Join(e.dir, "log.txt"))
			if err != nil {
				return err.Error()
			}
			return string(b)
		},
	}
}
