package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// JoinOptions say how an account enters a room by a link.
type JoinOptions struct {
	// Pseudonymous keeps the account's address from the members, in rooms that let
	// members do that (docs/mmr-profile.md, section 6).
	Pseudonymous bool
}

// A linkJoin is what an account enters a room with. Attempts share it: the hub has
// shown the room to this credential, and would count another one as another joiner.
type linkJoin struct {
	account mimi.URI
	link    identity.JoinLink
	opts    JoinOptions
	leaf    *leaf
	// resynced says that the keys of the link have been used for a room that was lost.
	resynced bool
}

// JoinLink lets an account enter a room with the text of a join link
// (docs/mmr-profile.md, section 3, "Join links"), and returns the room.
// [EventJoined] tells of it as well, also if the hub's answer comes later.
//
// It fails with [ErrLinkForm] for what is no link; with [ErrLinkDead] for a link that
// has expired, is used up, or has died with a removal; with [ErrLinkRemoval] while a
// removal is pending, with which the link dies; and with [ErrAlreadyMember],
// [ErrNotPseudonymous], [ErrFull] and [ErrTooManyRooms].
//
// For a member whose room is lost (see [ErrLost]) it is the way back: the keys of the
// link are those that were missing, and all accounts here join the room anew with
// them. opts do not count then. If another rotation was first, that is [ErrLinkDead],
// and another link is needed.
func (c *Client) JoinLink(ctx context.Context, account mimi.URI, text string, opts JoinOptions) (mimi.URI, error) {
	link, err := identity.ParseJoinLink(text)
	if err != nil {
		return mimi.URI{}, fmt.Errorf("%w: %w", ErrLinkForm, err)
	}
	join := &linkJoin{account: account, link: link, opts: opts}
	for range c.cfg.Limits.Attempts {
		err := c.withSlot(ctx, link.Room, func(r *room) (*room, error) { return c.joinLink(ctx, r, join) })
		again, ok := errors.AsType[*errAgain](err)
		switch {
		case errors.Is(err, errInvited):
			return link.Room, c.Join(ctx, account, link.Room)
		case errors.Is(err, errLostMember):
			if err := c.resyncBy(ctx, &rescue{JoinLink: link}); err != nil {
				return link.Room, err
			}
			join.resynced = true
			continue // who was removed meanwhile enters as anybody does
		case !ok:
			return link.Room, err
		case again.removal:
			return link.Room, ErrLinkRemoval
		}
		// Another commit was first. Where colleagues are in the room, theirs is the
		// group that has to get there.
		if err := ignore(c.waitEpoch(ctx, link.Room, again.epoch), ErrNotMember); err != nil {
			return link.Room, err
		}
	}
	return link.Room, ErrBusy
}

// errInvited reports that an account that has a link has an invitation as well.
var errInvited = errors.New("client: there is an invitation to the room")

// errLostMember reports that an account that has a link has a leaf in a room that is
// lost.
var errLostMember = errors.New("client: the account is in the room, which is lost")

// joinLink is one attempt of JoinLink. r is nil if no account here is in the room.
func (c *Client) joinLink(ctx context.Context, r *room, join *linkJoin) (*room, error) {
	if r != nil {
		if l, ok := r.own[join.account]; ok && r.lost != nil && !join.resynced && l.State != LeafInvited {
			return nil, errLostMember
		}
		entering := r.entering()
		if err := c.settleRoom(ctx, r); err != nil {
			return nil, err
		}
		if l, ok := r.own[join.account]; ok && !r.record.Left {
			switch {
			case l.State == LeafInvited:
				return nil, errInvited
			case l.State == LeafLeaving || len(r.former) > 0:
				return nil, ErrBusy
			case join.resynced, entering != nil && entering.Account == join.account:
				return r, nil // or joined before, without learning that it succeeded
			default:
				return r, ErrAlreadyMember
			}
		}
		if r.record.Left {
			r = nil
		}
	}
	rooms, err := c.cfg.Store.LeavesOf(ctx, join.account)
	if err != nil {
		return nil, err
	}
	if len(rooms) >= c.cfg.Limits.AccountRooms {
		return nil, ErrTooManyRooms
	}
	if join.leaf == nil {
		if join.leaf, err = c.newLeaf(ctx, join.account, mimi.URI{}); err != nil {
			return nil, err
		}
	}
	fresh := r == nil
	if fresh {
		r = emptyRoom(&Room{URI: join.link.Room, Kind: RoomGroup}, c.cfg.Suite)
	}
	info, err := c.linkInfo(ctx, r, join)
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := c.openByLink(ctx, r, join, info); err != nil {
			return nil, err
		}
	} else if err := r.sameEpoch(info); err != nil {
		return nil, err
	}
	return r, c.enterByLink(ctx, r, join, info, fresh)
}

