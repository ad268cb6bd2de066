package keymaterial_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// want is the stock of the clients in these tests, unless they say otherwise.
var want = keymaterial.Stock{Single: 2, LastResort: 4}

// visit is what one of Bob's clients does at its schedule tick: it completes the sets
// that others have begun, and begins new ones.
func (w *world) visit(own uint32) keymaterial.Plan {
	w.t.Helper()
	horizon := identity.HandOutHorizon(w.b.Clock.Now())
	plan := keymaterial.NewPlan(keymaterial.PlanConfig{
		Held: w.holdings(), Slots: w.slots, Own: own, Want: w.want, Usable: horizon, Fresh: horizon.Add(7 * 24 * time.Hour),
	})
	var rows []keymaterial.Row
	add := func(lastResort bool, set mimi.URI) {
		made, _ := w.newSet(lastResort, set, own)
		rows = append(rows, made...)
	}
	for _, begun := range plan.Complete {
		add(begun.LastResort, begun.Set)
	}
	for range plan.Begin.Single {
		add(false, mimi.URI{})
	}
	for range plan.Begin.LastResort {
		add(true, mimi.URI{})
	}
	u := w.signed(rows, func(u *keymaterial.KeyMaterialUpload) { u.Drop = plan.Drop })
	if err := w.provider.Upload(w.t.Context(), u); err != nil {
		w.t.Fatal(err)
	}
	return plan
}

// complete counts the sets that have a KeyPackage of each client.
func (w *world) complete() (s keymaterial.Stock) {
	slots := map[mimi.URI][]uint32{}
	kind := map[mimi.URI]bool{}
	for _, h := range w.holdings() {
		slots[h.Set], kind[h.Set] = append(slots[h.Set], h.Slot), h.LastResort
	}
	for set, have := range slots {
		if slices.Equal(have, w.slots) && kind[set] {
			s.LastResort++
		} else if slices.Equal(have, w.slots) {
			s.Single++
		}
	}
	return s
}

// pass lets days pass, in which Bob's certificate and the provider's keys are
// renewed.
func (w *world) pass(days int) {
	w.t.Helper()
	d := time.Duration(days) * 24 * time.Hour
	w.a.Clock.Advance(d)
	w.b.Clock.Advance(d)
	w.bob = w.b.Person(w.t, "bob", "phone")
	if now := w.b.Clock.Now(); w.issuers.Due(now) {
		w.issuers = must[keymaterial.IssuerKeyRing](w.t)(w.issuers.Rotate(now, w.b.Random))
	}
}

// TestClientJoinsAndLeaves follows the draft's procedure: a set is handed out once
// every client has added to it, a client that comes later completes what the others
// have begun, and with a client that leaves go the sets that it knows.
func TestClientJoinsAndLeaves(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	w.visit(0)
	if got := w.complete(); got != want {
		t.Fatalf("one client has %+v", got)
	}
	before := w.holdings()
	// The second client says that it is there with its own KeyPackages: at no time
	// is the user without complete sets.
	w.slots = []uint32{0, 1}
	if plan := w.visit(1); len(plan.Complete) != 6 || plan.Begin != (keymaterial.Stock{}) {
		t.Errorf("the second client has planned %+v", plan)
	}
	if got := w.complete(); got != want {
		t.Errorf("two clients have %+v", got)
	}
	set, _, err := w.check(w.fetch())
	if err != nil || len(set) != 2 {
		t.Fatalf("%d KeyPackages, %v", len(set), err)
	}
	if set[0].Credential.UserPseudonym != set[1].Credential.UserPseudonym {
		t.Error("a set with two pseudonyms")
	}
	// One of them begins what was taken; it is not handed out before the other has
	// added to it.
	if plan := w.visit(1); plan.Begin != (keymaterial.Stock{Single: 1}) {
		t.Errorf("the second client begins %+v", plan.Begin)
	}
	if got := w.complete(); got.Single != 1 {
		t.Errorf("%d sets are complete before the other client has added to the new one", got.Single)
	}
	if plan := w.visit(0); len(plan.Complete) != 1 {
		t.Errorf("the first client completes %d sets", len(plan.Complete))
	}
	if got := w.complete(); got != want {
		t.Errorf("two clients have %+v after a fetch", got)
	}
	// The first client goes.
	w.slots = []uint32{1}
	w.visit(1)
	for _, h := range w.holdings() {
		if h.Slot != 1 || slices.ContainsFunc(before, func(b keymaterial.Holding) bool { return b.Set == h.Set }) {
			t.Error("a set is left that the client which has gone knows")
		}
	}
	if got := w.complete(); got != want {
		t.Errorf("the second client alone has %+v", got)
	}
	if set, _, err := w.check(w.fetch()); err != nil || len(set) != 1 {
		t.Errorf("%d KeyPackages, %v", len(set), err)
	}
}

