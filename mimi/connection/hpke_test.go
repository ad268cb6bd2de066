package connection

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestKnownEncryption repeats the encryption of the known request with its
// ephemeral key. crypto/hpke does not take one, so HPKE (RFC 9180, section 5.1,
// mode_base, DHKEM(X25519), HKDF-SHA256, AES-128-GCM) stands here once more.
func TestKnownEncryption(t *testing.T) {
	k := loadKnown(t)
	var signed SignedConnectionRequest
	decode(t, k.Bytes("SignedConnectionRequest"), &signed)
	plaintext, err := identity.Pad(encode(t, &signed), padRequest)
	if err != nil {
		t.Fatal(err)
	}
	bound := encode(t, &ConnectionRequestContext{k.pkg.Package.TBS.User, k.pkg.Ref})
	enc, ct := sealBase(t, k.Bytes("connection_request_hpke_ephemeral_private_key"), k.pkg.Package.TBS.PublicKey, info(t, labelRequest, bound), plaintext)
	k.same("EncryptedConnectionRequest", encode(t, &suite.HPKECiphertext{KEMOutput: enc, Ciphertext: ct}))
}

func sealBase(t *testing.T, ephemeral, public, info, plaintext []byte) (enc, ciphertext []byte) {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	labeled := func(suiteID []byte, label string, data []byte) []byte {
		return slices.Concat([]byte("HPKE-v1"), suiteID, []byte(label), data)
	}
	extract := func(suiteID, salt []byte, label string, ikm []byte) []byte {
		out, err := hkdf.Extract(sha256.New, labeled(suiteID, label, ikm), salt)
		fatal(err)
		return out
	}
	expand := func(suiteID, prk []byte, label string, info []byte, n int) []byte {
		l := binary.BigEndian.AppendUint16(nil, uint16(n))
		out, err := hkdf.Expand(sha256.New, prk, string(append(l, labeled(suiteID, label, info)...)), n)
		fatal(err)
		return out
	}
	skE, err := ecdh.X25519().NewPrivateKey(ephemeral)
	fatal(err)
	pkR, err := ecdh.X25519().NewPublicKey(public)
	fatal(err)
	dh, err := skE.ECDH(pkR)
	fatal(err)
	enc = skE.PublicKey().Bytes()

	kem := []byte{'K', 'E', 'M', 0x00, 0x20}
	secret := expand(kem, extract(kem, nil, "eae_prk", dh), "shared_secret", slices.Concat(enc, public), 32)
	hpke := []byte{'H', 'P', 'K', 'E', 0x00, 0x20, 0x00, 0x01, 0x00, 0x01}
	context := slices.Concat([]byte{0}, extract(hpke, nil, "psk_id_hash", nil), extract(hpke, nil, "info_hash", info))
	prk := extract(hpke, secret, "secret", nil)
	block, err := aes.NewCipher(expand(hpke, prk, "key", context, 16))
	fatal(err)
	aead, err := cipher.NewGCM(block)
	fatal(err)
	return enc, aead.Seal(nil, expand(hpke, prk, "base_nonce", context, 12), bytes.Clone(plaintext), nil)
}
