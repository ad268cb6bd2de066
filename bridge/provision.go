package bridge

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/config"
)

// provision returns the login of a person, and makes it if the configuration
// says that they need not ask for it. It returns nil, nil for those who do.
func (c *Connector) provision(ctx context.Context, userID id.UserID) (*bridgev2.UserLogin, error) {
	if c.bridge.IsGhostMXID(userID) || userID == c.bridge.Bot.GetMXID() {
		return nil, nil
	}
	user, err := c.bridge.GetUserByMXID(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("bridge: failed to load the user: %w", err)
	}
	if login := user.GetDefaultLogin(); login != nil {
		return login, nil
	}
	if !c.mayProvision(user) {
		return nil, nil
	}
	return c.newLogin(ctx, user, &mimiid.UserLoginMetadata{AutoProvisioned: true})
}

// mayProvision applies network.auto_provision. Those who are blocked by the
// permissions stay so.
func (c *Connector) mayProvision(user *bridgev2.User) bool {
	switch c.opts.Config.AutoProvision {
	case config.AutoProvisionLocal:
		return user.MXID.Homeserver() == c.bridge.Matrix.ServerName() && user.Permissions.SendEvents
	case config.AutoProvisionAllowed:
		return user.Permissions.Login
	case config.AutoProvisionOff:
		return false
	default:
		return false
	}
}

// provisionSenders gives a login to people who act in a portal, before
// bridgev2 looks for it. Handlers of an event run one after the other.
func (c *Connector) provisionSenders(ep *appservice.EventProcessor) {
	for _, t := range []event.Type{event.StateMember, event.EventMessage, event.EventReaction} {
		ep.PrependHandler(t, c.provisionSender)
	}
}

func (c *Connector) provisionSender(ctx context.Context, evt *event.Event) {
	who := evt.Sender
	if evt.Type == event.StateMember {
		if evt.Content.AsMember().Membership != event.MembershipJoin {
			return // those who are invited have not done anything yet
		}
		who = id.UserID(evt.GetStateKey())
	}
	portal, err := c.bridge.GetPortalByMXID(ctx, evt.RoomID)
	if err != nil || portal == nil {
		return // bridgev2 meets the same error next, and reports it
	}
	login, err := c.provision(ctx, who)
	if err != nil {
		c.log.Error("failed to provision the sender of an event", "err", err)
		return
	}
	if login != nil && portal.Receiver == "" {
		login.MarkInPortal(ctx, portal)
	}
}
