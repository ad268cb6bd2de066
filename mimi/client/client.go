package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A Hub is the hub of a room: this gateway's own, or that of another provider
// over HTTPS. The room's domain says which. Answers and errors are those of
// package protocol.
type Hub interface {
	Update(ctx context.Context, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error)
	SubmitMessage(ctx context.Context, room mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error)
	GroupInfo(ctx context.Context, room mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error)
	JoinCode(ctx context.Context, req *protocol.JoinCodeRegistration) error
	RelayKeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error)
	// RelayUserKeyMaterial is for plain rooms.
	RelayUserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error)
}

// An OwnHub is a hub that makes rooms for the accounts: this gateway's.
type OwnHub interface {
	// Domain is that of its rooms.
	Domain() string
	Create(ctx context.Context, room *mmr.Creation) error
	// ExternalSender names the hub in the rooms of a cipher suite.
	ExternalSender(id suite.ID) (mls.ExternalSender, error)
}

// Peers are the other providers.
type Peers interface {
	Directory(ctx context.Context, domain string) (*protocol.Directory, error)
	// ConnectionPackage returns nil for a user that the provider does not know.
	ConnectionPackage(ctx context.Context, user mimi.URI) ([]byte, error)
	ConnectionRequest(ctx context.Context, req *protocol.ConnectionRequest) error
	// Consent delivers an entry to the provider of its receiver. It fails with
	// [protocol.ErrNoSuchUser], [protocol.ErrNotOffered] and a
	// [*protocol.NotAllowedError] where sending it again is useless.
	Consent(ctx context.Context, e *protocol.ConsentEntry) error
}

// People says who has an account at the homeserver.
type People interface {
	// Lookup returns the display name of the account with that localpart, or
	// [ErrNoPerson] if there is none that may be reached.
	Lookup(ctx context.Context, localpart string) (name string, err error)
}

// Config is what a client works with. All fields but GroupHub, Metrics, Limits,
// Faults and Refused are mandatory.
type Config struct {
	// Domain of this provider.
	Domain string
	// Suite of new rooms.
	Suite *suite.Suite
	Store Store
	// Packages, Replays, KeyPackages, Registrations, Privates, Nonces, Pseudonyms,
	// Allowances and Pins take part in the transactions of Store.
	Packages      connection.Packages
	Replays       connection.Replays
	KeyPackages   keymaterial.Store
	Registrations keymaterial.Registrations
	Privates      keymaterial.Privates
	Nonces        keymaterial.Nonces
	Pseudonyms    keymaterial.Pseudonyms
	Allowances    keymaterial.Allowances
	Pins          identity.PinStore
	// Hub reaches the hub of any room, OwnHub makes rooms here.
	Hub    Hub
	OwnHub OwnHub
	// GroupHub is where groups are made, if that is not OwnHub: connection rooms
	// always are made there.
	GroupHub OwnHub
	Peers    Peers
	People   People
	Sink     Sink
	Clock    mimi.Clock
	Random   io.Reader
	Log      *slog.Logger
	// PlainRooms says that plain rooms may be made, and that accounts may be added to
	// them.
	PlainRooms bool
	// Metrics may be nil.
	Metrics Metrics
	Limits  Limits
	Faults  Faults
	// Refused is told why something that others sent was refused or dropped, to
	// count it; nil for nobody.
	Refused func(error)
}

