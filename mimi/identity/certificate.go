package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// Limits of what a directory may publish.
const (
	maxAuthorityPEM = 16 << 10
	maxCertificates = 2 // one for each signature scheme
	pemType         = "CERTIFICATE"
)

// ValidityTolerance is how far a certificate may be from being valid at a moment
// and still pass: clocks differ (docs/mmr-profile.md, section 2).
const ValidityTolerance = 24 * time.Hour

// The ways in which a certificate is refused.
var (
	// ErrCACertificate reports octets that are no identity CA's certificate.
	ErrCACertificate = errors.New("identity: not the certificate of an identity CA")
	// ErrCertificate reports a client certificate that is not of the profile's
	// form: names, key, usage or extensions.
	ErrCertificate = errors.New("identity: malformed client certificate")
	// ErrIssuer reports a certificate that the domain's pinned identity CA did
	// not issue directly.
	ErrIssuer = errors.New("identity: certificate is not issued by the domain's identity CA")
	// ErrDomain reports names of another domain than the one asked about.
	ErrDomain = errors.New("identity: names are of different domains")
	// ErrValidity reports a certificate that is not valid at the moment in
	// question, even with [ValidityTolerance].
	ErrValidity = errors.New("identity: certificate is not valid at this time")
)

// A scheme is one of the two signature schemes of client credentials: Ed25519
// for suites 1 and 3, P-256 for suite 2. Schemes are comparable.
type scheme struct {
	signature x509.SignatureAlgorithm
	key       x509.PublicKeyAlgorithm
}

func schemeOf(s *suite.Suite) scheme {
	if s.ID() == suite.P256AES128 {
		return scheme{x509.ECDSAWithSHA256, x509.ECDSA}
	}
	return scheme{x509.PureEd25519, x509.Ed25519}
}

// parseKey turns a SignaturePublicKey into the form that crypto/x509 wants.
func (s scheme) parseKey(public []byte) (crypto.PublicKey, error) {
	if s.key == x509.ECDSA {
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
		if err != nil {
			return nil, fmt.Errorf("%w: not a P-256 key", ErrCertificate)
		}
		return key, nil
	}
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%w: not an Ed25519 key", ErrCertificate)
	}
	return ed25519.PublicKey(public), nil
}

// publicKey returns the SignaturePublicKey of a certificate of this scheme.
func (s scheme) publicKey(cert *x509.Certificate) ([]byte, error) {
	switch key := cert.PublicKey.(type) {
	case ed25519.PublicKey:
		if s.key == x509.Ed25519 {
			return bytes.Clone(key), nil
		}
	case *ecdsa.PublicKey:
		if s.key == x509.ECDSA && key.Curve == elliptic.P256() {
			return key.Bytes()
		}
	}
	return nil, fmt.Errorf("%w: key of another algorithm than %s", ErrCertificate, s.key)
}

// parseCACertificate checks that der is a self-signed CA certificate of one of
// the schemes.
func parseCACertificate(der []byte) (*x509.Certificate, scheme, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, scheme{}, fmt.Errorf("%w: %w", ErrCACertificate, err)
	}
	sc := scheme{cert.SignatureAlgorithm, cert.PublicKeyAlgorithm}
	if sc != (scheme{x509.PureEd25519, x509.Ed25519}) && sc != (scheme{x509.ECDSAWithSHA256, x509.ECDSA}) {
		return nil, scheme{}, fmt.Errorf("%w: %s is not a signature scheme of the profile", ErrCACertificate, cert.SignatureAlgorithm)
	}
	if _, err := sc.publicKey(cert); err != nil {
		return nil, scheme{}, fmt.Errorf("%w: not a P-256 key", ErrCACertificate)
	}
	if cert.Version != 3 || !cert.BasicConstraintsValid || !cert.IsCA || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, scheme{}, fmt.Errorf("%w: it may not sign certificates", ErrCACertificate)
	}
	if len(cert.UnhandledCriticalExtensions) > 0 {
		return nil, scheme{}, fmt.Errorf("%w: unknown critical extension", ErrCACertificate)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, scheme{}, fmt.Errorf("%w: it is not self-signed", ErrCACertificate)
	}
	return cert, sc, nil
}

// An Authority is the identity CA of a domain as its directory publishes it
// under identityCA: one certificate for each signature scheme. It is immutable
// and may be shared. Whether it is the right one is the [Pinner]'s concern.
type Authority struct {
	domain string
	certs  map[scheme]*x509.Certificate
	pem    []byte
}

