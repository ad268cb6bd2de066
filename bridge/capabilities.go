package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
)

// maxTextLength bounds a message in characters, so that with its markup it
// fits into a Matrix event of 64 KiB.
const maxTextLength = 20_000

// GetCapabilities implements [bridgev2.NetworkConnector].
func (c *Connector) GetCapabilities() *bridgev2.NetworkGeneralCapabilities {
	return &bridgev2.NetworkGeneralCapabilities{}
}

// GetCapabilities implements [bridgev2.NetworkAPI]. Its id names the version of
// the list, which clients cache.
func (c *Client) GetCapabilities(context.Context, *bridgev2.Portal) *event.RoomFeatures {
	return &event.RoomFeatures{
		ID:            "github.com/mimi-gateway/mimi-gateway.capabilities.2026_10",
		MaxTextLength: maxTextLength,
	}
}
