package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// profilePeriod is how often an account's name may be sent to a room
// (docs/mmr-profile.md, section 4).
const profilePeriod = 24 * time.Hour

const (
	// profileSource begins the sources of messages that tell a name.
	profileSource = "profile/"
	// profilePadding is their unit of length, in octets: what the longest name needs.
	profilePadding = 1024
)

// SetName notes that an account has another display name, and tells the rooms that
// it takes part in.
func (c *Client) SetName(ctx context.Context, account mimi.URI, name string) error {
	name = content.CleanName(name)
	changed := false
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		a, err := c.cfg.Store.Account(ctx, account)
		if err != nil {
			return err
		}
		if changed = a.Name != name; !changed {
			return nil
		}
		x, err := openAccount(a)
		if err != nil {
			return err
		}
		x.nameSequence++
		if a.Secret, err = wire.Marshal(x); err != nil {
			return err
		}
		a.Name = name
		return c.cfg.Store.PutAccount(ctx, a)
	})
	if err != nil || !changed {
		return err
	}
	leaves, err := c.cfg.Store.LeavesOf(ctx, account)
	if err != nil {
		return err
	}
	for _, l := range leaves {
		if l.State == LeafJoined {
			c.spawn(func(ctx context.Context) { c.sendProfile(ctx, account, l.Room) })
		}
	}
	return nil
}

// sendProfile tells a room the name of an account. The source names the day and
// the name's version: telling it again on that day does nothing.
func (c *Client) sendProfile(ctx context.Context, account, uri mimi.URI) {
	c.sendProfileAs(ctx, account, uri, fmt.Sprint(c.cfg.Clock.Now().Unix()/int64(profilePeriod/time.Second)))
}

func (c *Client) sendProfileAs(ctx context.Context, account, uri mimi.URI, occasion string) {
	a, err := c.cfg.Store.Account(ctx, account)
	if err != nil || a.Name == "" {
		return
	}
	x, err := openAccount(a)
	if err != nil || !c.showsItself(ctx, account, uri) {
		return
	}
	message, err := content.ProfileMessage(content.Profile{Name: a.Name, Sequence: x.nameSequence}, content.Limits{})
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "could not make a profile part", "err", err)
		return
	}
	source := profileSource + a.Client.ID + "/" + occasion
	if _, err := c.Send(ctx, account, uri, source, message); err != nil && !errors.Is(err, ErrQueued) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not tell a name", "room", uri, "err", err)
	}
}

// showsItself reports whether the members of a room see who an account is. To those
// who do not, it does not tell its name either.
func (c *Client) showsItself(ctx context.Context, account, uri mimi.URI) bool {
	shows := false
	err := c.withRoom(ctx, uri, func(r *room) error {
		own, err := r.speaker(account)
		shows = err == nil && !r.hidden(mls.LeafIndex(own.Index))
		return nil
	})
	return err == nil && shows
}

// introduce tells newcomers the names of those who are in a room, unless it is
// large: then they see addresses until somebody has something new to tell.
func (c *Client) introduce(ctx context.Context, uri mimi.URI) {
	var epoch uint64
	var accounts []mimi.URI
	err := c.withRoom(ctx, uri, func(r *room) error {
		if r.public().Size() > c.cfg.Limits.ProfileMembers {
			return nil
		}
		epoch = r.group.Epoch()
		for account, l := range r.own {
			if l.State == LeafJoined {
				accounts = append(accounts, account)
			}
		}
		return nil
	})
	if err != nil {
		return
	}
	for _, account := range accounts {
		c.sendProfileAs(ctx, account, uri, fmt.Sprintf("epoch-%d", epoch))
	}
}

// profiled takes in the name that a member tells.
func (c *Client) profiled(ctx context.Context, r *room, member *Member, got content.Received, accepted time.Time, t *told) error {
	profile, err := content.DecodeProfile(got.Message, content.Limits{})
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "dropped a malformed profile part", "room", r.uri(), "err", err)
		return nil
	}
	if member.User.IsZero() {
		return nil
	}
	for account := range r.own {
		contact, err := c.cfg.Store.Contact(ctx, account, member.User)
		if errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		contact.Name = profile.Name
		if err := c.cfg.Store.PutContact(ctx, contact); err != nil {
			return err
		}
	}
	return c.tell(ctx, t, &Event{
		Kind: EventName, Time: accepted, Room: r.uri(), Peer: member.User, Actor: c.personOf(r, member), Name: profile.Name,
	})
}
