package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers the driver

	"github.com/mimi-gateway/mimi-gateway/cmd/internal/node"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/pki"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

// An engine is the MIMI side of a gateway, with a database and HTTPS, and a stand-in
// for Matrix that knows a few people and remembers what it was told.
type engine struct {
	name, domain string
	dir          string
	settings     config.Config
	people       map[string]string
	faults       client.Faults
	log          *slog.Logger

	listener net.Listener
	claim    *mapping.Claimed
	db       *dbutil.Database
	store    *mapping.Store
	// groups hosts the groups of this engine's people, if it is not the engine itself.
	groups    *engine
	hubFaults hub.Faults
	// matrix is set for an engine with a homeserver.
	matrix matrixSide
	node   *node.Node

	mu       sync.Mutex
	events   []*client.Event
	grown    chan struct{}
	refusals map[string]int // by check
}

// A matrixSide is a bridge and what it needs of a homeserver.
type matrixSide interface {
	// start runs the bridge, and the engine's node with it, on the engine's database.
	start(ctx context.Context, e *engine, store *mapping.Store) error
	// stop ends both.
	stop() error
}

// engines are some of them, with taps between.
type engines struct {
	dir  string
	all  []*engine
	taps []*wiretap.Tap
	log  *wiretap.Log
}

// newEngines starts engines, in this order, after changes of how they will be. The
// caller must call close, even after an error.
func newEngines(ctx context.Context, names []string, faults client.Faults, changes ...func(*engines)) (*engines, error) {
	w := &engines{log: &wiretap.Log{}}
	var err error
	if w.dir, err = scratchDir(); err != nil {
		return w, err
	}
	authority, err := pki.NewAuthority(w.dir, time.Now())
	if err != nil {
		return w, err
	}
	certificates := map[string]tls.Certificate{}
	for _, name := range names {
		e := &engine{
			name: name, domain: "mimi." + name + ".localhost", dir: filepath.Join(w.dir, name), people: map[string]string{},
			faults: faults, grown: make(chan struct{}), refusals: map[string]int{}, settings: config.Default(),
		}
		w.all = append(w.all, e)
		if err := e.prepare(ctx, authority); err != nil {
			return w, err
		}
		if certificates[e.domain], err = tls.LoadX509KeyPair(e.settings.Listen.CertFile, e.settings.Listen.KeyFile); err != nil {
			return w, err
		}
	}
	if err := w.tap(ctx, authority, certificates); err != nil {
		return w, err
	}
	for _, change := range changes {
		change(w)
	}
	for _, e := range w.all {
		if err := e.start(ctx); err != nil {
			return w, err
		}
	}
	return w, nil
}

// plainRooms lets all engines make plain rooms.
func plainRooms(w *engines) {
	for _, e := range w.all {
		e.settings.PlainRooms = true
	}
}

// tap puts a tap in front of every engine, and tells the others to go there.
func (w *engines) tap(ctx context.Context, authority *pki.Authority, certificates map[string]tls.Certificate) error {
	pem, err := os.ReadFile(authority.CAFile())
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, e := range w.all {
		t, err := wiretap.Start(ctx, wiretap.Config{
			Domain: e.domain, Address: e.listener.Addr().String(), Certificates: certificates, Roots: roots, Log: w.log,
		})
		if err != nil {
			return err
		}
		w.taps = append(w.taps, t)
		for _, other := range w.all {
			if other != e {
				other.settings.Peers[e.domain] = config.Peer{Address: t.Address()}
			}
		}
	}
	return nil
}

func (w *engines) close() {
	for _, e := range w.all {
		_ = e.stop()
	}
	for _, t := range w.taps {
		_ = t.Stop()
	}
	if w.dir != "" {
		_ = os.RemoveAll(w.dir)
	}
}

