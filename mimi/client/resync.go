package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowFormer is the row of a room with the leaves that its accounts replace, sealed.
const rowFormer = "client/former"

// A formerLeaf is one that its account replaces by an external Commit. It is kept
// until the hub has accepted that: it is what shows the hub that the account is a
// member, and the group that it was in is gone by then.
//
//	struct {
//	    IdentifierUri account;
//	    uint32 index;
//	    uint8 state;                   /* LeafState that the new leaf gets */
//	    optional<IdentifierUri> added_by;
//	    Credential credential;
//	    opaque seed<V>;                /* of the leaf's signature key */
//	} formerLeaf;
type formerLeaf struct {
	account    mimi.URI
	index      mls.LeafIndex
	state      LeafState
	addedBy    mimi.URI
	credential mls.Credential
	seed       suite.Secret
}

// Wire implements [wire.Message].
func (f *formerLeaf) Wire(c *wire.Codec) {
	f.account.Wire(c)
	wire.Uint32(c, &f.index)
	wire.Uint8(c, &f.state)
	f.addedBy.WireOptional(c)
	f.credential.Wire(c)
	f.seed.Wire(c)
}

// formerLeaves is formerLeaf leaves<V>.
type formerLeaves []*formerLeaf

// Wire implements [wire.Message].
func (l *formerLeaves) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]*formerLeaf)(l), func(c *wire.Codec, f **formerLeaf) {
		if *f == nil {
			*f = &formerLeaf{}
		}
		(*f).Wire(c)
	})
}

// formerLeaves returns the leaves that are to be replaced, in the order of their
// accounts.
func (r *room) formerLeaves() formerLeaves {
	return slices.SortedFunc(maps.Values(r.former), func(a, b *formerLeaf) int {
		return strings.Compare(a.account.String(), b.account.String())
	})
}

// putFormer notes the leaf that an account replaces, or with nil that it does not.
func (r *room) putFormer(account mimi.URI, f *formerLeaf) error {
	if f == nil {
		delete(r.former, account)
	} else {
		r.former[account] = f
	}
	row := mls.Row{Key: rowFormer, Secret: true}
	if all := r.formerLeaves(); len(all) > 0 {
		var err error
		if row.Value, err = wire.Marshal(&all); err != nil {
			return err
		}
	}
	r.rows = append(r.rows, row)
	return nil
}

// readFormer reads the row of the leaves that are to be replaced.
func (r *room) readFormer(row mls.Row) error {
	var all formerLeaves
	if err := wire.Unmarshal(row.Value, &all); err != nil {
		return fmt.Errorf("row %s: %w", row.Key, err)
	}
	for _, f := range all {
		r.former[f.account] = f
	}
	return nil
}

// errCaughtUp reports a room that is where its hub is: what was missing has come.
var errCaughtUp = errors.New("client: the room has caught up")

// errExpelled reports an account that its hub does not count among the members of
// the room.
var errExpelled = errors.New("client: the hub knows no such member")

// resync joins a room anew whose group cannot follow its hub any more: because
// messages are missing, or because a member's commit was invalid for everyone. Each
// account of the room replaces its leaf by an external Commit
// (docs/mmr-profile.md, section 1). Messages that were sent in between are lost,
// and people are told so. Accounts that are not in the room any more are told that.
//
// It fails with [ErrLost] if the newest wrapper key is not known: then a join link
// helps ([Client.JoinLink]), or a member has to add the accounts again. While others change the room, or a removal is pending,
// it fails with [ErrBusy]. What it has begun then, [Client.settle] ends.
func (c *Client) resync(ctx context.Context, uri mimi.URI) error {
	return c.resyncWith(ctx, uri, nil)
}

// resyncWith is resync with the keys of a join link, or with nil with those that are
// here.
func (c *Client) resyncWith(ctx context.Context, uri mimi.URI, link *rescue) error {
	err := ErrBusy
	for range c.cfg.Limits.Attempts {
		err = c.rooms.With(uri, func(slot *cache.Slot[room]) error { return c.tryResync(ctx, uri, slot, link) })
		again, ok := errors.AsType[*errAgain](err)
		if !ok {
			break
		}
		err = ErrBusy
		if again.removal && link != nil {
			return ErrLinkRemoval
		} else if again.removal {
			break
		} // otherwise another commit was first, and the room after it is joined
	}
	if err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrNotMember) && !linkFailed(err) {
		c.later(uri, c.cfg.Limits.MaxBackoff/4, c.settle)
	}
	return err
}

