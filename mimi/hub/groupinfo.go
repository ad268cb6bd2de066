package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// GroupInfo answers a current leaf, or whoever has a joining code
// (draft-ietf-mimi-protocol-06, section 5.6; docs/mmr-profile.md, section 10).
func (h *Hub) GroupInfo(ctx context.Context, from string, uri mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	if err := checkRequester(from, req); err != nil {
		return nil, err
	}
	var response *protocol.GroupInfoResponse
	err := h.withRoom(ctx, uri, func(r *hosted) error {
		if req.CipherSuite != r.suite.ID() {
			return mimi.Refuse("group-info-suite", &protocol.NotAllowedError{Reason: "the room has another cipher suite"})
		}
		bundle, err := h.admit(ctx, r, req)
		if err != nil {
			return err
		}
		response, err = h.groupInfo(r, req, bundle)
		return err
	})
	return response, err
}

// checkRequester checks a request for itself: its credential is one of the peer's,
// and signed for by its key.
func checkRequester(from string, req *protocol.GroupInfoRequest) error {
	s, err := suite.Lookup(req.CipherSuite)
	if err != nil {
		return &protocol.NotAllowedError{Reason: "unknown cipher suite"}
	}
	cred, err := mmr.ParseRequester(s, req.Credential, req.SignatureKey)
	if errors.Is(err, identity.ErrCredentialType) {
		return &protocol.NotAllowedError{Reason: err.Error()}
	} else if err != nil {
		return fmt.Errorf("%w: credential: %w", protocol.ErrMalformed, err)
	}
	if err := s.CheckHPKEKey(req.GroupInfoPublicKey); err != nil {
		return fmt.Errorf("%w: groupInfoPublicKey: %w", protocol.ErrMalformed, err)
	}
	if cred.Domain() != from {
		return mimi.Refuse("group-info-domain", &protocol.NotAllowedError{Reason: "the pseudonym is of another provider"})
	}
	if err := req.Verify(); err != nil {
		return mimi.Refuse("group-info-signature", &protocol.NotAllowedError{Reason: "the signature does not verify"})
	}
	return nil
}

// admit decides who is shown a GroupInfo, and returns the bundle of the code that
// was used, if any.
func (h *Hub) admit(ctx context.Context, r *hosted, req *protocol.GroupInfoRequest) ([]byte, error) {
	now := h.cfg.Clock.Now()
	hash := rowName(protocol.HashJoiningCode(req.JoiningCode.Bytes()))
	code, ok := r.codes[hash]
	valid := ok && code.valid(now)
	if _, member := r.leafWith(req.Credential); member {
		if !valid {
			return nil, nil
		}
		return code.bundle, nil // it needs the keys alone; no use is counted for that
	}
	if plain := req.Credential.Type == mls.CredentialX509; plain != r.room().Plain() {
		return nil, &protocol.NotAllowedError{Reason: "a credential of the other kind of rooms"}
	} else if plain && req.JoiningCode.IsZero() {
		return nil, r.admitClient(req)
	}
	denied := &protocol.NotAllowedError{Reason: "not a member, and no valid joining code"}
	if req.JoiningCode.IsZero() {
		return nil, mimi.Refuse("group-info-member", denied)
	}
	if !valid {
		return nil, mimi.Refuse("group-info-code", denied)
	}
	name := joinerName(req.Credential)
	if r.joiners[name] == hash {
		return code.bundle, nil
	} else if r.mayJoin(req.Credential, now) {
		return nil, mimi.Refuse("group-info-one-code", denied) // one joiner, one code
	}
	if uint64(code.joiners) >= uint64(code.uses)*uint64(h.cfg.Limits.Joiners) {
		return nil, mimi.Refuse("group-info-joiners", denied)
	}
	if len(r.joiners) >= h.cfg.Limits.AllJoiners {
		return nil, denied
	}
	seen := *code
	seen.joiners++
	if err := r.putCode(hash, &seen); err != nil {
		return nil, err
	}
	r.put(rowJoiner+name, []byte(hash))
	r.joiners[name] = hash
	// Every answer is sealed anew, so that none is kept for a repeat.
	return code.bundle, h.store(ctx, r, &Change{At: now})
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
