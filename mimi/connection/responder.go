package connection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The ways in which a received request is dropped, in the order of the checks
// (docs/mmr-profile.md, section 4). The sender learns of none of them. Beside
// them stand [ErrRequestFormat] and the errors of identity.Authority.Verify.
var (
	// ErrUnknownPackage reports a cep_ref that no package here has (any more).
	ErrUnknownPackage = errors.New("connection: request for an unknown establishment package")
	// ErrPackageUsed reports a second request for a package that is used once.
	ErrPackageUsed = errors.New("connection: establishment package is already used")
	// ErrRequestDecrypt reports a ciphertext that does not open.
	ErrRequestDecrypt = errors.New("connection: request does not open")
	// ErrRequestSignature reports a request that was not signed by its client for
	// this recipient and package.
	ErrRequestSignature = errors.New("connection: signature of the request does not verify")
	// ErrRecipient reports a request that was sent to somebody else than the
	// package's user.
	ErrRecipient = errors.New("connection: request is for another recipient than its package")
	// ErrRequestAge reports a request that was made outside its package's
	// lifetime, or over [RequestLifetime] ago.
	ErrRequestAge = errors.New("connection: request is not of the package's time or too old")
	// ErrReplay reports a request that was received before.
	ErrReplay = errors.New("connection: request was received before")
	// ErrBlocked reports a request of somebody whom the user has blocked.
	ErrBlocked = errors.New("connection: requester is blocked")
)

// The ways in which a connection room is not what the request said. The
// responder does not join it.
var (
	// ErrNotConnectionRoom reports a room that is no connection room, or another
	// one than the request names.
	ErrNotConnectionRoom = errors.New("connection: room is not the connection room of the request")
	// ErrStranger reports a leaf in the connection room that does not open to the
	// requester.
	ErrStranger = errors.New("connection: a leaf in the connection room is not the requester's")
)

// A StoredPackage is an own establishment package at rest.
type StoredPackage struct {
	Ref  Ref
	User mimi.URI
	// Suite, LastResort and NotAfter are those of the package.
	Suite      mls.CipherSuite
	LastResort bool
	NotAfter   time.Time
	// Package is the encoded ConnectionEstablishmentPackage.
	Package []byte
	// Secret is the private key: see [PrivatePackage.Secret].
	Secret []byte
	// Used says that a request for it was accepted for showing.
	Used bool
}

// Packages keeps the establishment packages of local users. Fields named Secret
// are sealed at rest. Writes are durable when they return, or when the
// transaction around them does; calls for one user are linearizable. All methods
// may be called concurrently. Package storetest checks every implementation.
type Packages interface {
	// PutPackage inserts a package. A second one with the same Ref is an error.
	PutPackage(ctx context.Context, p *StoredPackage) error
	// HandOut returns a package of the user for the suite that is valid at now: one
	// that is used once and was neither handed out nor used before, the one with
	// the earliest NotAfter first, and marks it as handed out; else one of last
	// resort, the one with the latest NotAfter. It fails with [ErrNoPackage].
	HandOut(ctx context.Context, user mimi.URI, s mls.CipherSuite, now time.Time) (*StoredPackage, error)
	// Package fails with [ErrUnknownPackage].
	Package(ctx context.Context, ref Ref) (*StoredPackage, error)
	// UsePackage marks a package as used. It fails with [ErrUnknownPackage], and,
	// unless the package is of last resort, with [ErrPackageUsed] if it was used
	// before.
	UsePackage(ctx context.Context, ref Ref) error
	// CountPackages returns how many packages [Packages.HandOut] could still hand
	// out once, and how many of last resort there are, for a suite at now.
	CountPackages(ctx context.Context, user mimi.URI, s mls.CipherSuite, now time.Time) (single, lastResort int, err error)
	// DropUnasked deletes the packages of a user that are used once, were neither
	// handed out nor used, and end before the given time.
	DropUnasked(ctx context.Context, user mimi.URI, before time.Time) error
	// DropPackages deletes all packages of a user.
	DropPackages(ctx context.Context, user mimi.URI) error
	// ForgetPackages deletes the packages that end before the given time.
	ForgetPackages(ctx context.Context, before time.Time) error
}

