package client

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// PutConnected stores a contact as if it had just been connected, with what it gave
// the account.
func (c *Client) PutConnected(ctx context.Context, account, peer mimi.URI, theirs connection.Keys) error {
	contact, secret, err := c.newContact(account, peer, ContactConnected)
	if err != nil {
		return err
	}
	secret.Theirs = &theirs
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error { return c.putContact(ctx, contact, secret) })
}

// Refill is a schedule tick.
func (c *Client) Refill(ctx context.Context) error { return c.refillAll(ctx) }

// EachLeaf calls f for the leaf of each account in a room.
func (c *Client) EachLeaf(ctx context.Context, uri mimi.URI, f func(account mimi.URI, leaf *mls.LeafNode)) error {
	return c.withRoom(ctx, uri, func(r *room) error {
		for account, own := range r.own {
			if m, ok := r.group.View().Member(mls.LeafIndex(own.Index)); ok {
				f(account, m.Leaf)
			}
		}
		return nil
	})
}
