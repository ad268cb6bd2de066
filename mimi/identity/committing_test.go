package identity_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestTwoKeys: AES-GCM lets one ciphertext open under two keys, which would let
// one leaf be two people. The control shows that; the commitment prevents it
// (docs/mmr-profile.md, section 9, T8).
func TestTwoKeys(t *testing.T) {
	s := identitytest.Suite(t, suite.X25519AES128)
	p := identitytest.NewProvider(t, s, "b.example")
	leaf := p.Person(t, "bob", "phone").Leaf(t, mimi.URI{}, nil)
	first, second := leaf.LinkKey, must[identity.LinkKey](t)(identity.NewLinkKey(s, p.Random))
	key := func(k identity.LinkKey) suite.Secret { return s.ExpandWithLabel(k.Secret, "key", nil, s.Nk()) }

	cred := leaf.Credential
	aad := linkAAD(t, leaf.TBS(), cred.Link.Commitment)
	cred.Link.Ciphertext = must[[]byte](t)(identitytest.TwoKeyCiphertext(key(first), key(second), cred.Link.Nonce, aad, len(cred.Link.Ciphertext)-16))
	for _, k := range []identity.LinkKey{first, second} {
		if _, err := s.Open(key(k), cred.Link.Nonce, aad, cred.Link.Ciphertext); err != nil {
			t.Fatalf("control: plain AES-GCM refuses the crafted ciphertext: %v", err)
		}
	}
	// The key that is committed to gets as far as the plaintext, which is noise;
	// the other one not even to the decryption.
	at := identity.LeafInTree(p.Clock.Now())
	_, err := identity.OpenLink(s, &cred, first, p.Authority, at)
	wantError(t, err, identity.ErrPadding)
	_, err = identity.OpenLink(s, &cred, second, p.Authority, at)
	wantError(t, err, identity.ErrCommitment)
}
