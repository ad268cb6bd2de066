package main

import (
	"context"
	"log/slog"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/bridge/metrics"
	"github.com/mimi-gateway/mimi-gateway/cmd/internal/node"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
)

var (
	_ bridge.IntakeStore = (*mapping.Intake)(nil)
	_ bridge.Store       = (*mapping.Bridge)(nil)
)

// backend builds the MIMI side and its stores on the gateway's database.
type backend struct {
	settings config.Config
	keys     mapping.Keys
	clock    mimi.Clock
	lab      *labOptions
	metrics  *metrics.Metrics

	node *node.Node // set by open
}

// open implements the Open of [bridge.Options].
func (b *backend) open(ctx context.Context, db *dbutil.Database, log *slog.Logger, matrix bridge.Matrix) (*bridge.Backend, error) {
	store, err := mapping.Open(ctx, db, b.keys)
	if err != nil {
		return nil, err
	}
	n, err := node.New(node.Config{
		Settings: b.settings, Store: store, People: matrix, Sink: matrix, Clock: b.clock, Log: log, Faults: b.lab.engineFaults(),
		Metrics: b.metrics, Refused: b.metrics.Refused,
	})
	if err != nil {
		return nil, err
	}
	b.node = n
	return &bridge.Backend{Node: n, Engine: n.Client(), Intake: store.Intake(), Store: store.Bridge()}, nil
}

// failed receives the error with which the MIMI side has ended by itself. It is
// called after a successful start.
func (b *backend) failed() <-chan error { return b.node.Failed() }
