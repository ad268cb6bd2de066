package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A world is some gateways that reach each other by calls, with everything that
// passes between them encoded and decoded on the way.
type world struct {
	t        *testing.T
	clock    *mimi.ManualClock
	gateways map[string]*gateway
	// elsewhere are providers that are no gateways; they hand out key material and
	// hear nothing.
	elsewhere map[string]*elsewhere
}

// A gateway is a hub and a client on stores in memory.
type gateway struct {
	w      *world
	domain string
	stores *storetest.Stores
	// The test's own goroutine starts the gateway anew and uses what it has started;
	// all others are given it by [network.to].
	running

	mu     sync.Mutex
	people map[string]string
	events []*client.Event
	grown  chan struct{}
	taken  map[uint64]bool // by the numbers of events
	// down makes the gateway unreachable for others; fail fails deliveries of
	// events.
	down bool
	fail func(*client.Event) error
	// lose makes a notify request that comes in vanish, as if it had been taken.
	lose func(body []byte) bool
	// mute keeps the hub's answer to an update from this gateway.
	mute func(*protocol.UpdateRequest) bool
	// informed is called when the gateway is about to get a GroupInfo.
	informed func()
	hooks
	// handOut changes what the gateway hands out for plain rooms.
	handOut func(*protocol.KeyMaterialRequest, *protocol.KeyMaterialResponse)
	// noProfile makes the gateway one that has no minimal-metadata rooms, as far as its
	// directory says.
	noProfile bool
	// consents are what the gateway has told others about consent; consenting fails
	// that.
	consents   []protocol.ConsentOperation
	consenting func(*protocol.ConsentEntry) error
	// limits, faults and noPlainRooms are those of the next start.
	noPlainRooms bool
	limits       client.Limits
	faults       client.Faults
	// reused is how often each set of last resort that was handed out was before;
	// packages and sets are the stock that was reported last, by ticks.
	reused         []uint64
	packages, sets keymaterial.Stock
	ticks          int
	crowd          client.Crowd
	// looked counts the links that were opened, or did not open.
	looked int
	// codes counts the joining codes that were registered.
	codes int
}

// Active implements [client.Metrics].
func (g *gateway) Active(crowd client.Crowd) { g.set(func(g *gateway) { g.crowd = crowd }) }

// LastResort implements [client.Metrics].
func (g *gateway) LastResort(before uint64) {
	g.set(func(g *gateway) { g.reused = append(g.reused, before) })
}

// Stock implements [client.Metrics].
func (g *gateway) Stock(packages, sets keymaterial.Stock) {
	g.set(func(g *gateway) {
		g.packages, g.sets = packages, sets
		g.ticks++
	})
}

// Link implements [client.Metrics].
func (g *gateway) Link(bool) { g.set(func(g *gateway) { g.looked++ }) }

// running is a gateway from one start to the next.
type running struct {
	hub    *hub.Hub
	client *client.Client
}

func newWorld(t *testing.T, domains ...string) *world {
	w := &world{t: t, clock: mimi.NewManualClock(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)), gateways: map[string]*gateway{}}
	for _, domain := range domains {
		g := &gateway{w: w, domain: domain, stores: storetest.New(), people: map[string]string{}, grown: make(chan struct{}), taken: map[uint64]bool{}}
		w.gateways[domain] = g
	}
	for _, domain := range domains {
		w.gateways[domain].start()
	}
	t.Cleanup(func() {
		for _, g := range w.gateways {
			g.stop()
		}
	})
	return w
}

// more adds a gateway to the world.
func (w *world) more(domain string) *gateway {
	g := &gateway{w: w, domain: domain, stores: storetest.New(), people: map[string]string{}, grown: make(chan struct{}), taken: map[uint64]bool{}}
	w.gateways[domain] = g
	g.start()
	return g
}

