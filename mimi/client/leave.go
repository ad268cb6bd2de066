package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowLeave begins the keys of the rows with the leaves that ask for their removal:
// + leaf index.
const rowLeave = "client/leave/"

// A leave is the question of an own leaf to be removed, which its hub has not yet
// answered. It is not in the room's group before that: what the hub refuses must
// not be committed. And it is stored before it is sent, because the commit that
// follows from it may be here before the answer is.
//
//	struct {
//	    uint8 state;             /* LeafState that a refusal leads back to */
//	    UpdateRequest request;
//	} leave;
type leave struct {
	state   LeafState
	request protocol.UpdateRequest
}

// Wire implements [wire.Message].
func (l *leave) Wire(c *wire.Codec) {
	wire.Uint8(c, &l.state)
	l.request.Wire(c)
}

func leaveKey(i mls.LeafIndex) string { return rowLeave + strconv.FormatUint(uint64(i), 10) }

// putLeave notes a leave, or with nil that there is none any more.
func (r *room) putLeave(i mls.LeafIndex, l *leave) error {
	row := mls.Row{Key: leaveKey(i)}
	if l == nil {
		delete(r.leaves, i)
	} else {
		var err error
		if row.Value, err = wire.Marshal(l); err != nil {
			return err
		}
		r.leaves[i] = l
	}
	r.rows = append(r.rows, row)
	return nil
}

// readLeave reads the row of a leave.
func (r *room) readLeave(row mls.Row) error {
	i, err := strconv.ParseUint(strings.TrimPrefix(row.Key, rowLeave), 10, 32)
	if err != nil {
		return fmt.Errorf("row %s: %w", row.Key, err)
	}
	l := &leave{}
	if err := wire.Unmarshal(row.Value, l); err != nil {
		return fmt.Errorf("row %s: %w", row.Key, err)
	}
	r.leaves[mls.LeafIndex(i)] = l
	return nil
}

// Leave takes an account out of a room, or declines an invitation: its leaf asks
// to be removed, and another member commits that. What the account has said before
// is sent first, if the hub can be reached. If it cannot, Leave fails with
// [ErrLeaving]: that the account leaves is stored, and the hub is asked later, also
// after a restart. With another error the account stays.
func (c *Client) Leave(ctx context.Context, account, uri mimi.URI) error {
	if err := c.flush(ctx, account, uri); err != nil {
		return err
	}
	return c.leave(ctx, account, uri)
}

// leave is [Client.Leave] without what was said before.
func (c *Client) leave(ctx context.Context, account, uri mimi.URI) error {
	for range c.cfg.Limits.Attempts {
		err := c.withRoom(ctx, uri, func(r *room) error { return c.proposeLeaving(ctx, r, account) })
		again, ok := errors.AsType[*errAgain](err)
		if !ok {
			return err
		}
		if err := c.waitEpoch(ctx, uri, again.epoch); err != nil {
			return err
		}
	}
	return ErrBusy
}

// proposeLeaving stores that an account leaves, and asks the hub for it.
func (c *Client) proposeLeaving(ctx context.Context, r *room, account mimi.URI) error {
	away := c.settleRoom(ctx, r)
	if away != nil && !errors.Is(away, ErrUnreachable) {
		return away
	}
	if _, rejoins := r.former[account]; rejoins {
		return ErrBusy
	}
	own, ok := r.own[account]
	if !ok || own.State == LeafEntering {
		return ErrNotMember
	}
	if away != nil && r.leaves[mls.LeafIndex(own.Index)] != nil {
		return fmt.Errorf("%w: %w", ErrLeaving, away) // it is stored, with the state to go back to
	}
	if slices.Contains(mmr.Leaving(r.proposed()), mls.LeafIndex(own.Index)) {
		return nil // on its way
	}
	l, err := c.newLeave(ctx, r, own)
	if err != nil {
		return err
	}
	if err := c.inRoom(ctx, r, func(ctx context.Context, _ *told) error {
		if err := r.putLeave(mls.LeafIndex(own.Index), l); err != nil {
			return err
		}
		return c.putState(ctx, r, own, LeafLeaving)
	}); err != nil {
		return err
	}
	if away == nil {
		away = c.settleLeaves(ctx, r)
	} // otherwise [Client.settle] sends it, after what has no answer yet
	if errors.Is(away, ErrUnreachable) {
		return fmt.Errorf("%w: %w", ErrLeaving, away)
	}
	return away
}

// putState stores another state of an own leaf.
func (c *Client) putState(ctx context.Context, r *room, own *Leaf, state LeafState) error {
	next := *own
	next.State = state
	r.own[own.Account] = &next
	return c.cfg.Store.PutLeaf(ctx, &next)
}

// newLeave makes the proposals that take an account out of a room: its leaf and
// its place in the participant list. They are made on a copy of the room, which
// leaves the room itself as it is.
func (c *Client) newLeave(ctx context.Context, r *room, own *Leaf) (*leave, error) {
	tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
	if !ok {
		return nil, ErrNotMember
	}
	index, ok := r.public().State().Find(tbs.UserPseudonym)
	if !ok {
		return nil, ErrNotMember
	}
	update, err := rules.ParticipantListUpdate{Removed: []uint32{index}}.Operation()
	if err != nil {
		return nil, err
	}
	scratch, err := c.loadRoom(ctx, r.uri())
	if err != nil {
		return nil, err
	}
	var messages []mls.MLSMessage
	for _, body := range []mls.ProposalBody{
		&mls.SelfRemove{},
		&mls.AppDataUpdate{Component: mls.ComponentID(update.ID), Operation: mls.AppDataUpdateUpdate, Update: update.Data},
	} {
		m, _, err := scratch.group.Propose(ctx, mls.LeafIndex(own.Index), body, mls.AuthenticatedData{})
		if err != nil {
			return nil, denied(err)
		}
		messages = append(messages, mls.MLSMessage{PublicMessage: m})
	}
	return &leave{own.State, protocol.UpdateRequest{ProposalOrCommit: messages[0], MoreProposals: messages[1:]}}, nil
}