// TestProviderDropsSetsOfGoneClients: the provider does so even if nobody asks for
// it: what a client that has gone made is not handed out, nor what it has seen.
func TestProviderDropsSetsOfGoneClients(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	w.slots = []uint32{0, 1}
	both, _ := w.newSet(true, mimi.URI{}, 0, 1)
	begun, _ := w.newSet(true, mimi.URI{}, 0)
	w.upload(append(both, begun...))
	w.slots = []uint32{0}
	w.upload(nil)
	held := w.holdings()
	if len(held) != 1 || held[0].Set != begun[0].Set {
		t.Errorf("%d KeyPackages are left, want the one that the client which has gone has not seen", len(held))
	}
}

// TestWornSets: a set of last resort that was handed out, or that is old, is replaced;
// but one that is worn is better than none.
func TestWornSets(t *testing.T) {
	w := newWorld(t, identitytest.Suite(t, suite.X25519AES128))
	w.slots = []uint32{0, 1}
	w.visit(0)
	w.visit(1)
	for range 2 {
		w.fetch() // single
	}
	worn := w.fetch().User
	plan := w.visit(0)
	if plan.Begin != (keymaterial.Stock{Single: 2, LastResort: 1}) || slices.Contains(plan.Drop, worn) {
		t.Errorf("while there are too few complete sets, the plan is %+v", plan)
	}
	if plan := w.visit(1); !slices.Contains(plan.Drop, worn) {
		t.Errorf("a set that was handed out is kept: %+v", plan)
	}
	if got := w.complete(); got != want {
		t.Errorf("there are %+v", got)
	}
	old := map[mimi.URI]bool{}
	for _, h := range w.holdings() {
		old[h.Set] = true
	}
	w.pass(8)
	for range 2 {
		w.visit(0)
		w.visit(1)
	}
	for _, h := range w.holdings() {
		if old[h.Set] {
			t.Error("a set is left that is older than a week")
		}
	}
	if got := w.complete(); got != want {
		t.Errorf("after a week there are %+v", got)
	}
}

// TestSetsUnderInterleaving: whatever clients come, go, upload and whoever fetches in
// between, a set that is used once is handed out once, a set has exactly one
// KeyPackage of each client that the user has at that time, all under one pseudonym,
// and when the clients have been there the stock is full again.
func TestSetsUnderInterleaving(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	rapid.Check(t, func(r *rapid.T) {
		w := newWorld(t, s)
		w.want = keymaterial.Stock{Single: 1, LastResort: 2}
		single := map[mimi.URI]bool{}
		next := uint32(1)
		gone := map[mimi.URI]bool{} // the sets that a client knew which has gone
		w.visit(0)
		r.Repeat(map[string]func(*rapid.T){
			"tick": func(r *rapid.T) { w.visit(rapid.SampledFrom(w.slots).Draw(r, "client")) },
			"fetch": func(r *rapid.T) {
				answer := w.fetch()
				if answer.Err() != nil {
					return
				}
				set, _, err := w.check(answer)
				if err != nil {
					r.Fatal(err)
				}
				if len(set) != len(w.slots) {
					r.Fatalf("%d KeyPackages for %d clients", len(set), len(w.slots))
				}
				for _, kp := range set {
					if kp.Credential.UserPseudonym != answer.User {
						r.Fatal("a set with two pseudonyms")
					}
				}
				if gone[answer.User] {
					r.Fatal("a set of a client that has gone was handed out")
				}
				if single[answer.User] {
					r.Fatal("a set was handed out twice")
				}
				single[answer.User] = !set[0].LastResort
			},
			"client joins": func(r *rapid.T) {
				if len(w.slots) == 3 {
					r.Skip("enough clients")
				}
				w.slots = append(slices.Clone(w.slots), next)
				next++
				w.visit(next - 1)
			},
			"client leaves": func(r *rapid.T) {
				if len(w.slots) == 1 {
					r.Skip("the last client")
				}
				slot := rapid.SampledFrom(w.slots).Draw(r, "client")
				for _, h := range w.holdings() {
					if h.Slot == slot {
						gone[h.Set] = true
					}
				}
				w.slots = slices.DeleteFunc(slices.Clone(w.slots), func(n uint32) bool { return n == slot })
				w.visit(w.slots[0])
			},
			"days pass": func(r *rapid.T) {
				w.pass(rapid.IntRange(1, 10).Draw(r, "days"))
			},
			"": func(r *rapid.T) {
				for _, h := range w.holdings() {
					if !slices.Contains(w.slots, h.Slot) {
						r.Fatal("a KeyPackage of a client that has gone is stored")
					}
				}
			},
		})
		for range 2 {
			for _, slot := range w.slots {
				w.visit(slot)
			}
		}
		if got := w.complete(); got.Single < w.want.Single || got.LastResort < w.want.LastResort {
			r.Fatalf("when all clients have been there, there are %+v", got)
		}
	})
}

