package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers sqlite3-fk-wal-fullsync
	"go.mau.fi/util/exzerolog"
	"golang.org/x/sync/errgroup"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/matrix"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/bridge/metrics"
	"github.com/mimi-gateway/mimi-gateway/mapping"
)

// The stop takes less than the sum, which supervisors are promised to be
// 5 seconds.
const (
	// handlerGrace is how long handlers of Matrix events may go on.
	handlerGrace = 2 * time.Second
	// stopGrace is how long everything else may take to close.
	stopGrace = 2500 * time.Millisecond
)

// A daemon is one running gateway.
type daemon struct {
	log       *zerolog.Logger
	db        *dbutil.Database
	connector *bridge.Connector
	bridge    *bridgev2.Bridge
	backend   *backend
	metrics   *metrics.Metrics
}

// runDaemon runs the gateway until ctx is done. What it started it stops, in
// the reverse order, in every case.
func runDaemon(ctx context.Context, opts *options) error {
	s, err := loadSettings(opts.config)
	if err != nil {
		return err
	}
	if err := s.validate(); err != nil {
		return err
	}
	log, err := s.bridge.Logging.Compile()
	if err != nil {
		return fail(exitLog, "failed to set up the log: %w", err)
	}
	exzerolog.SetupDefaults(log)
	claimed, err := mapping.Claim(s.bridge.Database.PoolConfig)
	if err != nil {
		return fail(exitDatabase, "%w", err)
	}
	defer func() {
		if err := claimed.Release(); err != nil {
			log.Warn().Err(err).Msg("Failed to release the database")
		}
	}()
	keys, err := claimed.LoadKeyFile(s.network.KeyFile)
	if err != nil {
		return fail(exitDatabase, "network.key_file: %w", err)
	}
	d := &daemon{log: log, metrics: metrics.New()}
	if err := d.build(s, opts, keys); err != nil {
		return err
	}
	version := programVersion()
	log.Info().Str("version", version.FormattedVersion).Str("domain", s.network.Domain).Msg("Starting mimi-gateway")
	return d.run(ctx, s.network.Metrics.Address, &opts.lab)
}

// build joins the parts; nothing runs yet.
func (d *daemon) build(s *settings, opts *options, keys mapping.Keys) error {
	version := programVersion()
	mautrix.DefaultUserAgent = fmt.Sprintf("%s/%s %s", name, version.FormattedVersion, mautrix.DefaultUserAgent)
	db, err := dbutil.NewFromConfig("megabridge/"+name, s.bridge.Database,
		dbutil.ZeroLogger(d.log.With().Str("db_section", "main").Logger()))
	if err != nil {
		return fail(exitDatabase, "failed to open the database: %w", err)
	}
	db.IgnoreForeignTables = opts.ignoreForeignTables
	db.IgnoreUnsupportedDatabase = opts.ignoreUnsupportedVersion
	d.db = db
	clock := opts.lab.newClock()
	d.backend = &backend{settings: s.network, keys: keys, clock: clock, lab: &opts.lab, metrics: d.metrics}
	d.connector = bridge.NewConnector(bridge.Options{
		Config:        &s.network,
		Open:          d.backend.open,
		Clock:         clock,
		IntakeMetrics: d.metrics,
		PuppetValue:   name,
		Faults:        opts.lab.bridgeFaults(),
		Version:       version.MarkdownDescription(),
	})
	mx := matrix.NewConnector(&s.bridge)
	mx.IgnoreUnsupportedServer = opts.ignoreUnsupportedServer
	d.bridge = bridgev2.NewBridge("", db, *d.log, &s.bridge.Bridge, mx, d.connector, commands.NewProcessor)
	mx.AS.DoublePuppetValue = name
	return nil
}

// run starts the parts in order and waits for ctx, or for one of them to fail.
func (d *daemon) run(ctx context.Context, metricsAddress string, lab *labOptions) error {
	group, ctx := errgroup.WithContext(ctx)
	controlAddress, controls := lab.controls()
	for _, l := range []struct {
		address string
		handler http.Handler
	}{{metricsAddress, d.metrics.Handler()}, {controlAddress, controls}} {
		if l.address != "" {
			if err := serve(ctx, group, l.address, l.handler); err != nil {
				return err
			}
		}
	}
	group.Go(func() error { return d.runBridge(ctx) })
	return group.Wait()
}

// runBridge starts bridgev2 and stops it when ctx is done.
func (d *daemon) runBridge(ctx context.Context) error {
	// bridgev2 gets a context that is not cancelled: it is stopped in order.
	running := d.log.WithContext(context.WithoutCancel(ctx))
	started := make(chan error, 1)
	go func() { started <- d.start(d.log.WithContext(ctx), running) }()
	select {
	case err := <-started:
		if err != nil {
			d.stop()
			if ctx.Err() != nil {
				return nil // the start was cut off on demand
			}
			return d.startError(err)
		}
	case <-ctx.Done():
		// The start may hang on a homeserver that does not answer. Nothing has
		// been promised to anybody yet, and the database survives.
		return nil
	}
	served := make(chan error, 1)
	go func() { served <- d.connector.Serve(d.log.WithContext(ctx)) }()
	var err error
	select {
	case err = <-served:
	case err = <-d.backend.failed():
		err = fmt.Errorf("failed to serve other providers: %w", err)
	case <-ctx.Done():
		select {
		case err = <-served:
		case <-time.After(handlerGrace):
			d.log.Warn().Msg("Handlers did not end in time; their events will be handled at the next start")
		}
	}
	d.connector.Abandon()
	d.stop()
	return err
}

func (d *daemon) start(starting, running context.Context) error {
	if err := d.bridge.StartConnectors(starting); err != nil {
		return err
	}
	if err := d.bridge.StartLogins(running); err != nil {
		return fmt.Errorf("failed to start the logins: %w", err)
	}
	d.bridge.PostStart(running)
	return nil
}

// stop ends everything bridgev2 started. It gives up waiting rather than let
// a supervisor kill the process: the database is in order at every moment.
func (d *daemon) stop() {
	done := make(chan struct{})
	go func() {
		d.bridge.StopWithTimeout(stopGrace)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(stopGrace):
		d.log.Warn().Msg("Some parts did not stop in time")
	}
}

// startError gives the errors of bridgev2 their exit codes.
func (d *daemon) startError(err error) error {
	if coded, ok := errors.AsType[matrix.ExitError](err); ok {
		return &exitError{code: coded.ExitCode, err: err}
	}
	if upgrade, ok := errors.AsType[bridgev2.DBUpgradeError](err); ok {
		return fail(exitDatabase, "failed to upgrade the database (%s): %w", upgrade.Section, err)
	}
	return fmt.Errorf("failed to start: %w", err)
}

// serve answers HTTP at address until ctx is done. The address is bound when it
// returns.
func serve(ctx context.Context, group *errgroup.Group, address string, handler http.Handler) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return nil
}
