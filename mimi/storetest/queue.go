package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
)

// Queue checks the contract of [hub.Queue]. Every call of open returns an empty
// store.
func Queue(t *testing.T, open func(*testing.T) HubQueue) {
	for name, check := range map[string]func(*testing.T, HubQueue){
		"Empty":        queueEmpty,
		"Order":        queueOrder,
		"Limit":        queueLimit,
		"Done":         queueDone,
		"Closed":       queueClosed,
		"Concurrently": queueConcurrently,
		"Aliasing":     queueAliasing,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func lane(id, domain string) hub.Lane { return hub.Lane{Room: room(id), Domain: domain} }

func delivery(domain, body string) hub.Delivery {
	return hub.Delivery{Domain: domain, Body: []byte(body)}
}

// advance adds deliveries to a room, which it makes at version 0.
func advance(t *testing.T, s hub.Store, id string, from uint64, deliveries ...hub.Delivery) {
	t.Helper()
	if from == 0 {
		do(t, s.Create(t.Context(), room(id), nil))
	}
	do(t, s.Advance(t.Context(), room(id), from, &hub.Change{
		Request: request(byte(from + 1)), At: precise, Deliveries: deliveries,
	}))
}

// wantHead checks the bodies at the head of a lane, and that they are in order,
// and returns their sequence numbers.
func wantHead(t *testing.T, q hub.Queue, lane hub.Lane, limit int, bodies ...string) []uint64 {
	t.Helper()
	head, err := q.Head(t.Context(), lane, limit)
	do(t, err)
	var got []string
	var seqs []uint64
	for _, d := range head {
		got = append(got, string(d.Body))
		seqs = append(seqs, d.Seq)
		if d.Domain != lane.Domain {
			t.Errorf("delivery for %s in the lane to %s", d.Domain, lane.Domain)
		}
	}
	if !slices.Equal(got, bodies) {
		t.Fatalf("head of the lane to %s is %q, want %q", lane.Domain, got, bodies)
	}
	if !slices.IsSorted(seqs) || len(slices.Compact(slices.Clone(seqs))) != len(seqs) {
		t.Errorf("sequence numbers do not grow: %v", seqs)
	}
	return seqs
}

func queueEmpty(t *testing.T, s HubQueue) {
	get(s.Lanes(t.Context()))(t, nil)
	wantHead(t, s, lane("1", "b.example"), 10)
	do(t, s.Done(t.Context(), lane("1", "b.example"), 10))
	advance(t, s, "1", 0)
	get(s.Lanes(t.Context()))(t, nil)
}

func queueOrder(t *testing.T, s HubQueue) {
	advance(t, s, "1", 0, delivery("b.example", "1"), delivery("c.example", "2"), delivery("b.example", "3"))
	advance(t, s, "2", 0, delivery("b.example", "4"))
	advance(t, s, "1", 1, delivery("b.example", "5"), delivery("c.example", "6"))
	get(s.Lanes(t.Context()))(t, []hub.Lane{lane("1", "b.example"), lane("1", "c.example"), lane("2", "b.example")})
	b := wantHead(t, s, lane("1", "b.example"), 10, "1", "3", "5")
	c := wantHead(t, s, lane("1", "c.example"), 10, "2", "6")
	wantHead(t, s, lane("2", "b.example"), 10, "4")
	wantHead(t, s, lane("2", "c.example"), 10)
	// A room's deliveries have one order across its lanes.
	if all := []uint64{b[0], c[0], b[1], b[2], c[1]}; !slices.IsSorted(all) {
		t.Errorf("sequence numbers of the room do not grow: %v", all)
	}
}

func queueLimit(t *testing.T, s HubQueue) {
	advance(t, s, "1", 0, delivery("b.example", "1"), delivery("b.example", "2"), delivery("b.example", "3"))
	for limit, want := range map[int][]string{
		-1: {"1"}, 0: {"1"}, 1: {"1"}, 2: {"1", "2"}, 3: {"1", "2", "3"}, 4: {"1", "2", "3"},
	} {
		wantHead(t, s, lane("1", "b.example"), limit, want...)
	}
}

func queueDone(t *testing.T, s HubQueue) {
	advance(t, s, "1", 0, delivery("b.example", "1"), delivery("c.example", "2"), delivery("b.example", "3"), delivery("b.example", "4"))
	advance(t, s, "2", 0, delivery("b.example", "5"))
	seqs := wantHead(t, s, lane("1", "b.example"), 10, "1", "3", "4")
	do(t, s.Done(t.Context(), lane("1", "b.example"), seqs[1]))
	wantHead(t, s, lane("1", "b.example"), 10, "4")
	wantHead(t, s, lane("1", "c.example"), 10, "2")
	wantHead(t, s, lane("2", "b.example"), 10, "5")

	do(t, s.Done(t.Context(), lane("1", "b.example"), seqs[2]))
	do(t, s.Done(t.Context(), lane("1", "c.example"), 1<<64-1))
	get(s.Lanes(t.Context()))(t, []hub.Lane{lane("2", "b.example")})

	// What comes later has a number that was not given before: to be done
	// with an old one again takes nothing from it.
	advance(t, s, "1", 1, delivery("b.example", "6"))
	do(t, s.Done(t.Context(), lane("1", "b.example"), seqs[2]))
	wantHead(t, s, lane("1", "b.example"), 10, "6")
}

func queueClosed(t *testing.T, s HubQueue) {
	advance(t, s, "1", 0, delivery("b.example", "1"))
	do(t, s.Advance(t.Context(), room("1"), 1, &hub.Change{
		Request: request(2), At: precise, Deliveries: []hub.Delivery{delivery("b.example", "2")}, Closed: true,
	}))
	get(s.Lanes(t.Context()))(t, []hub.Lane{lane("1", "b.example")})
	seqs := wantHead(t, s, lane("1", "b.example"), 10, "1", "2")
	do(t, s.Done(t.Context(), lane("1", "b.example"), seqs[1]))
	get(s.Lanes(t.Context()))(t, nil)
}

// Four writers race for the versions of one room; deliveries are in the order
// of the versions.
func queueConcurrently(t *testing.T, s HubQueue) {
	do(t, s.Create(t.Context(), room("1"), nil))
	const writers, each = 4, 5
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				for from := uint64(0); ; {
					err := s.Advance(t.Context(), room("1"), from, &hub.Change{
						Request: request(byte(w*each + i + 1)), At: precise, Deliveries: []hub.Delivery{
							delivery("b.example", fmt.Sprintf("%02d first", from)),
							delivery("b.example", fmt.Sprintf("%02d second", from)),
						},
					})
					conflict, ok := errors.AsType[*hub.ConflictError](err)
					if !ok {
						if err != nil {
							t.Error(err)
						}
						break
					}
					from = conflict.Version
				}
			}
		})
	}
	wg.Wait()
	var want []string
	for v := range writers * each {
		want = append(want, fmt.Sprintf("%02d first", v), fmt.Sprintf("%02d second", v))
	}
	wantHead(t, s, lane("1", "b.example"), 1000, want...)
}

func queueAliasing(t *testing.T, s HubQueue) {
	body := []byte("1")
	advance(t, s, "1", 0, hub.Delivery{Domain: "b.example", Body: body})
	body[0] = '9'
	for range 2 {
		wantHead(t, s, lane("1", "b.example"), 1, "1")
		head, err := s.Head(t.Context(), lane("1", "b.example"), 1)
		do(t, err)
		head[0].Body[0] = '9'
	}
}
