package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// Notify takes in what the hub at from sends to users here, for one of its rooms:
// it stores the request and returns. A repeat is stored once
// (draft-ietf-mimi-protocol-06, section 5.5).
func (c *Client) Notify(ctx context.Context, from string, room mimi.URI, body []byte) error {
	done, err := c.serve()
	if err != nil {
		return err
	}
	defer done()
	fresh, err := c.cfg.Store.AddIncoming(ctx, &Incoming{Room: room, From: from, Received: c.cfg.Clock.Now(), Body: body})
	if err != nil {
		return fmt.Errorf("client: store an incoming request: %w", err)
	}
	if fresh {
		c.inbox.wake(room)
	}
	return nil
}

// workInbox processes the oldest request for a room.
func (c *Client) workInbox(ctx context.Context, uri mimi.URI) (more bool, err error) {
	in, err := c.cfg.Store.NextIncoming(ctx, uri)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	messages, err := c.fanoutMessages(ctx, in)
	if err != nil && !errors.Is(err, protocol.ErrMalformed) {
		return false, err
	} else if err != nil {
		c.refused(ctx, "dropped an incoming request that does not decode", err, "room", uri)
		return true, c.cfg.Store.DeleteIncoming(ctx, in.Seq)
	}
	for _, m := range messages {
		if m.Message.PublicMessage != nil {
			c.prepare(ctx, domainsOf(m.Message.PublicMessage)...)
		}
	}
	var lost bool
	err = c.withSlot(ctx, uri, func(r *room) (*room, error) {
		// An own commit without an answer may be what this request builds on.
		if r != nil {
			err := c.settleRoom(ctx, r)
			if _, lost := errors.AsType[*errAgain](err); err != nil && !lost {
				return nil, err
			}
			if r.record.Left {
				r = nil
			}
		}
		var t told
		err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
			t, lost = told{}, false
			for _, m := range messages {
				if r, err = c.process(ctx, uri, r, m, &t); err != nil {
					return err
				}
			}
			if r != nil && r.record.Left {
				err = c.cfg.Store.DeleteRows(ctx, uri)
			} else if r != nil {
				err = c.save(ctx, r)
			}
			if err != nil {
				return err
			}
			return c.cfg.Store.DeleteIncoming(ctx, in.Seq)
		})
		if errors.Is(err, errLostTrack) {
			lost = true
		}
		if err != nil {
			return nil, err
		}
		c.finish(&t)
		return r, nil
	})
	c.waiters.change(uri)
	if lost {
		return true, c.recover(ctx, uri, in)
	}
	if wants, ok := errors.AsType[*errNoCA](err); ok {
		c.prepare(ctx, wants.domains...)
		return true, nil // the same again, with the CAs or without
	}
	return err == nil, err
}

// fanoutMessages reads the messages of a request. Those of a plain room come in
// another form than those of other rooms, and what no account is in yet begins with
// a Welcome: the KeyPackage that it names says of which kind the room is
// (docs/mmr-profile.md, section 11, "Plain rooms"). It fails with
// [protocol.ErrMalformed].
func (c *Client) fanoutMessages(ctx context.Context, in *Incoming) ([]*protocol.FanoutMessage, error) {
	plain, err := c.plainFanout(ctx, in)
	if err != nil {
		return nil, err
	}
	if plain {
		return protocol.ParsePlainFanout(in.Body)
	}
	messages, err := protocol.ParseFanout(in.Body)
	out := make([]*protocol.FanoutMessage, 0, len(messages))
	for _, m := range messages {
		out = append(out, &m.Message)
	}
	return out, err
}

// plainFanout reports whether a request is one for a plain room.
func (c *Client) plainFanout(ctx context.Context, in *Incoming) (bool, error) {
	record, err := c.cfg.Store.Room(ctx, in.Room)
	if err == nil && !record.Left {
		return record.Kind == RoomPlain, nil
	} else if err != nil && !errors.Is(err, ErrNotFound) {
		return false, err
	}
	first, err := protocol.FirstFanout(in.Body)
	if err != nil || first.Message.Welcome == nil {
		return false, err
	}
	people, err := c.invitedBy(ctx, first.Message.Welcome)
	return len(people) > 0 && people[0].plain(), err
}

// errLostTrack reports a room whose group cannot follow its hub any more.
var errLostTrack = errors.New("client: lost track of the room")

// recover joins the room anew because of a request that cannot be followed, and
// then drops it. The request stays as long as it takes: it is what is left of the
// knowledge that something is missing.
func (c *Client) recover(ctx context.Context, uri mimi.URI, in *Incoming) error {
	err := c.resync(ctx, uri)
	if errors.Is(err, ErrLost) {
		c.cfg.Log.ErrorContext(ctx, "the room is lost", "room", uri, "err", err)
	} else if err := ignore(err, ErrNotMember); err != nil {
		return err
	}
	return c.cfg.Store.DeleteIncoming(ctx, in.Seq)
}

