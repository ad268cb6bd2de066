//go:build !lab

package main

import (
	"context"
	"errors"
	"io"
)

// runPrivacy needs faults for its controls.
func runPrivacy(context.Context, []string, io.Writer) error {
	return errors.New("privacy: the controls are faults of the lab build: use \"make privacy\", or go run -tags goolm,lab ./cmd/mimi-lab privacy")
}
