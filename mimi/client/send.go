package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Sent is a message that the hub has accepted, or will be offered until it does.
type Sent struct {
	// ID is the message id of the content.
	ID content.MessageID
	// Accepted is the hub's time of acceptance; zero if that is still to come.
	Accepted time.Time
}

// Send sends a message to a room for an account. source is the caller's own name
// for it, which makes sending idempotent: with a source that was sent before,
// nothing new is sent. It returns when the hub has accepted the message, or with
// [ErrQueued] when that takes too long: the message is sent all the same, then.
// Messages of a room are sent in the order of the calls.
func (c *Client) Send(ctx context.Context, account, uri mimi.URI, source string, message content.Message) (Sent, error) {
	var id content.MessageID
	err := c.whenOpen(ctx, uri, func(r *room) error {
		own, err := r.speaker(account)
		if err != nil {
			return err
		}
		old, err := c.cfg.Store.Outgoing(ctx, uri, source)
		if err == nil {
			copy(id[:], old.MessageID)
			return nil
		} else if !errors.Is(err, ErrNotFound) {
			return err
		}
		if err := r.verified(account); err != nil {
			return err
		}
		if err := c.hears(ctx, r, account, content.Classify(message).Kind); err != nil {
			return err
		}
		composed, err := c.compose(r, own, message)
		if err != nil {
			return err
		}
		id = composed.ID
		return c.cfg.Store.PutOutgoing(ctx, &Outgoing{
			Room: uri, Account: account, Source: source, MessageID: id[:], Secret: composed.Data,
		})
	})
	if err != nil {
		return Sent{}, err
	}
	c.active(ctx, account)
	c.outbox.wake(uri)
	accepted, err := c.awaitAccepted(ctx, uri, source)
	return Sent{id, accepted}, err
}

// compose encodes a message of an account, if its role may send it.
func (c *Client) compose(r *room, own *Leaf, message content.Message) (content.Composed, error) {
	tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
	if !ok {
		return content.Composed{}, ErrNotMember
	}
	if err := r.public().State().MaySend(tbs.UserPseudonym, capability(content.Classify(message).Kind)); err != nil {
		return content.Composed{}, fmt.Errorf("%w: %w", ErrDenied, err)
	}
	author := content.Author{Origin: content.Origin{Sender: tbs.UserPseudonym, Room: r.uri()}, Random: c.cfg.Random}
	return author.Compose(message)
}

// whenOpen is [Client.withRoom] for what needs the links of all members: if f fails
// with errClosed, they are opened, and f is called again.
func (c *Client) whenOpen(ctx context.Context, uri mimi.URI, f func(r *room) error) error {
	err := c.withRoom(ctx, uri, f)
	if !errors.Is(err, errClosed) {
		return err
	}
	if err := c.openAll(ctx, uri); err != nil {
		return err
	}
	return c.withRoom(ctx, uri, f)
}

// awaitAccepted waits until the hub has accepted a message.
func (c *Client) awaitAccepted(ctx context.Context, uri mimi.URI, source string) (time.Time, error) {
	var accepted time.Time
	err := c.await(ctx, uri, c.cfg.Limits.Send, func() (bool, error) {
		out, err := c.cfg.Store.Outgoing(ctx, uri, source)
		if errors.Is(err, ErrNotFound) {
			return false, ErrDenied
		} else if err != nil {
			return false, err
		}
		accepted = out.Accepted
		return !accepted.IsZero(), nil
	})
	if errors.Is(err, ErrBusy) {
		err = ErrQueued
	}
	return accepted, err
}

// flush gives the messages that an account has sent to a room the time to be
// accepted.
func (c *Client) flush(ctx context.Context, account, uri mimi.URI) error {
	err := c.await(ctx, uri, c.cfg.Limits.Send, func() (bool, error) {
		all, err := c.cfg.Store.Unaccepted(ctx)
		return !slices.ContainsFunc(all, func(out *Outgoing) bool { return out.Room == uri && out.Account == account }), err
	})
	return ignore(err, ErrBusy)
}

// ignore returns nil for errors that wrap fine.
func ignore(err, fine error) error {
	if errors.Is(err, fine) {
		return nil
	}
	return err
}

// workOutbox offers the oldest message of a room to its hub.
func (c *Client) workOutbox(ctx context.Context, uri mimi.URI) (more bool, err error) {
	out, err := c.nextOutgoing(ctx, uri)
	if out == nil || err != nil {
		return false, err
	}
	if len(out.Body) == 0 {
		if err := c.encrypt(ctx, out); err != nil {
			return c.notSent(ctx, out, err)
		}
	}
	err = c.submit(ctx, out)
	if e, ok := errors.AsType[*protocol.WrongEpochError](err); ok {
		err := c.waitEpoch(ctx, uri, e.Current)
		if err == nil {
			err = c.encrypt(ctx, out)
		}
		if err != nil {
			return c.notSent(ctx, out, err)
		}
		return true, nil
	}
	if verdict := hubVerdict(err); verdict != nil {
		return c.notSent(ctx, out, verdict)
	}
	return err == nil, err
}

