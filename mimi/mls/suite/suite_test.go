package suite_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

func each(t *testing.T, f func(t *testing.T, s *suite.Suite)) {
	for _, id := range suite.IDs() {
		t.Run(id.String(), func(t *testing.T) {
			s, err := suite.Lookup(id)
			if err != nil {
				t.Fatal(err)
			}
			f(t, s)
		})
	}
}

func TestLookupRefusesUnknownSuites(t *testing.T) {
	for _, id := range []suite.ID{0, 4, 5, 6, 7, 0xf000} {
		if _, err := suite.Lookup(id); !errors.Is(err, suite.ErrUnsupported) {
			t.Errorf("Lookup(%#x): %v", uint16(id), err)
		}
	}
}

// hidden has key material in unexported fields, whose methods fmt does not call.
type hidden struct {
	a suite.Secret
	b suite.SignatureKey
	c suite.HPKEPrivateKey
	d []suite.Secret
}

// TestSecretsAreRedacted formats every type that holds key material in every
// way it could reach a log or an error.
func TestSecretsAreRedacted(t *testing.T) {
	marker := []byte("0123456789abcdef0123456789abcdef")
	each(t, func(t *testing.T, s *suite.Suite) {
		sig, err := s.ImportSignatureKey(suite.NewSecret(marker))
		if err != nil {
			t.Fatal(err)
		}
		hpke, err := s.ImportHPKEKey(suite.NewSecret(marker))
		if err != nil {
			t.Fatal(err)
		}
		secret := suite.NewSecret(marker)
		holder := struct {
			A suite.Secret
			B suite.SignatureKey
			C suite.HPKEPrivateKey
			D *suite.Secret
		}{secret, sig, hpke, &secret}
		var log bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&log, nil))
		logger.Info("secrets", "a", secret, "b", sig, "c", hpke)
		js, err := json.Marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		out := []string{log.String(), string(js)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d"} {
			for _, v := range []any{secret, &secret, sig, hpke, holder, hidden{secret, sig, hpke, []suite.Secret{secret}}} {
				out = append(out, fmt.Sprintf(verb, v))
			}
		}
		for _, o := range out {
			for _, leak := range []string{string(marker), fmt.Sprintf("%x", marker), "48 49 50", "0x30, 0x31"} {
				if strings.Contains(strings.ToLower(o), leak) {
					t.Errorf("%q shows the secret", o)
				}
			}
		}
	})
}

func TestSecretEqual(t *testing.T) {
	a, b, c := suite.NewSecret([]byte("a")), suite.NewSecret([]byte("a")), suite.NewSecret([]byte("ab"))
	if !a.Equal(b) || a.Equal(c) || a.Equal(suite.Secret{}) {
		t.Error("Equal is wrong")
	}
	a.Erase()
	if !a.IsZero() || b.IsZero() {
		t.Error("Erase erases the wrong secret")
	}
}

func TestDecryptNeedsSameLabelContextAndKey(t *testing.T) {
	each(t, func(t *testing.T, s *suite.Suite) {
		key, err := s.GenerateHPKEKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.GenerateHPKEKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ct, err := s.EncryptWithLabel(key.Public(), "label", []byte("context"), []byte("plaintext"))
		if err != nil {
			t.Fatal(err)
		}
		changed := suite.HPKECiphertext{KEMOutput: ct.KEMOutput, Ciphertext: bytes.Clone(ct.Ciphertext)}
		changed.Ciphertext[0] ^= 1
		for name, f := range map[string]func() ([]byte, error){
			"label":      func() ([]byte, error) { return s.DecryptWithLabel(key, "other", []byte("context"), ct) },
			"context":    func() ([]byte, error) { return s.DecryptWithLabel(key, "label", []byte("other"), ct) },
			"key":        func() ([]byte, error) { return s.DecryptWithLabel(other, "label", []byte("context"), ct) },
			"ciphertext": func() ([]byte, error) { return s.DecryptWithLabel(key, "label", []byte("context"), changed) },
			"kem output": func() ([]byte, error) {
				return s.DecryptWithLabel(key, "label", []byte("context"), suite.HPKECiphertext{KEMOutput: ct.KEMOutput[1:], Ciphertext: ct.Ciphertext})
			},
		} {
			if _, err := f(); !errors.Is(err, suite.ErrDecrypt) {
				t.Errorf("other %s: %v", name, err)
			}
		}
	})
}