// Replays remembers requests. Calls are linearizable, durable like those of
// [Packages], and may be concurrent. Package storetest checks every
// implementation.
type Replays interface {
	// Remember stores a hash until a time, and reports whether it is fresh: not
	// stored before. A hash that is stored keeps its time.
	Remember(ctx context.Context, hash Ref, until time.Time) (fresh bool, err error)
	// ForgetReplays deletes the hashes whose time is before the given one.
	ForgetReplays(ctx context.Context, before time.Time) error
}

// ResponderConfig is what a [Responder] needs.
type ResponderConfig struct {
	Packages Packages
	Replays  Replays
	// Authority returns the pinned identity CA of a domain, after asking its
	// directory if need be.
	Authority func(ctx context.Context, domain string) (*identity.Authority, error)
	// Blocked reports whether a local user has blocked somebody.
	Blocked func(ctx context.Context, user, requester mimi.URI) (bool, error)
	// Atomically runs f in a transaction of the stores.
	Atomically func(ctx context.Context, f func(ctx context.Context) error) error
	Clock      mimi.Clock
}

// A Responder checks the requests that local users receive. It may be used
// concurrently.
type Responder struct{ cfg ResponderConfig }

// NewResponder returns a responder.
func NewResponder(cfg ResponderConfig) *Responder { return &Responder{cfg} }

// An IncomingRequest is a request that has passed every check that needs no
// person: it is shown to its recipient. Only [Responder.Receive] makes one, and
// [UnmarshalIncoming] restores it. It is secret as a whole.
type IncomingRequest struct {
	suite     *suite.Suite
	recipient mimi.URI
	user      mimi.URI
	client    mimi.URI
	ref       Ref
	signed    SignedConnectionRequest
}

// Recipient returns the local user who is asked.
func (r *IncomingRequest) Recipient() mimi.URI { return r.recipient }

// User returns the person who asks.
func (r *IncomingRequest) User() mimi.URI { return r.user }

// Client returns the client of the person who asks.
func (r *IncomingRequest) Client() mimi.URI { return r.client }

// Ref returns the request_ref.
func (r *IncomingRequest) Ref() Ref { return r.ref }

// Suite returns the cipher suite of the connection room.
func (r *IncomingRequest) Suite() *suite.Suite { return r.suite }

// Room returns the connection room.
func (r *IncomingRequest) Room() mimi.URI { return r.signed.Request.Room }

// WrapperKey returns the wrapper key of the connection room.
func (r *IncomingRequest) WrapperKey() identity.WrapperKey {
	return identity.WrapperKey{Key: r.signed.Request.WrapperKey}
}

// Theirs returns what the requester gives us.
func (r *IncomingRequest) Theirs() Keys {
	return Keys{r.signed.Request.ConnectionKey, r.signed.Request.Token}
}

// JoiningCode returns the code for the GroupInfo of the connection room.
func (r *IncomingRequest) JoiningCode() suite.Secret { return r.signed.Request.JoiningCode(r.suite) }

// CreatedAt returns when the requester made the request, by its clock.
func (r *IncomingRequest) CreatedAt() time.Time {
	return time.UnixMilli(int64(r.signed.Request.CreatedAt)).UTC()
}

// Format shows nobody's name and no key, whatever the verb.
func (r *IncomingRequest) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("[redacted connection request]"))
}

