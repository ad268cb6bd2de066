package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

func packageOf(n byte, name string, lastResort bool, notAfter time.Time) *connection.StoredPackage {
	return &connection.StoredPackage{
		Ref: connection.Ref{n}, User: user(name), Suite: suite.X25519AES128, LastResort: lastResort,
		NotAfter: notAfter, Package: []byte{n}, Secret: []byte{n, n},
	}
}

// Packages checks the contract of [connection.Packages]. Every call of open
// returns an empty store.
func Packages(t *testing.T, open func(*testing.T) connection.Packages) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	handOut := func(s connection.Packages, name string, at time.Time) (*connection.StoredPackage, error) {
		return s.HandOut(t.Context(), user(name), suite.X25519AES128, at)
	}

	t.Run("Put", func(t *testing.T) {
		s := open(t)
		wantError(s.Package(t.Context(), connection.Ref{1}))(t, connection.ErrUnknownPackage)
		do(t, s.PutPackage(t.Context(), packageOf(1, "bob", false, now.Add(day))))
		get(s.Package(t.Context(), connection.Ref{1}))(t, packageOf(1, "bob", false, now.Add(day)))
		refused(t, "a second package with the same reference", s.PutPackage(t.Context(), packageOf(1, "ben", true, now)))
		get(s.Package(t.Context(), connection.Ref{1}))(t, packageOf(1, "bob", false, now.Add(day)))
	})
	t.Run("HandOut", func(t *testing.T) {
		s := open(t)
		wantError(handOut(s, "bob", now))(t, connection.ErrNoPackage)
		for _, p := range []*connection.StoredPackage{
			packageOf(1, "bob", false, now.Add(3*day)), packageOf(2, "bob", false, now.Add(2*day)), packageOf(3, "bob", false, now.Add(-day)),
			packageOf(4, "bob", true, now.Add(day)), packageOf(5, "bob", true, now.Add(5*day)), packageOf(6, "ben", false, now.Add(day)),
		} {
			do(t, s.PutPackage(t.Context(), p))
		}
		single, last, err := s.CountPackages(t.Context(), user("bob"), suite.X25519AES128, now)
		if err != nil || single != 2 || last != 2 {
			t.Errorf("counted %d, %d, %v; want 2, 2", single, last, err)
		}
		for _, want := range []byte{2, 1, 5, 5} {
			p, err := handOut(s, "bob", now)
			if err != nil || p.Ref != (connection.Ref{want}) {
				t.Fatalf("handed out %+v, %v; want %d", p, err, want)
			}
		}
		wantError(s.HandOut(t.Context(), user("bob"), suite.P256AES128, now))(t, connection.ErrNoPackage)
		wantError(handOut(s, "bob", now.Add(6*day)))(t, connection.ErrNoPackage)
		if p, err := handOut(s, "ben", now); err != nil || p.Ref != (connection.Ref{6}) {
			t.Errorf("handed out %+v, %v for ben", p, err)
		}
	})
	t.Run("Use", func(t *testing.T) {
		s := open(t)
		if err := s.UsePackage(t.Context(), connection.Ref{1}); !errors.Is(err, connection.ErrUnknownPackage) {
			t.Errorf("use of an unknown package: %v", err)
		}
		do(t, s.PutPackage(t.Context(), packageOf(1, "bob", false, now)))
		do(t, s.PutPackage(t.Context(), packageOf(2, "bob", true, now)))
		do(t, s.UsePackage(t.Context(), connection.Ref{1}))
		if err := s.UsePackage(t.Context(), connection.Ref{1}); !errors.Is(err, connection.ErrPackageUsed) {
			t.Errorf("second use: %v", err)
		}
		do(t, s.UsePackage(t.Context(), connection.Ref{2}))
		do(t, s.UsePackage(t.Context(), connection.Ref{2}))
		used := packageOf(1, "bob", false, now)
		used.Used = true
		get(s.Package(t.Context(), connection.Ref{1}))(t, used)
		if p, err := handOut(s, "bob", now); err != nil || p.Ref != (connection.Ref{2}) {
			t.Errorf("handed out %+v, %v after use", p, err)
		}
	})
	t.Run("DropUnasked", func(t *testing.T) {
		s := open(t)
		for _, p := range []*connection.StoredPackage{
			packageOf(1, "bob", false, now.Add(day)), packageOf(2, "bob", false, now.Add(2*day)), packageOf(3, "bob", true, now.Add(day)),
			packageOf(4, "ben", false, now.Add(day)), packageOf(5, "bob", false, now),
		} {
			do(t, s.PutPackage(t.Context(), p))
		}
		if p, err := handOut(s, "bob", now); err != nil || p.Ref != (connection.Ref{5}) {
			t.Fatalf("handed out %+v, %v", p, err)
		}
		do(t, s.DropUnasked(t.Context(), user("bob"), now.Add(2*day)))
		wantError(s.Package(t.Context(), connection.Ref{1}))(t, connection.ErrUnknownPackage)
		for n := byte(2); n <= 5; n++ {
			if _, err := s.Package(t.Context(), connection.Ref{n}); err != nil {
				t.Errorf("package %d: %v", n, err)
			}
		}
	})
	t.Run("DropPackages", func(t *testing.T) {
		s := open(t)
		for _, p := range []*connection.StoredPackage{
			packageOf(1, "bob", false, now), packageOf(2, "bob", true, now), packageOf(3, "ben", false, now),
		} {
			do(t, s.PutPackage(t.Context(), p))
		}
		do(t, s.DropPackages(t.Context(), user("bob")))
		for n := byte(1); n <= 2; n++ {
			wantError(s.Package(t.Context(), connection.Ref{n}))(t, connection.ErrUnknownPackage)
		}
		get(s.Package(t.Context(), connection.Ref{3}))(t, packageOf(3, "ben", false, now))
	})
	t.Run("Forget", func(t *testing.T) {
		s := open(t)
		do(t, s.PutPackage(t.Context(), packageOf(1, "bob", false, now)))
		do(t, s.PutPackage(t.Context(), packageOf(2, "bob", false, now.Add(time.Second))))
		do(t, s.ForgetPackages(t.Context(), now.Add(time.Second)))
		wantError(s.Package(t.Context(), connection.Ref{1}))(t, connection.ErrUnknownPackage)
		get(s.Package(t.Context(), connection.Ref{2}))(t, packageOf(2, "bob", false, now.Add(time.Second)))
	})
	t.Run("HandedOutOnce", func(t *testing.T) {
		s := open(t)
		do(t, s.PutPackage(t.Context(), packageOf(1, "bob", false, now)))
		var got atomic.Int32
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				switch _, err := handOut(s, "bob", now); {
				case err == nil:
					got.Add(1)
				case !errors.Is(err, connection.ErrNoPackage):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			t.Errorf("one package was handed out %d times", got.Load())
		}
	})
}

// Replays checks the contract of [connection.Replays]. Every call of open
// returns an empty store.
func Replays(t *testing.T, open func(*testing.T) connection.Replays) {
	t.Run("Remember", func(t *testing.T) {
		s := open(t)
		get(s.Remember(t.Context(), connection.Ref{1}, precise))(t, true)
		get(s.Remember(t.Context(), connection.Ref{1}, precise.Add(time.Hour)))(t, false)
		get(s.Remember(t.Context(), connection.Ref{2}, precise.Add(time.Hour)))(t, true)
		do(t, s.ForgetReplays(t.Context(), kept))
		get(s.Remember(t.Context(), connection.Ref{1}, precise))(t, false)
		do(t, s.ForgetReplays(t.Context(), precise.Add(time.Minute)))
		get(s.Remember(t.Context(), connection.Ref{2}, precise))(t, false)
		get(s.Remember(t.Context(), connection.Ref{1}, precise))(t, true)
	})
}
