package identity_test

import (
	"crypto/rand"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A provider certifies Bob's phone; the phone makes a leaf for a room; another
// member, who has the room's wrapper key, finds out who the leaf is.
func Example() {
	s, _ := suite.Lookup(suite.X25519AES128)
	clock := mimi.SystemClock{}

	ca, _ := identity.NewCA(identity.CAConfig{Suite: s, Domain: "b.example", Clock: clock, Random: rand.Reader})
	key, _ := s.GenerateSignatureKey(rand.Reader)
	user, _ := mimi.ParseURI("mimi://b.example/u/bob")
	device, _ := mimi.ParseURI("mimi://b.example/d/phone")
	cert, _ := ca.Issue(user, device, key.Public())
	phone := &identity.Client{Suite: s, Key: key, Certificate: cert.Credential()}

	room, _ := mimi.NewID("hub.example", mimi.KindRoom, rand.Reader)
	wrapper, _ := identity.NewWrapperKey(s, rand.Reader)
	ring, _ := identity.NewKeyRing(wrapper)
	leaf, _ := identity.NewLeafIdentity(identity.LeafConfig{Suite: s, Domain: "b.example", Client: phone, Random: rand.Reader})
	wrapped, _ := leaf.Wrap(s, identity.GroupID(room), ring.Newest(), rand.Reader)

	authority, _ := identity.ParseAuthority("b.example", ca.PEM())
	link, _ := ring.Open(s, identity.GroupID(room), leaf.TBS(), wrapped)
	opened, err := identity.OpenLink(s, &leaf.Credential, link, authority, identity.NewLeaf(clock.Now(), clock.Now()))
	fmt.Println(opened.User(), err)
	// Output: mimi://b.example/u/bob <nil>
}
