package bridge

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// TestExplainSaysMore: people are told the more special of two reasons, whichever
// way they are wrapped.
func TestExplainSaysMore(t *testing.T) {
	for _, special := range []error{client.ErrLinkDead, client.ErrFull, client.ErrNoConsent} {
		want := explain(special).String()
		for _, err := range []error{fmt.Errorf("%w: %w", special, client.ErrDenied), fmt.Errorf("%w: %w", client.ErrDenied, special)} {
			if got := explain(err).String(); got != want || strings.Contains(got, "The rules of this room") {
				t.Errorf("%v is told as %q, want %q", err, got, want)
			}
		}
	}
}
