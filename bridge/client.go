package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"
)

// A Client is one person's login.
type Client struct {
	main  *Connector
	login *bridgev2.UserLogin
	user  id.UserID
}

var _ bridgev2.NetworkAPI = (*Client)(nil)

// Connect implements [bridgev2.NetworkAPI]. There is no connection of one
// person: the provider is this process, and serves all.
func (c *Client) Connect(context.Context) {
	c.login.BridgeState.Send(status.BridgeState{StateEvent: status.StateConnected})
}

// Disconnect implements [bridgev2.NetworkAPI].
func (c *Client) Disconnect() {}

// IsLoggedIn implements [bridgev2.NetworkAPI].
func (c *Client) IsLoggedIn() bool { return true }

// LogoutRemote implements [bridgev2.NetworkAPI].
func (c *Client) LogoutRemote(context.Context) {}

// IsThisUser implements [bridgev2.NetworkAPI]. Local people appear as
// themselves, never as a ghost, so no ghost is anybody's own.
func (c *Client) IsThisUser(context.Context, networkid.UserID) bool { return false }