// settleLeaves gets an answer to what own leaves have asked.
func (c *Client) settleLeaves(ctx context.Context, r *room) error {
	for _, i := range slices.Sorted(maps.Keys(r.leaves)) {
		if err := c.submitLeave(ctx, r, i, r.leaves[i]); err != nil || r.record.Left {
			return err
		}
	}
	return nil
}

// submitLeave sends the proposals of an own leaf to the hub and does what the
// answer says. Without an answer they may have been accepted, and are sent again.
func (c *Client) submitLeave(ctx context.Context, r *room, i mls.LeafIndex, l *leave) error {
	call, cancel := c.call(ctx)
	defer cancel()
	response, err := c.cfg.Hub.Update(call, r.uri(), &l.request)
	if err == nil {
		return c.leaveAccepted(ctx, r, i, l, response.Accepted)
	}
	if errors.Is(err, protocol.ErrNoSuchRoom) {
		return c.inRoom(ctx, r, func(ctx context.Context, t *told) error { return c.closed(ctx, r, c.cfg.Clock.Now(), t) })
	}
	verdict := hubVerdict(err)
	if verdict == nil {
		c.later(r.uri(), c.cfg.Limits.Backoff, c.settle)
		return unreachable(err)
	}
	if err := c.leaveRefused(ctx, r, i, l, errors.Is(verdict, ErrDenied)); err != nil {
		return err
	}
	return verdict
}

// leaveAccepted makes the proposals pending in the room's group, as they are at the
// hub.
func (c *Client) leaveAccepted(ctx context.Context, r *room, i mls.LeafIndex, l *leave, accepted time.Time) error {
	return c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
		if err := r.putLeave(i, nil); err != nil {
			return err
		}
		for _, m := range slices.Concat([]mls.MLSMessage{l.request.ProposalOrCommit}, l.request.MoreProposals) {
			if _, err := r.group.Process(ctx, &m); err != nil {
				return fmt.Errorf("client: leave a room: %w", err)
			}
		}
		return c.proposalsPending(ctx, r, accepted, t)
	})
}

// leaveRefused forgets the proposals of an own leaf. If they were made for an epoch
// that has passed, they are made again in the next one: [Client.leaveAgain].
// Otherwise the account stays what it was.
func (c *Client) leaveRefused(ctx context.Context, r *room, i mls.LeafIndex, l *leave, stays bool) error {
	return c.inRoom(ctx, r, func(ctx context.Context, _ *told) error {
		if err := r.putLeave(i, nil); err != nil {
			return err
		}
		own, ok := r.ownAt(i)
		if !ok || !stays {
			return nil
		}
		return c.putState(ctx, r, own, l.state)
	})
}

// ownAt returns the own leaf at an index.
func (r *room) ownAt(i mls.LeafIndex) (*Leaf, bool) {
	for _, l := range r.own {
		if mls.LeafIndex(l.Index) == i && l.State != LeafEntering {
			return l, true
		}
	}
	return nil, false
}

// proposalsPending does what follows from proposals that the hub has accepted.
func (c *Client) proposalsPending(ctx context.Context, r *room, accepted time.Time, t *told) error {
	if len(mmr.Leaving(r.proposed())) == len(r.public().Leaves()) {
		return c.closed(ctx, r, accepted, t)
	}
	uri := r.uri()
	t.then(func(ctx context.Context) { c.planRemovals(ctx, uri) })
	return nil
}

// closed ends a room from which everybody leaves: nobody is there to commit it,
// and the hub has closed the room (docs/mmr-profile.md, section 3).
func (c *Client) closed(ctx context.Context, r *room, at time.Time, t *told) error {
	for _, l := range r.accounts() {
		if err := c.out(ctx, r, l, Person{}, at, t); err != nil {
			return err
		}
	}
	r.record.Left = true
	return c.cfg.Store.PutRoom(ctx, r.record)
}

// accounts returns the own leaves in the order of their accounts.
func (r *room) accounts() []*Leaf {
	return slices.SortedFunc(maps.Values(r.own), func(a, b *Leaf) int {
		return strings.Compare(a.Account.String(), b.Account.String())
	})
}

// leaveAgain asks once more for the removal of accounts that leave and that a
// commit has passed over: pending proposals end with their epoch.
func (c *Client) leaveAgain(ctx context.Context, uri mimi.URI) {
	var left []mimi.URI
	err := c.withRoom(ctx, uri, func(r *room) error {
		leaving := mmr.Leaving(r.proposed())
		for _, l := range r.accounts() {
			_, rejoins := r.former[l.Account]
			if l.State == LeafLeaving && !rejoins && !slices.Contains(leaving, mls.LeafIndex(l.Index)) {
				left = append(left, l.Account)
			}
		}
		return nil
	})
	for _, account := range left {
		err = errors.Join(err, c.leave(ctx, account, uri))
	}
	if err != nil && !errors.Is(err, ErrNotMember) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not leave", "room", uri, "err", err)
	}
}
