package keymaterial

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cloudflare/circl/oprf"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	// issuerPeriod is how long a key issues tokens, and issuerGrace how long after
	// that they can be spent.
	issuerPeriod = 30 * 24 * time.Hour
	issuerGrace  = 30 * 24 * time.Hour
	// issuerOverlap is how long before the end of a key the next one is made. That is
	// looked for once a day, and may come late.
	issuerOverlap = 3 * 24 * time.Hour
)

// An IssuerKeyRing holds the keys of a provider that issue upload tokens: the
// newest, and older ones whose tokens can still be spent. It is a value; operations
// return a new one. The zero value is empty.
type IssuerKeyRing struct{ keys []issuerKey }

type issuerKey struct {
	id      uint8
	private *oprf.PrivateKey
	// issues and redeems are the ends of what it is for; seconds since 1970.
	issues, redeems uint64
}

// Wire codes the ring for storing it sealed; this is no wire format of the
// profile.
func (r *IssuerKeyRing) Wire(c *wire.Codec) {
	wire.Vector(c, &r.keys, func(c *wire.Codec, k *issuerKey) {
		var private []byte
		if k.private != nil {
			private, _ = k.private.MarshalBinary() // a scalar has an encoding
		}
		wire.Uint8(c, &k.id)
		wire.Opaque(c, &private)
		wire.Uint64(c, &k.issues)
		wire.Uint64(c, &k.redeems)
		if k.issues > mimi.LastSecond || k.redeems > mimi.LastSecond {
			c.Fail(errors.New("stored issuer key: times"))
		}
		if !c.Decoding() {
			return
		}
		k.private = &oprf.PrivateKey{}
		if err := k.private.UnmarshalBinary(tokenSuite, private); err != nil {
			c.Fail(fmt.Errorf("stored issuer key: %w", err))
			return
		}
		if again, err := k.private.MarshalBinary(); err != nil || string(again) != string(private) {
			c.Fail(errors.New("stored issuer key: not its own encoding"))
		}
	})
}

// Format shows no key, whatever the verb.
func (r IssuerKeyRing) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[redacted: %d issuer keys]", len(r.keys))
}

// Due reports whether the ring needs a new key.
func (r IssuerKeyRing) Due(now time.Time) bool {
	key, ok := r.Newest()
	return !ok || key.Issues.Sub(now) <= issuerOverlap
}

// Rotate returns a ring with a fresh newest key, which issues for 30 days, and
// whose tokens can be spent for 30 more. Keys whose tokens cannot be spent any more
// are dropped. It fails if all 256 key ids are taken.
func (r IssuerKeyRing) Rotate(now time.Time, random io.Reader) (IssuerKeyRing, error) {
	var out IssuerKeyRing
	taken := map[uint8]bool{}
	id := uint8(0)
	for _, k := range r.keys {
		id = k.id
		if now.Unix() <= int64(k.redeems) {
			out.keys, taken[k.id] = append(out.keys, k), true
		}
	}
	for i := 0; taken[id+1]; i++ {
		if id++; i > len(taken) {
			return IssuerKeyRing{}, errors.New("all key ids of the issuer are in use")
		}
	}
	private, err := oprf.GenerateKey(tokenSuite, random)
	if err != nil {
		return IssuerKeyRing{}, fmt.Errorf("issuer key: %w", err)
	}
	issues := now.Add(issuerPeriod)
	out.keys = append(out.keys, issuerKey{id + 1, private, uint64(issues.Unix()), uint64(issues.Add(issuerGrace).Unix())})
	return out, nil
}

// An IssuerKey is the public part of a key that issues tokens. It is the same for
// every account.
type IssuerKey struct {
	ID     uint8
	Public *oprf.PublicKey
	// Issues and Redeems are when the key does so for the last time.
	Issues, Redeems time.Time
}

// Newest returns the public part of the newest key; ok is false if the ring is
// empty.
func (r IssuerKeyRing) Newest() (key IssuerKey, ok bool) {
	if len(r.keys) == 0 {
		return IssuerKey{}, false
	}
	k := r.keys[len(r.keys)-1]
	// Not k.private.Public: it writes to the key, which others read.
	public := oprf.NewVerifiableServer(tokenSuite, copyKey(k.private)).PublicKey()
	return IssuerKey{k.id, public, time.Unix(int64(k.issues), 0).UTC(), time.Unix(int64(k.redeems), 0).UTC()}, true
}

