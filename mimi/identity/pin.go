package identity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// Errors of pinning.
var (
	// ErrNoPin reports a domain whose identity CA was never seen.
	ErrNoPin = errors.New("identity: no identity CA is pinned for the domain")
	// ErrPinConflict reports a pin that was changed by somebody else meanwhile.
	ErrPinConflict = errors.New("identity: the pin was changed meanwhile")
	// ErrPinChanged reports that a domain publishes another identity CA than the
	// pinned one. The pinned one stays in force until a person accepts the other.
	ErrPinChanged = errors.New("identity: the domain publishes another identity CA than the pinned one")
)

// A Pin is what is remembered of a domain's identity CA.
type Pin struct {
	Domain string
	// Version counts the changes of this pin, from 1.
	Version uint64
	// PEM of the identity CA in force, as [Authority.PEM] gives it.
	PEM    []byte
	Pinned time.Time
	// Candidate is the PEM of the other identity CA that the domain publishes, or
	// empty if it publishes the one in force.
	Candidate []byte
	// Seen is when the candidate was first seen.
	Seen time.Time
}

// A PinStore remembers pins. Writes are durable when they return, and calls for
// one domain are linearizable. Times are kept to the millisecond. All methods may
// be called concurrently. Package storetest checks every implementation.
type PinStore interface {
	// Pin fails with [ErrNoPin].
	Pin(ctx context.Context, domain string) (Pin, error)
	// PutPin inserts a pin of version 1, or replaces the one of the same domain
	// that is one version older. If there is another one, it changes nothing and
	// fails with [ErrPinConflict].
	PutPin(ctx context.Context, pin Pin) error
	// Changed returns the pins that have a candidate, in the order of their
	// domains.
	Changed(ctx context.Context) ([]Pin, error)
}

// PinnerConfig is what a [Pinner] needs.
type PinnerConfig struct {
	Store PinStore
	Clock mimi.Clock
	Log   *slog.Logger
	// Alert notes that people have to be told that a domain publishes another identity
	// CA than the pinned one. It is called once for each candidate, in the transaction
	// that stores it, which does not happen if it fails. May be nil: the log has it too.
	Alert func(ctx context.Context, change PinChange) error
	// Atomically runs f in a transaction of Store. May be nil: then there is none.
	Atomically func(ctx context.Context, f func(ctx context.Context) error) error
}

// A PinChange is what people are shown: they compare the fingerprint of the
// candidate with what the other operator tells them.
type PinChange struct {
	Domain                 string
	Pinned, Candidate      [32]byte // SHA-256 of the PEM
	PinnedSince, FirstSeen time.Time
}

// A Pinner decides which identity CA a domain has: the one that was seen first
// over authenticated TLS, until a person accepts another (docs/mmr-profile.md,
// section 2). It may be used concurrently.
type Pinner struct {
	cfg PinnerConfig

	mu sync.Mutex
	// parsed is what pins have last been parsed to, by domain: a large room asks for
	// the same few of them for each of its leaves.
	parsed map[string]*Authority
}

// maxParsed bounds the parsed pins that are kept.
const maxParsed = 1000

// NewPinner returns a pinner on a store.
func NewPinner(cfg PinnerConfig) *Pinner { return &Pinner{cfg: cfg, parsed: map[string]*Authority{}} }

// Authority returns the pinned identity CA of a domain, or [ErrNoPin].
func (p *Pinner) Authority(ctx context.Context, domain string) (*Authority, error) {
	pin, err := p.cfg.Store.Pin(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("identity CA of %s: %w", domain, err)
	}
	return p.parse(domain, pin.PEM)
}

// parse is [ParseAuthority] for a pin as it is in the store.
func (p *Pinner) parse(domain string, pem []byte) (*Authority, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if a := p.parsed[domain]; a != nil && bytes.Equal(a.pem, pem) {
		return a, nil
	}
	a, err := ParseAuthority(domain, pem)
	if err != nil {
		return nil, err
	}
	if len(p.parsed) >= maxParsed {
		clear(p.parsed)
	}
	p.parsed[domain] = a
	return a, nil
}

// attempts bounds the retries after ErrPinConflict; each conflict is somebody
// else's success.
const attempts = 8

// Observe takes note of identityCA in the directory document of a domain, which
// came over TLS that was authenticated for that domain. The first one is pinned.
// It fails with [ErrPinChanged] if it is another one than the pinned one, which
// stays in force; and with [ErrCACertificate] if it is malformed.
func (p *Pinner) Observe(ctx context.Context, domain string, identityCA []byte) (*Authority, error) {
	seen, err := ParseAuthority(domain, identityCA)
	if err != nil {
		return nil, fmt.Errorf("identity CA of %s: %w", domain, err)
	}
	for range attempts {
		authority, err := p.observe(ctx, seen)
		if !errors.Is(err, ErrPinConflict) {
			return authority, err
		}
	}
	return nil, fmt.Errorf("identity CA of %s: %w", domain, ErrPinConflict)
}

