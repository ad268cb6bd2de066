package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// An account is deleted in the order of docs/mmr-profile.md, section 7: its contacts are
// told, it leaves its rooms, its key material goes, then its queue and itself. What has
// to be done is written down first, and each step can be taken again: after a crash, or
// when a hub did not answer, [Client.workClosing] begins at the top and finds done what is
// done.

// closedSource is the source of the message that says that an account was closed.
const closedSource = "account-closed"

// Deletion is how far the deletion of an account has come.
type Deletion struct {
	// Rooms is how many the account was in when it began, and Left how many of them it
	// is out of.
	Rooms, Left int
	// Done says that nothing is left of the account but the note that it was deleted.
	Done bool
}

// DeleteAccount begins the deletion of an account, or does nothing if it has begun: from
// now on nobody can ask or add the account. It returns before anything was sent;
// [EventDeleting] and [EventDeleted] tell how it goes on. It fails with [ErrNoAccount].
func (c *Client) DeleteAccount(ctx context.Context, account mimi.URI) (*Deletion, error) {
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if _, err := c.cfg.Store.Account(ctx, account); errors.Is(err, ErrNotFound) {
			return ErrNoAccount
		} else if err != nil {
			return err
		}
		if _, err := c.cfg.Store.Closure(ctx, account); !errors.Is(err, ErrNotFound) {
			return err
		}
		rooms, err := c.cfg.Store.LeavesOf(ctx, account)
		if err != nil {
			return err
		}
		c.cfg.Log.InfoContext(ctx, "the deletion of an account begins", "rooms", len(rooms))
		return c.cfg.Store.PutClosure(ctx, &Closure{Account: account, Since: c.cfg.Clock.Now(), Rooms: uint32(len(rooms))})
	})
	if err != nil {
		return nil, err
	}
	c.closings.wake(account)
	return c.Deletion(ctx, account)
}

// Deletion returns how far the deletion of an account has come. It fails with
// [ErrNotFound] if none was begun, or if the user has come back since.
func (c *Client) Deletion(ctx context.Context, account mimi.URI) (*Deletion, error) {
	closure, err := c.cfg.Store.Closure(ctx, account)
	if err != nil {
		return nil, err
	}
	rooms, err := c.cfg.Store.LeavesOf(ctx, account)
	if err != nil {
		return nil, err
	}
	return &Deletion{Rooms: int(closure.Rooms), Left: max(0, int(closure.Rooms)-len(rooms)), Done: closure.Done}, nil
}

// closing reports whether an account is being deleted, or was.
func (c *Client) closing(ctx context.Context, account mimi.URI) (bool, error) {
	_, err := c.cfg.Store.Closure(ctx, account)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// closingAccounts returns the accounts that are being deleted.
func (c *Client) closingAccounts(ctx context.Context) (map[mimi.URI]bool, error) {
	closures, err := c.cfg.Store.Closures(ctx)
	out := map[mimi.URI]bool{}
	for _, closure := range closures {
		out[closure.Account] = true
	}
	return out, err
}

// comeBack forgets that a user has deleted their account. It fails with [ErrClosing] if
// that is still under way.
func (c *Client) comeBack(ctx context.Context, user mimi.URI) error {
	closure, err := c.cfg.Store.Closure(ctx, user)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	case !closure.Done:
		return ErrClosing
	}
	return c.cfg.Store.DeleteClosure(ctx, user)
}

// resumeClosings goes on with all deletions.
func (c *Client) resumeClosings(ctx context.Context) error {
	accounts, err := c.closingAccounts(ctx)
	for account := range accounts {
		c.closings.wake(account)
	}
	return err
}

// workClosing takes all steps of a deletion that can be taken now. It is woken again
// when the account is out of a room, and called again after an error.
func (c *Client) workClosing(ctx context.Context, account mimi.URI) (more bool, err error) {
	closure, err := c.cfg.Store.Closure(ctx, account)
	if errors.Is(err, ErrNotFound) || err == nil && closure.Done {
		return false, nil
	} else if err != nil {
		return false, err
	}
	unsaid, err := c.sayClosed(ctx, account)
	if err != nil {
		return false, err
	}
	given := c.cfg.Clock.Now().Sub(closure.Since) >= c.cfg.Limits.Farewell
	failed := c.leaveAll(ctx, account, unsaid, given)
	untold := c.endAllConsents(ctx, account)
	remaining, err := c.cfg.Store.LeavesOf(ctx, account)
	if err != nil {
		return false, err
	}
	if err := c.tellDeleting(ctx, account, len(remaining)); err != nil {
		return false, err
	}
	if len(remaining) == 0 && (untold == nil || given) {
		return false, c.finishClosing(ctx, account)
	}
	return false, errors.Join(failed, untold) // or others still have to commit it
}

// sayClosed tells the account's contacts that it was closed. It returns the rooms whose
// hubs have not taken that yet.
func (c *Client) sayClosed(ctx context.Context, account mimi.URI) (unsaid map[mimi.URI]error, err error) {
	contacts, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	unsaid = map[mimi.URI]error{}
	for _, contact := range contacts {
		if contact.Account != account || contact.State != ContactConnected || contact.Room.IsZero() {
			continue
		}
		_, err := c.Send(ctx, account, contact.Room, closedSource, content.Closed())
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, ErrQueued) || errors.Is(err, ErrUnreachable) || errors.Is(err, ErrBusy):
			unsaid[contact.Room] = err
		case err != nil && !errors.Is(err, ErrNotMember): // nobody can be told there
			c.cfg.Log.WarnContext(ctx, "could not say that an account is closed", "room", contact.Room, "err", err)
		}
	}
	return unsaid, nil
}

