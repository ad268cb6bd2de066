package mimi_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

func TestRefusalIsTheErrorThatItHolds(t *testing.T) {
	reason := errors.New("too old")
	err := fmt.Errorf("request: %w", mimi.Refuse("age", fmt.Errorf("%w: 3 days", reason)))
	if err.Error() != "request: too old: 3 days" || !errors.Is(err, reason) || mimi.CheckOf(err) != "age" {
		t.Errorf("%v, check %q", err, mimi.CheckOf(err))
	}
	if mimi.CheckOf(reason) != "" || mimi.CheckOf(nil) != "" {
		t.Error("an error without a check has one")
	}
}

func TestRefusedAsKeepsTheCheck(t *testing.T) {
	reason, answer := errors.New("too old"), errors.New("not allowed")
	err := mimi.RefusedAs(mimi.Refuse("age", reason), answer)
	if err.Error() != "not allowed" || !errors.Is(err, answer) || !errors.Is(err, reason) || mimi.CheckOf(err) != "age" {
		t.Errorf("%v, check %q", err, mimi.CheckOf(err))
	}
	if err := mimi.RefusedAs(reason, answer); mimi.CheckOf(err) != "" || !errors.Is(err, reason) {
		t.Errorf("%v, check %q", err, mimi.CheckOf(err))
	}
}
