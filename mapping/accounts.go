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

// A Client keeps what the engine of the local users must know after a restart.
type Client struct{ t *tables }

var _ client.Store = (*Client)(nil)

// Atomically implements [client.Store]. A context of a transaction that bridgev2
// has begun is joined, too. What a nested f has done is undone if it fails, even
// if the outer one goes on.
func (c *Client) Atomically(ctx context.Context, f func(ctx context.Context) error) error {
	return c.t.atomically(ctx, f)
}

// found turns the absence of a row into the error of package client.
func found[T any](what string, value *T, err error) (*T, error) {
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, client.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("mapping: failed to %s: %w", what, err)
	default:
		return value, nil
	}
}

const accountColumns = `user_uri, client_uri, name, secret`

// PutAccount implements [client.Accounts].
func (c *Client) PutAccount(ctx context.Context, account *client.Account) error {
	sealed, err := c.t.keys.seal(account.Secret, "mimi_account", account.User.String())
	if err != nil {
		return err
	}
	return c.t.exec(ctx, "write account", `
		INSERT INTO mimi_account (`+accountColumns+`) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_uri) DO UPDATE
		SET client_uri = excluded.client_uri, name = excluded.name, secret = excluded.secret`,
		account.User.String(), account.Client.String(), account.Name, sealed)
}

// Account implements [client.Accounts].
func (c *Client) Account(ctx context.Context, user mimi.URI) (*client.Account, error) {
	account, err := c.scanAccount(c.t.db.QueryRow(ctx,
		`SELECT `+accountColumns+` FROM mimi_account WHERE user_uri = $1`, user.String()))
	return found("read account", account, err)
}

// Accounts implements [client.Accounts].
func (c *Client) Accounts(ctx context.Context) ([]*client.Account, error) {
	rows, err := c.t.db.Query(ctx, `SELECT `+accountColumns+` FROM mimi_account ORDER BY user_uri`)
	return list("read accounts", c.scanAccount, rows, err)
}

// SetActive implements [client.Accounts].
func (c *Client) SetActive(ctx context.Context, user mimi.URI, at time.Time) error {
	return c.t.exec(ctx, "note an active account", `UPDATE mimi_account SET active = $2 WHERE user_uri = $1 AND active < $2`,
		user.String(), at.UnixMilli())
}

// CountActive implements [client.Accounts].
func (c *Client) CountActive(ctx context.Context, since time.Time) (n int, err error) {
	err = c.t.db.QueryRow(ctx, `SELECT COUNT(*) FROM mimi_account WHERE active >= $1`, since.UnixMilli()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("mapping: failed to count active accounts: %w", err)
	}
	return n, nil
}

// DeleteAccount implements [client.Accounts]: foreign keys do the rest.
func (c *Client) DeleteAccount(ctx context.Context, user mimi.URI) error {
	return c.t.exec(ctx, "delete account", `DELETE FROM mimi_account WHERE user_uri = $1`, user.String())
}

func (c *Client) scanAccount(row dbutil.Scannable) (*client.Account, error) {
	var a client.Account
	var sealed []byte
	err := row.Scan(uriColumn{&a.User}, uriColumn{&a.Client}, &a.Name, &sealed)
	if err == nil {
		a.Secret, err = c.t.keys.open(sealed, "mimi_account", a.User.String())
	}
	return &a, err
}
