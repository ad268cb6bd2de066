// Package identitytest helps tests that need people: the known answers of the
// minimal-metadata profile, providers with an identity CA, and clients with a
// certificate.
package identitytest

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

//go:embed testdata/MGP1/mmr-profile.json
var vectors []byte

// Vectors are the known answers of the profile for suite 0x0001 and generation
// 0. Two independent programs computed them.
type Vectors struct {
	tb     testing.TB
	values map[string]any
	used   map[string]bool
}

// Load reads the known answers.
func Load(tb testing.TB) *Vectors {
	tb.Helper()
	v := &Vectors{tb, map[string]any{}, map[string]bool{}}
	if err := json.Unmarshal(vectors, &v.values); err != nil {
		tb.Fatal(err)
	}
	if v.Text("profile") != mimi.Profile {
		tb.Fatalf("vectors are of profile %q", v.Text("profile"))
	}
	return v
}

// Text returns a value that is text.
func (v *Vectors) Text(name string) string {
	v.tb.Helper()
	v.used[name] = true
	s, ok := v.values[name].(string)
	if !ok {
		v.tb.Fatalf("no vector %q", name)
	}
	return s
}

// Bytes returns a value that is in hex.
func (v *Vectors) Bytes(name string) []byte {
	v.tb.Helper()
	b, err := hex.DecodeString(v.Text(name))
	if err != nil {
		v.tb.Fatalf("vector %q: %v", name, err)
	}
	return b
}

// Number returns a value that is a number.
func (v *Vectors) Number(name string) int {
	v.tb.Helper()
	v.used[name] = true
	f, ok := v.values[name].(float64)
	if !ok {
		v.tb.Fatalf("no vector %q", name)
	}
	return int(f)
}

// Secret returns a value as a secret.
func (v *Vectors) Secret(name string) suite.Secret {
	v.tb.Helper()
	return suite.NewSecret(v.Bytes(name))
}

// Unused returns the names that no test has asked for, beside those that are the
// concern of another package.
func (v *Vectors) Unused(elsewhere ...string) []string {
	for _, name := range elsewhere {
		if _, ok := v.values[name]; !ok {
			v.tb.Errorf("no vector %q", name)
		}
		v.used[name] = true
	}
	var out []string
	for name := range v.values {
		if !v.used[name] {
			out = append(out, name)
		}
	}
	return out
}

// Suite returns a suite that must exist.
func Suite(tb testing.TB, id suite.ID) *suite.Suite {
	tb.Helper()
	s, err := suite.Lookup(id)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// EachSuite runs f for every suite.
func EachSuite(t *testing.T, f func(t *testing.T, s *suite.Suite)) {
	t.Helper()
	for _, id := range suite.IDs() {
		t.Run(fmt.Sprintf("suite %d", id), func(t *testing.T) { f(t, Suite(t, id)) })
	}
}

// Random returns an endless deterministic source. It is not secure.
func Random(seed string) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte(seed))) }

// Start is when the clocks of tests start.
var Start = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// A Provider is a domain with an identity CA.
type Provider struct {
	Suite     *suite.Suite
	Domain    string
	Clock     *mimi.ManualClock
	Random    io.Reader
	CA        *identity.CA
	Authority *identity.Authority
}

// NewProvider makes a provider whose clock stands at [Start].
func NewProvider(tb testing.TB, s *suite.Suite, domain string) *Provider {
	tb.Helper()
	p := &Provider{Suite: s, Domain: domain, Clock: mimi.NewManualClock(Start), Random: Random(domain)}
	var err error
	if p.CA, err = identity.NewCA(identity.CAConfig{Suite: s, Domain: domain, Clock: p.Clock, Random: p.Random}); err != nil {
		tb.Fatal(err)
	}
	if p.Authority, err = identity.ParseAuthority(domain, p.CA.PEM()); err != nil {
		tb.Fatal(err)
	}
	return p
}

// A Person is a client of a provider's user.
type Person struct {
	*identity.Client
	User, URI mimi.URI
	Provider  *Provider
}

// Person makes a client, named after a device, of the user with that localpart.
func (p *Provider) Person(tb testing.TB, localpart, device string) *Person {
	tb.Helper()
	user, err := mimi.UserURI(p.Domain, localpart)
	if err != nil {
		tb.Fatal(err)
	}
	client := mimi.URI{Domain: p.Domain, Kind: mimi.KindClient, ID: device}
	key, err := p.Suite.GenerateSignatureKey(p.Random)
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := p.CA.Issue(user, client, key.Public())
	if err != nil {
		tb.Fatal(err)
	}
	return &Person{&identity.Client{Suite: p.Suite, Key: key, Certificate: cert.Credential()}, user, client, p}
}

// Leaf makes a leaf identity of the person; the connection key may be nil.
func (p *Person) Leaf(tb testing.TB, userPseudonym mimi.URI, key *identity.ConnectionKey) *identity.LeafIdentity {
	tb.Helper()
	leaf, err := identity.NewLeafIdentity(identity.LeafConfig{
		Suite: p.Provider.Suite, Domain: p.Provider.Domain, User: userPseudonym, Client: p, ConnectionKey: key, Random: p.Provider.Random,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return leaf
}

// Room returns a room URI at domain.
func Room(tb testing.TB, domain string, random io.Reader) mimi.URI {
	tb.Helper()
	room, err := mimi.NewID(domain, mimi.KindRoom, random)
	if err != nil {
		tb.Fatal(err)
	}
	return room
}
