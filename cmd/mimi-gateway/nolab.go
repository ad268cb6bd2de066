//go:build !lab

package main

import (
	"flag"
	"io"
	"net/http"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// labOptions is empty: release builds have no way to break a promise.
type labOptions struct{ list bool }

func (*labOptions) register(*flag.FlagSet) {}

func (*labOptions) validate() error { return nil }

func (*labOptions) print(io.Writer) error { return nil }

func (*labOptions) newClock() mimi.Clock { return mimi.SystemClock{} }

func (*labOptions) controls() (string, http.Handler) { return "", nil }
