package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// Hub checks the contract of [hub.Store]. Every call of open returns an empty
// store.
func Hub(t *testing.T, open func(*testing.T) hub.Store) {
	for name, check := range map[string]func(*testing.T, hub.Store){
		"Create":           hubCreate,
		"CreateTwice":      hubCreateTwice,
		"Unknown":          hubUnknown,
		"Advance":          hubAdvance,
		"Conflict":         hubConflict,
		"AllOrNothing":     hubAllOrNothing,
		"RepeatedRequest":  hubRepeatedRequest,
		"OneSuccessor":     hubOneSuccessor,
		"Answer":           hubAnswer,
		"ChangeOfItsOwn":   hubNoRequest,
		"Forget":           hubForget,
		"Closed":           hubClosed,
		"IndependentRooms": hubIndependentRooms,
		"Aliasing":         hubAliasing,
	} {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func request(n byte) [32]byte { return [32]byte{n} }

// wantRoom checks version and rows of a room.
func wantRoom(t *testing.T, s hub.Store, room mimi.URI, version uint64, rows ...mls.Row) {
	t.Helper()
	got, gotVersion, err := s.Load(t.Context(), room)
	if err != nil {
		t.Errorf("Load: %v", err)
		return
	}
	if gotVersion != version {
		t.Errorf("room is at version %d, want %d", gotVersion, version)
	}
	if diff := cmp.Diff(rows, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func wantConflict(t *testing.T, err error, version uint64) {
	t.Helper()
	if conflict, ok := errors.AsType[*hub.ConflictError](err); !ok || conflict.Version != version {
		t.Errorf("error is %v, want a conflict at version %d", err, version)
	}
}

func wantAnswer(t *testing.T, s hub.Store, room mimi.URI, request [32]byte, body []byte, known bool) {
	t.Helper()
	got, ok, err := s.Answer(t.Context(), room, request)
	if err != nil || ok != known {
		t.Errorf("Answer = %v, %v, want ok = %v", ok, err, known)
	} else if diff := cmp.Diff(body, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func hubCreate(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), []mls.Row{
		{Key: "b", Value: []byte{2}}, {Key: "a", Value: []byte{1}}, {Key: "a/0", Value: []byte{}}, {Key: "B", Value: []byte{3}},
	}))
	wantRoom(t, s, room("1"), 0, // in the order of their octets
		mls.Row{Key: "B", Value: []byte{3}}, mls.Row{Key: "a", Value: []byte{1}},
		mls.Row{Key: "a/0", Value: []byte{}}, mls.Row{Key: "b", Value: []byte{2}})
	do(t, s.Create(t.Context(), room("2"), nil))
	wantRoom(t, s, room("2"), 0)
}

func hubCreateTwice(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), []mls.Row{{Key: "a", Value: []byte{1}}}))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{Request: request(1), At: precise}))
	if err := s.Create(t.Context(), room("1"), []mls.Row{{Key: "b", Value: []byte{2}}}); !errors.Is(err, hub.ErrRoomExists) {
		t.Errorf("error is %v, want ErrRoomExists", err)
	}
	wantRoom(t, s, room("1"), 1, mls.Row{Key: "a", Value: []byte{1}})
}

func hubUnknown(t *testing.T, s hub.Store) {
	if _, _, err := s.Load(t.Context(), room("1")); !errors.Is(err, hub.ErrNoRoom) {
		t.Errorf("Load: error is %v, want ErrNoRoom", err)
	}
	if err := s.Advance(t.Context(), room("1"), 0, &hub.Change{}); !errors.Is(err, hub.ErrNoRoom) {
		t.Errorf("Advance: error is %v, want ErrNoRoom", err)
	}
	wantAnswer(t, s, room("1"), request(1), nil, false)
}

func hubAdvance(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), []mls.Row{
		{Key: "deleted", Value: []byte{1}}, {Key: "kept", Value: []byte{2}}, {Key: "replaced", Value: []byte{3}},
	}))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{
		Rows: []mls.Row{
			{Key: "replaced", Value: []byte{4}}, {Key: "deleted"}, {Key: "inserted", Value: []byte{5}}, {Key: "unknown"},
		},
		Request: request(1), Answer: []byte("yes"), At: precise,
	}))
	wantRoom(t, s, room("1"), 1,
		mls.Row{Key: "inserted", Value: []byte{5}}, mls.Row{Key: "kept", Value: []byte{2}}, mls.Row{Key: "replaced", Value: []byte{4}})
	do(t, s.Advance(t.Context(), room("1"), 1, &hub.Change{Request: request(2), At: precise}))
	do(t, s.Advance(t.Context(), room("1"), 2, &hub.Change{Request: request(3), At: precise}))
	wantRoom(t, s, room("1"), 3,
		mls.Row{Key: "inserted", Value: []byte{5}}, mls.Row{Key: "kept", Value: []byte{2}}, mls.Row{Key: "replaced", Value: []byte{4}})
}

