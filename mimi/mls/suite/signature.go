package suite

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// seedSize is the length of a signature key's seed in octets, for both schemes:
// the private key of RFC 8032, or the scalar of P-256 (big-endian).
const seedSize = 32

// A signatureScheme is one of the two signature algorithms of the suites.
type signatureScheme interface {
	// newKey makes a key from a seed, or fails with ErrKey.
	newKey(seed []byte) (crypto.Signer, []byte, error)
	// randomSeed turns random octets into a seed.
	randomSeed(random []byte) ([]byte, error)
	sign(key crypto.Signer, content []byte) ([]byte, error)
	// check fails with ErrKey if public is no public key.
	check(public []byte) error
	verify(public, content, signature []byte) error
}

// A SignatureKey is a private key for signatures. The zero value is an absent
// key. It prints as [redacted].
type SignatureKey struct {
	m func() *signatureMaterial // a function for the reason given at Secret
}

type signatureMaterial struct {
	signer crypto.Signer
	public []byte
	seed   Secret
}

// IsZero reports whether the key is absent.
func (k SignatureKey) IsZero() bool { return k.m == nil }

// Public returns the SignaturePublicKey (RFC 9420, section 5.1.1), or nil for an
// absent key.
func (k SignatureKey) Public() []byte {
	if k.m == nil {
		return nil
	}
	return k.m().public
}

// Seed returns what [Suite.ImportSignatureKey] takes, for storing the key.
func (k SignatureKey) Seed() Secret {
	if k.m == nil {
		return Secret{}
	}
	return k.m().seed
}

// Signer returns the key for uses outside of MLS, such as certificates, or nil
// for an absent key.
func (k SignatureKey) Signer() crypto.Signer {
	if k.m == nil {
		return nil
	}
	return k.m().signer
}

// String never shows the key.
func (k SignatureKey) String() string { return redacted }

// GoString never shows the key.
func (k SignatureKey) GoString() string { return redacted }

// Format never shows the key.
func (k SignatureKey) Format(f fmt.State, r rune) { Secret{}.Format(f, r) }

// MarshalJSON never shows the key.
func (k SignatureKey) MarshalJSON() ([]byte, error) { return Secret{}.MarshalJSON() }

// LogValue never shows the key.
func (k SignatureKey) LogValue() slog.Value { return Secret{}.LogValue() }

// GenerateSignatureKey makes a key from 32 octets of random.
func (s *Suite) GenerateSignatureKey(random io.Reader) (SignatureKey, error) {
	b := make([]byte, seedSize)
	defer clear(b)
	if _, err := io.ReadFull(random, b); err != nil {
		return SignatureKey{}, fmt.Errorf("randomness for a signature key: %w", err)
	}
	seed, err := s.signature.randomSeed(b)
	if err != nil {
		return SignatureKey{}, fmt.Errorf("make a signature key: %w", err)
	}
	return s.ImportSignatureKey(own(seed))
}

// ImportSignatureKey reads the private key of RFC 8032 or the scalar of a P-256
// key. It fails with [ErrKey].
func (s *Suite) ImportSignatureKey(seed Secret) (SignatureKey, error) {
	if seed.Len() != seedSize {
		return SignatureKey{}, fmt.Errorf("%w: signature key of %d octets", ErrKey, seed.Len())
	}
	signer, public, err := s.signature.newKey(seed.Bytes())
	if err != nil {
		return SignatureKey{}, err
	}
	m := &signatureMaterial{signer, public, seed.Clone()}
	return SignatureKey{m: func() *signatureMaterial { return m }}, nil
}

// CheckSignatureKey fails with [ErrKey] if public is no signature public key of
// the suite.
func (s *Suite) CheckSignatureKey(public []byte) error { return s.signature.check(public) }

// SignWithLabel signs content (RFC 9420, section 5.1.2). The name gets the
// prefix "MLS 1.0 ". ECDSA signatures are deterministic and in DER.
func (s *Suite) SignWithLabel(key SignatureKey, name string, content []byte) ([]byte, error) {
	return s.SignContent(key, label("MLS 1.0 ", name, content))
}