// Receive checks a request and then calls show in the transaction that marks
// package and request as used, so that a crash loses neither. The first check
// that fails gives the error.
func (r *Responder) Receive(ctx context.Context, sealed *SealedRequest, show func(ctx context.Context, request *IncomingRequest) error) error {
	stored, err := r.cfg.Packages.Package(ctx, sealed.Package)
	if errors.Is(err, ErrUnknownPackage) {
		return mimi.Refuse("request-package", err)
	} else if err != nil {
		return fmt.Errorf("connection request: %w", err)
	}
	if stored.Used && !stored.LastResort {
		return mimi.Refuse("request-package-used", ErrPackageUsed)
	}
	pkg, err := stored.load()
	if err != nil {
		return err
	}
	signed, err := pkg.open(sealed.Request)
	if err != nil {
		return err
	}
	request, err := r.verify(ctx, pkg, signed)
	if err != nil {
		return err
	}
	if sealed.Target != pkg.Package.TBS.User || sealed.Package != pkg.Ref {
		return mimi.Refuse("request-recipient", ErrRecipient)
	}
	if err := pkg.checkTime(&signed.Request, r.cfg.Clock.Now()); err != nil {
		return err
	}
	return r.cfg.Atomically(ctx, func(ctx context.Context) error {
		fresh, err := r.cfg.Replays.Remember(ctx, request.ref, request.CreatedAt().Add(RequestLifetime))
		if err != nil {
			return fmt.Errorf("connection request: %w", err)
		}
		if !fresh {
			return mimi.Refuse("request-replay", ErrReplay)
		}
		blocked, err := r.cfg.Blocked(ctx, request.recipient, request.user)
		if err != nil {
			return fmt.Errorf("connection request: %w", err)
		}
		if blocked {
			return mimi.Refuse("request-blocked", ErrBlocked)
		}
		if err := r.cfg.Packages.UsePackage(ctx, pkg.Ref); err != nil {
			return fmt.Errorf("connection request: %w", err)
		}
		return show(ctx, request)
	})
}

func (p *StoredPackage) load() (*PrivatePackage, error) {
	var pkg ConnectionEstablishmentPackage
	if err := wire.Unmarshal(p.Package, &pkg); err != nil {
		return nil, fmt.Errorf("stored establishment package: %w", err)
	}
	return LoadPackage(pkg, p.Secret)
}

// Stored returns the package as the store keeps it.
func (p *PrivatePackage) Stored() (*StoredPackage, error) {
	b, err := wire.Marshal(&p.Package)
	if err != nil {
		return nil, fmt.Errorf("store an establishment package: %w", err)
	}
	tbs := &p.Package.TBS
	return &StoredPackage{
		Ref: p.Ref, User: tbs.User, Suite: tbs.CipherSuite, LastResort: tbs.LastResort,
		NotAfter: time.Unix(int64(tbs.NotAfter), 0).UTC(), Package: b, Secret: p.Secret(),
	}, nil
}

// open decrypts a request for the package. The context is ours, not the
// sender's, so that a request for somebody else does not open.
func (p *PrivatePackage) open(sealed suite.HPKECiphertext) (*SignedConnectionRequest, error) {
	s, err := p.Package.suite()
	if err != nil {
		return nil, err
	}
	bound, err := wire.Marshal(&ConnectionRequestContext{p.Package.TBS.User, p.Ref})
	if err != nil {
		return nil, fmt.Errorf("open a connection request: %w", err)
	}
	plaintext, err := s.DecryptWithLabel(p.Private, labelRequest, bound, sealed)
	if err != nil {
		return nil, mimi.Refuse("request-opens", fmt.Errorf("%w: %w", ErrRequestDecrypt, err))
	}
	defer clear(plaintext)
	b, err := identity.Unpad(plaintext, padRequest)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequestFormat, err)
	}
	defer clear(b)
	var signed SignedConnectionRequest
	if err := wire.Unmarshal(b, &signed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequestFormat, err)
	}
	if err := s.CheckHPKEKey(signed.Request.ResponseKey); err != nil {
		return nil, mimi.Refuse("request-key", fmt.Errorf("%w: %w", ErrRequestFormat, err))
	}
	return &signed, nil
}

// verify finds out who asks: chain, then signature. The room is at the
// requester's own provider, whose domain says which authority to ask.
func (r *Responder) verify(ctx context.Context, p *PrivatePackage, signed *SignedConnectionRequest) (*IncomingRequest, error) {
	s, err := p.Package.suite()
	if err != nil {
		return nil, err
	}
	authority, err := r.cfg.Authority(ctx, signed.Request.Room.Domain)
	if err != nil {
		return nil, fmt.Errorf("connection request: %w", err)
	}
	cert, err := authority.Verify(s, signed.Request.Client)
	if err != nil {
		return nil, fmt.Errorf("connection request: %w", err)
	}
	if err := cert.CheckAt(r.cfg.Clock.Now()); err != nil {
		return nil, fmt.Errorf("connection request: %w", err)
	}
	content, err := wire.Marshal(&ConnectionRequestTBS{&signed.Request, ConnectionRequestContext{p.Package.TBS.User, p.Ref}})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRequestFormat, err)
	}
	if err := s.VerifyWithLabel(cert.PublicKey(), labelSigned, content, signed.Signature); err != nil {
		return nil, mimi.Refuse("request-signature", fmt.Errorf("%w: %w", ErrRequestSignature, err))
	}
	ref, err := signed.Ref(s)
	if err != nil {
		return nil, err
	}
	return &IncomingRequest{s, p.Package.TBS.User, cert.User(), cert.Client(), ref, *signed}, nil
}