// copyKey copies a key, which package oprf changes when it is used.
func copyKey(k *oprf.PrivateKey) *oprf.PrivateKey {
	out := &oprf.PrivateKey{}
	b, err := k.MarshalBinary()
	if err == nil {
		err = out.UnmarshalBinary(tokenSuite, b)
	}
	if err != nil {
		panic("keymaterial: internal error: an issuer key that cannot be copied")
	}
	return out
}

// server returns what computes with a key that may do so at now.
func (r IssuerKeyRing) server(id uint8, now time.Time, issuing bool) (s oprf.VerifiableServer, until time.Time, err error) {
	for _, k := range r.keys {
		end := k.redeems
		if issuing {
			end = k.issues
		}
		if k.id == id && now.Unix() <= int64(end) {
			return oprf.NewVerifiableServer(tokenSuite, copyKey(k.private)), time.Unix(int64(k.redeems), 0).UTC(), nil
		}
	}
	return s, until, fmt.Errorf("%w: issuer key %d is unknown or over", ErrUploadToken, id)
}

// Allowances keeps how many upload tokens each account was given, and, for the
// clients here, those that are not spent. Fields named Secret are sealed at rest.
// The rules of [Store] apply.
type Allowances interface {
	// CountIssued adds n to the number of tokens that an account was given on a
	// day, counted from 1970, if that makes no more than limit. Otherwise it fails
	// with [ErrQuota].
	CountIssued(ctx context.Context, account mimi.URI, day int64, n, limit int) error
	// PutWallet replaces the unspent tokens of an account; see [Wallet].
	PutWallet(ctx context.Context, account mimi.URI, secret []byte) error
	// Wallet returns what PutWallet was given last, or nil.
	Wallet(ctx context.Context, account mimi.URI) ([]byte, error)
	// DeleteAllowance forgets an account.
	DeleteAllowance(ctx context.Context, account mimi.URI) error
}

// IssuerConfig is what an [Issuer] needs.
type IssuerConfig struct {
	Keys       func(ctx context.Context) (IssuerKeyRing, error)
	Allowances Allowances
	// Spent remembers the hashes of tokens. It takes part in the transactions in
	// which they are redeemed.
	Spent Nonces
	// Limit is how many tokens an account is given on one UTC day.
	Limit int
	Clock mimi.Clock
}

// An Issuer gives accounts the tokens that uploads are paid with, and takes them
// back without knowing whose they were (RFC 9497, in the way of RFC 9578, section
// 5). It may be used concurrently.
type Issuer struct{ cfg IssuerConfig }

// NewIssuer returns an issuer.
func NewIssuer(cfg IssuerConfig) *Issuer { return &Issuer{cfg} }

// Issue gives an account tokens. It fails with [ErrQuota], and with
// [ErrUploadToken] if the key is none that issues.
func (i *Issuer) Issue(ctx context.Context, account mimi.URI, req *UploadTokenRequest) (*UploadTokenResponse, error) {
	ring, err := i.cfg.Keys(ctx)
	if err != nil {
		return nil, err
	}
	now := i.cfg.Clock.Now()
	server, _, err := ring.server(req.KeyID, now, true)
	if err != nil {
		return nil, err
	}
	if n := len(req.Blinded); n == 0 || n > MaxTokenBatch {
		return nil, fmt.Errorf("%w: %d tokens", ErrTokenRequest, n)
	}
	if err := i.cfg.Allowances.CountIssued(ctx, account, dayOf(now), len(req.Blinded), i.cfg.Limit); err != nil {
		return nil, err
	}
	evaluation, err := server.Evaluate(&oprf.EvaluationRequest{Elements: req.Blinded})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTokenRequest, err)
	}
	return &UploadTokenResponse{req.KeyID, evaluation.Elements, evaluation.Proof}, nil
}

// dayOf counts UTC days from 1970.
func dayOf(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// Redeem implements [Redeemer].
func (i *Issuer) Redeem(ctx context.Context, tokens []UploadToken) error {
	ring, err := i.cfg.Keys(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		server, until, err := ring.server(t.KeyID, i.cfg.Clock.Now(), false)
		if err != nil {
			return err
		}
		input := tokenInput(t.KeyID, t.Nonce)
		if !server.VerifyFinalize(input, t.Output) {
			return ErrUploadToken
		}
		// Remembered for as long as the key takes tokens back. The nonces of fetches
		// are hashed without a prefix, and are shorter.
		fresh, err := i.cfg.Spent.RememberNonce(ctx, sha256.Sum256(input), until.Add(time.Second))
		if err != nil {
			return err
		}
		if !fresh {
			return ErrTokenSpent
		}
	}
	return nil
}
