package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A joinCode is what remains of a registration: the hub never knows the code.
//
//	struct {
//	    opaque bundle<V>;
//	    uint64 not_after;   /* seconds */
//	    uint32 uses;        /* left */
//	    uint32 joiners;     /* credentials that were shown the GroupInfo and have not joined */
//	} joinCode;
type joinCode struct {
	bundle   []byte
	notAfter uint64
	uses     uint32
	joiners  uint32
}

// Wire implements [wire.Message].
func (j *joinCode) Wire(c *wire.Codec) {
	wire.Opaque(c, &j.bundle)
	wire.Uint64(c, &j.notAfter)
	wire.Uint32(c, &j.uses)
	wire.Uint32(c, &j.joiners)
}

func (j *joinCode) valid(now time.Time) bool {
	return j.uses > 0 && now.Unix() >= 0 && uint64(now.Unix()) <= j.notAfter
}

// putCode notes a changed code; nil deletes it.
func (r *hosted) putCode(hash string, code *joinCode) error {
	if code == nil {
		r.put(rowCode+hash, nil)
		delete(r.codes, hash)
		for joiner, of := range r.joiners {
			if of == hash {
				delete(r.joiners, joiner)
				r.put(rowJoiner+joiner, nil)
			}
		}
		return nil
	}
	value, err := wire.Marshal(code)
	if err != nil {
		return err
	}
	r.put(rowCode+hash, value)
	r.codes[hash] = code
	return nil
}

// joinerName identifies a credential, link and all: the leaf that is sent later
// must have the very same one (docs/mmr-profile.md, section 10).
func joinerName(credential mls.Credential) string {
	b, err := wire.Marshal(&credential)
	if err != nil {
		return ""
	}
	h := sha256.Sum256(b)
	return rowName(h[:])
}

// mayJoin reports whether a credential was shown the GroupInfo for a code that is
// still valid.
func (r *hosted) mayJoin(credential mls.Credential, now time.Time) bool {
	hash, ok := r.joiners[joinerName(credential)]
	code := r.codes[hash]
	return ok && code != nil && code.valid(now)
}

// useCode takes one use from the code with which a joiner has entered.
func (r *hosted) useCode(credential mls.Credential) error {
	name := joinerName(credential)
	hash, ok := r.joiners[name]
	if !ok {
		return nil
	}
	r.put(rowJoiner+name, nil)
	delete(r.joiners, name)
	code, ok := r.codes[hash]
	if !ok {
		return nil
	}
	if code.uses <= 1 {
		return r.putCode(hash, nil)
	}
	used := *code
	used.uses--
	used.joiners--
	return r.putCode(hash, &used)
}

// JoinCode makes a joining code valid (docs/mmr-profile.md, section 10). The
// registration is signed by the leaf of a participant who may add others, or of
// the creator of a connection room, and so is what withdraws a code. A repeated
// registration has no effect, above all not that of making a used code valid again.
func (h *Hub) JoinCode(ctx context.Context, from string, req *protocol.JoinCodeRegistration) error {
	return h.answered(ctx, req.Room, requestHash("joinCode", from, req), nil, func(r *hosted, change *Change) error {
		if err := r.checkRegistrant(from, req); err != nil {
			return err
		}
		hash := rowName(req.CodeHash)
		if req.Withdraws() {
			if _, known := r.codes[hash]; !known {
				return nil
			}
			return r.putCode(hash, nil)
		}
		if err := r.checkCode(req, change.At); err != nil {
			return err
		}
		if err := r.forgetCodes(change.At); err != nil {
			return err
		}
		if _, taken := r.codes[hash]; taken {
			return mimi.Refuse("join-code-taken", &protocol.NotAllowedError{Reason: "the joining code is registered already"})
		}
		if len(r.codes) >= h.cfg.Limits.JoinCodes {
			return mimi.Refuse("join-code-count", &protocol.NotAllowedError{Reason: "too many joining codes"})
		}
		return r.putCode(hash, &joinCode{bundle: req.Bundle, notAfter: uint64(req.NotAfter.Unix()), uses: req.Uses})
	})
}

// connectionCodeLife is how long the joining code of a connection room lives at
// most (docs/mmr-profile.md, section 4), with a day for different clocks.
const connectionCodeLife = 31 * 24 * time.Hour

// checkCode checks what is registered.
func (r *hosted) checkCode(req *protocol.JoinCodeRegistration, now time.Time) error {
	switch connection := r.room().Policy().ConnectionRoom; {
	case req.NotAfter.Before(now) || req.NotAfter.Unix() < 0:
		return mimi.Refuse("join-code-expired", &protocol.NotAllowedError{Reason: "the joining code has expired"})
	case req.Uses == 0 || connection && req.Uses != 1:
		return mimi.Refuse("join-code-uses", &protocol.NotAllowedError{Reason: "the joining code of a connection room has a single use, and no code has none"})
	case connection && req.NotAfter.After(now.Add(connectionCodeLife)):
		return mimi.Refuse("join-code-life", &protocol.NotAllowedError{Reason: "the joining code of a connection room lives 30 days"})
	}
	return nil
}

// checkRegistrant finds the leaf that signed, among those of the peer's users who
// may let others in.
func (r *hosted) checkRegistrant(from string, req *protocol.JoinCodeRegistration) error {
	departing, err := r.departing()
	if err != nil {
		return err
	}
	state := r.room().State()
	signed := false
	for _, leaf := range r.room().Leaves() {
		tbs, _ := r.room().Leaf(leaf)
		may := state.Holds(tbs.UserPseudonym, room.CanAddParticipant) ||
			r.room().Policy().ConnectionRoom && state.Role(tbs.UserPseudonym) == room.RoleAdmin
		if tbs.Domain() != from || !may || departing[tbs.UserPseudonym] {
			continue
		}
		err := req.Verify(r.suite, tbs.SignaturePublicKey)
		if signed = err == nil; signed {
			break
		} else if !errors.Is(err, suite.ErrSignature) {
			return err
		}
	}
	if !signed {
		return mimi.Refuse("join-code-member", &protocol.NotAllowedError{Reason: "not signed by a member who may add others"})
	}
	return nil
}

// forgetCodes drops codes that are not valid any more.
func (r *hosted) forgetCodes(now time.Time) error {
	for hash, code := range r.codes {
		if !code.valid(now) {
			if err := r.putCode(hash, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
