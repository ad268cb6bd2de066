package identity_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

func TestCA(t *testing.T) {
	identitytest.EachSuite(t, func(t *testing.T, s *suite.Suite) {
		p := identitytest.NewProvider(t, s, "b.example")
		bob := p.Person(t, "bob", "phone")
		cert := must[*identity.ClientCertificate](t)(p.Authority.Verify(s, bob.Certificate))
		if cert.User() != bob.User || cert.Client() != bob.URI || !bytes.Equal(cert.PublicKey(), bob.Key.Public()) {
			t.Errorf("certificate of %s, %s", cert.User(), cert.Client())
		}
		if life := cert.NotAfter().Sub(cert.NotBefore()); life != 30*24*time.Hour || cert.RenewAt() != cert.NotBefore().Add(life/2) {
			t.Errorf("lives %s, renewed at %s", life, cert.RenewAt())
		}
		if cert.NotBefore() != identitytest.Start.Truncate(24*time.Hour) {
			t.Errorf("not_before tells the hour: %s", cert.NotBefore())
		}
		// Stored and loaded, it issues certificates that the old pin verifies.
		cfg := identity.CAConfig{Suite: s, Domain: "b.example", Clock: p.Clock, Random: p.Random}
		loaded := must[*identity.CA](t)(identity.LoadCA(cfg, p.CA.Key(), p.CA.Certificate()))
		again := must[*identity.ClientCertificate](t)(loaded.Issue(bob.User, bob.URI, bob.Key.Public()))
		must[*identity.ClientCertificate](t)(p.Authority.Verify(s, again.Credential()))

		cfg.Domain = "c.example"
		_, err := identity.LoadCA(cfg, p.CA.Key(), p.CA.Certificate())
		wantError(t, err, identity.ErrCACertificate)
		cfg.Domain = "b.example"
		_, err = identity.LoadCA(cfg, bob.Key, p.CA.Certificate())
		wantError(t, err, identity.ErrCACertificate)

		for name, ids := range map[string][2]mimi.URI{
			"swapped":        {bob.URI, bob.User},
			"another domain": {{Domain: "c.example", Kind: mimi.KindUser, ID: "bob"}, bob.URI},
			"two domains":    {bob.User, {Domain: "c.example", Kind: mimi.KindClient, ID: "phone"}},
		} {
			_, err := p.CA.Issue(ids[0], ids[1], bob.Key.Public())
			if err == nil {
				t.Errorf("%s: issued", name)
			}
		}
		_, err = p.CA.Issue(bob.User, bob.URI, []byte{1})
		wantError(t, err, identity.ErrCertificate)
		p.Clock.Advance(identity.CALifetime - 29*24*time.Hour)
		_, err = p.CA.Issue(bob.User, bob.URI, bob.Key.Public())
		wantError(t, err, identity.ErrCAExpiring)
	})
}

// TestPercentEncodedNames: a name comes out of a certificate as it went in.
func TestPercentEncodedNames(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	bob := p.Person(t, "bob/=+é", "phone")
	cert := must[*identity.ClientCertificate](t)(p.Authority.Verify(s, bob.Certificate))
	if cert.User().Localpart() != "bob/=+é" {
		t.Errorf("user is %s", cert.User())
	}
}

func TestParseAuthority(t *testing.T) {
	ed, ec := identitytest.Suite(t, suite.X25519AES128), identitytest.Suite(t, suite.P256AES128)
	a, b := identitytest.NewProvider(t, ed, "b.example"), identitytest.NewProvider(t, ec, "b.example")
	both := append(a.CA.PEM(), b.CA.PEM()...)
	authority := must[*identity.Authority](t)(identity.ParseAuthority("b.example", append([]byte("\n"), both...)))
	for _, p := range []*identitytest.Provider{a, b} {
		must[*identity.ClientCertificate](t)(authority.Verify(p.Suite, p.Person(t, "bob", "phone").Certificate))
	}
	_, err := a.Authority.Verify(ec, b.Person(t, "bob", "phone").Certificate)
	wantError(t, err, identity.ErrIssuer)
	_, err = authority.Verify(ec, a.Person(t, "bob", "phone").Certificate)
	wantError(t, err, identity.ErrCertificate)

	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Person(t, "bob", "phone").Certificate.Certificate})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: a.CA.Certificate()})
	for name, data := range map[string][]byte{
		"empty": nil, "twice": append(a.CA.PEM(), a.CA.PEM()...), "a client's": leaf, "a key": key,
		"text before": append([]byte("hello\n"), a.CA.PEM()...), "text behind": append(a.CA.PEM(), "hello"...),
		"too long": bytes.Repeat([]byte("\n"), 1<<20),
		"headers":  []byte(strings.Replace(string(a.CA.PEM()), "-----\n", "-----\nA: b\n\n", 1)),
	} {
		_, err := identity.ParseAuthority("b.example", data)
		if name == "too long" || err == nil {
			wantError(t, err, identity.ErrCACertificate)
			continue
		}
		t.Run(name, func(t *testing.T) { wantError(t, err, identity.ErrCACertificate) })
	}
}

