package storetest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/storetest"
)

func account(id string) *client.Account {
	return &client.Account{User: mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: id}}
}

// two writes two accounts in one transaction.
func two(s *storetest.ClientStore) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		if err := s.PutAccount(ctx, account("1")); err != nil {
			return err
		}
		return s.PutAccount(ctx, account("2"))
	}
}

func wantAccounts(t *testing.T, s *storetest.ClientStore, want int) {
	t.Helper()
	if all, err := s.Accounts(t.Context()); err != nil || len(all) != want {
		t.Errorf("%d accounts, %v, want %d", len(all), err, want)
	}
}

// Each fault, and what it leaves: it fails and loses, or it fails and keeps.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name  string
		order func(*storetest.Faults)
		want  int
	}{
		{"fails and loses: first write", func(f *storetest.Faults) { f.FailWrite(1) }, 0},
		{"fails and loses: second write", func(f *storetest.Faults) { f.FailWrite(2) }, 0},
		{"fails and loses: commit", func(f *storetest.Faults) { f.FailCommit(1) }, 0},
		{"fails and keeps: acknowledgement", func(f *storetest.Faults) { f.LoseCommit(1) }, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := storetest.NewClient()
			c.order(s.Faults)
			if err := s.Atomically(t.Context(), two(s)); !errors.Is(err, storetest.ErrInjected) {
				t.Errorf("error is %v, want ErrInjected", err)
			}
			wantAccounts(t, s, c.want)
			if err := s.Atomically(t.Context(), two(s)); err != nil {
				t.Errorf("a fault has happened twice: %v", err)
			}
			wantAccounts(t, s, 2)
		})
	}
}

func TestFaultsHub(t *testing.T) {
	room := mimi.URI{Domain: "hub.example", Kind: mimi.KindRoom, ID: "1"}
	s := storetest.NewHub()
	s.Faults.FailWrite(2)
	if err := s.Create(t.Context(), room, nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.Faults.LoseCommit(1)
		err := s.Advance(t.Context(), room, 0, &hub.Change{})
		if err == nil {
			t.Fatal("no fault")
		}
	}
	if _, version, err := s.Load(t.Context(), room); err != nil || version != 1 {
		t.Errorf("room is at version %d, %v, want 1: one write was lost, one acknowledgement", version, err)
	}
	if writes, commits := s.Faults.Counts(); writes != 3 || commits != 2 {
		t.Errorf("%d writes and %d commits, want 3 and 2", writes, commits)
	}
}

// A story that is run once for each point at which it can crash.
func TestCrash(t *testing.T) {
	var kept []int
	for n := 1; ; n++ {
		s := storetest.NewClient()
		s.Faults.Crash(n)
		err := s.Atomically(t.Context(), two(s))
		if err == nil {
			err = s.PutAccount(t.Context(), account("3"))
		}
		if err != nil {
			if !errors.Is(err, storetest.ErrCrashed) {
				t.Fatal(err)
			}
			if _, err := s.Accounts(t.Context()); !errors.Is(err, storetest.ErrCrashed) {
				t.Errorf("a crashed store answers: %v", err)
			}
		}
		crashed := s.Faults.Restart()
		if crashed != (err != nil) {
			t.Errorf("Restart = %v after %v", crashed, err)
		}
		all, err := s.Accounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, len(all))
		if !crashed {
			break
		}
	}
	// Two writes, before and behind the commit; one write, before and behind.
	want := []int{0, 0, 0, 2, 2, 2, 3, 3}
	if len(kept) != len(want) {
		t.Fatalf("accounts after each crash: %v, want %v", kept, want)
	}
	for i := range want {
		if kept[i] != want[i] {
			t.Fatalf("accounts after each crash: %v, want %v", kept, want)
		}
	}
}

// A transaction of one store spans the others.
func TestStores(t *testing.T) {
	s := storetest.New()
	room := mimi.URI{Domain: "hub.example", Kind: mimi.KindRoom, ID: "1"}
	everywhere := func(ctx context.Context) error {
		if err := s.Client.PutAccount(ctx, account("1")); err != nil {
			return err
		}
		if _, err := s.People.RememberNonce(ctx, [32]byte{1}, time.UnixMilli(1)); err != nil {
			return err
		}
		return s.Hub.Create(ctx, room, nil)
	}
	want := func(kept bool) {
		t.Helper()
		fresh, err := s.People.RememberNonce(t.Context(), [32]byte{1}, time.UnixMilli(0))
		if err != nil || fresh == kept {
			t.Errorf("nonce is fresh: %v, %v", fresh, err)
		}
		if err := s.People.ForgetNonces(t.Context(), time.UnixMilli(1)); err != nil {
			t.Error(err)
		}
		if _, _, err := s.Hub.Load(t.Context(), room); (err == nil) != kept {
			t.Errorf("Load: %v", err)
		}
		if _, err := s.Client.Account(t.Context(), account("1").User); (err == nil) != kept {
			t.Errorf("Account: %v", err)
		}
	}
	stop := errors.New("stop")
	if err := s.Client.Atomically(t.Context(), func(ctx context.Context) error {
		return errors.Join(everywhere(ctx), stop)
	}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	want(false)
	if err := s.Client.Atomically(t.Context(), func(ctx context.Context) error {
		err := s.People.Atomically(ctx, func(ctx context.Context) error { return errors.Join(everywhere(ctx), stop) })
		if !errors.Is(err, stop) {
			t.Error(err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	want(false)
	s.Faults.FailCommit(1)
	if err := s.People.Atomically(t.Context(), everywhere); !errors.Is(err, storetest.ErrInjected) {
		t.Fatal(err)
	}
	want(false)
	if err := s.Client.Atomically(t.Context(), everywhere); err != nil {
		t.Fatal(err)
	}
	want(true)
}
