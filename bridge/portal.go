package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// A place is a portal while nothing else happens in it.
type place struct {
	portal *bridgev2.Portal
	// info is the room as it is now.
	info *client.RoomInfo
	// source is a member's login.
	source *bridgev2.UserLogin
}

// key returns the key of a room's portal. A connection belongs to its one local
// member.
func (c *Connector) key(info *client.RoomInfo) networkid.PortalKey {
	if info.Kind != client.RoomConnection {
		return mimiid.MakePortalKey(info.Room, "")
	}
	for _, m := range info.Members {
		if m.Local {
			return mimiid.MakePortalKey(info.Room, mimiid.MakeUserLoginID(c.userOf(m.User)))
		}
	}
	return mimiid.MakePortalKey(info.Room, "")
}

// errNobody reports a room whose local members have no logins.
var errNobody = errors.New("bridge: no member of the room has a login")

// logins makes sure that all local members of a room have a login, and that
// bridgev2 knows that they are in the portal. It returns one of them, of a member
// who takes part if there is one.
func (c *Connector) logins(ctx context.Context, info *client.RoomInfo) (*bridgev2.UserLogin, error) {
	key := c.key(info)
	if _, err := c.bridge.GetPortalByKey(ctx, key); err != nil {
		return nil, fmt.Errorf("bridge: failed to load the portal: %w", err)
	}
	var source *bridgev2.UserLogin
	joined := false
	for _, m := range info.Members {
		if !m.Local || m.User.IsZero() {
			continue
		}
		login, err := c.loginOf(ctx, m.User)
		if err != nil {
			return nil, err
		}
		if login == nil {
			continue
		}
		c.mark(ctx, login, key)
		if source == nil || !joined && m.State == client.LeafJoined {
			source, joined = login, m.State == client.LeafJoined
		}
	}
	if source == nil {
		return nil, errNobody
	}
	return source, nil
}

// inPortal runs f in the portal of a room, which it makes if there is none, while
// bridgev2 handles no other event in it. info says which room is meant; f gets
// the room as it is by then. It does nothing if nobody here is in the room any
// more, or wants to be.
func (c *Connector) inPortal(ctx context.Context, info *client.RoomInfo, f func(ctx context.Context, p *place) error) error {
	source, err := c.logins(ctx, info)
	if errors.Is(err, errNobody) {
		return nil
	} else if err != nil {
		return err
	}
	if err := c.awaitCreation(ctx, c.key(info)); err != nil {
		return err
	}
	return c.locked(ctx, source, c.key(info), true, func(ctx context.Context, portal *bridgev2.Portal) error {
		now, err := c.backend.Engine.Room(ctx, info.Room)
		if errors.Is(err, client.ErrNotMember) {
			return nil
		} else if err != nil {
			return err
		}
		p := &place{portal, now, source}
		if err := c.disclose(ctx, p); err != nil {
			return err
		}
		return f(ctx, p)
	})
}

// locked runs f in a portal, while bridgev2 handles no other event in it. With
// create, it makes the portal's Matrix room if there is none; without, it does
// nothing then.
func (c *Connector) locked(_ context.Context, source *bridgev2.UserLogin, key networkid.PortalKey, create bool, f func(ctx context.Context, portal *bridgev2.Portal) error) error {
	var err error
	ran := false
	// An event of no type is only handled by its own function.
	result := c.queue(source, &simplevent.EventMeta{
		Type: bridgev2.RemoteEventUnknown, PortalKey: key, CreatePortal: create,
		PreHandleFunc: func(ctx context.Context, portal *bridgev2.Portal) {
			ran = true
			err = f(ctx, portal)
		},
	})
	switch {
	case err != nil:
		return err
	case !result.Success:
		return failed(result)
	case !ran && create:
		return errors.New("bridge: the portal was not made")
	default:
		return nil
	}
}

// queue hands an event to bridgev2, which handles it before this returns.
func (c *Connector) queue(source *bridgev2.UserLogin, evt bridgev2.RemoteEvent) bridgev2.EventHandlingResult {
	c.mark(c.bridge.BackgroundCtx, source, evt.GetPortalKey())
	return c.bridge.QueueRemoteEvent(source, evt)
}

// failed returns the error of a result that is no success.
func failed(result bridgev2.EventHandlingResult) error {
	if result.Error != nil {
		return fmt.Errorf("bridge: failed to handle an event: %w", result.Error)
	}
	return errors.New("bridge: failed to handle an event; bridgev2 has logged why")
}

