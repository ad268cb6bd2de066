package keymaterial

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MaxRequestAge is how old, by the requester's clock, a request may be; nor may
// it be further in the future (docs/mmr-profile.md, section 5).
const MaxRequestAge = 10 * time.Minute

// The ways in which a request for key material is refused before it is known
// what it asks for. Whoever relays the request sees them.
var (
	// ErrRequester reports a request that was not signed by the leaf it names, or
	// that came from another hub than its room's.
	ErrRequester = errors.New("keymaterial: request is not by the leaf that it names")
	// ErrToken reports a connection token that does not open, in this room and for
	// this leaf.
	ErrToken = errors.New("keymaterial: connection token does not open")
	// ErrRequestAge reports a request that is older than [MaxRequestAge].
	ErrRequestAge = errors.New("keymaterial: request is too old, or clocks differ")
	// ErrReplay reports a request that was received before.
	ErrReplay = errors.New("keymaterial: request was received before")
)

// ErrUnknownToken is what a [Maker] reports of a token that no contact of a local
// user has.
var ErrUnknownToken = errors.New("keymaterial: nobody has given out this token")

// A Maker uploads a set at the moment when it is fetched: it is the client too.
type Maker interface {
	// MakeSet makes and uploads a set of single use for the contact with that
	// token. It fails with [ErrUnknownToken].
	MakeSet(ctx context.Context, token TokenHash, s mls.CipherSuite) error
}

// ProviderConfig is what a [Provider] needs.
type ProviderConfig struct {
	Domain        string
	Store         Store
	Registrations Registrations
	Nonces        Nonces
	// Tokens takes what uploads are paid with.
	Tokens Redeemer
	// Keys returns the keymaterial keys, whose public parts are in the directory
	// document.
	Keys func(ctx context.Context) (identity.ProviderKeyRing, error)
	// Maker makes sets on demand, or is nil.
	Maker Maker
	// MakeLimit is how many sets the maker may make for one token in MakePeriod.
	// Beyond it, and if the maker fails, a set of last resort is handed out.
	MakeLimit  int
	MakePeriod time.Duration
	// Atomically runs f in a transaction of the stores.
	Atomically func(ctx context.Context, f func(ctx context.Context) error) error
	// LastResort is told that a set of last resort of a token was handed out, and how often it
	// was before: from then on it is worn, and the client uploads another one at its
	// next schedule tick. May be nil.
	LastResort func(ctx context.Context, token TokenHash, before uint64)
	// CheckLifetime checks the lifetime of an uploaded KeyPackage and returns its
	// end, or is nil: then it has to be everybody's.
	CheckLifetime func(kp *mls.KeyPackage) (notAfter time.Time, err error)
	Clock         mimi.Clock
	Log           *slog.Logger
}

// A Provider answers requests for the key material of local users. It may be
// used concurrently.
type Provider struct {
	cfg ProviderConfig

	mu sync.Mutex
	// made, guarded by mu, has the times of the sets made lately; it is bounded by
	// the tokens in use times MakeLimit, since unknown ones are not counted.
	made map[TokenHash][]time.Time
}

// NewProvider returns a provider.
func NewProvider(cfg ProviderConfig) *Provider {
	return &Provider{cfg: cfg, made: map[TokenHash][]time.Time{}}
}

