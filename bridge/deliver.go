package bridge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

var (
	_ client.Sink   = (*Connector)(nil)
	_ client.People = (*Connector)(nil)
)

// awaitReady waits until logins and Matrix rooms can be used.
func (c *Connector) awaitReady(ctx context.Context) error {
	select {
	case <-c.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Deliver implements [client.Sink]: it shows an event of the engine in Matrix. It
// returns nil when the homeserver has what was to be shown. What leaves a message
// in Matrix carries the transaction ids of the event's [Cause]; the rest brings
// rooms into a state, which can be repeated.
func (c *Connector) Deliver(ctx context.Context, e *client.Event) error {
	if err := c.awaitReady(ctx); err != nil {
		return err
	}
	err := c.deliver(ctx, e)
	if err != nil && refused(err) {
		c.log.ErrorContext(ctx, "the homeserver refuses to show an event; it is dropped", "kind", e.Kind, "room", e.Room, "err", err)
		return nil
	}
	return err
}

// refused reports whether the homeserver will never take what it did not take: an
// event that stays would keep those behind it from being shown.
func refused(err error) bool {
	httpErr, ok := errors.AsType[mautrix.HTTPError](err)
	if !ok || httpErr.Response == nil {
		return false
	}
	switch httpErr.Response.StatusCode {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusRequestEntityTooLarge:
		return true
	default:
		return false
	}
}

func (c *Connector) deliver(ctx context.Context, e *client.Event) error {
	switch e.Kind {
	case client.EventAsked:
		return c.asked(ctx, e)
	case client.EventWithdrawn:
		return c.withdrawn(ctx, e)
	case client.EventConnected:
		return c.connected(ctx, e)
	case client.EventConsented:
		return c.consented(ctx, e)
	case client.EventGranted:
		return c.granted(ctx, e)
	case client.EventRefused:
		return c.tell(ctx, e, e.Account, reason(e.Reason, e.Peer))
	case client.EventInvited:
		return c.invited(ctx, e)
	case client.EventMembers, client.EventRoom, client.EventOpened:
		return c.changed(ctx, e)
	case client.EventJoined:
		return c.joinedByLink(ctx, e)
	case client.EventPolicy:
		return c.policyChanged(ctx, e)
	case client.EventGone:
		return c.gone(ctx, e)
	case client.EventMessage:
		return c.message(ctx, e)
	case client.EventName:
		return c.named(ctx, e)
	case client.EventDeleting:
		return c.deleting(ctx, e)
	case client.EventDeleted:
		return c.deleted(ctx, e)
	case client.EventAlert:
		return c.alert(ctx, e)
	default:
		c.log.WarnContext(ctx, "dropped an event of an unknown kind", "kind", e.Kind)
		return nil
	}
}

// room returns the room of an event, or nil if nobody here is in it any more.
func (c *Connector) room(ctx context.Context, room mimi.URI) (*client.RoomInfo, error) {
	info, err := c.backend.Engine.Room(ctx, room)
	if errors.Is(err, client.ErrNotMember) {
		return nil, nil
	}
	return info, err
}

// invited shows a person that somebody has added them to a group. Nothing is sent
// for them before they join.
func (c *Connector) invited(ctx context.Context, e *client.Event) error {
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	login, err := c.loginOf(ctx, e.Account)
	if err != nil {
		return err
	}
	if login == nil {
		c.log.InfoContext(ctx, "somebody who has no login was added to a group, and leaves", "room", e.Room)
		return ignore(c.backend.Engine.Leave(ctx, e.Account, e.Room), client.ErrNotMember, client.ErrLeaving)
	}
	if err := c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		return c.settle(ctx, p, e.Actor, false, e.Account)
	}); err != nil {
		return err
	}
	if text := choiceText(e); text != "" {
		return c.tell(ctx, e, e.Account, text)
	}
	return nil
}

// ignore returns nil in place of certain errors.
func ignore(err error, ignored ...error) error {
	for _, i := range ignored {
		if errors.Is(err, i) {
			return nil
		}
	}
	return err
}

// changed brings a portal into the state of its room, after its members, their roles or
// its name changed.
func (c *Connector) changed(ctx context.Context, e *client.Event) error {
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	if info.Kind == client.RoomConnection && len(info.Members) < 2 {
		if existing, err := c.bridge.GetExistingPortalByKey(ctx, c.key(info)); err != nil || existing == nil {
			return err // not connected yet
		}
	}
	for _, p := range e.Added {
		if err := c.linked(ctx, e.Room, p); err != nil {
			return err
		}
	}
	return c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		if err := c.settle(ctx, p, e.Actor, false); err != nil {
			return err
		}
		return c.tellRoles(ctx, p, e)
	})
}

// linked notes who is behind a pseudonym that had a ghost of its own, because its
// identity link did not open before.
func (c *Connector) linked(ctx context.Context, room mimi.URI, p client.Person) error {
	if p.User.IsZero() || p.Pseudonym.IsZero() || p.Local {
		return nil
	}
	before, after, err := c.backend.Store.LinkGhost(ctx, room, p.Pseudonym, p.User)
	if err != nil || before == "" || before != after {
		// Either there was none, or the person has a ghost already, whose place in
		// the portal the next settling gives it.
		return err
	}
	g, err := c.ghost(ctx, room, p)
	if err != nil {
		return err
	}
	return c.nameGhost(ctx, g, p, toldName(g))
}

