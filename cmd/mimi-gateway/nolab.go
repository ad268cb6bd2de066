//go:build !lab

package main

import (
	"flag"
	"io"
	"net/http"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// labOptions is empty: release builds have no way to break a promise.
type labOptions struct{ list bool }

func (*labOptions) register(*flag.FlagSet) {}

func (*labOptions) validate() error { return nil }

func (*labOptions) print(io.Writer) error { return nil }

func (*labOptions) newClock() mimi.Clock { return mimi.SystemClock{} }

func (*labOptions) controls() (string, http.Handler) { return "", nil }

func (*labOptions) engineFaults() client.Faults { return client.Faults{} }

func (*labOptions) bridgeFaults() bridge.Faults { return bridge.Faults{} }
