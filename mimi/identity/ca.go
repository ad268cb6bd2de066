package identity

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// Lifetimes of certificates.
const (
	// ClientLifetime is how long a client certificate is good for. It is renewed
	// at half of that; there is no revocation list (docs/mmr-profile.md,
	// section 2).
	ClientLifetime = 30 * day
	// CALifetime is how long an identity CA is good for. Its certificate is
	// pinned by peers, so that a change is an event for people.
	CALifetime = 10 * 365 * day

	day = 24 * time.Hour
)

// ErrCAExpiring reports an identity CA whose own certificate ends before the one
// that it was asked to issue. The operator has to make a new CA.
var ErrCAExpiring = errors.New("identity: the identity CA ends before the certificate would")

// CAConfig is what a [CA] needs.
type CAConfig struct {
	// Suite says which signature scheme the CA and its clients use.
	Suite *suite.Suite
	// Domain of the provider whose users the CA names.
	Domain string
	Clock  mimi.Clock
	// Random is a cryptographically secure source.
	Random io.Reader
}

// A CA is a provider's identity CA (docs/mmr-profile.md, section 2). It is
// immutable and may be shared.
type CA struct {
	cfg  CAConfig
	key  suite.SignatureKey
	cert *x509.Certificate
}

// NewCA makes an identity CA with a fresh key. [CA.Key] and [CA.Certificate] are
// what has to be stored.
func NewCA(cfg CAConfig) (*CA, error) {
	if err := mimi.CheckDomain(cfg.Domain); err != nil {
		return nil, fmt.Errorf("make an identity CA: %w", err)
	}
	key, err := cfg.Suite.GenerateSignatureKey(cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("make an identity CA: %w", err)
	}
	serial, err := newSerial(cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("make an identity CA: %w", err)
	}
	start := startOfDay(cfg.Clock.Now())
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: caName(cfg.Domain)},
		NotBefore:             start,
		NotAfter:              start.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
		SignatureAlgorithm:    schemeOf(cfg.Suite).signature,
	}
	der, err := x509.CreateCertificate(cfg.Random, template, template, key.Signer().Public(), key.Signer())
	if err != nil {
		return nil, fmt.Errorf("make an identity CA: %w", err)
	}
	return LoadCA(cfg, key, der)
}

// LoadCA returns a CA that was stored. It fails with [ErrCACertificate] if the
// certificate is not one for that key, suite and domain.
func LoadCA(cfg CAConfig, key suite.SignatureKey, der []byte) (*CA, error) {
	cert, scheme, err := parseCACertificate(der)
	if err != nil {
		return nil, err
	}
	if scheme != schemeOf(cfg.Suite) || cert.Subject.CommonName != caName(cfg.Domain) {
		return nil, fmt.Errorf("%w: it is not for %s with %s", ErrCACertificate, cfg.Domain, cfg.Suite.ID())
	}
	if public, err := scheme.publicKey(cert); err != nil || string(public) != string(key.Public()) {
		return nil, fmt.Errorf("%w: it is not for the stored key", ErrCACertificate)
	}
	return &CA{cfg, key, cert}, nil
}

// Format shows no key, whatever the verb: fmt looks into unexported fields
// without asking their methods.
func (ca *CA) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "identity CA of %s", ca.cfg.Domain) }

// Key returns the CA's private key, for storing it sealed.
func (ca *CA) Key() suite.SignatureKey { return ca.key }

// Certificate returns the CA's certificate in DER.
func (ca *CA) Certificate() []byte { return ca.cert.Raw }

// PEM returns the certificate as the directory document has it, under identityCA.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: ca.cert.Raw})
}

// Issue makes a certificate for a client of a user with the SignaturePublicKey
// public. It fails with [ErrCertificate] if one of the URIs is not of the CA's
// domain or not of its kind, with [ErrLinkTooLong] if the certificate would not
// fit into an identity link, and with [ErrCAExpiring].
func (ca *CA) Issue(user, client mimi.URI, public []byte) (*ClientCertificate, error) {
	if user.Kind != mimi.KindUser || client.Kind != mimi.KindClient || user.Domain != ca.cfg.Domain || client.Domain != ca.cfg.Domain {
		return nil, fmt.Errorf("issue a client certificate: %w: it needs a user and a client of %s", ErrCertificate, ca.cfg.Domain)
	}
	scheme := schemeOf(ca.cfg.Suite)
	key, err := scheme.parseKey(public)
	if err != nil {
		return nil, fmt.Errorf("issue a client certificate: %w", err)
	}
	san, err := marshalSAN(user, client)
	if err != nil {
		return nil, fmt.Errorf("issue a client certificate: %w", err)
	}
	serial, err := newSerial(ca.cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("issue a client certificate: %w", err)
	}
	// Whole days: the certificate tells contacts nothing about the hour.
	start := startOfDay(ca.cfg.Clock.Now())
	if start.Before(ca.cert.NotBefore) {
		start = ca.cert.NotBefore
	}
	end := start.Add(ClientLifetime)
	if end.After(ca.cert.NotAfter) {
		return nil, fmt.Errorf("%w (%s)", ErrCAExpiring, ca.cert.NotAfter.Format(time.DateOnly))
	}
	template := &x509.Certificate{
		SerialNumber:       serial,
		NotBefore:          start,
		NotAfter:           end,
		KeyUsage:           x509.KeyUsageDigitalSignature,
		SignatureAlgorithm: scheme.signature,
		ExtraExtensions:    []pkix.Extension{san},
	}
	der, err := x509.CreateCertificate(ca.cfg.Random, template, ca.cert, key, ca.key.Signer())
	if err != nil {
		return nil, fmt.Errorf("issue a client certificate: %w", err)
	}
	if len(der) > maxCertificate {
		return nil, fmt.Errorf("issue a client certificate: %w: the names are too long", ErrLinkTooLong)
	}
	authority, err := ParseAuthority(ca.cfg.Domain, ca.PEM())
	if err != nil {
		return nil, err
	}
	return authority.Verify(ca.cfg.Suite, ClientCredential{Certificate: der})
}

func caName(domain string) string {
	const suffix = " MIMI identity CA"
	// X.520 limits a common name to 64 characters; peers go by the pinned key.
	if len(domain)+len(suffix) > 64 {
		return "MIMI identity CA"
	}
	return domain + suffix
}

// newSerial returns a positive random number of at most 20 octets in DER (RFC
// 5280, section 4.1.2.2).
func newSerial(random io.Reader) (*big.Int, error) {
	b, err := randomBytes(random, 16)
	if err != nil {
		return nil, err
	}
	b[0] = b[0]&0x7f | 0x40 // of constant length, so that sizes are too
	return new(big.Int).SetBytes(b), nil
}

func startOfDay(t time.Time) time.Time { return t.UTC().Truncate(day) }
