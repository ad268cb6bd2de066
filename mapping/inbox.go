package mapping

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// AddIncoming implements [client.Inbox].
func (c *Client) AddIncoming(ctx context.Context, in *client.Incoming) (fresh bool, err error) {
	hash := sha256.Sum256(in.Body)
	var seq int64
	err = c.t.atomically(ctx, func(ctx context.Context) error {
		var known bool
		err := c.t.db.QueryRow(ctx,
			`SELECT EXISTS (SELECT 1 FROM mimi_incoming WHERE from_domain = $1 AND hash = $2)`,
			in.From, hash[:]).Scan(&known)
		if err != nil {
			return fmt.Errorf("mapping: failed to look for incoming request: %w", err)
		}
		if fresh = !known; known {
			return nil
		}
		if seq, err = c.t.take(ctx, seqIncoming, 1); err != nil {
			return err
		}
		return c.t.exec(ctx, "add incoming request", `
			INSERT INTO mimi_incoming (seq, room, from_domain, hash, received, body)
			VALUES ($1, $2, $3, $4, $5, $6)`,
			seq, in.Room.String(), in.From, hash[:], in.Received.UnixMilli(), in.Body)
	})
	if err != nil {
		return false, err
	}
	if fresh {
		in.Seq = uint64(seq)
	}
	return fresh, nil
}

// NextIncoming implements [client.Inbox].
func (c *Client) NextIncoming(ctx context.Context, room mimi.URI) (*client.Incoming, error) {
	var in client.Incoming
	err := c.t.db.QueryRow(ctx, `
		SELECT seq, room, from_domain, received, body FROM mimi_incoming
		WHERE room = $1 ORDER BY seq LIMIT 1`, room.String()).
		Scan(unsigned64{&in.Seq}, uriColumn{&in.Room}, &in.From, timeColumn{&in.Received}, &in.Body)
	return found("read incoming request", &in, err)
}

// RoomsWithIncoming implements [client.Inbox].
func (c *Client) RoomsWithIncoming(ctx context.Context) ([]mimi.URI, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT DISTINCT room FROM mimi_incoming WHERE room IS NOT NULL ORDER BY room`)
	return list("read rooms with incoming requests", scanURI, rows, err)
}

// DeleteIncoming implements [client.Inbox].
func (c *Client) DeleteIncoming(ctx context.Context, seq uint64) error {
	return c.t.exec(ctx, "delete incoming request",
		`UPDATE mimi_incoming SET room = NULL, body = NULL WHERE seq = $1`, signed(seq))
}

// ForgetIncoming implements [client.Inbox].
func (c *Client) ForgetIncoming(ctx context.Context, before time.Time) error {
	return c.t.exec(ctx, "forget incoming requests",
		`DELETE FROM mimi_incoming WHERE room IS NULL AND received < $1`, before.UnixMilli())
}
