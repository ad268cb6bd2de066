//go:build !lab

package client

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// Faults are wrong behaviours of the lab build. This build has none.
type Faults struct{}

func (Faults) pseudonym(mimi.URI) mimi.URI { return mimi.URI{} }

func (Faults) aad(*room) mls.AuthenticatedData { return mls.AuthenticatedData{} }

func (Faults) messages(e *Event) []*Event { return []*Event{e} }

func (Faults) declined(context.Context, *Client, *connection.IncomingRequest) error { return nil }
