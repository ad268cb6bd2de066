package linkbench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers the driver

	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

// patience is how long the bench waits for something that must happen.
const patience = 5 * time.Minute

// A world is the providers of a room: those of the crowd, on stores in memory, and
// the measured ones, each on a database of its own.
type world struct {
	dir      string
	suite    *suite.Suite
	gateways map[string]*gateway
	sources  int
}

func newWorld() (*world, error) {
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mimi-lab")
	return &world{dir: dir, suite: s, gateways: map[string]*gateway{}}, err
}

func (w *world) close() {
	for _, g := range w.gateways {
		_ = g.stop()
	}
	_ = os.RemoveAll(w.dir)
}

// A gateway is a hub and a client.
type gateway struct {
	w      *world
	domain string
	hub    *hub.Hub
	client *client.Client
	// measured has its client's stores in a database.
	measured bool
	memory   *storetest.Stores
	db       *dbutil.Database
	claim    *mapping.Claimed

	mu     sync.Mutex
	people map[string]bool
	held   bool // keeps what it is sent
	kept   []kept
	events []shown
	grown  chan struct{}
	// links counts those that were looked at.
	links int
}

// kept is a notify request that waits.
type kept struct {
	hub  string
	room mimi.URI
	body []byte
}

// shown is an event, and when it was delivered.
type shown struct {
	*client.Event
	at time.Time
}

func (w *world) gateway(ctx context.Context, domain string, measured bool) (*gateway, error) {
	g := &gateway{w: w, domain: domain, measured: measured, people: map[string]bool{}, grown: make(chan struct{})}
	g.memory = storetest.New()
	w.gateways[domain] = g
	return g, g.start(ctx)
}

// people is what a client keeps beside its own store.
type people interface {
	connection.Packages
	connection.Replays
	keymaterial.Store
	keymaterial.Registrations
	keymaterial.Privates
	keymaterial.Nonces
	keymaterial.Pseudonyms
	keymaterial.Allowances
	identity.PinStore
}

// stores returns the stores of a client, the database's for a measured one.
func (g *gateway) stores(ctx context.Context) (client.Store, people, error) {
	if !g.measured {
		return g.memory.Client, g.memory.People, nil
	}
	pool := dbutil.PoolConfig{
		Type: "sqlite3-fk-wal-fullsync", URI: "file:" + filepath.Join(g.w.dir, g.domain+".db") + "?_txlock=immediate", MaxOpenConns: 5, MaxIdleConns: 1,
	}
	var err error
	if g.claim, err = mapping.Claim(pool); err != nil {
		return nil, nil, err
	}
	if g.db, err = dbutil.NewFromConfig("mimi-lab", dbutil.Config{PoolConfig: pool}, dbutil.NoopLogger); err != nil {
		return nil, nil, err
	}
	keys, err := g.claim.LoadKeyFile(filepath.Join(g.w.dir, g.domain+".key"))
	if err != nil {
		return nil, nil, err
	}
	store, err := mapping.Open(ctx, g.db, keys)
	if err != nil {
		return nil, nil, err
	}
	return store.Client(), store.People(), nil
}

func (g *gateway) start(ctx context.Context) (err error) {
	log := slog.New(slog.DiscardHandler)
	n := network{g.w, g}
	if g.hub, err = hub.New(hub.Config{
		Domain: g.domain, Store: g.memory.Hub, Queue: g.memory.Hub, Notifier: n, KeyMaterial: n,
		Key:   func(id suite.ID) (suite.SignatureKey, error) { return g.client.HubKey(id) },
		Clock: mimi.SystemClock{}, Random: rand.Reader, Log: log,
	}); err != nil {
		return err
	}
	store, people, err := g.stores(ctx)
	if err != nil {
		return err
	}
	g.client, err = client.New(client.Config{
		Domain: g.domain, Suite: g.w.suite, Store: store,
		Packages: people, Replays: people, KeyPackages: people, Privates: people, Nonces: people, Pseudonyms: people, Pins: people,
		Registrations: people, Allowances: people,
		Hub: n, OwnHub: g.hub, Peers: n, People: g, Sink: g, Metrics: g,
		Clock: mimi.SystemClock{}, Random: rand.Reader, Log: log,
		// Nobody waits, and a fifth thousand of people may be in a room.
		Limits: client.Limits{Users: 1 << 15, Sets: 1 << 20},
	})
	if err != nil {
		return err
	}
	if err := g.client.Start(ctx); err != nil {
		return err
	}
	return g.hub.Start(ctx)
}

