package client

import (
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// RoomOptions say what group [Client.CreateRoom] makes. The zero value is a group
// without a name whose members all know each other.
type RoomOptions struct {
	// Name and Topic of the group; both may be empty.
	Name, Topic string
	// Requirement says whose identity the members can see (docs/mmr-profile.md,
	// section 6).
	Requirement identity.LinkRequirement
	// Plain makes a plain room: its hub and all providers see who is in it, and what
	// it is called. Requirement has no meaning then.
	Plain bool
}

// CreateRoom makes a group at this gateway's hub and invites people. Whom it could
// not invite it returns with the reason; the room exists all the same.
//
// It fails with [ErrPlainRooms] if a plain room is wanted and none may be made.
func (c *Client) CreateRoom(ctx context.Context, account mimi.URI, opts RoomOptions, invite []mimi.URI) (room mimi.URI, failed map[mimi.URI]error, err error) {
	r, err := c.newGroup(ctx, account, opts)
	if err != nil {
		return mimi.URI{}, nil, err
	}
	for _, user := range invite {
		if err := c.Invite(ctx, account, r.uri(), user); err != nil {
			if failed == nil {
				failed = map[mimi.URI]error{}
			}
			failed[user] = err
		}
	}
	return r.uri(), failed, nil
}

// newGroup makes a group with one member.
func (c *Client) newGroup(ctx context.Context, account mimi.URI, opts RoomOptions) (*room, error) {
	if opts.Plain {
		return c.newPlainRoom(ctx, account, opts)
	}
	policy := identity.MinimalMetadataPolicy{
		Requirement: opts.Requirement, Mode: identity.WrapperEpochRotated, MaxUsers: c.cfg.Limits.Users,
	}
	wrapper, err := identity.NewWrapperKey(c.cfg.Suite, c.cfg.Random)
	if err != nil {
		return nil, err
	}
	return c.newRoom(ctx, account, RoomGroup, policy, wrapper, opts)
}

// hubFor returns the hub that hosts the rooms of a kind.
func (c *Client) hubFor(kind RoomKind) OwnHub {
	if kind == RoomConnection {
		return c.cfg.OwnHub
	}
	return c.cfg.GroupHub
}

// newRoom makes a room with one member.
func (c *Client) newRoom(ctx context.Context, account mimi.URI, kind RoomKind, policy identity.MinimalMetadataPolicy, wrapper identity.WrapperKey, opts RoomOptions) (*room, error) {
	r, err := c.beginRoom(ctx, account, kind)
	if err != nil {
		return nil, err
	}
	ring, err := identity.NewKeyRing(wrapper)
	if err != nil {
		return nil, err
	}
	me, err := c.newLeaf(ctx, account, mimi.URI{})
	if err != nil {
		return nil, err
	}
	if err := r.setRing(ring); err != nil {
		return nil, err
	}
	creation, err := c.createGroup(ctx, r, me, policy, opts)
	if err != nil {
		return nil, fmt.Errorf("client: make a room: %w", err)
	}
	return r, c.hostRoom(ctx, r, creation)
}

// beginRoom returns an empty room of an account, under a fresh address.
func (c *Client) beginRoom(ctx context.Context, account mimi.URI, kind RoomKind) (*room, error) {
	rooms, err := c.cfg.Store.LeavesOf(ctx, account)
	if err != nil {
		return nil, err
	}
	if len(rooms) >= c.cfg.Limits.AccountRooms {
		return nil, ErrTooManyRooms
	}
	uri, err := mimi.NewID(c.hubFor(kind).Domain(), mimi.KindRoom, c.cfg.Random)
	if err != nil {
		return nil, err
	}
	r := emptyRoom(&Room{URI: uri, Kind: kind, Creator: account}, c.cfg.Suite)
	r.own[account] = &Leaf{Room: uri, Account: account, State: LeafJoined}
	return r, nil
}

// hostRoom gives a new room to the hub, and stores it.
func (c *Client) hostRoom(ctx context.Context, r *room, creation *mmr.Creation) error {
	if err := c.hubFor(r.record.Kind).Create(ctx, creation); err != nil {
		return fmt.Errorf("client: make a room: %w", err)
	}
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := c.remember(ctx, r); err != nil {
			return err
		}
		if err := c.save(ctx, r); err != nil {
			return err
		}
		if err := c.cfg.Store.PutLeaf(ctx, r.own[r.record.Creator]); err != nil {
			return err
		}
		s, err := c.openLeaf(ctx, r, 0, c.moment(c.cfg.Clock.Now()))
		if err != nil {
			return err
		}
		return c.see(ctx, r, s, arrival{}, &told{})
	})
}

