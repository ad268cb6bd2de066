package attack

import (
	"fmt"
	"strings"
)

// Table is the table of docs/attacks.md.
func Table(attacks []Attack) string {
	var b strings.Builder
	b.WriteString("| attack | the attacker | check | section |\n|---|---|---|---|\n")
	for _, a := range attacks {
		fmt.Fprintf(&b, "| %s/%s | %s | `%s` | %s |\n", a.Group, a.Name, a.What, a.Check, a.Section)
	}
	return b.String()
}