// template is a good client certificate, to be broken.
func template(t *testing.T) *x509.Certificate {
	t.Helper()
	return &x509.Certificate{
		SerialNumber: big.NewInt(7), NotBefore: identitytest.Start, NotAfter: identitytest.Start.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, SignatureAlgorithm: x509.PureEd25519, ExtraExtensions: []pkix.Extension{san(t, 6, userName, clientName)},
	}
}

const userName, clientName = "mimi://b.example/u/bob", "mimi://b.example/d/phone"

func san(t *testing.T, tag int, names ...string) pkix.Extension {
	t.Helper()
	var values []asn1.RawValue
	for _, n := range names {
		values = append(values, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(n)})
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: must[[]byte](t)(asn1.Marshal(values))}
}

// TestVerifyRefuses has the pinned CA itself issue certificates that are not of
// the profile's form.
func TestVerifyRefuses(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	ca := must[*x509.Certificate](t)(x509.ParseCertificate(p.CA.Certificate()))
	issue := func(c *x509.Certificate, key any) []byte {
		t.Helper()
		return must[[]byte](t)(x509.CreateCertificate(rand.Reader, c, ca, key, p.CA.Key().Signer()))
	}
	edKey, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecKey := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	verify := func(der []byte) error {
		_, err := p.Authority.Verify(s, identity.ClientCredential{Certificate: der})
		return err
	}
	if err := verify(issue(template(t), edKey)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(c *x509.Certificate)
		want   error
	}{
		"no names":          {func(c *x509.Certificate) { c.ExtraExtensions = nil }, identity.ErrCertificate},
		"one name":          {func(c *x509.Certificate) { c.ExtraExtensions[0] = san(t, 6, userName) }, identity.ErrCertificate},
		"three names":       {func(c *x509.Certificate) { c.ExtraExtensions[0] = san(t, 6, userName, clientName, userName) }, identity.ErrCertificate},
		"two users":         {func(c *x509.Certificate) { c.ExtraExtensions[0] = san(t, 6, userName, userName) }, identity.ErrCertificate},
		"a room":            {func(c *x509.Certificate) { c.ExtraExtensions[0] = san(t, 6, userName, "mimi://b.example/r/x") }, identity.ErrCertificate},
		"another scheme":    {func(c *x509.Certificate) { c.ExtraExtensions[0] = san(t, 6, userName, "https://b.example/d/x") }, identity.ErrCertificate},
		"an e-mail address": {func(c *x509.Certificate) { c.ExtraExtensions[0] = san(t, 1, userName, clientName) }, identity.ErrCertificate},
		"a host beside":     {func(c *x509.Certificate) { c.ExtraExtensions = nil; c.DNSNames = []string{"b.example"} }, identity.ErrCertificate},
		"an address beside": {func(c *x509.Certificate) { c.ExtraExtensions = nil; c.IPAddresses = []net.IP{{127, 0, 0, 1}} }, identity.ErrCertificate},
		"names of two domains": {func(c *x509.Certificate) {
			c.ExtraExtensions[0] = san(t, 6, userName, "mimi://c.example/d/phone")
		}, identity.ErrDomain},
		"names of another domain": {func(c *x509.Certificate) {
			c.ExtraExtensions[0] = san(t, 6, "mimi://c.example/u/bob", "mimi://c.example/d/phone")
		}, identity.ErrDomain},
		"a CA's":            {func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }, identity.ErrCertificate},
		"no key usage":      {func(c *x509.Certificate) { c.KeyUsage = 0 }, identity.ErrCertificate},
		"may sign others":   {func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }, identity.ErrCertificate},
		"for TLS":           {func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }, identity.ErrCertificate},
		"older than its CA": {func(c *x509.Certificate) { c.NotBefore = ca.NotBefore.Add(-time.Second) }, identity.ErrIssuer},
		"outlives its CA":   {func(c *x509.Certificate) { c.NotAfter = ca.NotAfter.Add(time.Second) }, identity.ErrIssuer},
		"unknown critical extension": {func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}, identity.ErrCertificate},
		"too long": {func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, 900)})
		}, identity.ErrCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			c := template(t)
			test.change(c)
			wantError(t, verify(issue(c, edKey)), test.want)
		})
	}
	t.Run("key of another scheme", func(t *testing.T) { wantError(t, verify(issue(template(t), ecKey.Public())), identity.ErrCertificate) })
	t.Run("self-signed", func(t *testing.T) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := template(t)
		c.Subject = ca.Subject
		wantError(t, verify(must[[]byte](t)(x509.CreateCertificate(rand.Reader, c, c, private.Public(), private))), identity.ErrIssuer)
	})
	t.Run("issued by a client", func(t *testing.T) {
		bob := p.Person(t, "bob", "phone")
		parent := must[*x509.Certificate](t)(x509.ParseCertificate(bob.Certificate.Certificate))
		wantError(t, verify(must[[]byte](t)(x509.CreateCertificate(rand.Reader, template(t), parent, edKey, bob.Key.Signer()))), identity.ErrIssuer)
	})
	t.Run("trailing", func(t *testing.T) {
		wantError(t, verify(append(issue(template(t), edKey), 0)), identity.ErrCertificate)
	})
}

