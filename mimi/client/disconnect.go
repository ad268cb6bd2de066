package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A connection ends in two steps (docs/mmr-profile.md, section 7). In one transaction
// the key material of the contact is deleted, its requests are dropped, and its keys
// are forgotten: from then on nobody can do anything with it. Then the account leaves
// the connection room. The room stays noted until the account is out of it, so that
// the second step is taken again after a crash.

// RemoveContact ends the connection with a person, or takes back a request to them, and
// the same with consent. It fails with [ErrNotConnected] if there is none of these. An unreachable hub of the
// connection room is asked later: that is no error.
func (c *Client) RemoveContact(ctx context.Context, account, peer mimi.URI) error {
	return c.part(ctx, account, peer, ContactEnding)
}

// Block is [Client.RemoveContact] for good, also with a person who is no contact: what
// they send to the account afterwards is dropped unseen. They are not told, and get the
// same answers as everybody.
func (c *Client) Block(ctx context.Context, account, peer mimi.URI) error {
	switch {
	case account == peer:
		return ErrSelf
	case peer.Domain == c.cfg.Domain:
		return ErrColleague
	}
	return c.part(ctx, account, peer, ContactBlocked)
}

// Unblock lets a person ask for a connection again. There is none before they, or the
// account, do. It fails with [ErrNotBlocked].
func (c *Client) Unblock(ctx context.Context, account, peer mimi.URI) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		contact, secret, err := c.contact(ctx, account, peer)
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && contact.State != ContactBlocked:
			return ErrNotBlocked
		case err != nil:
			return err
		case contact.Room.IsZero():
			return c.cfg.Store.DeleteContact(ctx, contact.ID)
		}
		contact.State = ContactEnding // it still has to leave the room
		return c.putContact(ctx, contact, secret)
	})
}

// part ends what there is between an account and a person.
func (c *Client) part(ctx context.Context, account, peer mimi.URI, state ContactState) error {
	var room mimi.URI
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		ended, err := c.endConsents(ctx, account, peer, state != ContactBlocked, &t)
		if err != nil {
			return err
		}
		contact, secret, err := c.contact(ctx, account, peer)
		switch {
		case errors.Is(err, ErrNotFound) && state != ContactBlocked && ended:
			return nil
		case errors.Is(err, ErrNotFound) && state == ContactBlocked:
			contact, secret, err = c.newContact(account, peer, state)
			if err != nil {
				return err
			}
			secret.Ours = nil // nobody was given it
		case errors.Is(err, ErrNotFound) || err == nil && contact.State == ContactBlocked && state != ContactBlocked:
			return ErrNotConnected
		case err != nil:
			return err
		case contact.State == ContactColleague:
			return ErrColleague
		}
		if err := c.dropRequests(ctx, account, func(r *Request) (bool, error) { return r.Peer == peer, nil }, &t); err != nil {
			return err
		}
		room = contact.Room
		return c.endContact(ctx, contact, secret, state)
	})
	if err != nil {
		return err
	}
	c.finish(&t)
	c.telling.wake(account)
	return c.leaveEnded(ctx, account, room)
}

// dropRequests forgets the requests to an account that are chosen, and takes back what it
// was shown of them. It is called in a transaction.
func (c *Client) dropRequests(ctx context.Context, account mimi.URI, chosen func(r *Request) (bool, error), t *told) error {
	requests, err := c.cfg.Store.Requests(ctx, account)
	if err != nil {
		return err
	}
	for _, r := range requests {
		if ok, err := chosen(r); err != nil {
			return err
		} else if !ok {
			continue
		}
		if err := c.cfg.Store.DeleteRequest(ctx, r.Ref); err != nil {
			return err
		}
		if err := c.tell(ctx, t, &Event{
			Kind: EventWithdrawn, Time: c.cfg.Clock.Now(), Account: account, Peer: r.Peer, Request: r.Ref,
		}); err != nil {
			return err
		}
	}
	return nil
}

// endContact deletes the keys of a contact, and what was made with them. The state
// that it has then is one of those that have no keys. It is called in a transaction.
func (c *Client) endContact(ctx context.Context, contact *Contact, secret *contactSecret, state ContactState) error {
	if err := c.endMaterial(ctx, secret); err != nil {
		return err
	}
	if secret.Ours != nil {
		c.tokens.drop(keymaterial.HashToken(secret.Ours.Token))
	}
	secret.Ours, secret.Theirs, secret.Asked, secret.unsent, secret.uploadKey = nil, nil, nil, nil, suite.Secret{}
	if contact.State = state; state == ContactEnding && contact.Room.IsZero() {
		return c.cfg.Store.DeleteContact(ctx, contact.ID)
	}
	return c.putContact(ctx, contact, secret)
}

