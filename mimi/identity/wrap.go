package identity

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Errors of wrapped keys.
var (
	// ErrGeneration reports a wrapper key of another generation than the one
	// that is needed.
	ErrGeneration = errors.New("identity: wrapper key of another generation")
	// ErrUnwrap reports a wrapped link key that does not open.
	ErrUnwrap = errors.New("identity: wrapped link key does not open")
	// ErrGroupID reports a group_id that is not the one of a room.
	ErrGroupID = errors.New("identity: group id is not a room's")
)

// ExporterLabel is the label of the MLS exporter under which members derive a
// new wrapper key; the context is empty (docs/mmr-profile.md, section 3).
const ExporterLabel = "MIMI identity link wrapper"

// A Generation numbers the wrapper keys of a room (wrapper_epoch): 0 for the
// creator's, else the epoch that the removal began.
type Generation uint64

// GroupID returns the group_id of a room (docs/mmr-profile.md, section 1).
func GroupID(room mimi.URI) []byte { return []byte(room.Group().String()) }

// RoomOf is the inverse of [GroupID]. It fails with [ErrGroupID] for a group
// that is no room's: such a GroupInfo is refused.
func RoomOf(groupID []byte) (mimi.URI, error) {
	u, err := mimi.ParseURIKind(string(groupID), mimi.KindGroup)
	if err != nil {
		return mimi.URI{}, fmt.Errorf("%w: %w", ErrGroupID, err)
	}
	return u.Room(), nil
}

// scope is a context that many derivations begin with.
//
//	group_id<V> || uint64 generation
type scope struct {
	groupID    []byte
	generation Generation
}

func (x *scope) Wire(c *wire.Codec) {
	wire.Opaque(c, &x.groupID)
	wire.Uint64(c, &x.generation)
}

func (x scope) encode() ([]byte, error) { return wire.Marshal(&x) }

// A WrapperKey wraps the link keys of a room (docs/mmr-profile.md, section 3).
// Members know it, the hub does not. It leaves the process only inside a
// Welcome, a connection request or a join link.
//
//	struct { uint64 wrapper_epoch; opaque key<V>; } WrapperKey;
type WrapperKey struct {
	Generation Generation
	Key        suite.Secret
}

// Wire codes the structure and refuses keys that are not of Nh octets.
func (k *WrapperKey) Wire(c *wire.Codec) {
	wire.Uint64(c, &k.Generation)
	wireSecret(c, &k.Key, linkHash)
}

// NewWrapperKey makes the key of generation 0, which a room's creator chooses.
func NewWrapperKey(s *suite.Suite, random io.Reader) (WrapperKey, error) {
	k, err := randomSecret(random, s.Nh())
	return WrapperKey{0, k}, err
}

// Commitment returns newest_key_commitment: what a GroupInfo says of the key.
func (k WrapperKey) Commitment(s *suite.Suite, groupID []byte) ([]byte, error) {
	context, err := scope{groupID, k.Generation}.encode()
	return s.ExpandWithLabel(k.Key, "WrapperCommit", context, s.Nh()).Bytes(), err
}

// JoinPSK returns the external PSK that an external Commit must carry, under the
// id that [JoinPSKID] gives. It proves to the members that the joiner was given
// the key (docs/mmr-profile.md, section 3).
func (k WrapperKey) JoinPSK(s *suite.Suite, groupID []byte) (suite.Secret, error) {
	context, err := scope{groupID, k.Generation}.encode()
	return s.ExpandWithLabel(k.Key, "ExternalJoinPSK", context, s.Nh()), err
}

const joinPSKPrefix = "MGP1 join"

// JoinPSKID returns the psk_id of the join PSK of a generation.
func JoinPSKID(g Generation) []byte {
	return binary.BigEndian.AppendUint64([]byte(joinPSKPrefix), uint64(g))
}

