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

// ErrQueue reports a queue reference that is malformed, or that does not open in
// the leaf where it stands.
var ErrQueue = errors.New("identity: queue reference")

// Limits of queue references.
const (
	// MaxQueueID is the longest queue id in octets: with its length and time it
	// fits the padding.
	MaxQueueID = PadQueue - 1 - 1 - 8
	// queueGrace is how long a queue key outlives the last not_after that it
	// sealed (docs/mmr-profile.md, section 5).
	queueGrace = 30 * day

	labelQueue     = "QueueID"
	maxKEMOutput   = 65 // an uncompressed P-256 point
	queueSealed    = PadQueue + linkTag
	maxProviderSet = 256
)

// A QueueReference tells a hub which provider a leaf's messages go to, and that
// provider, but not the hub, which queue they belong into (docs/mmr-profile.md,
// section 5).
//
//	struct {
//	    opaque domain<V>;
//	    uint8 key_id;
//	    HPKECiphertext sealed_queue_id;
//	} QueueReference;
type QueueReference struct {
	Domain string
	KeyID  uint8
	Sealed suite.HPKECiphertext
}

// Wire codes the structure and refuses other sizes with [ErrQueue].
func (q *QueueReference) Wire(c *wire.Codec) {
	WireDomain(c, &q.Domain)
	wire.Uint8(c, &q.KeyID)
	q.Sealed.Wire(c)
	if n := len(q.Sealed.KEMOutput); n == 0 || n > maxKEMOutput || len(q.Sealed.Ciphertext) != queueSealed {
		c.Fail(fmt.Errorf("%w: sizes %d, %d", ErrQueue, n, len(q.Sealed.Ciphertext)))
	}
}

// WireDomain codes a domain name as opaque<V>.
func WireDomain(c *wire.Codec, domain *string) {
	b := []byte(*domain)
	wire.Opaque(c, &b)
	if err := mimi.CheckDomain(string(b)); err != nil {
		c.Fail(err)
	}
	if c.Decoding() {
		*domain = string(b)
	}
}

// A QueueID names a queue at its provider.
//
//	struct {
//	    opaque queue_id<V>;
//	    uint64 not_after;
//	} QueueId;
type QueueID struct {
	ID []byte
	// NotAfter is the end of validity, in seconds since 1970.
	NotAfter uint64
}

// Wire codes the structure and refuses empty and long ids with [ErrQueue].
func (q *QueueID) Wire(c *wire.Codec) {
	wire.Opaque(c, &q.ID)
	wire.Uint64(c, &q.NotAfter)
	if len(q.ID) == 0 || len(q.ID) > MaxQueueID {
		c.Fail(fmt.Errorf("%w: id of %d octets", ErrQueue, len(q.ID)))
	}
}

// SealQueue makes the reference of a leaf to a queue of the provider whose key
// this is. It is bound to the leaf's credential, and is made anew at each own
// update.
func (k ProviderKey) SealQueue(tbs *PseudonymousCredentialTBS, queue QueueID) (*QueueReference, error) {
	s, err := suite.Lookup(k.Suite)
	if err != nil {
		return nil, err
	}
	b, err := wire.Marshal(&queue)
	if err != nil {
		return nil, err
	}
	plaintext, err := Pad(b, PadQueue)
	if err != nil {
		return nil, err
	}
	context, err := tbs.encode()
	if err != nil {
		return nil, err
	}
	sealed, err := s.EncryptWithLabel(k.Public, labelQueue, context, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal a queue id: %w", err)
	}
	return &QueueReference{tbs.Domain(), k.ID, sealed}, nil
}

// OpenQueue returns the queue behind the reference in a leaf. It fails with
// [ErrQueue], [ErrDomain] or [ErrValidity].
func (r ProviderKeyRing) OpenQueue(tbs *PseudonymousCredentialTBS, q *QueueReference, now time.Time) (*QueueID, error) {
	if q.Domain != tbs.Domain() {
		return nil, fmt.Errorf("%w: queue and pseudonym", ErrDomain)
	}
	context, err := tbs.encode()
	if err != nil {
		return nil, err
	}
	plaintext, err := r.Decrypt(q.KeyID, labelQueue, context, q.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQueue, err)
	}
	b, err := Unpad(plaintext, PadQueue)
	if err != nil {
		return nil, err
	}
	var id QueueID
	if err := wire.Unmarshal(b, &id); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQueue, err)
	}
	if end, ok := unixTime(id.NotAfter); !ok || now.After(end) {
		return nil, fmt.Errorf("%w: queue id has expired", ErrValidity)
	}
	return &id, nil
}

// QueueFrom returns the queue reference of a leaf with these extensions and this
// credential. It fails with [ErrQueue] if there is none, and with [ErrDomain] if
// it names another domain than the pseudonyms do (docs/mmr-profile.md, section
// 1).
func QueueFrom(leaf mls.Extensions, tbs *PseudonymousCredentialTBS) (*QueueReference, error) {
	data, ok, err := leaf.Component(ComponentQueueReference)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: the leaf has none", ErrQueue)
	}
	var q QueueReference
	if err := wire.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("component queue_reference: %w", err)
	}
	if q.Domain != tbs.Domain() {
		return nil, fmt.Errorf("%w: queue and pseudonym", ErrDomain)
	}
	return &q, nil
}

// ErrProviderKey reports a key id that the provider does not have (any more).
var ErrProviderKey = errors.New("identity: unknown provider key")

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
		if i == maxProviderSet {
			return ProviderKeyRing{}, errors.New("all key ids of the provider are in use")
		}
	}
	private, err := s.GenerateHPKEKey(random)
	if err != nil {
		return ProviderKeyRing{}, err
	}
	needed := notAfter.Add(lives + queueGrace)
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

// maxUnix is the last second of the year 9999: later times have no text form.
const maxUnix = 253402300799

// unixTime converts seconds since 1970; ok is false for times that no clock
// shows.
func unixTime(seconds uint64) (t time.Time, ok bool) {
	if seconds > maxUnix {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}
