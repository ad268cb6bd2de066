package connection

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The ways in which an establishment package is refused. Beside them stand the
// errors of identity.Authority.Verify.
var (
	// ErrPackageFormat reports octets that are no establishment package.
	ErrPackageFormat = errors.New("connection: malformed establishment package")
	// ErrPackageSuite reports a package for a cipher suite that we do not have.
	ErrPackageSuite = errors.New("connection: establishment package for an unsupported cipher suite")
	// ErrPackageSignature reports a package that its client did not sign.
	ErrPackageSignature = errors.New("connection: signature of the establishment package does not verify")
	// ErrPackageUser reports a package of another user than the one asked for.
	ErrPackageUser = errors.New("connection: establishment package is of another user")
	// ErrPackageValidity reports a package that is not valid now.
	ErrPackageValidity = errors.New("connection: establishment package is not valid at this time")
	// ErrNoPackage reports that there is no package of a user: the user is unknown
	// or does not want to be asked.
	ErrNoPackage = errors.New("connection: no establishment package of this user")
)

const (
	packageVersion = 1
	secondsOfDay   = 24 * 60 * 60
	labelPackage   = "ConnectionEstablishmentPackageTBS"
)

// A ConnectionEstablishmentPackageTBS is what a client signs of a package.
//
//	struct {
//	    uint16 version = 1;
//	    CipherSuite cipher_suite;
//	    opaque user_uri<V>;
//	    opaque establishment_public_key<V>;
//	    uint64 not_before;
//	    uint64 not_after;      /* seconds, whole UTC days */
//	    uint8 last_resort;
//	    Credential client_credential;
//	} ConnectionEstablishmentPackageTBS;
type ConnectionEstablishmentPackageTBS struct {
	CipherSuite         mls.CipherSuite
	User                mimi.URI
	PublicKey           []byte
	NotBefore, NotAfter uint64
	LastResort          bool
	Client              identity.ClientCredential
}

// Wire codes the structure and refuses, with [ErrPackageFormat], other versions
// and lifetimes that are not whole days.
func (p *ConnectionEstablishmentPackageTBS) Wire(c *wire.Codec) {
	version, lastResort := uint16(packageVersion), uint8(0)
	if p.LastResort {
		lastResort = 1
	}
	wire.Uint16(c, &version)
	wire.Uint16(c, &p.CipherSuite)
	p.User.Wire(c)
	wire.Opaque(c, &p.PublicKey)
	wire.Uint64(c, &p.NotBefore)
	wire.Uint64(c, &p.NotAfter)
	wire.Uint8(c, &lastResort)
	p.Client.Wire(c)
	switch {
	case version != packageVersion:
		c.Fail(fmt.Errorf("%w: version %d", ErrPackageFormat, version))
	case p.User.Kind != mimi.KindUser:
		c.Fail(fmt.Errorf("%w: not of a user", ErrPackageFormat))
	case p.NotBefore%secondsOfDay != 0 || p.NotAfter%secondsOfDay != 0 || p.NotBefore >= p.NotAfter:
		c.Fail(fmt.Errorf("%w: lifetime is not of whole days", ErrPackageFormat))
	case lastResort > 1:
		c.Fail(fmt.Errorf("%w: last_resort is %d", ErrPackageFormat, lastResort))
	}
	if c.Decoding() {
		p.LastResort = lastResort == 1
	}
}

// A ConnectionEstablishmentPackage holds a public key to which a user's
// connection requests are encrypted. It is a claim until it is verified.
//
//	struct {
//	    ConnectionEstablishmentPackageTBS tbs;
//	    opaque signature<V>;
//	} ConnectionEstablishmentPackage;
type ConnectionEstablishmentPackage struct {
	TBS       ConnectionEstablishmentPackageTBS
	Signature []byte
}

// Wire codes the structure.
func (p *ConnectionEstablishmentPackage) Wire(c *wire.Codec) {
	p.TBS.Wire(c)
	wire.Opaque(c, &p.Signature)
}

// A Ref names a package (cep_ref) or a request (request_ref) by its hash.
type Ref [32]byte

// Wire codes the reference as opaque<V> of its length.
func (r *Ref) Wire(c *wire.Codec) {
	b := r[:]
	wire.Opaque(c, &b)
	if len(b) != len(r) {
		c.Fail(fmt.Errorf("connection: reference of %d octets", len(b)))
		return
	}
	copy(r[:], b)
}

// ParseRef reads a reference that stands in another structure.
func ParseRef(b []byte) (Ref, error) {
	if len(b) != len(Ref{}) {
		return Ref{}, fmt.Errorf("connection: reference of %d octets", len(b))
	}
	return Ref(b), nil
}

// refHash computes a reference; label is used as it is.
func refHash(s *suite.Suite, label string, m wire.Message) (Ref, error) {
	b, err := wire.Marshal(m)
	if err != nil {
		return Ref{}, fmt.Errorf("compute a reference: %w", err)
	}
	return Ref(s.RefHash(label, b)), nil
}

// Ref returns the cep_ref, or [ErrPackageSuite].
func (p *ConnectionEstablishmentPackage) Ref() (Ref, error) {
	s, err := p.suite()
	if err != nil {
		return Ref{}, err
	}
	return refHash(s, "MIMI 1.0 ConnectionEstablishmentPackage", p)
}

func (p *ConnectionEstablishmentPackage) suite() (*suite.Suite, error) {
	s, err := suite.Lookup(p.TBS.CipherSuite)
	if err != nil {
		return nil, mimi.Refuse("package-suite", fmt.Errorf("%w: %w", ErrPackageSuite, err))
	}
	return s, nil
}

