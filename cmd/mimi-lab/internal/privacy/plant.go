//go:build lab

package privacy

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
)

// plants is how often an identifier is planted in each encoding.
const plants = 100

// plant writes an identifier into copies of what was recorded, at places by chance, in
// every encoding that the scanner knows, and fails unless each is found. That the
// scanner knows the encodings as others write them is shown by its own tests, and by
// the second scanner.
func (s *story) plant() (line string) {
	random := rand.New(rand.NewPCG(uint64(len(s.texts)), 1)) //nolint:gosec // a choice
	needles, parts := s.needles(), s.allParts()
	forms := 0
	for i, form := range scan.Forms(needles[0].Text) {
		forms++
		for found := 0; found < plants; {
			n, data := needles[random.IntN(len(needles))], parts[random.IntN(len(parts))].data
			at := random.IntN(len(data) + 1)
			data = data[max(0, at-around):min(len(data), at+around)]
			at = min(at, around)
			if len(scan.Find(data, n)) > 0 {
				continue // where it is already, finding it would show nothing
			}
			planted := slices.Concat(data[:min(at, len(data))], scan.Forms(n.Text)[i].Octets, data[min(at, len(data)):])
			if len(scan.Find(planted, n)) == 0 {
				check(fmt.Errorf("%s, planted as %s, is not found", n.Name, form.Name))
			}
			found++
		}
	}
	return fmt.Sprintf("planted in %d encodings at random offsets of copies: %d of %d found in each", forms, plants, plants)
}

// around is how much of a copy is searched on each side of what was planted.
const around = 4096
