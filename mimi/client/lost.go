package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// rowLost is a row of a room that is lost: its newest wrapper key is not known here,
// so that no account can join it anew (docs/mmr-profile.md, section 8). It stays until
// one has.
const rowLost = "client/lost"

// setLost says whether a room is lost.
func (r *room) setLost(lost bool) {
	row := mls.Row{Key: rowLost}
	if lost {
		row.Value = []byte{1}
	}
	r.lost, r.rows = lost, append(r.rows, row)
}

// loses notes that a room is lost, and tells people of it, once.
func (c *Client) loses(ctx context.Context, r *room) error {
	if r.lost {
		return nil
	}
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		if err := c.cfg.Store.PutRows(ctx, r.uri(), []mls.Row{{Key: rowLost, Value: []byte{1}}}); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: r.uri(), Reason: ReasonLost})
	})
	if err == nil {
		c.finish(&t)
	}
	return err
}

// found notes that a room is where its hub is, if it was lost.
func (c *Client) found(ctx context.Context, r *room) error {
	if !r.lost {
		return nil
	}
	r.setLost(false)
	return c.saveNow(ctx, r)
}

// resyncBy joins a lost room anew with the keys of a join link to it. It fails with
// [ErrLinkDead], [ErrLinkForm] and [ErrLinkRemoval] as [Client.JoinLink] does. If
// nobody here is in the room any more, they are told, and that is no error.
func (c *Client) resyncBy(ctx context.Context, link *identity.JoinLink) error {
	err := c.resyncWith(ctx, link.Room, link)
	return ignore(err, ErrNotMember)
}

// linkKeys asks the hub for the room and the bundle of a link, in the name of the
// first leaf that is replaced, and gives the room the keys that are in it.
func (c *Client) linkKeys(ctx context.Context, r *room, link *identity.JoinLink) (*protocol.GroupInfoRatchetTreeTBE, error) {
	info, err := c.formerInfoBy(ctx, r, r.formerLeaves()[0], link.Code)
	if err != nil {
		return nil, err
	}
	if len(info.LinkBundle) == 0 { // the hub shows the room to a member whatever the code is
		return nil, fmt.Errorf("%w: it has no bundle", ErrLinkDead)
	}
	return info, r.setLinkRing(link, info)
}

// linkFailed reports whether a room could not be joined anew because of the link that
// was to help.
func linkFailed(err error) bool {
	return errors.Is(err, ErrLinkDead) || errors.Is(err, ErrLinkForm)
}
