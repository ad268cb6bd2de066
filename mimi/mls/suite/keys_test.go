package suite_test

import (
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestLowOrderKeysAreRefused: whoever put one of these into a tree would keep all
// others from encrypting to it, and so from making commits.
func TestLowOrderKeysAreRefused(t *testing.T) {
	private, err := ecdh.X25519().NewPrivateKey([]byte("thirty-two octets of private key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		key, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		for _, high := range []byte{0, 0x80} { // the highest bit is of no meaning
			key[31] = key[31]&0x7f | high
			public, err := ecdh.X25519().NewPublicKey(key)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := private.ECDH(public); err == nil {
				t.Fatalf("%x is no key of low order", key)
			}
			for _, id := range []suite.ID{suite.X25519AES128, suite.X25519ChaCha20} {
				s, err := suite.Lookup(id)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.CheckHPKEKey(key); !errors.Is(err, suite.ErrKey) {
					t.Errorf("%v: %x: %v", id, key, err)
				}
				if _, err := s.EncryptWithLabel(key, "label", nil, nil); !errors.Is(err, suite.ErrKey) {
					t.Errorf("%v: encrypting to %x: %v", id, key, err)
				}
				if _, _, err := s.ExportTo(key, "label"); !errors.Is(err, suite.ErrKey) {
					t.Errorf("%v: agreeing on a secret with %x: %v", id, key, err)
				}
			}
		}
	}
}

// TestAbsentKeys: they neither sign nor decrypt, and are no reason to panic.
func TestAbsentKeys(t *testing.T) {
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignWithLabel(suite.SignatureKey{}, "label", nil); !errors.Is(err, suite.ErrKey) {
		t.Errorf("signing: %v", err)
	}
	if _, err := s.DecryptWithLabel(suite.HPKEPrivateKey{}, "label", nil, suite.HPKECiphertext{}); !errors.Is(err, suite.ErrKey) {
		t.Errorf("decrypting: %v", err)
	}
	if _, err := s.ExportFrom(suite.HPKEPrivateKey{}, nil, "label"); !errors.Is(err, suite.ErrKey) {
		t.Errorf("exporting: %v", err)
	}
}

// TestP256ScalarsAreInRange: neither zero nor the order of the group, or more.
func TestP256ScalarsAreInRange(t *testing.T) {
	s, err := suite.Lookup(suite.P256AES128)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551",
		"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	} {
		b, err := hex.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.ImportSignatureKey(suite.NewSecret(b)); !errors.Is(err, suite.ErrKey) {
			t.Errorf("%s: %v", h, err)
		}
	}
}
