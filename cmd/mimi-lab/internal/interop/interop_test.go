package interop

import (
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/mlspeer"
)

// TestScenarios plays every scenario between two of our own peers, through the
// JSON protocol.
func TestScenarios(t *testing.T) {
	for _, id := range []uint16{1, 2, 3} {
		for _, s := range scenarios {
			t.Run(fmt.Sprintf("%d/%s", id, s.name), func(t *testing.T) {
				start := func() (client, error) { return local{mlspeer.New()}, nil }
				a, b := &pool{name: "a", start: start}, &pool{name: "b", start: start}
				// Neither counts as the other implementation, which would encrypt its
				// handshake messages.
				if err := play(t.Context(), s, id, "test", a, b, false, false); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
