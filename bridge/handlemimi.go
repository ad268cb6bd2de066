package bridge

import (
	"context"
	"errors"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/bridge/msgconv"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// incoming is a MIMI message on its way to Matrix.
type incoming struct {
	event *client.Event
	info  *client.RoomInfo
	id    content.MessageID
	msgconv.Converted
	source *bridgev2.UserLogin
	key    networkid.PortalKey
	// sender is the ghost of who sent it.
	sender networkid.UserID
}

// message shows a MIMI message.
func (c *Connector) message(ctx context.Context, e *client.Event) error {
	if e.Actor.Local {
		return nil // written in Matrix, where everybody here has seen it
	}
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	m, err := content.Decode(e.Content, content.Limits{})
	if err != nil {
		c.log.WarnContext(ctx, "dropped a message that does not decode", "room", e.Room, "err", err)
		return nil
	}
	in := &incoming{event: e, info: info, key: c.key(info), Converted: c.converter(ctx, info).ToMatrix(m)}
	if copy(in.id[:], e.Message) != len(in.id) {
		c.log.WarnContext(ctx, "dropped a message with a malformed id", "room", e.Room)
		return nil
	}
	if in.sender, err = c.ghostID(ctx, e.Room, e.Actor); err != nil {
		return err
	}
	// The portal is there, and has its disclosure, before anything is shown.
	if err := c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		in.source = p.source
		_, err := c.ghost(ctx, e.Room, e.Actor)
		return err
	}); err != nil || in.source == nil {
		return err
	}
	kind, err := c.authorize(ctx, in)
	if err != nil || kind == content.KindUnknown && len(in.Parts) == 0 {
		return err
	}
	return c.show(ctx, in, kind)
}

// authorize decides whether the sender may do what a message does to an earlier
// one, and returns what that amounts to. A message that may not do it does
// nothing.
func (c *Connector) authorize(ctx context.Context, in *incoming) (content.Kind, error) {
	target, changes := in.Changes()
	if !changes {
		return in.Kind, nil
	}
	original, err := c.original(ctx, in, target)
	if err != nil {
		return content.KindUnknown, err
	}
	kind, err := in.Authorize(actorOf(in.event), original)
	if err != nil {
		c.log.InfoContext(ctx, "ignored a change of a message", "room", in.event.Room, "kind", in.Kind, "err", err)
		in.Parts = nil
		return content.KindUnknown, nil
	}
	return kind, nil
}

// actorOf returns the URI that stands for the sender of a message in a room.
func actorOf(e *client.Event) mimi.URI {
	if e.Actor.User.IsZero() {
		return e.Actor.Pseudonym
	}
	return e.Actor.User
}

// original returns what is known of a message that the sender of another wants to
// change. Its sender is that other's if their ghosts are the same.
func (c *Connector) original(ctx context.Context, in *incoming, target content.MessageID) (content.Original, error) {
	first, reaction, err := c.backend.Store.Revision(ctx, in.event.Room, target)
	if err != nil {
		return content.Original{}, err
	}
	if reaction != "" {
		r, err := c.bridge.DB.Reaction.GetByIDWithoutMessagePart(ctx, in.key.Receiver, mimiid.MakeMessageID(first), in.sender, emojiID(strings.Split(reaction, "\n")[0]))
		if err != nil || r == nil {
			return content.Original{Kind: content.KindReaction}, err
		}
		return content.Original{Kind: content.KindReaction, Sender: actorOf(in.event)}, nil
	}
	message, err := c.bridge.DB.Message.GetFirstPartByID(ctx, in.key.Receiver, mimiid.MakeMessageID(target))
	if err != nil || message == nil {
		return content.Original{}, err
	}
	original := content.Original{Kind: content.KindText}
	if message.SenderID == in.sender {
		original.Sender = actorOf(in.event)
	}
	return original, nil
}

// show hands a message to bridgev2 as what it is.
func (c *Connector) show(ctx context.Context, in *incoming, kind content.Kind) error {
	switch kind {
	case content.KindText, content.KindReply, content.KindUnknown:
		return c.result(c.queue(in.source, c.newMessage(in)))
	case content.KindEdit:
		if err := c.backend.Store.PutRevision(ctx, in.event.Room, in.id, in.Target, ""); err != nil {
			return err
		}
		return c.result(c.queue(in.source, c.newEdit(in)))
	case content.KindDelete:
		return c.result(c.queue(in.source, &simplevent.MessageRemove{
			EventMeta: c.meta(in, bridgev2.RemoteEventMessageRemove), TargetMessage: mimiid.MakeMessageID(in.Target),
		}))
	case content.KindReaction:
		return c.react(ctx, in)
	case content.KindUnreact:
		return c.unreact(ctx, in, in.Target)
	default:
		return nil
	}
}

