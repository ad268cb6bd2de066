package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// RelayUserKeyMaterial passes a request for the KeyPackages of a user on, for a
// plain room (draft-ietf-mimi-protocol-06, section 5.2). The hub sees who asks for
// whom: in such a room that is no secret.
func (h *Hub) RelayUserKeyMaterial(ctx context.Context, from string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	if req.RequestingUser.Domain != from {
		return nil, mimi.Refuse("plain-relay-domain", &protocol.NotAllowedError{Reason: "the requesting user is of another provider"})
	}
	if err := h.withRoom(ctx, req.Room, func(r *hosted) error { return r.checkPlainAdder(req) }); err != nil {
		return nil, err
	}
	return h.cfg.KeyMaterial.UserKeyMaterial(ctx, req)
}

// checkPlainAdder fails unless a request for KeyPackages comes from a leaf of a
// plain room whose user may add others now.
func (r *hosted) checkPlainAdder(req *protocol.KeyMaterialRequest) error {
	if !r.room().Plain() {
		return mimi.Refuse("plain-relay-room", &protocol.NotAllowedError{Reason: "real addresses have no place in this room"})
	}
	leaf, ok := r.leafWith(req.Requester.Credential)
	if !ok {
		return mimi.Refuse("plain-relay-member", &protocol.NotAllowedError{Reason: "not a member"})
	}
	departing, err := r.departing()
	if err != nil {
		return err
	}
	switch tbs, _ := r.room().Leaf(leaf); {
	case tbs.UserPseudonym != req.RequestingUser:
		return mimi.Refuse("plain-relay-user", &protocol.NotAllowedError{Reason: "the leaf is of another user"})
	case !bytes.Equal(tbs.SignaturePublicKey, req.Requester.SignatureKey):
		return mimi.Refuse("plain-relay-key", &protocol.NotAllowedError{Reason: "the leaf has another signature key"})
	case !r.room().State().Holds(tbs.UserPseudonym, room.CanAddParticipant) || departing[tbs.UserPseudonym]:
		return mimi.Refuse("plain-relay-permission", &protocol.NotAllowedError{Reason: "may not add participants"})
	}
	err = req.Verify(r.suite)
	if errors.Is(err, suite.ErrSignature) {
		return mimi.Refuse("plain-relay-signature", &protocol.NotAllowedError{Reason: "the signature does not verify"})
	} else if err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	return nil
}

// admitClient shows a plain room to a client of a participant
// (draft-ietf-mimi-protocol-06, section 5.6, a and b). That the client is the
// user's, its provider vouches for, whose mutual TLS was checked.
func (r *hosted) admitClient(req *protocol.GroupInfoRequest) error {
	denied := &protocol.NotAllowedError{Reason: "not a participant, and no joining code"}
	tbs, err := mmr.ParseRequester(r.suite, req.Credential, req.SignatureKey)
	if err != nil {
		return mimi.Refuse("plain-group-info-credential", denied)
	}
	user := tbs.UserPseudonym
	departing, err := r.departing()
	if err != nil {
		return err
	}
	state := r.room().State()
	if _, listed := state.Find(user); !listed || state.Banned(user) || departing[user] {
		return mimi.Refuse("plain-group-info-participant", denied)
	}
	return nil
}
