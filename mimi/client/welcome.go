package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// An invited account is one whose KeyPackage a Welcome names.
type invited struct {
	*keymaterial.PrivateKeyPackage
	ref [32]byte
}

// invitedBy returns the accounts that a Welcome lets in.
func (c *Client) invitedBy(ctx context.Context, w *mls.Welcome) ([]invited, error) {
	var out []invited
	for _, secret := range w.Secrets {
		ref, ok := refOf(secret.NewMember)
		if !ok {
			continue
		}
		stored, err := c.cfg.Privates.Private(ctx, ref)
		if errors.Is(err, keymaterial.ErrNoPrivate) {
			continue
		} else if err != nil {
			return nil, err
		}
		own, err := keymaterial.UnmarshalPrivateKeyPackage(stored.Secret)
		if err != nil {
			return nil, err
		}
		if _, err := c.cfg.Store.Account(ctx, own.Account); errors.Is(err, ErrNotFound) {
			continue // deleted since
		} else if err != nil {
			return nil, err
		}
		out = append(out, invited{own, ref})
	}
	return out, nil
}

func refOf(b []byte) (ref [32]byte, ok bool) {
	return ref, copy(ref[:], b) == len(ref) && len(b) == len(ref)
}

// spend deletes the private part of a KeyPackage that was used.
func (c *Client) spend(ctx context.Context, in invited) error {
	if in.LastResort {
		return nil
	}
	return c.cfg.Privates.DeletePrivate(ctx, in.ref)
}

// attach gives a room that accounts are in already a leaf for a further one.
func (c *Client) attach(ctx context.Context, r *room, w *mls.Welcome, accepted time.Time, t *told) error {
	people, err := c.invitedBy(ctx, w)
	if err != nil {
		return err
	}
	for _, in := range people {
		if _, there := r.own[in.Account]; there {
			// Whoever adds under pseudonyms does not see that somebody else has done so
			// before. One leaf is enough; the second one speaks to nobody.
			c.cfg.Log.WarnContext(ctx, "dropped a Welcome to a room that the account is in already", "room", r.uri())
			continue
		}
		joined, err := r.group.AttachWelcome(ctx, w, in.Keys)
		if err != nil {
			c.refused(ctx, "dropped a Welcome", err, "room", r.uri())
			continue
		}
		if err := c.spend(ctx, in); err != nil {
			return err
		}
		if err := c.invite(ctx, r, in, joined, accepted, t); err != nil {
			return err
		}
	}
	return nil
}

// invite notes that an account has been added to a room. Who was added by a
// stranger leaves again, unseen (docs/mmr-profile.md, section 8).
func (c *Client) invite(ctx context.Context, r *room, in invited, joined *mls.Joined, accepted time.Time, t *told) error {
	account := in.Account
	if err := c.openClosed(ctx, r, joined.GroupInfo.Signer, t); err != nil {
		return err
	}
	adder := c.person(r, joined.GroupInfo.Signer)
	l := &Leaf{Room: r.uri(), Account: account, Index: uint32(joined.Own), State: LeafInvited, AddedBy: adder.User}
	r.own[account] = l
	if err := c.cfg.Store.PutLeaf(ctx, l); err != nil {
		return err
	}
	if m := r.members[joined.Own]; m != nil && m.User.IsZero() {
		if err := c.putMember(ctx, r, c.ownMember(r, m)); err != nil {
			return err
		}
	}
	known, err := c.knows(ctx, account, adder.User)
	if err == nil && !known && r.plain() {
		known, err = c.consented(ctx, account, adder.User, r.uri())
	}
	if err != nil {
		return err
	}
	if closing, err := c.closing(ctx, account); err != nil {
		return err
	} else if closing {
		known = false // it leaves, like one that was added by a stranger
	}
	rooms, err := c.cfg.Store.LeavesOf(ctx, account)
	if err != nil {
		return err
	}
	if !known || adder.User != in.Peer || len(rooms) > c.cfg.Limits.AccountRooms {
		c.refused(ctx, "an account was added by somebody it does not know, or to too many rooms, and leaves", mimi.Refuse("welcome-stranger", errStranger), "room", r.uri())
		uri := r.uri()
		t.then(func(ctx context.Context) {
			if err := c.Leave(ctx, account, uri); err != nil && !errors.Is(err, ErrLeaving) {
				c.cfg.Log.WarnContext(ctx, "could not leave", "room", uri, "err", err)
			}
		})
		return nil
	}
	if err := c.alertSharedWith(ctx, r, account, t); err != nil {
		return err
	}
	return c.tell(ctx, t, &Event{
		Kind: EventInvited, Time: accepted, Account: account, Room: r.uri(), Actor: adder, Name: r.shown().Name,
		Requirement: r.public().Policy().Requirement, Plain: r.plain(),
	})
}

// errStranger reports an Add by somebody for whom the KeyPackage was not made.
var errStranger = errors.New("client: added by a stranger")

// knows reports whether an account is connected with somebody, or both are
// accounts here.
func (c *Client) knows(ctx context.Context, account, user mimi.URI) (bool, error) {
	if user.IsZero() {
		return false, nil
	}
	contact, err := c.cfg.Store.Contact(ctx, account, user)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	return contact.State == ContactConnected || contact.State == ContactColleague, nil
}

