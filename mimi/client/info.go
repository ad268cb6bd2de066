package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// A RoomInfo is what members see of a room.
type RoomInfo struct {
	Room mimi.URI
	Kind RoomKind
	// Name, Topic and Avatar are what members have said the room is. They are empty
	// in connection rooms; a room may have no avatar.
	Name, Topic string
	Avatar      *rules.Avatar
	// Requirement says whose identity the members see.
	Requirement identity.LinkRequirement
	// Plain says that the room is a plain one, in which hub and providers see who
	// takes part. Kind is RoomGroup then.
	Plain bool
	Epoch uint64
	// Members are kept, and shared by all who ask as long as nothing of them changes:
	// they are not to be written to.
	Members []RoomMember
	// Closed is how many leaves are not among Members yet, because their identity
	// links have not been opened: [EventOpened] tells of them.
	Closed int
}

// A RoomMember is a user of a room, with one leaf or more.
type RoomMember struct {
	Person
	// Client is the real client of the user's first leaf, or zero.
	Client mimi.URI
	// Admin says that the user may remove others.
	Admin bool
	// State of a local account's membership; zero for others.
	State LeafState
	// Expired says that the certificate of the user's client has ended.
	Expired bool
}

// Room returns what members see of a room. It fails with [ErrNotMember] if no
// account is in it.
func (c *Client) Room(ctx context.Context, uri mimi.URI) (*RoomInfo, error) {
	info := &RoomInfo{Room: uri}
	err := c.withRoom(ctx, uri, func(r *room) error {
		shown := r.shown()
		info.Kind, info.Name, info.Topic, info.Epoch = r.record.Kind, shown.Name, shown.Subject, r.group.Epoch()
		if info.Plain = r.plain(); info.Plain {
			info.Kind = RoomGroup
		}
		info.Requirement, info.Avatar = r.public().Policy().Requirement, nil
		if avatar, err := rules.ParseAvatar(shown.Avatar); err == nil {
			info.Avatar = avatar // one that would have to be fetched is not shown
		}
		info.Members, info.Closed = c.roomMembers(r), r.closed()
		return nil
	})
	if err != nil {
		return nil, err
	}
	return info, nil
}

// A roster is who was in a room when somebody asked, and what that follows from. It is
// made anew when one of these is another: each message asks who is in the room, and the
// answer is a long one in a large room.
type roster struct {
	members []RoomMember
	public  *mmr.Room
	own     map[mimi.URI]*Leaf // which are replaced and never written to
	// until is when the first of the certificates ends that have not yet; zero if none
	// does.
	until time.Time
}

// valid reports whether the members of a room are those of the roster. Without
// [room.roster] there is none: see [Client.putMember].
func (s *roster) valid(r *room, now time.Time) bool {
	return s != nil && s.public == r.public() && (s.until.IsZero() || !now.After(s.until)) && maps.Equal(s.own, r.own)
}

// roomMembers returns who is in a room.
func (c *Client) roomMembers(r *room) []RoomMember {
	now := c.cfg.Clock.Now()
	if !r.roster.valid(r, now) {
		r.roster = c.newRoster(r, now)
	}
	return r.roster.members
}

// newRoster makes a list of who is in a room.
func (c *Client) newRoster(r *room, now time.Time) *roster {
	s := &roster{public: r.public(), own: maps.Clone(r.own)}
	seen := map[mimi.URI]bool{}
	for _, i := range r.public().Leaves() {
		m, ok := r.members[i]
		if !ok || seen[m.UserPseudonym] {
			continue
		}
		seen[m.UserPseudonym] = true
		member := RoomMember{
			Person: c.personOf(r, m), Client: m.Client,
			Admin:   r.public().State().Role(m.UserPseudonym) == rules.RoleAdmin,
			Expired: !m.NotAfter.IsZero() && now.After(m.NotAfter),
		}
		if !m.NotAfter.IsZero() && !member.Expired && (s.until.IsZero() || m.NotAfter.Before(s.until)) {
			s.until = m.NotAfter
		}
		if l, ok := r.own[m.User]; ok && mls.LeafIndex(l.Index) == i {
			member.State = l.State
		}
		s.members = append(s.members, member)
	}
	s.members = slices.Clip(s.members)
	return s
}

// RoomsOf returns the rooms that an account is in, or invited to.
func (c *Client) RoomsOf(ctx context.Context, account mimi.URI) ([]*Leaf, error) {
	return c.cfg.Store.LeavesOf(ctx, account)
}

// Account returns a local account. It fails with [ErrNotFound].
func (c *Client) Account(ctx context.Context, user mimi.URI) (*Account, error) {
	a, err := c.cfg.Store.Account(ctx, user)
	if err != nil {
		return nil, err
	}
	a.Secret = nil
	return a, nil
}

// IdentityCA returns the provider's identity CA in PEM, and its keymaterial key,
// for the directory document.
func (c *Client) IdentityCA() (*identity.Authority, []identity.ProviderKey, error) {
	c.keys.mu.RLock()
	defer c.keys.mu.RUnlock()
	newest, ok := c.keys.tokens.Newest()
	if !ok || c.keys.authority == nil {
		return nil, nil, errors.New("client: not started")
	}
	return c.keys.authority, []identity.ProviderKey{newest}, nil
}
