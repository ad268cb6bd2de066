package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const closureColumns = `account, since, rooms, told, done`

// PutClosure implements [client.Closures].
func (c *Client) PutClosure(ctx context.Context, closure *client.Closure) error {
	return c.t.exec(ctx, "write closure", `
		INSERT INTO mimi_closure (`+closureColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account) DO UPDATE
		SET since = excluded.since, rooms = excluded.rooms, told = excluded.told, done = excluded.done`,
		closure.Account.String(), closure.Since.UnixMilli(), closure.Rooms, closure.Told, closure.Done)
}

// Closure implements [client.Closures].
func (c *Client) Closure(ctx context.Context, account mimi.URI) (*client.Closure, error) {
	closure, err := scanClosure(c.t.db.QueryRow(ctx,
		`SELECT `+closureColumns+` FROM mimi_closure WHERE account = $1`, account.String()))
	return found("read closure", closure, err)
}

// Closures implements [client.Closures].
func (c *Client) Closures(ctx context.Context) ([]*client.Closure, error) {
	rows, err := c.t.db.Query(ctx, `SELECT `+closureColumns+` FROM mimi_closure WHERE NOT done ORDER BY account`)
	return list("read closures", scanClosure, rows, err)
}

// DeleteClosure implements [client.Closures].
func (c *Client) DeleteClosure(ctx context.Context, account mimi.URI) error {
	return c.t.exec(ctx, "delete closure", `DELETE FROM mimi_closure WHERE account = $1`, account.String())
}

func scanClosure(row dbutil.Scannable) (*client.Closure, error) {
	var o client.Closure
	err := row.Scan(uriColumn{&o.Account}, timeColumn{&o.Since}, &o.Rooms, &o.Told, &o.Done)
	return &o, err
}