// TestPlan has the cases one by one.
func TestPlan(t *testing.T) {
	now := identitytest.Start
	set := func(n int) mimi.URI {
		return mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: fmt.Sprint(n)}
	}
	row := func(n int, slot uint32, lastResort bool, days int, handedOut uint64) keymaterial.Holding {
		return keymaterial.Holding{Row: keymaterial.Row{Set: set(n), Slot: slot, LastResort: lastResort, NotAfter: now.AddDate(0, 0, days)}, HandedOut: handedOut}
	}
	type stock = keymaterial.Stock
	for name, test := range map[string]struct {
		held  []keymaterial.Holding
		slots []uint32
		want  stock
		plan  keymaterial.Plan
	}{
		"nothing": {nil, []uint32{0}, stock{1, 2}, keymaterial.Plan{Begin: stock{1, 2}}},
		"all is there": {
			[]keymaterial.Holding{row(1, 0, true, 9, 0), row(2, 0, false, 9, 0)},
			[]uint32{0},
			stock{1, 1},
			keymaterial.Plan{},
		},
		"more than wanted": {
			[]keymaterial.Holding{row(1, 0, true, 9, 0), row(2, 0, true, 9, 0)},
			[]uint32{0},
			stock{0, 1},
			keymaterial.Plan{},
		},
		"old, handed out, over": {
			[]keymaterial.Holding{row(1, 0, true, 2, 0), row(2, 0, true, 9, 1), row(3, 0, true, -1, 0)},
			[]uint32{0},
			stock{0, 2},
			keymaterial.Plan{Begin: stock{0, 2}, Drop: []mimi.URI{set(3), set(1), set(2)}},
		},
		"worn is better than none": {
			[]keymaterial.Holding{row(1, 0, true, 2, 0), row(1, 4, true, 2, 0)},
			[]uint32{0, 4},
			stock{0, 1},
			keymaterial.Plan{Begin: stock{0, 1}},
		},
		"begun by another": {
			[]keymaterial.Holding{row(1, 4, true, 9, 0), row(2, 4, false, 9, 0)},
			[]uint32{0, 4},
			stock{1, 1},
			keymaterial.Plan{Complete: []keymaterial.Begun{{set(1), true}, {set(2), false}}},
		},
		"completed here, worn there": {
			[]keymaterial.Holding{row(1, 4, true, 9, 0), row(2, 0, true, 9, 3), row(2, 4, true, 9, 3)},
			[]uint32{0, 4},
			stock{0, 1},
			keymaterial.Plan{Complete: []keymaterial.Begun{{set(1), true}}, Drop: []mimi.URI{set(2)}},
		},
		"known to a client that has gone": {
			[]keymaterial.Holding{row(1, 0, true, 9, 0), row(1, 7, true, 9, 0)},
			[]uint32{0, 4},
			stock{0, 1},
			keymaterial.Plan{Begin: stock{0, 1}, Drop: []mimi.URI{set(1)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := keymaterial.NewPlan(keymaterial.PlanConfig{
				Held: test.held, Slots: test.slots, Own: 0, Want: test.want, Usable: now, Fresh: now.AddDate(0, 0, 5),
			})
			if diff := cmp.Diff(test.plan, got); diff != "" {
				t.Errorf("unexpected plan (-want +got):\n%s", diff)
			}
			if test.plan.Empty() != got.Empty() || got.Empty() != (name == "all is there" || name == "more than wanted") {
				t.Errorf("empty is %t", got.Empty())
			}
		})
	}
}
