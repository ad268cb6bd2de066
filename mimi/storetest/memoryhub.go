package storetest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A HubQueue is what the hub needs of one database.
type HubQueue interface {
	hub.Store
	hub.Queue
}

// A HubStore keeps rooms in memory.
type HubStore struct {
	// Faults make it fail.
	Faults *Faults

	m *memory[hubState]
}

var _ HubQueue = (*HubStore)(nil)

// NewHub returns an empty store.
func NewHub() *HubStore {
	faults := &Faults{}
	return &HubStore{faults, newMemory(faults, (*hubState).disown)}
}

type hubState struct {
	rooms      table[mimi.URI, hubRoom]
	answers    table[answerKey, answer]
	deliveries table[uint64, queued]
	last       uint64 // sequence number
}

func (s *hubState) disown() {
	s.rooms.disown()
	s.answers.disown()
	s.deliveries.disown()
}

// A hubRoom is replaced as a whole.
type hubRoom struct {
	version uint64
	rows    map[string]mls.Row
	closed  bool
}

type answerKey struct {
	room    mimi.URI
	request [32]byte
}

type answer struct {
	body []byte
	at   time.Time
}

type queued struct {
	lane     hub.Lane
	delivery hub.Delivery
}

// Create implements [hub.Store].
func (h *HubStore) Create(ctx context.Context, room mimi.URI, rows []mls.Row) error {
	return h.m.write(ctx, func(s *hubState) error {
		if _, ok := s.rooms.get(room); ok {
			return hub.ErrRoomExists
		}
		r := hubRoom{}
		if err := r.put(rows); err != nil {
			return err
		}
		s.rooms.put(room, r)
		return nil
	})
}

// put gives r new rows, and leaves the map that older states share alone.
func (r *hubRoom) put(rows []mls.Row) error {
	changed := make(map[string]mls.Row, len(r.rows)+len(rows))
	for key, row := range r.rows {
		changed[key] = row
	}
	for _, row := range rows {
		switch {
		case row.Secret:
			return errors.New("storetest: a hub has no secret, but was given a secret row to keep")
		case row.Value == nil:
			delete(changed, row.Key)
		default:
			changed[row.Key] = cloneRow(row)
		}
	}
	r.rows = changed
	return nil
}

func cloneRow(row mls.Row) mls.Row {
	row.Value = slices.Clone(row.Value)
	return row
}

// sortedRows returns copies in the order of their keys.
func sortedRows(rows map[string]mls.Row) []mls.Row {
	var all []mls.Row
	for _, row := range rows {
		all = append(all, cloneRow(row))
	}
	slices.SortFunc(all, func(a, b mls.Row) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// Load implements [hub.Store].
func (h *HubStore) Load(ctx context.Context, room mimi.URI) (rows []mls.Row, version uint64, err error) {
	err = h.m.read(ctx, func(s *hubState) error {
		r, ok := s.rooms.get(room)
		if !ok || r.closed {
			return hub.ErrNoRoom
		}
		rows, version = sortedRows(r.rows), r.version
		return nil
	})
	return rows, version, err
}

// Advance implements [hub.Store].
func (h *HubStore) Advance(ctx context.Context, room mimi.URI, from uint64, change *hub.Change) error {
	return h.m.write(ctx, func(s *hubState) error {
		r, ok := s.rooms.get(room)
		if !ok || r.closed {
			return hub.ErrNoRoom
		}
		if r.version != from {
			return &hub.ConflictError{Version: r.version}
		}
		if err := r.put(change.Rows); err != nil {
			return err
		}
		r.version++
		if r.closed = change.Closed; r.closed {
			r.rows = nil
		}
		s.rooms.put(room, r)
		if change.Request != [32]byte{} {
			key := answerKey{room, change.Request}
			if _, ok := s.answers.get(key); ok {
				return errors.New("storetest: request was accepted before")
			}
			s.answers.put(key, answer{slices.Clone(change.Answer), milliseconds(change.At)})
		}
		for _, d := range change.Deliveries {
			s.last++
			d.Seq, d.Body = s.last, slices.Clone(d.Body)
			s.deliveries.put(d.Seq, queued{hub.Lane{Room: room, Domain: d.Domain}, d})
		}
		return nil
	})
}

// Answer implements [hub.Store].
func (h *HubStore) Answer(ctx context.Context, room mimi.URI, request [32]byte) (body []byte, ok bool, err error) {
	err = h.m.read(ctx, func(s *hubState) error {
		var a answer
		a, ok = s.answers.get(answerKey{room, request})
		body = slices.Clone(a.body)
		return nil
	})
	return body, ok, err
}

// Forget implements [hub.Store].
func (h *HubStore) Forget(ctx context.Context, before time.Time) error {
	return h.m.write(ctx, func(s *hubState) error {
		s.answers.delete(func(_ answerKey, a answer) bool { return a.at.Before(milliseconds(before)) })
		return nil
	})
}

// Lanes implements [hub.Queue].
func (h *HubStore) Lanes(ctx context.Context) (lanes []hub.Lane, err error) {
	err = h.m.read(ctx, func(s *hubState) error {
		for _, q := range s.deliveries.rows {
			if !slices.Contains(lanes, q.lane) {
				lanes = append(lanes, q.lane)
			}
		}
		slices.SortFunc(lanes, func(a, b hub.Lane) int {
			return cmp.Or(compareURIs(a.Room, b.Room), cmp.Compare(a.Domain, b.Domain))
		})
		return nil
	})
	return lanes, err
}

// Head implements [hub.Queue].
func (h *HubStore) Head(ctx context.Context, lane hub.Lane, limit int) (head []hub.Delivery, err error) {
	err = h.m.read(ctx, func(s *hubState) error {
		for _, q := range s.deliveries.list(
			func(q queued) bool { return q.lane == lane },
			func(a, b queued) int { return cmp.Compare(a.delivery.Seq, b.delivery.Seq) },
			func(q queued) queued { q.delivery.Body = slices.Clone(q.delivery.Body); return q },
		) {
			if len(head) == max(limit, 1) {
				break
			}
			head = append(head, q.delivery)
		}
		return nil
	})
	return head, err
}

// Done implements [hub.Queue].
func (h *HubStore) Done(ctx context.Context, lane hub.Lane, seq uint64) error {
	return h.m.write(ctx, func(s *hubState) error {
		s.deliveries.delete(func(_ uint64, q queued) bool { return q.lane == lane && q.delivery.Seq <= seq })
		return nil
	})
}
