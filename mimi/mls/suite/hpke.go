package suite

import (
	"crypto/hpke"
	"fmt"
	"io"
	"log/slog"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// HPKECiphertext is the output of an encryption to a public key (RFC 9420,
// section 7.6).
//
//	struct {
//	    opaque kem_output<V>;
//	    opaque ciphertext<V>;
//	} HPKECiphertext;
type HPKECiphertext struct {
	KEMOutput  []byte
	Ciphertext []byte
}

// Wire codes the structure.
func (h *HPKECiphertext) Wire(c *wire.Codec) {
	wire.Opaque(c, &h.KEMOutput)
	wire.Opaque(c, &h.Ciphertext)
}

// An HPKEPrivateKey opens what was encrypted to its public key. The zero value
// is an absent key. It prints as [redacted].
type HPKEPrivateKey struct {
	m func() hpke.PrivateKey // a function for the reason given at Secret
}

// IsZero reports whether the key is absent.
func (k HPKEPrivateKey) IsZero() bool { return k.m == nil }

// Public returns the encoded public key, or nil for an absent key.
func (k HPKEPrivateKey) Public() []byte {
	if k.m == nil {
		return nil
	}
	return k.m().PublicKey().Bytes()
}

// Secret returns the encoded private key (SerializePrivateKey of RFC 9180), for
// storing it.
func (k HPKEPrivateKey) Secret() Secret {
	if k.m == nil {
		return Secret{}
	}
	b, err := k.m().Bytes()
	if err != nil {
		panic("internal error: an HPKE private key does not encode: " + err.Error())
	}
	return own(b)
}

// String never shows the key.
func (k HPKEPrivateKey) String() string { return redacted }

// GoString never shows the key.
func (k HPKEPrivateKey) GoString() string { return redacted }

// Format never shows the key.
func (k HPKEPrivateKey) Format(f fmt.State, r rune) { Secret{}.Format(f, r) }

// MarshalJSON never shows the key.
func (k HPKEPrivateKey) MarshalJSON() ([]byte, error) { return Secret{}.MarshalJSON() }

// LogValue never shows the key.
func (k HPKEPrivateKey) LogValue() slog.Value { return Secret{}.LogValue() }

// GenerateHPKEKey makes a key pair from Nh octets of random.
func (s *Suite) GenerateHPKEKey(random io.Reader) (HPKEPrivateKey, error) {
	ikm := make([]byte, s.Nh())
	if _, err := io.ReadFull(random, ikm); err != nil {
		return HPKEPrivateKey{}, fmt.Errorf("randomness for an HPKE key: %w", err)
	}
	defer clear(ikm)
	return s.DeriveHPKEKey(own(ikm))
}

// DeriveHPKEKey is KEM.DeriveKeyPair (RFC 9180, section 4).
func (s *Suite) DeriveHPKEKey(ikm Secret) (HPKEPrivateKey, error) {
	k, err := s.kem.DeriveKeyPair(ikm.Bytes())
	if err != nil {
		return HPKEPrivateKey{}, fmt.Errorf("derive an HPKE key: %w", err)
	}
	return HPKEPrivateKey{m: func() hpke.PrivateKey { return k }}, nil
}

// ImportHPKEKey reads a private key that [HPKEPrivateKey.Secret] wrote, or
// fails with [ErrKey].
func (s *Suite) ImportHPKEKey(key Secret) (HPKEPrivateKey, error) {
	k, err := s.kem.NewPrivateKey(key.Bytes())
	if err != nil {
		return HPKEPrivateKey{}, fmt.Errorf("%w: HPKE private key of %d octets", ErrKey, key.Len())
	}
	return HPKEPrivateKey{m: func() hpke.PrivateKey { return k }}, nil
}

// publicKey reads the HPKE public key of a peer.
func (s *Suite) publicKey(public []byte) (hpke.PublicKey, error) {
	k, err := s.kem.NewPublicKey(public)
	if err != nil {
		return nil, fmt.Errorf("%w: HPKE public key of %d octets", ErrKey, len(public))
	}
	return k, nil
}

// CheckHPKEKey fails with [ErrKey] if public is no HPKE public key of the suite.
func (s *Suite) CheckHPKEKey(public []byte) error {
	if _, err := s.publicKey(public); err != nil {
		return err
	}
	// Nobody can encrypt to such a key (RFC 9180, section 7.1.4). In a tree it
	// would keep all others from making a path.
	// RFC 9420, section 10: 1, 2
	if lowOrder(public) {
		return fmt.Errorf("%w: X25519 public key of low order", ErrKey)
	}
	return nil
}

// lowOrder reports whether public is one of the X25519 points of low order (RFC
// 7748, section 6.1): u is 0, 1, p-1, p or p+1, or one of two of order eight.
// The highest bit does not count. Keys of P-256, which are longer, are none.
func lowOrder(public []byte) bool {
	if len(public) != 32 {
		return false
	}
	u := [32]byte(public)
	u[31] &= 0x7f
	middle := func(b byte) bool {
		for _, x := range u[1:31] {
			if x != b {
				return false
			}
		}
		return true
	}
	switch {
	case u[31] == 0 && middle(0):
		return u[0] <= 1
	case u[31] == 0x7f && middle(0xff):
		return u[0] >= 0xec && u[0] <= 0xee
	}
	return u == orderEight[0] || u == orderEight[1]
}

// orderEight are the two points of order eight.
var orderEight = [2][32]byte{
	{
		0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
		0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
	},
	{
		0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
		0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
	},
}

// EncryptWithLabel encrypts to a public key (RFC 9420, section 5.1.3). The name
// gets the prefix "MLS 1.0 ". It fails with [ErrKey] if public is no key.
func (s *Suite) EncryptWithLabel(public []byte, name string, context, plaintext []byte) (HPKECiphertext, error) {
	pub, err := s.publicKey(public)
	if err != nil {
		return HPKECiphertext{}, err
	}
	enc, sender, err := hpke.NewSender(pub, hpke.HKDFSHA256(), s.aead, label("MLS 1.0 ", name, context))
	if err != nil {
		return HPKECiphertext{}, fmt.Errorf("%w: encapsulation is not possible", ErrKey)
	}
	ct, err := sender.Seal(nil, plaintext)
	if err != nil {
		return HPKECiphertext{}, fmt.Errorf("encrypt to a public key: %w", err)
	}
	return HPKECiphertext{KEMOutput: enc, Ciphertext: ct}, nil
}

// DecryptWithLabel opens what [Suite.EncryptWithLabel] made for the same name
// and context, or fails with [ErrDecrypt].
func (s *Suite) DecryptWithLabel(private HPKEPrivateKey, name string, context []byte, ct HPKECiphertext) ([]byte, error) {
	if private.IsZero() {
		return nil, fmt.Errorf("%w: absent private key", ErrKey)
	}
	r, err := hpke.NewRecipient(ct.KEMOutput, private.m(), hpke.HKDFSHA256(), s.aead, label("MLS 1.0 ", name, context))
	if err != nil {
		return nil, ErrDecrypt
	}
	plaintext, err := r.Open(nil, ct.Ciphertext)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plaintext, nil
}

// ExportTo agrees on a secret of Nh octets with the holder of a public key: it
// sets up an HPKE context with empty info and exports under name, which is used
// as it is (RFC 9420, section 8.3).
func (s *Suite) ExportTo(public []byte, name string) (kemOutput []byte, secret Secret, err error) {
	pub, err := s.publicKey(public)
	if err != nil {
		return nil, Secret{}, err
	}
	enc, sender, err := hpke.NewSender(pub, hpke.HKDFSHA256(), s.aead, nil)
	if err != nil {
		return nil, Secret{}, fmt.Errorf("%w: encapsulation is not possible", ErrKey)
	}
	out, err := sender.Export(name, s.Nh())
	if err != nil {
		return nil, Secret{}, fmt.Errorf("export a secret: %w", err)
	}
	return enc, own(out), nil
}

// ExportFrom is the other side of [Suite.ExportTo]. A malformed kemOutput gives
// [ErrDecrypt]; a wrong one gives another secret.
func (s *Suite) ExportFrom(private HPKEPrivateKey, kemOutput []byte, name string) (Secret, error) {
	if private.IsZero() {
		return Secret{}, fmt.Errorf("%w: absent private key", ErrKey)
	}
	r, err := hpke.NewRecipient(kemOutput, private.m(), hpke.HKDFSHA256(), s.aead, nil)
	if err != nil {
		return Secret{}, ErrDecrypt
	}
	out, err := r.Export(name, s.Nh())
	if err != nil {
		return Secret{}, fmt.Errorf("export a secret: %w", err)
	}
	return own(out), nil
}
