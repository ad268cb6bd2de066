package keymaterial_test

import (
	"bytes"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func TestKnownTokenHash(t *testing.T) {
	v := identitytest.Load(t)
	var content protocol.ConnectionTokenContent
	if err := wire.Unmarshal(v.Bytes("ConnectionTokenPlaintext"), &content); err != nil {
		t.Fatal(err)
	}
	if hash := keymaterial.HashToken(content.Token); !bytes.Equal(hash[:], v.Bytes("token_hash")) {
		t.Errorf("token_hash is %x", hash)
	}
	if again := must[[]byte](t)(wire.Marshal(&content)); !bytes.Equal(again, v.Bytes("ConnectionTokenPlaintext")) {
		t.Errorf("ConnectionTokenPlaintext is %x", again)
	}
}

// TestKnownConnectionToken opens the sealed token of the vectors as their
// provider does.
func TestKnownConnectionToken(t *testing.T) {
	v := identitytest.Load(t)
	s := identitytest.Suite(t, suite.X25519AES128)
	var sealed protocol.SealedConnectionToken
	var adder identity.PseudonymousCredentialTBS
	for name, m := range map[string]wire.Message{"SealedConnectionToken": &sealed, "adder_tbs": &adder} {
		if err := wire.Unmarshal(v.Bytes(name), m); err != nil {
			t.Fatal(err)
		}
		if again := must[[]byte](t)(wire.Marshal(m)); !bytes.Equal(again, v.Bytes(name)) {
			t.Errorf("%s encodes again as %x", name, again)
		}
	}
	room := must[mimi.URI](t)(identity.RoomOf(v.Bytes("group_id")))
	private := must[suite.HPKEPrivateKey](t)(s.ImportHPKEKey(v.Secret("keymaterial_private_key")))
	context := append(must[[]byte](t)(wire.Marshal(&room)), v.Bytes("adder_tbs")...)
	// What EncryptWithLabel hands to HPKE as info.
	info := append(opaque(t, []byte("MLS 1.0 ConnectionToken")), opaque(t, context)...)
	if !bytes.Equal(info, v.Bytes("connection_token_hpke_info")) {
		t.Errorf("connection_token_hpke_info is %x", info)
	}
	plaintext := must[[]byte](t)(s.DecryptWithLabel(private, "ConnectionToken", context, sealed.Sealed))
	if got := must[[]byte](t)(identity.Unpad(plaintext, 256)); !bytes.Equal(got, v.Bytes("ConnectionTokenPlaintext")) {
		t.Errorf("ConnectionTokenPlaintext is %x", got)
	}
}

// opaque encodes b as opaque<V>.
func opaque(t *testing.T, b []byte) []byte {
	t.Helper()
	return must[[]byte](t)(wire.Marshal(opaqueBytes{&b}))
}

type opaqueBytes struct{ b *[]byte }

func (o opaqueBytes) Wire(c *wire.Codec) { wire.Opaque(c, o.b) }
