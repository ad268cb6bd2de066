//go:build !lab

package hub

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

// Faults are wrong behaviours of the lab build. This build has none.
type Faults struct{}

func (Faults) staged(context.Context, *Hub, *hosted, *mmr.Room) error { return nil }
