//go:build !lab

package client

import (
	"context"
	"log/slog"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// Faults are wrong behaviours of the lab build. This build has none.
type Faults struct{}

func (Faults) pseudonym(mimi.URI) mimi.URI { return mimi.URI{} }

func (Faults) aad(*room, mimi.URI) mls.AuthenticatedData { return mls.AuthenticatedData{} }

func (Faults) leaf(_ mimi.URI, extensions mls.Extensions) mls.Extensions { return extensions }

func (Faults) made(context.Context, *slog.Logger, mimi.URI, []keymaterial.Row) {}

func (Faults) believesHub() bool { return false }

func (Faults) padding(unit int) int { return unit }

func (Faults) messages(e *Event) []*Event { return []*Event{e} }

func (Faults) uploadsAtOnce() bool { return false }

func (Faults) limit(*Limits) {}

func (Faults) lifetime() func(time.Time) (notBefore, notAfter time.Time) { return nil }

func (Faults) checkLifetime() func(*mls.KeyPackage) (time.Time, error) { return nil }

func (Faults) declined(context.Context, *Client, *connection.IncomingRequest) error { return nil }
