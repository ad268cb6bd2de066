package storetest

import (
	"bytes"
	"cmp"
	"context"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func former(s *clientState) *table[formerKey, client.FormerPseudonym] { return &s.former }

func cloneFormer(f client.FormerPseudonym) client.FormerPseudonym {
	f.Since = milliseconds(f.Since)
	return f
}

// PutFormerPseudonym implements [client.FormerPseudonyms].
func (c *ClientStore) PutFormerPseudonym(ctx context.Context, former *client.FormerPseudonym) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := s.needAccount(former.Account); err != nil {
			return err
		}
		s.former.put(formerKey{former.Account, former.Pseudonym, former.Room}, cloneFormer(*former))
		return nil
	})
}

// FormerPseudonyms implements [client.FormerPseudonyms].
func (c *ClientStore) FormerPseudonyms(ctx context.Context, pseudonym [32]byte) ([]*client.FormerPseudonym, error) {
	return many(ctx, c, former, func(f client.FormerPseudonym) bool { return f.Pseudonym == pseudonym },
		func(a, b client.FormerPseudonym) int {
			return cmp.Or(compareURIs(a.Account, b.Account), bytes.Compare(a.Room[:], b.Room[:]))
		}, cloneFormer)
}

// DeleteFormerPseudonym implements [client.FormerPseudonyms].
func (c *ClientStore) DeleteFormerPseudonym(ctx context.Context, account mimi.URI, pseudonym, room [32]byte) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.former.delete(func(k formerKey, _ client.FormerPseudonym) bool { return k == formerKey{account, pseudonym, room} })
		return nil
	})
}

// TrimFormerPseudonyms implements [client.FormerPseudonyms].
func (c *ClientStore) TrimFormerPseudonyms(ctx context.Context, account mimi.URI, most int) error {
	return c.m.write(ctx, func(s *clientState) error {
		newestFirst := func(a, b client.FormerPseudonym) int {
			return cmp.Or(b.Since.Compare(a.Since), bytes.Compare(b.Pseudonym[:], a.Pseudonym[:]), bytes.Compare(b.Room[:], a.Room[:]))
		}
		all := s.former.list(func(f client.FormerPseudonym) bool { return f.Account == account }, newestFirst, cloneFormer)
		if len(all) <= most {
			return nil
		}
		last := *all[max(most-1, 0)]
		s.former.delete(func(_ formerKey, f client.FormerPseudonym) bool {
			return f.Account == account && (most <= 0 || newestFirst(f, last) > 0)
		})
		return nil
	})
}

// ForgetFormerPseudonyms implements [client.FormerPseudonyms].
func (c *ClientStore) ForgetFormerPseudonyms(ctx context.Context, before time.Time) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.former.delete(func(_ formerKey, f client.FormerPseudonym) bool { return f.Since.Before(milliseconds(before)) })
		return nil
	})
}
