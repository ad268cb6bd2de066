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
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// sealMetadata encrypts what a room is called for its members.
func (c *Client) sealMetadata(r *room, key identity.WrapperKey, metadata *rules.RoomMetadata) (*identity.EncryptedRoomMetadata, error) {
	plaintext, err := rules.Encode(metadata)
	if err != nil {
		return nil, fmt.Errorf("client: room metadata: %w", err)
	}
	return key.SealMetadata(r.suite, identity.GroupID(r.uri()), plaintext, c.cfg.Random)
}

// metadata returns what the room is called, as its members see it. It is empty in
// connection rooms.
func (r *room) metadata() (rules.RoomMetadata, error) {
	if r.plain() {
		return r.public().State().Metadata(), nil
	}
	sealed := r.public().Metadata()
	if sealed == nil {
		return rules.RoomMetadata{}, nil
	}
	plaintext, err := r.ring.OpenMetadata(r.suite, r.public().GroupID(), sealed)
	if err != nil {
		return rules.RoomMetadata{}, fmt.Errorf("client: room metadata: %w", err)
	}
	metadata, err := rules.Decode[rules.RoomMetadata](plaintext)
	if err != nil {
		return rules.RoomMetadata{}, fmt.Errorf("client: room metadata: %w", err)
	}
	return metadata, nil
}

// shown returns what people here are told that the room is called: its metadata, unless
// they do not open, or were changed by somebody who may not. Then it is what was there
// before.
func (r *room) shown() rules.RoomMetadata {
	metadata, err := rules.Decode[rules.RoomMetadata](r.record.Secret)
	if err != nil {
		return rules.RoomMetadata{} // a connection room, or none that ever opened
	}
	return metadata
}

// remember notes the room's metadata as what people are told, if they open. It is
// called in a transaction.
func (c *Client) remember(ctx context.Context, r *room) error {
	metadata, err := r.metadata()
	if err == nil && (r.plain() || r.public().Metadata() != nil) {
		r.record.Secret, err = rules.Encode(&metadata)
	}
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "room metadata does not open", "room", r.uri(), "err", err)
	}
	return c.cfg.Store.PutRoom(ctx, r.record)
}

// described tells of other metadata of the room. Only members can see what a commit
// changes of them, so they ask whether its committer may. If not, the commit stands, and
// people are told what they were told before.
func (c *Client) described(ctx context.Context, r *room, before *mmr.Room, view *mls.CommitView, actor Person, accepted time.Time, t *told) error {
	if !r.plain() && (r.public().Metadata() == nil ||
		before.Metadata() != nil && string(before.Metadata().Ciphertext) == string(r.public().Metadata().Ciphertext)) {
		return nil
	}
	next, err := r.metadata()
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "room metadata does not open", "room", r.uri(), "err", err)
		return nil
	}
	old := r.shown()
	if len(r.record.Secret) > 0 && !needsChange(&old, &next) {
		return nil
	}
	if tbs, ok := before.Leaf(view.Committer); ok && len(r.record.Secret) > 0 {
		if err := before.State().MayChangeMetadata(tbs.UserPseudonym, &old, &next); err != nil {
			c.cfg.Log.WarnContext(ctx, "ignored room metadata of somebody who may not change them", "room", r.uri(), "err", err)
			return nil
		}
	}
	if err := c.remember(ctx, r); err != nil {
		return err
	}
	return c.tell(ctx, t, &Event{Kind: EventRoom, Time: accepted, Room: r.uri(), Actor: actor, Name: next.Name})
}

// redescribed tells of other metadata of a room that was joined anew. Who has changed
// them is not known.
func (c *Client) redescribed(ctx context.Context, r *room, t *told) error {
	next, err := r.metadata()
	old := r.shown()
	if err != nil || !needsChange(&old, &next) {
		return nil
	}
	if err := c.remember(ctx, r); err != nil {
		return err
	}
	return c.tell(ctx, t, &Event{Kind: EventRoom, Time: c.cfg.Clock.Now(), Room: r.uri(), Name: next.Name})
}

