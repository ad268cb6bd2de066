//go:build lab

package hub

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

// Faults are wrong behaviours that the lab switches on, to see that its
// expectations notice them. Only a build with the tag lab has them.
type Faults struct {
	// EarlyTable writes the identity-link table of a Commit before all of what comes
	// with the Commit is checked.
	EarlyTable bool
}

// staged is told of a Commit that leads to next, and is not accepted yet.
func (f Faults) staged(ctx context.Context, h *Hub, r *hosted, next *mmr.Room) error {
	if !f.EarlyTable {
		return nil
	}
	rows, err := mmr.Rows(r.room(), next)
	if err != nil {
		return err
	}
	if err := h.cfg.Store.Advance(ctx, r.uri, r.version, &Change{Rows: rows, At: h.cfg.Clock.Now()}); err != nil {
		return err
	}
	r.version++
	return nil
}
