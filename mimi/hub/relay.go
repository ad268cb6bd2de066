package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// RelayKeyMaterial passes a request for KeyPackages on, blind: the hub sees which
// member asks which provider, and neither who is asked for nor the answer
// (docs/mmr-profile.md, section 5).
func (h *Hub) RelayKeyMaterial(ctx context.Context, from string, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if req.RequestingUser.Domain != from {
		return nil, mimi.Refuse("relay-domain", &protocol.NotAllowedError{Reason: "the pseudonym is of another provider"})
	}
	if err := h.withRoom(ctx, req.Room, func(r *hosted) error { return r.checkAdder(req) }); err != nil {
		return nil, err
	}
	return h.cfg.KeyMaterial.KeyMaterial(ctx, req)
}

// checkAdder fails unless a request for KeyPackages comes from a leaf whose user
// may add others now.
func (r *hosted) checkAdder(req *protocol.AnonymousKeyMaterialRequest) error {
	leaf, ok := r.leafWith(req.Requester.Credential)
	if !ok {
		return mimi.Refuse("relay-member", &protocol.NotAllowedError{Reason: "not a member"})
	}
	departing, err := r.departing()
	if err != nil {
		return err
	}
	switch tbs, _ := r.room().Leaf(leaf); {
	case tbs.UserPseudonym != req.RequestingUser:
		return mimi.Refuse("relay-user", &protocol.NotAllowedError{Reason: "the leaf is of another user"})
	case !bytes.Equal(tbs.SignaturePublicKey, req.Requester.SignatureKey):
		return mimi.Refuse("relay-key", &protocol.NotAllowedError{Reason: "the leaf has another signature key"})
	case !r.room().State().Holds(tbs.UserPseudonym, room.CanAddParticipant) || departing[tbs.UserPseudonym]:
		return mimi.Refuse("relay-permission", &protocol.NotAllowedError{Reason: "may not add participants"})
	case r.room().Policy().Requirement == identity.Forbidden:
		return mimi.Refuse("relay-forbidden", &protocol.NotAllowedError{Reason: identity.ErrAddForbidden.Error()})
	}
	err = req.Verify(r.suite)
	if errors.Is(err, suite.ErrSignature) {
		return mimi.Refuse("relay-signature", &protocol.NotAllowedError{Reason: "the signature does not verify"})
	} else if err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	return nil
}

// leafWith returns the leaf that has a credential.
func (r *hosted) leafWith(credential mls.Credential) (mls.LeafIndex, bool) {
	for m := range r.group.View().Members() {
		if m.Leaf.Credential.Equal(&credential) {
			return m.Index, true
		}
	}
	return 0, false
}