// awaitCreation waits while somebody here is making rooms, if a portal has no
// Matrix room: that person may be about to give it one.
func (c *Connector) awaitCreation(ctx context.Context, key networkid.PortalKey) error {
	portal, err := c.bridge.GetPortalByKey(ctx, key)
	if err != nil {
		return fmt.Errorf("bridge: failed to load the portal: %w", err)
	}
	if portal.MXID == "" && !isCreating(ctx) {
		c.creating.Lock() // only the waiting counts
		defer c.creating.Unlock()
	}
	return nil
}

type creatingKey struct{}

// whileCreating runs f, during which rooms are made for somebody here.
func (c *Connector) whileCreating(ctx context.Context, f func(ctx context.Context) error) error {
	c.creating.RLock()
	defer c.creating.RUnlock()
	return f(context.WithValue(ctx, creatingKey{}, true))
}

func isCreating(ctx context.Context) bool {
	_, ok := ctx.Value(creatingKey{}).(bool)
	return ok
}

// GetChatInfo implements [bridgev2.NetworkAPI]. The list of members is empty on
// purpose: bridgev2 would let the double puppets of those join who are only
// invited, and not say when something fails. [Connector.settle] does it instead.
func (c *Client) GetChatInfo(ctx context.Context, portal *bridgev2.Portal) (*bridgev2.ChatInfo, error) {
	room, err := mimiid.ParsePortalID(portal.ID)
	if err != nil {
		return nil, err
	}
	info, err := c.main.backend.Engine.Room(ctx, room)
	if err != nil {
		return nil, err
	}
	out, err := c.main.chatInfo(ctx, info)
	if err == nil {
		addMetadata(out, info, portal)
	}
	return out, err
}

// settle brings a portal into the state of its room: name, members, power. It
// can be repeated at any time. invited are the local people who are to be
// invited, by actor; with fresh, all local members are.
func (c *Connector) settle(ctx context.Context, p *place, actor client.Person, fresh bool, invited ...mimi.URI) error {
	info, err := c.chatInfo(ctx, p.info)
	if err != nil {
		return err
	}
	addMetadata(info, p.info, p.portal)
	sender, err := c.intentOf(ctx, p, actor)
	if err != nil {
		return err
	}
	p.portal.UpdateInfo(ctx, info, c.joined(p), sender, time.Time{})
	members, err := c.bridge.Matrix.GetMembers(ctx, p.portal.MXID)
	if err != nil {
		return fmt.Errorf("bridge: failed to read the members of a portal: %w", err)
	}
	present := map[id.UserID]bool{}
	for _, m := range p.info.Members {
		if m.Local && !m.User.IsZero() {
			if !fresh && !slices.Contains(invited, m.User) {
				continue
			}
			if err := c.inviteLocal(ctx, p, m, members, sender); err != nil {
				return err
			}
			continue
		}
		g, err := c.ghost(ctx, p.info.Room, m.Person)
		if err != nil {
			return err
		}
		present[g.Intent.GetMXID()] = true
		if err := c.joinGhost(ctx, p, g, members, sender); err != nil {
			return err
		}
	}
	for user, member := range members {
		// Ghosts that are only invited are about to be added by who invited them.
		if c.bridge.IsGhostMXID(user) && member.Membership == event.MembershipJoin && !present[user] {
			if err := c.removeMember(ctx, p.portal.MXID, user, actor, sender); err != nil {
				return err
			}
		}
	}
	_, err = c.setPower(ctx, p.portal, p.info)
	return err
}

// joined returns the source of a place if that person takes part in the room, or
// nil. bridgev2 is not told of a source that is only invited: it forgets in which
// portals a login is when it makes a room, and would let the person's double
// puppet join.
func (c *Connector) joined(p *place) *bridgev2.UserLogin {
	login, ok := p.source.Client.(*Client)
	if ok && slices.ContainsFunc(p.info.Members, func(m client.RoomMember) bool {
		return m.User == login.account && m.State == client.LeafJoined
	}) {
		return p.source
	}
	return nil
}

// intentOf returns the account that a person acts with in Matrix, if the gateway
// can use it, and otherwise the bot's.
func (c *Connector) intentOf(ctx context.Context, p *place, actor client.Person) (bridgev2.MatrixAPI, error) {
	if actor.Local || actor.User.IsZero() {
		return c.bridge.Bot, nil
	}
	g, err := c.ghost(ctx, p.info.Room, actor)
	if err != nil {
		return nil, err
	}
	return g.Intent, nil
}

