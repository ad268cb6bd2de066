package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const outgoingColumns = `seq, room, account, source, message_id, body, epoch, accepted, secret`

// PutOutgoing implements [client.Outbox]. It sets Seq in either case. A message
// that has been accepted is kept without its secret.
func (c *Client) PutOutgoing(ctx context.Context, out *client.Outgoing) error {
	secret := out.Secret
	if !out.Accepted.IsZero() {
		secret = nil
	}
	sealed, err := c.t.keys.seal(secret, "mimi_outgoing", out.Room.String(), out.Source)
	if err != nil {
		return err
	}
	var seq uint64
	err = c.t.atomically(ctx, func(ctx context.Context) error {
		err := c.t.db.QueryRow(ctx, `
			UPDATE mimi_outgoing
			SET account = $3, message_id = $4, body = $5, epoch = $6, accepted = $7, secret = $8
			WHERE room = $1 AND source = $2 RETURNING seq`,
			out.Room.String(), out.Source, out.Account.String(), out.MessageID, out.Body,
			signed(out.Epoch), optionalTime(out.Accepted), sealed).Scan(unsigned64{&seq})
		if err == nil {
			return nil
		} else if !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("mapping: failed to replace outgoing message: %w", err)
		}
		first, err := c.t.take(ctx, seqOutgoing, 1)
		if err != nil {
			return err
		}
		seq = uint64(first)
		return c.t.exec(ctx, "add outgoing message", `
			INSERT INTO mimi_outgoing (`+outgoingColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			first, out.Room.String(), out.Account.String(), out.Source, out.MessageID, out.Body,
			signed(out.Epoch), optionalTime(out.Accepted), sealed)
	})
	if err == nil {
		out.Seq = seq
	}
	return err
}

// Outgoing implements [client.Outbox].
func (c *Client) Outgoing(ctx context.Context, room mimi.URI, source string) (*client.Outgoing, error) {
	out, err := c.scanOutgoing(c.t.db.QueryRow(ctx,
		`SELECT `+outgoingColumns+` FROM mimi_outgoing WHERE room = $1 AND source = $2`, room.String(), source))
	return found("read outgoing message", out, err)
}

// Unaccepted implements [client.Outbox].
func (c *Client) Unaccepted(ctx context.Context) ([]*client.Outgoing, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+outgoingColumns+` FROM mimi_outgoing WHERE accepted IS NULL ORDER BY seq`)
	return list("read outgoing messages", c.scanOutgoing, rows, err)
}

// DeleteOutgoing implements [client.Outbox].
func (c *Client) DeleteOutgoing(ctx context.Context, room mimi.URI, source string) error {
	return c.t.exec(ctx, "delete outgoing message",
		`DELETE FROM mimi_outgoing WHERE room = $1 AND source = $2`, room.String(), source)
}

// ForgetOutgoing implements [client.Outbox].
func (c *Client) ForgetOutgoing(ctx context.Context, before time.Time) error {
	return c.t.exec(ctx, "forget accepted messages",
		`DELETE FROM mimi_outgoing WHERE accepted IS NOT NULL AND accepted < $1`, before.UnixMilli())
}

func (c *Client) scanOutgoing(row dbutil.Scannable) (*client.Outgoing, error) {
	var o client.Outgoing
	var sealed []byte
	err := row.Scan(unsigned64{&o.Seq}, uriColumn{&o.Room}, uriColumn{&o.Account}, &o.Source, &o.MessageID,
		&o.Body, unsigned64{&o.Epoch}, timeColumn{&o.Accepted}, &sealed)
	if err == nil {
		o.Secret, err = c.t.keys.open(sealed, "mimi_outgoing", o.Room.String(), o.Source)
	}
	return &o, err
}
