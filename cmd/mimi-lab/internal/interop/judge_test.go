package interop

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
)

// A liar is our own peer with one wrong answer.
type liar struct {
	local
	lie func(op string, a *mlspeer.Answer)
}

func (l liar) call(ctx context.Context, request []byte) ([]byte, error) {
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(request, &head); err != nil {
		return nil, err
	}
	a := l.peer.Handle(ctx, request)
	if a.OK {
		l.lie(head.Op, a)
	}
	return json.Marshal(a)
}

// TestScenariosNotice: a scenario fails if the implementations do not agree.
func TestScenariosNotice(t *testing.T) {
	for _, test := range []struct {
		name, scenario, want string
		lie                  func(op string, a *mlspeer.Answer)
	}{
		{"epoch", "commit", "epoch", func(op string, a *mlspeer.Answer) {
			if op == "state" {
				a.Epoch++
			}
		}},
		{"tree hash", "welcome", "tree hash", func(op string, a *mlspeer.Answer) {
			if op == "state" {
				a.TreeHash[0] ^= 1
			}
		}},
		{"exporter", "external commit", "exported secret", func(op string, a *mlspeer.Answer) {
			if op == "export" {
				a.Secret[0] ^= 1
			}
		}},
		{"roster", "remove", "roster", func(op string, a *mlspeer.Answer) {
			if op == "state" {
				a.Roster[0].Identity = mlspeer.Hex("someone")
			}
		}},
		{"extensions", "unknown extension", "extensions", func(op string, a *mlspeer.Answer) {
			if op == "state" {
				a.Extensions = nil
			}
		}},
		{"plaintext", "application", "read", func(_ string, a *mlspeer.Answer) {
			if a.Kind == mlspeer.KindApplication {
				a.Data = append(a.Data, 0)
			}
		}},
		{"authenticated data", "aad", "authenticated data", func(_ string, a *mlspeer.Answer) {
			if a.Kind == mlspeer.KindCommit {
				a.AAD = nil
			}
		}},
		{"sender", "commit", "sender", func(_ string, a *mlspeer.Answer) {
			if a.Sender != nil {
				*a.Sender++
			}
		}},
		{"removal", "remove", "does not notice", func(_ string, a *mlspeer.Answer) {
			if a.Active != nil {
				*a.Active = true
			}
		}},
		{"credential type", "custom credential", "credential of type", func(op string, a *mlspeer.Answer) {
			for i := range a.Roster {
				a.Roster[i].CredentialType = 1
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := func() (client, error) { return liar{local{mlspeer.New()}, test.lie}, nil }
			honest := func() (client, error) { return local{mlspeer.New()}, nil }
			other := &pool{name: "honest", start: honest}
			if test.name == "removal" || test.name == "credential type" {
				other.start = start // nobody else could tell
			}
			i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == test.scenario })
			err := play(t.Context(), scenarios[i], 1, "test", &pool{name: "liar", start: start}, other, false, false)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the scenario ended with %v", err)
			}
		})
	}
}

// cells makes the cells of a perfect run.
func cells() []Cell {
	var all []Cell
	for _, peer := range requiredPeers {
		for _, s := range scenarios {
			for _, id := range []uint16{1, 2, 3} {
				for _, theyOpen := range []bool{false, true} {
					all = append(all, Cell{Peer: peer, Suite: id, TheyOpen: theyOpen, Scenario: s.name})
				}
			}
		}
	}
	return all
}

func TestJudge(t *testing.T) {
	// change applies f to the cells of a peer, scenario and suite.
	change := func(peer, scenario string, id uint16, f func(*Cell)) func([]Cell) {
		return func(all []Cell) {
			for i := range all {
				if all[i].Peer == peer && all[i].Scenario == scenario && all[i].Suite == id {
					f(&all[i])
				}
			}
		}
	}
	fails := func(c *Cell) { c.Outcome = Failed }
	failsAlone := func(c *Cell) { c.Outcome, c.FailedAlone = Failed, true }
	unsupported := func(c *Cell) { c.Outcome = Unsupported }
	for _, test := range []struct {
		name    string
		change  []func([]Cell)
		missing []string
		ok      bool
	}{
		{name: "all fine", ok: true},
		{name: "a required peer is missing", missing: []string{"openmls"}},
		{name: "another peer is missing", missing: []string{"mls-go"}, ok: true},
		{name: "a required cell fails", change: []func([]Cell){change("mls-rs", "welcome", 1, fails)}},
		{name: "a required cell fails alone, too, but not known", change: []func([]Cell){change("mls-rs", "welcome", 1, failsAlone)}},
		{name: "a required cell is not supported", change: []func([]Cell){change("ts-mls", "aad", 1, unsupported)}},
		{name: "another cell is not supported", change: []func([]Cell){change("ts-mls", "self-remove", 1, unsupported)}, ok: true},
		{name: "another cell fails", change: []func([]Cell){change("ts-mls", "self-remove", 2, fails)}},
		{name: "a known fault that shows", change: []func([]Cell){change("openmls", "psks, mixed", 1, failsAlone)}, ok: true},
		{name: "a known fault that does not show", change: []func([]Cell){change("openmls", "psks, mixed", 1, fails)}},
		{name: "psk with two", change: []func([]Cell){change("ts-mls", "external psk", 1, unsupported)}, ok: true},
		{name: "psk with one", change: []func([]Cell){
			change("ts-mls", "external psk", 1, unsupported), change("openmls", "external psk", 1, unsupported),
		}},
		{name: "suite 3 with one", change: []func([]Cell){
			change("ts-mls", "commit", 3, unsupported), change("openmls", "welcome", 3, unsupported),
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := cells()
			for _, f := range test.change {
				f(all)
			}
			err := judge(io.Discard, Options{}, all, test.missing)
			if (err == nil) != test.ok || (err != nil && !errors.Is(err, ErrFailed)) {
				t.Errorf("the verdict is %v", err)
			}
		})
	}
}

// TestNames: what is required, and what is excused, are scenarios and peers.
func TestNames(t *testing.T) {
	known := func(name string) bool {
		return slices.ContainsFunc(scenarios, func(s scenario) bool { return s.name == name })
	}
	for _, name := range slices.Concat(requiredScenarios, requiredOfTwo) {
		if !known(name) {
			t.Errorf("%q is required, and no scenario", name)
		}
	}
	for _, f := range faults {
		if f.scenario != "" && !known(f.scenario) {
			t.Errorf("a fault is in %q, which is no scenario", f.scenario)
		}
		if slices.Contains(requiredPeers, f.peer) && slices.Contains(requiredScenarios, f.scenario) {
			t.Errorf("%s is excused from the required %q", f.peer, f.scenario)
		}
		if !slices.ContainsFunc(implementations, func(i implementation) bool { return i.name == f.peer }) {
			t.Errorf("a fault is of %q, which is no peer", f.peer)
		}
	}
}
