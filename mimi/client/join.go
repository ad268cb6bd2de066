package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// joinConnection joins the connection room of a request, after the responder's
// checks of the room (docs/mmr-profile.md, section 4).
func (c *Client) joinConnection(ctx context.Context, account mimi.URI, request *connection.IncomingRequest) (*room, error) {
	me, err := c.newLeaf(ctx, account, mimi.URI{})
	if err != nil {
		return nil, err
	}
	ring, err := identity.NewKeyRing(request.WrapperKey())
	if err != nil {
		return nil, err
	}
	r := emptyRoom(&Room{URI: request.Room(), Kind: RoomConnection}, request.Suite())
	if err := r.setRing(ring); err != nil {
		return nil, err
	}
	info, err := c.groupInfo(ctx, r, me.params.SignatureKey, me.params.Credential, request.JoiningCode())
	if err != nil {
		return nil, err
	}
	before, view, err := c.inspect(ctx, r, info)
	if err != nil {
		c.count(err)
		return nil, err
	}
	opened := c.openInspected(ctx, r, view)
	policy := before.Policy()
	err = request.CheckRoom(before.GroupID(), before.Leaves(), opened, &policy)
	if err == nil {
		err = rules.ConnectionRoom().Check(before.State())
	}
	if err != nil {
		c.count(err)
		return nil, err
	}
	keys, err := connection.NewKeys(c.cfg.Random)
	if err != nil {
		return nil, err
	}
	response, err := request.Respond(me.identity.TBS(), keys)
	if err != nil {
		return nil, err
	}
	if err := r.allRows(before); err != nil {
		return nil, err
	}
	return r, c.enter(ctx, r, me, info, entrance{aad: mls.SafeAAD{response}}, func(ctx context.Context) error {
		return c.accepted(ctx, r, account, request, &keys)
	})
}

// groupInfo asks the hub for what an external Commit needs, and checks that it is
// this room's (draft-ietf-mimi-protocol-06, section 5.6).
func (c *Client) groupInfo(ctx context.Context, r *room, key suite.SignatureKey, credential mls.Credential, code suite.Secret) (*protocol.GroupInfoRatchetTreeTBE, error) {
	response, err := r.suite.GenerateHPKEKey(c.cfg.Random)
	if err != nil {
		return nil, err
	}
	request := &protocol.GroupInfoRequest{Credential: credential, GroupInfoPublicKey: response.Public(), JoiningCode: code}
	if err := request.Sign(r.suite, key); err != nil {
		return nil, err
	}
	call, cancel := c.call(ctx)
	defer cancel()
	answer, err := c.cfg.Hub.GroupInfo(call, r.uri(), request)
	if err != nil {
		if verdict := hubVerdict(err); verdict != nil {
			return nil, verdict
		}
		return nil, unreachable(err)
	}
	info, err := answer.Open(r.suite, response, r.uri())
	if err != nil {
		return nil, c.checked(err)
	}
	switch senders, err := info.GroupInfo.GroupContext.Extensions.ExternalSenders(); {
	case err != nil:
		return nil, err
	case len(senders) != 1 || string(senders[0].SignatureKey) != string(answer.HubSender.SignatureKey):
		return nil, c.checked(mimi.Refuse("group-info-hub", fmt.Errorf("%w: the GroupInfo is not signed by the room's hub", protocol.ErrMalformed)))
	case string(info.GroupInfo.GroupContext.GroupID) != string(identity.GroupID(r.uri())):
		return nil, c.checked(mimi.Refuse("group-info-room", identity.ErrGroupID))
	case info.RatchetTree.Representation != protocol.TreeFull || (info.Table == nil) != r.plain():
		return nil, fmt.Errorf("%w: the GroupInfo has no tree or no table", protocol.ErrMalformed)
	}
	return info, nil
}

// inspect reads the room behind a GroupInfo as its hub shows it, and checks what a
// joiner can without opening links (docs/mmr-profile.md, section 8). It sets the
// room's public state.
func (c *Client) inspect(ctx context.Context, r *room, info *protocol.GroupInfoRatchetTreeTBE) (*mmr.Room, mls.View, error) {
	groupID := info.GroupInfo.GroupContext.GroupID
	newest, err := c.checkLinkState(r, info)
	if err != nil {
		return nil, mls.View{}, err
	}
	group, err := mls.NewPublicGroup(ctx, c.groupConfig(r.rules, r.suite, groupID, &r.ring), &info.GroupInfo, &info.RatchetTree.Tree)
	if err != nil {
		return nil, mls.View{}, err
	}
	public, err := mmr.Open(r.suite, group.View(), newest, info.Table)
	if err != nil {
		return nil, mls.View{}, err
	}
	if public.Plain() != r.plain() {
		return nil, mls.View{}, fmt.Errorf("%w: the room is of another kind than it was", protocol.ErrMalformed)
	}
	r.rules.Set(public)
	return public, group.View(), nil
}