func hubConflict(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), []mls.Row{{Key: "a", Value: []byte{1}}}))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{Request: request(1), At: precise}))
	for _, from := range []uint64{0, 2, 1 << 63, 1<<64 - 1} {
		wantConflict(t, s.Advance(t.Context(), room("1"), from, &hub.Change{
			Rows: []mls.Row{{Key: "a", Value: []byte{2}}}, Request: request(2), Answer: []byte("no"), At: precise,
			Deliveries: []hub.Delivery{{Domain: "b.example", Body: []byte{1}}}, Closed: true,
		}), 1)
	}
	wantRoom(t, s, room("1"), 1, mls.Row{Key: "a", Value: []byte{1}})
	wantAnswer(t, s, room("1"), request(2), nil, false)
	wantNoLanes(t, s)
}

// wantNoLanes looks at the queue, if the store has one.
func wantNoLanes(t *testing.T, s hub.Store) {
	t.Helper()
	if q, ok := s.(hub.Queue); ok {
		get(q.Lanes(t.Context()))(t, nil)
	}
}

// A hub has no secrets: a row that claims to be one is refused, wherever it
// stands in a change.
func hubAllOrNothing(t *testing.T, s hub.Store) {
	secret := []mls.Row{{Key: "a", Value: []byte{2}}, {Key: "z", Value: []byte{3}, Secret: true}}
	refused(t, "a secret row", s.Create(t.Context(), room("1"), secret))
	if _, _, err := s.Load(t.Context(), room("1")); !errors.Is(err, hub.ErrNoRoom) {
		t.Errorf("half a room was made: %v", err)
	}
	do(t, s.Create(t.Context(), room("1"), []mls.Row{{Key: "a", Value: []byte{1}}}))
	refused(t, "a secret row", s.Advance(t.Context(), room("1"), 0, &hub.Change{
		Rows: secret, Request: request(1), At: precise, Deliveries: []hub.Delivery{{Domain: "b.example"}},
	}))
	wantRoom(t, s, room("1"), 0, mls.Row{Key: "a", Value: []byte{1}})
	wantAnswer(t, s, room("1"), request(1), nil, false)
	wantNoLanes(t, s)
}

func hubRepeatedRequest(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), nil))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{Request: request(1), Answer: []byte("first"), At: precise}))
	refused(t, "a request that was accepted before", s.Advance(t.Context(), room("1"), 1, &hub.Change{
		Rows: []mls.Row{{Key: "a", Value: []byte{1}}}, Request: request(1), Answer: []byte("second"), At: precise,
		Deliveries: []hub.Delivery{{Domain: "b.example"}},
	}))
	wantRoom(t, s, room("1"), 1)
	wantAnswer(t, s, room("1"), request(1), []byte("first"), true)
	wantNoLanes(t, s)
}

func hubOneSuccessor(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), nil))
	const rivals = 16
	var winner atomic.Int32
	var won, lost atomic.Int32
	var wg sync.WaitGroup
	for i := range rivals {
		wg.Go(func() {
			err := s.Advance(t.Context(), room("1"), 0, &hub.Change{
				Rows:    []mls.Row{{Key: "winner", Value: []byte{byte(i)}}, {Key: fmt.Sprintf("row %02d", i), Value: []byte{1}}},
				Request: request(byte(i + 1)), Answer: []byte{byte(i)}, At: precise,
			})
			if err == nil {
				won.Add(1)
				winner.Store(int32(i))
				return
			}
			lost.Add(1)
			wantConflict(t, err, 1)
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != rivals-1 {
		t.Fatalf("%d changes won and %d lost, want 1 and %d", won.Load(), lost.Load(), rivals-1)
	}
	i := int(winner.Load())
	wantRoom(t, s, room("1"), 1,
		mls.Row{Key: fmt.Sprintf("row %02d", i), Value: []byte{1}}, mls.Row{Key: "winner", Value: []byte{byte(i)}})
	for n := range rivals {
		var want []byte
		if n == i {
			want = []byte{byte(i)}
		}
		wantAnswer(t, s, room("1"), request(byte(n+1)), want, n == i)
	}
}

func hubAnswer(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), nil))
	do(t, s.Create(t.Context(), room("2"), nil))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{Request: request(1), Answer: []byte("one"), At: precise}))
	do(t, s.Advance(t.Context(), room("2"), 0, &hub.Change{Request: request(1), Answer: []byte("two"), At: precise}))
	do(t, s.Advance(t.Context(), room("1"), 1, &hub.Change{Request: request(2), At: precise}))
	wantAnswer(t, s, room("1"), request(1), []byte("one"), true)
	wantAnswer(t, s, room("2"), request(1), []byte("two"), true)
	wantAnswer(t, s, room("1"), request(2), nil, true)
	wantAnswer(t, s, room("2"), request(2), nil, false)
}

