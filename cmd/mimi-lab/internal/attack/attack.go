// Package attack plays the active attacks of the minimal-metadata profile against a
// running gateway: each breaks one rule, and has to be refused by the one check that
// stands for that rule.
//
// The attacker is another provider with a certificate of its own, an identity CA,
// users who are connected with the victim's, and rooms. It begins as an honest
// gateway, and then its state is taken over: from its store come keys, groups and
// wrapper keys, with which messages are made that no gateway would make, but that
// are signed and encrypted as they should be. As a hub it sits in front of its own
// gateway ([wiretap.Hand]) and answers as it likes.
package attack

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/internal/node"
)

// An Attack breaks one rule.
type Attack struct {
	// Group is the command that plays it, and Name its name there.
	Group, Name string
	// What says in one line what the attacker does.
	What string
	// Check is the code of the check that refuses it (docs/attacks.md), and Section
	// that of the profile that asks for it.
	Check, Section string
	// play attacks. What it returns says whether the attack has succeeded, now or
	// later, and how anybody can see that.
	play func(w *world) success
}

// A success says what an attacker has reached, or "" if nothing so far.
type success func() string

// once is the success of an attack that had one chance.
func once(what string) success { return func() string { return what } }

// Groups are the commands, in the order in which "all" plays them.
var Groups = []string{"table", "resync", "queue", "connect", "keymaterial", "welcome"}

// All returns the attacks of a group, or of all with "all".
func All(group string) []Attack {
	var out []Attack
	for _, g := range Groups {
		if group == "all" || group == g {
			for _, a := range attacks[g]() {
				a.Group = g
				out = append(out, a)
			}
		}
	}
	return out
}

var attacks = map[string]func() []Attack{
	"table": tableAttacks, "connect": connectAttacks, "keymaterial": keyMaterialAttacks,
	"welcome": welcomeAttacks, "queue": queueAttacks, "resync": resyncAttacks,
}

// A Verdict is what became of an attack.
type Verdict struct {
	Attack Attack
	// Refused says that the check has refused it, and Times how often it was counted.
	Refused bool
	Times   int
	// Reached is what the attacker has reached; empty if nothing.
	Reached string
	// Next are other checks that have refused it, or what else has stopped it.
	Next []string
	// Answer is what the attacker was told; empty if what it sent was dropped unseen.
	Answer string
	// Crashed says that the gateway's code has panicked.
	Crashed bool
	// Err says that the attack could not be played, or what it has broken.
	Err error
}

// patience is how long a message may take to arrive and to be judged.
const patience = 45 * time.Second

// lastWord is how long the verdict may take once another check has refused
// something.
const lastWord = 2 * time.Second

// verdict plays an attack and waits for what becomes of it.
func (a Attack) verdict(ctx context.Context, w *world) (v Verdict) {
	v.Attack = a
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				f, v.Crashed = failure{fmt.Errorf("panic: %v", p)}, true
			}
			v.Err = f.error
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	w.ctx, w.stopped = ctx, nil
	defer w.victim.Tap.SetHand(nil)
	defer w.evil.Tap.SetHand(nil)
	before := w.victim.Refusals()
	reached := a.play(w)
	judged := func() bool {
		v.Times = w.victim.Refusals()[a.Check] - before[a.Check]
		v.Reached = reached()
		return v.Times > 0 || v.Reached != ""
	}
	w.until(patience, func() bool { return judged() || w.stopped != nil || len(w.others(before, a.Check)) > 0 })
	if !judged() && w.stopped == nil { // another check was asked first; the last word may come later
		w.until(lastWord, judged)
	}
	v.Refused = v.Times > 0
	if v.Reached == "" {
		v.Reached = reached()
	}
	if w.stopped != nil {
		v.Answer = w.stopped.Error()
	}
	if v.Next = w.others(before, a.Check); len(v.Next) == 0 && v.Answer != "" {
		v.Next = []string{cmp.Or(strings.TrimPrefix(node.CheckOf(w.stopped), node.CheckOther), v.Answer)}
	}
	return v
}

// daily are refusals that happen among honest providers, which were just too slow.
var daily = []string{"message-epoch-past", "update-epoch"}

// others are the checks beside one that have refused something since.
func (w *world) others(before map[string]int, check string) []string {
	var out []string
	for code, n := range w.victim.Refusals() {
		if code != check && n > before[code] && !slices.Contains(daily, code) {
			out = append(out, code)
		}
	}
	slices.Sort(out)
	return out
}

// Line is the verdict in one line.
func (v Verdict) Line() string {
	a := v.Attack
	name := a.Group + "/" + a.Name
	switch {
	case v.Err != nil:
		return fmt.Sprintf("BROKEN   %-44s %v", name, v.Err)
	case v.Refused && v.Reached == "":
		return fmt.Sprintf("refused  %-44s check=%-28s metric +%d  %s", name, a.Check, v.Times, cmp.Or(v.Answer, "dropped"))
	case v.Reached != "":
		return fmt.Sprintf("SUCCESS  %-44s %s", name, v.Reached)
	default:
		return fmt.Sprintf("MISSED   %-44s not refused by %s, met: %s", name, a.Check, strings.Join(v.Next, ", "))
	}
}

// Checks counts the checks that attacks meet.
func Checks(attacks []Attack) int {
	seen := map[string]bool{}
	for _, a := range attacks {
		seen[a.Check] = true
	}
	return len(slices.Collect(maps.Keys(seen)))
}
