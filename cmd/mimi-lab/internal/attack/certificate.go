package attack

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// certified is a client whose certificate the attacker's CA has signed, bent.
func (w *world) certified(names []mimi.URI, bend func(t, ca *x509.Certificate)) *identity.Client {
	ca := w.ca(time.Now())
	parent := must(x509.ParseCertificate(ca.Certificate()))
	key := must(w.suite.GenerateSignatureKey(w.random))
	start := time.Now().UTC().Truncate(24 * time.Hour)
	template := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))),
		NotBefore:    start, NotAfter: start.Add(identity.ClientLifetime), KeyUsage: x509.KeyUsageDigitalSignature,
		SignatureAlgorithm: x509.PureEd25519, ExtraExtensions: []pkix.Extension{alternativeNames(names)},
	}
	bend(template, parent)
	der := must(x509.CreateCertificate(rand.Reader, template, parent, key.Signer().Public(), ca.Key().Signer()))
	return &identity.Client{Suite: w.suite, Key: key, Certificate: identity.ClientCredential{Certificate: der}}
}

// alternativeNames is the subjectAltName with URIs.
func alternativeNames(names []mimi.URI) pkix.Extension {
	var values []asn1.RawValue
	for _, u := range names {
		values = append(values, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 6, Bytes: []byte(u.String())})
	}
	return pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Critical: true, Value: must(asn1.Marshal(values))}
}

// device is a client of the provider of a user.
func (w *world) device(user mimi.URI) mimi.URI {
	return must(mimi.NewID(user.Domain, mimi.KindClient, w.random))
}

// another is a client with a certificate of a CA that nobody knows.
func (w *world) another(user mimi.URI) *identity.Client {
	ca := must(identity.NewCA(identity.CAConfig{Suite: w.suite, Domain: user.Domain, Clock: mimi.SystemClock{}, Random: w.random}))
	key := must(w.suite.GenerateSignatureKey(w.random))
	cert := must(ca.Issue(user, w.device(user), key.Public()))
	return &identity.Client{Suite: w.suite, Key: key, Certificate: cert.Credential()}
}

// early is a client whose certificate is not valid yet.
func (w *world) early(user mimi.URI) *identity.Client {
	key := must(w.suite.GenerateSignatureKey(w.random))
	cert := must(w.ca(time.Now().Add(40*24*time.Hour)).Issue(user, w.device(user), key.Public()))
	return &identity.Client{Suite: w.suite, Key: key, Certificate: cert.Credential()}
}