// ParseJoinPSKID is the inverse of [JoinPSKID]; ok is false for other ids.
func ParseJoinPSKID(id []byte) (g Generation, ok bool) {
	n := len(joinPSKPrefix)
	if len(id) != n+8 || string(id[:n]) != joinPSKPrefix {
		return 0, false
	}
	return Generation(binary.BigEndian.Uint64(id[n:])), true
}

// An EncryptedIdentityLinkKey is a link key, wrapped (docs/mmr-profile.md,
// section 3).
//
//	struct {
//	    uint64 wrapper_epoch;
//	    opaque nonce<V>;
//	    opaque ciphertext<V>;
//	} EncryptedIdentityLinkKey;
type EncryptedIdentityLinkKey struct {
	Generation Generation
	Nonce      []byte
	Ciphertext []byte
}

// Wire codes the structure and refuses other sizes with [ErrLinkFormat].
func (e *EncryptedIdentityLinkKey) Wire(c *wire.Codec) {
	wire.Uint64(c, &e.Generation)
	wire.Opaque(c, &e.Nonce)
	wire.Opaque(c, &e.Ciphertext)
	if len(e.Nonce) != linkNonce || len(e.Ciphertext) != linkHash+linkTag {
		c.Fail(fmt.Errorf("%w: a wrapped key has sizes %d, %d", ErrLinkFormat, len(e.Nonce), len(e.Ciphertext)))
	}
}

func (k WrapperKey) aead(s *suite.Suite, groupID []byte, tbs *PseudonymousCredentialTBS) (key suite.Secret, aad []byte, err error) {
	aad, err = scope{groupID, k.Generation}.encode()
	if err != nil {
		return suite.Secret{}, nil, err
	}
	content, err := tbs.encode()
	return s.ExpandWithLabel(k.Key, "IdentityLinkWrap", nil, s.Nk()), append(aad, content...), err
}

// Wrap encrypts the link key of a credential for the members of a group.
func (k WrapperKey) Wrap(s *suite.Suite, groupID []byte, tbs *PseudonymousCredentialTBS, link LinkKey, random io.Reader) (*EncryptedIdentityLinkKey, error) {
	nonce, err := randomBytes(random, s.Nn())
	if err != nil {
		return nil, err
	}
	return k.wrap(s, groupID, tbs, link, nonce)
}

func (k WrapperKey) wrap(s *suite.Suite, groupID []byte, tbs *PseudonymousCredentialTBS, link LinkKey, nonce []byte) (*EncryptedIdentityLinkKey, error) {
	key, aad, err := k.aead(s, groupID, tbs)
	if err != nil {
		return nil, err
	}
	defer key.Erase()
	ciphertext, err := s.Seal(key, nonce, aad, link.Bytes())
	if err != nil {
		return nil, fmt.Errorf("wrap a link key: %w", err)
	}
	return &EncryptedIdentityLinkKey{k.Generation, nonce, ciphertext}, nil
}

// Unwrap opens the link key of a credential. It fails with [ErrGeneration] or
// [ErrUnwrap].
func (k WrapperKey) Unwrap(s *suite.Suite, groupID []byte, tbs *PseudonymousCredentialTBS, e *EncryptedIdentityLinkKey) (LinkKey, error) {
	if e.Generation != k.Generation {
		return LinkKey{}, fmt.Errorf("%w: have %d, need %d", ErrGeneration, k.Generation, e.Generation)
	}
	key, aad, err := k.aead(s, groupID, tbs)
	if err != nil {
		return LinkKey{}, err
	}
	defer key.Erase()
	link, err := s.Open(key, e.Nonce, aad, e.Ciphertext)
	if err != nil || len(link) != s.Nh() {
		return LinkKey{}, mimi.Refuse("entry-opens", fmt.Errorf("%w under generation %d", ErrUnwrap, e.Generation))
	}
	defer clear(link)
	return LinkKey{suite.NewSecret(link)}, nil
}
