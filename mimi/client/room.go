package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowKeys is the row of a room with its wrapper keys, sealed.
const rowKeys = "client/keys"

// A room is one in memory. It belongs to whoever is in [Client.withRoom].
type room struct {
	record *Room
	suite  *suite.Suite
	group  *mls.Group
	rules  *mmr.Rules
	ring   identity.KeyRing
	// own are the leaves of accounts, by account.
	own map[mimi.URI]*Leaf
	// members are all leaves, local ones included.
	members map[mls.LeafIndex]*Member
	// leaves are own leaves that have asked for their removal.
	leaves map[mls.LeafIndex]*leave
	// former are accounts whose leaves cannot follow the hub any more: see
	// [Client.resync].
	former map[mimi.URI]*formerLeaf
	// lost says that people have been told that the room cannot be joined anew; nil if
	// it is not so.
	lost *loss
	// untold are Adds of accounts here that they do not know to be accepted; awaited
	// says that the author of the Commit that is applied waits for it.
	untold  untolds
	awaited bool
	// links are the join links that accounts here have made, by the keys of their
	// rows.
	links map[string]*Link
	// roster is who is in the room as it was asked for last, or nil if members have
	// changed since: see [Client.Room].
	roster *roster
	// people are the members by what may not contradict, or nil: see [room.others].
	people *people
	// quarantined are the leaves whose links do not open, and requarantined says that
	// they have changed since the room was stored.
	quarantined   map[mls.LeafIndex]*quarantined
	requarantined bool
	// inspected are links, by client pseudonym, that were opened before the room was
	// joined.
	inspected map[mimi.URI]*identity.OpenedLink
	// past is the room before it was joined anew, until the first leaf has joined.
	past *room
	// rows are changes beside the group's that are not stored.
	rows []mls.Row
}

// emptyRoom returns a room in which nobody is.
func emptyRoom(record *Room, s *suite.Suite) *room {
	return &room{
		record: record, suite: s, rules: mmr.NewRules(nil),
		own: map[mimi.URI]*Leaf{}, members: map[mls.LeafIndex]*Member{},
		leaves: map[mls.LeafIndex]*leave{}, former: map[mimi.URI]*formerLeaf{},
		links: map[string]*Link{}, quarantined: map[mls.LeafIndex]*quarantined{},
	}
}

// A leaf is the identity of a leaf that an account is about to have.
type leaf struct {
	account mimi.URI
	// user is who the account is in the room: a pseudonym, or in a plain room the
	// account itself. identity is nil there.
	user     mimi.URI
	identity *identity.LeafIdentity
	params   mls.LeafParams
}

// public returns the room as everyone can see it.
func (r *room) public() *mmr.Room { return r.rules.Room() }

func (r *room) uri() mimi.URI { return r.record.URI }

// withRoom runs f on a room while nobody else does. If f fails, the room is
// dropped from memory and read again by the next one, so that f may leave it half
// changed: what counts is in the store. It fails with [ErrNotMember] if no account
// is in the room.
func (c *Client) withRoom(ctx context.Context, uri mimi.URI, f func(*room) error) error {
	return c.rooms.With(uri, func(slot *cache.Slot[room]) error {
		if slot.Value == nil {
			r, err := c.loadRoom(ctx, uri)
			if err != nil {
				return err
			}
			slot.Value = r
		}
		r := slot.Value
		err := f(r)
		if err == nil && r.record.Left {
			slot.Value = nil
		}
		return err
	})
}

// withSlot is [Client.withRoom] for a room that may not exist yet: f finds nil
// and may return a room.
func (c *Client) withSlot(ctx context.Context, uri mimi.URI, f func(*room) (*room, error)) error {
	return c.rooms.With(uri, func(slot *cache.Slot[room]) error {
		if slot.Value == nil {
			r, err := c.loadRoom(ctx, uri)
			if err != nil && !errors.Is(err, ErrNotMember) {
				return err
			}
			slot.Value = r
		}
		r, err := f(slot.Value)
		if err != nil {
			return err
		}
		if r != nil && r.record.Left {
			r = nil
		}
		slot.Value = r
		return nil
	})
}

// groupConfig is what the group of a room works with. ring is asked for the join
// PSKs of external Commits; it is a pointer because the keys change with the
// epochs.
func (c *Client) groupConfig(rules *mmr.Rules, s *suite.Suite, groupID []byte, ring *identity.KeyRing) mls.Config {
	return mls.Config{
		Policy: rules, Random: c.cfg.Random, Now: c.cfg.Clock.Now,
		PSK: func(_ context.Context, id mls.PreSharedKeyID) (suite.Secret, error) {
			generation, ok := identity.ParseJoinPSKID(id.ID)
			if !ok || id.Type != mls.PSKExternal {
				return suite.Secret{}, mls.ErrNoPSK
			}
			key, ok := ring.Key(generation)
			if !ok {
				return suite.Secret{}, fmt.Errorf("%w: wrapper key of generation %d is unknown", mls.ErrNoPSK, generation)
			}
			return key.JoinPSK(s, groupID)
		},
	}
}

// loadRoom reads a room from the store.
func (c *Client) loadRoom(ctx context.Context, uri mimi.URI) (*room, error) {
	record, err := c.cfg.Store.Room(ctx, uri)
	if errors.Is(err, ErrNotFound) || err == nil && record.Left {
		return nil, ErrNotMember
	} else if err != nil {
		return nil, fmt.Errorf("client: load a room: %w", err)
	}
	rows, err := c.cfg.Store.Rows(ctx, uri)
	if err != nil {
		return nil, fmt.Errorf("client: load a room: %w", err)
	}
	r := emptyRoom(record, c.cfg.Suite)
	if err := c.openRoom(r, rows); err != nil {
		return nil, fmt.Errorf("client: load a room: %w", err)
	}
	return r, c.loadPeople(ctx, r)
}

