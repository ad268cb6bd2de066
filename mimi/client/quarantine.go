package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowQuarantine is the row of a room with its leaves in quarantine, sealed.
const rowQuarantine = "client/quarantine"

// A quarantined is what is remembered of a leaf whose identity link does not open
// (docs/mmr-profile.md, section 8), as long as it is so.
//
//	struct {
//	    uint32 leaf;
//	    IdentifierUri client_pseudonym;
//	    uint64 since;                /* milliseconds */
//	    uint8 marks;
//	    optional<IdentifierUri> by;  /* user pseudonym of the committer, if known */
//	    IdentifierUri accepted<V>;   /* accounts that send all the same */
//	} quarantined;
type quarantined struct {
	leaf      mls.LeafIndex
	pseudonym mimi.URI
	since     time.Time
	marks     quarantineMarks
	by        mimi.URI
	accepted  []mimi.URI
}

type quarantineMarks uint8

const (
	// markExternal: the leaf came by an external Commit of its own.
	markExternal quarantineMarks = 1 << iota
	// markNoCA: all that is missing is the identity CA of its provider. Nothing is
	// known to be wrong with the leaf.
	markNoCA
	// markTold: people have been told that an administrator has to remove it.
	markTold
)

// Wire implements [wire.Message].
func (q *quarantined) Wire(c *wire.Codec) {
	wire.Uint32(c, &q.leaf)
	q.pseudonym.Wire(c)
	wireTime(c, &q.since)
	wire.Uint8(c, &q.marks)
	q.by.WireOptional(c)
	wire.Vector(c, &q.accepted, func(c *wire.Codec, u *mimi.URI) { u.Wire(c) })
}

// quarantineList is quarantined leaves<V>, ascending.
type quarantineList []*quarantined

// Wire implements [wire.Message].
func (l *quarantineList) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]*quarantined)(l), func(c *wire.Codec, q **quarantined) {
		if *q == nil {
			*q = &quarantined{}
		}
		(*q).Wire(c)
	})
}

// quarantine notes that the link of a leaf does not open. What is known of that leaf
// already stays: how long it is there, and who sends all the same.
func (r *room) quarantine(m *Member, failure error, how arrival, now time.Time) {
	next := &quarantined{
		leaf: mls.LeafIndex(m.Index), pseudonym: m.ClientPseudonym, since: now.Truncate(time.Millisecond).UTC(), by: how.by,
	}
	if how.external {
		next.marks |= markExternal
	}
	if errors.Is(failure, identity.ErrNoPin) {
		next.marks |= markNoCA
	}
	if old, ok := r.quarantined[next.leaf]; ok && old.pseudonym == next.pseudonym {
		next.since, next.accepted, next.by = old.since, old.accepted, old.by
		next.marks |= old.marks &^ markNoCA
	}
	r.quarantined[next.leaf] = next
	r.requarantined = true
}

// An arrival says how a leaf has come into the room, as far as that is known.
type arrival struct {
	// external says that it came by an external Commit of its own.
	external bool
	// by is the user pseudonym of the member who committed it, if that is another.
	by mimi.URI
}

// release notes that a leaf is in quarantine no more: its link opens, or it is gone.
func (r *room) release(i mls.LeafIndex) {
	if _, ok := r.quarantined[i]; ok {
		delete(r.quarantined, i)
		r.requarantined = true
	}
}

// quarantineRow returns the row of the leaves in quarantine.
func (r *room) quarantineRow() (mls.Row, error) {
	row := mls.Row{Key: rowQuarantine, Secret: true}
	if len(r.quarantined) == 0 {
		return row, nil
	}
	list := quarantineList(slices.SortedFunc(maps.Values(r.quarantined), func(a, b *quarantined) int { return int(a.leaf) - int(b.leaf) }))
	var err error
	row.Value, err = wire.Marshal(&list)
	return row, err
}

// readQuarantine reads that row.
func (r *room) readQuarantine(row mls.Row) error {
	var list quarantineList
	if err := wire.Unmarshal(row.Value, &list); err != nil {
		return fmt.Errorf("row %s: %w", row.Key, err)
	}
	for _, q := range list {
		r.quarantined[q.leaf] = q
	}
	return nil
}

