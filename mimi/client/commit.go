package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// errAgain reports a commit that lost to another one, or that has to wait for a
// pending removal: it is to be made again.
type errAgain struct {
	// epoch that the room has to reach first.
	epoch uint64
	// removal says that a removal has to be committed first.
	removal bool
}

// Error implements error.
func (e *errAgain) Error() string {
	if e.removal {
		return "client: a removal is pending"
	}
	return fmt.Sprintf("client: the room is at epoch %d already", e.epoch)
}

// commit makes a commit in a room for one of its accounts, and gets it accepted.
// build says what is in it; it is called again, on the room as it is then, if
// another commit was first.
func (c *Client) commit(ctx context.Context, uri, account mimi.URI, build func(ctx context.Context, r *room, own *Leaf) (*mls.CommitOptions, error)) error {
	return c.attempt(ctx, uri, account, func(r *room, own *Leaf) error {
		opts, err := build(ctx, r, own)
		if err != nil {
			return err
		}
		return c.commitNow(ctx, r, own, opts)
	})
}

// attempt runs f on a room in which an account takes part, and again, on the room as
// it is then, if that fails with an errAgain.
func (c *Client) attempt(ctx context.Context, uri, account mimi.URI, f func(r *room, own *Leaf) error) error {
	for range c.cfg.Limits.Attempts {
		err := c.withRoom(ctx, uri, func(r *room) error {
			if err := c.settleRoom(ctx, r); err != nil {
				return err
			}
			own, err := r.speaker(account)
			if err != nil {
				return err
			}
			return f(r, own)
		})
		again, ok := errors.AsType[*errAgain](err)
		if !ok {
			return err
		}
		if again.removal {
			c.commitRemovals(ctx, uri)
		} else if err := c.waitEpoch(ctx, uri, again.epoch); err != nil {
			return err
		}
	}
	return ErrBusy
}

// commitPending commits what is pending in a room that is locked.
func (c *Client) commitPending(ctx context.Context, r *room, own *Leaf) error {
	opts, err := c.pendingOptions(r)
	if err != nil {
		return err
	}
	return c.commitNow(ctx, r, own, opts)
}

// commitNow makes a commit in a room that is locked, and gets it accepted.
func (c *Client) commitNow(ctx context.Context, r *room, own *Leaf, opts *mls.CommitOptions) error {
	opts.GroupInfo = r.groupInfos
	pending, err := r.group.Commit(ctx, mls.LeafIndex(own.Index), *opts)
	if err != nil {
		return denied(err)
	}
	// A crash from here on finds the pending commit and sends it again.
	if err := c.saveNow(ctx, r); err != nil {
		return err
	}
	r.awaited = true
	defer func() { r.awaited = false }()
	return c.submitCommit(ctx, r, pending)
}

// submitCommit sends a pending commit to the hub and does what the answer says.
// Without an answer the commit stays pending: it may have been accepted.
func (c *Client) submitCommit(ctx context.Context, r *room, pending *mls.PendingCommit) error {
	request := &protocol.UpdateRequest{
		ProposalOrCommit: *pending.MLSMessage(), Welcome: pending.Welcome,
		GroupInfo: protocol.GroupInfoOption{Full: pending.GroupInfo}, RatchetTree: protocol.HubTree(),
	}
	call, cancel := c.call(ctx)
	defer cancel()
	response, err := c.cfg.Hub.Update(call, r.uri(), request)
	if err == nil {
		return c.merge(ctx, r, pending, response.Accepted)
	}
	verdict := hubVerdict(err)
	if verdict == nil {
		c.later(r.uri(), c.cfg.Limits.Backoff, c.settle)
		return unreachable(err)
	}
	if own := r.entering(); own != nil {
		if _, rejoins := r.former[own.Account]; rejoins {
			return verdict // [Client.resync] tries again
		}
		return errors.Join(verdict, c.notEntered(ctx, r, own))
	}
	r.group.Discard()
	if err := c.saveNow(ctx, r); err != nil {
		return err
	}
	return verdict
}