// leaveAll leaves the rooms of an account. Those whose contact is not told yet wait; if
// the time for that is over, they are given up, as are those whose hubs do not answer.
func (c *Client) leaveAll(ctx context.Context, account mimi.URI, unsaid map[mimi.URI]error, giveUp bool) error {
	leaves, err := c.cfg.Store.LeavesOf(ctx, account)
	if err != nil {
		return err
	}
	for _, l := range leaves {
		why := unsaid[l.Room]
		if why == nil {
			why = ignore(c.leave(ctx, account, l.Room), ErrNotMember)
		}
		if giveUp && ctx.Err() == nil {
			why = c.abandon(ctx, account, l.Room)
		}
		if why != nil {
			err = errors.Join(err, fmt.Errorf("in %s: %w", l.Room, why))
		}
	}
	return err
}

// abandon forgets that an account is in a room, although the room still has its leaf, and
// with it the leaf's private keys. Where nobody else is in the room here, all of it goes.
// What has asked for the leaf's removal is signed already, and is still sent if the hub
// comes back in this epoch.
func (c *Client) abandon(ctx context.Context, account, uri mimi.URI) error {
	err := c.withRoom(ctx, uri, func(r *room) error {
		own, ok := r.own[account]
		if !ok {
			return ErrNotMember
		}
		c.cfg.Log.WarnContext(ctx, "an account that is deleted could not leave a room in time; its leaf stays there", "room", uri)
		return c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
			if err := c.out(ctx, r, own, Person{User: account, Local: true}, c.cfg.Clock.Now(), t); err != nil {
				return err
			}
			if len(r.own) > 0 {
				return r.detach(own)
			}
			r.record.Left = true
			return c.cfg.Store.PutRoom(ctx, r.record)
		})
	})
	if errors.Is(err, ErrNotMember) {
		return c.cfg.Store.DeleteLeaf(ctx, uri, account)
	}
	return err
}

// detach forgets the private keys of an own leaf that stays in the room: those of the
// group, and those that it is, or was to be, replaced with.
func (r *room) detach(own *Leaf) error {
	if _, rejoins := r.former[own.Account]; rejoins {
		if err := r.putFormer(own.Account, nil); err != nil {
			return err
		}
	}
	if own.State == LeafEntering {
		r.group.Discard() // its external Commit
		return nil
	}
	err := r.group.Detach(mls.LeafIndex(own.Index))
	// Otherwise the group that it was in is gone, and it has not come into this one; or
	// it is the one by which another account enters, which is not in yet.
	return ignore(ignore(err, mls.ErrNotOwn), mls.ErrLastOwn)
}

// tellDeleting tells the user how many rooms the account is out of, four times at most.
func (c *Client) tellDeleting(ctx context.Context, account mimi.URI, remaining int) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		closure, err := c.cfg.Store.Closure(ctx, account)
		if err != nil {
			return err
		}
		left := uint32(max(0, int(closure.Rooms)-remaining))
		if remaining == 0 || left < closure.Told+max(1, closure.Rooms/4) {
			return nil
		}
		closure.Told = left
		if err := c.cfg.Store.PutClosure(ctx, closure); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{
			Kind: EventDeleting, Time: c.cfg.Clock.Now(), Account: account, Count: int(left), Total: int(closure.Rooms),
		})
	})
	if err == nil {
		c.finish(&t)
	}
	return err
}

// finishClosing deletes an account that is in no room: first what others could use.
func (c *Client) finishClosing(ctx context.Context, account mimi.URI) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		closure, err := c.cfg.Store.Closure(ctx, account)
		if err != nil {
			return err
		}
		if err := c.dropRequests(ctx, account, func(*Request) (bool, error) { return true, nil }, &t); err != nil {
			return err
		}
		if err := c.deleteMaterial(ctx, account); err != nil {
			return err
		}
		if err := errors.Join(
			c.cfg.Packages.DropPackages(ctx, account), c.cfg.Allowances.DeleteAllowance(ctx, account),
			c.cfg.Store.DeleteAccount(ctx, account),
		); err != nil {
			return err
		}
		closure.Done = true
		if err := c.cfg.Store.PutClosure(ctx, closure); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{Kind: EventDeleted, Time: c.cfg.Clock.Now(), Account: account, Total: int(closure.Rooms)})
	})
	if err != nil {
		return err
	}
	c.cfg.Log.InfoContext(ctx, "an account was deleted")
	c.finish(&t)
	return nil
}

// deleteMaterial deletes the contacts of an account and all key material that was made
// for them, also that of colleagues for the account.
func (c *Client) deleteMaterial(ctx context.Context, account mimi.URI) error {
	contacts, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return err
	}
	for _, contact := range contacts {
		if contact.Account != account && (contact.Peer != account || contact.State != ContactColleague) {
			continue
		}
		secret, err := openContact(contact)
		if err != nil {
			return err
		}
		if err := c.endMaterial(ctx, secret); err != nil {
			return err
		}
		if secret.Ours != nil {
			c.tokens.drop(keymaterial.HashToken(secret.Ours.Token))
		}
		if err := c.cfg.Store.DeleteContact(ctx, contact.ID); err != nil {
			return err
		}
	}
	return nil
}
