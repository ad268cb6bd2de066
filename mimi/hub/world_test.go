package hub_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

// Stop leaves no goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice = mmrtest.Alice // at the hub's provider
	bob   = mmrtest.Bob
	carol = mmrtest.Carol
	dave  = mmrtest.Dave
	home  = "a.example"
)

// A world is a room whose hub is the real one, on a store in memory, with a network
// that the test commands.
type world struct {
	*mmrtest.World
	t     testing.TB
	store *storetest.HubStore
	hub   *hub.Hub
	net   *network
	clock *clock
	limit hub.Limits
	codes int
}

// start makes a world with a hub that is started, and without a room.
func start(t testing.TB, limits hub.Limits) *world {
	t.Helper()
	w := &world{World: mmrtest.Start(t, nil), t: t, store: storetest.NewHub(), net: newNetwork(), limit: limits}
	w.Hub, w.Joining, w.clock = w, w.admit, &clock{ManualClock: w.Clock, housekeeping: make(chan struct{}, 100), paused: make(chan struct{}, 1)}
	w.restart()
	t.Cleanup(func() { w.hub.Stop() })
	return w
}

// trio is a world with Alice, Bob and Carol in a group.
func trio(t testing.TB) *world {
	t.Helper()
	w := start(t, hub.Limits{})
	w.Found(mmrtest.GroupPolicy(), alice)
	mmrtest.Trio(w.World)
	return w
}

