package identity

import (
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// SecretSize is the length of connection keys and tokens in octets
// (docs/mmr-profile.md, sections 2 and 4).
const SecretSize = 32

// ErrSecretSize reports a key or token of the wrong length.
var ErrSecretSize = errors.New("identity: secret of the wrong length")

// A ConnectionKey is what one contact was given to derive the identity link keys
// of the leaves that are made for it. It is random per contact
// (docs/mmr-profile.md, section 4).
type ConnectionKey struct{ suite.Secret }

// A ConnectionToken is what one contact was given to fetch the KeyPackages that
// are made for it. It is random per contact.
type ConnectionToken struct{ suite.Secret }

// A LinkKey is an identity_link_key: it opens the identity link of one
// credential (docs/mmr-profile.md, section 2).
type LinkKey struct{ suite.Secret }

// NewConnectionKey makes a key for one contact.
func NewConnectionKey(random io.Reader) (ConnectionKey, error) {
	k, err := randomSecret(random, SecretSize)
	return ConnectionKey{k}, err
}

// NewConnectionToken makes a token for one contact.
func NewConnectionToken(random io.Reader) (ConnectionToken, error) {
	t, err := randomSecret(random, SecretSize)
	return ConnectionToken{t}, err
}

// NewLinkKey makes a random identity link key. Creators and external joiners use
// one: no contact can derive it.
func NewLinkKey(s *suite.Suite, random io.Reader) (LinkKey, error) {
	k, err := randomSecret(random, s.Nh())
	return LinkKey{k}, err
}

// Wire codes the key as opaque<V> of exactly [SecretSize] octets.
func (k *ConnectionKey) Wire(c *wire.Codec) { wireSecret(c, &k.Secret, SecretSize) }

// Wire codes the token as opaque<V> of exactly [SecretSize] octets.
func (t *ConnectionToken) Wire(c *wire.Codec) { wireSecret(c, &t.Secret, SecretSize) }

// wireSecret codes an opaque<V> of exactly n octets.
func wireSecret(c *wire.Codec, s *suite.Secret, n int) {
	s.Wire(c)
	if s.Len() != n {
		c.Fail(ErrSecretSize)
	}
}

func randomSecret(random io.Reader, n int) (suite.Secret, error) {
	b, err := randomBytes(random, n)
	if err != nil {
		return suite.Secret{}, err
	}
	s := suite.NewSecret(b)
	clear(b)
	return s, nil
}

func randomBytes(random io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return b, nil
}
