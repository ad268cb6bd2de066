//go:build lab

package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// A homeserver is an engine's Matrix side: the connector of the gateway, on a
// homeserver that is a few maps in this process.
type homeserver struct {
	engine    *engine
	faults    bridge.Faults
	matrix    *bridgetest.Matrix
	bridge    *bridgev2.Bridge
	connector *bridge.Connector
	end       func() error
}

func newHomeserver(faults bridge.Faults) *homeserver {
	return &homeserver{faults: faults, matrix: bridgetest.NewMatrix(true)}
}

// start implements matrixSide.
func (h *homeserver) start(ctx context.Context, e *engine, store *mapping.Store) error {
	h.engine = e
	h.connector = bridge.NewConnector(bridge.Options{
		Config: &e.settings, Clock: mimi.SystemClock{}, Version: "lab", Faults: h.faults,
		Open: func(_ context.Context, _ *dbutil.Database, _ *slog.Logger, matrix bridge.Matrix) (*bridge.Backend, error) {
			n, err := e.newNode(store, matrix, witness{e, matrix})
			if err != nil {
				return nil, err
			}
			e.node = n
			return &bridge.Backend{Node: startedOn{e}, Engine: n.Client(), Intake: bridge.NewMemoryIntake(), Store: store.Bridge()}, nil
		},
	})
	h.bridge = bridgev2.NewBridge("", e.db, zerolog.Nop(), &bridgeconfig.BridgeConfig{
		CommandPrefix: "!mimi", BridgeMatrixLeave: true, DeduplicateMatrixMessages: true, RevertFailedStateChanges: true,
		Permissions: bridgeconfig.PermissionConfig{bridgetest.Server: &bridgeconfig.PermissionLevelUser},
	}, h.matrix, h.connector, commands.NewProcessor)
	if err := h.bridge.Start(ctx); err != nil {
		return err
	}
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- h.connector.Serve(serving) }()
	h.end = func() error {
		end()
		err := <-served
		h.bridge.Stop()
		return err
	}
	return nil
}

// stop implements matrixSide.
func (h *homeserver) stop() error { return h.end() }

// startedOn is the engine's node on the listener that the engine has bound.
type startedOn struct{ e *engine }

// Start implements [bridge.Node].
func (s startedOn) Start(ctx context.Context) error { return s.e.node.StartOn(ctx, s.e.listener) }

// Stop implements [bridge.Node].
func (s startedOn) Stop() { s.e.node.Stop() }

// A witness tells the engine what the Matrix side is told.
type witness struct {
	e      *engine
	matrix client.Sink
}

// Deliver implements [client.Sink].
func (w witness) Deliver(ctx context.Context, event *client.Event) error {
	if err := w.matrix.Deliver(ctx, event); err != nil {
		return err
	}
	return w.e.Deliver(ctx, event)
}

func (h *homeserver) register(localpart, name string) {
	h.matrix.Register(bridgetest.UserID(localpart), name)
}

// UserID is the Matrix id of a person.
func (h *homeserver) UserID(localpart string) id.UserID { return bridgetest.UserID(localpart) }

// Server is the name of the homeserver.
func (h *homeserver) Server() string { return bridgetest.Server }

// Accept lets a person join the room of the request that waits for an answer.
func (h *homeserver) Accept(ctx context.Context, localpart string) error {
	who := bridgetest.UserID(localpart)
	rooms := h.matrix.Rooms(who, event.MembershipInvite)
	if len(rooms) == 0 {
		return fmt.Errorf("%s is invited to no room", localpart)
	}
	for _, room := range rooms {
		h.matrix.Join(ctx, who, room)
	}
	return nil
}

// Portals says of each portal what was sent there: "disclosure" or "message".
func (h *homeserver) Portals(ctx context.Context) (map[string][]string, error) {
	portals, err := h.bridge.GetAllPortalsWithMXID(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, p := range portals {
		timeline := []string{}
		for _, e := range h.matrix.Room(p.MXID).Timeline {
			switch {
			case e.Type != event.EventMessage:
			case e.Sender == bridgetest.BotID:
				timeline = append(timeline, "disclosure")
			default:
				timeline = append(timeline, "message")
			}
		}
		out[string(p.MXID)] = timeline
	}
	return out, nil
}
