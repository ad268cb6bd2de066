package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

const (
	// helpPeriod is how often a contact is given the keys of a lost room, and the
	// shortest time between two requests for one.
	helpPeriod = time.Minute
	// maxHelpPeriod is the longest time between two requests.
	maxHelpPeriod = 6 * time.Hour
)

// A helper is a contact of an account, in their connection room, of whom one helps the
// other back into a room.
type helper struct {
	account, peer, direct mimi.URI
}

// A helping is a contact who is given the keys of a room at the moment.
type helping struct {
	helper
	lost mimi.URI
}

// askForHelp asks contacts for the keys of a room, if it is lost, and plans to do
// so again, as long as it is lost, each time after twice as long
// (docs/mmr-profile.md, section 8).
func (c *Client) askForHelp(ctx context.Context, uri mimi.URI) {
	var lost *loss
	err := c.withRoom(ctx, uri, func(r *room) error {
		lost = r.lost
		return nil
	})
	if err != nil || lost == nil {
		return
	}
	message, err := content.LostMessage(uri)
	if err != nil {
		c.cfg.Log.ErrorContext(ctx, "could not ask for help", "room", uri, "err", err)
		return
	}
	passed := c.cfg.Clock.Now().Sub(lost.since)
	c.later(uri, min(max(passed, helpPeriod), maxHelpPeriod), c.askForHelp)
	for _, h := range lost.helpers {
		c.spawn(func(ctx context.Context) {
			source := fmt.Sprintf("lost/%s/%d", uri.ID, passed/helpPeriod)
			if _, err := c.Send(ctx, h.account, h.direct, source, message); err != nil && !errors.Is(err, ErrQueued) && ctx.Err() == nil {
				c.cfg.Log.DebugContext(ctx, "could not ask for help", "room", uri, "err", err)
			}
		})
	}
}

// helpers returns the contacts of accounts in a room who are in it as well, as far as
// is known. An account that does not show who it is there asks nobody.
func (c *Client) helpers(ctx context.Context, r *room) ([]helper, error) {
	if r.record.Kind != RoomGroup {
		return nil, nil
	}
	var out []helper
	for _, own := range r.accounts() {
		if own.State != LeafJoined || r.hidden(mls.LeafIndex(own.Index)) {
			continue
		}
		asked := 0
		for _, i := range r.public().Leaves() {
			m := r.members[i]
			if m == nil || m.User.IsZero() || m.User.Domain == c.cfg.Domain || asked >= c.cfg.Limits.Helpers {
				continue
			}
			contact, err := c.cfg.Store.Contact(ctx, own.Account, m.User)
			if errors.Is(err, ErrNotFound) || err == nil && contact.State != ContactConnected {
				continue
			} else if err != nil {
				return nil, err
			}
			h := helper{own.Account, m.User, contact.Room}
			if !slices.Contains(out, h) {
				out, asked = append(out, h), asked+1
			}
		}
	}
	return out, nil
}

// asker returns the account that a contact speaks to in a connection room. It fails
// with [ErrNotConnected].
func (c *Client) asker(ctx context.Context, r *room, member *Member) (account mimi.URI, err error) {
	if r.record.Kind != RoomConnection || member.User.IsZero() || member.User.Domain == c.cfg.Domain {
		return mimi.URI{}, ErrNotConnected
	}
	for _, own := range r.accounts() {
		contact, secret, err := c.contact(ctx, own.Account, member.User)
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return mimi.URI{}, err
		case contact.Room == r.uri() && contact.State == ContactConnected && !secret.fallen:
			return own.Account, nil
		}
	}
	return mimi.URI{}, ErrNotConnected
}

// askedForHelp takes in that a contact has lost a room.
func (c *Client) askedForHelp(ctx context.Context, r *room, member *Member, message content.Message, t *told) error {
	lost, err := content.DecodeLost(message)
	if err != nil {
		c.refused(ctx, "dropped a malformed request for a join link", err, "room", r.uri())
		return nil
	}
	account, err := c.asker(ctx, r, member)
	if errors.Is(err, ErrNotConnected) {
		c.refused(ctx, "dropped a request for a join link", err, "room", r.uri())
		return nil
	} else if err != nil {
		return err
	}
	h := helper{account, member.User, r.uri()}
	t.then(func(ctx context.Context) { c.help(ctx, h, lost) })
	return nil
}

