package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/bridge/msgconv"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// roomOf returns the MIMI room of a portal.
func roomOf(portal *bridgev2.Portal) (mimi.URI, error) {
	room, err := mimiid.ParsePortalID(portal.ID)
	if err != nil {
		return mimi.URI{}, fmt.Errorf("%w: %w", errNoRoom, err)
	}
	return room, nil
}

// send sends a message. One that is queued, as it says, will be sent.
func (c *Client) send(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, m content.Message) (sent client.Sent, queued bool, err error) {
	room, err := roomOf(portal)
	if err != nil {
		return client.Sent{}, false, err
	}
	if err := c.discloseFirst(ctx, portal, room); err != nil {
		return client.Sent{}, false, err
	}
	sent, err = c.main.backend.Engine.Send(ctx, c.account, room, string(evt.ID), m)
	if errors.Is(err, client.ErrQueued) {
		c.main.pending.watch(c, room, evt, m)
		return sent, true, nil
	}
	return sent, false, err
}

// discloseFirst makes sure that people know what they must before their first
// message.
func (c *Client) discloseFirst(ctx context.Context, portal *bridgev2.Portal, room mimi.URI) error {
	if meta, ok := portal.Metadata.(*mimiid.PortalMetadata); ok && meta.Disclosed {
		return nil
	}
	info, err := c.main.backend.Engine.Room(ctx, room)
	if err != nil {
		return err
	}
	return c.main.disclose(ctx, &place{portal, info, c.login})
}

// HandleMatrixMessage implements [bridgev2.NetworkAPI].
func (c *Client) HandleMatrixMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	out, err := c.handleMessage(ctx, msg)
	if err != nil {
		return nil, explain(err).status()
	}
	return out, nil
}

func (c *Client) handleMessage(ctx context.Context, msg *bridgev2.MatrixMessage) (*bridgev2.MatrixMessageResponse, error) {
	if msg.Event.Type != event.EventMessage {
		return nil, msgconv.Unsupported(msg.Event.Type, nil)
	}
	var inReplyTo content.MessageID
	var err error
	if msg.ReplyTo != nil {
		if inReplyTo, err = shownVersion(msg.ReplyTo); err != nil {
			return nil, err
		}
	}
	converter, err := c.converterFor(ctx, msg.Portal)
	if err != nil {
		return nil, err
	}
	m, err := converter.Message(msg.Content, inReplyTo)
	if err != nil {
		return nil, err
	}
	sent, queued, err := c.send(ctx, msg.Portal, msg.Event, m)
	if err != nil {
		return nil, err
	}
	row := &database.Message{
		ID: mimiid.MakeMessageID(sent.ID), SenderID: c.ghost, Timestamp: sent.Accepted, Metadata: &mimiid.MessageMetadata{},
	}
	if queued {
		return &bridgev2.MatrixMessageResponse{Pending: true}, c.saveQueued(ctx, msg, row)
	}
	return &bridgev2.MatrixMessageResponse{DB: row}, nil
}

// saveQueued saves the row of a message that waits. bridgev2 would do so only when
// it does not wait any more; but its id is known, and others may reply to it.
func (c *Client) saveQueued(ctx context.Context, msg *bridgev2.MatrixMessage, row *database.Message) error {
	if _, err := c.main.bridge.GetGhostByID(ctx, c.ghost); err != nil {
		return fmt.Errorf("bridge: failed to load the sender: %w", err)
	}
	row.MXID, row.Room, row.SenderMXID = msg.Event.ID, msg.Portal.PortalKey, msg.Event.Sender
	row.Timestamp = time.UnixMilli(msg.Event.Timestamp)
	if msg.ReplyTo != nil {
		row.ReplyTo.MessageID, row.ReplyTo.PartID = msg.ReplyTo.ID, &msg.ReplyTo.PartID
	}
	if err := c.main.bridge.DB.Message.Insert(ctx, row); err != nil {
		return fmt.Errorf("bridge: failed to save a message: %w", err)
	}
	return nil
}

