package bridge

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// provision returns the login of a person, and makes it if the configuration
// says that they need not ask for it. It returns nil, nil for those who do, and for those
// who have deleted their account.
func (c *Connector) provision(ctx context.Context, userID id.UserID) (*bridgev2.UserLogin, error) {
	if !c.isLocal(userID) {
		return nil, nil
	}
	user, err := c.bridge.GetUserByMXID(ctx, userID)
	if err != nil {
		return nil, fmt.Errorf("bridge: failed to load the user: %w", err)
	}
	if login := user.GetDefaultLogin(); login != nil {
		return login, nil
	}
	if !c.mayProvision(userID) {
		return nil, nil
	}
	account, err := c.accountOf(userID)
	if err != nil {
		return nil, err
	}
	if deleted, err := c.wasDeleted(ctx, account); err != nil || deleted {
		return nil, err
	}
	return c.newLogin(ctx, user, &mimiid.UserLoginMetadata{AutoProvisioned: true})
}

// mayProvision applies network.auto_provision. Those who are blocked by the
// permissions stay so.
func (c *Connector) mayProvision(user id.UserID) bool {
	if !c.isLocal(user) {
		return false
	}
	permissions := c.bridge.Config.Permissions.Get(user)
	switch c.opts.Config.AutoProvision {
	case config.AutoProvisionLocal:
		return permissions.SendEvents
	case config.AutoProvisionAllowed:
		return permissions.Login
	case config.AutoProvisionOff:
		return false
	default:
		return false
	}
}

// mark notes that a login is in a portal. bridgev2 does it too, whenever a remote
// event has that login for its source, and at that occasion makes the person's
// double puppet join the room: whoever is only invited would have said yes
// without knowing. It does so once for each portal, and not if there is no room;
// so it is told of the portal without its room here, before each of the calls.
func (c *Connector) mark(ctx context.Context, login *bridgev2.UserLogin, key networkid.PortalKey) {
	login.MarkInPortal(ctx, &bridgev2.Portal{Portal: &database.Portal{BridgeID: c.bridge.ID, PortalKey: key}})
}

// prependHandlers puts [Connector.Before] in front of bridgev2's handlers.
// Handlers of an event run one after the other.
func (c *Connector) prependHandlers(ep *appservice.EventProcessor) {
	for _, t := range []event.Type{
		event.StateMember, event.StateRoomName, event.StateTopic, event.StateRoomAvatar, event.StatePowerLevels,
		event.EventMessage, event.EventReaction, event.EventRedaction,
	} {
		ep.PrependHandler(t, c.Before)
	}
}

// Before is called with every event of the homeserver before bridgev2 handles it.
// It makes logins for people who act, or are invited, in a portal, and handles
// what happens in rooms that are no portals: those of connection requests.
func (c *Connector) Before(ctx context.Context, evt *event.Event) {
	if c.backend == nil || c.isOurs(evt.Sender) || c.fromPuppet(evt) || !c.bridge.Config.Permissions.Get(evt.Sender).SendEvents {
		return
	}
	portal, err := c.bridge.GetPortalByMXID(ctx, evt.RoomID)
	switch {
	case err != nil: // bridgev2 meets the same error next, and reports it
	case portal != nil:
		err = c.beforePortal(ctx, portal, evt)
	default:
		err = c.beforeOther(ctx, evt)
	}
	if err != nil {
		c.log.ErrorContext(ctx, "failed to prepare for a Matrix event", "type", evt.Type.Type, "err", err)
	}
}

// fromPuppet reports whether the gateway itself did this as a person.
func (c *Connector) fromPuppet(evt *event.Event) bool {
	value, ok := evt.Content.Raw[appservice.DoublePuppetKey]
	return ok && c.opts.PuppetValue != "" && value == c.opts.PuppetValue
}

// beforePortal gives logins to those who are about to need one.
func (c *Connector) beforePortal(ctx context.Context, portal *bridgev2.Portal, evt *event.Event) error {
	who, target := evt.Sender, id.UserID(evt.GetStateKey())
	if evt.Type == event.EventMessage {
		c.asJoin(evt, "")
	}
	invites := evt.Type == event.StateMember && evt.Content.AsMember().Membership == event.MembershipInvite
	if portal.Receiver != "" {
		if invites && !c.isOurs(target) {
			return c.retract(ctx, portal, evt, target, explain(client.ErrConnectionRoom).String())
		}
		return nil
	}
	if evt.Type == event.StateMember {
		switch membership := evt.Content.AsMember().Membership; {
		case invites && !c.isOurs(target):
			return c.beforeInvite(ctx, portal, evt, target)
		case membership != event.MembershipJoin:
			return nil
		}
		who = target
	}
	login, err := c.provision(ctx, who)
	if err == nil && login != nil {
		c.mark(ctx, login, portal.PortalKey)
	}
	return err
}

// beforeInvite lets bridgev2 know a person who is invited to a portal, or takes
// the invitation back if they can't be in one.
func (c *Connector) beforeInvite(ctx context.Context, portal *bridgev2.Portal, evt *event.Event, target id.UserID) error {
	login, err := c.provision(ctx, evt.Sender)
	if err == nil && login != nil {
		c.mark(ctx, login, portal.PortalKey)
	}
	if err != nil {
		return err
	}
	login, err = c.provision(ctx, target)
	if err == nil && login != nil {
		c.mark(ctx, login, portal.PortalKey)
		return nil
	}
	reason := "This person has no MIMI address here yet. Ask them to send `login` to the bot, then invite them again."
	if !c.isLocal(target) {
		reason = "Only people of this homeserver can be invited by their Matrix id. " +
			"Others are invited under their MIMI address: connect with them first, with `start-chat`."
	} else if err != nil {
		reason = explain(err).String()
	}
	return c.retract(ctx, portal, evt, target, reason)
}

// beforeOther handles rooms that are no portals.
func (c *Connector) beforeOther(ctx context.Context, evt *event.Event) error {
	switch evt.Type {
	case event.StateMember:
		return c.requestMember(ctx, evt)
	case event.EventMessage:
		user, err := c.bridge.GetUserByMXID(ctx, evt.Sender)
		if err != nil {
			return err
		}
		if evt.RoomID == user.ManagementRoom || strings.HasPrefix(evt.Content.AsMessage().Body, c.bridge.Config.CommandPrefix) {
			c.asJoin(evt, user.ManagementRoom)
			_, err := c.provision(ctx, evt.Sender) // commands need a login
			return err
		}
		return c.requestAnswer(ctx, evt)
	default:
		return nil
	}
}