// KeyMaterial answers a request that came over mutual TLS from a domain, which
// must be the hub of the room. The hub relays the answer without being able to
// read it: also a refusal by the user is sealed. What fails before the response
// key is known is an error: [ErrRequester], [ErrToken], [ErrRequestAge],
// [ErrReplay], wrapped in protocol.ErrMalformed or a *protocol.NotAllowedError.
func (p *Provider) KeyMaterial(ctx context.Context, from string, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	s, adder, err := p.requester(from, req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	content, err := p.open(ctx, req, adder)
	if err != nil {
		return nil, err
	}
	answer, err := p.answer(ctx, HashToken(content.Token), req.Requester.CipherSuites)
	if err != nil {
		return nil, fmt.Errorf("hand out key material: %w", err)
	}
	hash, err := req.Hash()
	if err != nil {
		return nil, fmt.Errorf("hand out key material: %w", err)
	}
	return protocol.SealKeyMaterial(s, content.ResponseKey, hash, answer)
}

// requester checks that the request is signed by the leaf that it names.
func (p *Provider) requester(from string, req *protocol.AnonymousKeyMaterialRequest) (*suite.Suite, *identity.PseudonymousCredentialTBS, error) {
	if from != req.Room.Domain || req.Target.Domain != p.cfg.Domain {
		return nil, nil, mimi.Refuse("key-request-hub", fmt.Errorf("%w: from %s for a room of %s", ErrRequester, from, req.Room.Domain))
	}
	s, err := requestSuite(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRequester, err)
	}
	cred, err := identity.ParseCredential(s, req.Requester.Credential, req.Requester.SignatureKey)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrRequester, err)
	}
	if cred.UserPseudonym != req.RequestingUser {
		return nil, nil, mimi.Refuse("key-request-user", fmt.Errorf("%w: requestingUser is another pseudonym", ErrRequester))
	}
	if err := req.Verify(s); err != nil {
		return nil, nil, mimi.Refuse("key-request-signature", fmt.Errorf("%w: %w", ErrRequester, err))
	}
	return s, &cred.PseudonymousCredentialTBS, nil
}

// requestSuite is the suite of the room: the first acceptable one.
func requestSuite(req *protocol.AnonymousKeyMaterialRequest) (*suite.Suite, error) {
	if len(req.Requester.CipherSuites) == 0 {
		return nil, suite.ErrUnsupported
	}
	return suite.Lookup(req.Requester.CipherSuites[0])
}

// open finds out what is asked for, and refuses repeats.
func (p *Provider) open(ctx context.Context, req *protocol.AnonymousKeyMaterialRequest, adder *identity.PseudonymousCredentialTBS) (*protocol.ConnectionTokenContent, error) {
	keys, err := p.cfg.Keys(ctx)
	if err != nil {
		return nil, fmt.Errorf("hand out key material: %w", err)
	}
	content, err := req.Token.Open(keys, req.Room, adder)
	if err != nil {
		return nil, mimi.Refuse("token-opens", fmt.Errorf("%w: %w: %w", protocol.ErrMalformed, ErrToken, err))
	}
	if age := p.cfg.Clock.Now().Sub(content.Created); age > MaxRequestAge || age < -MaxRequestAge {
		return nil, mimi.Refuse("token-age", notAllowed(ErrRequestAge))
	}
	// A nonce is remembered for as long as a request with it would be young
	// enough, whichever way clocks differ.
	fresh, err := p.cfg.Nonces.RememberNonce(ctx, sha256.Sum256(content.Nonce), content.Created.Add(2*MaxRequestAge))
	if err != nil {
		return nil, fmt.Errorf("hand out key material: %w", err)
	}
	if !fresh {
		return nil, mimi.Refuse("token-nonce", notAllowed(ErrReplay))
	}
	return content, nil
}

func notAllowed(err error) error {
	return fmt.Errorf("%w: %w", &protocol.NotAllowedError{Reason: err.Error()}, err)
}

// answer takes a set: of single use, else made now, else of last resort.
func (p *Provider) answer(ctx context.Context, token TokenHash, suites []mls.CipherSuite) (*protocol.KeyMaterialResponse, error) {
	var set *Set
	lastResort := false
	err := p.cfg.Atomically(ctx, func(ctx context.Context) (err error) {
		if set, err = p.single(ctx, token, suites); !errors.Is(err, ErrExhausted) {
			return err
		}
		lastResort = true
		q, err := p.query(ctx, token, suites)
		if errors.Is(err, ErrUnknownToken) {
			return ErrExhausted // the maker knows it, and could make nothing
		} else if err != nil {
			return err
		}
		set, err = p.cfg.Store.TakeLastResort(ctx, q)
		return err
	})
	switch {
	case errors.Is(err, ErrUnknownToken):
		return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent}, nil
	case errors.Is(err, ErrExhausted):
		return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoCompatibleMaterial}, nil
	case err != nil:
		return nil, err
	}
	if lastResort && p.cfg.LastResort != nil {
		p.cfg.LastResort(ctx, token, set.Reused)
	}
	return Response(set)
}