// resealMetadata encrypts the room's metadata anew if the wrapper key has changed
// since: the first commit after a removal that does not remove itself has to
// (docs/mmr-profile.md, section 3). All of it is kept, also what is not understood.
func (c *Client) resealMetadata(r *room, opts *mls.CommitOptions) error {
	metadata := r.public().Metadata()
	if metadata == nil || metadata.Generation == r.public().Newest() {
		return nil
	}
	plaintext, err := r.ring.OpenMetadata(r.suite, r.public().GroupID(), metadata)
	if err != nil {
		return fmt.Errorf("client: room metadata: %w", err)
	}
	return c.putMetadata(r, opts, plaintext)
}

// pendingOptions are those of a commit of what is pending, and nothing else. Unless it
// removes somebody, it has to encrypt the metadata anew where every such commit has.
func (c *Client) pendingOptions(r *room) (*mls.CommitOptions, error) {
	opts := &mls.CommitOptions{AllPending: true}
	if len(mmr.Leaving(r.proposed())) > 0 {
		return opts, nil
	}
	return opts, c.resealMetadata(r, opts)
}

// putMetadata puts new room metadata into a commit.
func (c *Client) putMetadata(r *room, opts *mls.CommitOptions, plaintext []byte) error {
	if r.plain() {
		opts.Proposals = append(opts.Proposals, &mls.AppDataUpdate{
			Component: mls.ComponentID(rules.ComponentRoomMetadata), Operation: mls.AppDataUpdateUpdate, Update: plaintext,
		})
		return nil
	}
	sealed, err := r.ring.Newest().SealMetadata(r.suite, r.public().GroupID(), plaintext, c.cfg.Random)
	if err != nil {
		return err
	}
	data, err := mls.Marshal(sealed)
	if err != nil {
		return err
	}
	opts.Proposals = append(opts.Proposals, &mls.AppDataUpdate{
		Component: identity.ComponentRoomMetadata, Operation: mls.AppDataUpdateUpdate, Update: data,
	})
	return nil
}

// Rename gives a group another name.
func (c *Client) Rename(ctx context.Context, account, uri mimi.URI, name string) error {
	return c.describe(ctx, account, uri, func(m *rules.RoomMetadata) { m.Name = name })
}

// SetTopic says in a few words what a group is about.
func (c *Client) SetTopic(ctx context.Context, account, uri mimi.URI, topic string) error {
	return c.describe(ctx, account, uri, func(m *rules.RoomMetadata) { m.Subject = topic })
}

// SetAvatar gives a group a picture, or takes it away: nil. It fails with
// [rules.ErrAvatar] for what is no small picture.
func (c *Client) SetAvatar(ctx context.Context, account, uri mimi.URI, avatar *rules.Avatar) error {
	text := ""
	if avatar != nil {
		var err error
		if text, err = avatar.URI(); err != nil {
			return err
		}
	}
	return c.describe(ctx, account, uri, func(m *rules.RoomMetadata) { m.Avatar = text })
}

// describe changes the metadata of a group, if the account's role may: nobody else
// can see what has changed, so that nobody else asks (docs/mmr-profile.md, section 3).
// It does nothing if nothing changes.
func (c *Client) describe(ctx context.Context, account, uri mimi.URI, change func(*rules.RoomMetadata)) error {
	err := c.commit(ctx, uri, account, func(_ context.Context, r *room, own *Leaf) (*mls.CommitOptions, error) {
		if r.record.Kind == RoomConnection {
			return nil, ErrConnectionRoom
		}
		before := r.shown()
		before.URI = r.uri().String()
		after := before
		change(&after)
		tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
		if !ok {
			return nil, ErrNotMember
		}
		if !needsChange(&before, &after) {
			return nil, errUnchanged
		}
		if err := r.public().State().MayChangeMetadata(tbs.UserPseudonym, &before, &after); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDenied, err)
		}
		if len(mmr.Leaving(r.proposed())) > 0 {
			return nil, &errAgain{removal: true}
		}
		plaintext, err := rules.Encode(&after)
		if err != nil {
			return nil, fmt.Errorf("client: room metadata: %w", err)
		}
		opts := &mls.CommitOptions{AllPending: true}
		return opts, c.putMetadata(r, opts, plaintext)
	})
	return ignore(err, errUnchanged)
}

// errUnchanged reports a change that changes nothing.
var errUnchanged = errors.New("client: nothing has changed")

func needsChange(before, after *rules.RoomMetadata) bool {
	needs, err := before.Changed(after)
	return err != nil || len(needs) > 0
}
