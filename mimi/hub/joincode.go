package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
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
//	    uint32 joiners;     /* credentials shown the GroupInfo */
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
		delete(r.codes, hash)
		r.put(rowCode+hash, nil)
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
	r.codes[hash] = code
	r.put(rowCode+hash, value)
	return nil
}

// joinerName identifies a credential, link and all: the leaf that is sent later
// must have the very same one (docs/mmr-profile.md, section 10). The signature key
// is fresh for each credential, so that its pseudonyms and key are enough.
func joinerName(tbs *identity.PseudonymousCredentialTBS) string {
	b, err := wire.Marshal(tbs)
	if err != nil {
		return ""
	}
	h := sha256.Sum256(b)
	return rowName(h[:])
}

// joinerCode returns the code_hash of the code that a joiner has shown.
func (r *hosted) joinerCode(tbs *identity.PseudonymousCredentialTBS) (hash string, ok bool) {
	hash, ok = r.joiners[joinerName(tbs)]
	return hash, ok
}

// useCode takes one use from the code with which a joiner has entered.
func (r *hosted) useCode(tbs *identity.PseudonymousCredentialTBS) error {
	hash, ok := r.joinerCode(tbs)
	if !ok {
		return nil
	}
	name := joinerName(tbs)
	delete(r.joiners, name)
	r.put(rowJoiner+name, nil)
	code, ok := r.codes[hash]
	if !ok {
		return nil
	}
	if code.uses <= 1 {
		return r.putCode(hash, nil)
	}
	used := *code
	used.uses--
	return r.putCode(hash, &used)
}

// JoinCode makes a joining code valid (docs/mmr-profile.md, section 10). The
// registration is signed by the leaf of a participant who may add others, or of
// the creator of a connection room.
func (h *Hub) JoinCode(ctx context.Context, from string, req *protocol.JoinCodeRegistration) error {
	return h.withRoom(ctx, req.Room, func(r *hosted) error {
		now := h.cfg.Clock.Now()
		hash := rowName(req.CodeHash)
		if known, ok := r.codes[hash]; ok && bytes.Equal(known.bundle, req.Bundle) {
			return nil // a repeat
		}
		if err := r.checkRegistrant(from, req); err != nil {
			return err
		}
		if err := r.forgetCodes(now); err != nil {
			return err
		}
		if len(r.codes) >= h.cfg.Limits.JoinCodes {
			return &protocol.NotAllowedError{Reason: "too many joining codes"}
		}
		code := &joinCode{bundle: req.Bundle, notAfter: uint64(max(req.NotAfter.Unix(), 0)), uses: req.Uses}
		if err := r.putCode(hash, code); err != nil {
			return err
		}
		return h.store(ctx, r, &Change{Request: requestHash("joinCode", from, req), At: now})
	})
}

