package storetest

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func closures(s *clientState) *table[mimi.URI, client.Closure] { return &s.closures }

func cloneClosure(c client.Closure) client.Closure { c.Since = milliseconds(c.Since); return c }

// DeleteAccount implements [client.Accounts].
func (c *ClientStore) DeleteAccount(ctx context.Context, user mimi.URI) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.accounts.delete(func(key mimi.URI, _ client.Account) bool { return key == user })
		s.active.delete(func(key mimi.URI, _ int64) bool { return key == user })
		s.contacts.delete(func(_ string, o client.Contact) bool { return o.Account == user })
		s.requests.delete(func(_ [32]byte, o client.Request) bool { return o.Account == user })
		s.consents.delete(func(_ [32]byte, o client.Consent) bool { return o.Account == user })
		s.leaves.delete(func(_ leafKey, o client.Leaf) bool { return o.Account == user })
		s.former.delete(func(_ formerKey, o client.FormerPseudonym) bool { return o.Account == user })
		s.outbox.delete(func(_ outKey, o client.Outgoing) bool { return o.Account == user })
		return nil
	})
}

// PutClosure implements [client.Closures].
func (c *ClientStore) PutClosure(ctx context.Context, closure *client.Closure) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.closures.put(closure.Account, cloneClosure(*closure))
		return nil
	})
}

// Closure implements [client.Closures].
func (c *ClientStore) Closure(ctx context.Context, account mimi.URI) (*client.Closure, error) {
	return one(ctx, c, closures, account, cloneClosure)
}

// Closures implements [client.Closures].
func (c *ClientStore) Closures(ctx context.Context) ([]*client.Closure, error) {
	return many(ctx, c, closures, func(o client.Closure) bool { return !o.Done },
		func(a, b client.Closure) int { return compareURIs(a.Account, b.Account) }, cloneClosure)
}

// DeleteClosure implements [client.Closures].
func (c *ClientStore) DeleteClosure(ctx context.Context, account mimi.URI) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.closures.delete(func(key mimi.URI, _ client.Closure) bool { return key == account })
		return nil
	})
}