// createGroup makes the group of a new room and what its hub is given.
func (c *Client) createGroup(ctx context.Context, r *room, me *leaf, policy identity.MinimalMetadataPolicy, opts RoomOptions) (*mmr.Creation, error) {
	groupID := identity.GroupID(r.uri())
	extensions, err := c.groupExtensions(r, me, &policy, opts)
	if err != nil {
		return nil, err
	}
	cfg := c.groupConfig(r.rules, r.suite, groupID, &r.ring)
	if r.group, err = mls.Create(ctx, cfg, mls.CreateParams{
		CipherSuite: r.suite.ID(), GroupID: groupID, Leaf: me.params, Extensions: extensions,
	}); err != nil {
		return nil, err
	}
	key, err := c.ownEntry(r, me, policy, false)
	if err != nil {
		return nil, err
	}
	table := &identity.IdentityLinkTable{GroupID: groupID, Entries: []identity.IdentityLinkEntry{{Leaf: 0, Key: key}}}
	public, err := mmr.Open(r.suite, r.group.View(), 0, table)
	if err != nil {
		return nil, err
	}
	if err := r.setPublic(public); err != nil {
		return nil, err
	}
	info, err := publicGroupInfo(r, public, r.ring)
	if err != nil {
		return nil, err
	}
	gi, err := r.group.GroupInfo(0, info)
	if err != nil {
		return nil, err
	}
	return &mmr.Creation{GroupInfo: gi, Tree: r.group.RatchetTree(), Table: table}, nil
}

// ownEntry wraps the link key of a leaf of one's own for the members of a room, or
// returns nil where the account wants that, or the policy. Nobody can ever open the
// link then: its key is random, and is not kept.
func (c *Client) ownEntry(r *room, me *leaf, policy identity.MinimalMetadataPolicy, pseudonymous bool) (*identity.EncryptedIdentityLinkKey, error) {
	if pseudonymous || policy.Requirement == identity.Forbidden {
		return nil, nil
	}
	return me.identity.Wrap(r.suite, identity.GroupID(r.uri()), r.ring.Newest(), c.cfg.Random)
}

// groupExtensions returns the GroupContext extensions of a new room
// (docs/mmr-profile.md, sections 2 and 3).
func (c *Client) groupExtensions(r *room, me *leaf, policy *identity.MinimalMetadataPolicy, opts RoomOptions) (mls.Extensions, error) {
	instance := rules.Cooperative()
	var metadata *identity.EncryptedRoomMetadata
	if policy.ConnectionRoom {
		instance = rules.ConnectionRoom()
	} else {
		var err error
		if metadata, err = c.sealMetadata(r, r.ring.Newest(), &rules.RoomMetadata{
			URI: r.uri().String(), Name: opts.Name, Subject: opts.Topic,
		}); err != nil {
			return nil, err
		}
	}
	dictionary, err := identity.GroupComponents(policy, metadata)
	if err != nil {
		return nil, err
	}
	components, err := rules.InitialComponents(me.user, instance)
	if err != nil {
		return nil, err
	}
	for id, data := range components {
		dictionary = dictionary.With(mls.ComponentID(id), data)
	}
	return c.contextExtensions(r, identity.RequiredCapabilities(), dictionary)
}

// contextExtensions returns the extensions of a GroupContext with these components.
func (c *Client) contextExtensions(r *room, required mls.RequiredCapabilities, dictionary mls.AppDataDictionary) (mls.Extensions, error) {
	requiredExtension, err := required.Extension()
	if err != nil {
		return nil, err
	}
	sender, err := c.hubFor(r.record.Kind).ExternalSender(r.suite.ID())
	if err != nil {
		return nil, err
	}
	senders, err := mls.ExternalSendersExtension(sender)
	if err != nil {
		return nil, err
	}
	app, err := dictionary.Extension()
	return mls.Extensions{requiredExtension, senders, app}, err
}

// publicGroupInfo is what the hub is told of a room with these keys.
func publicGroupInfo(r *room, public *mmr.Room, ring identity.KeyRing) (mls.GroupInfoOptions, error) {
	state, err := identity.NewLinkState(r.suite, public.Table(), ring.Newest())
	if err != nil {
		return mls.GroupInfoOptions{}, err
	}
	dictionary, err := state.PublicComponents()
	if err != nil {
		return mls.GroupInfoOptions{}, err
	}
	extension, err := dictionary.Extension()
	return mls.GroupInfoOptions{Extensions: mls.Extensions{extension}, ExternalPub: true}, err
}

// groupInfos is the [mls.GroupInfoFunc] of every commit in a room
// (docs/mmr-profile.md, section 3, "Two GroupInfos").
func (r *room) groupInfos(next *mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
	view := next.Commit()
	after, err := r.rules.Next(view)
	if err != nil {
		return public, welcome, err
	}
	if after.Plain() {
		return mls.GroupInfoOptions{ExternalPub: true}, welcome, nil
	}
	ring := r.ring
	if after.Newest() != r.public().Newest() {
		if ring, err = ring.Needed(after.Table(), after.Metadata()).Derive(r.suite, after.Policy().Mode, after.Epoch(), next); err != nil {
			return public, welcome, err
		}
	}
	if public, err = publicGroupInfo(r, after, ring); err != nil || view.External {
		return public, welcome, err
	}
	live, err := ring.Live(after.Table(), after.Metadata())
	if err != nil {
		return public, welcome, err
	}
	components, err := identity.WelcomeKeys{Keys: live.Keys(), Table: after.Table()}.ForWelcome(r.suite)
	if err != nil {
		return public, welcome, err
	}
	extension, err := components.Dictionary().Extension()
	welcome.Extensions = mls.Extensions{extension}
	return public, welcome, err
}