// start makes hub and client on the gateway's stores, as after a restart.
func (g *gateway) start() {
	g.w.t.Helper()
	log := slog.New(slog.NewTextHandler(io.MultiWriter(testLog{g.w.t}, g), &slog.HandlerOptions{Level: slog.LevelDebug})).With("gateway", g.domain)
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		g.w.t.Fatal(err)
	}
	var c *client.Client
	h, err := hub.New(hub.Config{
		Domain: g.domain, Store: g.stores.Hub, Queue: g.stores.Hub, Notifier: network{g}, KeyMaterial: network{g},
		Key:   func(id suite.ID) (suite.SignatureKey, error) { return c.HubKey(id) },
		Clock: g.w.clock, Random: rand.Reader, Log: log,
	})
	if err != nil {
		g.w.t.Fatal(err)
	}
	c, err = client.New(client.Config{
		Domain: g.domain, Suite: s, Store: g.stores.Client,
		Packages: g.stores.People, Replays: g.stores.People, KeyPackages: g.stores.People, Privates: g.stores.People,
		Nonces: g.stores.People, Pseudonyms: g.stores.People, Pins: g.stores.People,
		Registrations: g.stores.People, Allowances: g.stores.People,
		Hub: network{g}, OwnHub: h, Peers: network{g}, People: g, Sink: g,
		Clock: watchedClock{g.w.clock, g}, Random: rand.Reader, Log: log, Metrics: g, Limits: g.limits, Faults: g.faults, PlainRooms: !g.noPlainRooms,
	})
	if err != nil {
		g.w.t.Fatal(err)
	}
	g.set(func(g *gateway) { g.running = running{h, c} })
	if err := c.Start(g.w.t.Context()); err != nil {
		g.w.t.Fatal(err)
	}
	if err := h.Start(g.w.t.Context()); err != nil {
		g.w.t.Fatal(err)
	}
}

func (g *gateway) stop() {
	g.hub.Stop()
	g.client.Stop()
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// Lookup implements [client.People].
func (g *gateway) Lookup(_ context.Context, localpart string) (string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	name, ok := g.people[localpart]
	if !ok {
		return "", client.ErrNoPerson
	}
	return name, nil
}

// Deliver implements [client.Sink]. Who stops or crashes may repeat an event.
func (g *gateway) Deliver(_ context.Context, e *client.Event) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		if err := g.fail(e); err != nil {
			return err
		}
	}
	if g.taken[e.Seq] {
		return nil
	}
	g.taken[e.Seq] = true
	g.events = append(g.events, e)
	close(g.grown)
	g.grown = make(chan struct{})
	return nil
}

// await returns the first event from the given position on for which ok holds,
// and the position behind it. ok is asked once about each event.
func (g *gateway) await(what string, from int, ok func(*client.Event) bool) (*client.Event, int) {
	g.w.t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		g.mu.Lock()
		for ; from < len(g.events); from++ {
			if ok(g.events[from]) {
				e := g.events[from]
				g.mu.Unlock()
				return e, from + 1
			}
		}
		grown := g.grown
		g.mu.Unlock()
		select {
		case <-grown:
		case <-limit:
			g.w.t.Fatalf("%s: no event: %s\nhave %s", g.domain, what, g.seen())
		}
	}
}

func (g *gateway) seen() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var b strings.Builder
	for _, e := range g.events {
		fmt.Fprintf(&b, "\n  %s account=%s room=%s peer=%s reason=%s", e.Kind, e.Account, e.Room, e.Peer, e.Reason)
	}
	return b.String()
}

// person makes an account.
func (g *gateway) person(localpart, name string) mimi.URI {
	g.w.t.Helper()
	g.set(func(g *gateway) { g.people[localpart] = name })
	u, err := g.client.Provision(g.w.t.Context(), localpart, name)
	if err != nil {
		g.w.t.Fatal(err)
	}
	return u
}

// network is how a gateway reaches others.
type network struct{ g *gateway }

func (n network) to(domain string) (running, error) {
	g, ok := n.g.w.gateways[domain]
	if !ok {
		return running{}, fmt.Errorf("no provider at %s", domain)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		return running{}, fmt.Errorf("%s is down", domain)
	}
	return g.running, nil
}

// pass sends a message through its encoding.
func pass[T any, P interface {
	*T
	wire.Message
}](m P) (P, error) {
	if m == nil {
		return nil, nil
	}
	b, err := mls.Marshal(m)
	if err != nil {
		return nil, err
	}
	out := P(new(T))
	return out, mls.Unmarshal(b, out)
}

// exchange sends a request and returns what came back.
func exchange[Q, A any, PQ interface {
	*Q
	wire.Message
}, PA interface {
	*A
	wire.Message
}](req PQ, serve func(PQ) (PA, error),
) (PA, error) {
	req, err := pass[Q, PQ](req)
	if err != nil {
		return nil, err
	}
	answer, err := serve(req)
	if err != nil {
		return nil, err
	}
	return pass[A, PA](answer)
}

func (n network) Notify(ctx context.Context, domain string, room mimi.URI, body []byte) error {
	to, err := n.to(domain)
	if err != nil {
		return err
	}
	lost := false
	n.g.w.gateways[domain].set(func(g *gateway) { lost = g.lose != nil && g.lose(body) })
	if lost {
		return nil
	}
	return to.client.Notify(ctx, n.g.domain, room, body)
}