// result returns the error of a handled event.
func (c *Connector) result(r bridgev2.EventHandlingResult) error {
	if r.Success {
		return nil
	}
	return failed(r)
}

// meta describes a message to bridgev2. All Matrix events that come of it carry
// its transaction ids.
func (c *Connector) meta(in *incoming, kind bridgev2.RemoteEventType) simplevent.EventMeta {
	meta := simplevent.EventMeta{
		Type: kind, PortalKey: in.key, Timestamp: eventTime(in.event), StreamOrder: int64(in.event.Seq), //nolint:gosec // counted from 1
		Sender: bridgev2.EventSender{Sender: in.sender},
	}
	CauseMeta(&meta, in.event.Room.String(), in.id.String())
	return meta
}

func (c *Connector) newMessage(in *incoming) *simplevent.Message[*incoming] {
	evt := &simplevent.Message[*incoming]{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventMessageUpsert, PortalKey: in.key, Timestamp: eventTime(in.event),
			StreamOrder: int64(in.event.Seq), //nolint:gosec // counted from 1
			Sender:      bridgev2.EventSender{Sender: in.sender},
		},
		Data: in, ID: mimiid.MakeMessageID(in.id),
		ConvertMessageFunc: c.convertMessage,
		HandleExistingFunc: c.completeMessage,
	}
	CauseMessage(evt, in.event.Room.String(), in.id.String())
	return evt
}

// completeMessage is called when a part of a message was shown before. If a crash
// kept the others from being shown, all are sent again: the homeserver knows
// those that it has.
func (c *Connector) completeMessage(ctx context.Context, _ *bridgev2.Portal, _ bridgev2.MatrixAPI, existing []*database.Message, in *incoming) (bridgev2.UpsertResult, error) {
	if len(existing) >= len(in.Parts) {
		return bridgev2.UpsertResult{}, nil
	}
	for _, part := range existing {
		if err := c.bridge.DB.Message.Delete(ctx, part.RowID); err != nil {
			return bridgev2.UpsertResult{}, err
		}
	}
	return bridgev2.UpsertResult{ContinueMessageHandling: true}, nil
}

func (c *Connector) convertMessage(ctx context.Context, portal *bridgev2.Portal, _ bridgev2.MatrixAPI, in *incoming) (*bridgev2.ConvertedMessage, error) {
	out := &bridgev2.ConvertedMessage{}
	for _, part := range in.Parts {
		out.Parts = append(out.Parts, &bridgev2.ConvertedMessagePart{
			ID: networkid.PartID(part.ID), Type: event.EventMessage, Content: part.Content,
		})
	}
	if in.Kind == content.KindReply {
		target, err := c.firstVersion(ctx, in.event.Room, in.Target)
		if err != nil {
			return nil, err
		}
		out.ReplyTo = &networkid.MessageOptionalPartID{MessageID: mimiid.MakeMessageID(target)}
	}
	return out, nil
}

// firstVersion returns the first version of the message that id is a version of.
func (c *Connector) firstVersion(ctx context.Context, room mimi.URI, id content.MessageID) (content.MessageID, error) {
	first, reaction, err := c.backend.Store.Revision(ctx, room, id)
	if err != nil || reaction != "" || first == [32]byte{} {
		return id, err
	}
	return first, nil
}

func (c *Connector) newEdit(in *incoming) *simplevent.Message[*incoming] {
	evt := &simplevent.Message[*incoming]{
		EventMeta: simplevent.EventMeta{
			Type: bridgev2.RemoteEventEdit, PortalKey: in.key, Timestamp: eventTime(in.event),
			StreamOrder: int64(in.event.Seq), //nolint:gosec // counted from 1
			Sender:      bridgev2.EventSender{Sender: in.sender},
		},
		Data: in, ID: mimiid.MakeMessageID(in.id), TargetMessage: mimiid.MakeMessageID(in.Target),
		ConvertEditFunc: c.convertEdit,
	}
	CauseMessage(evt, in.event.Room.String(), in.id.String())
	return evt
}

// convertEdit gives each part of the new version to the event that showed that
// part before, adds events for further parts, and removes those that are left.
func (c *Connector) convertEdit(_ context.Context, _ *bridgev2.Portal, _ bridgev2.MatrixAPI, existing []*database.Message, in *incoming) (*bridgev2.ConvertedEdit, error) {
	latest := mimiid.MakeMessageID(in.id)
	byPart := map[networkid.PartID]*database.Message{}
	for _, m := range existing {
		if meta, ok := m.Metadata.(*mimiid.MessageMetadata); ok {
			if meta.Latest == latest {
				return nil, bridgev2.ErrIgnoringRemoteEvent // shown before
			}
			meta.Latest = latest
		}
		byPart[m.PartID] = m
	}
	out := &bridgev2.ConvertedEdit{}
	for _, part := range in.Parts {
		partID := networkid.PartID(part.ID)
		if m, ok := byPart[partID]; ok {
			delete(byPart, partID)
			m.EditCount++
			out.ModifiedParts = append(out.ModifiedParts, &bridgev2.ConvertedEditPart{Part: m, Type: event.EventMessage, Content: part.Content})
			continue
		}
		if out.AddedParts == nil {
			out.AddedParts = &bridgev2.ConvertedMessage{}
		}
		out.AddedParts.Parts = append(out.AddedParts.Parts, &bridgev2.ConvertedMessagePart{
			ID: partID, Type: event.EventMessage, Content: part.Content, DBMetadata: &mimiid.MessageMetadata{Latest: latest},
		})
	}
	for _, m := range byPart {
		out.DeletedParts = append(out.DeletedParts, m)
	}
	return out, nil
}

