package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// precise is a time that no store keeps exactly: it has microseconds, and is
// not in UTC. kept is what remains of it.
var (
	precise = time.Date(2026, 3, 29, 4, 5, 6, 789_654_321, time.FixedZone("", 2*60*60))
	kept    = time.Date(2026, 3, 29, 2, 5, 6, 789_000_000, time.UTC)
)

func room(id string) mimi.URI { return mimi.URI{Domain: "hub.example", Kind: mimi.KindRoom, ID: id} }

func user(id string) mimi.URI { return mimi.URI{Domain: "a.example", Kind: mimi.KindUser, ID: id} }

func device(id string) mimi.URI {
	return mimi.URI{Domain: "a.example", Kind: mimi.KindClient, ID: id}
}

// do fails the test if a step that must succeed does not.
func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused fails the test if a step that must fail does not.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s was accepted", what)
	}
}

// get returns a function that compares the result of a call with what is
// wanted:
//
//	get(s.Account(ctx, user))(t, want)
func get[T any](got T, err error) func(t *testing.T, want T) {
	return func(t *testing.T, want T) {
		t.Helper()
		if err != nil {
			t.Error(err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("unexpected result (-want +got):\n%s", diff)
		}
	}
}

// wantError returns a function that checks the error of a call.
func wantError[T any](_ T, err error) func(t *testing.T, want error) {
	return func(t *testing.T, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("error is %v, want %v", err, want)
		}
	}
}

// wantUTC checks what cmp.Diff does not look at.
func wantUTC(t *testing.T, times ...time.Time) {
	t.Helper()
	for _, at := range times {
		if at.Location() != time.UTC {
			t.Errorf("%v is not in UTC", at)
		}
	}
}