func (g *gateway) stop() error {
	if g.client == nil {
		return nil
	}
	g.hub.Stop()
	g.client.Stop()
	g.client = nil
	if g.db == nil {
		return nil
	}
	return errors.Join(g.db.Close(), g.claim.Release())
}

// notified takes in what a hub sends, or keeps it until it is wanted.
func (g *gateway) notified(ctx context.Context, from string, room mimi.URI, body []byte) error {
	g.mu.Lock()
	if g.held {
		g.kept = append(g.kept, kept{from, room, body})
		close(g.grown)
		g.grown = make(chan struct{})
		g.mu.Unlock()
		return nil
	}
	g.mu.Unlock()
	return g.client.Notify(ctx, from, room, body)
}

// hold keeps what hubs send from now on.
func (g *gateway) hold(held bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = held
}

// take waits for so many requests that were kept, and returns them.
func (g *gateway) take(ctx context.Context, n int) (out []kept, err error) {
	err = g.wait(ctx, "requests of the hub", func() bool {
		if len(g.kept) < n {
			return false
		}
		out, g.kept = g.kept[:n:n], g.kept[n:]
		return true
	})
	return out, err
}

// wait calls ok, with the lock held, until it says so.
func (g *gateway) wait(ctx context.Context, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		g.mu.Lock()
		done, grown := ok(), g.grown
		g.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("%s: there were no %s: %w", g.domain, what, ctx.Err())
		}
	}
}

// Deliver implements [client.Sink].
func (g *gateway) Deliver(_ context.Context, e *client.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, shown{e, time.Now()})
	close(g.grown)
	g.grown = make(chan struct{})
	return nil
}

// await waits for an event, from a position on, and returns the position behind it.
func (g *gateway) await(ctx context.Context, what string, from int, ok func(*client.Event) bool) (found shown, next int, err error) {
	next = from
	err = g.wait(ctx, what, func() bool {
		for ; next < len(g.events); next++ {
			if ok(g.events[next].Event) {
				found = g.events[next]
				next++
				return true
			}
		}
		return false
	})
	return found, next, err
}

// position is that of the next event.
func (g *gateway) position() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.events)
}

// looked returns how many links were looked at so far.
func (g *gateway) looked() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.links
}

// Link implements [client.Metrics].
func (g *gateway) Link(bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.links++
}

// LastResort implements [client.Metrics].
func (*gateway) LastResort(uint64) {}

// Stock implements [client.Metrics].
func (*gateway) Stock(_, _ keymaterial.Stock) {}

// Active implements [client.Metrics].
func (*gateway) Active(client.Crowd) {}

// Lookup implements [client.People].
func (g *gateway) Lookup(_ context.Context, localpart string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.people[localpart] {
		return "", client.ErrNoPerson
	}
	return "", nil
}

// person makes an account without a name to tell.
func (g *gateway) person(ctx context.Context, localpart string) (mimi.URI, error) {
	g.mu.Lock()
	g.people[localpart] = true
	g.mu.Unlock()
	return g.client.Provision(ctx, localpart, "")
}

// connect lets somebody ask somebody else, who accepts.
func (w *world) connect(ctx context.Context, asker, asked mimi.URI) error {
	a, b := w.gateways[asker.Domain], w.gateways[asked.Domain]
	from, at := a.position(), b.position()
	if _, err := a.client.Connect(ctx, asker, asked); err != nil {
		return err
	}
	request, _, err := b.await(ctx, "connection request", at, func(e *client.Event) bool { return e.Kind == client.EventAsked && e.Account == asked })
	if err != nil {
		return err
	}
	if _, err := b.client.Accept(ctx, asked, request.Request); err != nil {
		return err
	}
	_, _, err = a.await(ctx, "connection", from, func(e *client.Event) bool { return e.Kind == client.EventConnected && e.Account == asker })
	return err
}

// join lets somebody accept the invitation to a room.
func (w *world) join(ctx context.Context, account, room mimi.URI) error {
	g := w.gateways[account.Domain]
	if _, _, err := g.await(ctx, "invitation", 0, func(e *client.Event) bool {
		return e.Kind == client.EventInvited && e.Account == account && e.Room == room
	}); err != nil {
		return err
	}
	return g.client.Join(ctx, account, room)
}

// say lets somebody send a text of constant length.
func (w *world) say(ctx context.Context, account, room mimi.URI) error {
	w.sources++
	source := fmt.Sprintf("$%06d", w.sources)
	_, err := w.gateways[account.Domain].client.Send(ctx, account, room, source, content.Text(content.PlainPart("message "+source)))
	return err
}
