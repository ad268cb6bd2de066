package connection

import (
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
// mode_base) stands here once more.
func TestKnownEncryption(t *testing.T) {
	k := loadKnown(t)
	var signed SignedConnectionRequest
	decode(t, k.Bytes("SignedConnectionRequest"), &signed)
	plaintext, err := identity.Pad(encode(t, &signed), padRequest)
	if err != nil {
		t.Fatal(err)
	}
	bound := encode(t, &ConnectionRequestContext{k.pkg.Package.TBS.User, k.pkg.Ref})
	enc, ct := sealBase(t, k.s, k.Bytes("connection_request_hpke_ephemeral_private_key"), k.pkg.Package.TBS.PublicKey, info(t, labelRequest, bound), plaintext)
	k.same("EncryptedConnectionRequest", encode(t, &suite.HPKECiphertext{KEMOutput: enc, Ciphertext: ct}))
}

// sealBase is SealBase of RFC 9180, section 6.1, with the algorithms of a suite
// and a given ephemeral key.
func sealBase(t *testing.T, s *suite.Suite, ephemeral, public, info, plaintext []byte) (enc, ciphertext []byte) {
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
	curve, kemID := ecdh.X25519(), byte(0x20)
	if s.ID() == suite.P256AES128 {
		curve, kemID = ecdh.P256(), 0x10
	}
	aeadID := byte(0x01)
	if s.ID() == suite.X25519ChaCha20 {
		aeadID = 0x03
	}
	skE, err := curve.NewPrivateKey(ephemeral)
	fatal(err)
	pkR, err := curve.NewPublicKey(public)
	fatal(err)
	dh, err := skE.ECDH(pkR)
	fatal(err)
	enc = skE.PublicKey().Bytes()

	kem := []byte{'K', 'E', 'M', 0x00, kemID}
	secret := expand(kem, extract(kem, nil, "eae_prk", dh), "shared_secret", slices.Concat(enc, public), 32)
	hpke := []byte{'H', 'P', 'K', 'E', 0x00, kemID, 0x00, 0x01, 0x00, aeadID}
	context := slices.Concat([]byte{0}, extract(hpke, nil, "psk_id_hash", nil), extract(hpke, nil, "info_hash", info))
	prk := extract(hpke, secret, "secret", nil)
	key := suite.NewSecret(expand(hpke, prk, "key", context, s.Nk()))
	ciphertext, err = s.Seal(key, expand(hpke, prk, "base_nonce", context, 12), nil, plaintext)
	fatal(err)
	return enc, ciphertext
}