// linkInfo asks the hub for the room behind a link.
func (c *Client) linkInfo(ctx context.Context, r *room, join *linkJoin) (*protocol.GroupInfoRatchetTreeTBE, error) {
	me := join.leaf
	info, err := c.groupInfo(ctx, r, me.params.SignatureKey, me.params.Credential, join.link.Code)
	_, refused := errors.AsType[*protocol.NotAllowedError](err)
	switch {
	case refused || errors.Is(err, protocol.ErrNoSuchRoom):
		return nil, fmt.Errorf("%w: %w", ErrLinkDead, err)
	case err != nil:
		return nil, err
	case removals(info):
		return nil, ErrLinkRemoval
	}
	return info, nil
}

// openByLink opens the bundle of a link, checks its keys against the GroupInfo, and
// reads the room (docs/mmr-profile.md, sections 3 and 8).
func (c *Client) openByLink(ctx context.Context, r *room, join *linkJoin, info *protocol.GroupInfoRatchetTreeTBE) error {
	if err := r.setLinkRing(&join.link, info); err != nil {
		return err
	}
	public, _, err := c.inspect(ctx, r, info)
	if err != nil {
		return err
	}
	c.prepareFew(ctx, r)
	if public.Policy().ConnectionRoom {
		return ErrConnectionRoom
	}
	if _, err := r.ring.Live(public.Table(), public.Metadata()); err != nil {
		return fmt.Errorf("%w: %w", ErrLinkForm, err)
	}
	return r.allRows(public)
}

// setLinkRing makes the keys in the bundle of a link those of a room, if they are the
// ones that its GroupInfo speaks of.
func (r *room) setLinkRing(link *identity.JoinLink, info *protocol.GroupInfoRatchetTreeTBE) error {
	var bundle identity.JoinBundle
	if err := mls.Unmarshal(info.LinkBundle, &bundle); err != nil {
		return fmt.Errorf("%w: bundle: %w", ErrLinkForm, err)
	}
	ring, err := link.Open(r.suite, &bundle)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLinkForm, err)
	}
	state, err := identity.LinkStateFrom(info.GroupInfo.Extensions)
	if err != nil {
		return err
	}
	if state.NewestGeneration != ring.Newest().Generation {
		// It was registered while a removal was on its way.
		return fmt.Errorf("%w: it has keys of generation %d", ErrLinkDead, ring.Newest().Generation)
	}
	return r.setRing(ring)
}

// sameEpoch fails with an errAgain unless a room here is where its hub says.
func (r *room) sameEpoch(info *protocol.GroupInfoRatchetTreeTBE) error {
	if theirs := info.GroupInfo.GroupContext.Epoch; theirs != r.group.Epoch() {
		return &errAgain{epoch: theirs}
	}
	return nil
}

// enterByLink commits that the account of a link enters. Its leaf must be the one
// that the hub has shown the room to; what is wrapped is wrapped anew each time.
func (c *Client) enterByLink(ctx context.Context, r *room, join *linkJoin, info *protocol.GroupInfoRatchetTreeTBE, fresh bool) error {
	policy := r.public().Policy()
	if join.opts.Pseudonymous && policy.RequiresEntry(false) {
		return ErrNotPseudonymous
	}
	err := c.enter(ctx, r, join.leaf, info, entrance{pseudonymous: join.opts.Pseudonymous}, func(ctx context.Context) error {
		if !fresh {
			return nil
		}
		return c.cfg.Store.DeleteRows(ctx, r.uri()) // of an earlier membership
	})
	switch {
	case errors.Is(err, rules.ErrMaxUsers):
		return fmt.Errorf("%w: %w", ErrFull, err)
	case errors.Is(err, ErrDenied):
		// Somebody else had the last use, or it has expired since.
		return fmt.Errorf("%w: %w", ErrLinkDead, err)
	}
	return err
}

// notJoined tells an account that what the hub was asked before, perhaps before a
// restart, was not granted: it is not in the room.
func (c *Client) notJoined(ctx context.Context, own *Leaf) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		return c.tell(ctx, &t, &Event{
			Kind: EventRefused, Time: c.cfg.Clock.Now(), Account: own.Account, Reason: ReasonLinkFailed,
		})
	})
	if err == nil {
		c.finish(&t)
	}
	return err
}
