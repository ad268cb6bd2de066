package client

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// secretFormer is the name of the key that former pseudonyms are hashed with.
const secretFormer = "former-pseudonyms"

// A FormerPseudonym is a user pseudonym that an account has seen in a room that it, or
// who had the pseudonym, has left since. Pseudonym and Room are HMAC-SHA-256 under a key
// that is sealed at rest: without it the rows do not say who was where.
type FormerPseudonym struct {
	Account   mimi.URI
	Pseudonym [32]byte
	Room      [32]byte
	// Since is when one of the two has left.
	Since time.Time
}

// FormerPseudonyms keeps what phantoms of rooms that were left are found by.
type FormerPseudonyms interface {
	// PutFormerPseudonym inserts or replaces the one with that account, pseudonym and
	// room. An account that is not there is an error.
	PutFormerPseudonym(ctx context.Context, former *FormerPseudonym) error
	// FormerPseudonyms returns those with that pseudonym, in the order of their accounts
	// and rooms.
	FormerPseudonyms(ctx context.Context, pseudonym [32]byte) ([]*FormerPseudonym, error)
	// DeleteFormerPseudonym does nothing if there is none.
	DeleteFormerPseudonym(ctx context.Context, account mimi.URI, pseudonym, room [32]byte) error
	// TrimFormerPseudonyms deletes all but the newest of an account, as many as most.
	TrimFormerPseudonyms(ctx context.Context, account mimi.URI, most int) error
	// ForgetFormerPseudonyms deletes those with an earlier Since.
	ForgetFormerPseudonyms(ctx context.Context, before time.Time) error
}

// loadFormer reads the key that former pseudonyms are hashed with, or makes it.
func (k *keys) loadFormer(ctx context.Context) error {
	b, err := k.cfg.Store.Secret(ctx, secretFormer)
	if errors.Is(err, ErrNotFound) {
		b = make([]byte, sha256.Size)
		if _, err := io.ReadFull(k.cfg.Random, b); err != nil {
			return err
		}
		err = k.cfg.Store.PutSecret(ctx, secretFormer, b)
	}
	k.former = suite.NewSecret(b)
	return err
}

// formerHash is what a pseudonym, or a room, is remembered by.
func (k *keys) formerHash(uri mimi.URI) [32]byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	h := hmac.New(sha256.New, k.former.Bytes())
	h.Write([]byte(uri.String())) // never fails
	return [32]byte(h.Sum(nil))
}

// rememberMembers notes whom an account has seen in a room that it is out of.
func (c *Client) rememberMembers(ctx context.Context, r *room, account mimi.URI) error {
	members := r.members
	if r.past != nil { // it was to be joined anew
		members = r.past.members
	}
	return c.noteFormer(ctx, r, []mimi.URI{account}, slices.Collect(maps.Values(members)))
}

// rememberMember notes a member who is out of the room, for all accounts in it.
func (c *Client) rememberMember(ctx context.Context, r *room, m *Member) error {
	return c.noteFormer(ctx, r, slices.Collect(maps.Keys(r.own)), []*Member{m})
}

// noteFormer notes that accounts have seen members in a room, and forgets for each what
// is too much. There are no pseudonyms in a plain room, and those of accounts are never
// used by others.
func (c *Client) noteFormer(ctx context.Context, r *room, accounts []mimi.URI, members []*Member) error {
	if r.plain() {
		return nil
	}
	now, room := c.cfg.Clock.Now(), c.keys.formerHash(r.uri())
	for _, account := range accounts {
		noted := map[mimi.URI]bool{}
		for _, m := range members {
			if m.UserPseudonym.Domain == c.cfg.Domain || noted[m.UserPseudonym] {
				continue
			}
			noted[m.UserPseudonym] = true
			if err := c.cfg.Store.PutFormerPseudonym(ctx, &FormerPseudonym{
				Account: account, Pseudonym: c.keys.formerHash(m.UserPseudonym), Room: room, Since: now,
			}); err != nil {
				return err
			}
		}
		if len(noted) == 0 {
			continue
		}
		if err := c.cfg.Store.TrimFormerPseudonyms(ctx, account, c.cfg.Limits.FormerPseudonyms); err != nil {
			return err
		}
	}
	return nil
}

// seenBefore reports whether one of some accounts has seen the pseudonym of a member in
// another room that one of them has left, and forgets that: they are told now.
func (c *Client) seenBefore(ctx context.Context, r *room, m *Member, accounts func(mimi.URI) bool) (bool, error) {
	if r.plain() || m.UserPseudonym.Domain == c.cfg.Domain {
		return false, nil
	}
	all, err := c.cfg.Store.FormerPseudonyms(ctx, c.keys.formerHash(m.UserPseudonym))
	if err != nil {
		return false, err
	}
	room, seen := c.keys.formerHash(r.uri()), false
	for _, former := range all {
		if former.Room == room || !accounts(former.Account) {
			continue
		}
		seen = true
		if err := c.cfg.Store.DeleteFormerPseudonym(ctx, former.Account, former.Pseudonym, former.Room); err != nil {
			return false, err
		}
	}
	return seen, nil
}
