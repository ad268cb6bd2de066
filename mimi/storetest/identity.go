package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// Pins checks the contract of [identity.PinStore]. Every call of open returns an
// empty store.
func Pins(t *testing.T, open func(*testing.T) identity.PinStore) {
	pin := func(version uint64) identity.Pin {
		return identity.Pin{Domain: "b.example", Version: version, PEM: []byte{byte(version)}, Pinned: precise}
	}
	stored := func(version uint64) identity.Pin {
		p := pin(version)
		p.Pinned = kept
		return p
	}

	t.Run("Unknown", func(t *testing.T) {
		wantError(open(t).Pin(t.Context(), "b.example"))(t, identity.ErrNoPin)
	})
	t.Run("Versions", func(t *testing.T) {
		s := open(t)
		wantConflict := func(version uint64) {
			t.Helper()
			if err := s.PutPin(t.Context(), pin(version)); !errors.Is(err, identity.ErrPinConflict) {
				t.Errorf("version %d: %v, want a conflict", version, err)
			}
		}
		wantConflict(2)
		do(t, s.PutPin(t.Context(), pin(1)))
		wantConflict(1)
		wantConflict(3)
		get(s.Pin(t.Context(), "b.example"))(t, stored(1))
		do(t, s.PutPin(t.Context(), pin(2)))
		get(s.Pin(t.Context(), "b.example"))(t, stored(2))
	})
	t.Run("Changed", func(t *testing.T) {
		s := open(t)
		for _, domain := range []string{"c.example", "b.example", "a.example"} {
			p := pin(1)
			p.Domain = domain
			if domain != "b.example" {
				p.Candidate, p.Seen = []byte("other"), precise
			}
			do(t, s.PutPin(t.Context(), p))
		}
		pins, err := s.Changed(t.Context())
		do(t, err)
		if len(pins) != 2 || pins[0].Domain != "a.example" || pins[1].Domain != "c.example" {
			t.Fatalf("changed pins are %+v", pins)
		}
		if pins[0].Seen != kept || string(pins[0].Candidate) != "other" {
			t.Errorf("candidate is %+v", pins[0])
		}
		wantUTC(t, pins[0].Seen, pins[0].Pinned)
		if unseen, err := s.Pin(t.Context(), "b.example"); err != nil || unseen.Seen != (time.Time{}) {
			t.Errorf("a pin without candidate has %+v, %v", unseen, err)
		}
	})
	t.Run("OneWriter", func(t *testing.T) {
		s := open(t)
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				switch err := s.PutPin(t.Context(), pin(1)); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, identity.ErrPinConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d writers won", won.Load())
		}
	})
}
