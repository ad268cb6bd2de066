package storetest

import (
	"bytes"
	"cmp"
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func consents(s *clientState) *table[[32]byte, client.Consent] { return &s.consents }

func cloneConsent(c client.Consent) client.Consent {
	c.Changed = milliseconds(c.Changed)
	return c
}

func compareConsents(a, b client.Consent) int {
	return cmp.Or(a.Changed.Compare(b.Changed), bytes.Compare(a.Ref[:], b.Ref[:]))
}

// PutConsent implements [client.Consents].
func (c *ClientStore) PutConsent(ctx context.Context, consent *client.Consent) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := s.needAccount(consent.Account); err != nil {
			return err
		}
		s.consents.put(consent.Ref, cloneConsent(*consent))
		return nil
	})
}

// Consent implements [client.Consents].
func (c *ClientStore) Consent(ctx context.Context, ref [32]byte) (*client.Consent, error) {
	return one(ctx, c, consents, ref, cloneConsent)
}

// Consents implements [client.Consents].
func (c *ClientStore) Consents(ctx context.Context, account mimi.URI) ([]*client.Consent, error) {
	return many(ctx, c, consents, func(o client.Consent) bool { return o.Account == account }, compareConsents, cloneConsent)
}

// UntoldConsents implements [client.Consents].
func (c *ClientStore) UntoldConsents(ctx context.Context) ([]*client.Consent, error) {
	return many(ctx, c, consents, func(o client.Consent) bool { return o.Untold },
		func(a, b client.Consent) int { return cmp.Or(compareURIs(a.Account, b.Account), compareConsents(a, b)) }, cloneConsent)
}

// DeleteConsent implements [client.Consents].
func (c *ClientStore) DeleteConsent(ctx context.Context, ref [32]byte) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.consents.delete(func(key [32]byte, _ client.Consent) bool { return key == ref })
		return nil
	})
}