// converterFor returns the converter of a portal's room.
func (c *Client) converterFor(ctx context.Context, portal *bridgev2.Portal) (msgconv.Converter, error) {
	room, err := roomOf(portal)
	if err != nil {
		return msgconv.Converter{}, err
	}
	info, err := c.main.backend.Engine.Room(ctx, room)
	if err != nil {
		return msgconv.Converter{}, err
	}
	return c.main.converter(ctx, info), nil
}

// firstID returns the MIMI id of the first version of a message.
func firstID(m *database.Message) (content.MessageID, error) {
	id, err := mimiid.ParseMessageID(m.ID)
	if err != nil {
		return content.MessageID{}, fmt.Errorf("%w: %w", errUnknownMessage, err)
	}
	return id, nil
}

// shownVersion returns the MIMI id of the version of a message that people see.
func shownVersion(m *database.Message) (content.MessageID, error) {
	if meta, ok := m.Metadata.(*mimiid.MessageMetadata); ok && meta.Latest != "" {
		if id, err := mimiid.ParseMessageID(meta.Latest); err == nil {
			return id, nil
		}
	}
	return firstID(m)
}

// HandleMatrixEdit implements [bridgev2.EditHandlingNetworkAPI].
func (c *Client) HandleMatrixEdit(ctx context.Context, msg *bridgev2.MatrixEdit) error {
	if err := c.handleEdit(ctx, msg); err != nil {
		return explain(err).status()
	}
	return nil
}

func (c *Client) handleEdit(ctx context.Context, msg *bridgev2.MatrixEdit) error {
	if msg.EditTarget.SenderMXID != msg.Event.Sender {
		return errNotSender
	}
	first, err := firstID(msg.EditTarget)
	if err != nil {
		return err
	}
	var inReplyTo content.MessageID
	if reply := msg.EditTarget.ReplyTo.MessageID; reply != "" {
		if inReplyTo, err = mimiid.ParseMessageID(reply); err != nil {
			return err
		}
	}
	room, err := roomOf(msg.Portal)
	if err != nil {
		return err
	}
	converter, err := c.converterFor(ctx, msg.Portal)
	if err != nil {
		return err
	}
	m, err := converter.Edit(msg.Content, first, inReplyTo)
	if err != nil {
		return err
	}
	sent, _, err := c.send(ctx, msg.Portal, msg.Event, m)
	if err != nil {
		return err
	}
	msg.EditTarget.EditCount++
	if meta, ok := msg.EditTarget.Metadata.(*mimiid.MessageMetadata); ok {
		meta.Latest = mimiid.MakeMessageID(sent.ID)
	}
	return c.main.backend.Store.PutRevision(ctx, room, sent.ID, first, "")
}

// PreHandleMatrixReaction implements [bridgev2.ReactionHandlingNetworkAPI].
func (c *Client) PreHandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (bridgev2.MatrixReactionPreResponse, error) {
	// Reactions refer to the row of their sender.
	if _, err := c.main.bridge.GetGhostByID(ctx, c.ghost); err != nil {
		return bridgev2.MatrixReactionPreResponse{}, explain(err).status()
	}
	emoji := msg.Content.RelatesTo.Key
	return bridgev2.MatrixReactionPreResponse{SenderID: c.ghost, EmojiID: emojiID(emoji), Emoji: emoji}, nil
}

// HandleMatrixReaction implements [bridgev2.ReactionHandlingNetworkAPI].
func (c *Client) HandleMatrixReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (*database.Reaction, error) {
	out, err := c.handleReaction(ctx, msg)
	if err != nil {
		return nil, explain(err).status()
	}
	return out, nil
}