// openInspected opens the links of a room before an account joins it.
func (c *Client) openInspected(ctx context.Context, r *room, view mls.View) map[mls.LeafIndex]*identity.OpenedLink {
	c.prepare(ctx, r.domains(r.public().Leaves())...)
	opened := map[mls.LeafIndex]*identity.OpenedLink{}
	r.inspected = map[mimi.URI]*identity.OpenedLink{}
	for m := range view.Members() {
		if r.hidden(m.Index) {
			continue
		}
		link, err := c.openLink(ctx, r, m.Leaf, m.Index, identity.LeafInTree(c.cfg.Clock.Now()))
		if err != nil {
			c.refused(ctx, "identity link does not open", err, "room", r.uri(), "leaf", m.Index)
			continue
		}
		opened[m.Index], r.inspected[link.Pseudonyms().ClientPseudonym] = link, link
	}
	return opened
}

// checkLinkState checks what a GroupInfo says of the room's identity links, and
// returns the newest generation of its wrapper key. A plain room has none.
func (c *Client) checkLinkState(r *room, info *protocol.GroupInfoRatchetTreeTBE) (identity.Generation, error) {
	if r.plain() {
		return 0, identity.CheckNoProfile(info.GroupInfo.Extensions)
	}
	state, err := identity.LinkStateFrom(info.GroupInfo.Extensions)
	if err != nil {
		return 0, err
	}
	if c.cfg.Faults.believesHub() {
		return state.NewestGeneration, nil
	}
	if err := state.CheckTable(r.suite, info.Table); err != nil {
		return 0, err
	}
	return state.NewestGeneration, state.CheckKey(r.suite, info.GroupInfo.GroupContext.GroupID, r.ring.Newest())
}

// An entrance says how a leaf enters a room.
type entrance struct {
	// resync is the own leaf that it replaces, or nil.
	resync *mls.LeafIndex
	// pseudonymous leaves out the entry that shows who it is.
	pseudonymous bool
	aad          mls.SafeAAD
}

// enter joins a room by an external Commit. before is called at the start of the transaction that stores the
// Commit, which is before the hub sees it: a crash from there on ends in the room all the
// same. [Client.entered] does what follows.
func (c *Client) enter(ctx context.Context, r *room, me *leaf, info *protocol.GroupInfoRatchetTreeTBE, how entrance, before func(ctx context.Context) error) error {
	opts, err := c.externalOptions(r, me, info, how)
	if err != nil {
		return err
	}
	var pending *mls.PendingCommit
	if r.group != nil {
		pending, err = r.group.ExternalCommit(ctx, *opts)
	} else {
		cfg := c.groupConfig(r.rules, r.suite, identity.GroupID(r.uri()), &r.ring)
		r.group, pending, err = mls.ExternalJoin(ctx, cfg, &info.GroupInfo, &info.RatchetTree.Tree, *opts)
	}
	if err != nil {
		return denied(err)
	}
	r.own[me.account] = &Leaf{Room: r.uri(), Account: me.account, State: LeafEntering}
	err = c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := before(ctx); err != nil {
			return err
		}
		if err := c.cfg.Store.PutRoom(ctx, r.record); err != nil {
			return err
		}
		for _, l := range r.own {
			if err := c.cfg.Store.PutLeaf(ctx, l); err != nil {
				return err
			}
		}
		return c.save(ctx, r)
	})
	if err != nil {
		return err
	}
	return c.submitCommit(ctx, r, pending)
}

// allRows notes the rows of the public room as if it were new.
func (r *room) allRows(public *mmr.Room) error {
	rows, err := mmr.Rows(nil, public)
	r.rows = append(r.rows, rows...)
	return err
}

// externalOptions says what is in an external Commit: the join PSK, the own entry
// for the table and, unless it is a resync, the place in the participant list.
func (c *Client) externalOptions(r *room, me *leaf, info *protocol.GroupInfoRatchetTreeTBE, how entrance) (*mls.ExternalOptions, error) {
	opts := &mls.ExternalOptions{Leaf: me.params, Resync: how.resync, GroupInfo: r.groupInfos}
	if !r.plain() {
		own, err := c.ownEntry(r, me, r.public().Policy(), how.pseudonymous)
		if err != nil {
			return nil, err
		}
		item, err := (&identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{own}}).SafeAADItem()
		if err != nil {
			return nil, err
		}
		opts.PSKs = []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: identity.JoinPSKID(r.ring.Newest().Generation)}}
		opts.AAD = mls.AuthenticatedData{Safe: append(mls.SafeAAD{item}, how.aad...)}
	}
	for _, p := range info.PendingProposals {
		// In other than plain rooms whoever enters removes nobody else: the removed one
		// would know the key under which the own entry stands.
		if body := p.Proposal.PublicMessage.Content.Proposal; r.plain() && body != nil && body.Type() == mls.ProposalSelfRemove {
			opts.SelfRemoves = append(opts.SelfRemoves, p.Proposal.PublicMessage)
		}
	}
	if how.resync != nil {
		return opts, nil
	}
	update, err := rules.ParticipantListUpdate{
		Added: []rules.Participant{{User: me.user, Role: rules.RoleMember}},
	}.Operation()
	if err != nil {
		return nil, err
	}
	opts.Proposals = append(opts.Proposals, &mls.AppDataUpdate{
		Component: mls.ComponentID(update.ID), Operation: mls.AppDataUpdateUpdate, Update: update.Data,
	})
	return opts, nil
}

