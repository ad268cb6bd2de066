package client

import (
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// Plain rooms (docs/mmr-profile.md, section 11, "Plain rooms") are groups in which
// everybody, hub and providers included, sees who takes part. They are made only
// where the operator allows it, and only for who asks for one. This file has what
// they do otherwise than minimal-metadata rooms; all else is the same.

// plain reports whether the room is a plain one.
func (r *room) plain() bool { return r.record.Kind == RoomPlain }

// isPlain reports whether a room that an account is in is a plain one.
func (c *Client) isPlain(ctx context.Context, uri mimi.URI) (plain bool, err error) {
	return plain, c.withRoom(ctx, uri, func(r *room) error {
		plain = r.plain()
		return nil
	})
}

// newPlainRoom makes a plain room with one member.
func (c *Client) newPlainRoom(ctx context.Context, account mimi.URI, opts RoomOptions) (*room, error) {
	if !c.cfg.PlainRooms {
		return nil, ErrPlainRooms
	}
	r, err := c.beginRoom(ctx, account, RoomPlain)
	if err != nil {
		return nil, err
	}
	creation, err := c.createPlainGroup(ctx, r, account, opts)
	if err != nil {
		return nil, fmt.Errorf("client: make a room: %w", err)
	}
	return r, c.hostRoom(ctx, r, creation)
}

// createPlainGroup makes the group of a new plain room and what its hub is given.
func (c *Client) createPlainGroup(ctx context.Context, r *room, account mimi.URI, opts RoomOptions) (*mmr.Creation, error) {
	me, err := c.newPlainLeaf(ctx, account)
	if err != nil {
		return nil, err
	}
	extensions, err := c.plainExtensions(r, account, opts)
	if err != nil {
		return nil, err
	}
	groupID := identity.GroupID(r.uri())
	if r.group, err = mls.Create(ctx, c.groupConfig(r.rules, r.suite, groupID, &r.ring), mls.CreateParams{
		CipherSuite: r.suite.ID(), GroupID: groupID, Leaf: me.params, Extensions: extensions,
	}); err != nil {
		return nil, err
	}
	public, err := mmr.Open(r.suite, r.group.View(), 0, nil)
	if err != nil {
		return nil, err
	}
	if err := r.setPublic(public); err != nil {
		return nil, err
	}
	gi, err := r.group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		return nil, err
	}
	return &mmr.Creation{GroupInfo: gi, Tree: r.group.RatchetTree()}, nil
}

// plainExtensions returns the GroupContext extensions of a new plain room. Its name
// stands in room_metadata, for everyone to read.
func (c *Client) plainExtensions(r *room, account mimi.URI, opts RoomOptions) (mls.Extensions, error) {
	components, err := rules.InitialComponents(account, rules.Plain(c.cfg.Limits.Users))
	if err != nil {
		return nil, err
	}
	if components[rules.ComponentRoomMetadata], err = rules.Encode(&rules.RoomMetadata{
		URI: r.uri().String(), Name: opts.Name, Subject: opts.Topic,
	}); err != nil {
		return nil, fmt.Errorf("room metadata: %w", err)
	}
	dictionary, err := identity.PlainGroupComponents()
	if err != nil {
		return nil, err
	}
	for id, data := range components {
		dictionary = dictionary.With(mls.ComponentID(id), data)
	}
	return c.contextExtensions(r, identity.PlainRequiredCapabilities(), dictionary)
}

// newPlainLeaf makes a leaf of an account in a plain room: under its own address,
// with the key and certificate of its client.
func (c *Client) newPlainLeaf(ctx context.Context, account mimi.URI) (*leaf, error) {
	signer, _, err := c.signer(ctx, account)
	if err != nil {
		return nil, err
	}
	l := &leaf{account: account, user: account}
	if l.params.Credential, err = signer.Certificate.Leaf(); err != nil {
		return nil, err
	}
	if l.params.Extensions, err = identity.PlainLeafExtensions(); err != nil {
		return nil, err
	}
	l.params.Capabilities, l.params.SignatureKey = identity.PlainCapabilities(), signer.Key
	return l, nil
}

// openPlain checks who is behind a leaf of a plain room.
func (c *Client) openPlain(ctx context.Context, r *room, leaf *mls.LeafNode, at identity.Moment) (*identity.OpenedLink, error) {
	tbs, err := mmr.ReadCredential(leaf.Credential)
	if err != nil {
		return nil, err
	}
	authority, err := c.known(ctx, tbs.Domain())
	if err != nil {
		return nil, err
	}
	return identity.OpenPlain(r.suite, leaf.Credential, leaf.SignatureKey, authority, at)
}

// plainRenewal is the commit that shows the room a renewed certificate.
func (c *Client) plainRenewal(ctx context.Context, account mimi.URI) (*mls.CommitOptions, error) {
	me, err := c.newPlainLeaf(ctx, account)
	if err != nil {
		return nil, err
	}
	return &mls.CommitOptions{AllPending: true, NewLeaf: &me.params}, nil
}

// openPlainRoom makes the joiner's checks of a plain room to which a Welcome has led.
func (c *Client) openPlainRoom(r *room, joined *mls.Joined) error {
	if !c.cfg.PlainRooms {
		return ErrPlainRooms
	}
	if err := identity.CheckNoProfile(joined.GroupInfo.Extensions); err != nil {
		return err
	}
	public, err := mmr.Open(r.suite, r.group.View(), 0, nil)
	if err != nil {
		return err
	}
	if !public.Plain() {
		return mimi.Refuse("plain-welcome-kind", fmt.Errorf("%w: the KeyPackage was for a plain room", protocol.ErrMalformed))
	}
	return r.setPublic(public)
}

// plain reports whether the account was invited to a plain room.
func (in invited) plain() bool { return in.PrivateKeyPackage.Plain() }