func (p *PrivatePackage) checkTime(request *ConnectionRequest, now time.Time) error {
	seconds := request.CreatedAt / 1000
	if seconds < p.Package.TBS.NotBefore || seconds > p.Package.TBS.NotAfter {
		return mimi.Refuse("request-package-time", fmt.Errorf("%w: made outside the package's lifetime", ErrRequestAge))
	}
	if made := time.Unix(int64(seconds), 0); now.Sub(made) > RequestLifetime {
		return mimi.Refuse("request-age", fmt.Errorf("%w: over 30 days old", ErrRequestAge))
	}
	return nil
}

// CheckRoom makes the responder's checks of the connection room before it joins:
// it is the room of the request, every one of its leaves opens to the requester,
// and its policy is a connection room's. Opened has the links that opened.
func (r *IncomingRequest) CheckRoom(groupID []byte, leaves []mls.LeafIndex, opened map[mls.LeafIndex]*identity.OpenedLink, policy *identity.MinimalMetadataPolicy) error {
	room, err := identity.RoomOf(groupID)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotConnectionRoom, err)
	}
	if room != r.Room() {
		return mimi.Refuse("connection-room-other", fmt.Errorf("%w: another room", ErrNotConnectionRoom))
	}
	if len(leaves) == 0 {
		return fmt.Errorf("%w: nobody is in it", ErrStranger)
	}
	for _, leaf := range leaves {
		if o := opened[leaf]; o == nil || o.User() != r.user {
			return mimi.Refuse("connection-room-stranger", fmt.Errorf("%w: leaf %d", ErrStranger, leaf))
		}
	}
	if policy == nil || *policy != identity.ConnectionRoomPolicy() {
		return mimi.Refuse("connection-room-policy", fmt.Errorf("%w: by its policy", ErrNotConnectionRoom))
	}
	return nil
}

// Respond makes the connection response for the SafeAAD of the external Commit
// by which the leaf with the credential tbs joins. Keys are what the requester
// is given.
func (r *IncomingRequest) Respond(tbs *identity.PseudonymousCredentialTBS, keys Keys) (mls.SafeAADItem, error) {
	context := &ConnectionResponseContext{r.Room(), r.ref, *tbs}
	return sealResponse(r.suite, r.signed.Request.ResponseKey, context, &keys)
}

// incoming is how an IncomingRequest is stored.
type incoming struct {
	suite                   mls.CipherSuite
	recipient, user, client mimi.URI
	signed                  SignedConnectionRequest
}

func (x *incoming) Wire(c *wire.Codec) {
	wire.Uint16(c, &x.suite)
	x.recipient.Wire(c)
	x.user.Wire(c)
	x.client.Wire(c)
	x.signed.Wire(c)
}

// Marshal returns the request for storing it sealed until its recipient decides.
func (r *IncomingRequest) Marshal() ([]byte, error) {
	return wire.Marshal(&incoming{r.suite.ID(), r.recipient, r.user, r.client, r.signed})
}

// UnmarshalIncoming reads what [IncomingRequest.Marshal] wrote. It does not
// repeat the checks: what it is given must come from the own sealed store.
func UnmarshalIncoming(b []byte) (*IncomingRequest, error) {
	var x incoming
	if err := wire.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("stored connection request: %w", err)
	}
	s, err := suite.Lookup(x.suite)
	if err != nil {
		return nil, fmt.Errorf("stored connection request: %w", err)
	}
	ref, err := x.signed.Ref(s)
	if err != nil {
		return nil, err
	}
	return &IncomingRequest{s, x.recipient, x.user, x.client, ref, x.signed}, nil
}
