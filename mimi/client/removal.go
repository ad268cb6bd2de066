package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// tellQuarantine tells the people of a room that it has members whose link does not
// open, and plans their removal. by is who has brought the last one.
func (c *Client) tellQuarantine(ctx context.Context, r *room, by Person, at time.Time, t *told) error {
	uri := r.uri()
	t.then(func(ctx context.Context) { c.planEvictions(ctx, uri) })
	unknown := len(r.unknown())
	if unknown == 0 {
		return nil // it is one of one's own
	}
	return c.tell(ctx, t, &Event{Kind: EventAlert, Time: at, Room: uri, Actor: by, Reason: ReasonQuarantine, Count: unknown})
}

// showOwn gives those accounts of a room a new credential whose entry the other
// members cannot open, because it was bad when they were added: that lifts the
// quarantine at all others (docs/mmr-profile.md, section 8).
func (c *Client) showOwn(ctx context.Context, uri mimi.URI) {
	var accounts []mimi.URI
	err := c.withRoom(ctx, uri, func(r *room) error {
		accounts = nil
		for _, l := range r.accounts() {
			if r.quarantined[mls.LeafIndex(l.Index)] != nil && l.State == LeafJoined {
				accounts = append(accounts, l.Account)
			}
		}
		return nil
	})
	for _, account := range accounts {
		err = errors.Join(err, c.renewLeaf(ctx, uri, account, identified))
	}
	if err != nil && !errors.Is(err, ErrNotMember) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not show a room who an account is, will try again", "room", uri, "err", err)
		c.evictions.at(uri, func() func() bool {
			return c.cfg.Clock.AfterFunc(c.cfg.Limits.MaxBackoff, func() {
				c.spawn(func(ctx context.Context) { c.showOwn(ctx, uri); c.planEvictions(ctx, uri) })
			})
		})
	}
}

// due returns when a leaf in quarantine is to be removed: at once if it came by
// itself, and else a day after it was noticed. Of who only lacks a CA here nothing
// bad is known: zero.
func (c *Client) due(q *quarantined) time.Time {
	switch {
	case q.marks&markNoCA != 0:
		return time.Time{}
	case q.marks&markExternal != 0:
		return q.since
	default:
		return q.since.Add(c.cfg.Limits.Quarantine)
	}
}

// planEvictions decides when this gateway looks after the leaves in quarantine of a
// room. It follows from what is stored, also after a restart.
func (c *Client) planEvictions(ctx context.Context, uri mimi.URI) {
	var next time.Time
	err := c.withRoom(ctx, uri, func(r *room) error {
		admin, rank := r.remover()
		next = time.Time{}
		for _, q := range r.unknown() {
			due := c.due(q)
			if due.IsZero() || admin == nil && q.marks&markTold != 0 {
				continue
			}
			if admin != nil {
				due = due.Add(min(time.Duration(rank)*c.cfg.Limits.RemovalStep, c.cfg.Limits.MaxRemoval))
			}
			if next.IsZero() || due.Before(next) {
				next = due
			}
		}
		return nil
	})
	if err != nil || next.IsZero() {
		return
	}
	c.evictAt(uri, next)
}

func (c *Client) evictAt(uri mimi.URI, at time.Time) {
	run := func() { c.spawn(func(ctx context.Context) { c.evictDue(ctx, uri) }) }
	wait := at.Sub(c.cfg.Clock.Now())
	if wait <= 0 {
		run()
		return
	}
	c.evictions.at(uri, func() func() bool { return c.cfg.Clock.AfterFunc(wait, run) })
}

// remover returns the account that removes leaves in quarantine, if one here may, and
// how many others in the room come first: those who may remove, in the order of their
// leaves (docs/mmr-profile.md, section 3, of pending removals).
func (r *room) remover() (own *Leaf, rank int) {
	for _, i := range r.public().Leaves() {
		tbs, ok := r.public().Leaf(i)
		if !ok || r.quarantined[i] != nil || !r.public().State().Holds(tbs.UserPseudonym, rules.CanRemoveParticipant) {
			continue
		}
		if own := r.committer(i); own != nil {
			return own, rank
		}
		rank++
	}
	return nil, rank
}

// evictDue removes the leaves of a room that have been in quarantine long enough, or,
// where nobody here may, says once who has to.
func (c *Client) evictDue(ctx context.Context, uri mimi.URI) {
	var pseudonyms []mimi.URI
	var admin *Leaf
	err := c.withRoom(ctx, uri, func(r *room) error {
		pseudonyms = nil
		admin, _ = r.remover()
		now := c.cfg.Clock.Now()
		var due []*quarantined
		for _, q := range r.unknown() {
			if at := c.due(q); !at.IsZero() && !now.Before(at) {
				due = append(due, q)
				pseudonyms = append(pseudonyms, q.pseudonym)
			}
		}
		if admin != nil || len(due) == 0 {
			return nil
		}
		return c.inRoom(ctx, r, func(ctx context.Context, t *told) error { return c.tellAdmins(ctx, r, due, t) })
	})
	if err == nil && admin != nil {
		for _, pseudonym := range pseudonyms {
			err = errors.Join(err, c.evictUnverified(ctx, uri, admin.Account, pseudonym))
		}
	}
	if err != nil && !errors.Is(err, ErrNotMember) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not remove a member whose identity is not verified, will try again", "room", uri, "err", err)
		c.evictAt(uri, c.cfg.Clock.Now().Add(c.cfg.Limits.MaxBackoff))
		return
	}
	c.planEvictions(ctx, uri)
}

// tellAdmins asks the people of a room to turn to its administrators, once for each
// leaf.
func (c *Client) tellAdmins(ctx context.Context, r *room, due []*quarantined, t *told) error {
	fresh := 0
	for _, q := range due {
		if q.marks&markTold == 0 {
			q.marks |= markTold
			r.requarantined = true
			fresh++
		}
	}
	if fresh == 0 {
		return nil
	}
	var by Person
	for _, i := range r.public().Leaves() {
		m := r.members[i]
		if m != nil && !m.User.IsZero() && r.quarantined[i] == nil && r.public().State().Holds(m.UserPseudonym, rules.CanRemoveParticipant) {
			by = c.personOf(r, m)
			break
		}
	}
	return c.tell(ctx, t, &Event{
		Kind: EventAlert, Time: c.cfg.Clock.Now(), Room: r.uri(), Actor: by, Reason: ReasonRemoveUnverified, Count: fresh,
	})
}

// evictUnverified removes a leaf in quarantine, and its user with it if that has no
// other leaf. It does nothing if the leaf is gone by then, is about to go, or has got
// a name.
func (c *Client) evictUnverified(ctx context.Context, uri, account, pseudonym mimi.URI) error {
	err := c.commit(ctx, uri, account, func(_ context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
		i := slices.IndexFunc(r.unknown(), func(q *quarantined) bool { return q.pseudonym == pseudonym })
		if i < 0 {
			return nil, ErrNotMember
		}
		leaf := r.unknown()[i].leaf
		tbs, ok := r.public().Leaf(leaf)
		switch {
		case !ok, slices.Contains(mmr.Leaving(r.proposed()), leaf):
			return nil, ErrNotMember
		case len(r.public().LeavesOf(tbs.UserPseudonym)) > 1:
			return &mls.CommitOptions{AllPending: true, Proposals: []mls.ProposalBody{&mls.Remove{Removed: leaf}}}, nil
		}
		return r.removal(tbs.UserPseudonym)
	})
	return ignore(err, ErrNotMember)
}
