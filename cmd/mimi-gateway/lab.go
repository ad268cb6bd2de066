//go:build lab

package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// faults are the ways in which a lab gateway can be told to break what it
// promises, so that the demo can show that it notices. They are compiled in
// with the build tag "lab" alone.
var faults = map[string]string{
	"drop":              "lose an acknowledged message",
	"duplicate":         "show a message twice",
	"reorder":           "show two messages in the wrong order",
	"plaintext-name":    "put the name of a room where its hub can read it",
	"reuse-pseudonym":   "use the same pseudonym in two rooms",
	"keep-removed":      "leave people in the Matrix room of a group that they were removed from",
	"answer-decline":    "answer a connection request that was declined",
	"upload-at-once":    "replace key material when it is fetched, and say to the second when it was made",
	"last-resort-twice": "add people to two rooms with one set of last resort",
}

// labOptions are the flags of lab builds.
type labOptions struct {
	fault string
	list  bool
	clock string

	manual *mimi.ManualClock
}

func (o *labOptions) register(set *flag.FlagSet) {
	set.StringVar(&o.fault, "fault", "", "break a promise, by the `name` it has in --faults")
	set.BoolVar(&o.list, "faults", false, "list the faults, and exit")
	set.StringVar(&o.clock, "clock", "", "stop the clock, and serve POST /advance?by=DURATION at this loopback `address`")
}

func (o *labOptions) validate() error {
	if _, ok := faults[o.fault]; o.fault != "" && !ok {
		return fail(exitUsage, "there is no fault %q; --faults lists them", o.fault)
	}
	return nil
}

func (o *labOptions) print(w io.Writer) error {
	for _, name := range slices.Sorted(maps.Keys(faults)) {
		if _, err := fmt.Fprintf(w, "%-18s %s\n", name, faults[name]); err != nil {
			return err
		}
	}
	return nil
}

// newClock returns the clock of the gateway: one that stands still and is moved
// by requests, if -clock was given.
func (o *labOptions) newClock() mimi.Clock {
	if o.clock == "" {
		return mimi.SystemClock{}
	}
	o.manual = mimi.NewManualClock(time.Now())
	return o.manual
}

// controls returns the address and handler of the clock, or "".
func (o *labOptions) controls() (string, http.Handler) {
	if o.manual == nil {
		return "", nil
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /advance", func(w http.ResponseWriter, r *http.Request) {
		by, err := time.ParseDuration(r.FormValue("by"))
		if err != nil || by <= 0 {
			http.Error(w, "by must be a duration greater than zero", http.StatusBadRequest)
			return
		}
		o.manual.Advance(by)
		fmt.Fprintln(w, o.manual.Now().Format(time.RFC3339Nano))
	})
	return o.clock, mux
}

// engineFaults are those that break a promise of the engine.
func (o *labOptions) engineFaults() client.Faults {
	faults, _ := client.NamedFaults(o.fault)
	return faults
}

// bridgeFaults are those that break a promise of the Matrix side.
func (o *labOptions) bridgeFaults() bridge.Faults {
	return bridge.Faults{KeepRemoved: o.fault == "keep-removed"}
}
