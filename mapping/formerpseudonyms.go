package mapping

import (
	"context"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// PutFormerPseudonym implements [client.FormerPseudonyms].
func (c *Client) PutFormerPseudonym(ctx context.Context, former *client.FormerPseudonym) error {
	return c.t.exec(ctx, "write former pseudonym", `
		INSERT INTO mimi_former_pseudonym (account, pseudonym, room, since) VALUES ($1, $2, $3, $4)
		ON CONFLICT (pseudonym, account, room) DO UPDATE SET since = excluded.since`,
		former.Account.String(), former.Pseudonym[:], former.Room[:], former.Since.UnixMilli())
}

// FormerPseudonyms implements [client.FormerPseudonyms].
func (c *Client) FormerPseudonyms(ctx context.Context, pseudonym [32]byte) ([]*client.FormerPseudonym, error) {
	rows, err := c.t.db.Query(ctx, `
		SELECT account, pseudonym, room, since FROM mimi_former_pseudonym
		WHERE pseudonym = $1 ORDER BY account, room`, pseudonym[:])
	return list("read former pseudonyms", scanFormer, rows, err)
}

// DeleteFormerPseudonym implements [client.FormerPseudonyms].
func (c *Client) DeleteFormerPseudonym(ctx context.Context, account mimi.URI, pseudonym, room [32]byte) error {
	return c.t.exec(ctx, "delete former pseudonym",
		`DELETE FROM mimi_former_pseudonym WHERE account = $1 AND pseudonym = $2 AND room = $3`,
		account.String(), pseudonym[:], room[:])
}

// TrimFormerPseudonyms implements [client.FormerPseudonyms].
func (c *Client) TrimFormerPseudonyms(ctx context.Context, account mimi.URI, most int) error {
	// The newest of those that go is looked up first: there is none if they are few.
	return c.t.exec(ctx, "trim former pseudonyms", `
		DELETE FROM mimi_former_pseudonym WHERE account = $1 AND (since, pseudonym, room) <= (
			SELECT since, pseudonym, room FROM mimi_former_pseudonym WHERE account = $1
			ORDER BY since DESC, pseudonym DESC, room DESC LIMIT 1 OFFSET $2)`,
		account.String(), max(most, 0))
}

// ForgetFormerPseudonyms implements [client.FormerPseudonyms].
func (c *Client) ForgetFormerPseudonyms(ctx context.Context, before time.Time) error {
	return c.t.exec(ctx, "forget former pseudonyms",
		`DELETE FROM mimi_former_pseudonym WHERE since < $1`, before.UnixMilli())
}

func scanFormer(row dbutil.Scannable) (*client.FormerPseudonym, error) {
	var f client.FormerPseudonym
	err := row.Scan(uriColumn{&f.Account}, hashColumn{&f.Pseudonym}, hashColumn{&f.Room}, timeColumn{&f.Since})
	return &f, err
}
