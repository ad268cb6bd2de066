package protocol

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MaxLinkBundle is the longest bundle of a join link in octets: 1024 live wrapper
// keys (mmr-profile.md, section 3) of 41 octets, and room for nonce and tag.
const MaxLinkBundle = 64 << 10

const joinCodeLabel = "JoinCodeRegistration"

// A JoinCodeRegistration makes a joining code valid at the room's hub
// (mmr-profile.md, sections 3 and 10).
//
//	struct {
//	    opaque room_id<V>;
//	    opaque code_hash<V>;
//	    opaque bundle<V>;
//	    uint64 not_after;
//	    uint32 uses;
//	    opaque signature<V>;  /* SignWithLabel(leaf key, "JoinCodeRegistration", all before) */
//	} JoinCodeRegistration;
type JoinCodeRegistration struct {
	// Room that the code lets in to.
	Room mimi.URI
	// CodeHash is [HashJoiningCode] of the code, which the hub sees only when it is
	// used.
	CodeHash []byte
	// Bundle is handed out with the GroupInfo to whoever has the code: for join
	// links the live wrapper keys, sealed; empty for connection rooms.
	Bundle []byte
	// NotAfter is the end of validity in whole seconds; 1970 withdraws the code, see
	// [Withdrawal].
	NotAfter time.Time
	// Uses is how often the code may be used; at least 1.
	Uses uint32
	// Signature is by the registrant's leaf key.
	Signature []byte
}

// Withdrawal returns the registration, still without a room and unsigned, that ends
// the validity of a joining code (docs/mmr-profile.md, section 10). A hub that does
// not know it refuses it as a code that has expired.
func Withdrawal(codeHash []byte) *JoinCodeRegistration {
	return &JoinCodeRegistration{CodeHash: codeHash, NotAfter: time.Unix(0, 0).UTC(), Uses: 1}
}

// Withdraws reports whether the registration is a [Withdrawal].
func (r *JoinCodeRegistration) Withdraws() bool { return r.NotAfter.Unix() == 0 }

// HashJoiningCode returns the code_hash under which a hub knows a joining code.
func HashJoiningCode(code []byte) []byte {
	h := sha256.Sum256(code)
	return h[:]
}

func (r *JoinCodeRegistration) tbs(c *wire.Codec) {
	roomURI(c, &r.Room)
	exactly(c, &r.CodeHash, sha256.Size, "code_hash")
	wire.Opaque(c, &r.Bundle)
	if len(r.Bundle) > MaxLinkBundle {
		c.Fail(fmt.Errorf("%w: link bundle of %d octets", ErrMalformed, len(r.Bundle)))
	}
	seconds(c, &r.NotAfter)
	wire.Uint32(c, &r.Uses)
	if r.Uses == 0 {
		c.Fail(fmt.Errorf("%w: a joining code without uses", ErrMalformed))
	}
}

// Wire implements [wire.Message].
func (r *JoinCodeRegistration) Wire(c *wire.Codec) {
	r.tbs(c)
	wire.Opaque(c, &r.Signature)
}

// Sign sets the signature, by the registrant's leaf key.
func (r *JoinCodeRegistration) Sign(s *suite.Suite, key suite.SignatureKey) (err error) {
	r.Signature, err = sign(s, key, joinCodeLabel, r.tbs)
	return err
}

// Verify checks the signature with the public key of the leaf that is said to
// have registered the code; it fails with suite.ErrSignature.
func (r *JoinCodeRegistration) Verify(s *suite.Suite, leafKey []byte) error {
	return verify(s, leafKey, joinCodeLabel, r.tbs, r.Signature)
}

// sign signs the fields that tbs visits.
func sign(s *suite.Suite, key suite.SignatureKey, label string, tbs fields) ([]byte, error) {
	content, err := wire.Marshal(tbs)
	if err != nil {
		return nil, err
	}
	return s.SignWithLabel(key, label, content)
}

func verify(s *suite.Suite, public []byte, label string, tbs fields, signature []byte) error {
	content, err := wire.Marshal(tbs)
	if err != nil {
		return err
	}
	return s.VerifyWithLabel(public, label, content, signature)
}

// maxTime is the last time that a uint64 of milliseconds or seconds may name: the
// end of the year 9999. Later ones would overflow somewhere.
var maxTime = time.Unix(mimi.LastSecond, 0)

// seconds codes a time as a uint64 of seconds since the Unix epoch.
func seconds(c *wire.Codec, t *time.Time) {
	instant(c, t, t.Unix(), maxTime.Unix(), func(n int64) time.Time { return time.Unix(n, 0) })
}

// milliseconds codes a time as a uint64 of milliseconds since the Unix epoch.
func milliseconds(c *wire.Codec, t *time.Time) {
	instant(c, t, t.UnixMilli(), maxTime.UnixMilli(), time.UnixMilli)
}

func instant(c *wire.Codec, t *time.Time, value, limit int64, from func(int64) time.Time) {
	n := uint64(value)
	wire.Uint64(c, &n)
	if n > uint64(limit) {
		c.Fail(fmt.Errorf("%w: a time before 1970 or after 9999", ErrMalformed))
	}
	if c.Decoding() {
		*t = from(int64(n)).UTC()
	}
}