// Limits bound what the client does and waits for. A zero field means its value
// in [DefaultLimits].
type Limits struct {
	// Rooms is how many rooms are kept in memory.
	Rooms int
	// Users is how many users a new group may have.
	Users uint32
	// Attempts is how often a commit that lost to another one is made again.
	Attempts int
	// Call is how long one request to a hub or provider may take.
	Call time.Duration
	// CatchUp is how long a commit waits for the messages that it missed.
	CatchUp time.Duration
	// Send is how long a caller waits for the hub to accept a message, before it
	// is told that the message is queued.
	Send time.Duration
	// Backoff and MaxBackoff are the first and the longest pause between attempts.
	Backoff, MaxBackoff time.Duration
	// RemovalStep and MaxRemoval are the unit and the most of how long a member
	// waits for others to commit a pending removal (docs/mmr-profile.md, section
	// 3).
	RemovalStep, MaxRemoval time.Duration
	// Memory is how long hashes of incoming requests are remembered.
	Memory time.Duration
	// FormerPseudonyms is how many pseudonyms of rooms that were left are remembered for
	// each account, and FormerAge for how long: after that no KeyPackage that was used in
	// such a room is valid any more (docs/mmr-profile.md, section 8, "Phantom leaves").
	FormerPseudonyms int
	FormerAge        time.Duration
	// ProfileMembers is the largest room in which a newcomer is told the names of
	// those who are there.
	ProfileMembers int
	// Requests is how many connection requests may wait for one account's decision.
	// Further ones are dropped.
	Requests int
	// AccountRooms is how many rooms an account may be in. Welcomes to further ones
	// are declined.
	AccountRooms int
	// Sets is how many KeyPackage sets may be made for one contact in SetPeriod.
	// Further fetches are answered with a set of last resort. Negative: none is made.
	Sets      int
	SetPeriod time.Duration
	// Generations is how many generations of a room's wrapper key may be live before
	// the owners of the oldest entries renew theirs: at most
	// [identity.MaxGenerations].
	Generations int
	// Links is how many join links to a room an account may have, LinkUses how many
	// people one may let in, LinkLife how long one lives where nothing else is said,
	// and MaxLinkLife how long at most.
	Links                 int
	LinkUses              uint32
	LinkLife, MaxLinkLife time.Duration
	// Helpers is how many contacts an account asks for a link to a room that it has
	// lost; with a negative number it asks nobody.
	Helpers int
	// LastResort is how many KeyPackage sets of last resort each contact has, at
	// least 4 (docs/mmr-profile.md, section 5).
	LastResort int
	// Packages is how many establishment packages that are used once each account
	// has in stock.
	Packages int
	// Uploads is how many KeyPackages an account may upload on one UTC day.
	Uploads int
	// Crowd is how many people of this provider should be active a day, so that a
	// pseudonym hides who it is. If there are fewer, operator and people are told.
	Crowd int
	// LinkBatch is how many identity links are opened in one transaction. The links of
	// a room with no more leaves are opened when it is joined; of a larger one those
	// that are needed, and the others later.
	LinkBatch int
	// Quarantine is how long a leaf whose link does not open stays in the room, unless
	// it came by itself (docs/mmr-profile.md, section 8).
	Quarantine time.Duration
	// Farewell is how long the deletion of an account waits for hubs that do not
	// answer, and for members who do not commit that it leaves.
	Farewell time.Duration
	// Refill is how far schedule ticks are apart on average: what was handed out is
	// replaced then.
	Refill time.Duration
}

// DefaultLimits returns the limits that apply where a Config says nothing.
func DefaultLimits() Limits {
	return Limits{
		Rooms:            256,
		Users:            1000,
		Attempts:         8,
		Call:             30 * time.Second,
		CatchUp:          20 * time.Second,
		Send:             20 * time.Second,
		Backoff:          500 * time.Millisecond,
		MaxBackoff:       2 * time.Minute,
		RemovalStep:      2 * time.Second,
		MaxRemoval:       time.Minute,
		Memory:           7 * 24 * time.Hour,
		FormerPseudonyms: 10000,
		FormerAge:        91 * 24 * time.Hour,
		ProfileMembers:   50,
		Requests:         50,
		AccountRooms:     1000,
		Sets:             20,
		SetPeriod:        time.Hour,
		Generations:      identity.MaxGenerations,
		Links:            20,
		LinkUses:         1000,
		LinkLife:         7 * 24 * time.Hour,
		MaxLinkLife:      90 * 24 * time.Hour,
		Helpers:          8,
		LastResort:       4,
		Packages:         5,
		Uploads:          1000,
		LinkBatch:        64,
		Quarantine:       24 * time.Hour,
		Refill:           6 * time.Hour,
		Farewell:         7 * 24 * time.Hour,
		Crowd:            20,
	}
}

// A Client acts for the accounts of a provider. Its methods may be called
// concurrently.
type Client struct {
	cfg       Config
	pinner    *identity.Pinner
	responder *connection.Responder
	provider  *keymaterial.Provider
	issuer    *keymaterial.Issuer
	keys      *keys
	rooms     *cache.Cache[mimi.URI, room]
	tokens    tokens
	plainMade plainMade
	presence  presence

	inbox  *lanes
	outbox *lanes
	events *lanes
	// telling are the accounts of which providers have to be told something about consent.
	telling *lanes
	// closings are the accounts that are being deleted.
	closings  *lanes
	opener    *lanes
	tries     tries
	waiters   waiters
	timers    timers
	evictions timers
	reaching  timers
	// helping are the contacts for whom join links are made, by helping.
	helping sync.Map

	mu   sync.Mutex
	ctx  context.Context //nolint:containedctx // ends with Stop: the life of the goroutines, not of a call
	end  context.CancelFunc
	work sync.WaitGroup
}