func (n network) KeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if other, ok := n.g.w.elsewhere[req.Target.Domain]; ok {
		return exchange(req, func(req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
			return other.provider.KeyMaterial(ctx, n.g.domain, req)
		})
	}
	g, err := n.to(req.Target.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
		return g.client.KeyMaterial(ctx, n.g.domain, req)
	})
}

func (n network) Update(ctx context.Context, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	g, err := n.to(room.Domain)
	if err != nil {
		return nil, err
	}
	n.g.sends(req)
	answer, err := exchange(req, func(req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
		return g.hub.Update(ctx, n.g.domain, room, req)
	})
	n.g.set(func(g *gateway) {
		if g.mute != nil && g.mute(req) {
			answer, err = nil, errAnswerLost
		}
	})
	return answer, err
}

var errAnswerLost = errors.New("the answer was lost")

func (n network) SubmitMessage(ctx context.Context, room mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	g, err := n.to(room.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
		return g.hub.SubmitMessage(ctx, n.g.domain, room, req)
	})
}

func (n network) GroupInfo(ctx context.Context, room mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	g, err := n.to(room.Domain)
	if err != nil {
		return nil, err
	}
	answer, err := exchange(req, func(req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
		answer, err := g.hub.GroupInfo(ctx, n.g.domain, room, req)
		return n.g.lied(ctx, g, room, req, answer, err)
	})
	var informed func()
	n.g.set(func(g *gateway) { informed = g.informed })
	if informed != nil {
		informed()
	}
	return answer, err
}

func (n network) JoinCode(ctx context.Context, req *protocol.JoinCodeRegistration) error {
	g, err := n.to(req.Room.Domain)
	if err != nil {
		return err
	}
	n.g.set(func(g *gateway) { g.codes++ })
	return g.hub.JoinCode(ctx, n.g.domain, req)
}

func (n network) RelayKeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	g, err := n.to(req.Room.Domain)
	if err != nil {
		return nil, err
	}
	defer n.g.fetches()
	return exchange(req, func(req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
		return g.hub.RelayKeyMaterial(ctx, n.g.domain, req)
	})
}

func (n network) UserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	g, err := n.to(req.TargetUser.Domain)
	if err != nil {
		return nil, err
	}
	var handOut func(*protocol.KeyMaterialRequest, *protocol.KeyMaterialResponse)
	n.g.w.gateways[req.TargetUser.Domain].set(func(g *gateway) { handOut = g.handOut })
	return exchange(req, func(req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
		answer, err := g.client.UserKeyMaterial(ctx, n.g.domain, req)
		if err == nil && handOut != nil {
			handOut(req, answer)
		}
		return answer, err
	})
}

func (n network) RelayUserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	g, err := n.to(req.Room.Domain)
	if err != nil {
		return nil, err
	}
	return exchange(req, func(req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
		return g.hub.RelayUserKeyMaterial(ctx, n.g.domain, req)
	})
}

func (n network) Directory(_ context.Context, domain string) (*protocol.Directory, error) {
	if other, ok := n.g.w.elsewhere[domain]; ok {
		return other.directory(), nil
	}
	g, err := n.to(domain)
	if err != nil {
		return nil, err
	}
	ca, keys, err := g.client.IdentityCA()
	if err != nil {
		return nil, err
	}
	withheld := false
	n.g.set(func(g *gateway) {
		withheld = g.withheld == domain
		g.directories++
	})
	if withheld {
		return nil, fmt.Errorf("the directory of %s is withheld", domain)
	}
	if other := n.g.otherCA(domain); other != nil {
		ca = other
	}
	d := &protocol.Directory{IdentityCA: ca, Profile: &protocol.Profile{KeyMaterialKeys: keys}}
	n.g.w.gateways[domain].set(func(g *gateway) {
		if g.noProfile {
			d.Profile = nil
		}
	})
	return d, nil
}

func (n network) ConnectionPackage(ctx context.Context, user mimi.URI) ([]byte, error) {
	g, err := n.to(user.Domain)
	if err != nil {
		return nil, err
	}
	return g.client.ConnectionPackage(ctx, n.g.domain, user)
}

func (n network) ConnectionRequest(ctx context.Context, req *protocol.ConnectionRequest) error {
	g, err := n.to(req.Target.Domain)
	if err != nil {
		return err
	}
	req, err = pass[protocol.ConnectionRequest](req)
	if err != nil {
		return err
	}
	n.g.set(func(g *gateway) {
		if g.requesting != nil {
			g.requesting(req)
		}
	})
	return g.client.ConnectionRequest(ctx, n.g.domain, req)
}

