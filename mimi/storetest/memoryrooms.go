package storetest

import (
	"cmp"
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// PutRoom implements [client.Rooms].
func (c *ClientStore) PutRoom(ctx context.Context, room *client.Room) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.rooms.put(room.URI, cloneRoom(*room))
		return nil
	})
}

// Room implements [client.Rooms].
func (c *ClientStore) Room(ctx context.Context, room mimi.URI) (*client.Room, error) {
	return one(ctx, c, rooms, room, cloneRoom)
}

// Rooms implements [client.Rooms].
func (c *ClientStore) Rooms(ctx context.Context) ([]*client.Room, error) {
	return many(ctx, c, rooms, always, func(a, b client.Room) int { return compareURIs(a.URI, b.URI) }, cloneRoom)
}

// PutRows implements [client.Rooms].
func (c *ClientStore) PutRows(ctx context.Context, room mimi.URI, rows []mls.Row) error {
	return c.m.write(ctx, func(s *clientState) error {
		for _, row := range rows {
			key := rowKey{room, row.Key}
			if row.Value == nil {
				s.rows.delete(func(k rowKey, _ roomRow) bool { return k == key })
				continue
			}
			if err := s.needRoom(room); err != nil {
				return err
			}
			s.rows.put(key, roomRow{room, cloneRow(row)})
		}
		return nil
	})
}

// Rows implements [client.Rooms].
func (c *ClientStore) Rows(ctx context.Context, room mimi.URI) (rows []mls.Row, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		byKey := map[string]mls.Row{}
		for key, row := range s.rows.rows {
			if key.room == room {
				byKey[key.key] = row.row
			}
		}
		rows = sortedRows(byKey)
		return nil
	})
	return rows, err
}

// DeleteRows implements [client.Rooms].
func (c *ClientStore) DeleteRows(ctx context.Context, room mimi.URI) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.rows.delete(func(k rowKey, _ roomRow) bool { return k.room == room })
		s.leaves.delete(func(k leafKey, _ client.Leaf) bool { return k.room == room })
		s.members.delete(func(k memberKey, _ client.Member) bool { return k.room == room })
		return nil
	})
}

// PutLeaf implements [client.Leaves].
func (c *ClientStore) PutLeaf(ctx context.Context, leaf *client.Leaf) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := cmp.Or(s.needRoom(leaf.Room), s.needAccount(leaf.Account)); err != nil {
			return err
		}
		s.leaves.put(leafKey{leaf.Room, leaf.Account}, *leaf)
		return nil
	})
}

// Leaves implements [client.Leaves].
func (c *ClientStore) Leaves(ctx context.Context, room mimi.URI) ([]*client.Leaf, error) {
	return many(ctx, c, leaves, func(l client.Leaf) bool { return l.Room == room },
		func(a, b client.Leaf) int {
			return cmp.Or(cmp.Compare(a.Index, b.Index), compareURIs(a.Account, b.Account))
		}, cloneLeaf)
}

// LeavesOf implements [client.Leaves].
func (c *ClientStore) LeavesOf(ctx context.Context, account mimi.URI) ([]*client.Leaf, error) {
	return many(ctx, c, leaves, func(l client.Leaf) bool { return l.Account == account },
		func(a, b client.Leaf) int { return compareURIs(a.Room, b.Room) }, cloneLeaf)
}

// DeleteLeaf implements [client.Leaves].
func (c *ClientStore) DeleteLeaf(ctx context.Context, room, account mimi.URI) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.leaves.delete(func(k leafKey, _ client.Leaf) bool { return k == leafKey{room, account} })
		return nil
	})
}

// PutMember implements [client.Members].
func (c *ClientStore) PutMember(ctx context.Context, member *client.Member) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := s.needRoom(member.Room); err != nil {
			return err
		}
		s.members.put(memberKey{member.Room, member.Index}, cloneMember(*member))
		return nil
	})
}

// Members implements [client.Members].
func (c *ClientStore) Members(ctx context.Context, room mimi.URI) ([]*client.Member, error) {
	return many(ctx, c, members, func(m client.Member) bool { return m.Room == room },
		func(a, b client.Member) int { return cmp.Compare(a.Index, b.Index) }, cloneMember)
}

// MembersBehind implements [client.Members].
func (c *ClientStore) MembersBehind(ctx context.Context, user, device mimi.URI) ([]*client.Member, error) {
	return many(ctx, c, members, func(m client.Member) bool { return m.UserPseudonym == user || m.ClientPseudonym == device },
		func(a, b client.Member) int {
			return cmp.Or(compareURIs(a.Room, b.Room), cmp.Compare(a.Index, b.Index))
		}, cloneMember)
}

// DeleteMember implements [client.Members].
func (c *ClientStore) DeleteMember(ctx context.Context, room mimi.URI, index uint32) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.members.delete(func(k memberKey, _ client.Member) bool { return k == memberKey{room, index} })
		return nil
	})
}
