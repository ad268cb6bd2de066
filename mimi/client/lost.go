package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowLost is a row of a room that is lost: its newest wrapper key is not known here,
// so that no account can join it anew (docs/mmr-profile.md, section 8). It stays until
// one has.
const rowLost = "client/lost"

// A loss is that of a room. Whom to ask for help is kept with it, as known before: what
// is known of the members is gone after an attempt with a link that dies on the way.
//
//	struct {
//	    uint64 since;   /* milliseconds */
//	    struct {
//	        IdentifierUri account;
//	        IdentifierUri peer;
//	        IdentifierUri connection_room;
//	    } helpers<V>;
//	} loss;
type loss struct {
	since   time.Time
	helpers []helper
}

// Wire implements [wire.Message].
func (l *loss) Wire(c *wire.Codec) {
	wireTime(c, &l.since)
	wire.Vector(c, &l.helpers, func(c *wire.Codec, h *helper) {
		h.account.Wire(c)
		h.peer.Wire(c)
		h.direct.Wire(c)
	})
}

// setLost says that a room is lost, or with nil that it is not.
func (r *room) setLost(lost *loss) error {
	row, err := lostRow(lost)
	r.lost, r.rows = lost, append(r.rows, row)
	return err
}

// lostRow is the row that says so.
func lostRow(lost *loss) (row mls.Row, err error) {
	row = mls.Row{Key: rowLost, Secret: true}
	if lost != nil {
		row.Value, err = wire.Marshal(lost)
	}
	return row, err
}

// readLost reads the row of a lost room.
func (r *room) readLost(row mls.Row) error {
	r.lost = &loss{}
	if err := wire.Unmarshal(row.Value, r.lost); err != nil {
		return fmt.Errorf("row %s: %w", row.Key, err)
	}
	return nil
}

// loses notes that a room is lost, and tells people of it, once.
func (c *Client) loses(ctx context.Context, r *room) error {
	if r.lost != nil {
		return nil
	}
	helpers, err := c.helpers(ctx, r)
	if err != nil {
		return err
	}
	row, err := lostRow(&loss{c.cfg.Clock.Now(), helpers})
	if err != nil {
		return err
	}
	var t told
	err = c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		t.then(func(ctx context.Context) { c.askForHelp(ctx, r.uri()) })
		if err := c.cfg.Store.PutRows(ctx, r.uri(), []mls.Row{row}); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: r.uri(), Reason: ReasonLost, Count: len(helpers)})
	})
	if err == nil {
		c.finish(&t)
	}
	return err
}

// found notes that a room is where its hub is, if it was lost.
func (c *Client) found(ctx context.Context, r *room) error {
	if r.lost == nil {
		return nil
	}
	if err := r.setLost(nil); err != nil {
		return err
	}
	return c.saveNow(ctx, r)
}

// A rescue is a join link that helps back into a lost room. Its bundle is that of the
// message in which a contact has sent it, or nil: then the hub has it.
type rescue struct {
	identity.JoinLink
	bundle []byte
}

// resyncBy joins a lost room anew with the keys of a join link to it. It fails with
// [ErrLinkDead], [ErrLinkForm] and [ErrLinkRemoval] as [Client.JoinLink] does. If
// nobody here is in the room any more, they are told, and that is no error.
func (c *Client) resyncBy(ctx context.Context, link *rescue) error {
	err := c.resyncWith(ctx, link.Room, link)
	return ignore(err, ErrNotMember)
}

// linkKeys gives the room, which the hub shows as info, the keys of a link. If the link
// came without its bundle, it asks the hub for room and bundle, in the name of the first
// leaf that is replaced.
func (c *Client) linkKeys(ctx context.Context, r *room, link *rescue, info *protocol.GroupInfoRatchetTreeTBE) (*protocol.GroupInfoRatchetTreeTBE, error) {
	if link.bundle != nil {
		info.LinkBundle = link.bundle
		return info, r.setLinkRing(&link.JoinLink, info)
	}
	info, err := c.formerInfoBy(ctx, r, r.formerLeaves()[0], link.Code)
	if err != nil {
		return nil, err
	}
	if len(info.LinkBundle) == 0 { // the hub shows the room to a member whatever the code is
		return nil, fmt.Errorf("%w: it has no bundle", ErrLinkDead)
	}
	return info, r.setLinkRing(&link.JoinLink, info)
}

// linkFailed reports whether a room could not be joined anew because of the link that
// was to help.
func linkFailed(err error) bool {
	return errors.Is(err, ErrLinkDead) || errors.Is(err, ErrLinkForm)
}