// hubVerdict says what an answer of the hub means for a commit, or is nil if it is
// no answer.
func hubVerdict(err error) error {
	if e, ok := errors.AsType[*protocol.WrongEpochError](err); ok {
		return &errAgain{epoch: e.Current}
	}
	if e, ok := errors.AsType[*protocol.NotAllowedError](err); ok {
		if e.Reason == protocol.ReasonRemovalPending {
			return &errAgain{removal: true}
		}
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	if _, ok := errors.AsType[*protocol.InvalidProposalError](err); ok {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	if errors.Is(err, protocol.ErrNoSuchRoom) || errors.Is(err, protocol.ErrMalformed) {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return nil
}

// unreachable marks a failure of transport, unless it says something better.
func unreachable(err error) error {
	if errors.Is(err, protocol.ErrNoProfile) || errors.Is(err, ErrNoPerson) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// denied marks what the own rules refuse before anything is sent.
func denied(err error) error {
	if errors.Is(err, identity.ErrGenerations) {
		return fmt.Errorf("%w: %w", ErrBusy, err) // others have to renew their entries first
	}
	if errors.Is(err, mls.ErrPolicy) {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	return err
}

// merge applies the own pending commit, which the hub has accepted.
func (c *Client) merge(ctx context.Context, r *room, pending *mls.PendingCommit, accepted time.Time) error {
	c.prepare(ctx, domainsOf(pending.Message)...)
	welcome := pending.Welcome
	return c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
		result, err := r.group.Merge(ctx)
		if err != nil {
			return fmt.Errorf("client: merge a commit: %w", err)
		}
		if r.entering() != nil {
			return c.entered(ctx, r, result, t)
		}
		if err := c.applied(ctx, r, result, accepted, t); err != nil {
			return err
		}
		if welcome == nil {
			return nil
		}
		return c.attach(ctx, r, welcome, accepted, t)
	})
}

// settle gets an answer for what was sent without one, before a crash or because
// the hub could not be reached, and goes on with what was not finished.
func (c *Client) settle(ctx context.Context, uri mimi.URI) {
	rejoins := false
	var joins *Leaf // by a link
	err := c.withRoom(ctx, uri, func(r *room) error {
		entering := r.entering()
		err := c.settleRoom(ctx, r)
		rejoins = len(r.former) > 0
		c.openInBackground(r)
		if entering != nil && r.record.Kind == RoomGroup && !rejoins && r.own[entering.Account] == nil {
			joins = entering
		}
		return err
	})
	if joins != nil {
		if err := c.notJoined(ctx, joins); err != nil && ctx.Err() == nil {
			c.cfg.Log.WarnContext(ctx, "could not tell of a join that failed", "room", uri, "err", err)
		}
		return
	}
	_, again := errors.AsType[*errAgain](err)
	if err != nil && !again && !errors.Is(err, ErrNotMember) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "a commit has no answer yet, will try again", "room", uri, "err", err)
		c.later(uri, c.cfg.Limits.MaxBackoff/4, c.settle)
		return
	}
	if rejoins {
		if err := c.resync(ctx, uri); err != nil && ctx.Err() == nil {
			c.cfg.Log.WarnContext(ctx, "could not join a room anew", "room", uri, "err", err)
		}
	}
	c.renewOldest(ctx, uri)
	c.leaveAgain(ctx, uri)
	c.showOwn(ctx, uri)
	c.planRemovals(ctx, uri)
	c.planEvictions(ctx, uri)
	c.askForHelp(ctx, uri)
	c.reach(ctx, uri, triesApart)
}

// settleRoom is settle on a locked room. What was refused is given up: its author
// has been told.
func (c *Client) settleRoom(ctx context.Context, r *room) error {
	if pending := r.group.Pending(); pending != nil {
		if err := ignore(c.submitCommit(ctx, r, pending), ErrDenied); err != nil {
			return err
		}
	}
	return ignore(c.settleLeaves(ctx, r), ErrDenied)
}

// waiters are goroutines that wait for rooms to reach epochs, and for messages to
// be accepted.
type waiters struct {
	mu    sync.Mutex
	rooms map[mimi.URI]chan struct{} // closed and replaced at every change
}

// changed returns a channel that is closed at the next change of a room.
func (w *waiters) changed(room mimi.URI) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rooms == nil {
		w.rooms = map[mimi.URI]chan struct{}{}
	}
	ch, ok := w.rooms[room]
	if !ok {
		ch = make(chan struct{})
		w.rooms[room] = ch
	}
	return ch
}

// change wakes those who wait for a room.
func (w *waiters) change(room mimi.URI) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if ch, ok := w.rooms[room]; ok {
		close(ch)
		delete(w.rooms, room)
	}
}

// await calls ready, now and after each change of a room, until it says so. It
// fails with [ErrBusy] once d has passed on the client's clock.
func (c *Client) await(ctx context.Context, room mimi.URI, d time.Duration, ready func() (bool, error)) error {
	late := make(chan struct{})
	defer c.cfg.Clock.AfterFunc(d, func() { close(late) })()
	for {
		changed := c.waiters.changed(room)
		if ok, err := ready(); ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-late:
			if ok, err := ready(); ok || err != nil {
				return err
			}
			return ErrBusy // and ready has seen the last change
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waitEpoch waits until a room has reached an epoch. Commits that come one after the
// other are waited for as long as they come. If what leads there does not come, the
// room is joined anew.
func (c *Client) waitEpoch(ctx context.Context, uri mimi.URI, epoch uint64) error {
	var now uint64
	for {
		before := now
		err := c.await(ctx, uri, c.cfg.Limits.CatchUp, func() (bool, error) {
			err := c.withRoom(ctx, uri, func(r *room) error {
				now = r.group.Epoch()
				return nil
			})
			return err == nil && now >= epoch, err
		})
		switch {
		case !errors.Is(err, ErrBusy):
			return err
		case now == before:
			return c.resync(ctx, uri)
		}
	}
}