// emojiID is the id of a reaction: each person can have each one once.
func emojiID(emoji string) networkid.EmojiID { return networkid.EmojiID(emoji) }

// react shows reactions, in the place of earlier ones if the message says so.
func (c *Connector) react(ctx context.Context, in *incoming) error {
	if !in.Replaces.IsZero() {
		if err := c.unreact(ctx, in, in.Replaces); err != nil {
			return err
		}
	}
	target, err := c.firstVersion(ctx, in.event.Room, in.Target)
	if err != nil {
		return err
	}
	if err := c.backend.Store.PutRevision(ctx, in.event.Room, in.id, target, strings.Join(in.Reactions, "\n")); err != nil {
		return err
	}
	var all error
	for _, emoji := range in.Reactions {
		meta := c.meta(in, bridgev2.RemoteEventReaction)
		CauseMeta(&meta, in.event.Room.String(), in.id.String()+" "+emoji)
		all = errors.Join(all, c.result(c.queue(in.source, &simplevent.Reaction{
			EventMeta: meta, TargetMessage: mimiid.MakeMessageID(target), Emoji: emoji, EmojiID: emojiID(emoji),
			ReactionDBMeta: &mimiid.ReactionMetadata{Message: mimiid.MakeMessageID(in.id)},
		})))
	}
	return all
}

// unreact takes back the reactions of an earlier message.
func (c *Connector) unreact(ctx context.Context, in *incoming, reaction content.MessageID) error {
	target, emojis, err := c.backend.Store.Revision(ctx, in.event.Room, reaction)
	if err != nil || emojis == "" {
		return err
	}
	var all error
	for emoji := range strings.SplitSeq(emojis, "\n") {
		meta := c.meta(in, bridgev2.RemoteEventReactionRemove)
		CauseMeta(&meta, in.event.Room.String(), in.id.String()+" "+emoji)
		all = errors.Join(all, c.result(c.queue(in.source, &simplevent.Reaction{
			EventMeta: meta, TargetMessage: mimiid.MakeMessageID(target), EmojiID: emojiID(emoji),
		})))
	}
	return all
}

// converter translates messages of a room. Mentions use its pseudonyms, and only who is
// mentioned is looked up: a room may have many members.
func (c *Connector) converter(ctx context.Context, info *client.RoomInfo) msgconv.Converter {
	find := func(is func(m *client.RoomMember) bool) (*client.RoomMember, bool) {
		for i := range info.Members {
			if is(&info.Members[i]) {
				return &info.Members[i], true
			}
		}
		return nil, false
	}
	return msgconv.Converter{
		MIMIUser: func(user id.UserID) (mimi.URI, bool) {
			room, uri, err := c.standsFor(ctx, user)
			if err != nil || uri.IsZero() || !room.IsZero() && room != info.Room {
				return mimi.URI{}, false
			}
			m, ok := find(func(m *client.RoomMember) bool {
				return room.IsZero() && m.User == uri || !room.IsZero() && m.User.IsZero() && m.Pseudonym == uri
			})
			if !ok {
				return mimi.URI{}, false
			}
			return m.Pseudonym, true
		},
		MatrixUser: func(uri mimi.URI) (id.UserID, string, bool) {
			m, ok := find(func(m *client.RoomMember) bool { return m.Pseudonym == uri })
			if !ok {
				return "", "", false
			}
			user, err := c.appears(ctx, info.Room, m.Person)
			if err != nil {
				c.log.WarnContext(ctx, "a member cannot be mentioned", "err", err)
				return "", "", false
			}
			return user, c.nameOf(m.Person), true
		},
	}
}

// standsFor returns for whom a Matrix user stands: a person, or somebody unverified in a
// room, by pseudonym. It is the inverse of [Connector.appears].
func (c *Connector) standsFor(ctx context.Context, user id.UserID) (room, uri mimi.URI, err error) {
	if ghost, ok := c.bridge.Matrix.ParseGhostMXID(user); ok {
		return c.backend.Store.GhostOwner(ctx, string(ghost))
	}
	uri, err = c.accountOf(user)
	return mimi.URI{}, uri, err
}