// welcomed makes a room of a Welcome. It returns nil if the Welcome is for nobody
// here, or not good.
func (c *Client) welcomed(ctx context.Context, uri mimi.URI, m *protocol.FanoutMessage, t *told) (*room, error) {
	people, err := c.invitedBy(ctx, m.Message.Welcome)
	if err != nil || len(people) == 0 {
		return nil, err
	}
	r, joined, err := c.joinWelcome(ctx, uri, m, people[0])
	if err != nil {
		c.refused(ctx, "dropped a Welcome", err, "room", uri)
		return nil, nil
	}
	if err := c.cfg.Store.DeleteRows(ctx, uri); err != nil {
		return nil, err
	}
	if err := c.cfg.Store.PutRoom(ctx, r.record); err != nil {
		return nil, err
	}
	// Whose the own leaf is does not depend on what its link says.
	r.own[people[0].Account] = &Leaf{Room: uri, Account: people[0].Account, Index: uint32(joined.Own), State: LeafInvited}
	if err := c.openJoined(ctx, r, joined, m.Accepted, t); err != nil {
		return nil, err
	}
	if err := c.remember(ctx, r); err != nil {
		return nil, err
	}
	if err := c.spend(ctx, people[0]); err != nil {
		return nil, err
	}
	if err := c.invite(ctx, r, people[0], joined, m.Accepted, t); err != nil {
		return nil, err
	}
	if len(people) > 1 {
		return r, c.attach(ctx, r, m.Message.Welcome, m.Accepted, t)
	}
	return r, nil
}

// openJoined opens the links of a room that a Welcome has led to: the own one first,
// which tells whether others can see who the account is, then the adder's, and the
// others if they are few. Leaves that were there before may have expired.
func (c *Client) openJoined(ctx context.Context, r *room, joined *mls.Joined, accepted time.Time, t *told) error {
	if err := c.mayFetch(ctx, r, c.needed(r, joined.Own, joined.GroupInfo.Signer)); err != nil {
		return err
	}
	s, err := c.openLeaf(ctx, r, joined.Own, c.moment(accepted))
	if err != nil {
		return err
	}
	if s.failure != nil {
		c.cfg.Log.WarnContext(ctx, "an account was added with an entry that nobody can open; it gets another one when it joins", "room", r.uri())
	}
	if err := c.see(ctx, r, s, arrival{}, t); err != nil {
		return err
	}
	_, err = c.look(ctx, r, c.needed(r, joined.GroupInfo.Signer), t)
	return err
}

// joinWelcome opens a Welcome and makes the joiner's checks of what came in it
// (docs/mmr-profile.md, sections 3 and 8).
func (c *Client) joinWelcome(ctx context.Context, uri mimi.URI, m *protocol.FanoutMessage, in invited) (*room, *mls.Joined, error) {
	if m.RatchetTree.Representation != protocol.TreeFull {
		return nil, nil, fmt.Errorf("%w: the Welcome has no tree", protocol.ErrMalformed)
	}
	kind := RoomGroup
	if in.plain() {
		kind = RoomPlain
	}
	r := emptyRoom(&Room{URI: uri, Kind: kind}, c.cfg.Suite)
	groupID := identity.GroupID(uri)
	cfg := c.groupConfig(r.rules, r.suite, groupID, &r.ring)
	var joined *mls.Joined
	var err error
	if r.group, joined, err = mls.JoinWelcome(ctx, cfg, m.Message.Welcome, in.Keys, &m.RatchetTree.Tree); err != nil {
		return nil, nil, err
	}
	if string(r.group.GroupID()) != string(groupID) {
		return nil, nil, mimi.Refuse("welcome-room", identity.ErrGroupID)
	}
	if r.plain() {
		return r, joined, c.openPlainRoom(r, joined)
	}
	var leaves []mls.LeafIndex
	for member := range r.group.View().Members() {
		leaves = append(leaves, member.Index)
	}
	keys, err := identity.KeysFromWelcome(r.suite, joined.GroupInfo.Extensions, groupID, r.group.Epoch(), leaves)
	if err != nil {
		return nil, nil, err
	}
	ring, err := identity.NewKeyRing(keys.Keys...)
	if err != nil {
		return nil, nil, err
	}
	public, err := mmr.Open(r.suite, r.group.View(), ring.Newest().Generation, keys.Table)
	if err != nil {
		return nil, nil, err
	}
	if public.Policy().ConnectionRoom {
		return nil, nil, mimi.Refuse("welcome-connection-room", fmt.Errorf("%w: nobody is added to a connection room", ErrConnectionRoom))
	}
	if err := r.setPublic(public); err != nil {
		return nil, nil, err
	}
	return r, joined, r.setRing(ring)
}

// credentialOf reads the pseudonyms of a leaf.
func credentialOf(leaf *mls.LeafNode) (*identity.PseudonymousCredentialTBS, error) {
	return mmr.ReadCredential(leaf.Credential)
}
