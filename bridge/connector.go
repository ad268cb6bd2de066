// Package bridge is the Matrix side of the gateway: a network connector for
// mautrix-go's bridgev2. It turns what people do in Matrix into calls of the
// engine that acts for them in MIMI, and what the engine learns into Matrix
// rooms, members and messages.
//
// A person on Matrix has one login, a MIMI room has one portal, and a person on
// the MIMI side has one ghost. What travels in between must survive a crash:
// events of the homeserver are stored by an [Intake] before they are
// acknowledged, and events for the homeserver carry transaction ids of their
// [Cause].
package bridge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"go.mau.fi/util/configupgrade"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/bridgev2/networkid"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/bridge/zlog"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// bridgeInfoVersion and capabilitiesVersion grow when the state events that
// describe a portal change, so that they are written again.
const (
	bridgeInfoVersion   = 1
	capabilitiesVersion = 1
)

// Options holds what the connector needs from its process.
type Options struct {
	// Config is the "network" section. It must hold its values before the
	// bridge is initialised.
	Config *config.Config
	// Open builds the backend on bridgev2's database, whose own tables are up
	// to date by then, so that both can share transactions. The engine tells
	// matrix what to show, and asks it who has an account.
	Open func(ctx context.Context, db *dbutil.Database, log *slog.Logger, matrix Matrix) (*Backend, error)
	// Clock is the time of the whole gateway.
	Clock mimi.Clock
	// IntakeMetrics may be nil.
	IntakeMetrics IntakeMetrics
	// PuppetValue marks what the gateway does as a person (double puppeting).
	PuppetValue string
	// Faults are empty but in the lab.
	Faults Faults
	// Version is shown by the command "version", in Markdown.
	Version string
}

// Matrix is the connector as the engine sees it.
type Matrix interface {
	client.Sink
	client.People
}

// A Connector is the gateway as bridgev2 sees it.
type Connector struct {
	opts Options

	pending pending
	ready   chan struct{} // closed by Serve: logins and Matrix can be used
	// creating is read-locked while somebody makes rooms; see awaitCreation.
	creating sync.RWMutex
	shown    shownCodes
	// loginLock is held while a login is made.
	loginLock sync.Mutex

	// Set by Init, constant afterwards.
	bridge   *bridgev2.Bridge
	log      *slog.Logger
	profiles Profiler
	intake   *Intake // nil without a real homeserver

	// Set by Start, constant afterwards.
	backend *Backend
}

var (
	_ bridgev2.NetworkConnector            = (*Connector)(nil)
	_ bridgev2.StoppableNetwork            = (*Connector)(nil)
	_ bridgev2.IdentifierValidatingNetwork = (*Connector)(nil)
	_ bridgev2.ConfigValidatingNetwork     = (*Connector)(nil)
)

// NewConnector returns a connector for one bridge.
func NewConnector(opts Options) *Connector {
	c := &Connector{opts: opts, ready: make(chan struct{})}
	c.pending = pending{main: c, rooms: map[mimi.URI]int{}}
	return c
}

// Init implements [bridgev2.NetworkConnector].
func (c *Connector) Init(bridge *bridgev2.Bridge) {
	c.bridge = bridge
	c.log = zlog.New(bridge.Log)
	if proc, ok := bridge.Commands.(*commands.Processor); ok {
		c.addCommands(proc)
	}
	mx, ok := bridge.Matrix.(*matrix.Connector)
	if !ok {
		c.profiles, _ = bridge.Matrix.(Profiler)
		return
	}
	c.profiles = homeserver{mx}
	InstallTransactionIDs(mx.AS)
	// The intake waits for a handler to return, and does not give up: each
	// room has its own queue, and a handler has its own limits.
	mx.EventProcessor.ExecMode = appservice.Sync
	mx.EventProcessor.ExecSyncWarnTime = 0
	mx.EventProcessor.ExecSyncTimeout = 0
	c.intake = NewIntake(IntakeConfig{
		AppService: mx.AS,
		Dispatcher: mx.EventProcessor,
		Clock:      c.opts.Clock,
		Log:        c.log,
		Metrics:    c.opts.IntakeMetrics,
	})
	c.prependHandlers(mx.EventProcessor)
}

// Start implements [bridgev2.NetworkConnector].
func (c *Connector) Start(ctx context.Context) error {
	backend, err := c.opts.Open(ctx, c.bridge.DB.Database, c.log, c)
	if err != nil {
		return fmt.Errorf("bridge: failed to open the stores: %w", err)
	}
	c.backend = backend
	if c.intake != nil {
		c.intake.Open(backend.Intake)
	}
	if err := backend.Node.Start(ctx); err != nil {
		return fmt.Errorf("bridge: failed to start the engine: %w", err)
	}
	return nil
}

// Stop implements [bridgev2.StoppableNetwork].
func (c *Connector) Stop() {
	if c.backend != nil {
		c.backend.Node.Stop()
	}
	c.pending.stop()
}

// Serve handles events of the homeserver and of the engine until ctx is done, and returns when
// no handler is left. It is called once, when all logins are loaded; until then
// events are only stored.
func (c *Connector) Serve(ctx context.Context) error {
	close(c.ready)
	if c.intake == nil {
		<-ctx.Done()
		return nil
	}
	if err := c.intake.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("bridge: intake: %w", err)
	}
	return nil
}

// Abandon is called when handlers have to be cut off, before bridgev2 stops:
// their events will be handled again by the next process.
func (c *Connector) Abandon() {
	if c.intake != nil {
		c.intake.Abandon()
	}
}

// GetName implements [bridgev2.NetworkConnector].
func (c *Connector) GetName() bridgev2.BridgeName {
	return bridgev2.BridgeName{
		DisplayName:          "MIMI",
		NetworkURL:           "https://datatracker.ietf.org/wg/mimi/about/",
		NetworkID:            "mimi",
		BeeperBridgeType:     "github.com/mimi-gateway/mimi-gateway",
		DefaultPort:          29360,
		DefaultCommandPrefix: "!mimi",
	}
}

// GetConfig implements [bridgev2.NetworkConnector].
func (c *Connector) GetConfig() (example string, data any, upgrader configupgrade.Upgrader) {
	return config.NetworkExample(), c.opts.Config, configupgrade.NoopUpgrader
}

// ValidateConfig implements [bridgev2.ConfigValidatingNetwork].
func (c *Connector) ValidateConfig() error { return c.opts.Config.Validate() }

// ValidateUserID implements [bridgev2.IdentifierValidatingNetwork].
func (c *Connector) ValidateUserID(id networkid.UserID) bool { return mimiid.IsGhostID(id) }

// GetBridgeInfoVersion implements [bridgev2.NetworkConnector].
func (c *Connector) GetBridgeInfoVersion() (info, capabilities int) {
	return bridgeInfoVersion, capabilitiesVersion
}

// LoadUserLogin implements [bridgev2.NetworkConnector].
func (c *Connector) LoadUserLogin(ctx context.Context, login *bridgev2.UserLogin) error {
	user, err := mimiid.ParseUserLoginID(login.ID)
	if err != nil {
		return err
	}
	account, err := c.accountOf(user)
	if err != nil {
		return err
	}
	ghost, err := c.personID(ctx, account)
	if err != nil {
		return err
	}
	login.Client = &Client{main: c, login: login, user: user, account: account, ghost: ghost}
	return nil
}