// New returns a client. It does nothing before [Client.Start].
func New(cfg Config) (*Client, error) {
	if err := mimi.CheckDomain(cfg.Domain); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	cfg.Limits.complete()
	if cfg.GroupHub == nil {
		cfg.GroupHub = cfg.OwnHub
	}
	cfg.Faults.limit(&cfg.Limits)
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	c := &Client{cfg: cfg, rooms: cache.New[mimi.URI, room](cfg.Limits.Rooms)}
	c.keys = newKeys(&c.cfg)
	c.pinner = identity.NewPinner(identity.PinnerConfig{
		Store: cfg.Pins, Clock: cfg.Clock, Log: cfg.Log, Alert: c.alertPin, Atomically: cfg.Store.Atomically,
	})
	c.responder = connection.NewResponder(connection.ResponderConfig{
		Packages: cfg.Packages, Replays: cfg.Replays, Authority: c.authority, Blocked: c.blocked,
		Atomically: cfg.Store.Atomically, Clock: cfg.Clock,
	})
	c.issuer = keymaterial.NewIssuer(keymaterial.IssuerConfig{
		Keys:       func(context.Context) (keymaterial.IssuerKeyRing, error) { return c.keys.issuer(), nil },
		Allowances: cfg.Allowances, Spent: cfg.Nonces, Limit: cfg.Limits.Uploads, Clock: cfg.Clock,
	})
	c.provider = keymaterial.NewProvider(keymaterial.ProviderConfig{
		Domain: cfg.Domain, Store: cfg.KeyPackages, Registrations: cfg.Registrations, Nonces: cfg.Nonces, Tokens: c.issuer,
		Keys:  func(context.Context) (identity.ProviderKeyRing, error) { return c.keys.material(), nil },
		Maker: c, MakeLimit: cfg.Limits.Sets, MakePeriod: cfg.Limits.SetPeriod, LastResort: c.lastResort,
		CheckLifetime: cfg.Faults.checkLifetime(), Atomically: cfg.Store.Atomically, Clock: cfg.Clock, Log: cfg.Log,
	})
	c.inbox = newLanes(c, c.workInbox)
	c.outbox = newLanes(c, c.workOutbox)
	c.events = newLanes(c, c.workEvents)
	c.telling = newLanes(c, c.workTelling)
	c.closings = newLanes(c, c.workClosing)
	c.opener = newLanes(c, c.openSome)
	return c, nil
}

func (l *Limits) complete() {
	d := DefaultLimits()
	for have, def := range map[*int]int{
		&l.Rooms: d.Rooms, &l.Attempts: d.Attempts, &l.ProfileMembers: d.ProfileMembers, &l.Sets: d.Sets, &l.Crowd: d.Crowd,
		&l.Requests: d.Requests, &l.AccountRooms: d.AccountRooms, &l.LastResort: d.LastResort, &l.Packages: d.Packages,
		&l.Uploads: d.Uploads, &l.Links: d.Links, &l.Helpers: d.Helpers, &l.Generations: d.Generations, &l.LinkBatch: d.LinkBatch,
		&l.FormerPseudonyms: d.FormerPseudonyms,
	} {
		if *have == 0 {
			*have = def
		}
	}
	for have, def := range map[*time.Duration]time.Duration{
		&l.Call: d.Call, &l.CatchUp: d.CatchUp, &l.Send: d.Send, &l.Backoff: d.Backoff, &l.MaxBackoff: d.MaxBackoff,
		&l.RemovalStep: d.RemovalStep, &l.MaxRemoval: d.MaxRemoval, &l.Memory: d.Memory, &l.SetPeriod: d.SetPeriod,
		&l.FormerAge: d.FormerAge,
		&l.LinkLife:  d.LinkLife, &l.MaxLinkLife: d.MaxLinkLife,
		&l.Refill: d.Refill, &l.Farewell: d.Farewell, &l.Quarantine: d.Quarantine,
	} {
		if *have == 0 {
			*have = def
		}
	}
	for have, def := range map[*uint32]uint32{&l.Users: d.Users, &l.LinkUses: d.LinkUses} {
		if *have == 0 {
			*have = def
		}
	}
}

