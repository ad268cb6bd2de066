//go:build lab

package client

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// What this file gives away is what an attacker is given in the privacy proof: the
// keys of a member who was removed, or of a contact. Only a build with the tag lab
// has it.

// WrapperKeys returns the wrapper keys of a room that its members here hold.
func (c *Client) WrapperKeys(ctx context.Context, uri mimi.URI) (keys []identity.WrapperKey, err error) {
	err = c.withRoom(ctx, uri, func(r *room) error {
		keys = r.ring.Keys()
		return nil
	})
	return keys, err
}

// TheirKeys returns what a contact has given an account.
func (c *Client) TheirKeys(ctx context.Context, account, peer mimi.URI) (*connection.Keys, error) {
	_, secret, err := c.contact(ctx, account, peer)
	if err != nil {
		return nil, err
	}
	return secret.Theirs, nil
}

// QueueKeys returns what opens the queue references of this provider.
func (c *Client) QueueKeys() identity.ProviderKeyRing { return c.keys.queue() }

// Renew gives an account a new credential in a room, as [Client.Start] does when a
// certificate is about to end.
func (c *Client) Renew(ctx context.Context, account, uri mimi.URI) error {
	return c.renewLeaf(ctx, uri, account, unchanged)
}
