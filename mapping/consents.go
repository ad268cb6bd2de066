package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const consentColumns = `ref, account, peer, room, side, state, changed, untold`

// PutConsent implements [client.Consents].
func (c *Client) PutConsent(ctx context.Context, consent *client.Consent) error {
	return c.t.exec(ctx, "write consent", `
		INSERT INTO mimi_consent (`+consentColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (ref) DO UPDATE
		SET account = excluded.account, peer = excluded.peer, room = excluded.room, side = excluded.side,
			state = excluded.state, changed = excluded.changed, untold = excluded.untold`,
		consent.Ref[:], consent.Account.String(), consent.Peer.String(), consent.Room.String(),
		consent.Side, consent.State, consent.Changed.UnixMilli(), consent.Untold)
}

// Consent implements [client.Consents].
func (c *Client) Consent(ctx context.Context, ref [32]byte) (*client.Consent, error) {
	consent, err := scanConsent(c.t.db.QueryRow(ctx, `SELECT `+consentColumns+` FROM mimi_consent WHERE ref = $1`, ref[:]))
	return found("read consent", consent, err)
}

// Consents implements [client.Consents].
func (c *Client) Consents(ctx context.Context, account mimi.URI) ([]*client.Consent, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+consentColumns+` FROM mimi_consent WHERE account = $1 ORDER BY changed, ref`, account.String())
	return list("read consents", scanConsent, rows, err)
}

// UntoldConsents implements [client.Consents].
func (c *Client) UntoldConsents(ctx context.Context) ([]*client.Consent, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+consentColumns+` FROM mimi_consent WHERE untold ORDER BY account, changed, ref`)
	return list("read untold consents", scanConsent, rows, err)
}

// DeleteConsent implements [client.Consents].
func (c *Client) DeleteConsent(ctx context.Context, ref [32]byte) error {
	return c.t.exec(ctx, "delete consent", `DELETE FROM mimi_consent WHERE ref = $1`, ref[:])
}

func scanConsent(row dbutil.Scannable) (*client.Consent, error) {
	var o client.Consent
	err := row.Scan(hashColumn{&o.Ref}, uriColumn{&o.Account}, uriColumn{&o.Peer}, uriColumn{&o.Room},
		&o.Side, &o.State, timeColumn{&o.Changed}, &o.Untold)
	return &o, err
}
