package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

const (
	// maintenance is how often the client looks after its keys and forgets what it
	// needs no longer.
	maintenance = 24 * time.Hour
	// renewal is how long before the end of its certificate a leaf gets a new
	// credential: half of a certificate's life (docs/mmr-profile.md, section 2).
	renewal = 15 * 24 * time.Hour
)

// maintain does what is due, and comes back a day later.
func (c *Client) maintain(ctx context.Context) {
	if err := c.forget(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not forget what is old", "err", err)
	}
	if err := c.keys.load(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Log.ErrorContext(ctx, "could not renew the provider's keys", "err", err)
	}
	if err := c.renewLeaves(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not renew credentials in rooms", "err", err)
	}
	if err := c.reopenRooms(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not try identity links again", "err", err)
	}
	c.watchAuthorities(ctx)
	if err := c.resumeClosings(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not go on with deletions", "err", err)
	}
	c.planMaintenance()
}

// reopenRooms tries the links again that did not open, in all rooms.
func (c *Client) reopenRooms(ctx context.Context) error {
	rooms, err := c.cfg.Store.Rooms(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, record := range rooms {
		if !record.Left {
			_, err := c.reopenRoom(ctx, record.URI, true)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// planMaintenance starts the next round in a day.
func (c *Client) planMaintenance() {
	c.timers.at(mimi.ProviderURI(c.cfg.Domain), func() func() bool {
		return c.cfg.Clock.AfterFunc(maintenance, func() { c.spawn(c.maintain) })
	})
}

// renewLeaves gives new credentials to the leaves of local accounts whose
// certificates are about to end: otherwise the members of their rooms would see
// them as expired.
func (c *Client) renewLeaves(ctx context.Context) error {
	rooms, err := c.cfg.Store.Rooms(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, record := range rooms {
		if record.Left {
			continue
		}
		due, err := c.dueLeaves(ctx, record.URI)
		errs = append(errs, ignore(err, ErrNotMember))
		for _, account := range due {
			if err := ignore(c.renewLeaf(ctx, record.URI, account, unchanged), ErrClosing); err != nil {
				errs = append(errs, fmt.Errorf("in %s: %w", record.URI, err))
			}
		}
	}
	return errors.Join(errs...)
}

// dueLeaves returns the accounts that take part in a room with a certificate that
// is about to end.
func (c *Client) dueLeaves(ctx context.Context, uri mimi.URI) (due []mimi.URI, err error) {
	err = c.withRoom(ctx, uri, func(r *room) error {
		due = nil
		for account, l := range r.own {
			m, ok := r.members[mls.LeafIndex(l.Index)]
			if ok && l.State == LeafJoined && c.cfg.Clock.Now().Add(renewal).After(m.NotAfter) {
				due = append(due, account)
			}
		}
		return nil
	})
	return due, err
}

// A renewalKind says what a new credential is for.
type renewalKind int

const (
	// unchanged shows members what the old one has shown them.
	unchanged renewalKind = iota
	// identified shows members who the account is.
	identified
	// rewrapped is unchanged, for an entry under the newest wrapper key. A removal
	// that is pending waits for it: it cannot be committed before.
	rewrapped
)

// renewLeaf commits a new credential of an account: under a fresh client pseudonym
// and key, with a random link key, and with the queue sealed anew.
func (c *Client) renewLeaf(ctx context.Context, uri, account mimi.URI, why renewalKind) error {
	return c.commit(ctx, uri, account, func(ctx context.Context, r *room, own *Leaf) (*mls.CommitOptions, error) {
		return c.renewedLeaf(ctx, r, own, why)
	})
}

// renewedLeaf is the commit of renewLeaf.
func (c *Client) renewedLeaf(ctx context.Context, r *room, own *Leaf, why renewalKind) (*mls.CommitOptions, error) {
	if why != rewrapped && len(mmr.Leaving(r.proposed())) > 0 {
		return nil, &errAgain{removal: true}
	}
	tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
	if !ok {
		return nil, ErrNotMember
	}
	if r.plain() {
		return c.plainRenewal(ctx, own.Account)
	}
	me, err := c.newLeaf(ctx, own.Account, tbs.UserPseudonym)
	if err != nil {
		return nil, err
	}
	// Who was not shown to the room before is not shown by a renewal.
	pseudonymous := why != identified && r.hidden(mls.LeafIndex(own.Index))
	key, err := c.ownEntry(r, me, r.public().Policy(), pseudonymous)
	if err != nil {
		return nil, err
	}
	item, err := (&identity.AddAAD{Keys: []*identity.EncryptedIdentityLinkKey{key}}).SafeAADItem()
	if err != nil {
		return nil, err
	}
	opts := &mls.CommitOptions{AllPending: why != rewrapped, NewLeaf: &me.params, AAD: mls.AuthenticatedData{Safe: mls.SafeAAD{item}}}
	return opts, c.resealMetadata(r, opts)
}