// prepare makes what an engine keeps over restarts.
func (e *engine) prepare(ctx context.Context, authority *pki.Authority) error {
	if err := os.Mkdir(e.dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(e.dir, "log.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	e.log = slog.New(slog.NewTextHandler(io.Writer(log), &slog.HandlerOptions{Level: slog.LevelInfo}))
	certFile, keyFile, err := authority.Issue(e.domain)
	if err != nil {
		return err
	}
	e.settings.Domain = e.domain
	e.settings.Listen = config.Listen{CertFile: certFile, KeyFile: keyFile, CAFile: authority.CAFile()}
	e.settings.Peers = map[string]config.Peer{}
	e.settings.KeyFile = filepath.Join(e.dir, "key")
	return e.bind(ctx, "127.0.0.1:0")
}

func (e *engine) bind(ctx context.Context, address string) (err error) {
	var listen net.ListenConfig
	e.listener, err = listen.Listen(ctx, "tcp", address)
	return err
}

// database is the file that the engine keeps everything in.
func (e *engine) database() string { return filepath.Join(e.dir, "gateway.db") }

// start opens the database and starts the node on it.
func (e *engine) start(ctx context.Context) error {
	pool := dbutil.PoolConfig{Type: "sqlite3-fk-wal-fullsync", URI: "file:" + e.database() + "?_txlock=immediate", MaxOpenConns: 5, MaxIdleConns: 1}
	var err error
	if e.claim, err = mapping.Claim(pool); err != nil {
		return err
	}
	if e.db, err = dbutil.NewFromConfig("mimi-lab", dbutil.Config{PoolConfig: pool}, dbutil.NoopLogger); err != nil {
		return err
	}
	keys, err := e.claim.LoadKeyFile(e.settings.KeyFile)
	if err != nil {
		return err
	}
	if e.store, err = mapping.Open(ctx, e.db, keys); err != nil {
		return err
	}
	if e.matrix != nil {
		return e.matrix.start(ctx, e, e.store)
	}
	if e.node, err = e.newNode(e.store, e, e); err != nil {
		return err
	}
	return e.node.StartOn(ctx, e.listener)
}

// newNode makes the node of an engine with this Matrix side.
func (e *engine) newNode(store *mapping.Store, people client.People, sink client.Sink) (*node.Node, error) {
	cfg := node.Config{
		Settings: e.settings, Store: store, People: people, Sink: sink, Clock: mimi.SystemClock{}, Log: e.log, Faults: e.faults,
		HubFaults: e.hubFaults, Refused: e.refused,
	}
	if e.groups != nil {
		cfg.GroupHub = guestHub{e.groups.node.Hub(), e.domain}
	}
	return node.New(cfg)
}

// stop ends the node and closes the database.
func (e *engine) stop() error {
	if e.node == nil {
		return nil
	}
	var err error
	if e.matrix != nil {
		err = e.matrix.stop()
	} else {
		e.node.Stop()
	}
	e.node = nil
	return errors.Join(err, e.db.Close(), e.claim.Release())
}

// restart stops and starts the engine at the same address.
func (e *engine) restart(ctx context.Context) error {
	address := e.listener.Addr().String()
	return errors.Join(e.stop(), e.bind(ctx, address), e.start(ctx))
}

// Lookup implements [client.People].
func (e *engine) Lookup(_ context.Context, localpart string) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name, ok := e.people[localpart]
	if !ok {
		return "", client.ErrNoPerson
	}
	return name, nil
}

// Deliver implements [client.Sink].
func (e *engine) Deliver(_ context.Context, event *client.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.events = append(e.events, event)
	close(e.grown)
	e.grown = make(chan struct{})
	return nil
}

// happenedLimit is how long the lab waits for something that must happen.
const happenedLimit = 2 * time.Minute

// await waits for an event, from the first one on.
func (e *engine) await(ctx context.Context, what string, ok func(*client.Event) bool) (*client.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, happenedLimit)
	defer cancel()
	seen := 0
	for {
		e.mu.Lock()
		events, grown := e.events, e.grown
		e.mu.Unlock()
		for ; seen < len(events); seen++ {
			if ok(events[seen]) {
				return events[seen], nil
			}
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return nil, fmt.Errorf("%s did not see %s", e.name, what)
		}
	}
}

// count counts events that came so far.
func (e *engine) count(ok func(*client.Event) bool) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, event := range e.events {
		if ok(event) {
			n++
		}
	}
	return n
}

// client is the engine's.
func (e *engine) client() *client.Client { return e.node.Client() }

// refused counts what did not pass a check.
func (e *engine) refused(check string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusals[check]++
}

// A guestHub makes rooms for the users of a provider with another hub.
type guestHub struct {
	*hub.Hub
	domain string
}

// Create implements [client.OwnHub].
func (g guestHub) Create(ctx context.Context, c *mmr.Creation) error {
	return g.CreateFor(ctx, g.domain, c)
}