// nextOutgoing returns the oldest message of a room that is not accepted, or nil.
// Messages of accounts that do not send because of a leaf in quarantine wait for that
// to end, and let others pass.
func (c *Client) nextOutgoing(ctx context.Context, uri mimi.URI) (*Outgoing, error) {
	all, err := c.cfg.Store.Unaccepted(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(out *Outgoing) bool { return out.Room != uri })
	if len(all) == 0 {
		return nil, nil
	}
	var next *Outgoing
	err = c.withRoom(ctx, uri, func(r *room) error {
		for _, out := range all {
			if next = out; r.unverified(out.Account) == 0 {
				return nil
			}
		}
		next = nil
		return nil
	})
	if errors.Is(err, ErrNotMember) {
		return all[0], nil // it is given up
	}
	return next, err
}

// encrypt makes the request for a message in the current epoch. The ratchet's step
// and the ciphertext are stored together, before anything is sent.
func (c *Client) encrypt(ctx context.Context, out *Outgoing) error {
	for range c.cfg.Limits.Attempts {
		err := c.whenOpen(ctx, out.Room, func(r *room) error {
			if err := c.settleRoom(ctx, r); err != nil {
				return err
			}
			if err := r.verified(out.Account); err != nil {
				return err
			}
			own, err := r.speaker(out.Account)
			if err != nil {
				return err
			}
			// RFC 9420, section 12.4: what is pending is committed first.
			if len(r.group.PendingProposals()) > 0 {
				if slices.Contains(mmr.Leaving(r.proposed()), mls.LeafIndex(own.Index)) {
					return ErrNotMember
				}
				if err := c.commitPending(ctx, r, own); err != nil {
					return err
				}
			}
			if err := r.verified(out.Account); err != nil {
				return err // what was pending has brought somebody
			}
			return c.protect(ctx, r, own, out)
		})
		again, ok := errors.AsType[*errAgain](err)
		if !ok {
			return err
		}
		if err := c.waitEpoch(ctx, out.Room, again.epoch); err != nil {
			return err
		}
	}
	return ErrBusy
}

// padding is the unit of length of a message. What tells a name is as long as the
// longest name needs: the length of a name would tell accounts apart
// (docs/mmr-profile.md, section 9, T3).
func (c *Client) padding(out *Outgoing) int {
	unit := mls.DefaultLimits().Padding
	if strings.HasPrefix(out.Source, profileSource) {
		unit = profilePadding
	}
	return c.cfg.Faults.padding(unit)
}

func (c *Client) protect(ctx context.Context, r *room, own *Leaf, out *Outgoing) error {
	tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
	if !ok {
		return ErrNotMember
	}
	message, err := r.group.ProtectPadded(mls.LeafIndex(own.Index), out.Secret, c.cfg.Faults.aad(r, own.Account), c.padding(out))
	if err != nil {
		return fmt.Errorf("client: encrypt a message: %w", err)
	}
	request := &protocol.SubmitMessageRequest{Message: mls.MLSMessage{PrivateMessage: message}, Sender: tbs.UserPseudonym}
	if out.Body, err = mls.Marshal(request); err != nil {
		return err
	}
	out.Epoch = message.Epoch
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := c.save(ctx, r); err != nil {
			return err
		}
		return c.cfg.Store.PutOutgoing(ctx, out)
	})
}

// submit offers a message to the hub, and notes that it was accepted.
func (c *Client) submit(ctx context.Context, out *Outgoing) error {
	var request protocol.SubmitMessageRequest
	if err := mls.Unmarshal(out.Body, &request); err != nil {
		return fmt.Errorf("client: stored message: %w", err)
	}
	call, cancel := c.call(ctx)
	defer cancel()
	response, err := c.cfg.Hub.SubmitMessage(call, out.Room, &request)
	if err != nil {
		return err
	}
	done := *out
	done.Accepted, done.Secret, done.Body = response.Accepted, nil, nil
	if err := c.cfg.Store.PutOutgoing(ctx, &done); err != nil {
		return err
	}
	c.waiters.change(out.Room)
	return nil
}

// notSent gives a message up if it can never be sent, and leaves it for later
// otherwise.
func (c *Client) notSent(ctx context.Context, out *Outgoing, err error) (more bool, _ error) {
	if errors.Is(err, ErrQuarantine) {
		c.cfg.Log.InfoContext(ctx, "a message waits: the room has members whose identity could not be verified", "room", out.Room)
		return true, nil
	}
	if !errors.Is(err, ErrDenied) && !errors.Is(err, ErrNotMember) && !errors.Is(err, ErrInvited) && !errors.Is(err, ErrLost) {
		return false, err
	}
	c.cfg.Log.WarnContext(ctx, "a message was not sent", "room", out.Room, "err", err)
	if err := c.cfg.Store.DeleteOutgoing(ctx, out.Room, out.Source); err != nil {
		return false, err
	}
	c.waiters.change(out.Room)
	return true, nil
}