// Start loads or makes the provider's keys, and takes up what was left when the
// client was stopped: commits without an answer, messages to send, messages that
// came in, and events. The context is only for starting.
func (c *Client) Start(ctx context.Context) error {
	if err := c.forget(ctx); err != nil {
		return err
	}
	if err := c.keys.load(ctx); err != nil {
		return err
	}
	if err := c.loadTokens(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	c.ctx, c.end = context.WithCancel(context.WithoutCancel(ctx))
	c.mu.Unlock()
	c.planMaintenance()
	c.planRefill(0)
	c.spawn(c.countCrowd)
	c.spawn(func(ctx context.Context) {
		if err := c.renewLeaves(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.WarnContext(ctx, "could not renew credentials in rooms", "err", err)
		}
	})
	return c.resume(ctx)
}

// forget drops what is remembered only against repeats.
func (c *Client) forget(ctx context.Context) error {
	now := c.cfg.Clock.Now()
	horizon := now.Add(-c.cfg.Limits.Memory)
	return errors.Join(
		c.cfg.Store.ForgetIncoming(ctx, horizon),
		c.cfg.Store.ForgetOutgoing(ctx, horizon),
		c.cfg.Store.ForgetFormerPseudonyms(ctx, now.Add(-c.cfg.Limits.FormerAge)),
		c.cfg.Packages.ForgetPackages(ctx, now),
		c.cfg.Replays.ForgetReplays(ctx, now),
		c.cfg.KeyPackages.ForgetKeyPackages(ctx, now),
		c.cfg.Privates.ForgetPrivates(ctx, now.Add(-identityGrace)),
		c.cfg.Nonces.ForgetNonces(ctx, now),
		c.cfg.Pseudonyms.ForgetPseudonyms(ctx, now),
	)
}

// identityGrace is how long after its KeyPackage's end a private part still opens
// a Welcome that comes late.
const identityGrace = 30 * 24 * time.Hour

// resume wakes everything that has something to do.
func (c *Client) resume(ctx context.Context) error {
	incoming, err := c.cfg.Store.RoomsWithIncoming(ctx)
	if err != nil {
		return fmt.Errorf("client: read the inbox: %w", err)
	}
	unaccepted, err := c.cfg.Store.Unaccepted(ctx)
	if err != nil {
		return fmt.Errorf("client: read the outbox: %w", err)
	}
	events, err := c.cfg.Store.EventLanes(ctx)
	if err != nil {
		return fmt.Errorf("client: read events: %w", err)
	}
	rooms, err := c.cfg.Store.Rooms(ctx)
	if err != nil {
		return fmt.Errorf("client: read rooms: %w", err)
	}
	for _, r := range rooms {
		if !r.Left {
			c.later(r.URI, 0, c.settle)
		}
		if !r.Left && r.Kind == RoomConnection && !r.Creator.IsZero() {
			c.later(r.URI, 0, c.resendRequest)
		}
	}
	if err := c.endContacts(ctx, rooms); err != nil {
		return fmt.Errorf("client: read contacts: %w", err)
	}
	if err := c.resumeTelling(ctx); err != nil {
		return fmt.Errorf("client: read consents: %w", err)
	}
	if err := c.resumeClosings(ctx); err != nil {
		return fmt.Errorf("client: read closures: %w", err)
	}
	for _, lane := range incoming {
		c.inbox.wake(lane)
	}
	for _, out := range unaccepted {
		c.outbox.wake(out.Room)
	}
	for _, lane := range events {
		c.events.wake(lane)
	}
	return nil
}

// Stop ends all work and waits for it.
func (c *Client) Stop() {
	c.mu.Lock()
	if c.end != nil {
		c.end()
	}
	c.mu.Unlock()
	c.timers.stop()
	c.evictions.stop()
	c.reaching.stop()
	c.work.Wait()
}

// spawn runs f until it is done or the client stops. It does nothing if the
// client does not run.
func (c *Client) spawn(f func(ctx context.Context)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil || c.ctx.Err() != nil {
		return
	}
	ctx := c.ctx
	c.work.Go(func() { f(ctx) })
}

// serve notes that a request of another provider is being answered, so that Stop
// waits for it: what is acknowledged is taken up by this client or by the next. It
// fails with [ErrStopped] if the client does not run.
func (c *Client) serve() (done func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx == nil || c.ctx.Err() != nil {
		return nil, ErrStopped
	}
	c.work.Add(1)
	return c.work.Done, nil
}

// call bounds a request to another provider.
func (c *Client) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, c.cfg.Limits.Call)
}