// process applies one message of the hub to a room, or makes the room if it is a
// Welcome to one. The room is nil if there is none.
func (c *Client) process(ctx context.Context, uri mimi.URI, r *room, m *protocol.FanoutMessage, t *told) (*room, error) {
	if m.Message.Welcome != nil {
		if r != nil {
			return r, c.attach(ctx, r, m.Message.Welcome, m.Accepted, t)
		}
		return c.welcomed(ctx, uri, m, t)
	}
	if r == nil {
		c.cfg.Log.DebugContext(ctx, "dropped a message for a room that nobody here is in", "room", uri)
		return nil, nil
	}
	for _, message := range append([]mls.MLSMessage{m.Message}, append(m.MoreProposals, m.ExternalProposals...)...) {
		result, err := r.group.Process(ctx, &message)
		if err != nil {
			if err := c.unprocessed(ctx, r, err); err != nil {
				return nil, err
			}
			continue
		}
		if err := c.processed(ctx, r, result, m.Accepted, t); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// unprocessed decides what a message means that the group did not take.
func (c *Client) unprocessed(ctx context.Context, r *room, err error) error {
	switch {
	case errors.Is(err, mls.ErrEpochFuture), errors.Is(err, mls.ErrConfirmationTag), errors.Is(err, mls.ErrPathSecret),
		errors.Is(err, mls.ErrUnknownProposal), errors.Is(err, mls.ErrNoSecrets):
		c.refused(ctx, "a message cannot be followed", err, "room", r.uri(), "epoch", r.group.Epoch())
		return fmt.Errorf("%w: %w", errLostTrack, err)
	case errors.Is(err, mls.ErrPolicy):
		// The hub accepted what the rules forbid: its state is not ours any more.
		c.refused(ctx, "the hub has accepted what the rules of the room forbid", err, "room", r.uri(), "epoch", r.group.Epoch())
		return fmt.Errorf("%w: %w", errLostTrack, err)
	default:
		// Stale, repeated, or no member's: whoever sent it gains nothing.
		c.refused(ctx, "dropped a message", err, "room", r.uri(), "epoch", r.group.Epoch())
		return nil
	}
}

// processed does what follows from a message that the group has taken.
func (c *Client) processed(ctx context.Context, r *room, result *mls.Result, accepted time.Time, t *told) error {
	switch {
	case result.Commit != nil:
		return c.applied(ctx, r, result.Commit, accepted, t)
	case result.Application != nil:
		return c.received(ctx, r, result.Application, accepted, t)
	default:
		return c.proposalsPending(ctx, r, accepted, t)
	}
}

// received tells of an application message, if it is what its sender may send.
func (c *Client) received(ctx context.Context, r *room, m *mls.ApplicationMessage, accepted time.Time, t *told) error {
	if err := c.openClosed(ctx, r, m.Sender, t); err != nil {
		return err
	}
	member, ok := r.sender(m)
	if !ok {
		c.refused(ctx, "dropped a message of a leaf that is gone", mls.ErrNotMember, "room", r.uri())
		return nil
	}
	got, err := content.Receive(m.Data, content.Origin{Sender: member.UserPseudonym, Room: r.uri()}, content.Limits{})
	if err != nil {
		c.refused(ctx, "dropped a message with malformed content", err, "room", r.uri())
		return nil
	}
	action := content.Classify(got.Message)
	if err := r.public().State().MaySend(member.UserPseudonym, capability(action.Kind)); err != nil {
		c.refused(ctx, "dropped a message that its sender may not send", mimi.Refuse("content-role", err), "room", r.uri())
		return nil
	}
	switch action.Kind {
	case content.KindProfile:
		return c.profiled(ctx, r, member, got, accepted, t)
	case content.KindClosed:
		return c.peerClosed(ctx, r, member, accepted, t)
	case content.KindLost:
		return c.askedForHelp(ctx, r, member, got.Message, t)
	case content.KindLink:
		return c.helped(ctx, r, member, got.Message, t)
	}
	c.heard(r, t)
	for _, e := range c.cfg.Faults.messages(&Event{
		Kind: EventMessage, Time: accepted, Room: r.uri(), Actor: c.personOf(r, member), Message: got.ID[:], Content: m.Data,
	}) {
		if err := c.tell(ctx, t, e); err != nil {
			return err
		}
	}
	return nil
}

// sender returns the member who sent a message. A leaf index can have been taken
// over since the message's epoch; the pseudonym of the leaf cannot.
func (r *room) sender(m *mls.ApplicationMessage) (*Member, bool) {
	tbs, err := credentialOf(m.SenderLeaf)
	if err != nil {
		return nil, false
	}
	member, ok := r.members[m.Sender]
	return member, ok && member.ClientPseudonym == tbs.ClientPseudonym
}

// capability is what a message of a kind needs its sender's role to have
// (draft-ietf-mimi-room-policy-03, section 8.3).
func capability(kind content.Kind) rules.Capability {
	switch kind {
	case content.KindReply:
		return rules.CanReplyToMessage
	case content.KindReaction:
		return rules.CanReactToMessage
	case content.KindUnreact:
		return rules.CanDeleteOwnReaction
	case content.KindEdit:
		return rules.CanEditOwnMessage
	case content.KindDelete:
		return rules.CanDeleteOwnMessage
	default:
		return rules.CanSendMessage
	}
}

// workEvents delivers the oldest event of a lane.
func (c *Client) workEvents(ctx context.Context, lane mimi.URI) (more bool, err error) {
	stored, err := c.cfg.Store.NextEvent(ctx, lane)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	event, err := loadEvent(stored)
	if err != nil {
		c.cfg.Log.ErrorContext(ctx, "dropped an event that does not decode", "err", err)
		return true, c.cfg.Store.DeleteEvent(ctx, stored.Seq)
	}
	if err := c.cfg.Sink.Deliver(ctx, event); err != nil {
		return false, fmt.Errorf("deliver %s event %d: %w", event.Kind, event.Seq, err)
	}
	return true, c.cfg.Store.DeleteEvent(ctx, stored.Seq)
}
