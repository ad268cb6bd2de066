package keymaterial

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/cloudflare/circl/oprf"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A PendingTokens is a request for tokens that is not answered yet, at the client.
type PendingTokens struct {
	key     IssuerKey
	nonces  [][]byte
	blinded *oprf.FinalizeData
}

// RequestTokens makes a request for n tokens, at most [MaxTokenBatch]. The key is
// the one that the provider gives to everybody.
func RequestTokens(key IssuerKey, n int, random io.Reader) (*UploadTokenRequest, *PendingTokens, error) {
	if n < 1 || n > MaxTokenBatch {
		return nil, nil, fmt.Errorf("%w: %d tokens", ErrTokenRequest, n)
	}
	pending := &PendingTokens{key: key}
	var inputs [][]byte
	var blinds []oprf.Blind
	for range n {
		nonce := make([]byte, tokenNonceSize)
		if _, err := io.ReadFull(random, nonce); err != nil {
			return nil, nil, fmt.Errorf("request upload tokens: %w", err)
		}
		pending.nonces = append(pending.nonces, nonce)
		inputs = append(inputs, tokenInput(key.ID, nonce))
		blinds = append(blinds, tokenSuite.Group().RandomNonZeroScalar(random))
	}
	blinded, request, err := oprf.NewVerifiableClient(tokenSuite, key.Public).DeterministicBlind(inputs, blinds)
	if err != nil {
		return nil, nil, fmt.Errorf("request upload tokens: %w", err)
	}
	pending.blinded = blinded
	return &UploadTokenRequest{key.ID, request.Elements}, pending, nil
}

// Finish makes tokens of the answer. It fails with [ErrTokenRequest] if they were
// not issued under the key that everybody is given.
func (p *PendingTokens) Finish(r *UploadTokenResponse) ([]UploadToken, error) {
	if r.KeyID != p.key.ID || r.Proof == nil {
		return nil, fmt.Errorf("%w: under another key", ErrTokenRequest)
	}
	outputs, err := oprf.NewVerifiableClient(tokenSuite, p.key.Public).Finalize(p.blinded, &oprf.Evaluation{Elements: r.Evaluated, Proof: r.Proof})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenRequest, err)
	}
	var tokens []UploadToken
	for i, nonce := range p.nonces {
		tokens = append(tokens, UploadToken{p.key.ID, nonce, outputs[i]})
	}
	return tokens, nil
}

// A Wallet is what an account has not spent. It is stored sealed; this is no wire
// format of the profile.
type Wallet struct{ coins []coin }

type coin struct {
	token UploadToken
	until uint64 // seconds since 1970
}

// Wire implements [wire.Message].
func (w *Wallet) Wire(c *wire.Codec) {
	wire.Vector(c, &w.coins, func(c *wire.Codec, x *coin) {
		x.token.Wire(c)
		wire.Uint64(c, &x.until)
		if x.until > mimi.LastSecond {
			c.Fail(errors.New("stored upload token: time"))
		}
	})
}

// Add puts tokens in, which are of that key.
func (w *Wallet) Add(key IssuerKey, tokens []UploadToken) {
	for _, t := range tokens {
		w.coins = append(w.coins, coin{t, uint64(key.Redeems.Unix())})
	}
}

// Len returns how many tokens can be spent at a time, after dropping those that
// cannot any more.
func (w *Wallet) Len(now time.Time) int {
	w.coins = slices.DeleteFunc(w.coins, func(x coin) bool { return now.Unix() >= int64(x.until) })
	return len(w.coins)
}

// Take takes n tokens out; ok is false, and nothing is taken, if there are fewer.
func (w *Wallet) Take(n int, now time.Time) (tokens []UploadToken, ok bool) {
	if w.Len(now) < n {
		return nil, false
	}
	for _, x := range w.coins[:n] {
		tokens = append(tokens, x.token)
	}
	w.coins = slices.Delete(w.coins, 0, n)
	return tokens, true
}
