package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrJoinLink reports a join link that is malformed, or whose bundle does not
// open.
var ErrJoinLink = errors.New("identity: join link")

const (
	joinCodeSize = 16
	joinKeySize  = 32
	// maxBundle bounds a bundle: all live keys, their length and the tag.
	maxBundle = 4 + MaxGenerations*(8+1+linkHash) + linkTag
)

// A JoinLink lets whoever has it enter a room (docs/mmr-profile.md, section 3).
// It is a secret as a whole, and prints without its code and key; [JoinLink.Text]
// gives the text to hand on.
type JoinLink struct {
	Room mimi.URI
	Code suite.Secret
	Key  suite.Secret
}

// NewJoinLink makes a link to a room.
func NewJoinLink(room mimi.URI, random io.Reader) (JoinLink, error) {
	if room.Kind != mimi.KindRoom {
		return JoinLink{}, fmt.Errorf("%w: not a room", ErrJoinLink)
	}
	code, err := randomSecret(random, joinCodeSize)
	if err != nil {
		return JoinLink{}, err
	}
	key, err := randomSecret(random, joinKeySize)
	return JoinLink{room, code, key}, err
}

// Text returns the link as people hand it on; nothing secret stands before the
// fragment, which browsers do not send.
//
//	mimi://hub/r/<room>#c=<base64url of 16 bytes>&k=<base64url of 32 bytes>
func (l JoinLink) Text() string {
	enc := base64.RawURLEncoding
	return l.Room.String() + "#c=" + enc.EncodeToString(l.Code.Bytes()) + "&k=" + enc.EncodeToString(l.Key.Bytes())
}

// Format shows the room alone, whatever the verb.
func (l JoinLink) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%s#[redacted]", l.Room) }

// ParseJoinLink reads the text of a link, surrounding space aside. It fails with
// [ErrJoinLink].
func ParseJoinLink(text string) (JoinLink, error) {
	base, fragment, _ := strings.Cut(strings.TrimSpace(text), "#")
	room, err := mimi.ParseURIKind(base, mimi.KindRoom)
	if err != nil {
		return JoinLink{}, fmt.Errorf("%w: it does not name a room", ErrJoinLink)
	}
	c, k, _ := strings.Cut(fragment, "&")
	code, okCode := linkPart(c, "c=", joinCodeSize)
	key, okKey := linkPart(k, "k=", joinKeySize)
	if !okCode || !okKey {
		return JoinLink{}, fmt.Errorf("%w: it is incomplete", ErrJoinLink)
	}
	return JoinLink{room, code, key}, nil
}

func linkPart(s, name string, size int) (suite.Secret, bool) {
	text, ok := strings.CutPrefix(s, name)
	if !ok || len(text) != base64.RawURLEncoding.EncodedLen(size) {
		return suite.Secret{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	// DecodeString skips line breaks; the length tells.
	if err != nil || len(b) != size {
		return suite.Secret{}, false
	}
	return suite.NewSecret(b), true
}

// CodeHash returns the SHA-256 of the code, under which the hub stores the
// bundle.
func (l JoinLink) CodeHash() [sha256.Size]byte { return sha256.Sum256(l.Code.Bytes()) }

// A JoinBundle holds the live wrapper keys of a room for whoever has the link.
//
//	struct { opaque nonce<V>; opaque ciphertext<V>; }
type JoinBundle struct {
	Nonce      []byte
	Ciphertext []byte
}

// Wire codes the structure and refuses other sizes with [ErrJoinLink].
func (b *JoinBundle) Wire(c *wire.Codec) {
	wire.Opaque(c, &b.Nonce)
	wire.Opaque(c, &b.Ciphertext)
	if len(b.Nonce) != linkNonce || len(b.Ciphertext) <= linkTag || len(b.Ciphertext) > maxBundle {
		c.Fail(fmt.Errorf("%w: a bundle has sizes %d, %d", ErrJoinLink, len(b.Nonce), len(b.Ciphertext)))
	}
}

func (l JoinLink) aead(s *suite.Suite) (key suite.Secret, aad []byte, err error) {
	groupID := GroupID(l.Room)
	var context, code []byte
	if context, err = wire.Marshal((*padded)(&groupID)); err != nil {
		return suite.Secret{}, nil, err
	}
	raw := l.Code.Bytes()
	if code, err = wire.Marshal((*padded)(&raw)); err != nil {
		return suite.Secret{}, nil, err
	}
	return s.ExpandWithLabel(l.Key, "JoinLink", context, s.Nk()), append(context, code...), nil
}

// Seal makes the bundle for the link of the keys of a ring, which holds live keys
// only.
func (l JoinLink) Seal(s *suite.Suite, live KeyRing, random io.Reader) (*JoinBundle, error) {
	nonce, err := randomBytes(random, s.Nn())
	if err != nil {
		return nil, err
	}
	return l.seal(s, live, nonce)
}

func (l JoinLink) seal(s *suite.Suite, live KeyRing, nonce []byte) (*JoinBundle, error) {
	key, aad, err := l.aead(s)
	if err != nil {
		return nil, err
	}
	defer key.Erase()
	plaintext, err := wire.Marshal(&live)
	if err != nil {
		return nil, fmt.Errorf("seal a join link's bundle: %w", err)
	}
	defer clear(plaintext)
	ciphertext, err := s.Seal(key, nonce, aad, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal a join link's bundle: %w", err)
	}
	return &JoinBundle{nonce, ciphertext}, nil
}

// Open returns the keys in a bundle. The joiner still has to check them against
// the GroupInfo, with [IdentityLinkState.CheckKey]. It fails with [ErrJoinLink].
func (l JoinLink) Open(s *suite.Suite, b *JoinBundle) (KeyRing, error) {
	key, aad, err := l.aead(s)
	if err != nil {
		return KeyRing{}, err
	}
	defer key.Erase()
	plaintext, err := s.Open(key, b.Nonce, aad, b.Ciphertext)
	if err != nil {
		return KeyRing{}, fmt.Errorf("%w: its bundle does not open", ErrJoinLink)
	}
	defer clear(plaintext)
	var ring KeyRing
	if err := wire.Unmarshal(plaintext, &ring); err != nil {
		return KeyRing{}, fmt.Errorf("%w: %w", ErrJoinLink, err)
	}
	return ring, nil
}