// replaceContact makes room for a new contact with a person, and returns what is
// remembered of their keys. It is called in a transaction; the connection room of the
// old one is left afterwards.
func (c *Client) replaceContact(ctx context.Context, account, peer mimi.URI, t *told) (keyMemory, error) {
	old, secret, err := c.contact(ctx, account, peer)
	if errors.Is(err, ErrNotFound) {
		return keyMemory{}, nil
	} else if err != nil {
		return keyMemory{}, err
	}
	if err := c.endMaterial(ctx, secret); err != nil {
		return keyMemory{}, err
	}
	if secret.Ours != nil {
		c.tokens.drop(keymaterial.HashToken(secret.Ours.Token))
	}
	if room := old.Room; !room.IsZero() {
		t.then(func(ctx context.Context) { c.leaveQuietly(ctx, account, room) })
	}
	return secret.keyMemory, c.cfg.Store.DeleteContact(ctx, old.ID)
}

// leaveEnded takes an account out of the connection room of a contact that has ended.
func (c *Client) leaveEnded(ctx context.Context, account, room mimi.URI) error {
	if room.IsZero() {
		return nil
	}
	err := c.leave(ctx, account, room)
	switch {
	case errors.Is(err, ErrUnreachable):
		return nil // it is stored, and the hub is asked again
	case !errors.Is(err, ErrNotMember):
		return err
	}
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		leaves, err := c.cfg.Store.Leaves(ctx, room)
		if err != nil {
			return err
		}
		for _, l := range leaves {
			if l.Account == account {
				return ErrBusy // about to enter; the next start leaves
			}
		}
		return c.outOfConnection(ctx, room, account)
	})
}

func (c *Client) leaveQuietly(ctx context.Context, account, room mimi.URI) {
	if err := c.leaveEnded(ctx, account, room); err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not leave a connection room", "room", room, "err", err)
	}
}

// disconnected ends the connection whose room an account is out of
// (docs/mmr-profile.md, section 7). It is called in a transaction.
func (c *Client) disconnected(ctx context.Context, r *room, account mimi.URI) error {
	if r.record.Kind != RoomConnection {
		return nil
	}
	return c.outOfConnection(ctx, r.uri(), account)
}

func (c *Client) outOfConnection(ctx context.Context, room, account mimi.URI) error {
	contact, err := c.contactIn(ctx, room, account)
	if errors.Is(err, ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	secret, err := openContact(contact)
	if err != nil {
		return err
	}
	contact.Room = mimi.URI{}
	if contact.State == ContactBlocked || contact.State == ContactExpired {
		return c.putContact(ctx, contact, secret)
	}
	return c.endContact(ctx, contact, secret, ContactEnding)
}

// endContacts leaves the connection rooms that no connection belongs to: their contact
// has ended, or was never stored. It is called at the start, before anything else makes
// such rooms.
func (c *Client) endContacts(ctx context.Context, rooms []*Room) error {
	contacts, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return err
	}
	type place struct{ room, account mimi.URI }
	live := map[place]bool{}
	for _, contact := range contacts {
		if contact.State == ContactLeft || contact.State == ContactClosed || !contact.State.ended() {
			live[place{contact.Room, contact.Account}] = true
		}
	}
	for _, r := range rooms {
		if r.Kind != RoomConnection || r.Left {
			continue
		}
		leaves, err := c.cfg.Store.Leaves(ctx, r.URI)
		if err != nil {
			return err
		}
		for _, l := range leaves {
			if room, account := l.Room, l.Account; !live[place{room, account}] && l.State != LeafLeaving {
				c.spawn(func(ctx context.Context) { c.leaveQuietly(ctx, account, room) })
			}
		}
	}
	return nil
}

// peerLeft ends a connection whose other side is out of the connection room, with all
// clients: by their own will, or because somebody else had to remove them.
func (c *Client) peerLeft(ctx context.Context, r *room, gone Person, at time.Time, t *told) error {
	if r.record.Kind != RoomConnection || gone.Local {
		return nil
	}
	for _, l := range r.accounts() {
		contact, err := c.contactIn(ctx, r.uri(), l.Account)
		if errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		if !gone.User.IsZero() && gone.User != contact.Peer || r.hasOther(l.Account) {
			continue
		}
		if err := c.peerEnds(ctx, r, contact.Peer, ContactLeft, ReasonPeerLeft, at, t); err != nil {
			return err
		}
	}
	return nil
}

// hasOther reports whether somebody else than an account is in a room.
func (r *room) hasOther(account mimi.URI) bool {
	for _, m := range r.members {
		if m.User != account {
			return true
		}
	}
	return false
}

