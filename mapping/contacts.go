package mapping

import (
	"context"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const contactColumns = `id, account, peer, state, room, name, changed, secret`

// PutContact implements [client.Contacts].
func (c *Client) PutContact(ctx context.Context, contact *client.Contact) error {
	sealed, err := c.t.keys.seal(contact.Secret, "mimi_contact", contact.ID)
	if err != nil {
		return err
	}
	return c.t.exec(ctx, "write contact", `
		INSERT INTO mimi_contact (`+contactColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (id) DO UPDATE
		SET account = excluded.account, peer = excluded.peer, state = excluded.state, room = excluded.room,
			name = excluded.name, changed = excluded.changed, secret = excluded.secret`,
		contact.ID, contact.Account.String(), contact.Peer.String(), contact.State,
		contact.Room.String(), contact.Name, contact.Changed.UnixMilli(), sealed)
}

// Contact implements [client.Contacts].
func (c *Client) Contact(ctx context.Context, account, peer mimi.URI) (*client.Contact, error) {
	contact, err := c.scanContact(c.t.db.QueryRow(ctx,
		`SELECT `+contactColumns+` FROM mimi_contact WHERE account = $1 AND peer = $2`,
		account.String(), peer.String()))
	return found("read contact", contact, err)
}

// Contacts implements [client.Contacts].
func (c *Client) Contacts(ctx context.Context) ([]*client.Contact, error) {
	rows, err := c.t.db.Query(ctx, `SELECT `+contactColumns+` FROM mimi_contact ORDER BY id`)
	return list("read contacts", c.scanContact, rows, err)
}

// DeleteContact implements [client.Contacts].
func (c *Client) DeleteContact(ctx context.Context, id string) error {
	return c.t.exec(ctx, "delete contact", `DELETE FROM mimi_contact WHERE id = $1`, id)
}

func (c *Client) scanContact(row dbutil.Scannable) (*client.Contact, error) {
	var o client.Contact
	var sealed []byte
	err := row.Scan(&o.ID, uriColumn{&o.Account}, uriColumn{&o.Peer}, &o.State,
		uriColumn{&o.Room}, &o.Name, timeColumn{&o.Changed}, &sealed)
	if err == nil {
		o.Secret, err = c.t.keys.open(sealed, "mimi_contact", o.ID)
	}
	return &o, err
}
