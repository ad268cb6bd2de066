package storetest

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

func cloneOutgoing(o client.Outgoing) client.Outgoing {
	o.MessageID, o.Body, o.Secret = slices.Clone(o.MessageID), slices.Clone(o.Body), slices.Clone(o.Secret)
	o.Accepted = milliseconds(o.Accepted)
	return o
}

// PutOutgoing implements [client.Outbox].
func (c *ClientStore) PutOutgoing(ctx context.Context, out *client.Outgoing) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := cmp.Or(s.needRoom(out.Room), s.needAccount(out.Account)); err != nil {
			return err
		}
		key := outKey{out.Room, out.Source}
		if old, ok := s.outbox.get(key); ok {
			out.Seq = old.Seq
		} else {
			s.lastOutgoing++
			out.Seq = s.lastOutgoing
		}
		row := cloneOutgoing(*out)
		if !row.Accepted.IsZero() {
			row.Secret = nil
		}
		s.outbox.put(key, row)
		return nil
	})
}

// Outgoing implements [client.Outbox].
func (c *ClientStore) Outgoing(ctx context.Context, room mimi.URI, source string) (*client.Outgoing, error) {
	return one(ctx, c, outbox, outKey{room, source}, cloneOutgoing)
}

// Unaccepted implements [client.Outbox].
func (c *ClientStore) Unaccepted(ctx context.Context) ([]*client.Outgoing, error) {
	return many(ctx, c, outbox, func(o client.Outgoing) bool { return o.Accepted.IsZero() },
		func(a, b client.Outgoing) int { return cmp.Compare(a.Seq, b.Seq) }, cloneOutgoing)
}

// DeleteOutgoing implements [client.Outbox].
func (c *ClientStore) DeleteOutgoing(ctx context.Context, room mimi.URI, source string) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.outbox.delete(func(k outKey, _ client.Outgoing) bool { return k == outKey{room, source} })
		return nil
	})
}

// ForgetOutgoing implements [client.Outbox].
func (c *ClientStore) ForgetOutgoing(ctx context.Context, before time.Time) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.outbox.delete(func(_ outKey, o client.Outgoing) bool {
			return !o.Accepted.IsZero() && o.Accepted.Before(milliseconds(before))
		})
		return nil
	})
}

type incoming struct {
	client.Incoming
	deleted bool // the hash alone is remembered
}

type seenKey struct {
	from string
	hash [32]byte
}

// AddIncoming implements [client.Inbox].
func (c *ClientStore) AddIncoming(ctx context.Context, in *client.Incoming) (fresh bool, err error) {
	err = c.m.write(ctx, func(s *clientState) error {
		key := seenKey{in.From, sha256.Sum256(in.Body)}
		_, known := s.seen.get(key)
		if fresh = !known; known {
			return nil
		}
		s.lastIncoming++
		in.Seq = s.lastIncoming
		row := *in
		row.Received, row.Body = milliseconds(in.Received), slices.Clone(in.Body)
		s.inbox.put(in.Seq, incoming{Incoming: row})
		s.seen.put(key, in.Seq)
		return nil
	})
	return fresh && err == nil, err
}

// NextIncoming implements [client.Inbox].
func (c *ClientStore) NextIncoming(ctx context.Context, room mimi.URI) (next *client.Incoming, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		waiting := s.inbox.list(func(in incoming) bool { return !in.deleted && in.Room == room },
			func(a, b incoming) int { return cmp.Compare(a.Seq, b.Seq) },
			func(in incoming) incoming { in.Body = slices.Clone(in.Body); return in })
		if len(waiting) == 0 {
			return client.ErrNotFound
		}
		next = &waiting[0].Incoming
		return nil
	})
	return next, err
}

// RoomsWithIncoming implements [client.Inbox].
func (c *ClientStore) RoomsWithIncoming(ctx context.Context) (waiting []mimi.URI, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		for _, in := range s.inbox.rows {
			if !in.deleted && !slices.Contains(waiting, in.Room) {
				waiting = append(waiting, in.Room)
			}
		}
		slices.SortFunc(waiting, compareURIs)
		return nil
	})
	return waiting, err
}

// DeleteIncoming implements [client.Inbox].
func (c *ClientStore) DeleteIncoming(ctx context.Context, seq uint64) error {
	return c.m.write(ctx, func(s *clientState) error {
		if in, ok := s.inbox.get(seq); ok {
			in.deleted, in.Body = true, nil
			s.inbox.put(seq, in)
		}
		return nil
	})
}

// ForgetIncoming implements [client.Inbox].
func (c *ClientStore) ForgetIncoming(ctx context.Context, before time.Time) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.inbox.delete(func(_ uint64, in incoming) bool {
			return in.deleted && in.Received.Before(milliseconds(before))
		})
		s.seen.delete(func(_ seenKey, seq uint64) bool {
			_, kept := s.inbox.get(seq)
			return !kept
		})
		return nil
	})
}

// AddEvent implements [client.Events].
func (c *ClientStore) AddEvent(ctx context.Context, event *client.StoredEvent) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.lastEvent++
		event.Seq = s.lastEvent
		s.events.put(event.Seq, cloneEvent(*event))
		return nil
	})
}

// NextEvent implements [client.Events].
func (c *ClientStore) NextEvent(ctx context.Context, lane mimi.URI) (next *client.StoredEvent, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		waiting := s.events.list(func(e client.StoredEvent) bool { return e.Lane == lane },
			func(a, b client.StoredEvent) int { return cmp.Compare(a.Seq, b.Seq) }, cloneEvent)
		if len(waiting) == 0 {
			return client.ErrNotFound
		}
		next = waiting[0]
		return nil
	})
	return next, err
}

// EventLanes implements [client.Events].
func (c *ClientStore) EventLanes(ctx context.Context) (lanes []mimi.URI, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		for _, e := range s.events.rows {
			if !slices.Contains(lanes, e.Lane) {
				lanes = append(lanes, e.Lane)
			}
		}
		slices.SortFunc(lanes, compareURIs)
		return nil
	})
	return lanes, err
}

// DeleteEvent implements [client.Events].
func (c *ClientStore) DeleteEvent(ctx context.Context, seq uint64) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.events.delete(func(key uint64, _ client.StoredEvent) bool { return key == seq })
		return nil
	})
}
