package main

import (
	"context"
	"log/slog"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/bridge"
)

// openBackend builds the engine and its stores on the gateway's database.
func openBackend(context.Context, *dbutil.Database, *slog.Logger) (*bridge.Backend, error) {
	return &bridge.Backend{Engine: idle{}, Intake: bridge.NewMemoryIntake()}, nil
}

// idle is an engine that serves nobody.
type idle struct{}

func (idle) Start(context.Context) error { return nil }

func (idle) Stop() {}
