package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const leafColumns = `room, account, leaf_index, state, added_by`

// PutLeaf implements [client.Leaves].
func (c *Client) PutLeaf(ctx context.Context, leaf *client.Leaf) error {
	return c.t.exec(ctx, "write leaf", `
		INSERT INTO mimi_leaf (`+leafColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (room, account) DO UPDATE
		SET leaf_index = excluded.leaf_index, state = excluded.state, added_by = excluded.added_by`,
		leaf.Room.String(), leaf.Account.String(), leaf.Index, leaf.State, leaf.AddedBy.String())
}

// Leaves implements [client.Leaves].
func (c *Client) Leaves(ctx context.Context, room mimi.URI) ([]*client.Leaf, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+leafColumns+` FROM mimi_leaf WHERE room = $1 ORDER BY leaf_index, account`, room.String())
	return list("read leaves", scanLeaf, rows, err)
}

// LeavesOf implements [client.Leaves].
func (c *Client) LeavesOf(ctx context.Context, account mimi.URI) ([]*client.Leaf, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+leafColumns+` FROM mimi_leaf WHERE account = $1 ORDER BY room`, account.String())
	return list("read leaves of account", scanLeaf, rows, err)
}

// DeleteLeaf implements [client.Leaves].
func (c *Client) DeleteLeaf(ctx context.Context, room, account mimi.URI) error {
	return c.t.exec(ctx, "delete leaf",
		`DELETE FROM mimi_leaf WHERE room = $1 AND account = $2`, room.String(), account.String())
}

func scanLeaf(row dbutil.Scannable) (*client.Leaf, error) {
	var l client.Leaf
	err := row.Scan(uriColumn{&l.Room}, uriColumn{&l.Account}, &l.Index, &l.State, uriColumn{&l.AddedBy})
	return &l, err
}