func (c *Client) handleReaction(ctx context.Context, msg *bridgev2.MatrixReaction) (*database.Reaction, error) {
	room, err := roomOf(msg.Portal)
	if err != nil {
		return nil, err
	}
	target, err := shownVersion(msg.TargetMessage)
	if err != nil {
		return nil, err
	}
	first, err := firstID(msg.TargetMessage)
	if err != nil {
		return nil, err
	}
	m, err := msgconv.Reaction(msg.Content, target)
	if err != nil {
		return nil, err
	}
	sent, _, err := c.send(ctx, msg.Portal, msg.Event, m)
	if err != nil {
		return nil, err
	}
	if err := c.main.backend.Store.PutRevision(ctx, room, sent.ID, first, msg.PreHandleResp.Emoji); err != nil {
		return nil, err
	}
	return &database.Reaction{Metadata: &mimiid.ReactionMetadata{Message: mimiid.MakeMessageID(sent.ID)}}, nil
}

// HandleMatrixReactionRemove implements [bridgev2.ReactionHandlingNetworkAPI].
func (c *Client) HandleMatrixReactionRemove(ctx context.Context, msg *bridgev2.MatrixReactionRemove) error {
	if err := c.handleReactionRemove(ctx, msg); err != nil {
		return explain(err).status()
	}
	return nil
}

func (c *Client) handleReactionRemove(ctx context.Context, msg *bridgev2.MatrixReactionRemove) error {
	if msg.TargetReaction.SenderMXID != msg.Event.Sender {
		return errNotSender
	}
	meta, ok := msg.TargetReaction.Metadata.(*mimiid.ReactionMetadata)
	if !ok {
		return errUnknownMessage
	}
	reaction, err := mimiid.ParseMessageID(meta.Message)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnknownMessage, err)
	}
	target, err := mimiid.ParseMessageID(msg.TargetReaction.MessageID)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnknownMessage, err)
	}
	_, _, err = c.send(ctx, msg.Portal, msg.Event, content.Unreact(reaction, target))
	return err
}

// HandleMatrixMessageRemove implements [bridgev2.RedactionHandlingNetworkAPI].
func (c *Client) HandleMatrixMessageRemove(ctx context.Context, msg *bridgev2.MatrixMessageRemove) error {
	if err := c.handleMessageRemove(ctx, msg); err != nil {
		return explain(err).status()
	}
	return nil
}

func (c *Client) handleMessageRemove(ctx context.Context, msg *bridgev2.MatrixMessageRemove) error {
	if msg.TargetMessage.SenderMXID != msg.Event.Sender {
		return errNotSender
	}
	first, err := firstID(msg.TargetMessage)
	if err != nil {
		return err
	}
	var inReplyTo content.MessageID
	if reply := msg.TargetMessage.ReplyTo.MessageID; reply != "" {
		if inReplyTo, err = mimiid.ParseMessageID(reply); err != nil {
			return err
		}
	}
	_, _, err = c.send(ctx, msg.Portal, msg.Event, content.Delete(first, inReplyTo))
	return err
}

// HandleMatrixPollStart implements [bridgev2.PollHandlingNetworkAPI].
func (c *Client) HandleMatrixPollStart(_ context.Context, msg *bridgev2.MatrixPollStart) (*bridgev2.MatrixMessageResponse, error) {
	return nil, explain(msgconv.Unsupported(msg.Event.Type, nil)).status()
}

// HandleMatrixPollVote implements [bridgev2.PollHandlingNetworkAPI].
func (c *Client) HandleMatrixPollVote(_ context.Context, msg *bridgev2.MatrixPollVote) (*bridgev2.MatrixMessageResponse, error) {
	return nil, explain(msgconv.Unsupported(msg.Event.Type, nil)).status()
}

// HandleMatrixRoomName implements [bridgev2.RoomNameHandlingNetworkAPI].
func (c *Client) HandleMatrixRoomName(ctx context.Context, msg *bridgev2.MatrixRoomName) (bool, error) {
	if msg.Portal.Receiver != "" {
		return false, nil // what a person calls a direct chat is their own affair
	}
	room, err := roomOf(msg.Portal)
	if err != nil {
		return false, explain(err).status()
	}
	if err := c.main.backend.Engine.Rename(ctx, c.account, room, msg.Content.Name); err != nil {
		return false, explain(err).status()
	}
	msg.Portal.Name, msg.Portal.NameSet, msg.Portal.NameIsCustom = msg.Content.Name, true, true
	return true, nil
}