// gone removes a person from the Matrix room of a room that they are no member of
// any more, so that they see nothing that follows.
func (c *Connector) gone(ctx context.Context, e *client.Event) error {
	userID := c.userOf(e.Account)
	login, err := c.loginOf(ctx, e.Account)
	if err != nil {
		return err
	}
	if login == nil {
		return nil
	}
	for _, receiver := range []bool{false, true} {
		key := mimiid.MakePortalKey(e.Room, "")
		if receiver {
			key = mimiid.MakePortalKey(e.Room, login.ID)
		}
		portal, err := c.bridge.GetExistingPortalByKey(ctx, key)
		if err != nil {
			return fmt.Errorf("bridge: failed to load the portal: %w", err)
		}
		if portal == nil || portal.PortalKey != key || portal.MXID == "" {
			continue
		}
		if err := c.locked(ctx, login, key, false, func(ctx context.Context, portal *bridgev2.Portal) error {
			return c.putOut(ctx, portal, e, userID)
		}); err != nil {
			return err
		}
	}
	return nil
}

// putOut takes a person out of a portal, in the name of who removed them.
func (c *Connector) putOut(ctx context.Context, portal *bridgev2.Portal, e *client.Event, user id.UserID) error {
	if c.opts.Faults.stays() {
		return nil
	}
	members, err := c.bridge.Matrix.GetMembers(ctx, portal.MXID)
	if err != nil {
		return fmt.Errorf("bridge: failed to read the members of a portal: %w", err)
	}
	if m := members[user]; m == nil || !m.Membership.IsInviteOrJoin() {
		return nil
	}
	sender := c.bridge.Bot
	if !e.Actor.Local && !e.Actor.User.IsZero() {
		g, err := c.ghost(ctx, e.Room, e.Actor)
		if err != nil {
			return err
		}
		sender = g.Intent
	}
	return c.removeMember(ctx, portal.MXID, user, e.Actor, sender)
}

// alert tells people of something that needs their attention: in the room, if it
// is one's, and otherwise in the chat with the bot.
func (c *Connector) alert(ctx context.Context, e *client.Event) error {
	text := alertText(e)
	if e.Reason == client.ReasonLinkDied {
		name := "a room without a name"
		if e.Name != "" {
			name = "“" + e.Name + "”"
		}
		text = strings.ReplaceAll(reasons[e.Reason], "%s", name)
	}
	if !e.Account.IsZero() && !e.Peer.IsZero() && !concernsProvider(e) {
		return c.alertAbout(ctx, e)
	}
	if e.Room.IsZero() || !e.Account.IsZero() {
		return c.tell(ctx, e, e.Account, text)
	}
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	return c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		return c.say(ctx, p.portal.MXID, cause(e), text)
	})
}

// reason returns the sentences for a reason.
func reason(r client.Reason, about mimi.URI) string {
	text, ok := reasons[r]
	if !ok {
		return "Something is wrong (" + string(r) + "). The administrator finds details in the log."
	}
	name := "somebody"
	if !about.IsZero() {
		name = about.Handle()
	}
	return strings.ReplaceAll(text, "%s", name)
}

// cause returns the Cause of an event that is no message.
func cause(e *client.Event) *Cause {
	return NewCause(e.Room.String(), fmt.Sprintf("event %d", e.Seq))
}

// tell writes to a person in their chat with the bot.
func (c *Connector) tell(ctx context.Context, e *client.Event, account mimi.URI, markdown string) error {
	return c.tellFor(ctx, cause(e), account, markdown)
}

// tellFor is tell for a cause that is no event of the engine.
func (c *Connector) tellFor(ctx context.Context, why *Cause, account mimi.URI, markdown string) error {
	user, err := c.bridge.GetUserByMXID(ctx, c.userOf(account))
	if err != nil {
		return fmt.Errorf("bridge: failed to load the user: %w", err)
	}
	room, err := user.GetManagementRoom(ctx)
	if err != nil {
		return fmt.Errorf("bridge: failed to make the chat with the bot: %w", err)
	}
	return c.say(ctx, room, why, markdown)
}

// say writes a notice of the bot. cause may be nil if nothing repeats it.
func (c *Connector) say(ctx context.Context, room id.RoomID, cause *Cause, markdown string) error {
	if cause != nil {
		ctx = WithCause(ctx, cause)
	}
	content := format.RenderMarkdown(markdown, true, false)
	content.MsgType = event.MsgNotice
	if _, err := c.bridge.Bot.SendMessage(ctx, room, event.EventMessage, &event.Content{Parsed: &content}, nil); err != nil {
		return fmt.Errorf("bridge: failed to send a notice: %w", err)
	}
	return nil
}

// eventTime returns when an event happened.
func eventTime(e *client.Event) time.Time { return e.Time }