// query asks for a set that can be handed out now. It fails with
// [ErrUnknownToken] if nothing was uploaded under the token.
func (p *Provider) query(ctx context.Context, token TokenHash, suites []mls.CipherSuite) (Query, error) {
	r, err := p.cfg.Registrations.Registration(ctx, token)
	if errors.Is(err, ErrNoRegistration) {
		return Query{}, ErrUnknownToken
	} else if err != nil {
		return Query{}, err
	}
	return Query{Token: token, Suites: suites, Slots: r.Slots, Now: identity.HandOutHorizon(p.cfg.Clock.Now())}, nil
}

// single takes a set that is used once, and has one made if there is none. It fails
// with [ErrExhausted] or [ErrUnknownToken].
func (p *Provider) single(ctx context.Context, token TokenHash, suites []mls.CipherSuite) (*Set, error) {
	q, err := p.query(ctx, token, suites)
	if err == nil {
		var set *Set
		if set, err = p.cfg.Store.TakeSingle(ctx, q); err == nil {
			return set, nil
		}
	}
	if !errors.Is(err, ErrExhausted) && !errors.Is(err, ErrUnknownToken) {
		return nil, err
	}
	if err := p.make(ctx, token, suites, err); err != nil {
		return nil, err
	}
	if q, err = p.query(ctx, token, suites); err != nil {
		return nil, err
	}
	return p.cfg.Store.TakeSingle(ctx, q)
}

// make has a set made now, within the limit; otherwise it fails with what was
// found so far. A failure of the maker is logged, and is [ErrExhausted]: who fetches
// is given a set of last resort.
func (p *Provider) make(ctx context.Context, token TokenHash, suites []mls.CipherSuite, found error) error {
	if p.cfg.Maker == nil || len(suites) == 0 || !p.reserve(token, p.cfg.Clock.Now()) {
		return found
	}
	err := p.cfg.Maker.MakeSet(ctx, token, suites[0])
	if err == nil {
		return nil
	}
	p.release(token)
	if errors.Is(err, ErrUnknownToken) {
		return err
	}
	p.cfg.Log.WarnContext(ctx, "could not make key material on demand", "err", err)
	return ErrExhausted
}

// reserve counts a set that is about to be made for a token, if there may be
// one, and forgets what is older than the period.
func (p *Provider) reserve(token TokenHash, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	times := p.made[token]
	for len(times) > 0 && now.Sub(times[0]) >= p.cfg.MakePeriod {
		times = times[1:]
	}
	if len(times) >= p.cfg.MakeLimit {
		return false
	}
	p.made[token] = append(times, now)
	return true
}

// release takes back the newest reservation: nothing was made. Tokens that
// nobody has given out leave nothing behind.
func (p *Provider) release(token TokenHash) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if times := p.made[token]; len(times) > 1 {
		p.made[token] = times[:len(times)-1]
	} else {
		delete(p.made, token)
	}
}

// Response turns a set into the protocol's answer.
func Response(set *Set) (*protocol.KeyMaterialResponse, error) {
	if len(set.Rows) == 0 {
		return nil, errors.New("internal error: a set without KeyPackages")
	}
	r := &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialSuccess, User: set.Rows[0].Set}
	for _, row := range set.Rows {
		kp := new(mls.KeyPackage)
		if err := wire.Unmarshal(row.KeyPackage, kp); err != nil {
			return nil, fmt.Errorf("stored KeyPackage: %w", err)
		}
		s, err := suite.Lookup(kp.CipherSuite)
		if err != nil {
			return nil, fmt.Errorf("stored KeyPackage: %w", err)
		}
		cred, err := identity.ParseCredential(s, kp.LeafNode.Credential, kp.LeafNode.SignatureKey)
		if err != nil {
			return nil, fmt.Errorf("stored KeyPackage: %w", err)
		}
		r.Clients = append(r.Clients, protocol.ClientKeyMaterial{Status: protocol.ClientSuccess, Client: cred.ClientPseudonym, KeyPackage: kp})
	}
	return r, nil
}