// tryResync is one attempt of resync. What it has done before it fails is in the
// store.
func (c *Client) tryResync(ctx context.Context, uri mimi.URI, slot *cache.Slot[room], link *rescue) error {
	old := slot.Value
	if old == nil {
		var err error
		if old, err = c.loadRoom(ctx, uri); err != nil {
			return err
		}
	}
	slot.Value = nil
	// An external Commit without an answer may have replaced a leaf that is asked for.
	err := c.settleRoom(ctx, old)
	if _, lost := errors.AsType[*errAgain](err); err != nil && !lost || old.record.Left {
		return err
	}
	if old.lost == nil {
		link = nil // an account is back, and the others need no help
	}
	c.cfg.Log.WarnContext(ctx, "joining a room anew", "room", uri, "epoch", old.group.Epoch())
	r, err := c.rejoin(ctx, old, link)
	switch {
	case err == nil:
		slot.Value = r
		return nil
	case errors.Is(err, errCaughtUp):
		slot.Value = old
		return c.found(ctx, old)
	case linkFailed(err):
		return err
	}
	if _, again := errors.AsType[*errAgain](err); again || errors.Is(err, ErrUnreachable) || errors.Is(err, errExpelled) || ctx.Err() != nil {
		return err // errExpelled: it was removed just now, and is told at the next try
	}
	if told := c.loses(ctx, old); told != nil {
		return told
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

// rejoin makes a room anew: with the first account's external Commit, and those of
// the others in the group that this makes. It returns nil if no account is in the
// room any more.
func (c *Client) rejoin(ctx context.Context, old *room, link *rescue) (*room, error) {
	r, err := old.again()
	if err != nil {
		return nil, err
	}
	info, err := c.expel(ctx, r)
	switch {
	case err != nil:
		return nil, err
	case r.record.Left:
		return nil, nil
	case info == nil:
		return nil, ErrNotMember
	}
	if caughtUp, err := old.caughtUp(info); err != nil {
		return nil, err
	} else if caughtUp {
		return nil, errCaughtUp
	}
	if link != nil {
		if info, err = c.linkKeys(ctx, r, link, info); err != nil {
			return nil, err
		}
	}
	for _, f := range r.formerLeaves() {
		if r.group != nil {
			if info, err = c.formerInfo(ctx, r, f); err != nil {
				return nil, err
			}
		}
		if err := c.rejoinAs(ctx, r, f, info); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// expel tells those accounts that they are out of the room whom the hub does not
// know, and returns the room as the hub shows it to the first of the others.
func (c *Client) expel(ctx context.Context, r *room) (info *protocol.GroupInfoRatchetTreeTBE, err error) {
	for _, f := range r.formerLeaves() {
		shown, err := c.formerInfo(ctx, r, f)
		switch {
		case errors.Is(err, errExpelled):
			err = c.expelled(ctx, r, f)
		case err == nil && info == nil:
			info = shown
		}
		if err != nil {
			return nil, err
		}
	}
	return info, nil
}

// rejoined notes that an account has joined the room anew, or is not in it any more.
// After the last one people are told.
func (c *Client) rejoined(ctx context.Context, r *room, f *formerLeaf, t *told) error {
	if err := r.putFormer(f.account, nil); err != nil {
		return err
	}
	if r.lost != nil && r.group != nil {
		if err := r.setLost(nil); err != nil {
			return err
		}
	}
	if len(r.former) > 0 || r.group == nil {
		return nil
	}
	uri := r.uri()
	t.then(func(ctx context.Context) { c.settle(ctx, uri) })
	return c.tell(ctx, t, &Event{Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: uri, Reason: ReasonResync})
}

// again returns the room as it is before any account has joined it anew.
func (r *room) again() (*room, error) {
	next := emptyRoom(r.record, r.suite)
	next.past = r
	if !r.plain() {
		if err := next.setRing(r.ring); err != nil {
			return nil, err
		}
	}
	if r.lost != nil {
		if err := next.setLost(r.lost); err != nil {
			return nil, err
		}
	}
	for key, l := range r.links {
		if err := next.putLink(key, l); err != nil {
			return nil, err
		}
	}
	for account, f := range r.former {
		if _, still := r.own[account]; !still {
			continue
		}
		next.own[account] = &Leaf{Room: r.uri(), Account: account, Index: uint32(f.index), State: f.state, AddedBy: f.addedBy}
		if err := next.putFormer(account, f); err != nil {
			return nil, err
		}
	}
	for account, l := range r.own {
		if _, pending := r.former[account]; pending || l.State == LeafEntering {
			continue
		}
		index := mls.LeafIndex(l.Index)
		member, ok := r.group.View().Member(index)
		key, known := r.group.SignatureKey(index)
		if !ok || !known {
			return nil, fmt.Errorf("client: internal error: the own leaf %d is not in the group", index)
		}
		kept := *l
		next.own[account] = &kept
		if err := next.putFormer(account, &formerLeaf{account, index, l.State, l.AddedBy, member.Leaf.Credential, key.Seed()}); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// rejoinAs replaces the leaf of one account in the room that the hub shows.
func (c *Client) rejoinAs(ctx context.Context, r *room, f *formerLeaf, info *protocol.GroupInfoRatchetTreeTBE) error {
	if removals(info) && !c.abandoned(info, f.index) {
		// The hub lets nobody in whom the removed one could recognise, and who is
		// removed shall not come back.
		return &errAgain{removal: true}
	}
	first := r.group == nil
	if first {
		before, view, err := c.inspect(ctx, r, info)
		if err != nil {
			c.count(err)
			return err
		}
		r.keepSeen(view)
		c.prepareFew(ctx, r)
		if err := r.allRows(before); err != nil {
			return err
		}
	}
	tbs, err := mmr.ReadCredential(f.credential)
	if err != nil {
		return err
	}
	how := entrance{resync: &f.index}
	var me *leaf
	if r.plain() {
		me, err = c.newPlainLeaf(ctx, f.account)
	} else {
		me, err = c.newLeaf(ctx, f.account, tbs.UserPseudonym)
		// Who was not shown to the room before is not shown now.
		entry, there := info.Table.Key(f.index)
		how.pseudonymous = there && entry == nil
	}
	if err != nil {
		return err
	}
	return c.enter(ctx, r, me, info, how, func(ctx context.Context) error {
		if !first {
			return nil
		}
		if err := c.cfg.Store.DeleteRows(ctx, r.uri()); err != nil {
			return err
		}
		for _, m := range r.members {
			if err := c.cfg.Store.PutMember(ctx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// keepSeen takes over, from the room before it is joined anew, the members whose
// leaves are still there with the credential that was opened: no link is opened twice.
func (r *room) keepSeen(view mls.View) {
	old := r.past
	r.past = nil
	if old == nil {
		return
	}
	for i, m := range old.members {
		before, was := old.group.View().Member(i)
		now, is := view.Member(i)
		if !was || !is || !before.Leaf.Credential.Equal(&now.Leaf.Credential) {
			continue
		}
		r.members[i] = m
		if q := old.quarantined[i]; q != nil {
			r.quarantined[i], r.requarantined = q, true
		}
	}
}

// formerInfo asks the hub for the room in the name of a leaf that is replaced. It
// fails with [errExpelled] if the hub has no such leaf.
func (c *Client) formerInfo(ctx context.Context, r *room, f *formerLeaf) (*protocol.GroupInfoRatchetTreeTBE, error) {
	return c.formerInfoBy(ctx, r, f, suite.Secret{})
}

// formerInfoBy is formerInfo with the code of a join link, for its bundle.
func (c *Client) formerInfoBy(ctx context.Context, r *room, f *formerLeaf, code suite.Secret) (*protocol.GroupInfoRatchetTreeTBE, error) {
	key, err := r.suite.ImportSignatureKey(f.seed)
	if err != nil {
		return nil, fmt.Errorf("client: stored leaf: %w", err)
	}
	info, err := c.groupInfo(ctx, r, key, f.credential, code)
	if _, refused := errors.AsType[*protocol.NotAllowedError](err); refused || errors.Is(err, protocol.ErrNoSuchRoom) {
		return nil, fmt.Errorf("%w: %w", errExpelled, err)
	}
	return info, err
}

// caughtUp reports whether a room is in the state that its hub shows.
func (r *room) caughtUp(info *protocol.GroupInfoRatchetTreeTBE) (bool, error) {
	if len(r.former) > 0 || !r.group.Active() {
		return false, nil
	}
	ours, err := wire.Marshal(r.group.View().Context())
	if err != nil {
		return false, err
	}
	theirs, err := wire.Marshal(&info.GroupInfo.GroupContext)
	return bytes.Equal(ours, theirs), err
}

// removals reports whether the removal of a leaf is pending at the hub.
func removals(info *protocol.GroupInfoRatchetTreeTBE) bool {
	return slices.ContainsFunc(info.PendingProposals, func(p protocol.PendingProposal) bool {
		body := p.Proposal.PublicMessage.Content.Proposal
		return body != nil && (body.Type() == mls.ProposalSelfRemove || body.Type() == mls.ProposalRemove)
	})
}

// abandonedAfter is how long a removal has to be pending before a member joins anew
// all the same: longer than the hub asks for, because of two clocks.
const abandonedAfter = 6 * time.Minute

// abandoned reports whether all removals that are pending at the hub are so old that
// it lets this leaf in, which is none of those: nobody has committed them, perhaps
// because all who are left have to join anew (docs/mmr-profile.md, section 11,
// "Removals that nobody commits").
func (c *Client) abandoned(info *protocol.GroupInfoRatchetTreeTBE, leaf mls.LeafIndex) bool {
	limit := c.cfg.Clock.Now().Add(-abandonedAfter)
	return !slices.ContainsFunc(info.PendingProposals, func(p protocol.PendingProposal) bool {
		content := &p.Proposal.PublicMessage.Content
		if content.Proposal == nil {
			return false
		}
		leaving := mmr.Leaving([]mmr.Proposed{{Proposal: content.Proposal, Sender: content.Sender}})
		return len(leaving) > 0 && (p.Accepted.After(limit) || slices.Contains(leaving, leaf))
	})
}

// expelled tells an account that it is not in the room any more. The commit of it
// was missed, so who made it is not known.
func (c *Client) expelled(ctx context.Context, r *room, f *formerLeaf) error {
	return c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
		if err := c.rejoined(ctx, r, f, t); err != nil {
			return err
		}
		if err := c.out(ctx, r, r.own[f.account], Person{}, c.cfg.Clock.Now(), t); err != nil {
			return err
		}
		if len(r.own) > 0 {
			return nil
		}
		r.record.Left = true
		return c.cfg.Store.PutRoom(ctx, r.record)
	})
}
