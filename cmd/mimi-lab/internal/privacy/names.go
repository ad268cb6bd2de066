//go:build lab

package privacy

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// names makes up what must not be found. The same seed makes up the same.
type names struct{ random *rand.Rand }

func newNames(seed uint64) *names { return &names{rand.New(rand.NewPCG(seed, 0x6d696d69))} } //nolint:gosec // names, not secrets

// word is one that turns up nowhere else: n letters by chance.
func (n *names) word(letters int) string {
	const consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"
	var b strings.Builder
	for i := range letters {
		set := consonants
		if i%2 == 1 {
			set = vowels
		}
		b.WriteByte(set[n.random.IntN(len(set))])
	}
	return b.String()
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

func (n *names) localpart() string { return n.word(8) + "." + n.word(7) }
func (n *names) full() string      { return title(n.word(9)) + " " + title(n.word(11)) }
func (n *names) room() string      { return "Plans of " + n.full() }
func (n *names) text() string      { return fmt.Sprintf("Meet me at %s %s", n.word(12), n.word(10)) }
