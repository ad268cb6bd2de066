package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const requestColumns = `ref, account, peer, received, secret`

// PutRequest implements [client.Requests].
func (c *Client) PutRequest(ctx context.Context, request *client.Request) error {
	sealed, err := c.t.keys.seal(request.Secret, "mimi_request", string(request.Ref[:]))
	if err != nil {
		return err
	}
	return c.t.exec(ctx, "write connection request", `
		INSERT INTO mimi_request (`+requestColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (ref) DO UPDATE
		SET account = excluded.account, peer = excluded.peer, received = excluded.received, secret = excluded.secret`,
		request.Ref[:], request.Account.String(), request.Peer.String(), request.Received.UnixMilli(), sealed)
}

// Request implements [client.Requests].
func (c *Client) Request(ctx context.Context, ref [32]byte) (*client.Request, error) {
	request, err := c.scanRequest(c.t.db.QueryRow(ctx,
		`SELECT `+requestColumns+` FROM mimi_request WHERE ref = $1`, ref[:]))
	return found("read connection request", request, err)
}

// Requests implements [client.Requests].
func (c *Client) Requests(ctx context.Context, account mimi.URI) ([]*client.Request, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+requestColumns+` FROM mimi_request WHERE account = $1 ORDER BY received, ref`, account.String())
	return list("read connection requests", c.scanRequest, rows, err)
}

// DeleteRequest implements [client.Requests].
func (c *Client) DeleteRequest(ctx context.Context, ref [32]byte) error {
	return c.t.exec(ctx, "delete connection request", `DELETE FROM mimi_request WHERE ref = $1`, ref[:])
}

func (c *Client) scanRequest(row dbutil.Scannable) (*client.Request, error) {
	var r client.Request
	var sealed []byte
	err := row.Scan(hashColumn{&r.Ref}, uriColumn{&r.Account}, uriColumn{&r.Peer}, timeColumn{&r.Received}, &sealed)
	if err == nil {
		r.Secret, err = c.t.keys.open(sealed, "mimi_request", string(r.Ref[:]))
	}
	return &r, err
}