// What the hub changes by itself answers no request.
func hubNoRequest(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), nil))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{At: precise}))
	do(t, s.Advance(t.Context(), room("1"), 1, &hub.Change{At: precise}))
	wantRoom(t, s, room("1"), 2)
	wantAnswer(t, s, room("1"), [32]byte{}, nil, false)
}

func hubForget(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), nil))
	for i := range 3 { // one millisecond apart
		do(t, s.Advance(t.Context(), room("1"), uint64(i), &hub.Change{
			Request: request(byte(i + 1)), Answer: []byte{byte(i)}, At: precise.Add(time.Duration(i) * time.Millisecond),
		}))
	}
	do(t, s.Forget(t.Context(), precise.Add(time.Millisecond)))
	wantAnswer(t, s, room("1"), request(1), nil, false)
	wantAnswer(t, s, room("1"), request(2), []byte{1}, true)
	wantAnswer(t, s, room("1"), request(3), []byte{2}, true)
	wantRoom(t, s, room("1"), 3)
}

func hubClosed(t *testing.T, s hub.Store) {
	do(t, s.Create(t.Context(), room("1"), []mls.Row{{Key: "a", Value: []byte{1}}}))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{
		Rows: []mls.Row{{Key: "b", Value: []byte{2}}}, Request: request(1), Answer: []byte("closed"), At: precise, Closed: true,
	}))
	if _, _, err := s.Load(t.Context(), room("1")); !errors.Is(err, hub.ErrNoRoom) {
		t.Errorf("Load: error is %v, want ErrNoRoom", err)
	}
	for _, from := range []uint64{0, 1} {
		if err := s.Advance(t.Context(), room("1"), from, &hub.Change{At: precise}); !errors.Is(err, hub.ErrNoRoom) {
			t.Errorf("Advance from %d: error is %v, want ErrNoRoom", from, err)
		}
	}
	wantAnswer(t, s, room("1"), request(1), []byte("closed"), true)
	if err := s.Create(t.Context(), room("1"), nil); !errors.Is(err, hub.ErrRoomExists) {
		t.Errorf("Create: error is %v, want ErrRoomExists", err)
	}
}

func hubIndependentRooms(t *testing.T, s hub.Store) {
	const rooms, versions = 4, 8
	var wg sync.WaitGroup
	for i := range rooms {
		wg.Go(func() {
			uri := room(fmt.Sprint(i))
			if err := s.Create(t.Context(), uri, nil); err != nil {
				t.Error(err)
				return
			}
			for v := range uint64(versions) {
				if err := s.Advance(t.Context(), uri, v, &hub.Change{
					Rows: []mls.Row{{Key: "v", Value: []byte{byte(i), byte(v)}}}, Request: request(byte(v + 1)), At: precise,
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range rooms {
		wantRoom(t, s, room(fmt.Sprint(i)), versions, mls.Row{Key: "v", Value: []byte{byte(i), versions - 1}})
	}
}

// The store neither keeps nor hands out memory that others can change.
func hubAliasing(t *testing.T, s hub.Store) {
	value, answer := []byte{1}, []byte{1}
	rows := []mls.Row{{Key: "a", Value: value}}
	do(t, s.Create(t.Context(), room("1"), rows))
	do(t, s.Advance(t.Context(), room("1"), 0, &hub.Change{Request: request(1), Answer: answer, At: precise}))
	value[0], answer[0] = 9, 9
	for range 2 {
		wantRoom(t, s, room("1"), 1, mls.Row{Key: "a", Value: []byte{1}})
		wantAnswer(t, s, room("1"), request(1), []byte{1}, true)
		loaded, _, err := s.Load(t.Context(), room("1"))
		do(t, err)
		for _, row := range loaded {
			row.Value[0] = 9
		}
		body, _, err := s.Answer(t.Context(), room("1"), request(1))
		do(t, err)
		body[0] = 9
	}
}