// TestSignatureAlgorithm: the suite says how a certificate is signed.
func TestSignatureAlgorithm(t *testing.T) {
	s := identitytest.Suite(t, suite.P256AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	ca := must[*x509.Certificate](t)(x509.ParseCertificate(p.CA.Certificate()))
	key := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for algorithm, want := range map[x509.SignatureAlgorithm]error{x509.ECDSAWithSHA256: nil, x509.ECDSAWithSHA384: identity.ErrCertificate} {
		c := template(t)
		c.SignatureAlgorithm = algorithm
		der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, c, ca, key.Public(), p.CA.Key().Signer()))
		_, err := p.Authority.Verify(s, identity.ClientCredential{Certificate: der})
		wantError(t, err, want)
	}
	p384 := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	c := template(t)
	c.SignatureAlgorithm = x509.ECDSAWithSHA256
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, c, ca, p384.Public(), p.CA.Key().Signer()))
	_, err := p.Authority.Verify(s, identity.ClientCredential{Certificate: der})
	wantError(t, err, identity.ErrCertificate)
}

// TestSecretsDoNotPrint looks at every type that holds one.
func TestSecretsDoNotPrint(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	leaf := p.Person(t, "bob", "phone").Leaf(t, mimi.URI{}, nil)
	key := must[identity.ConnectionKey](t)(identity.NewConnectionKey(p.Random))
	ring := must[identity.KeyRing](t)(identity.NewKeyRing(identity.WrapperKey{Key: key.Secret}))
	table := &identity.IdentityLinkTable{}
	welcome := must[identity.WelcomeComponents](t)(identity.WelcomeKeys{Keys: ring.Keys(), Table: table}.ForWelcome(s))
	now := p.Clock.Now()
	provider := must[identity.ProviderKeyRing](t)(identity.ProviderKeyRing{}.Rotate(s, now, now, 0, identitytest.Random("ring")))
	link := must[identity.JoinLink](t)(identity.NewJoinLink(identitytest.Room(t, "b.example", p.Random), p.Random))
	secrets := [][]byte{
		key.Bytes(), leaf.LinkKey.Bytes(), leaf.Key.Seed().Bytes(), p.CA.Key().Seed().Bytes(), link.Code.Bytes(), link.Key.Bytes(),
		encode(t, &provider)[5:37], // behind the length, id, suite, and the key's own length
	}
	for _, v := range []any{key, leaf.LinkKey, identity.ConnectionToken(key), ring.Newest(), ring, leaf, identity.WelcomeKeys{Keys: ring.Keys(), Table: table}, welcome, p.CA, provider, link} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text := fmt.Sprintf(verb, v)
			for _, secret := range secrets {
				for _, shown := range []string{string(secret), fmt.Sprintf("%x", secret), fmt.Sprint(secret), strings.Trim(fmt.Sprint(secret), "[]"), fmt.Sprintf("%#v", secret)} {
					if strings.Contains(text, shown) {
						t.Errorf("%T prints its secret with %s", v, verb)
					}
				}
			}
		}
	}
}
