package suite_test

import (
	"bytes"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

type cryptoBasics struct {
	CipherSuite uint16 `json:"cipher_suite"`
	RefHash     struct {
		Label      string
		Value, Out vectors.Hex
	} `json:"ref_hash"`
	ExpandWithLabel struct {
		Secret  vectors.Hex
		Label   string
		Context vectors.Hex
		Length  uint16
		Out     vectors.Hex
	} `json:"expand_with_label"`
	DeriveSecret struct {
		Secret vectors.Hex
		Label  string
		Out    vectors.Hex
	} `json:"derive_secret"`
	DeriveTreeSecret struct {
		Secret     vectors.Hex
		Label      string
		Generation uint32
		Length     uint16
		Out        vectors.Hex
	} `json:"derive_tree_secret"`
	SignWithLabel struct {
		Priv, Pub, Content vectors.Hex
		Label              string
		Signature          vectors.Hex
	} `json:"sign_with_label"`
	EncryptWithLabel struct {
		Priv, Pub  vectors.Hex
		Label      string
		Context    vectors.Hex
		Plaintext  vectors.Hex
		KEMOutput  vectors.Hex `json:"kem_output"`
		Ciphertext vectors.Hex
	} `json:"encrypt_with_label"`
}

func TestVectorsCryptoBasics(t *testing.T) {
	vectors.Run(t, "crypto-basics", func(t *testing.T, c cryptoBasics) {
		s, err := suite.Lookup(suite.ID(c.CipherSuite))
		if err != nil {
			t.Fatal(err)
		}
		same := func(what string, got, want []byte) {
			t.Helper()
			if !bytes.Equal(got, want) {
				t.Errorf("%s = %x, want %x", what, got, want)
			}
		}
		same("RefHash", s.RefHash(c.RefHash.Label, c.RefHash.Value), c.RefHash.Out)
		e := c.ExpandWithLabel
		same("ExpandWithLabel", s.ExpandWithLabel(suite.NewSecret(e.Secret), e.Label, e.Context, int(e.Length)).Bytes(), e.Out)
		same("DeriveSecret", s.DeriveSecret(suite.NewSecret(c.DeriveSecret.Secret), c.DeriveSecret.Label).Bytes(), c.DeriveSecret.Out)
		d := c.DeriveTreeSecret
		same("DeriveTreeSecret", s.DeriveTreeSecret(suite.NewSecret(d.Secret), d.Label, d.Generation, int(d.Length)).Bytes(), d.Out)

		sign := c.SignWithLabel
		key, err := s.ImportSignatureKey(suite.NewSecret(sign.Priv))
		if err != nil {
			t.Fatal(err)
		}
		same("signature public key", key.Public(), sign.Pub)
		if err := s.VerifyWithLabel(sign.Pub, sign.Label, sign.Content, sign.Signature); err != nil {
			t.Errorf("signature of the vector: %v", err)
		}
		own, err := s.SignWithLabel(key, sign.Label, sign.Content)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyWithLabel(sign.Pub, sign.Label, sign.Content, own); err != nil {
			t.Errorf("own signature: %v", err)
		}

		enc := c.EncryptWithLabel
		private, err := s.ImportHPKEKey(suite.NewSecret(enc.Priv))
		if err != nil {
			t.Fatal(err)
		}
		same("HPKE public key", private.Public(), enc.Pub)
		ownCT, err := s.EncryptWithLabel(enc.Pub, enc.Label, enc.Context, enc.Plaintext)
		if err != nil {
			t.Fatal(err)
		}
		for _, ct := range []suite.HPKECiphertext{{KEMOutput: enc.KEMOutput, Ciphertext: enc.Ciphertext}, ownCT} {
			got, err := s.DecryptWithLabel(private, enc.Label, enc.Context, ct)
			if err != nil {
				t.Fatal(err)
			}
			same("DecryptWithLabel", got, enc.Plaintext)
		}
	})
}
