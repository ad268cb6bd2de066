package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// leafLife is how long a leaf of one's own is good whose link nobody can open: as
// long as its certificate would be (docs/mmr-profile.md, section 2).
const leafLife = 30 * 24 * time.Hour

// hidden reports whether a leaf is one whose identity the members of the room do not
// see, as its policy allows: it has no entry in the table.
func (r *room) hidden(i mls.LeafIndex) bool {
	if r.plain() {
		return false
	}
	entry, there := r.public().Table().Key(i)
	return there && entry == nil
}

// ownMember describes a leaf whose link does not say who it is: because it has no
// entry, or a bad one. Who is behind an own leaf is known here all the same.
func (c *Client) ownMember(r *room, m *Member) *Member {
	if own, ok := r.ownAt(mls.LeafIndex(m.Index)); ok {
		m.User, m.NotAfter = own.Account, c.cfg.Clock.Now().Add(leafLife)
	}
	return m
}

// mayInvite fails unless an account may add people to a room under its policy.
func (r *room) mayInvite(own *Leaf) error {
	switch {
	case r.public().Policy().Requirement == identity.Forbidden:
		return ErrLinksOnly
	case r.hidden(mls.LeafIndex(own.Index)):
		// Whoever is added by somebody whom they cannot see leaves again.
		return ErrPseudonymous
	}
	return nil
}

// Loosen lets fewer members of a group show who they are: the requirement goes from
// all to admins to optional, and never back (docs/mmr-profile.md, section 6). Whoever
// was seen before is not forgotten by that. It fails with [identity.ErrPolicyChange]
// for any other change, and with [ErrDenied] for who is no administrator.
func (c *Client) Loosen(ctx context.Context, account, uri mimi.URI, requirement identity.LinkRequirement) error {
	return c.commit(ctx, uri, account, func(_ context.Context, r *room, own *Leaf) (*mls.CommitOptions, error) {
		if r.record.Kind == RoomConnection {
			return nil, ErrConnectionRoom
		}
		if r.plain() {
			return nil, ErrPlainRoom
		}
		next := r.public().Policy()
		if next.Requirement == requirement {
			return nil, fmt.Errorf("%w: it is so already", identity.ErrPolicyChange)
		}
		next.Requirement = requirement
		before := r.public().Policy()
		if err := before.CheckChange(&next); err != nil {
			return nil, err
		}
		tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
		if !ok {
			return nil, ErrNotMember
		}
		if !r.public().State().Holds(tbs.UserPseudonym, rules.CanChangeRoomMembershipStyle) {
			return nil, ErrDenied
		}
		if len(mmr.Leaving(r.proposed())) > 0 {
			return nil, &errAgain{removal: true}
		}
		data, err := mls.Marshal(&next)
		if err != nil {
			return nil, err
		}
		opts := &mls.CommitOptions{AllPending: true, Proposals: []mls.ProposalBody{&mls.AppDataUpdate{
			Component: identity.ComponentPolicy, Operation: mls.AppDataUpdateUpdate, Update: data,
		}}}
		return opts, c.resealMetadata(r, opts)
	})
}

// loosened tells of another requirement of the room's policy.
func (c *Client) loosened(ctx context.Context, r *room, before *mmr.Room, actor Person, accepted time.Time, t *told) error {
	requirement := r.public().Policy().Requirement
	if before.Policy().Requirement == requirement {
		return nil
	}
	return c.tell(ctx, t, &Event{Kind: EventPolicy, Time: accepted, Room: r.uri(), Actor: actor, Requirement: requirement})
}

// Identify shows the members of a room who an account is that has entered it under a
// pseudonym alone. It does nothing if they see that already.
func (c *Client) Identify(ctx context.Context, account, uri mimi.URI) error {
	hidden := false
	err := c.withRoom(ctx, uri, func(r *room) error {
		own, ok := r.own[account]
		if !ok {
			return ErrNotMember
		}
		if hidden = r.hidden(mls.LeafIndex(own.Index)); !hidden {
			return nil
		}
		if r.public().Policy().Requirement == identity.Forbidden {
			return ErrDenied
		}
		_, err := r.speaker(account)
		return err
	})
	if err != nil || !hidden {
		return err
	}
	if err := c.renewLeaf(ctx, uri, account, identified); err != nil {
		return err
	}
	c.spawn(func(ctx context.Context) { c.sendProfile(ctx, account, uri) })
	return nil
}

// JoinPseudonymously says yes to an invitation like [Client.Join], without showing
// the members who the account is. Where they see it already, because the room's
// policy wants it so, it fails with [ErrNotPseudonymous].
func (c *Client) JoinPseudonymously(ctx context.Context, account, uri mimi.URI) error {
	err := c.withRoom(ctx, uri, func(r *room) error {
		own, ok := r.own[account]
		switch {
		case !ok || own.State != LeafInvited:
			return ErrNotMember
		case !r.hidden(mls.LeafIndex(own.Index)):
			return ErrNotPseudonymous
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.accept(ctx, account, uri)
}

// SetRole makes a member of a group an administrator, or an ordinary member again. It
// does nothing for who is that already. It fails with [ErrOwnRole] for the account's own
// role; with [ErrAdminHides] where administrators have to show who they are, and the
// member does not; and with [ErrDenied] for who is no administrator. The user is named by
// address, or by pseudonym if the address is not known.
func (c *Client) SetRole(ctx context.Context, account, uri, user mimi.URI, admin bool) error {
	if err := c.openAll(ctx, uri); err != nil {
		return err
	}
	role := rules.RoleMember
	if admin {
		role = rules.RoleAdmin
	}
	err := c.commit(ctx, uri, account, func(_ context.Context, r *room, own *Leaf) (*mls.CommitOptions, error) {
		index, err := r.mayGetRole(own, user, role)
		if err != nil {
			return nil, err
		}
		if len(mmr.Leaving(r.proposed())) > 0 {
			return nil, &errAgain{removal: true}
		}
		opts := &mls.CommitOptions{AllPending: true}
		if err := r.propose(opts, rules.ParticipantListUpdate{Changed: []rules.RoleAssignment{{Index: index, Role: role}}}); err != nil {
			return nil, err
		}
		return opts, c.resealMetadata(r, opts)
	})
	return ignore(err, errSameRole)
}

// errSameRole reports a role that somebody has already.
var errSameRole = errors.New("client: the member has this role already")

// mayGetRole returns where a user stands in the participant list, or says why they do not
// get a role there. What is left is for the room's policy.
func (r *room) mayGetRole(own *Leaf, user mimi.URI, role uint32) (index uint32, err error) {
	if r.record.Kind == RoomConnection {
		return 0, ErrConnectionRoom
	}
	m, ok := r.memberOf(user)
	if !ok {
		return 0, ErrNotMember
	}
	index, ok = r.public().State().Find(m.UserPseudonym)
	if !ok {
		return 0, ErrNotMember
	}
	if r.public().State().Role(m.UserPseudonym) == role {
		return 0, errSameRole
	}
	if tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index)); ok && tbs.UserPseudonym == m.UserPseudonym {
		return 0, ErrOwnRole
	}
	if role == rules.RoleAdmin && r.public().Policy().Requirement == identity.RequireAdmins {
		for _, i := range r.public().LeavesOf(m.UserPseudonym) {
			if r.hidden(i) {
				return 0, ErrAdminHides
			}
		}
	}
	return index, nil
}