// entering returns the leaf that is about to join the room, or nil.
func (r *room) entering() *Leaf {
	for _, l := range r.own {
		if l.State == LeafEntering {
			return l
		}
	}
	return nil
}

// entered brings everything behind an external Commit of one's own.
func (c *Client) entered(ctx context.Context, r *room, result *mls.CommitResult, t *told) error {
	own := r.entering()
	if own == nil {
		return errors.New("client: internal error: an external Commit of nobody")
	}
	before := r.public()
	next, err := r.rules.Next(&result.CommitView)
	if err != nil {
		return err
	}
	if err := c.rotate(r, before, next); err != nil {
		return err
	}
	joined := *own
	joined.Index, joined.State = uint32(result.Committer), LeafJoined
	f, resync := r.former[own.Account]
	if resync {
		joined.State, joined.AddedBy = f.state, f.addedBy
		if err := c.rejoined(ctx, r, f, t); err != nil {
			return err
		}
	}
	r.own[own.Account] = &joined
	if err := c.cfg.Store.PutLeaf(ctx, &joined); err != nil {
		return err
	}
	if !resync {
		if err := c.alertSharedWith(ctx, r, own.Account, t); err != nil {
			return err
		}
	}
	if err := c.openEntered(ctx, r, result.Committer, t); err != nil {
		return err
	}
	if next.Newest() != before.Newest() {
		if err := c.linksDie(ctx, r, c.cfg.Clock.Now(), t); err != nil {
			return err
		}
	}
	switch {
	case r.record.Kind == RoomConnection:
		return c.connected(ctx, r, own.Account, t)
	case resync:
		return c.redescribed(ctx, r, t)
	}
	return c.joined(ctx, r, own.Account, t)
}

// openEntered opens the links of a room that an external Commit has led to: that of
// the own leaf, and the others if they are few. What was seen before it, by colleagues
// or before a resync, is kept.
func (c *Client) openEntered(ctx context.Context, r *room, own mls.LeafIndex, t *told) error {
	for _, i := range slices.Collect(maps.Keys(r.members)) {
		if tbs, still := r.public().Leaf(i); still && tbs.ClientPseudonym == r.members[i].ClientPseudonym {
			continue
		}
		if err := c.dropMember(ctx, r, i); err != nil {
			return err
		}
	}
	if _, err := c.look(ctx, r, c.needed(r, own), t); err != nil {
		return err
	}
	r.inspected = nil
	c.openInBackground(r)
	return nil
}

// joined tells an account that it has entered a room by a link.
func (c *Client) joined(ctx context.Context, r *room, account mimi.URI, t *told) error {
	if err := c.remember(ctx, r); err != nil {
		return err
	}
	uri := r.uri()
	t.then(func(ctx context.Context) { c.sendProfile(ctx, account, uri) })
	return c.tell(ctx, t, &Event{Kind: EventJoined, Time: c.cfg.Clock.Now(), Account: account, Room: uri, Name: r.shown().Name})
}

// connected tells an account that it has entered the connection room of somebody
// who asked it.
func (c *Client) connected(ctx context.Context, r *room, account mimi.URI, t *told) error {
	contact, err := c.contactIn(ctx, r.uri(), account)
	if err != nil {
		return err
	}
	requests, err := c.cfg.Store.Requests(ctx, account)
	if err != nil {
		return err
	}
	waiting := false
	for _, request := range requests {
		if request.Peer != contact.Peer {
			continue
		}
		waiting = true
		if err := c.cfg.Store.DeleteRequest(ctx, request.Ref); err != nil {
			return err
		}
	}
	if !waiting {
		return nil // a resync
	}
	uri := r.uri()
	t.then(func(ctx context.Context) { c.sendProfile(ctx, account, uri) })
	return c.tell(ctx, t, &Event{
		Kind: EventConnected, Time: c.cfg.Clock.Now(), Account: account, Peer: contact.Peer, Room: r.uri(),
	})
}

// notEntered forgets a room whose hub did not let the account in, unless others here
// are in it.
func (c *Client) notEntered(ctx context.Context, r *room, own *Leaf) error {
	delete(r.own, own.Account)
	if len(r.own) > 0 {
		r.group.Discard()
		return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
			return errors.Join(c.cfg.Store.DeleteLeaf(ctx, r.uri(), own.Account), c.save(ctx, r))
		})
	}
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		contact, err := c.contactIn(ctx, r.uri(), own.Account)
		if err == nil {
			err = c.cfg.Store.DeleteContact(ctx, contact.ID)
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		r.record.Left = true
		return errors.Join(c.cfg.Store.PutRoom(ctx, r.record), c.cfg.Store.DeleteRows(ctx, r.uri()))
	})
}
