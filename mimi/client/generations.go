package client

import (
	"context"
	"errors"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// mustRenew returns the leaves of a room that have to renew their entries before the
// next removal (docs/mmr-profile.md, section 3).
func (c *Client) mustRenew(r *room) []mls.LeafIndex {
	if r.plain() {
		return nil
	}
	return identity.MustRenew(r.public().Table(), r.public().Newest(), r.public().Metadata(), c.cfg.Limits.Generations)
}

// renewOldest renews the entries of accounts here that are among the oldest of a room
// in which as many generations of the wrapper key are live as may be: their keys are
// then of no use any more.
func (c *Client) renewOldest(ctx context.Context, uri mimi.URI) {
	var due []mimi.URI
	err := c.withRoom(ctx, uri, func(r *room) error {
		due = nil
		for _, i := range c.mustRenew(r) {
			if own := r.committer(i); own != nil {
				due = append(due, own.Account)
			}
		}
		return nil
	})
	if errors.Is(err, ErrNotMember) {
		return
	}
	for _, account := range due {
		err = errors.Join(err, c.renewOld(ctx, uri, account))
	}
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not renew the oldest entries of a room", "room", uri, "err", err)
	}
}

// renewOld renews the entry of an account, unless somebody has done so meanwhile.
func (c *Client) renewOld(ctx context.Context, uri, account mimi.URI) error {
	err := c.commit(ctx, uri, account, func(ctx context.Context, r *room, own *Leaf) (*mls.CommitOptions, error) {
		for _, i := range c.mustRenew(r) {
			if i == mls.LeafIndex(own.Index) {
				return c.renewedLeaf(ctx, r, own, rewrapped)
			}
		}
		return nil, errUnchanged
	})
	return ignore(ignore(err, errUnchanged), ErrNotMember)
}

// awaitRenewals gives the owners of the oldest entries the time to renew them, if that
// has to be before a removal. If they do not, the removal is tried all the same: the
// limit that nobody passes is [identity.MaxGenerations].
func (c *Client) awaitRenewals(ctx context.Context, uri mimi.URI) error {
	c.renewOldest(ctx, uri)
	err := c.await(ctx, uri, c.cfg.Limits.CatchUp, func() (bool, error) {
		ready := false
		err := c.withRoom(ctx, uri, func(r *room) error {
			ready = len(c.mustRenew(r)) == 0
			return nil
		})
		return ready, err
	})
	return ignore(err, ErrBusy)
}