// checkRegistrant finds the leaf that signed, among those of the peer's users who
// may let others in.
func (r *hosted) checkRegistrant(from string, req *protocol.JoinCodeRegistration) error {
	state := r.room().State()
	for _, leaf := range r.room().Leaves() {
		tbs, _ := r.room().Leaf(leaf)
		may := state.Holds(tbs.UserPseudonym, room.CanAddParticipant) ||
			r.room().Policy().ConnectionRoom && state.Role(tbs.UserPseudonym) == room.RoleAdmin
		if tbs.Domain() != from || !may {
			continue
		}
		err := req.Verify(r.suite, tbs.SignaturePublicKey)
		if err == nil || !errors.Is(err, suite.ErrSignature) {
			return err
		}
	}
	return &protocol.NotAllowedError{Reason: "not signed by a member who may add others"}
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

// GroupInfo answers a current leaf, or whoever has a joining code
// (draft-ietf-mimi-protocol-06, section 5.6; docs/mmr-profile.md, section 10).
func (h *Hub) GroupInfo(ctx context.Context, from string, uri mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	cred, err := readRequester(from, req)
	if err != nil {
		return nil, err
	}
	var response *protocol.GroupInfoResponse
	err = h.withRoom(ctx, uri, func(r *hosted) error {
		if req.CipherSuite != r.suite.ID() {
			return &protocol.NotAllowedError{Reason: "the room has another cipher suite"}
		}
		bundle, err := h.admit(ctx, from, r, cred, req)
		if err != nil {
			return err
		}
		response, err = h.groupInfo(r, req, bundle)
		return err
	})
	return response, err
}

// readRequester checks a request for itself: its credential is one of the peer's,
// and signed for by its key.
func readRequester(from string, req *protocol.GroupInfoRequest) (*identity.PseudonymousCredential, error) {
	s, err := suite.Lookup(req.CipherSuite)
	if err != nil {
		return nil, &protocol.NotAllowedError{Reason: "unknown cipher suite"}
	}
	cred, err := identity.ParseCredential(s, req.Credential, req.SignatureKey)
	if err != nil {
		return nil, fmt.Errorf("%w: credential: %w", protocol.ErrMalformed, err)
	}
	if cred.Domain() != from {
		return nil, &protocol.NotAllowedError{Reason: "the pseudonym is of another provider"}
	}
	if err := req.Verify(); err != nil {
		return nil, &protocol.NotAllowedError{Reason: "the signature does not verify"}
	}
	return cred, nil
}

// admit decides who is shown a GroupInfo, and returns the bundle of the code that
// was used, if any.
func (h *Hub) admit(ctx context.Context, from string, r *hosted, cred *identity.PseudonymousCredential, req *protocol.GroupInfoRequest) ([]byte, error) {
	for m := range r.group.View().Members() {
		if m.Leaf.Credential.Equal(&req.Credential) {
			return nil, nil
		}
	}
	denied := &protocol.NotAllowedError{Reason: "not a member, and no valid joining code"}
	if req.JoiningCode.IsZero() {
		return nil, denied
	}
	now := h.cfg.Clock.Now()
	hash := rowName(protocol.HashJoiningCode(req.JoiningCode.Bytes()))
	code, ok := r.codes[hash]
	if !ok || !code.valid(now) {
		return nil, denied
	}
	name := joinerName(&cred.PseudonymousCredentialTBS)
	if _, known := r.joiners[name]; known {
		return code.bundle, nil
	}
	if uint64(code.joiners) >= uint64(code.uses)*uint64(h.cfg.Limits.Joiners) {
		return nil, denied
	}
	seen := *code
	seen.joiners++
	if err := r.putCode(hash, &seen); err != nil {
		return nil, err
	}
	r.joiners[name] = hash
	r.put(rowJoiner+name, []byte(hash))
	return code.bundle, h.store(ctx, r, &Change{Request: requestHash("groupInfo", from, req), At: now})
}

// groupInfo makes the answer.
func (h *Hub) groupInfo(r *hosted, req *protocol.GroupInfoRequest, bundle []byte) (*protocol.GroupInfoResponse, error) {
	key, err := h.cfg.Key(r.suite.ID())
	if err != nil {
		return nil, err
	}
	sender, err := h.ExternalSender(r.suite.ID())
	if err != nil {
		return nil, err
	}
	content := &protocol.GroupInfoRatchetTreeTBE{
		GroupInfo:   *r.group.GroupInfo(),
		RatchetTree: protocol.FullTree(*r.group.View().RatchetTree()),
		Table:       r.room().Table(),
		LinkBundle:  bundle,
	}
	for _, p := range r.group.PendingProposals() {
		content.PendingProposals = append(content.PendingProposals, protocol.PendingProposal{
			Proposal: mls.MLSMessage{PublicMessage: p.Message}, Accepted: r.pending[rowName(p.Ref)],
		})
	}
	return protocol.NewGroupInfoResponse(r.suite, sender, key, r.uri, req.GroupInfoPublicKey, content)
}

// RelayKeyMaterial passes a request for KeyPackages on, blind: the hub sees which
// member asks which provider, and neither who is asked for nor the answer
// (docs/mmr-profile.md, section 5).
func (h *Hub) RelayKeyMaterial(ctx context.Context, from string, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if req.RequestingUser.Domain != from {
		return nil, &protocol.NotAllowedError{Reason: "the pseudonym is of another provider"}
	}
	err := h.withRoom(ctx, req.Room, func(r *hosted) error {
		for m := range r.group.View().Members() {
			tbs, ok := r.room().Leaf(m.Index)
			if ok && tbs.UserPseudonym == req.RequestingUser && m.Leaf.Credential.Equal(&req.Requester.Credential) {
				if !r.room().State().Holds(tbs.UserPseudonym, room.CanAddParticipant) {
					return &protocol.NotAllowedError{Reason: "may not add participants"}
				}
				return req.Verify(r.suite)
			}
		}
		return &protocol.NotAllowedError{Reason: "not a member"}
	})
	if errors.Is(err, suite.ErrSignature) {
		return nil, &protocol.NotAllowedError{Reason: "the signature does not verify"}
	}
	if err != nil {
		return nil, err
	}
	return h.cfg.KeyMaterial.KeyMaterial(ctx, req)
}
