//go:build lab

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/attack"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/interop"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/privacy"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
)

// privacyPlants is how often the second scanner plants an identifier in each encoding.
const privacyPlants = 100

// privacyLimit is how long the proof may take.
const privacyLimit = 20 * time.Minute

// runPrivacy shows that the properties of docs/mmr-profile.md, section 9, hold, and
// that it would be noticed if they did not.
func runPrivacy(ctx context.Context, args []string, stdout io.Writer) error {
	set := flag.NewFlagSet("privacy", flag.ContinueOnError)
	set.SetOutput(stdout)
	var opts privacy.Options
	var only string
	var second bool
	set.StringVar(&opts.Dir, "report", "", "write what was recorded into this `folder`")
	set.Uint64Var(&opts.Seed, "seed", 0, "make up names from this number")
	set.BoolVar(&second, "second", false, "let the program in interop/privacyscan search the recordings too")
	set.StringVar(&only, "only", "", "only these properties, such as T2,T7")
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("privacy: unexpected argument %q; %w", set.Arg(0), errUsage)
	}
	if only != "" {
		opts.Only = strings.Split(only, ",")
	}
	ctx, cancel := context.WithTimeout(ctx, privacyLimit)
	defer cancel()
	if second && opts.Dir == "" {
		dir, err := scratchDir()
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		opts.Dir = dir
	}
	if err := privacy.Run(ctx, openPrivacy, openFaultyPair, opts, stdout); err != nil || !second {
		return err
	}
	return interop.PrivacyScan(ctx, opts.Dir, privacyPlants, stdout)
}

// openPrivacy starts a hub without users, three providers, and a gateway with a
// homeserver, or a fourth provider.
func openPrivacy(ctx context.Context, setup privacy.Setup) (*privacy.World, error) {
	faults, _ := client.NamedFaults(setup.Fault)
	var homeserver *homeserver
	w, err := newEngines(ctx, []string{"hub", "north", "south", "west", "gateway"}, faults, func(w *engines) {
		host := w.all[0]
		host.hubFaults = hub.Faults{EarlyTable: setup.Fault == "early-table"}
		plainRooms(w)
		for _, e := range w.all {
			if e != host {
				e.groups = host
			}
		}
		if setup.Gateway {
			homeserver = newHomeserver(bridge.Faults{Undisclosed: setup.Fault == "undisclosed"})
			w.all[len(w.all)-1].matrix = homeserver
		}
	})
	if err != nil {
		w.close()
		return nil, err
	}
	out := &privacy.World{Log: w.log, Close: w.close}
	for i, e := range w.all {
		side := &privacy.Side{Side: w.side(i), Dir: e.dir}
		if e.matrix != nil {
			side.Matrix, side.Introduce = homeserver, homeserver.register
		}
		if i == 0 {
			out.Hub = side
		} else {
			out.Providers = append(out.Providers, side)
		}
	}
	return out, nil
}

// openFaultyPair is openPair with a fault.
func openFaultyPair(fault string) attack.Open {
	return func(ctx context.Context) (*attack.Pair, error) {
		faults, _ := client.NamedFaults(fault)
		return openPairWith(ctx, faults)
	}
}
