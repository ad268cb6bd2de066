package hub

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A Notifier takes deliveries to a provider, this one included.
type Notifier interface {
	// Notify returns nil once the provider has taken responsibility for body, and
	// an error if it is to be sent again. The same body may be sent twice.
	Notify(ctx context.Context, domain string, room mimi.URI, body []byte) error
}

// KeyMaterial asks the provider of the request's target, this one included.
type KeyMaterial interface {
	KeyMaterial(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error)
	// UserKeyMaterial is for plain rooms: it asks the provider of req.TargetUser.
	UserKeyMaterial(ctx context.Context, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error)
}

// Config is what a hub works with. All fields but Limits are
// mandatory.
type Config struct {
	// Domain of this provider, and so of all rooms that it hosts.
	Domain string
	Store  Store
	Queue  Queue
	// Notifier and KeyMaterial reach other providers.
	Notifier    Notifier
	KeyMaterial KeyMaterial
	// Key signs GroupInfo responses, for each cipher suite that rooms may have.
	// Its public key is the external sender of the rooms.
	Key    func(suite.ID) (suite.SignatureKey, error)
	Clock  mimi.Clock
	Random io.Reader
	Log    *slog.Logger
	Limits Limits
	Faults Faults
}

// Limits bound what a room may cost. A zero field means its value in
// [DefaultLimits].
type Limits struct {
	// Rooms is how many rooms are kept in memory.
	Rooms int
	// Message is the longest application message in octets.
	Message int
	// JoinCodes is how many joining codes of a room are valid at a time.
	JoinCodes int
	// Joiners is how many credentials may be shown the GroupInfo for each use of a
	// joining code that is left.
	Joiners int
	// AllJoiners is how many such credentials a room remembers.
	AllJoiners int
	// Memory is how long the answer to an accepted request is repeated.
	Memory time.Duration
	// Backoff and MaxBackoff are the first and the longest pause between attempts
	// to deliver.
	Backoff, MaxBackoff time.Duration
	// Delivery is how long one attempt may take.
	Delivery time.Duration
	// Removal is how long a removal that is pending keeps members from joining anew.
	Removal time.Duration
}

// DefaultLimits returns the limits that apply where a Config says nothing.
func DefaultLimits() Limits {
	return Limits{
		Rooms:      256,
		Message:    1 << 20,
		JoinCodes:  100,
		Joiners:    4,
		AllJoiners: 4096,
		Memory:     7 * 24 * time.Hour,
		Backoff:    500 * time.Millisecond,
		MaxBackoff: 5 * time.Minute,
		Delivery:   time.Minute,
		Removal:    5 * time.Minute,
	}
}

// A Hub hosts rooms. Its methods may be called concurrently.
type Hub struct {
	cfg   Config
	rooms *cache.Cache[mimi.URI, hosted]
	lanes *lanes
}

// New returns a hub. Deliveries start with [Hub.Start].
func New(cfg Config) (*Hub, error) {
	d := DefaultLimits()
	for have, def := range map[*int]int{
		&cfg.Limits.Rooms: d.Rooms, &cfg.Limits.Message: d.Message, &cfg.Limits.JoinCodes: d.JoinCodes,
		&cfg.Limits.Joiners: d.Joiners, &cfg.Limits.AllJoiners: d.AllJoiners,
	} {
		if *have == 0 {
			*have = def
		}
	}
	for have, def := range map[*time.Duration]time.Duration{
		&cfg.Limits.Memory: d.Memory, &cfg.Limits.Backoff: d.Backoff, &cfg.Limits.MaxBackoff: d.MaxBackoff, &cfg.Limits.Delivery: d.Delivery,
		&cfg.Limits.Removal: d.Removal,
	} {
		if *have == 0 {
			*have = def
		}
	}
	if err := mimi.CheckDomain(cfg.Domain); err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	h := &Hub{cfg: cfg, rooms: cache.New[mimi.URI, hosted](cfg.Limits.Rooms)}
	h.lanes = newLanes(h)
	return h, nil
}

// forgetPeriod is how often old answers are forgotten.
const forgetPeriod = time.Hour

// Start begins to deliver, with what was left over when the hub was stopped. It
// forgets old answers, and does so again from time to time. The context is only
// for starting.
func (h *Hub) Start(ctx context.Context) error {
	if err := h.forget(ctx); err != nil {
		return err
	}
	return h.lanes.start(ctx)
}

// forget drops answers that nobody will ask for any more.
func (h *Hub) forget(ctx context.Context) error {
	if err := h.cfg.Store.Forget(ctx, h.cfg.Clock.Now().Add(-h.cfg.Limits.Memory)); err != nil {
		return fmt.Errorf("hub: forget old answers: %w", err)
	}
	return nil
}

// Stop ends deliveries and waits for those under way. Requests may still come:
// what they change is delivered after the next start.
func (h *Hub) Stop() { h.lanes.stop() }

// ExternalSender returns how the hub names itself in the rooms of a cipher suite
// (draft-ietf-mimi-protocol-06, section 6.4).
func (h *Hub) ExternalSender(id suite.ID) (mls.ExternalSender, error) {
	key, err := h.cfg.Key(id)
	if err != nil {
		return mls.ExternalSender{}, fmt.Errorf("hub: signature key for %v: %w", id, err)
	}
	return mls.ExternalSender{
		SignatureKey: key.Public(),
		Credential:   mls.BasicCredential([]byte(mimi.ProviderURI(h.cfg.Domain).String())),
	}, nil
}

func (h *Hub) groupConfig(rules mls.Policy) mls.Config {
	return mls.Config{Policy: rules, Random: h.cfg.Random, Now: h.cfg.Clock.Now}
}

// Participants returns the participant list of a room as the hub sees it: in a
// minimal-metadata room, pseudonyms. It is for operators and tests.
func (h *Hub) Participants(ctx context.Context, uri mimi.URI) ([]mimi.URI, error) {
	var out []mimi.URI
	err := h.withRoom(ctx, uri, func(r *hosted) error {
		for _, p := range r.room().State().Participants() {
			out = append(out, p.User)
		}
		return nil
	})
	return out, err
}
