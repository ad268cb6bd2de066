package connection

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// makeUpload drops a set of a user with two clients.
func (k *answerSet) makeUpload() {
	token := identity.ConnectionToken{Secret: k.secret("connection_token")}
	u := &keymaterial.KeyMaterialUpload{
		Token: keymaterial.HashToken(token), Sequence: k.number("upload_sequence", 7), Slots: []uint32{0, 3},
		Drop: []mimi.URI{k.tbs.UserPseudonym},
	}
	if err := u.Sign(k.s, k.signatureKey("upload")); err != nil {
		k.t.Fatal(err)
	}
	k.encoded("KeyMaterialUpload", u)
	if err := u.Verify(); err != nil {
		k.t.Error(err)
	}
}

func (k *answerSet) checkUpload(b []byte) error {
	var u keymaterial.KeyMaterialUpload
	if err := wire.Unmarshal(b, &u); err != nil {
		return err
	}
	return u.Verify()
}

// storedIssuer is how a provider keeps an issuer's key: a ring of one.
type storedIssuer struct {
	id      uint8
	private []byte
	until   uint64
}

func (x *storedIssuer) Wire(c *wire.Codec) {
	ring := []storedIssuer{*x}
	wire.Vector(c, &ring, func(c *wire.Codec, s *storedIssuer) {
		wire.Uint8(c, &s.id)
		wire.Opaque(c, &s.private)
		wire.Uint64(c, &s.until)
		wire.Uint64(c, &s.until)
	})
}

// boundless lets everybody have all tokens, and takes each any number of times.
type boundless struct{ keymaterial.Allowances }

func (boundless) CountIssued(context.Context, mimi.URI, int64, int, int) error { return nil }

func (boundless) RememberNonce(context.Context, [32]byte, time.Time) (bool, error) { return true, nil }

func (boundless) ForgetNonces(context.Context, time.Time) error { return nil }

// makeUploadToken has a token issued. What it is blinded with does not matter.
func (k *answerSet) makeUploadToken() {
	private := k.random("issuer_private_key", 32)
	private[31] &= 0x0f // smaller than the order of the group
	k.input("issuer_private_key", private)
	var ring keymaterial.IssuerKeyRing
	decode(k.t, encode(k.t, &storedIssuer{uint8(k.number("issuer_key_id", 4)), private, 1 << 33}), &ring)
	k.issuer = keymaterial.NewIssuer(keymaterial.IssuerConfig{
		Keys:       func(context.Context) (keymaterial.IssuerKeyRing, error) { return ring, nil },
		Allowances: boundless{}, Spent: boundless{}, Clock: mimi.NewManualClock(k.now),
	})
	key, _ := ring.Newest()
	k.answer("issuer_public_key", ok(key.Public.MarshalBinary())(k))
	random := bytes.NewReader(slices.Concat(k.random("upload_token_nonce", 32), bytes.Repeat([]byte{7}, 1024)))
	request, pending, err := keymaterial.RequestTokens(key, 1, random)
	if err != nil {
		k.t.Fatal(err)
	}
	tokens := ok(pending.Finish(ok(k.issuer.Issue(k.t.Context(), k.room, request))(k)))(k)
	k.encoded("UploadToken", &tokens[0])
}

func (k *answerSet) checkUploadToken(b []byte) error {
	var token keymaterial.UploadToken
	if err := wire.Unmarshal(b, &token); err != nil {
		return err
	}
	return k.issuer.Redeem(k.t.Context(), []keymaterial.UploadToken{token})
}