func (p *Pinner) observe(ctx context.Context, seen *Authority) (*Authority, error) {
	now := p.cfg.Clock.Now()
	pin, err := p.cfg.Store.Pin(ctx, seen.domain)
	switch {
	case errors.Is(err, ErrNoPin):
		pin = Pin{Domain: seen.domain, Version: 1, PEM: seen.pem, Pinned: now}
		if err := p.cfg.Store.PutPin(ctx, pin); err != nil {
			return nil, err
		}
		p.cfg.Log.InfoContext(ctx, "identity CA pinned on first use", "peer", seen.domain, "fingerprint", hexFingerprint(seen))
		return seen, nil
	case err != nil:
		return nil, fmt.Errorf("identity CA of %s: %w", seen.domain, err)
	case bytes.Equal(pin.PEM, seen.pem):
		if len(pin.Candidate) == 0 {
			return seen, nil
		}
		pin.Version, pin.Candidate, pin.Seen = pin.Version+1, nil, time.Time{}
		return seen, p.cfg.Store.PutPin(ctx, pin)
	case bytes.Equal(pin.Candidate, seen.pem):
		return nil, fmt.Errorf("%w (%s)", ErrPinChanged, seen.domain)
	}
	pin.Version, pin.Candidate, pin.Seen = pin.Version+1, seen.pem, now
	if err := p.atomically(ctx, func(ctx context.Context) error {
		if err := p.cfg.Store.PutPin(ctx, pin); err != nil || p.cfg.Alert == nil {
			return err
		}
		return p.cfg.Alert(ctx, changeOf(&pin))
	}); err != nil {
		return nil, err
	}
	p.cfg.Log.WarnContext(ctx, "domain publishes another identity CA than the pinned one; the pinned one stays in force until the change is accepted",
		"peer", pin.Domain, "candidate", hexFingerprint(seen), "pinned_since", pin.Pinned)
	return nil, fmt.Errorf("%w (%s)", ErrPinChanged, seen.domain)
}

func (p *Pinner) atomically(ctx context.Context, f func(ctx context.Context) error) error {
	if p.cfg.Atomically == nil {
		return f(ctx)
	}
	return p.cfg.Atomically(ctx, f)
}

// changeOf describes a pin that has a candidate.
func changeOf(pin *Pin) PinChange {
	change := PinChange{Domain: pin.Domain, PinnedSince: pin.Pinned, FirstSeen: pin.Seen}
	if old, err := ParseAuthority(pin.Domain, pin.PEM); err == nil {
		change.Pinned = old.Fingerprint()
	}
	if seen, err := ParseAuthority(pin.Domain, pin.Candidate); err == nil {
		change.Candidate = seen.Fingerprint()
	}
	return change
}

// Changes returns what waits for a person to accept it, in the order of the domains.
func (p *Pinner) Changes(ctx context.Context) ([]PinChange, error) {
	pins, err := p.cfg.Store.Changed(ctx)
	if err != nil {
		return nil, fmt.Errorf("changed identity CAs: %w", err)
	}
	var out []PinChange
	for i := range pins {
		out = append(out, changeOf(&pins[i]))
	}
	return out, nil
}

// Accept makes the candidate with that fingerprint the pin of a domain: a
// person's decision. It fails with [ErrNoPin] if there is no such candidate.
func (p *Pinner) Accept(ctx context.Context, domain string, candidate [32]byte) error {
	pin, err := p.cfg.Store.Pin(ctx, domain)
	if err != nil {
		return fmt.Errorf("accept the identity CA of %s: %w", domain, err)
	}
	if len(pin.Candidate) == 0 {
		return fmt.Errorf("accept the identity CA of %s: %w: there is no candidate", domain, ErrNoPin)
	}
	authority, err := ParseAuthority(domain, pin.Candidate)
	if err != nil {
		return err
	}
	if authority.Fingerprint() != candidate {
		return fmt.Errorf("accept the identity CA of %s: %w: the candidate has another fingerprint", domain, ErrNoPin)
	}
	next := Pin{Domain: domain, Version: pin.Version + 1, PEM: authority.pem, Pinned: p.cfg.Clock.Now()}
	if err := p.cfg.Store.PutPin(ctx, next); err != nil {
		return fmt.Errorf("accept the identity CA of %s: %w", domain, err)
	}
	p.cfg.Log.InfoContext(ctx, "identity CA accepted", "peer", domain, "fingerprint", hexFingerprint(authority))
	return nil
}

func hexFingerprint(a *Authority) string { return fmt.Sprintf("%x", a.Fingerprint()) }
