package mapping

import (
	"context"
	"strconv"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const eventColumns = `seq, lane, secret`

// AddEvent implements [client.Events].
func (c *Client) AddEvent(ctx context.Context, event *client.StoredEvent) error {
	return c.t.atomically(ctx, func(ctx context.Context) error {
		seq, err := c.t.take(ctx, seqEvent, 1)
		if err != nil {
			return err
		}
		sealed, err := c.t.keys.seal(event.Secret, "mimi_event", strconv.FormatInt(seq, 10))
		if err != nil {
			return err
		}
		if err := c.t.exec(ctx, "add event",
			`INSERT INTO mimi_event (`+eventColumns+`) VALUES ($1, $2, $3)`,
			seq, event.Lane.String(), sealed); err != nil {
			return err
		}
		event.Seq = uint64(seq)
		return nil
	})
}

// NextEvent implements [client.Events].
func (c *Client) NextEvent(ctx context.Context, lane mimi.URI) (*client.StoredEvent, error) {
	event, err := c.scanEvent(c.t.db.QueryRow(ctx,
		`SELECT `+eventColumns+` FROM mimi_event WHERE lane = $1 ORDER BY seq LIMIT 1`, lane.String()))
	return found("read event", event, err)
}

// EventLanes implements [client.Events].
func (c *Client) EventLanes(ctx context.Context) ([]mimi.URI, error) {
	rows, err := c.t.db.Query(ctx, `SELECT DISTINCT lane FROM mimi_event ORDER BY lane`)
	return list("read lanes of events", scanURI, rows, err)
}

// DeleteEvent implements [client.Events].
func (c *Client) DeleteEvent(ctx context.Context, seq uint64) error {
	return c.t.exec(ctx, "delete event", `DELETE FROM mimi_event WHERE seq = $1`, signed(seq))
}

func (c *Client) scanEvent(row dbutil.Scannable) (*client.StoredEvent, error) {
	var e client.StoredEvent
	var sealed []byte
	err := row.Scan(unsigned64{&e.Seq}, uriColumn{&e.Lane}, &sealed)
	if err == nil {
		e.Secret, err = c.t.keys.open(sealed, "mimi_event", strconv.FormatUint(e.Seq, 10))
	}
	return &e, err
}