// joinGhost lets a ghost be in a portal.
func (c *Connector) joinGhost(ctx context.Context, p *place, g *bridgev2.Ghost, members map[id.UserID]*event.MemberEventContent, sender bridgev2.MatrixAPI) error {
	user := g.Intent.GetMXID()
	if m := members[user]; m != nil && m.Membership == event.MembershipJoin {
		return nil
	}
	if m := members[user]; (m == nil || m.Membership != event.MembershipInvite) && sender.GetMXID() != user && isJoined(members, sender) {
		// It is nicer to see who has added somebody, but not worth a failure: the
		// bot invites if nobody else has.
		if err := sender.EnsureInvited(ctx, p.portal.MXID, user); err != nil {
			c.log.DebugContext(ctx, "could not invite as the one who added", "err", err)
		}
	}
	if err := g.Intent.EnsureJoined(ctx, p.portal.MXID); err != nil {
		return fmt.Errorf("bridge: failed to let a ghost join: %w", err)
	}
	return nil
}

func isJoined(members map[id.UserID]*event.MemberEventContent, intent bridgev2.MatrixAPI) bool {
	m := members[intent.GetMXID()]
	return m != nil && m.Membership == event.MembershipJoin
}

// inviteLocal invites a local member to a portal, in the name of who added them.
// Who takes part in the MIMI room by an act of their own joins at once, if the
// gateway may act for them; who was only added never does.
func (c *Connector) inviteLocal(ctx context.Context, p *place, m client.RoomMember, members map[id.UserID]*event.MemberEventContent, sender bridgev2.MatrixAPI) error {
	user := c.userOf(m.User)
	if m.State == client.LeafLeaving {
		return nil
	}
	membership := event.MembershipLeave
	if have := members[user]; have != nil {
		membership = have.Membership
	}
	if membership != event.MembershipInvite && membership != event.MembershipJoin {
		if !isJoined(members, sender) && sender != c.bridge.Bot {
			if err := sender.EnsureJoined(ctx, p.portal.MXID); err != nil {
				return fmt.Errorf("bridge: failed to let a ghost join: %w", err)
			}
		}
		if err := c.invite(ctx, p.portal.MXID, user, sender, p.info.Kind == client.RoomConnection, invitationText(p.info)); err != nil {
			return err
		}
	}
	switch {
	case m.State == client.LeafInvited && membership == event.MembershipJoin:
		// Joined in Matrix before the invitation had come by way of MIMI.
		return c.backend.Engine.Join(ctx, m.User, p.info.Room)
	case m.State == client.LeafJoined && membership != event.MembershipJoin:
		return c.joinAs(ctx, p.portal.MXID, user)
	}
	return nil
}

// joinAs lets a person join a room who has said that they want to, if the gateway
// may act for them. Otherwise the invitation is there for them to accept.
func (c *Connector) joinAs(ctx context.Context, room id.RoomID, user id.UserID) error {
	u, err := c.bridge.GetUserByMXID(ctx, user)
	if err != nil {
		return fmt.Errorf("bridge: failed to load the user: %w", err)
	}
	puppet := u.DoublePuppet(ctx)
	if puppet == nil {
		return nil
	}
	if err := puppet.EnsureJoined(ctx, room); err != nil {
		c.log.WarnContext(ctx, "could not join as the person; the invitation stays", "err", err)
	}
	return nil
}

// invite invites a person, with a reason that clients may show.
func (c *Connector) invite(ctx context.Context, room id.RoomID, user id.UserID, sender bridgev2.MatrixAPI, direct bool, reason string) error {
	content := &event.MemberEventContent{Membership: event.MembershipInvite, IsDirect: direct, Reason: reason}
	_, err := sender.SendState(ctx, room, event.StateMember, user.String(), &event.Content{Parsed: content}, time.Time{})
	if errors.Is(err, mautrix.MForbidden) && sender != c.bridge.Bot {
		_, err = c.bridge.Bot.SendState(ctx, room, event.StateMember, user.String(), &event.Content{Parsed: content}, time.Time{})
	}
	if err != nil {
		return fmt.Errorf("bridge: failed to invite: %w", err)
	}
	return nil
}

// removeMember takes a user out of a room: by an act of their own if actor is the
// user, otherwise by sender's, or the bot's if sender may not.
func (c *Connector) removeMember(ctx context.Context, room id.RoomID, user id.UserID, actor client.Person, sender bridgev2.MatrixAPI) error {
	content := &event.MemberEventContent{Membership: event.MembershipLeave}
	if sender.GetMXID() != user {
		content.Reason = "Removed by " + c.nameOf(actor)
	}
	_, err := sender.SendState(ctx, room, event.StateMember, user.String(), &event.Content{Parsed: content}, time.Time{})
	if errors.Is(err, mautrix.MForbidden) && sender != c.bridge.Bot {
		_, err = c.bridge.Bot.SendState(ctx, room, event.StateMember, user.String(), &event.Content{Parsed: content}, time.Time{})
	}
	if err != nil {
		return fmt.Errorf("bridge: failed to remove a member: %w", err)
	}
	return nil
}