// openRoom makes a room of its rows.
func (c *Client) openRoom(r *room, rows []mls.Row) error {
	stored, rows, err := mmr.SplitRows(rows)
	if err != nil {
		return err
	}
	if rows, err = r.read(rows); err != nil {
		return err
	}
	cfg := c.groupConfig(r.rules, r.suite, identity.GroupID(r.uri()), &r.ring)
	if r.group, err = mls.LoadGroup(cfg, rows); err != nil {
		return err
	}
	public, err := stored.Open(r.suite, r.group.View())
	if err != nil {
		return err
	}
	r.rules.Set(public)
	return nil
}

// read takes the client's own rows out of those of a room, and returns the others.
func (r *room) read(rows []mls.Row) (others []mls.Row, err error) {
	for _, row := range rows {
		switch {
		case row.Key == rowKeys:
			err = wire.Unmarshal(row.Value, &r.ring)
		case row.Key == rowFormer:
			err = r.readFormer(row)
		case row.Key == rowLost:
			err = r.readLost(row)
		case row.Key == rowUntold:
			err = r.readUntold(row)
		case row.Key == rowQuarantine:
			err = r.readQuarantine(row)
		case strings.HasPrefix(row.Key, rowLeave):
			err = r.readLeave(row)
		case strings.HasPrefix(row.Key, rowLink):
			err = r.readLink(row)
		default:
			others = append(others, row)
		}
		if err != nil {
			return nil, err
		}
	}
	return others, nil
}

// loadPeople reads who is in a room.
func (c *Client) loadPeople(ctx context.Context, r *room) error {
	leaves, err := c.cfg.Store.Leaves(ctx, r.uri())
	if err != nil {
		return fmt.Errorf("client: load a room: %w", err)
	}
	for _, l := range leaves {
		r.own[l.Account] = l
	}
	members, err := c.cfg.Store.Members(ctx, r.uri())
	if err != nil {
		return fmt.Errorf("client: load a room: %w", err)
	}
	for _, m := range members {
		r.members[mls.LeafIndex(m.Index)] = m
	}
	return nil
}

// setPublic says what the room is now, and notes the rows that this changes.
func (r *room) setPublic(next *mmr.Room) error {
	rows, err := mmr.Rows(r.public(), next)
	if err != nil {
		return err
	}
	r.rows = append(r.rows, rows...)
	r.rules.Set(next)
	return nil
}

// setRing says which wrapper keys are known.
func (r *room) setRing(ring identity.KeyRing) error {
	value, err := wire.Marshal(&ring)
	if err != nil {
		return err
	}
	r.ring = ring
	r.rows = append(r.rows, mls.Row{Key: rowKeys, Value: value, Secret: true})
	return nil
}

// save stores what has changed of a room's group, if it has one: of a room that is
// joined anew nothing is stored before the first external Commit. It is called in a
// transaction.
func (c *Client) save(ctx context.Context, r *room) error {
	if r.group == nil {
		return nil
	}
	rows := append(r.group.Dirty(), r.rows...)
	r.rows = nil
	if r.requarantined {
		row, err := r.quarantineRow()
		if err != nil {
			return err
		}
		rows, r.requarantined = append(rows, row), false
	}
	if len(rows) == 0 {
		return nil
	}
	return c.cfg.Store.PutRows(ctx, r.uri(), rows)
}

// saveNow is save in a transaction of its own.
func (c *Client) saveNow(ctx context.Context, r *room) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error { return c.save(ctx, r) })
}

// speaker returns the leaf of an account that takes part in the room. It fails with
// [ErrNotMember], [ErrInvited] or, while the room is joined anew, [ErrBusy].
func (r *room) speaker(account mimi.URI) (*Leaf, error) {
	l, ok := r.own[account]
	switch {
	case !ok || l.State == LeafLeaving || l.State == LeafEntering:
		return nil, ErrNotMember
	case l.State == LeafInvited:
		return nil, ErrInvited
	case len(r.former) > 0:
		return nil, ErrBusy
	}
	return l, nil
}

// memberOf returns a leaf of a person, by real address, or by pseudonym if the address
// is not known.
func (r *room) memberOf(user mimi.URI) (*Member, bool) {
	for _, i := range r.public().Leaves() {
		m, ok := r.members[i]
		if ok && (m.User == user || m.User.IsZero() && m.UserPseudonym == user) {
			return m, true
		}
	}
	return nil, false
}

// person returns who is behind a leaf.
func (c *Client) person(r *room, i mls.LeafIndex) Person {
	if m, ok := r.members[i]; ok {
		return c.personOf(r, m)
	}
	if tbs, ok := r.public().Leaf(i); ok {
		return Person{Pseudonym: tbs.UserPseudonym}
	}
	return Person{}
}

// personBehind returns who is behind a user pseudonym.
func (c *Client) personBehind(r *room, pseudonym mimi.URI) Person {
	for _, i := range r.public().LeavesOf(pseudonym) {
		if m := r.members[i]; m != nil && !m.User.IsZero() {
			return c.personOf(r, m)
		}
	}
	return Person{Pseudonym: pseudonym}
}

func (c *Client) personOf(r *room, m *Member) Person {
	return Person{
		User: m.User, Pseudonym: m.UserPseudonym, Local: m.User.Domain == c.cfg.Domain, Hidden: r.hidden(mls.LeafIndex(m.Index)),
	}
}
