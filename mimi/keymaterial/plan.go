package keymaterial

import (
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Stock is how many sets of each kind there are, or shall be.
type Stock struct{ Single, LastResort int }

// of returns the number for a kind.
func (s *Stock) of(lastResort bool) *int {
	if lastResort {
		return &s.LastResort
	}
	return &s.Single
}

// A PlanConfig is what a client makes its [Plan] from.
type PlanConfig struct {
	// Held is all that is stored under the token.
	Held []Holding
	// Slots are the clients of the user, ascending, and Own the one that plans.
	Slots []uint32
	Own   uint32
	// Want is the stock to reach.
	Want Stock
	// Usable is the not_after before which a set is not handed out any more, and
	// Fresh, not before it, the one before which it is to be replaced.
	Usable, Fresh time.Time
}

// A Plan is what one client of a user has to upload so that there are enough sets
// (draft-kohbrok-mimi-metadata-minimalization-01, section "KeyPackages"): first
// what other clients have begun, then sets of its own for others to complete.
type Plan struct {
	// Complete are the sets that others have begun and that this client adds a
	// KeyPackage to.
	Complete []Begun
	// Begin is how many sets to begin.
	Begin Stock
	// Drop are the sets that have had their time.
	Drop []mimi.URI
}

// A Begun is a set that still lacks a KeyPackage of the client that plans.
type Begun struct {
	Set        mimi.URI
	LastResort bool
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool {
	return len(p.Complete) == 0 && p.Begin == Stock{} && len(p.Drop) == 0
}

// NewPlan makes a plan. A set with a KeyPackage of a client that the user has no
// more is dropped: that client knows its pseudonym. A set that is old, or that is of
// last resort and was handed out, is dropped once there are enough complete ones in
// its place.
func NewPlan(cfg PlanConfig) Plan {
	var plan Plan
	var have, complete Stock
	worn := map[bool][]mimi.URI{}
	for set := range sets(cfg.Held) {
		kind, own, others := set[0].LastResort, false, 0
		gone, old := false, set[0].HandedOut > 0
		for _, h := range set {
			gone = gone || !slices.Contains(cfg.Slots, h.Slot) || h.NotAfter.Before(cfg.Usable)
			old = old || h.NotAfter.Before(cfg.Fresh)
			if h.Slot == cfg.Own {
				own = true
			} else {
				others++
			}
		}
		switch {
		case gone:
			plan.Drop = append(plan.Drop, set[0].Set)
			continue
		case old:
			worn[kind] = append(worn[kind], set[0].Set)
			continue
		case !own:
			plan.Complete = append(plan.Complete, Begun{set[0].Set, kind})
		}
		*have.of(kind)++
		if others == len(cfg.Slots)-1 {
			*complete.of(kind)++
		}
	}
	for _, kind := range []bool{false, true} {
		begin := max(0, *cfg.Want.of(kind)-*have.of(kind))
		*plan.Begin.of(kind) = begin
		if len(cfg.Slots) == 1 {
			*complete.of(kind) += begin
		}
		if *complete.of(kind) >= *cfg.Want.of(kind) {
			plan.Drop = append(plan.Drop, worn[kind]...)
		}
	}
	return plan
}

// sets yields the rows of each set; they stand together.
func sets(held []Holding) func(yield func([]Holding) bool) {
	return func(yield func([]Holding) bool) {
		for len(held) > 0 {
			n := 1
			for n < len(held) && held[n].Set == held[0].Set {
				n++
			}
			if !yield(held[:n]) {
				return
			}
			held = held[n:]
		}
	}
}