// restart makes the hub anew on its store.
func (w *world) restart() {
	w.t.Helper()
	if w.hub != nil {
		w.hub.Stop()
	}
	w.hub = w.another()
	if err := w.hub.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// another returns a hub on the same store, not started.
func (w *world) another() *hub.Hub {
	w.t.Helper()
	h, err := hub.New(hub.Config{
		Domain: home, Store: w.store, Queue: w.store, Notifier: w.net, KeyMaterial: w.net,
		Key: func(id suite.ID) (suite.SignatureKey, error) {
			if id != w.Suite.ID() {
				return suite.SignatureKey{}, suite.ErrUnsupported
			}
			return mmrtest.HubKey(w.t, w.Suite), nil
		},
		Clock: w.clock, Random: rand.Reader, Log: slog.New(slog.DiscardHandler), Limits: w.limit,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return h
}

// Create implements [mmrtest.Hub].
func (w *world) Create(ctx context.Context, c *mmr.Creation) error { return w.hub.Create(ctx, c) }

// Update implements [mmrtest.Hub].
func (w *world) Update(ctx context.Context, from string, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	return w.hub.Update(ctx, from, room, req)
}

// code returns a code and its registration by a member.
func (w *world) code(by string, change ...func(*protocol.JoinCodeRegistration)) (suite.Secret, *protocol.JoinCodeRegistration) {
	w.t.Helper()
	w.codes++
	code := sha256.Sum256(fmt.Appendf(nil, "code %d", w.codes))
	req := &protocol.JoinCodeRegistration{
		Room: w.Room, CodeHash: protocol.HashJoiningCode(code[:]), Bundle: []byte("bundle"),
		NotAfter: w.Clock.Now().Add(24 * time.Hour).Truncate(time.Second), Uses: 1,
	}
	for _, f := range change {
		f(req)
	}
	if err := req.Sign(w.Suite, w.Key(by)); err != nil {
		w.t.Fatal(err)
	}
	return suite.NewSecret(code[:]), req
}

// register makes a code of Alice's valid.
func (w *world) register(change ...func(*protocol.JoinCodeRegistration)) suite.Secret {
	w.t.Helper()
	code, req := w.code(alice, change...)
	if err := w.hub.JoinCode(w.t.Context(), home, mmrtest.Again(w.t, req)); err != nil {
		w.t.Fatal(err)
	}
	return code
}

// ask asks for the GroupInfo with a leaf's credential.
func (w *world) ask(from string, credential mls.Credential, key suite.SignatureKey, code suite.Secret) (*protocol.GroupInfoRatchetTreeTBE, error) {
	w.t.Helper()
	private, err := w.Suite.GenerateHPKEKey(w.Random)
	if err != nil {
		w.t.Fatal(err)
	}
	req := &protocol.GroupInfoRequest{Credential: credential, GroupInfoPublicKey: private.Public(), JoiningCode: code}
	if err := req.Sign(w.Suite, key); err != nil {
		w.t.Fatal(err)
	}
	response, err := w.hub.GroupInfo(w.t.Context(), from, w.Room, mmrtest.Again(w.t, req))
	if err != nil {
		return nil, err
	}
	return mmrtest.Again(w.t, response).Open(w.Suite, private, w.Room)
}

// admit shows a joiner the GroupInfo, if it is one whom the hub can know.
func (w *world) admit(leaf mls.LeafParams) {
	w.t.Helper()
	tbs, err := mmr.ReadCredential(leaf.Credential)
	if err != nil {
		return
	}
	if _, err := w.ask(tbs.Domain(), leaf.Credential, leaf.SignatureKey, w.register()); err != nil {
		w.t.Fatalf("GroupInfo: %v", err)
	}
}

// A snapshot is everything that the store has of the room.
type snapshot struct {
	Rows    []mls.Row
	Version uint64
	Lanes   map[hub.Lane][]hub.Delivery
}

// stored returns a snapshot. The hub must not be delivering.
func (w *world) stored() snapshot {
	w.t.Helper()
	var s snapshot
	var err error
	if s.Rows, s.Version, err = w.store.Load(w.t.Context(), w.Room); err != nil {
		w.t.Fatal(err)
	}
	s.Lanes = map[hub.Lane][]hub.Delivery{}
	lanes, err := w.store.Lanes(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range lanes {
		if s.Lanes[id], err = w.store.Head(w.t.Context(), id, 1000); err != nil {
			w.t.Fatal(err)
		}
	}
	return s
}

// refused sends an attempt, and checks the answer, that nothing has changed in the
// store (T15), and that the room lives on, in memory and after a restart.
func (w *world) refused(a *mmrtest.Attempt, check func(error)) {
	w.t.Helper()
	w.hub.Stop()
	before := w.stored()
	check(a.Send())
	if after := w.stored(); !reflect.DeepEqual(before, after) { // cmp.Diff alone would take most of the time of all tests
		w.t.Errorf("the refused Commit has changed the store (-before +after):\n%s", cmp.Diff(before, after))
	}
	a.Drop()
	if len(w.SelfRemoves) == 0 {
		w.Commit(alice)
	}
	w.restart()
	if _, err := w.hub.Participants(w.t.Context(), w.Room); err != nil {
		w.t.Errorf("after a restart: %v", err)
	}
}

func wantNotAllowed(t testing.TB, err error, reason string) {
	t.Helper()
	var e *protocol.NotAllowedError
	if !errors.As(err, &e) || !strings.Contains(e.Reason, reason) || reason == "" {
		t.Errorf("the answer is %v, want notAllowed with %q", err, reason)
	}
}

func wantRemovalPending(t testing.TB, err error) {
	t.Helper()
	var e *protocol.NotAllowedError
	if !errors.As(err, &e) || e.Reason != "mgp1:removal-pending" {
		t.Errorf("the answer is %v, want notAllowed with mgp1:removal-pending", err)
	}
}

func wantInvalid(t testing.TB, err error, reason string, refs ...[]byte) {
	t.Helper()
	var e *protocol.InvalidProposalError
	if !errors.As(err, &e) || !strings.Contains(e.Reason, reason) || !slices.EqualFunc(e.Refs, refs, slices.Equal) {
		t.Errorf("the answer is %v, want invalidProposal with %q and %d references", err, reason, len(refs))
	}
}

func wantWrongEpoch(t testing.TB, err error, current uint64) {
	t.Helper()
	var e *protocol.WrongEpochError
	if !errors.As(err, &e) || e.Current != current {
		t.Errorf("the answer is %v, want wrongEpoch with %d", err, current)
	}
}

// A clock is a manual one that can let the pauses between attempts to deliver pass
// at once.
type clock struct {
	*mimi.ManualClock
	mu        sync.Mutex
	impatient bool
	pauses    []time.Duration
	paused    chan struct{} // has an element if there was a pause
	// housekeeping has an element for each time that it is due once more.
	housekeeping chan struct{}
}

// AfterFunc implements [mimi.Clock].
func (c *clock) AfterFunc(d time.Duration, f func()) func() bool {
	limits := hub.DefaultLimits()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch d {
	case limits.Delivery:
		return c.ManualClock.AfterFunc(d, f)
	case time.Hour: // housekeeping
		defer func() { c.housekeeping <- struct{}{} }()
		return c.ManualClock.AfterFunc(d, f)
	}
	c.pauses = append(c.pauses, d)
	select {
	case c.paused <- struct{}{}:
	default:
	}
	if c.impatient {
		return c.ManualClock.AfterFunc(0, f)
	}
	return c.ManualClock.AfterFunc(d, f)
}

// hurry lets pauses pass at once from now on.
func (c *clock) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.impatient = true
}

// A network takes what the hub delivers.
type network struct {
	mu sync.Mutex
	// got are the bodies that each provider has acknowledged, in order, those that
	// came again left out: a provider recognises them. tried is how often it was
	// asked.
	got   map[string][]received
	tried map[string]int
	// fail decides what becomes of a delivery; nil is success.
	fail func(ctx context.Context, domain string) error
	// grown is closed at the next attempt.
	grown chan struct{}
	// relayed are the requests for KeyPackages that were passed on.
	relayed []*protocol.AnonymousKeyMaterialRequest
	// relayedPlain are those for plain rooms.
	relayedPlain []*protocol.KeyMaterialRequest
}

type received struct {
	room mimi.URI
	body []byte
}

func newNetwork() *network {
	return &network{got: map[string][]received{}, tried: map[string]int{}, grown: make(chan struct{})}
}

// Notify implements [hub.Notifier].
func (n *network) Notify(ctx context.Context, domain string, room mimi.URI, body []byte) error {
	n.mu.Lock()
	fail := n.fail
	n.mu.Unlock()
	var err error
	if fail != nil {
		err = fail(ctx, domain)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tried[domain]++
	same := func(r received) bool { return r.room == room && bytes.Equal(r.body, body) }
	if err == nil && !slices.ContainsFunc(n.got[domain], same) {
		n.got[domain] = append(n.got[domain], received{room, slices.Clone(body)})
	}
	close(n.grown)
	n.grown = make(chan struct{})
	return err
}

// KeyMaterial implements [hub.KeyMaterial].
func (n *network) KeyMaterial(_ context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	n.relayed = append(n.relayed, req)
	return &protocol.SealedKeyMaterial{}, nil
}

// UserKeyMaterial implements [hub.KeyMaterial].
func (n *network) UserKeyMaterial(_ context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	n.relayedPlain = append(n.relayedPlain, req)
	return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: req.TargetUser}, nil
}

// set changes what becomes of deliveries.
func (n *network) set(fail func(ctx context.Context, domain string) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = fail
}

// wait returns once done holds, which is asked at the beginning and after each
// attempt to deliver.
func (n *network) wait(t testing.TB, done func() bool) {
	t.Helper()
	for {
		n.mu.Lock()
		ok, grown := done(), n.grown
		n.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-grown:
		case <-t.Context().Done():
			t.Fatal("the test has ended")
		}
	}
}

// delivered waits until a provider has so many bodies, and returns them, decoded.
func (w *world) delivered(domain string, n int) [][]*protocol.MinimalMetadataFanout {
	w.t.Helper()
	w.net.wait(w.t, func() bool { return len(w.net.got[domain]) >= n })
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	if len(w.net.got[domain]) != n {
		w.t.Fatalf("%s got %d deliveries, want %d", domain, len(w.net.got[domain]), n)
	}
	var out [][]*protocol.MinimalMetadataFanout
	for _, r := range w.net.got[domain] {
		messages, err := protocol.ParseFanout(r.body)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, messages)
	}
	return out
}

// drained waits until all deliveries are made and the store knows: a hub that is
// stopped in between makes the last one again.
func (w *world) drained() {
	w.t.Helper()
	limit := time.After(time.Minute)
	for {
		lanes, err := w.store.Lanes(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if len(lanes) == 0 {
			return
		}
		select {
		case <-limit:
			w.t.Fatalf("%d lanes are not empty", len(lanes))
		case <-time.After(time.Millisecond):
		}
	}
}

// targetsOf are the user pseudonyms of a message's targets.
func targetsOf(m *protocol.MinimalMetadataFanout) []mimi.URI {
	var out []mimi.URI
	for _, t := range m.Targets {
		out = append(out, t.TBS.UserPseudonym)
	}
	return out
}

var _ mmrtest.Hub = (*world)(nil)