func (n network) Consent(ctx context.Context, e *protocol.ConsentEntry) error {
	g, err := n.to(e.Receiver().Domain)
	if err != nil {
		return err
	}
	if e, err = pass[protocol.ConsentEntry](e); err != nil {
		return err
	}
	n.g.set(func(g *gateway) {
		g.consents = append(g.consents, e.Operation)
		if g.consenting != nil {
			err = g.consenting(e)
		}
	})
	if err != nil {
		return err
	}
	return g.client.Consent(ctx, n.g.domain, e)
}

// driveClock moves the world's clock on, a hundred times as fast as time, so that
// whatever waits for it goes on. The function that it returns ends that.
func (w *world) driveClock() (stop func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Millisecond):
				w.clock.Advance(100 * time.Millisecond)
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// set changes how a gateway behaves.
func (g *gateway) set(f func(*gateway)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f(g)
}

// The steps of stories.

// connect lets one person ask another and the other accept, and returns their
// room.
func (w *world) connect(asker, asked mimi.URI) mimi.URI {
	w.t.Helper()
	a, b := w.gateways[asker.Domain], w.gateways[asked.Domain]
	if _, err := a.client.Connect(w.t.Context(), asker, asked); err != nil {
		w.t.Fatalf("connect: %v", err)
	}
	request, _ := b.await("asked", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == asked && e.Peer == asker
	})
	room, err := b.client.Accept(w.t.Context(), asked, request.Request)
	if err != nil {
		w.t.Fatalf("accept: %v", err)
	}
	for _, side := range []struct {
		g    *gateway
		a, p mimi.URI
	}{{a, asker, asked}, {b, asked, asker}} {
		side.g.await("connected", 0, func(e *client.Event) bool {
			return e.Kind == client.EventConnected && e.Account == side.a && e.Peer == side.p && e.Room == room
		})
	}
	return room
}

var sources int

// say sends a text and waits until the other gateways have it.
func (w *world) say(account, room mimi.URI, text string, heard ...string) {
	w.t.Helper()
	sources++
	sent, err := w.gateways[account.Domain].client.Send(w.t.Context(), account, room, fmt.Sprintf("$%d", sources), content.Text(content.PlainPart(text)))
	if err != nil {
		w.t.Fatalf("%s says %q: %v", account, text, err)
	}
	for _, domain := range heard {
		e, _ := w.gateways[domain].await("message "+text, 0, func(e *client.Event) bool {
			return e.Kind == client.EventMessage && e.Room == room && string(e.Message) == string(sent.ID[:])
		})
		if _, err := content.Decode(e.Content, content.Limits{}); err != nil {
			w.t.Fatal(err)
		}
		if e.Actor.User != account {
			w.t.Errorf("%s heard %q from %v, want %v", domain, text, e.Actor.User, account)
		}
	}
}

// join accepts an invitation.
func (w *world) join(account, room mimi.URI) *client.Event {
	w.t.Helper()
	g := w.gateways[account.Domain]
	e, _ := g.await("invited", 0, func(e *client.Event) bool {
		return e.Kind == client.EventInvited && e.Account == account && e.Room == room
	})
	if err := g.client.Join(w.t.Context(), account, room); err != nil {
		w.t.Fatal(err)
	}
	return e
}

// everything says of every notify request that it is lost.
func everything([]byte) bool { return true }

// keep says of every notify request that it is lost, and keeps it.
func keep(kept *[][]byte) func([]byte) bool {
	return func(body []byte) bool {
		*kept = append(*kept, body)
		return true
	}
}

// hears gives the gateway notify requests that were kept from it.
func (g *gateway) hears(hub string, room mimi.URI, kept *[][]byte) {
	g.w.t.Helper()
	var bodies [][]byte
	g.set(func(g *gateway) { g.lose, bodies = nil, *kept })
	for _, body := range bodies {
		if err := g.client.Notify(g.w.t.Context(), hub, room, body); err != nil {
			g.w.t.Fatal(err)
		}
	}
}

// delivered waits until nothing is on its way to a gateway. The clock also measures how
// long a delivery may take: advancing it would cut one off.
func (w *world) delivered(domain string) {
	w.t.Helper()
	limit := time.After(time.Minute)
	for {
		waiting := 0
		for _, g := range w.gateways {
			lanes, err := g.stores.Hub.Lanes(w.t.Context())
			if err != nil {
				w.t.Fatal(err)
			}
			for _, lane := range lanes {
				if lane.Domain == domain {
					waiting++
				}
			}
		}
		if waiting == 0 {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-limit:
			w.t.Fatalf("%d rooms have something for %s that does not arrive", waiting, domain)
		}
	}
}
