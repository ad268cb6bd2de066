package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// A connection request is shown as an invitation to a room of the asker's ghost
// that is no portal and has no login in it, so that nothing but the person can
// join it. Joining accepts, and the room becomes the portal of the connection;
// leaving declines.
//
// In the order in which a crash is safe: make the room, which nobody sees yet;
// store its id; invite.

// asked shows a connection request.
func (c *Connector) asked(ctx context.Context, e *client.Event) error {
	if waiting, err := c.waits(ctx, e.Account, e.Request); err != nil || !waiting {
		return err // answered before it was shown
	}
	login, err := c.loginOf(ctx, e.Account)
	if err != nil {
		return err
	}
	if login == nil {
		// Nobody is told, as with every other request that is declined.
		return ignore(c.backend.Engine.Decline(ctx, e.Account, e.Request), client.ErrNoRequest)
	}
	g, err := c.ghost(ctx, mimi.URI{}, client.Person{User: e.Peer})
	if err != nil {
		return err
	}
	room, err := c.requestRoom(ctx, e, g)
	if err != nil {
		return err
	}
	members, err := c.bridge.Matrix.GetMembers(ctx, room)
	if err != nil {
		return fmt.Errorf("bridge: failed to read the members of a request's room: %w", err)
	}
	user := c.userOf(e.Account)
	if m := members[user]; m != nil && m.Membership.IsInviteOrJoin() {
		return nil
	}
	return c.invite(ctx, room, user, g.Intent, true, requestText(e))
}

// waits reports whether a request is still undecided.
func (c *Connector) waits(ctx context.Context, account mimi.URI, ref client.Ref) (bool, error) {
	requests, err := c.backend.Engine.Requests(ctx, account)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(requests, func(r *client.Request) bool { return r.Ref == ref }), nil
}

// requestText explains a request, in the places that an invitation shows.
func requestText(e *client.Event) string {
	if e.Plain {
		return consentRequestText(e)
	}
	return fmt.Sprintf("%s wants to talk to you. Join to accept: then you can write to each other, and add each other to groups. "+
		"Leave to decline: they are not told.", e.Peer.Handle())
}

// requestRoom returns the room of a request, and makes it if there is none.
func (c *Connector) requestRoom(ctx context.Context, e *client.Event, g *bridgev2.Ghost) (id.RoomID, error) {
	have, err := c.backend.Store.RequestRoom(ctx, e.Request)
	if err != nil {
		return "", err
	}
	room, bot := id.RoomID(have), c.bridge.Bot
	if room == "" {
		power := &event.PowerLevelsEventContent{Users: map[id.UserID]int{g.Intent.GetMXID(): powerNobody, bot.GetMXID(): powerNobody}}
		powerOverrides().Apply("", power)
		room, err = g.Intent.CreateRoom(ctx, &mautrix.ReqCreateRoom{
			Visibility: "private", Preset: "private_chat", IsDirect: true, PowerLevelOverride: power,
			Name: g.Name, Topic: requestText(e),
			InitialState: []*event.Event{{
				Type:    event.StateElementFunctionalMembers,
				Content: event.Content{Parsed: &event.ElementFunctionalMembersContent{ServiceMembers: []id.UserID{bot.GetMXID()}}},
			}},
		})
		if err != nil {
			return "", fmt.Errorf("bridge: failed to make a room for a request: %w", err)
		}
		if err := c.backend.Store.PutRequestRoom(ctx, e.Request, e.Account, e.Peer, string(room)); err != nil {
			return "", err
		}
	}
	if err := g.Intent.EnsureInvited(ctx, room, bot.GetMXID()); err != nil {
		return "", fmt.Errorf("bridge: failed to invite the bot: %w", err)
	}
	if err := bot.EnsureJoined(ctx, room); err != nil {
		return "", fmt.Errorf("bridge: failed to let the bot join: %w", err)
	}
	return room, nil
}

// requestMember answers a request whose recipient has joined or left its room.
func (c *Connector) requestMember(ctx context.Context, evt *event.Event) error {
	ref, account, err := c.requestIn(ctx, evt)
	if err != nil || account.IsZero() || id.UserID(evt.GetStateKey()) != c.userOf(account) {
		return err
	}
	switch evt.Content.AsMember().Membership {
	case event.MembershipJoin:
		return c.acceptIn(ctx, account, ref, evt.RoomID)
	case event.MembershipLeave, event.MembershipBan:
		return c.declineIn(ctx, account, ref, evt.RoomID)
	default:
		return nil
	}
}

// requestAnswer takes "accept" and "decline" as answers in a request's room.
func (c *Connector) requestAnswer(ctx context.Context, evt *event.Event) error {
	ref, account, err := c.requestIn(ctx, evt)
	if err != nil || account.IsZero() || evt.Sender != c.userOf(account) {
		return err
	}
	switch strings.ToLower(strings.TrimSpace(evt.Content.AsMessage().Body)) {
	case commandAccept:
		return c.acceptIn(ctx, account, ref, evt.RoomID)
	case commandDecline:
		return c.declineIn(ctx, account, ref, evt.RoomID)
	default:
		return c.say(ctx, evt.RoomID, NewCause(string(evt.RoomID), string(evt.ID)),
			"Nobody reads this yet: the two of you are not connected. Say `accept` or `decline`.")
	}
}

func (c *Connector) requestIn(ctx context.Context, evt *event.Event) (ref client.Ref, account mimi.URI, err error) {
	r, account, _, err := c.backend.Store.RequestIn(ctx, string(evt.RoomID))
	return r, account, err
}

