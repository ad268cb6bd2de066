package keymaterial

import (
	"errors"
	"fmt"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Sizes of the VOPRF of upload tokens: ristretto255-SHA512 in verifiable mode
// (RFC 9497, section 4.1).
const (
	tokenNonceSize    = 32
	tokenOutputSize   = 64
	tokenElementSize  = 32
	tokenProofSize    = 64
	uploadTokenPrefix = "MGP1 UploadToken"

	// MaxTokenBatch is the most tokens that are issued at once.
	MaxTokenBatch = 64
)

var tokenSuite = oprf.SuiteRistretto255

// The ways in which tokens are refused.
var (
	// ErrQuota reports that an account was given all the tokens of a day.
	ErrQuota = errors.New("keymaterial: quota of uploads for this day is used up")
	// ErrUploadToken reports a token that this provider did not issue, or not
	// lately.
	ErrUploadToken = errors.New("keymaterial: no valid upload token")
	// ErrTokenSpent reports a token that was spent before.
	ErrTokenSpent = errors.New("keymaterial: upload token was spent before")
	// ErrTokenRequest reports a request for tokens, or an answer to one, that is
	// malformed.
	ErrTokenRequest = errors.New("keymaterial: malformed request for upload tokens, or answer")
)

// An UploadToken pays for the storage of one KeyPackage. The provider gives each
// account so many of them a day, and cannot tell later which account a token was
// given to: it has issued it without seeing it.
//
//	struct {
//	    uint8 key_id;
//	    opaque nonce[32];
//	    opaque output[64];      /* VOPRF of "MGP1 UploadToken" || key_id || nonce */
//	} UploadToken;
type UploadToken struct {
	// KeyID is that of the issuer's key.
	KeyID  uint8
	Nonce  []byte
	Output []byte
}

// Wire implements [wire.Message].
func (t *UploadToken) Wire(c *wire.Codec) {
	wire.Uint8(c, &t.KeyID)
	wire.Fixed(c, &t.Nonce, tokenNonceSize)
	wire.Fixed(c, &t.Output, tokenOutputSize)
}

// Format shows nothing: whoever has a token can spend it.
func (t UploadToken) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted upload token]")) }

// tokenInput is what the VOPRF is computed of.
func tokenInput(keyID uint8, nonce []byte) []byte {
	return append(append([]byte(uploadTokenPrefix), keyID), nonce...)
}

// An UploadTokenRequest asks for tokens.
//
//	struct {
//	    uint8 key_id;
//	    opaque blinded_elements<V>;     /* 32 octets each, 1 to 64 of them */
//	} UploadTokenRequest;
type UploadTokenRequest struct {
	KeyID   uint8
	Blinded []group.Element
}

// Wire implements [wire.Message]. It fails with [ErrTokenRequest].
func (r *UploadTokenRequest) Wire(c *wire.Codec) {
	wire.Uint8(c, &r.KeyID)
	wireElements(c, &r.Blinded)
}

// An UploadTokenResponse answers an [UploadTokenRequest], with a proof that the key
// is the one that everybody is given: another one would mark the tokens.
//
//	struct {
//	    uint8 key_id;
//	    opaque evaluated_elements<V>;   /* as many as were asked for */
//	    opaque proof[64];               /* DLEQ, RFC 9497, section 2.2 */
//	} UploadTokenResponse;
type UploadTokenResponse struct {
	KeyID     uint8
	Evaluated []group.Element
	Proof     *dleq.Proof
}

// Wire implements [wire.Message]. It fails with [ErrTokenRequest].
func (r *UploadTokenResponse) Wire(c *wire.Codec) {
	wire.Uint8(c, &r.KeyID)
	wireElements(c, &r.Evaluated)
	var proof []byte
	if !c.Decoding() {
		if r.Proof == nil {
			c.Fail(fmt.Errorf("%w: no proof", ErrTokenRequest))
			return
		}
		var err error
		if proof, err = r.Proof.MarshalBinary(); err != nil {
			c.Fail(err)
		}
	}
	wire.Fixed(c, &proof, tokenProofSize)
	if c.Decoding() && len(proof) == tokenProofSize {
		r.Proof = &dleq.Proof{}
		if err := r.Proof.UnmarshalBinary(tokenSuite.Group(), proof); err != nil {
			c.Fail(fmt.Errorf("%w: %w", ErrTokenRequest, err))
			return
		}
		if again, err := r.Proof.MarshalBinary(); err != nil || string(again) != string(proof) {
			c.Fail(fmt.Errorf("%w: a proof has one encoding", ErrTokenRequest))
		}
	}
}

// wireElements codes elements of the group, one behind the other. The identity is
// none that anybody sends.
func wireElements(c *wire.Codec, elements *[]group.Element) {
	var b []byte
	for _, e := range *elements {
		one, err := e.MarshalBinaryCompress()
		if err != nil {
			c.Fail(err)
		}
		b = append(b, one...)
	}
	wire.Opaque(c, &b)
	if n := len(b) / tokenElementSize; len(b)%tokenElementSize != 0 || n == 0 || n > MaxTokenBatch {
		c.Fail(fmt.Errorf("%w: %d octets of elements", ErrTokenRequest, len(b)))
		return
	}
	if !c.Decoding() {
		return
	}
	*elements = nil
	for ; len(b) > 0; b = b[tokenElementSize:] {
		e := tokenSuite.Group().NewElement()
		if err := e.UnmarshalBinary(b[:tokenElementSize]); err != nil || e.IsIdentity() {
			c.Fail(fmt.Errorf("%w: no element of the group", ErrTokenRequest))
			return
		}
		*elements = append(*elements, e)
	}
}
