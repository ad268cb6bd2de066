package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// unverifiedMark is shown behind the pseudonym of members whose identity is not known.
const unverifiedMark = " (unverified)"

// ghostID returns the id under which bridgev2 knows a person in a room. Local
// people have one too: it stands for them in bridgev2's tables, and never becomes
// a Matrix account.
func (c *Connector) ghostID(ctx context.Context, room mimi.URI, p client.Person) (networkid.UserID, error) {
	fresh, err := mimiid.NewGhostID(rand.Reader)
	if err != nil {
		return "", err
	}
	user := p.User
	if user.IsZero() {
		user = p.Pseudonym
	} else {
		room = mimi.URI{}
	}
	ghost, err := c.backend.Store.Ghost(ctx, room, user, string(fresh))
	return networkid.UserID(ghost), err
}

// personID is ghostID for a person whose address is known.
func (c *Connector) personID(ctx context.Context, user mimi.URI) (networkid.UserID, error) {
	return c.ghostID(ctx, mimi.URI{}, client.Person{User: user})
}

// ghost returns the ghost of a remote person, with a name.
func (c *Connector) ghost(ctx context.Context, room mimi.URI, p client.Person) (*bridgev2.Ghost, error) {
	ghostID, err := c.ghostID(ctx, room, p)
	if err != nil {
		return nil, err
	}
	g, err := c.bridge.GetGhostByID(ctx, ghostID)
	if err != nil {
		return nil, fmt.Errorf("bridge: failed to load a ghost: %w", err)
	}
	if g.Name == "" || !g.NameSet {
		return g, c.nameGhost(ctx, g, p, toldName(g))
	}
	return g, nil
}

// ghostUser returns the address of the person whose ghost an id is. It is zero if
// that is not known.
func (c *Connector) ghostUser(ctx context.Context, ghost networkid.UserID) (mimi.URI, error) {
	room, user, err := c.backend.Store.GhostOwner(ctx, string(ghost))
	if err != nil || !room.IsZero() {
		return mimi.URI{}, err
	}
	return user, nil
}

// toldName returns the name that a person has told groups.
func toldName(g *bridgev2.Ghost) string {
	if meta, ok := g.Metadata.(*mimiid.GhostMetadata); ok {
		return meta.Name
	}
	return ""
}

// shownName returns what people see: the name that a person told, with the
// address that was verified; nobody can take another person's place by a name.
func shownName(user mimi.URI, told string) string {
	if told == "" {
		return user.Handle()
	}
	return told + " (" + user.Handle() + ")"
}

// personName is shownName of somebody in a room, who may be known by a pseudonym
// alone: then no name that they have told counts.
func personName(p client.Person, told string) string {
	if p.User.IsZero() {
		return p.Pseudonym.Handle() + unverifiedMark
	}
	return shownName(p.User, told)
}

// errName reports a homeserver that did not take a ghost's name.
var errName = errors.New("bridge: the homeserver did not take the name of a ghost")

// nameGhost sets the profile of a ghost, which everybody on the homeserver can
// see who shares a room with it. told must be a name that the person has told a
// group: what one person here knows from a direct chat is not for the others.
func (c *Connector) nameGhost(ctx context.Context, g *bridgev2.Ghost, p client.Person, told string) error {
	name := personName(p, told)
	g.UpdateInfo(ctx, &bridgev2.UserInfo{
		Name: &name,
		ExtraUpdates: func(_ context.Context, g *bridgev2.Ghost) bool {
			meta, ok := g.Metadata.(*mimiid.GhostMetadata)
			if !ok || meta.Name == told {
				return false
			}
			meta.Name = told
			return true
		},
	})
	if !g.NameSet {
		return errName
	}
	return nil
}

// GetUserInfo implements [bridgev2.NetworkAPI].
func (c *Client) GetUserInfo(ctx context.Context, g *bridgev2.Ghost) (*bridgev2.UserInfo, error) {
	room, user, err := c.main.backend.Store.GhostOwner(ctx, string(g.ID))
	if err != nil {
		return nil, err
	}
	p := client.Person{User: user}
	if !room.IsZero() {
		p = client.Person{Pseudonym: user}
	}
	name := personName(p, toldName(g))
	return &bridgev2.UserInfo{Name: &name}, nil
}

// named shows the name that a person has told a room.
func (c *Connector) named(ctx context.Context, e *client.Event) error {
	if e.Actor.Local || e.Actor.User.IsZero() {
		return nil
	}
	info, err := c.backend.Engine.Room(ctx, e.Room)
	if errors.Is(err, client.ErrNotMember) {
		return nil
	} else if err != nil {
		return err
	}
	if info.Kind == client.RoomGroup {
		g, err := c.ghost(ctx, e.Room, e.Actor)
		if err != nil {
			return err
		}
		return c.nameGhost(ctx, g, e.Actor, e.Name)
	}
	return c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		return c.nameInChat(ctx, p, e.Actor, e.Name)
	})
}

// nameInChat shows a person's name in a direct chat alone: in the chat's name,
// and on the ghost's membership.
func (c *Connector) nameInChat(ctx context.Context, p *place, person client.Person, told string) error {
	g, err := c.ghost(ctx, p.info.Room, person)
	if err != nil {
		return err
	}
	name := personName(person, told)
	if err := g.Intent.EnsureJoined(ctx, p.portal.MXID); err != nil {
		return fmt.Errorf("bridge: failed to let a ghost join: %w", err)
	}
	member, err := c.bridge.Matrix.GetMemberInfo(ctx, p.portal.MXID, g.Intent.GetMXID())
	if err != nil {
		return fmt.Errorf("bridge: failed to read a membership: %w", err)
	}
	if member == nil || member.Displayname != name {
		_, err := g.Intent.SendState(ctx, p.portal.MXID, event.StateMember, g.Intent.GetMXID().String(), &event.Content{
			Parsed: &event.MemberEventContent{Membership: event.MembershipJoin, Displayname: name},
		}, time.Time{})
		if err != nil {
			return fmt.Errorf("bridge: failed to show a name: %w", err)
		}
	}
	p.portal.UpdateInfo(ctx, &bridgev2.ChatInfo{Name: &name}, nil, g.Intent, time.Time{})
	return nil
}

// appears returns the Matrix user that stands for a person in a room: their own
// account, or a ghost.
func (c *Connector) appears(ctx context.Context, room mimi.URI, p client.Person) (id.UserID, error) {
	if p.Local && !p.User.IsZero() {
		return c.userOf(p.User), nil
	}
	ghostID, err := c.ghostID(ctx, room, p)
	if err != nil {
		return "", err
	}
	return c.bridge.Matrix.FormatGhostMXID(ghostID), nil
}

// nameOf returns how a person is called in notices.
func (c *Connector) nameOf(p client.Person) string {
	switch {
	case !p.User.IsZero():
		return p.User.Handle()
	case !p.Pseudonym.IsZero():
		return p.Pseudonym.Handle() + unverifiedMark
	default:
		return "somebody"
	}
}
