// Package suite provides the cipher suites of MLS and the labelled operations
// of RFC 9420, section 5, section 8 and section 9.
//
// Get a [Suite] from [Lookup]. All operations are methods of it, so that one
// value says which algorithms are in use:
//
//	s, err := suite.Lookup(suite.X25519AES128)
//	key, err := s.GenerateSignatureKey(rand.Reader)
//	sig, err := s.SignWithLabel(key, "LeafNodeTBS", content)
//
// The algorithms are those of the standard library. HPKE encapsulation takes
// its randomness from there too, since crypto/hpke accepts no other source; all
// other randomness is passed in.
package suite

import (
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ID is a CipherSuite of RFC 9420, section 17.1.
type ID uint16

// The supported cipher suites.
const (
	// X25519AES128 is MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519.
	X25519AES128 ID = 0x0001
	// P256AES128 is MLS_128_DHKEMP256_AES128GCM_SHA256_P256.
	P256AES128 ID = 0x0002
	// X25519ChaCha20 is MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519.
	X25519ChaCha20 ID = 0x0003
)

// String returns the registered name, or the number of an unknown suite.
func (id ID) String() string {
	switch id {
	case X25519AES128:
		return "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519"
	case P256AES128:
		return "MLS_128_DHKEMP256_AES128GCM_SHA256_P256"
	case X25519ChaCha20:
		return "MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519"
	}
	return fmt.Sprintf("cipher suite 0x%04x", uint16(id))
}

// The ways in which an operation fails because of what a peer sent.
var (
	// ErrUnsupported reports a cipher suite that this package does not have.
	ErrUnsupported = errors.New("suite: unsupported cipher suite")
	// ErrSignature reports a signature that does not verify.
	ErrSignature = errors.New("suite: signature does not verify")
	// ErrDecrypt reports a ciphertext that does not open: wrong key, wrong
	// context, or changed on its way.
	ErrDecrypt = errors.New("suite: ciphertext does not open")
	// ErrKey reports octets that are no key of the algorithm.
	ErrKey = errors.New("suite: malformed key")
)

// A Suite is a cipher suite with its algorithms (RFC 9420, section 5.1). It is
// immutable and may be shared.
type Suite struct {
	id        ID
	kem       hpke.KEM
	aead      hpke.AEAD
	nk        int
	newAEAD   func(key []byte) (cipher.AEAD, error)
	signature signatureScheme
}

// IDs returns the supported cipher suites in the order of their numbers.
func IDs() []ID { return []ID{X25519AES128, P256AES128, X25519ChaCha20} }

// Lookup returns the suite with this number, or [ErrUnsupported].
func Lookup(id ID) (*Suite, error) {
	switch id {
	case X25519AES128:
		return &Suite{id, hpke.DHKEM(ecdh.X25519()), hpke.AES128GCM(), 16, newAESGCM, ed25519Scheme{}}, nil
	case P256AES128:
		return &Suite{id, hpke.DHKEM(ecdh.P256()), hpke.AES128GCM(), 16, newAESGCM, p256Scheme{}}, nil
	case X25519ChaCha20:
		return &Suite{id, hpke.DHKEM(ecdh.X25519()), hpke.ChaCha20Poly1305(), 32, newChaCha20, ed25519Scheme{}}, nil
	}
	return nil, fmt.Errorf("%w 0x%04x", ErrUnsupported, uint16(id))
}

// ID returns the number of the suite.
func (s *Suite) ID() ID { return s.id }

// Nh is the length of a hash and of every secret in octets.
func (s *Suite) Nh() int { return sha256.Size }

// Nk is the length of an AEAD key in octets.
func (s *Suite) Nk() int { return s.nk }

// Nn is the length of an AEAD nonce in octets.
func (s *Suite) Nn() int { return 12 }

func newHash() hash.Hash { return sha256.New() }

// Hash hashes the concatenation of its arguments.
func (s *Suite) Hash(data ...[]byte) []byte {
	h := newHash()
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// MAC is the HMAC of the concatenation of data (RFC 9420, section 5.1).
func (s *Suite) MAC(key Secret, data ...[]byte) []byte {
	m := hmac.New(newHash, key.Bytes())
	for _, d := range data {
		m.Write(d)
	}
	return m.Sum(nil)
}

// VerifyMAC compares tag with the MAC of data in constant time.
func (s *Suite) VerifyMAC(key Secret, tag []byte, data ...[]byte) bool {
	return subtle.ConstantTimeCompare(s.MAC(key, data...), tag) == 1
}

// labelled is SignContent, EncryptContext and RefHashInput, which all have the
// form
//
//	struct {
//	    opaque label<V>;
//	    opaque value<V>;
//	}
type labelled struct{ label, value []byte }

func (l *labelled) Wire(c *wire.Codec) {
	wire.Opaque(c, &l.label)
	wire.Opaque(c, &l.value)
}

// label encodes a labelled value. It fails only for values of more than 30 bits
// of length, which no caller can hold as one message.
func label(prefix, label string, value []byte) []byte {
	b, err := wire.Marshal(&labelled{[]byte(prefix + label), value})
	if err != nil {
		panic("internal error: labelled value is too long: " + err.Error())
	}
	return b
}

// RefHash identifies value by its hash (RFC 9420, section 5.2). The label is
// used as it is, without the prefix of the other operations.
func (s *Suite) RefHash(name string, value []byte) []byte {
	return s.Hash(label("", name, value))
}

// Extract is KDF.Extract. An absent salt or ikm means Nh zero octets, as RFC
// 9420 writes 0.
func (s *Suite) Extract(salt, ikm Secret) Secret {
	zero := make([]byte, s.Nh())
	if salt.IsZero() {
		salt = own(zero)
	}
	if ikm.IsZero() {
		ikm = own(zero)
	}
	out, err := hkdf.Extract(newHash, ikm.Bytes(), salt.Bytes())
	if err != nil {
		panic("internal error: HKDF extract: " + err.Error())
	}
	return own(out)
}

// kdfLabel is
//
//	struct {
//	    uint16 length;
//	    opaque label<V>;
//	    opaque context<V>;
//	} KDFLabel;
type kdfLabel struct {
	length         uint16
	label, context []byte
}

func (l *kdfLabel) Wire(c *wire.Codec) {
	wire.Uint16(c, &l.length)
	wire.Opaque(c, &l.label)
	wire.Opaque(c, &l.context)
}

// MaxExpand is the most that [Suite.ExpandWithLabel] can give, in octets.
const MaxExpand = 255 * sha256.Size

// ExpandWithLabel derives n octets from secret (RFC 9420, section 8). It panics
// if n is negative or more than [MaxExpand]: n is never chosen by a peer.
func (s *Suite) ExpandWithLabel(secret Secret, name string, context []byte, n int) Secret {
	if n < 0 || n > MaxExpand {
		panic("internal error: length of an expanded secret out of range")
	}
	info, err := wire.Marshal(&kdfLabel{uint16(n), []byte("MLS 1.0 " + name), context})
	if err != nil {
		panic("internal error: context of an expanded secret is too long: " + err.Error())
	}
	out, err := hkdf.Expand(newHash, secret.Bytes(), string(info), n)
	if err != nil {
		panic("internal error: HKDF expand: " + err.Error())
	}
	return own(out)
}

// DeriveSecret derives Nh octets without context (RFC 9420, section 8).
func (s *Suite) DeriveSecret(secret Secret, name string) Secret {
	return s.ExpandWithLabel(secret, name, nil, s.Nh())
}

// DeriveTreeSecret derives n octets for one generation of a ratchet (RFC 9420,
// section 9.1).
func (s *Suite) DeriveTreeSecret(secret Secret, name string, generation uint32, n int) Secret {
	return s.ExpandWithLabel(secret, name, binary.BigEndian.AppendUint32(nil, generation), n)
}