// unknown returns the leaves in quarantine that are not an account's here, ascending.
// A leaf of one's own may be there for others, if its entry is bad: see
// [Client.showOwn].
func (r *room) unknown() []*quarantined {
	var out []*quarantined
	for _, i := range slices.Sorted(maps.Keys(r.quarantined)) {
		if _, own := r.ownAt(i); !own {
			out = append(out, r.quarantined[i])
		}
	}
	return out
}

// unverified counts the leaves that keep an account from sending to the room: those
// in quarantine that it has not accepted, where everybody's link has to open
// (docs/mmr-profile.md, section 8).
func (r *room) unverified(account mimi.URI) (leaves int) {
	if r.public().Policy().Requirement != identity.RequireAll {
		return 0
	}
	for _, q := range r.unknown() {
		if !slices.Contains(q.accepted, account) {
			leaves++
		}
	}
	return leaves
}

// A QuarantineError reports a room with unverified members, to which nothing is sent
// before the person says so: [Client.SendAnyway]. It is an [ErrQuarantine].
type QuarantineError struct {
	// Leaves is how many members of the room are unverified.
	Leaves int
}

// Error implements error.
func (e *QuarantineError) Error() string {
	return fmt.Sprintf("%v: %d of them", ErrQuarantine, e.Leaves)
}

// Unwrap returns [ErrQuarantine].
func (e *QuarantineError) Unwrap() error { return ErrQuarantine }

// verified fails with a [QuarantineError] if a leaf in quarantine keeps an account
// from sending, and with errClosed as long as nobody knows, because links are closed.
func (r *room) verified(account mimi.URI) error {
	if r.public().Policy().Requirement != identity.RequireAll {
		return nil
	}
	if r.closed() > 0 {
		return errClosed
	}
	if n := r.unverified(account); n > 0 {
		return &QuarantineError{n}
	}
	return nil
}

// An UnverifiedMember is a leaf in quarantine, as people are told of it.
type UnverifiedMember struct {
	Person
	// By is who brought the member; zero if that is not known, or if the member came
	// in by itself.
	By Person
	// Since is when the gateway has noticed.
	Since time.Time
	// Unreachable says that the member's provider has not answered yet, and that
	// nothing else is known to be wrong.
	Unreachable bool
	// Accepted says that the account sends to the room all the same.
	Accepted bool
}

// Unverified returns the members of a room whose identity could not be verified, as
// far as links have been opened.
func (c *Client) Unverified(ctx context.Context, account, uri mimi.URI) (members []UnverifiedMember, err error) {
	err = c.withRoom(ctx, uri, func(r *room) error {
		if _, err := r.speaker(account); err != nil {
			return err
		}
		for _, q := range r.unknown() {
			u := UnverifiedMember{
				Person: c.person(r, q.leaf), Since: q.since, Unreachable: q.marks&markNoCA != 0, Accepted: slices.Contains(q.accepted, account),
			}
			if !q.by.IsZero() {
				u.By = c.personBehind(r, q.by)
			}
			members = append(members, u)
		}
		return nil
	})
	return members, err
}

// SendAnyway lets an account send to a room although the identity of some members
// could not be verified: of those members alone. If another one comes, sending stops
// again. leaves is how many there are, as the person was told; if there are others by
// now, it fails with a [QuarantineError].
func (c *Client) SendAnyway(ctx context.Context, account, uri mimi.URI, leaves int) error {
	err := c.withRoom(ctx, uri, func(r *room) error {
		if _, err := r.speaker(account); err != nil {
			return err
		}
		if n := r.unverified(account); n != leaves {
			return &QuarantineError{n}
		}
		for _, q := range r.unknown() {
			if !slices.Contains(q.accepted, account) {
				q.accepted = append(q.accepted, account)
				r.requarantined = true
			}
		}
		return c.saveNow(ctx, r)
	})
	if err == nil {
		c.outbox.wake(uri)
	}
	return err
}
