package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// PutSecret implements [client.Secrets].
func (c *Client) PutSecret(ctx context.Context, name string, secret []byte) error {
	sealed, err := c.t.keys.seal(secret, "mimi_secret", name)
	if err != nil {
		return err
	}
	return c.t.exec(ctx, "write secret", `
		INSERT INTO mimi_secret (name, secret) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET secret = excluded.secret`, name, sealed)
}

// Secret implements [client.Secrets].
func (c *Client) Secret(ctx context.Context, name string) ([]byte, error) {
	var sealed []byte
	err := c.t.db.QueryRow(ctx, `SELECT secret FROM mimi_secret WHERE name = $1`, name).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, client.ErrNotFound
	} else if err != nil {
		return nil, fmt.Errorf("mapping: failed to read secret: %w", err)
	}
	return c.t.keys.open(sealed, "mimi_secret", name)
}