// peerClosed ends a connection whose other side says that its account was closed.
func (c *Client) peerClosed(ctx context.Context, r *room, member *Member, at time.Time, t *told) error {
	if r.record.Kind != RoomConnection || member.User.IsZero() {
		return nil
	}
	return c.peerEnds(ctx, r, member.User, ContactClosed, ReasonPeerClosed, at, t)
}

func (c *Client) peerEnds(ctx context.Context, r *room, peer mimi.URI, state ContactState, reason Reason, at time.Time, t *told) error {
	for _, l := range r.accounts() {
		contact, secret, err := c.contact(ctx, l.Account, peer)
		if errors.Is(err, ErrNotFound) || err == nil && (contact.Room != r.uri() || contact.State != ContactConnected) {
			continue // not connected, or told before
		} else if err != nil {
			return err
		}
		if err := c.endContact(ctx, contact, secret, state); err != nil {
			return err
		}
		if err := c.tell(ctx, t, &Event{Kind: EventAlert, Time: at, Account: l.Account, Peer: peer, Room: r.uri(), Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// hears fails if what an account wants to say in a connection room reaches nobody.
func (c *Client) hears(ctx context.Context, r *room, account mimi.URI, kind content.Kind) error {
	if r.record.Kind != RoomConnection || kind == content.KindProfile || kind == content.KindClosed {
		return nil
	}
	for _, m := range r.members {
		if m.User == account || m.User.IsZero() {
			continue
		}
		contact, secret, err := c.contact(ctx, account, m.User)
		switch {
		case errors.Is(err, ErrNotFound):
			return ErrNotConnected
		case err != nil:
			return err
		case secret.fallen && !contact.State.ended():
			return ErrKeyChanged
		}
		return contact.State.speaking()
	}
	contact, err := c.contactIn(ctx, r.uri(), account)
	if errors.Is(err, ErrNotFound) {
		return ErrNotConnected
	} else if err != nil {
		return err
	}
	return contact.State.speaking()
}

// speaking says why somebody in that state is not spoken to.
func (s ContactState) speaking() error {
	switch s {
	case ContactLeft:
		return ErrPeerLeft
	case ContactClosed:
		return ErrPeerClosed
	case ContactBlocked:
		return ErrBlocked
	case ContactExpired, ContactEnding:
		return ErrNotConnected
	default:
		return nil
	}
}

// expire ends what was not answered in time: requests of accounts here, who are told
// once, and those to them (docs/mmr-profile.md, section 4).
func (c *Client) expire(ctx context.Context) {
	contacts, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "could not look for expired requests", "err", err)
		return
	}
	for _, contact := range contacts {
		if contact.State != ContactAsked {
			continue
		}
		if err := c.expireContact(ctx, contact.Account, contact.Peer); err != nil && ctx.Err() == nil {
			c.cfg.Log.WarnContext(ctx, "could not end an expired request", "err", err)
		}
	}
	accounts, err := c.cfg.Store.Accounts(ctx)
	for _, a := range accounts {
		err = errors.Join(err, c.expireRequests(ctx, a.User), c.expireConsents(ctx, a.User))
	}
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not drop expired requests", "err", err)
	}
}

// expireContact ends a request that is older than its joining code.
func (c *Client) expireContact(ctx context.Context, account, peer mimi.URI) error {
	var room mimi.URI
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t, room = told{}, mimi.URI{}
		contact, secret, err := c.contact(ctx, account, peer)
		if errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		if contact.State != ContactAsked || !c.expired(secret) {
			return nil
		}
		room = contact.Room
		if err := c.endContact(ctx, contact, secret, ContactExpired); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{
			Kind: EventRefused, Time: c.cfg.Clock.Now(), Account: account, Peer: peer, Reason: ReasonExpired,
		})
	})
	if err != nil {
		return err
	}
	c.finish(&t)
	return c.leaveEnded(ctx, account, room)
}

// expired reports whether an own request can't be answered any more.
func (c *Client) expired(secret *contactSecret) bool {
	if secret.Asked == nil {
		return false
	}
	made := time.UnixMilli(int64(secret.Asked.CreatedAt))
	return c.cfg.Clock.Now().Sub(made) >= connection.RequestLifetime
}

// expireRequests drops requests to an account whose joining code has ended.
func (c *Client) expireRequests(ctx context.Context, account mimi.URI) error {
	requests, err := c.cfg.Store.Requests(ctx, account)
	if err != nil || len(requests) == 0 {
		return err
	}
	var t told
	err = c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		return c.dropRequests(ctx, account, func(r *Request) (bool, error) {
			request, err := connection.UnmarshalIncoming(r.Secret)
			if err != nil {
				return false, err
			}
			return c.cfg.Clock.Now().Sub(request.CreatedAt()) >= connection.RequestLifetime, nil
		}, &t)
	})
	if err != nil {
		return fmt.Errorf("client: drop expired requests: %w", err)
	}
	c.finish(&t)
	return nil
}
