package client

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A phantom is a leaf of somebody who does not know of it: a KeyPackage that its owner
// has used before puts them into a further room, under the pseudonyms of the first
// (docs/mmr-profile.md, section 11, "Phantom leaves"). Members of both rooms see the
// same pseudonym twice.

// alertShared looks for a member who has just become known in other rooms, and tells
// of what is found there: once for each pair of rooms, since what was known before was
// looked for when it came.
func (c *Client) alertShared(ctx context.Context, r *room, m *Member, t *told) error {
	others, err := c.elsewhere(ctx, r, m)
	if err != nil {
		return err
	}
	done := map[mimi.URI]bool{}
	for _, other := range others {
		if done[other.Room] || r.knew(m, other) {
			continue
		}
		both, err := c.inBoth(ctx, r, other.Room)
		if err != nil {
			return err
		}
		if len(both) == 0 {
			continue // nobody here sees both rooms
		}
		done[other.Room] = true
		if err := c.tellShared(ctx, r, m, other, t); err != nil {
			return err
		}
	}
	if r.knows(m) {
		return nil
	}
	return c.alertFormer(ctx, r, m, func(account mimi.URI) bool { return r.own[account] != nil }, t)
}

// alertSharedWith does the same for an account that comes into a room whose members are
// known: what it alone sees twice.
func (c *Client) alertSharedWith(ctx context.Context, r *room, account mimi.URI, t *told) error {
	type pair struct{ room, pseudonym mimi.URI }
	done := map[pair]bool{}
	for _, i := range slices.Sorted(maps.Keys(r.members)) {
		m := r.members[i]
		others, err := c.elsewhere(ctx, r, m)
		if err != nil {
			return err
		}
		for _, other := range others {
			p := pair{other.Room, m.UserPseudonym}
			if done[p] {
				continue
			}
			both, err := c.inBoth(ctx, r, other.Room)
			if err != nil {
				return err
			}
			if len(both) != 1 || both[0] != account {
				continue // nobody here sees both rooms, or was told before
			}
			done[p] = true
			if err := c.tellShared(ctx, r, m, other, t); err != nil {
				return err
			}
		}
		if err := c.alertFormer(ctx, r, m, func(a mimi.URI) bool { return a == account }, t); err != nil {
			return err
		}
	}
	return nil
}

// alertFormer tells of a member whose pseudonym one of some accounts has seen in a room
// that one of them has left.
func (c *Client) alertFormer(ctx context.Context, r *room, m *Member, accounts func(mimi.URI) bool, t *told) error {
	seen, err := c.seenBefore(ctx, r, m, accounts)
	if err != nil || !seen {
		return err
	}
	c.cfg.Log.WarnContext(ctx, "a pseudonym of a room that was left is in another room: key material of last resort was used twice, or somebody was added without knowing it",
		"room", r.uri())
	return c.tell(ctx, t, &Event{Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: r.uri(), Actor: c.personOf(r, m), Reason: ReasonSharedPseudonym})
}

// elsewhere returns the members of other rooms that have a pseudonym of a member. There
// are no pseudonyms in a plain room; and what an account here has used twice, it is told
// itself: see [Client.lastResort].
func (c *Client) elsewhere(ctx context.Context, r *room, m *Member) ([]*Member, error) {
	if r.plain() || m.UserPseudonym.Domain == c.cfg.Domain {
		return nil, nil
	}
	all, err := c.cfg.Store.MembersBehind(ctx, m.UserPseudonym, m.ClientPseudonym)
	return slices.DeleteFunc(all, func(other *Member) bool { return other.Room == m.Room }), err
}

// knew reports whether the room had, beside m or in its place, a member with the
// pseudonym that m shares with other: a further client of the same user, or one that has
// joined anew. It was told of then.
func (r *room) knew(m, other *Member) bool {
	for _, old := range r.members {
		if old != m && (old.UserPseudonym == other.UserPseudonym || old.ClientPseudonym == other.ClientPseudonym) {
			return true
		}
	}
	return false
}

// knows reports whether the room has, beside m or in its place, a member with m's user
// pseudonym.
func (r *room) knows(m *Member) bool {
	for _, old := range r.members {
		if old != m && old.UserPseudonym == m.UserPseudonym {
			return true
		}
	}
	return false
}

// inBoth returns the accounts that are in a room and in another one.
func (c *Client) inBoth(ctx context.Context, r *room, other mimi.URI) ([]mimi.URI, error) {
	leaves, err := c.cfg.Store.Leaves(ctx, other)
	if err != nil {
		return nil, err
	}
	var both []mimi.URI
	for _, l := range leaves {
		if r.own[l.Account] != nil {
			both = append(both, l.Account)
		}
	}
	return both, nil
}

// tellShared tells of a shared pseudonym in both rooms. Neither event names the other
// room: not everybody who reads it is in both.
func (c *Client) tellShared(ctx context.Context, r *room, m, other *Member, t *told) error {
	c.cfg.Log.WarnContext(ctx, "a pseudonym is in two rooms: key material of last resort was used twice, or somebody was added without knowing it",
		"room", r.uri(), "other", other.Room)
	now := c.cfg.Clock.Now()
	there := Person{User: other.User, Pseudonym: other.UserPseudonym}
	if err := c.tell(ctx, t, &Event{Kind: EventAlert, Time: now, Room: r.uri(), Actor: c.personOf(r, m), Reason: ReasonSharedPseudonym}); err != nil {
		return err
	}
	return c.tell(ctx, t, &Event{Kind: EventAlert, Time: now, Room: other.Room, Actor: there, Reason: ReasonSharedPseudonym})
}

// tellReuse tells an account that a set of KeyPackages of last resort was given to a
// contact again: once on each UTC day.
func (c *Client) tellReuse(ctx context.Context, owner tokenOwner) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		account, err := c.cfg.Store.Account(ctx, owner.account)
		if errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		x, err := openAccount(account)
		if err != nil {
			return err
		}
		now := c.cfg.Clock.Now()
		today := uint64(max(0, now.Unix()/86400)) //nolint:gosec // not negative
		if x.reuseTold >= today {
			return nil
		}
		x.reuseTold = today
		if account.Secret, err = wire.Marshal(x); err != nil {
			return err
		}
		if err := c.cfg.Store.PutAccount(ctx, account); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{Kind: EventAlert, Time: now, Account: owner.account, Peer: owner.peer, Reason: ReasonLastResort})
	})
	if err == nil {
		c.finish(&t)
	}
	return err
}
