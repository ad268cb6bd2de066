package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// resync joins a room anew whose group cannot follow its hub any more: because
// messages are missing, or because a member's commit was invalid for everyone. Each
// account of the room replaces its leaf by an external Commit
// (docs/mmr-profile.md, section 1). Messages that were sent in between are lost,
// and people are told so. It fails with [ErrLost] if the newest wrapper key is not
// known: then a member has to add the accounts again.
func (c *Client) resync(ctx context.Context, uri mimi.URI) error {
	return c.rooms.With(uri, func(slot *cache.Slot[room]) error {
		old := slot.Value
		if old == nil {
			var err error
			if old, err = c.loadRoom(ctx, uri); err != nil {
				return err
			}
		}
		c.cfg.Log.WarnContext(ctx, "joining a room anew", "room", uri, "epoch", old.group.Epoch())
		r, err := c.rejoin(ctx, old)
		if err == nil {
			slot.Value = r
			return c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
				return c.tell(ctx, t, &Event{Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: uri, Reason: ReasonResync})
			})
		}
		if errors.Is(err, ErrUnreachable) {
			return err
		}
		var t told
		told := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
			return c.tell(ctx, &t, &Event{Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: uri, Reason: ReasonLost})
		})
		c.finish(&t)
		return errors.Join(fmt.Errorf("%w: %w", ErrLost, err), told)
	})
}

// rejoin makes a room anew: with the first account's external Commit, and those of
// the others in the group that this makes.
func (c *Client) rejoin(ctx context.Context, old *room) (*room, error) {
	r := emptyRoom(old.record, old.suite)
	for account, l := range old.own {
		kept := *l
		r.own[account] = &kept
	}
	if err := r.setRing(old.ring); err != nil {
		return nil, err
	}
	for account, l := range old.own {
		if l.State == LeafEntering {
			continue
		}
		if err := c.rejoinAs(ctx, old, r, account, mls.LeafIndex(l.Index)); err != nil {
			return nil, err
		}
		if l.State != LeafJoined {
			// Invited or leaving: the new leaf is in the same position.
			again := *r.own[account]
			again.State = l.State
			if err := c.cfg.Store.PutLeaf(ctx, &again); err != nil {
				return nil, err
			}
			r.own[account] = &again
		}
	}
	if r.group == nil {
		return nil, ErrNotMember
	}
	return r, nil
}

// rejoinAs replaces the leaf of one account.
func (c *Client) rejoinAs(ctx context.Context, old, r *room, account mimi.URI, index mls.LeafIndex) error {
	member, ok := old.group.View().Member(index)
	key, known := old.group.SignatureKey(index)
	tbs, there := old.public().Leaf(index)
	if !ok || !known || !there {
		return ErrNotMember
	}
	info, err := c.groupInfo(ctx, r, key, member.Leaf.Credential, suite.Secret{})
	if err != nil {
		return err
	}
	first := r.group == nil
	if first {
		before, _, err := c.inspect(ctx, r, info)
		if err != nil {
			return err
		}
		if err := r.allRows(before); err != nil {
			return err
		}
	}
	me, err := c.newLeaf(ctx, account, tbs.UserPseudonym)
	if err != nil {
		return err
	}
	return c.enter(ctx, r, me, info, &index, nil, func(ctx context.Context) error {
		if !first {
			return nil
		}
		return c.cfg.Store.DeleteRows(ctx, r.uri())
	})
}
