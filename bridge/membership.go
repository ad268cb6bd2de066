package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// HandleMatrixMembership implements [bridgev2.MembershipHandlingNetworkAPI]. What
// people do in Matrix has happened there already; if MIMI does not follow, it is
// undone, and they are told why.
func (c *Client) HandleMatrixMembership(ctx context.Context, msg *bridgev2.MatrixMembershipChange) (*bridgev2.MatrixMembershipResult, error) {
	room, err := roomOf(msg.Portal)
	if err != nil {
		return nil, explain(err).status()
	}
	target := id.UserID(msg.Event.GetStateKey())
	self := target == msg.Event.Sender
	membership := msg.Content.Membership
	switch {
	case self && membership == event.MembershipJoin && msg.Type.From == event.MembershipJoin:
		err = c.renamed(ctx, msg.Content.Displayname)
	case self && membership == event.MembershipJoin:
		err = c.join(ctx, msg, room)
	case self && (membership == event.MembershipLeave || membership == event.MembershipBan):
		err = c.leave(ctx, msg.Event.ID, room)
	case membership == event.MembershipInvite:
		c.add(ctx, msg, room, target)
	case membership == event.MembershipLeave || membership == event.MembershipBan:
		c.remove(ctx, msg, room, target)
	}
	if err != nil {
		return nil, explain(err).status()
	}
	return nil, nil //nolint:nilnil // a result only redirects invitations
}

// join lets a person take part in the MIMI room whose portal they have joined. If
// they were added to it, but the invitation has not come by way of MIMI yet, they
// join when it comes. Who was not added must not read what the others write.
func (c *Client) join(ctx context.Context, msg *bridgev2.MatrixMembershipChange, room mimi.URI) error {
	err := c.main.backend.Engine.Join(ctx, c.account, room)
	if !errors.Is(err, client.ErrNotMember) {
		return err
	}
	info, err := c.main.room(ctx, room)
	if err != nil {
		return err
	}
	if info != nil && slices.ContainsFunc(info.Members, func(m client.RoomMember) bool { return m.User == c.account }) {
		return nil
	}
	c.refused(ctx, c.main.retract(ctx, msg.Portal, msg.Event, c.user, "Somebody who is in the MIMI room has to invite them here."))
	return nil
}

// leave takes a person out of a MIMI room. If its hub is out of reach they have left all
// the same, and are told when the others will see it.
func (c *Client) leave(ctx context.Context, evt id.EventID, room mimi.URI) error {
	err := ignore(c.main.backend.Engine.Leave(ctx, c.account, room), client.ErrNotMember)
	if !errors.Is(err, client.ErrLeaving) {
		return err
	}
	told := c.main.tellFor(ctx, NewCause(room.String(), "leave "+string(evt)), c.account, explain(err).String())
	if told != nil {
		c.main.log.WarnContext(ctx, "could not tell somebody that they will have left", "err", told)
	}
	return nil
}

// renamed tells MIMI a person's new display name, unless it is one for this
// Matrix room alone.
func (c *Client) renamed(ctx context.Context, name string) error {
	global, exists, err := c.main.profiles.Displayname(ctx, c.user)
	if err != nil || !exists || global != name {
		return err
	}
	return c.main.backend.Engine.SetName(ctx, c.account, name)
}

// targetAddress returns the address of who is meant by a membership event.
func (c *Client) targetAddress(ctx context.Context, target id.UserID) (mimi.URI, error) {
	ghost, ok := c.main.bridge.Matrix.ParseGhostMXID(target)
	if !ok {
		return c.main.accountOf(target)
	}
	user, err := c.main.ghostUser(ctx, ghost)
	if err == nil && user.IsZero() {
		err = client.ErrNotConnected
	}
	return user, err
}

// targetIn returns how the engine knows a participant of a room who is meant by a Matrix
// id: by address, or by pseudonym if that alone is known. It is zero for a ghost of
// nobody in the room.
func (c *Client) targetIn(ctx context.Context, room mimi.URI, target id.UserID) (mimi.URI, error) {
	user, err := c.targetAddress(ctx, target)
	if errors.Is(err, client.ErrNotConnected) {
		return c.targetPseudonym(ctx, room, target)
	}
	return user, err
}

// targetPseudonym returns the pseudonym that a ghost is of in a room, or zero.
func (c *Client) targetPseudonym(ctx context.Context, room mimi.URI, target id.UserID) (mimi.URI, error) {
	ghost, ok := c.main.bridge.Matrix.ParseGhostMXID(target)
	if !ok {
		return mimi.URI{}, nil
	}
	in, pseudonym, err := c.main.backend.Store.GhostOwner(ctx, string(ghost))
	if err != nil || in != room {
		return mimi.URI{}, err
	}
	return pseudonym, nil
}

// add adds somebody to the MIMI room who was invited to the portal.
func (c *Client) add(ctx context.Context, msg *bridgev2.MatrixMembershipChange, room mimi.URI, target id.UserID) {
	user, err := c.targetAddress(ctx, target)
	if err == nil {
		err = ignore(c.main.backend.Engine.Invite(ctx, c.account, room, user), client.ErrAlreadyMember)
	}
	if err != nil {
		c.refused(ctx, c.main.retract(ctx, msg.Portal, msg.Event, target, explain(err).String()))
	}
}

// remove removes somebody from the MIMI room who was removed from the portal.
func (c *Client) remove(ctx context.Context, msg *bridgev2.MatrixMembershipChange, room mimi.URI, target id.UserID) {
	user, err := c.targetIn(ctx, room, target)
	if err == nil && user.IsZero() {
		return
	}
	if err == nil {
		err = ignore(c.main.backend.Engine.Kick(ctx, c.account, room, user), client.ErrNotMember)
	}
	if err == nil {
		return
	}
	text := fmt.Sprintf("%s is still in the MIMI room, and has been invited back to this one. %s", user.Handle(), explain(err))
	err = c.main.invite(ctx, msg.Portal.MXID, target, c.main.bridge.Bot, false, "")
	if ghost, ok := c.main.bridge.Matrix.ParseGhostMXID(target); ok && err == nil {
		err = c.main.bridge.Matrix.GhostIntent(ghost).EnsureJoined(ctx, msg.Portal.MXID)
	}
	c.refused(ctx, errors.Join(err, c.main.say(ctx, msg.Portal.MXID, NewCause(room.String(), string(msg.Event.ID)), text)))
}

// refused logs what kept the gateway from undoing something.
func (c *Client) refused(ctx context.Context, err error) {
	if err != nil {
		c.main.log.WarnContext(ctx, "could not undo a change of membership", "err", err)
	}
}

// retract takes back that somebody was invited to a portal, or has joined it, where
// MIMI does not follow, and says why.
func (c *Connector) retract(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, target id.UserID, why string) error {
	_, err := c.bridge.Bot.SendState(ctx, portal.MXID, event.StateMember, target.String(), &event.Content{
		Parsed: &event.MemberEventContent{Membership: event.MembershipLeave, Reason: "The MIMI gateway could not add this person"},
	}, time.Time{})
	if err != nil {
		err = fmt.Errorf("bridge: failed to take an invitation back: %w", err)
	}
	text := fmt.Sprintf("%s was not added. %s", target, why)
	return errors.Join(err, c.say(ctx, portal.MXID, NewCause(string(portal.ID), string(evt.ID)), text))
}