// ParseAuthority reads identityCA of the directory document of domain. It fails
// with [ErrCACertificate] unless data is one PEM certificate for each of one or
// two signature schemes and nothing else.
func ParseAuthority(domain string, data []byte) (*Authority, error) {
	if err := mimi.CheckDomain(domain); err != nil {
		return nil, err
	}
	if len(data) > maxAuthorityPEM {
		return nil, fmt.Errorf("%w: %d octets of PEM", ErrCACertificate, len(data))
	}
	a := &Authority{domain: domain, certs: map[scheme]*x509.Certificate{}}
	for rest := bytes.TrimSpace(data); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		// pem.Decode skips what precedes a block; here that is an error.
		if !bytes.HasPrefix(rest, []byte("-----BEGIN ")) {
			return nil, fmt.Errorf("%w: text outside of PEM blocks", ErrCACertificate)
		}
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != pemType || len(block.Headers) > 0 {
			return nil, fmt.Errorf("%w: not a PEM certificate", ErrCACertificate)
		}
		cert, sc, err := parseCACertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		if a.certs[sc] != nil {
			return nil, fmt.Errorf("%w: two certificates of one signature scheme", ErrCACertificate)
		}
		a.certs[sc] = cert
		a.pem = append(a.pem, pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: cert.Raw})...)
	}
	if len(a.certs) == 0 || len(a.certs) > maxCertificates {
		return nil, fmt.Errorf("%w: %d certificates", ErrCACertificate, len(a.certs))
	}
	return a, nil
}

// Domain returns the domain whose users the authority names.
func (a *Authority) Domain() string { return a.domain }

// PEM returns the certificates in canonical form: two equal authorities have
// equal PEM.
func (a *Authority) PEM() []byte { return bytes.Clone(a.pem) }

// Fingerprint returns the SHA-256 of the PEM, for people to compare.
func (a *Authority) Fingerprint() [sha256.Size]byte { return sha256.Sum256(a.pem) }

// A ClientCertificate is a verified client certificate: its identity CA issued
// it, and its names are well-formed. Only this package makes one. Whether it is
// valid at a time is to be asked separately.
type ClientCertificate struct {
	user, client        mimi.URI
	public              []byte
	der                 []byte
	notBefore, notAfter time.Time
}

// User returns the URI of the user.
func (c *ClientCertificate) User() mimi.URI { return c.user }

// Client returns the URI of the client.
func (c *ClientCertificate) Client() mimi.URI { return c.client }

// PublicKey returns the client's SignaturePublicKey.
func (c *ClientCertificate) PublicKey() []byte { return bytes.Clone(c.public) }

// Credential returns the certificate as an x509 credential.
func (c *ClientCertificate) Credential() ClientCredential {
	return ClientCredential{Certificate: bytes.Clone(c.der)}
}

// NotBefore returns the first moment at which the certificate is valid.
func (c *ClientCertificate) NotBefore() time.Time { return c.notBefore }

// NotAfter returns the last moment at which the certificate is valid.
func (c *ClientCertificate) NotAfter() time.Time { return c.notAfter }

// RenewAt returns the moment from which the certificate should be replaced: half
// of its life.
func (c *ClientCertificate) RenewAt() time.Time {
	return c.notBefore.Add(c.notAfter.Sub(c.notBefore) / 2)
}

// CheckAt fails with [ErrValidity] if the certificate is not valid at t, give or
// take [ValidityTolerance].
func (c *ClientCertificate) CheckAt(t time.Time) error {
	if t.Before(c.notBefore.Add(-ValidityTolerance)) || t.After(c.notAfter.Add(ValidityTolerance)) {
		return mimi.Refuse("certificate-time", fmt.Errorf("%w: it is valid from %s to %s", ErrValidity, c.notBefore.Format(time.DateOnly), c.notAfter.Format(time.DateOnly)))
	}
	return nil
}

// ExpiredAt reports whether the certificate's time has passed at t.
func (c *ClientCertificate) ExpiredAt(t time.Time) bool { return t.After(c.notAfter) }

// Verify checks a client credential of the authority's domain for use with a
// cipher suite (docs/mmr-profile.md, section 2): form, issuer, names. It fails
// with [ErrCertificate], [ErrIssuer] or [ErrDomain]. It does not look at the
// time.
func (a *Authority) Verify(s *suite.Suite, cred ClientCredential) (*ClientCertificate, error) {
	cert, err := parseClientCertificate(schemeOf(s), cred.Certificate)
	if err != nil {
		return nil, err
	}
	ca := a.certs[schemeOf(s)]
	if ca == nil {
		return nil, fmt.Errorf("%w: %s has none for %s", ErrIssuer, a.domain, s.ID())
	}
	if !bytes.Equal(cert.RawIssuer, ca.RawSubject) || cert.CheckSignatureFrom(ca) != nil {
		return nil, mimi.Refuse("certificate-issuer", ErrIssuer)
	}
	// The CA's certificate is an anchor that is not checked against a clock; it
	// may not lend its name beyond its own time either.
	if cert.NotBefore.Before(ca.NotBefore) || cert.NotAfter.After(ca.NotAfter) {
		return nil, mimi.Refuse("certificate-lifetime", fmt.Errorf("%w: it is valid when its issuer is not", ErrIssuer))
	}
	user, client, err := subjectURIs(cert)
	if err != nil {
		return nil, err
	}
	if user.Domain != a.domain || client.Domain != a.domain {
		return nil, mimi.Refuse("certificate-domain", fmt.Errorf("%w: an identity CA names users of its own domain only", ErrDomain))
	}
	public, err := schemeOf(s).publicKey(cert)
	if err != nil {
		return nil, err
	}
	return &ClientCertificate{user, client, public, bytes.Clone(cert.Raw), cert.NotBefore, cert.NotAfter}, nil
}