// acceptIn accepts the request of a room. [Connector.connected] does the rest, or
// [Connector.consented].
func (c *Connector) acceptIn(ctx context.Context, account mimi.URI, ref client.Ref, room id.RoomID) error {
	_, err := c.backend.Engine.Accept(ctx, account, ref)
	if err == nil || errors.Is(err, client.ErrNoRequest) {
		return nil
	}
	return errors.Join(
		fmt.Errorf("bridge: failed to accept a request: %w", err),
		c.say(ctx, room, nil, "You are not connected yet. "+explain(err).String()+" Say `accept` here to try again, or `decline`."),
	)
}

// declineIn declines the request of a room, and closes the room. Nobody else is
// told.
func (c *Connector) declineIn(ctx context.Context, account mimi.URI, ref client.Ref, room id.RoomID) error {
	if err := ignore(c.backend.Engine.Decline(ctx, account, ref), client.ErrNoRequest); err != nil {
		return err
	}
	return c.closeRequest(ctx, account, ref, room)
}

// withdrawn takes back what was shown of a request that waits no more.
func (c *Connector) withdrawn(ctx context.Context, e *client.Event) error {
	room, err := c.backend.Store.RequestRoom(ctx, e.Request)
	if err != nil || room == "" {
		return err
	}
	return c.closeRequest(ctx, e.Account, e.Request, id.RoomID(room))
}

// closeRequest ends the room of a request that is decided.
func (c *Connector) closeRequest(ctx context.Context, account mimi.URI, ref client.Ref, room id.RoomID) error {
	members, err := c.bridge.Matrix.GetMembers(ctx, room)
	if err != nil {
		return fmt.Errorf("bridge: failed to read the members of a request's room: %w", err)
	}
	leave := func(user id.UserID, intent bridgev2.MatrixAPI) error {
		if m := members[user]; m == nil || !m.Membership.IsInviteOrJoin() {
			return nil
		}
		_, err := intent.SendState(ctx, room, event.StateMember, user.String(), &event.Content{
			Parsed: &event.MemberEventContent{Membership: event.MembershipLeave},
		}, time.Time{})
		if err != nil {
			return fmt.Errorf("bridge: failed to close a request's room: %w", err)
		}
		return nil
	}
	if err := leave(c.userOf(account), c.bridge.Bot); err != nil {
		return err
	}
	for user := range members {
		if ghost, ok := c.bridge.Matrix.ParseGhostMXID(user); ok {
			if err := leave(user, c.bridge.Matrix.GhostIntent(ghost)); err != nil {
				return err
			}
		}
	}
	if err := leave(c.bridge.Bot.GetMXID(), c.bridge.Bot); err != nil {
		return err
	}
	return c.backend.Store.DeleteRequestRoom(ctx, ref)
}

// connected shows a new connection as a direct chat. Who accepted it in the room
// of its request finds it there.
func (c *Connector) connected(ctx context.Context, e *client.Event) error {
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	source, err := c.logins(ctx, info)
	if errors.Is(err, errNobody) {
		return nil
	} else if err != nil {
		return err
	}
	ref, mxid, err := c.backend.Store.RequestOf(ctx, e.Account, e.Peer)
	if err != nil {
		return err
	}
	if mxid != "" {
		if err := c.adopt(ctx, source, info, id.RoomID(mxid)); err != nil {
			return err
		}
	}
	var room id.RoomID
	if err := c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		room = p.portal.MXID
		return c.settle(ctx, p, client.Person{User: e.Peer}, true)
	}); err != nil {
		return err
	}
	for mxid != "" {
		if id.RoomID(mxid) != room {
			err = c.closeRequest(ctx, e.Account, ref, id.RoomID(mxid)) // asked twice
		} else {
			err = c.backend.Store.DeleteRequestRoom(ctx, ref)
		}
		if err != nil {
			return err
		}
		if ref, mxid, err = c.backend.Store.RequestOf(ctx, e.Account, e.Peer); err != nil {
			return err
		}
	}
	return nil
}

// adopt makes a Matrix room the portal of a room, if that has none.
func (c *Connector) adopt(ctx context.Context, source *bridgev2.UserLogin, info *client.RoomInfo, room id.RoomID) error {
	portal, err := c.bridge.GetPortalByKey(ctx, c.key(info))
	if err != nil {
		return fmt.Errorf("bridge: failed to load the portal: %w", err)
	}
	if portal.MXID != "" {
		return nil
	}
	err = portal.UpdateMatrixRoomID(source.Log.WithContext(c.bridge.BackgroundCtx), room, bridgev2.UpdateMatrixRoomIDParams{FailIfMXIDSet: true})
	if err != nil && !errors.Is(err, bridgev2.ErrRoomAlreadyExists) {
		return fmt.Errorf("bridge: failed to make a room a portal: %w", err)
	}
	c.mark(ctx, source, portal.PortalKey)
	return c.unmanage(ctx, info, room)
}

// unmanage sees to it that a portal is nobody's management room. bridgev2 makes one of
// every room into which somebody invites the bot alone, and takes all that is said there for
// commands.
func (c *Connector) unmanage(ctx context.Context, info *client.RoomInfo, room id.RoomID) error {
	for _, m := range info.Members {
		if !m.Local || m.User.IsZero() {
			continue
		}
		login, err := c.loginOf(ctx, m.User)
		if err != nil {
			return err
		}
		if login == nil || login.User.ManagementRoom != room {
			continue
		}
		login.User.ManagementRoom = ""
		if err := c.bridge.DB.User.Update(ctx, login.User.User); err != nil {
			return fmt.Errorf("bridge: failed to save a user: %w", err)
		}
	}
	return nil
}
