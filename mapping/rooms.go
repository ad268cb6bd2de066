package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

const roomColumns = `room, kind, creator, has_left, secret`

// PutRoom implements [client.Rooms].
func (c *Client) PutRoom(ctx context.Context, room *client.Room) error {
	sealed, err := c.t.keys.seal(room.Secret, "mimi_room", room.URI.String())
	if err != nil {
		return err
	}
	return c.t.exec(ctx, "write room", `
		INSERT INTO mimi_room (`+roomColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (room) DO UPDATE
		SET kind = excluded.kind, creator = excluded.creator, has_left = excluded.has_left, secret = excluded.secret`,
		room.URI.String(), room.Kind, room.Creator.String(), room.Left, sealed)
}

// Room implements [client.Rooms].
func (c *Client) Room(ctx context.Context, room mimi.URI) (*client.Room, error) {
	r, err := c.scanRoom(c.t.db.QueryRow(ctx,
		`SELECT `+roomColumns+` FROM mimi_room WHERE room = $1`, room.String()))
	return found("read room", r, err)
}

// Rooms implements [client.Rooms].
func (c *Client) Rooms(ctx context.Context) ([]*client.Room, error) {
	rows, err := c.t.db.Query(ctx, `SELECT `+roomColumns+` FROM mimi_room ORDER BY room`)
	return list("read rooms", c.scanRoom, rows, err)
}

func (c *Client) scanRoom(row dbutil.Scannable) (*client.Room, error) {
	var r client.Room
	var sealed []byte
	err := row.Scan(uriColumn{&r.URI}, &r.Kind, uriColumn{&r.Creator}, &r.Left, &sealed)
	if err == nil {
		r.Secret, err = c.t.keys.open(sealed, "mimi_room", r.URI.String())
	}
	return &r, err
}

// PutRows implements [client.Rooms].
func (c *Client) PutRows(ctx context.Context, room mimi.URI, rows []mls.Row) error {
	return c.t.atomically(ctx, func(ctx context.Context) error {
		for _, row := range rows {
			if err := c.putRow(ctx, room, row); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *Client) putRow(ctx context.Context, room mimi.URI, row mls.Row) error {
	if row.Value == nil {
		return c.t.exec(ctx, "delete row of group",
			`DELETE FROM mimi_room_row WHERE room = $1 AND key = $2`, room.String(), row.Key)
	}
	value := row.Value
	if row.Secret {
		var err error
		if value, err = c.t.keys.seal(value, "mimi_room_row", room.String(), row.Key); err != nil {
			return err
		}
	}
	return c.t.exec(ctx, "write row of group", `
		INSERT INTO mimi_room_row (room, key, value, is_secret) VALUES ($1, $2, $3, $4)
		ON CONFLICT (room, key) DO UPDATE SET value = excluded.value, is_secret = excluded.is_secret`,
		room.String(), row.Key, value, row.Secret)
}

// Rows implements [client.Rooms].
func (c *Client) Rows(ctx context.Context, room mimi.URI) ([]mls.Row, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT key, value, is_secret FROM mimi_room_row WHERE room = $1 ORDER BY key`, room.String())
	return list("read rows of group", func(row dbutil.Scannable) (r mls.Row, err error) {
		if err = row.Scan(&r.Key, &r.Value, &r.Secret); err == nil && r.Secret {
			r.Value, err = c.t.keys.open(r.Value, "mimi_room_row", room.String(), r.Key)
		}
		return r, err
	}, rows, err)
}

// DeleteRows implements [client.Rooms].
func (c *Client) DeleteRows(ctx context.Context, room mimi.URI) error {
	return c.t.atomically(ctx, func(ctx context.Context) error {
		for _, statement := range []string{
			`DELETE FROM mimi_room_row WHERE room = $1`,
			`DELETE FROM mimi_leaf WHERE room = $1`,
			`DELETE FROM mimi_member WHERE room = $1`,
		} {
			if err := c.t.exec(ctx, "delete rows of group", statement, room.String()); err != nil {
				return err
			}
		}
		return nil
	})
}
