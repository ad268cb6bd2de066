package hub

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Domain is that of the provider whose hub this is, and of its rooms.
func (h *Hub) Domain() string { return h.cfg.Domain }

// Create makes a room of a user of this provider. It fails with [ErrRoomExists], or
// a *[protocol.NotAllowedError] if the room is not one as it begins
// (docs/mmr-profile.md, sections 6 and 10).
func (h *Hub) Create(ctx context.Context, c *mmr.Creation) error {
	return h.CreateFor(ctx, h.cfg.Domain, c)
}

// CreateFor is [Hub.Create] for a user of another provider, for which the caller
// vouches. No endpoint leads here: whose rooms a hub hosts is an agreement.
func (h *Hub) CreateFor(ctx context.Context, creator string, c *mmr.Creation) error {
	if c.GroupInfo == nil || c.Tree == nil {
		return fmt.Errorf("%w: a room needs a GroupInfo and a tree", protocol.ErrMalformed)
	}
	if plain, err := mmr.IsPlain(&c.GroupInfo.GroupContext); err != nil || !plain && c.Table == nil {
		return fmt.Errorf("%w: a minimal-metadata room needs a table", protocol.ErrMalformed)
	}
	uri, err := identity.RoomOf(c.GroupInfo.GroupContext.GroupID)
	if err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	if uri.Domain != h.cfg.Domain || !uri.HasRandomID() {
		return &protocol.NotAllowedError{Reason: "not a room of this hub"}
	}
	r := &hosted{uri: uri}
	if err := h.attach(r, func(cfg mls.Config) (*mls.PublicGroup, error) {
		return mls.NewPublicGroup(ctx, cfg, c.GroupInfo, c.Tree)
	}); err != nil {
		return refuseRoom(err)
	}
	if err := h.checkNew(r, creator, c); err != nil {
		return refuseRoom(err)
	}
	if err := r.putRoom(nil, r.room()); err != nil {
		return err
	}
	if err := h.cfg.Store.Create(ctx, uri, append(r.group.Dirty(), r.rows...)); err != nil {
		return fmt.Errorf("hub: create a room: %w", err)
	}
	return nil
}

// refuseRoom is refuse for a new room, which has no proposals that could be invalid.
func refuseRoom(err error) error {
	refused := refuse(err)
	if e, ok := errors.AsType[*protocol.InvalidProposalError](refused); ok {
		return mimi.RefusedAs(err, &protocol.NotAllowedError{Reason: e.Reason})
	}
	return refused
}

func (h *Hub) checkNew(r *hosted, creator string, c *mmr.Creation) error {
	opened, err := mmr.Open(r.suite, r.group.View(), 0, c.Table)
	if err != nil {
		return err
	}
	if err := opened.CheckNew(creator); err != nil {
		return err
	}
	senders, err := r.group.View().Context().Extensions.ExternalSenders()
	if err != nil {
		return err
	}
	self, err := h.ExternalSender(r.suite.ID())
	if err != nil {
		return err
	}
	if len(senders) != 1 || string(senders[0].SignatureKey) != string(self.SignatureKey) || !senders[0].Credential.Equal(&self.Credential) {
		return fmt.Errorf("%w: the external sender is not this hub", mmr.ErrGroup)
	}
	r.rules.Set(opened)
	return r.checkGroupInfo(c.GroupInfo, opened)
}

// checkGroupInfo checks what a public GroupInfo says of the identity links
// (docs/mmr-profile.md, section 3, "Two GroupInfos"), and that it lets others join.
func (r *hosted) checkGroupInfo(gi *mls.GroupInfo, room *mmr.Room) error {
	if room.Plain() {
		if err := identity.CheckNoProfile(gi.Extensions); err != nil {
			return err
		}
		return r.checkJoinable(gi)
	}
	state, err := identity.LinkStateFrom(gi.Extensions)
	if err != nil {
		return err
	}
	if state.NewestGeneration != room.Newest() {
		return mimi.Refuse("group-info-generation", fmt.Errorf("%w: newest generation %d, want %d", identity.ErrLinkState, state.NewestGeneration, room.Newest()))
	}
	if err := r.checkJoinable(gi); err != nil {
		return err
	}
	return state.CheckTable(r.suite, room.Table())
}

// checkJoinable checks that a GroupInfo lets others join, and has no tree in it.
func (r *hosted) checkJoinable(gi *mls.GroupInfo) error {
	if pub, err := gi.Extensions.ExternalPub(); err != nil {
		return err
	} else if r.suite.CheckHPKEKey(pub) != nil {
		return mimi.Refuse("group-info-external-pub", mls.ErrExternalPub)
	}
	if tree, err := gi.Extensions.RatchetTree(); err != nil || tree != nil {
		return mimi.Refuse("group-info-tree", fmt.Errorf("%w: it has the ratchet_tree in it", mls.ErrGroupInfo))
	}
	return nil
}
