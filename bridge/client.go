package bridge

import (
	"context"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Client is one person's login.
type Client struct {
	main    *Connector
	login   *bridgev2.UserLogin
	user    id.UserID
	account mimi.URI
	// ghost is the id under which bridgev2 knows the person as a sender.
	ghost networkid.UserID
}

var (
	_ bridgev2.NetworkAPI                    = (*Client)(nil)
	_ bridgev2.NetworkAPIWithUserID          = (*Client)(nil)
	_ bridgev2.EditHandlingNetworkAPI        = (*Client)(nil)
	_ bridgev2.ReactionHandlingNetworkAPI    = (*Client)(nil)
	_ bridgev2.RedactionHandlingNetworkAPI   = (*Client)(nil)
	_ bridgev2.PollHandlingNetworkAPI        = (*Client)(nil)
	_ bridgev2.RoomNameHandlingNetworkAPI    = (*Client)(nil)
	_ bridgev2.MembershipHandlingNetworkAPI  = (*Client)(nil)
	_ bridgev2.PowerLevelHandlingNetworkAPI  = (*Client)(nil)
	_ bridgev2.IdentifierResolvingNetworkAPI = (*Client)(nil)
	_ bridgev2.GhostDMCreatingNetworkAPI     = (*Client)(nil)
	_ bridgev2.GroupCreatingNetworkAPI       = (*Client)(nil)
	_ bridgev2.ContactListingNetworkAPI      = (*Client)(nil)
	_ bridgev2.UserSearchingNetworkAPI       = (*Client)(nil)
)

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

// IsThisUser implements [bridgev2.NetworkAPI].
func (c *Client) IsThisUser(_ context.Context, user networkid.UserID) bool { return user == c.ghost }

// GetUserID implements [bridgev2.NetworkAPIWithUserID].
func (c *Client) GetUserID() networkid.UserID { return c.ghost }
