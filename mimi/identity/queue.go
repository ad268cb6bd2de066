package identity

import (
	"errors"
	"fmt"
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
	MaxQueueID   = PadQueue - 1 - 1 - 8
	labelQueue   = "QueueID"
	maxKEMOutput = 65 // an uncompressed P-256 point
	queueSealed  = PadQueue + linkTag
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
	if err := r.check(q.KeyID, now); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrQueue, err)
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
		return nil, mimi.Refuse("queue-time", fmt.Errorf("%w: queue id has expired", ErrValidity))
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
		return nil, mimi.Refuse("queue-missing", fmt.Errorf("%w: the leaf has none", ErrQueue))
	}
	var q QueueReference
	if err := wire.Unmarshal(data, &q); err != nil {
		return nil, fmt.Errorf("component queue_reference: %w", err)
	}
	if q.Domain != tbs.Domain() {
		return nil, mimi.Refuse("queue-domain", fmt.Errorf("%w: queue and pseudonym", ErrDomain))
	}
	return &q, nil
}