// help gives a contact the keys of a room in which both are: a link with its bundle. No
// hub knows the code of the link, so it lets nobody in, and serves who has a leaf in the
// room: neither side needs a right for it.
func (c *Client) help(ctx context.Context, h helper, lost mimi.URI) {
	key := helping{h, lost}
	if _, busy := c.helping.LoadOrStore(key, true); busy {
		return
	}
	defer c.helping.Delete(key)
	source := fmt.Sprintf("link/%s/%d", lost.ID, c.cfg.Clock.Now().UnixNano()/int64(helpPeriod))
	if _, err := c.cfg.Store.Outgoing(ctx, h.direct, source); !errors.Is(err, ErrNotFound) {
		return // it has been given one just now
	}
	var message content.Message
	err := c.attempt(ctx, lost, h.account, func(r *room, own *Leaf) (err error) {
		if r.plain() || r.lost != nil || r.hidden(mls.LeafIndex(own.Index)) || !r.shows(h.peer) {
			return ErrDenied
		}
		if len(mmr.Leaving(r.proposed())) > 0 {
			return &errAgain{removal: true} // what is true now is not true for long
		}
		message, err = c.helpMessage(r)
		return err
	})
	if err == nil {
		_, err = c.Send(ctx, h.account, h.direct, source, message)
	}
	if err != nil && !errors.Is(err, ErrQueued) && ctx.Err() == nil {
		c.cfg.Log.DebugContext(ctx, "did not help a contact into a room", "room", lost, "err", err)
	}
}

// helpMessage puts the live keys of a room into a link that no hub knows.
func (c *Client) helpMessage(r *room) (content.Message, error) {
	live, err := r.ring.Live(r.public().Table(), r.public().Metadata())
	if err != nil {
		return content.Message{}, err
	}
	link, err := identity.NewJoinLink(r.uri(), c.cfg.Random)
	if err != nil {
		return content.Message{}, err
	}
	bundle, err := link.Seal(r.suite, live, c.cfg.Random)
	if err != nil {
		return content.Message{}, err
	}
	encoded, err := mls.Marshal(bundle)
	if err != nil {
		return content.Message{}, err
	}
	return content.LinkMessage(link.Text(), encoded)
}

// shows reports whether a person has a leaf in the room that shows who it is.
func (r *room) shows(user mimi.URI) bool {
	m, ok := r.memberOf(user)
	return ok && m.User == user && !r.hidden(mls.LeafIndex(m.Index)) && r.quarantined[mls.LeafIndex(m.Index)] == nil
}

// helped takes in a link that a contact has sent.
func (c *Client) helped(ctx context.Context, r *room, member *Member, message content.Message, t *told) error {
	text, bundle, err := content.DecodeLink(message)
	if err != nil {
		c.refused(ctx, "dropped a malformed join link", err, "room", r.uri())
		return nil
	}
	account, err := c.asker(ctx, r, member)
	if errors.Is(err, ErrNotConnected) {
		c.refused(ctx, "dropped a join link", err, "room", r.uri())
		return nil
	} else if err != nil {
		return err
	}
	h := helper{account, member.User, r.uri()}
	t.then(func(ctx context.Context) { c.useHelp(ctx, h, text, bundle) })
	return nil
}

// useHelp joins a room anew with a link that a contact was asked for. A link to a room
// that is not lost, or from a contact who was not asked, does nothing.
func (c *Client) useHelp(ctx context.Context, h helper, text string, bundle []byte) {
	link, err := identity.ParseJoinLink(strings.TrimSpace(text))
	if err != nil {
		return
	}
	asked := false
	err = c.withRoom(ctx, link.Room, func(r *room) error {
		asked = r.lost != nil && slices.Contains(r.lost.helpers, h)
		return nil
	})
	if err != nil || !asked {
		return
	}
	if err := c.resyncBy(ctx, &rescue{link, bundle}); err != nil && ctx.Err() == nil {
		c.cfg.Log.InfoContext(ctx, "a contact's join link did not help", "room", link.Room, "err", err)
	}
}