// StartSignContent returns the start of a SignContent (RFC 9420, section 5.1.2):
// what [Suite.SignWithLabel] signs for a content of n octets, which are to be
// appended, and for which there is room.
//
//	struct {
//	    opaque label<V> = "MLS 1.0 " + Label;
//	    opaque content<V> = Content;
//	} SignContent;
func StartSignContent(name string, n int) ([]byte, error) {
	return wire.Append(make([]byte, 0, 16+len(name)+n), &signContentStart{[]byte("MLS 1.0 " + name), n})
}

type signContentStart struct {
	label []byte
	n     int
}

func (s *signContentStart) Wire(c *wire.Codec) {
	wire.Opaque(c, &s.label)
	wire.Length(c, &s.n)
}

// SignContent signs a complete SignContent.
func (s *Suite) SignContent(key SignatureKey, content []byte) ([]byte, error) {
	if key.IsZero() {
		return nil, fmt.Errorf("%w: absent signature key", ErrKey)
	}
	return s.signature.sign(key.m().signer, content)
}

// VerifyContent is [Suite.VerifyWithLabel] for a complete SignContent.
func (s *Suite) VerifyContent(public, content, signature []byte) error {
	return s.signature.verify(public, content, signature)
}

// VerifyWithLabel fails with [ErrKey] if public is no key, and with
// [ErrSignature] if the signature is not by it.
func (s *Suite) VerifyWithLabel(public []byte, name string, content, signature []byte) error {
	return s.VerifyContent(public, label("MLS 1.0 ", name, content), signature)
}

type ed25519Scheme struct{}

func (ed25519Scheme) newKey(seed []byte) (crypto.Signer, []byte, error) {
	k := ed25519.NewKeyFromSeed(seed)
	return k, []byte(k[ed25519.SeedSize:]), nil
}

func (ed25519Scheme) randomSeed(random []byte) ([]byte, error) {
	return append([]byte(nil), random...), nil
}

func (ed25519Scheme) sign(key crypto.Signer, content []byte) ([]byte, error) {
	return key.Sign(nil, content, crypto.Hash(0))
}

func (ed25519Scheme) check(public []byte) error {
	if len(public) != ed25519.PublicKeySize {
		return fmt.Errorf("%w: Ed25519 public key of %d octets", ErrKey, len(public))
	}
	return nil
}

func (s ed25519Scheme) verify(public, content, signature []byte) error {
	if err := s.check(public); err != nil {
		return err
	}
	// RFC 9420, section 5.1.2: 1
	if !ed25519.Verify(public, content, signature) {
		return ErrSignature
	}
	return nil
}

type p256Scheme struct{}

func (p256Scheme) newKey(seed []byte) (crypto.Signer, []byte, error) {
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: P-256 scalar out of range", ErrKey)
	}
	public, err := k.PublicKey.Bytes()
	// unmutated: a key that was just parsed always encodes
	if err != nil {
		return nil, nil, fmt.Errorf("%w: P-256 public key does not encode", ErrKey)
	}
	return k, public, nil
}

// randomSeed derives the scalar as HPKE does: that is uniform in its range, and
// deterministic in the randomness, which crypto/ecdsa does not promise.
func (p256Scheme) randomSeed(random []byte) ([]byte, error) {
	k, err := hpke.DHKEM(ecdh.P256()).DeriveKeyPair(random)
	if err != nil {
		return nil, err
	}
	return k.Bytes()
}

func (p256Scheme) sign(key crypto.Signer, content []byte) ([]byte, error) {
	digest := sha256.Sum256(content)
	return key.Sign(nil, digest[:], crypto.SHA256)
}

func (p256Scheme) parse(public []byte) (*ecdsa.PublicKey, error) {
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
	if err != nil {
		return nil, fmt.Errorf("%w: P-256 public key of %d octets", ErrKey, len(public))
	}
	return k, nil
}

func (s p256Scheme) check(public []byte) error {
	_, err := s.parse(public)
	return err
}

func (s p256Scheme) verify(public, content, signature []byte) error {
	k, err := s.parse(public)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(content)
	// RFC 9420, section 5.1.2: 1
	if !ecdsa.VerifyASN1(k, digest[:], signature) {
		return ErrSignature
	}
	return nil
}