// ParsePackage reads what a provider has answered, or fails with
// [ErrPackageFormat]. Nothing is what it answers for a user without package:
// [ErrNoPackage].
func ParsePackage(b []byte) (*ConnectionEstablishmentPackage, error) {
	if len(b) == 0 {
		return nil, ErrNoPackage
	}
	var p ConnectionEstablishmentPackage
	if err := wire.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackageFormat, err)
	}
	return &p, nil
}

// A VerifiedPackage is a package of the user that was asked for. Only
// [ConnectionEstablishmentPackage.Verify] makes one.
type VerifiedPackage struct {
	suite  *suite.Suite
	pkg    ConnectionEstablishmentPackage
	ref    Ref
	client mimi.URI
}

// User returns whose package it is.
func (v *VerifiedPackage) User() mimi.URI { return v.pkg.TBS.User }

// Suite returns the cipher suite for the request and for the connection room.
func (v *VerifiedPackage) Suite() *suite.Suite { return v.suite }

// Verify makes the requester's checks of a package (docs/mmr-profile.md, section
// 4): chain to the pinned CA, signature, user, suite, validity. User is the URI
// that was asked for, authority the pinned identity CA of its domain.
func (p *ConnectionEstablishmentPackage) Verify(user mimi.URI, authority *identity.Authority, now time.Time) (*VerifiedPackage, error) {
	s, err := p.suite()
	if err != nil {
		return nil, err
	}
	cert, err := authority.Verify(s, p.TBS.Client)
	if err != nil {
		return nil, fmt.Errorf("establishment package: %w", err)
	}
	content, err := wire.Marshal(&p.TBS)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPackageFormat, err)
	}
	if err := s.VerifyWithLabel(cert.PublicKey(), labelPackage, content, p.Signature); err != nil {
		return nil, mimi.Refuse("package-signature", fmt.Errorf("%w: %w", ErrPackageSignature, err))
	}
	if cert.User() != p.TBS.User || p.TBS.User != user {
		return nil, mimi.Refuse("package-user", ErrPackageUser)
	}
	if err := s.CheckHPKEKey(p.TBS.PublicKey); err != nil {
		return nil, mimi.Refuse("package-key", fmt.Errorf("%w: %w", ErrPackageFormat, err))
	}
	if !p.validAt(now) {
		return nil, mimi.Refuse("package-time", ErrPackageValidity)
	}
	if err := cert.CheckAt(now); err != nil {
		return nil, fmt.Errorf("establishment package: %w", err)
	}
	ref, err := p.Ref()
	if err != nil {
		return nil, err
	}
	return &VerifiedPackage{s, *p, ref, cert.Client()}, nil
}

// validAt reports whether t is in the package's lifetime.
func (p *ConnectionEstablishmentPackage) validAt(t time.Time) bool {
	sec := t.Unix()
	return sec >= 0 && uint64(sec) >= p.TBS.NotBefore && uint64(sec) <= p.TBS.NotAfter
}

// PackageConfig is what [NewPackage] makes a package from.
type PackageConfig struct {
	Suite  *suite.Suite
	User   mimi.URI
	Client identity.ClientSigner
	// LastResort says that the package may be used any number of times.
	LastResort bool
	// NotBefore and NotAfter are whole UTC days; identity.KeyPackageLifetime
	// gives the usual ones.
	NotBefore, NotAfter time.Time
	Random              io.Reader
}

// A PrivatePackage is an own package with its private key.
type PrivatePackage struct {
	Package ConnectionEstablishmentPackage
	Ref     Ref
	Private suite.HPKEPrivateKey
}

// NewPackage makes an establishment package. A user has some that are used once,
// and at least one of last resort.
func NewPackage(cfg PackageConfig) (*PrivatePackage, error) {
	private, err := cfg.Suite.GenerateHPKEKey(cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("make an establishment package: %w", err)
	}
	p := &PrivatePackage{Private: private}
	p.Package.TBS = ConnectionEstablishmentPackageTBS{
		CipherSuite: cfg.Suite.ID(), User: cfg.User, PublicKey: private.Public(), LastResort: cfg.LastResort,
		NotBefore: uint64(cfg.NotBefore.Unix()), NotAfter: uint64(cfg.NotAfter.Unix()), Client: cfg.Client.Credential(),
	}
	content, err := wire.Marshal(&p.Package.TBS)
	if err != nil {
		return nil, fmt.Errorf("make an establishment package: %w", err)
	}
	if p.Package.Signature, err = cfg.Client.SignWithLabel(labelPackage, content); err != nil {
		return nil, fmt.Errorf("make an establishment package: %w", err)
	}
	if p.Ref, err = p.Package.Ref(); err != nil {
		return nil, err
	}
	return p, nil
}

// Secret returns the private key for storing it sealed; the suite is in the
// package.
func (p *PrivatePackage) Secret() []byte { return p.Private.Secret().Clone().Bytes() }

// LoadPackage is the inverse: it puts a stored package and its secret together.
func LoadPackage(pkg ConnectionEstablishmentPackage, secret []byte) (*PrivatePackage, error) {
	s, err := pkg.suite()
	if err != nil {
		return nil, err
	}
	private, err := s.ImportHPKEKey(suite.NewSecret(secret))
	if err != nil {
		return nil, fmt.Errorf("stored establishment package: %w", err)
	}
	if string(private.Public()) != string(pkg.TBS.PublicKey) {
		return nil, fmt.Errorf("stored establishment package: %w: another private key", ErrPackageFormat)
	}
	ref, err := pkg.Ref()
	return &PrivatePackage{pkg, ref, private}, err
}