func TestVerifyRefusesOtherLabelContentKeyAndForm(t *testing.T) {
	each(t, func(t *testing.T, s *suite.Suite) {
		key, err := s.GenerateSignatureKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		other, err := s.GenerateSignatureKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.SignWithLabel(key, "label", []byte("content"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.VerifyWithLabel(key.Public(), "label", []byte("content"), sig); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"label":     s.VerifyWithLabel(key.Public(), "other", []byte("content"), sig),
			"content":   s.VerifyWithLabel(key.Public(), "label", []byte("other"), sig),
			"key":       s.VerifyWithLabel(other.Public(), "label", []byte("content"), sig),
			"signature": s.VerifyWithLabel(key.Public(), "label", []byte("content"), sig[1:]),
			"trailing":  s.VerifyWithLabel(key.Public(), "label", []byte("content"), append(bytes.Clone(sig), 0)),
			"empty":     s.VerifyWithLabel(key.Public(), "label", []byte("content"), nil),
		} {
			if !errors.Is(err, suite.ErrSignature) {
				t.Errorf("other %s: %v", name, err)
			}
		}
		if err := s.VerifyWithLabel(key.Public()[1:], "label", []byte("content"), sig); !errors.Is(err, suite.ErrKey) {
			t.Errorf("short key: %v", err)
		}
		again, err := s.ImportSignatureKey(key.Seed())
		if err != nil || !bytes.Equal(again.Public(), key.Public()) {
			t.Errorf("import of an exported key: %v", err)
		}
	})
}

func TestSealOpen(t *testing.T) {
	each(t, func(t *testing.T, s *suite.Suite) {
		key, nonce := suite.NewSecret(make([]byte, s.Nk())), make([]byte, s.Nn())
		ct, err := s.Seal(key, nonce, []byte("aad"), []byte("text"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Open(key, nonce, []byte("aad"), ct); err != nil || string(got) != "text" {
			t.Errorf("Open = %q, %v", got, err)
		}
		if _, err := s.Open(key, nonce, []byte("other"), ct); !errors.Is(err, suite.ErrDecrypt) {
			t.Errorf("other AAD: %v", err)
		}
		if _, err := s.Seal(key, nonce[1:], nil, nil); !errors.Is(err, suite.ErrKey) {
			t.Errorf("short nonce: %v", err)
		}
		if _, err := s.Open(suite.NewSecret(nonce), nonce, nil, ct); !errors.Is(err, suite.ErrKey) {
			t.Errorf("short key: %v", err)
		}
	})
}

func TestExportToAndFrom(t *testing.T) {
	each(t, func(t *testing.T, s *suite.Suite) {
		key, err := s.DeriveHPKEKey(suite.NewSecret(make([]byte, s.Nh())))
		if err != nil {
			t.Fatal(err)
		}
		enc, secret, err := s.ExportTo(key.Public(), "label")
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.ExportFrom(key, enc, "label")
		if err != nil || !got.Equal(secret) || got.Len() != s.Nh() {
			t.Errorf("ExportFrom does not give the secret of ExportTo: %v", err)
		}
		if _, err := s.ExportFrom(key, enc[1:], "label"); !errors.Is(err, suite.ErrDecrypt) {
			t.Errorf("short KEM output: %v", err)
		}
	})
}

func ExampleSuite_SignWithLabel() {
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		panic(err)
	}
	key, err := s.GenerateSignatureKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	sig, err := s.SignWithLabel(key, "ExampleTBS", []byte("content"))
	if err != nil {
		panic(err)
	}
	fmt.Println(key, s.VerifyWithLabel(key.Public(), "ExampleTBS", []byte("content"), sig))
	// Output: [redacted] <nil>
}