// parseClientCertificate checks everything about a client certificate that needs
// no other one.
func parseClientCertificate(sc scheme, der []byte) (*x509.Certificate, error) {
	if len(der) > maxCertificate {
		return nil, mimi.Refuse("certificate-size", fmt.Errorf("%w: %d octets", ErrCertificate, len(der)))
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	switch {
	case cert.Version != 3:
		return nil, fmt.Errorf("%w: X.509 version %d", ErrCertificate, cert.Version)
	case cert.SignatureAlgorithm != sc.signature:
		return nil, fmt.Errorf("%w: signed with %s, not %s", ErrCertificate, cert.SignatureAlgorithm, sc.signature)
	case cert.IsCA:
		return nil, mimi.Refuse("certificate-ca", fmt.Errorf("%w: it is a CA's", ErrCertificate))
	case cert.KeyUsage != x509.KeyUsageDigitalSignature:
		return nil, mimi.Refuse("certificate-usage", fmt.Errorf("%w: key usage is not digitalSignature alone", ErrCertificate))
	case len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) > 0:
		return nil, mimi.Refuse("certificate-extended-usage", fmt.Errorf("%w: extended key usage", ErrCertificate))
	case len(cert.UnhandledCriticalExtensions) > 0:
		return nil, mimi.Refuse("certificate-critical", fmt.Errorf("%w: unknown critical extension", ErrCertificate))
	}
	if _, err := sc.publicKey(cert); err != nil {
		return nil, err
	}
	return cert, nil
}

// oidSubjectAltName is id-ce-subjectAltName; tagURI is GeneralName's
// uniformResourceIdentifier (RFC 5280, section 4.2.1.6).
var oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}

const tagURI = 6

// marshalSAN makes the extension by hand: net/url would decide about percent
// encoding.
func marshalSAN(uris ...mimi.URI) (pkix.Extension, error) {
	var names []asn1.RawValue
	for _, u := range uris {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(u.String())})
	}
	value, err := asn1.Marshal(names)
	// RFC 5280, section 4.1.2.6: critical, since the subject is empty.
	return pkix.Extension{Id: oidSubjectAltName, Critical: true, Value: value}, err
}

// subjectURIs returns the names of a client certificate: exactly one user and
// one client, in either order.
func subjectURIs(cert *x509.Certificate) (user, client mimi.URI, err error) {
	var value []byte
	for _, e := range cert.Extensions {
		if e.Id.Equal(oidSubjectAltName) { // at most one: x509 refuses repeated extensions
			value = e.Value
		}
	}
	var names []asn1.RawValue
	if rest, err := asn1.Unmarshal(value, &names); err != nil || len(rest) > 0 || len(names) != 2 {
		return mimi.URI{}, mimi.URI{}, mimi.Refuse("certificate-names", fmt.Errorf("%w: it needs exactly two subject alternative names", ErrCertificate))
	}
	for _, n := range names {
		if n.Class != asn1.ClassContextSpecific || n.Tag != tagURI || n.IsCompound {
			return mimi.URI{}, mimi.URI{}, fmt.Errorf("%w: a subject alternative name is no URI", ErrCertificate)
		}
		u, err := mimi.ParseURI(string(n.Bytes))
		switch {
		case err != nil:
			return mimi.URI{}, mimi.URI{}, fmt.Errorf("%w: %w", ErrCertificate, err)
		case u.Kind == mimi.KindUser && user.IsZero():
			user = u
		case u.Kind == mimi.KindClient && client.IsZero():
			client = u
		default:
			return mimi.URI{}, mimi.URI{}, fmt.Errorf("%w: it needs one user and one client URI", ErrCertificate)
		}
	}
	if user.Domain != client.Domain {
		return mimi.URI{}, mimi.URI{}, fmt.Errorf("%w: user and client of a certificate", ErrDomain)
	}
	return user, client, nil
}
