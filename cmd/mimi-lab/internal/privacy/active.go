//go:build lab

package privacy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/attack"
)

// activeAttacks are what T7 names, by attacks of package attack: an active hub swaps
// packages, replays requests, inserts leaves, takes over a pseudonym, permutes or
// drops entries, serves an old table, and replays an old KeyPackage answer.
var activeAttacks = []string{
	"connect/package-of-another", "keymaterial/key-package-of-another",
	"connect/replayed-request", "keymaterial/replayed-token",
	"queue/hub-puts-a-leaf-in",
	"table/take-over",
	"table/permuted-entries", "table/absent-entry",
	"connect/old-table",
	"keymaterial/old-answer", "keymaterial/old-key-package",
}

// activeHub is T7.
func activeHub(p *proof, setup Setup) *finding {
	names := activeAttacks
	if setup.Fault != "" {
		names = []string{"connect/other-wrapper-key"}
	}
	attacks := slices.DeleteFunc(attack.All("all"), func(a attack.Attack) bool { return !slices.Contains(names, a.Group+"/"+a.Name) })
	if len(attacks) != len(names) {
		check(fmt.Errorf("%d of %d attacks are there", len(attacks), len(names)))
	}
	var out strings.Builder
	err := attack.Run(p.ctx, p.pair(setup.Fault), attacks, &out)
	f := &finding{}
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if strings.HasPrefix(line, "SUCCESS") || strings.HasPrefix(line, "MISSED") || strings.HasPrefix(line, "BROKEN") {
			f.hit("%s", strings.Join(strings.Fields(line), " "))
		}
	}
	if err != nil && len(f.hits) == 0 {
		check(err)
	}
	f.figures = fmt.Sprintf("%d attacks on %d checks, all refused; 0 octets of a link or message reached the attacker", len(attacks), attack.Checks(attacks))
	return f
}
