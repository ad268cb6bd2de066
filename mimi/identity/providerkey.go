package identity

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	// providerKeyGrace is how long a provider's key outlives the last not_after
	// that it sealed (docs/mmr-profile.md, section 5).
	providerKeyGrace = 30 * day
	// maxProviderKeys is how many ids an octet has.
	maxProviderKeys = 256
)

var (
	// ErrProviderKey reports a key id that the provider does not have (any more).
	ErrProviderKey = errors.New("identity: unknown provider key")
	// ErrProviderKeyOver reports a key that opens nothing any more: what was sealed
	// to it should have been sealed anew to a newer one long ago.
	ErrProviderKeyOver = errors.New("identity: provider key is over")
)

// A ProviderKey is a public HPKE key of a provider, by which its users' clients
// or other providers tell it what the hub must not see. Clients take it from the
// provider's own directory over TLS and from nowhere else.
type ProviderKey struct {
	ID     uint8
	Suite  mls.CipherSuite
	Public []byte
	// NotAfter is when nobody may seal with it any more.
	NotAfter time.Time
}

// A ProviderKeyRing holds a provider's private HPKE keys of one purpose: the
// newest, and older ones that may still be needed. It is a value; operations
// return a new one. The zero value is empty.
type ProviderKeyRing struct{ keys []providerKey }

type providerKey struct {
	id       uint8
	suite    mls.CipherSuite
	private  suite.HPKEPrivateKey
	notAfter uint64 // for sealing; seconds since 1970
	needed   uint64 // the last moment at which something sealed to it matters
}

// Wire codes the ring for storing it sealed; this is no wire format of the
// profile.
func (r *ProviderKeyRing) Wire(c *wire.Codec) {
	wire.Vector(c, &r.keys, func(c *wire.Codec, k *providerKey) {
		wire.Uint8(c, &k.id)
		wire.Uint16(c, &k.suite)
		private := k.private.Secret()
		private.Wire(c)
		wire.Uint64(c, &k.notAfter)
		wire.Uint64(c, &k.needed)
		if !c.Decoding() {
			return
		}
		s, err := suite.Lookup(k.suite)
		if err == nil {
			k.private, err = s.ImportHPKEKey(private)
		}
		// X25519 has many private keys for one; what we store is the clamped one.
		if err == nil && !k.private.Secret().Equal(private) {
			err = suite.ErrKey
		}
		if err != nil {
			c.Fail(fmt.Errorf("provider key %d: %w", k.id, err))
		}
	})
}

// Format shows no key, whatever the verb.
func (r ProviderKeyRing) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[redacted: %d provider keys]", len(r.keys))
}

// Rotate returns a ring with a fresh newest key, which seals until notAfter and
// opens for as long as something sealed to it can matter: until lives after
// notAfter, and the profile's 30 days. Keys that are needed no longer are
// dropped. It fails if all 256 key ids are taken.
func (r ProviderKeyRing) Rotate(s *suite.Suite, now, notAfter time.Time, lives time.Duration, random io.Reader) (ProviderKeyRing, error) {
	var out ProviderKeyRing
	taken := map[uint8]bool{}
	var last uint8
	for _, k := range r.keys {
		if end, ok := unixTime(k.needed); ok && now.After(end) {
			continue
		}
		out.keys = append(out.keys, k)
		taken[k.id] = true
	}
	if n := len(r.keys); n > 0 {
		last = r.keys[n-1].id
	}
	id := last
	for i := 1; ; i++ {
		if id = last + uint8(i); !taken[id] {
			break
		}
		if i == maxProviderKeys {
			return ProviderKeyRing{}, errors.New("all key ids of the provider are in use")
		}
	}
	private, err := s.GenerateHPKEKey(random)
	if err != nil {
		return ProviderKeyRing{}, err
	}
	needed := notAfter.Add(lives + providerKeyGrace)
	out.keys = append(out.keys, providerKey{id, s.ID(), private, uint64(notAfter.Unix()), uint64(needed.Unix())})
	return out, nil
}

// Newest returns the public part of the newest key; ok is false if the ring is
// empty.
func (r ProviderKeyRing) Newest() (key ProviderKey, ok bool) {
	if len(r.keys) == 0 {
		return ProviderKey{}, false
	}
	k := r.keys[len(r.keys)-1]
	end, _ := unixTime(k.notAfter)
	return ProviderKey{k.id, k.suite, k.private.Public(), end}, true
}

// check reports whether the key of that id may still open something at now. It
// fails with [ErrProviderKey] or [ErrProviderKeyOver].
func (r ProviderKeyRing) check(id uint8, now time.Time) error {
	for _, k := range r.keys {
		if k.id != id {
			continue
		}
		if end, ok := unixTime(k.needed); ok && now.After(end) {
			return fmt.Errorf("%w: %d", ErrProviderKeyOver, id)
		}
		return nil
	}
	return fmt.Errorf("%w: %d", ErrProviderKey, id)
}

// Decrypt opens what was sealed to one of the keys. It fails with
// [ErrProviderKey] or suite.ErrDecrypt.
func (r ProviderKeyRing) Decrypt(id uint8, label string, context []byte, sealed suite.HPKECiphertext) ([]byte, error) {
	for _, k := range r.keys {
		if k.id != id {
			continue
		}
		s, err := suite.Lookup(k.suite)
		if err != nil {
			return nil, err
		}
		return s.DecryptWithLabel(k.private, label, context, sealed)
	}
	return nil, fmt.Errorf("%w: %d", ErrProviderKey, id)
}

// unixTime converts seconds since 1970; ok is false for times that no clock
// shows.
func unixTime(seconds uint64) (t time.Time, ok bool) {
	if seconds > mimi.LastSecond {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}
