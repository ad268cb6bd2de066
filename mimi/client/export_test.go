package client

import (
	"context"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// PutConnected stores a contact as if it had just been connected, with what it gave
// the account.
func (c *Client) PutConnected(ctx context.Context, account, peer mimi.URI, theirs connection.Keys) error {
	contact, secret, err := c.newContact(account, peer, ContactConnected)
	if err != nil {
		return err
	}
	secret.Theirs = &theirs
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error { return c.putContact(ctx, contact, secret) })
}

// Roster returns who is in a room, as everybody is told and made anew.
func (c *Client) Roster(ctx context.Context, uri mimi.URI) (told, anew []RoomMember, err error) {
	err = c.withRoom(ctx, uri, func(r *room) error {
		told, anew = c.roomMembers(r), c.newRoster(r, c.cfg.Clock.Now()).members
		return nil
	})
	return told, anew, err
}

// Refill is a schedule tick.
func (c *Client) Refill(ctx context.Context) error { return c.refillAll(ctx) }

// EachLeaf calls f for the leaf of each account in a room.
func (c *Client) EachLeaf(ctx context.Context, uri mimi.URI, f func(account mimi.URI, leaf *mls.LeafNode)) error {
	return c.withRoom(ctx, uri, func(r *room) error {
		for account, own := range r.own {
			if m, ok := r.group.View().Member(mls.LeafIndex(own.Index)); ok {
				f(account, m.Leaf)
			}
		}
		return nil
	})
}

// ProposeRole sends a change of a role as a proposal by itself, which other clients may
// do and this one does not.
func (c *Client) ProposeRole(ctx context.Context, account, uri, user mimi.URI, role uint32) error {
	return c.withRoom(ctx, uri, func(r *room) error {
		own, err := r.speaker(account)
		if err != nil {
			return err
		}
		m, ok := r.memberOf(user)
		if !ok {
			return ErrNotMember
		}
		index, _ := r.public().State().Find(m.UserPseudonym)
		update, err := rules.ParticipantListUpdate{Changed: []rules.RoleAssignment{{Index: index, Role: role}}}.Operation()
		if err != nil {
			return err
		}
		return c.proposeUpdate(ctx, r, own, update)
	})
}

// HelpMessage returns what a contact is answered who has lost a room.
func (c *Client) HelpMessage(ctx context.Context, uri mimi.URI) (message content.Message, err error) {
	err = c.withRoom(ctx, uri, func(r *room) error {
		message, err = c.helpMessage(r)
		return err
	})
	return message, err
}

// ProposeNoAdding sends a change of the roles by itself, after which nobody may add
// anybody.
func (c *Client) ProposeNoAdding(ctx context.Context, account, uri mimi.URI) error {
	return c.withRoom(ctx, uri, func(r *room) error {
		own, err := r.speaker(account)
		if err != nil {
			return err
		}
		roles := rules.Cooperative().Roles
		for i, role := range roles.Roles {
			roles.Roles[i].Capabilities = slices.DeleteFunc(slices.Clone(role.Capabilities), func(may rules.Capability) bool {
				return may == rules.CanAddParticipant
			})
		}
		data, err := wire.Marshal(&roles)
		if err != nil {
			return err
		}
		return c.proposeUpdate(ctx, r, own, rules.UpdateComponent{ID: rules.ComponentRolesList, Data: data})
	})
}

func (c *Client) proposeUpdate(ctx context.Context, r *room, own *Leaf, update rules.UpdateComponent) error {
	message, _, err := r.group.Propose(ctx, mls.LeafIndex(own.Index), &mls.AppDataUpdate{
		Component: mls.ComponentID(update.ID), Operation: mls.AppDataUpdateUpdate, Update: update.Data,
	}, mls.AuthenticatedData{})
	if err != nil {
		return err
	}
	if _, err := c.cfg.Hub.Update(ctx, r.uri(), &protocol.UpdateRequest{ProposalOrCommit: mls.MLSMessage{PublicMessage: message}}); err != nil {
		return err
	}
	return c.saveNow(ctx, r)
}

// InviteBadly adds somebody to a room with an entry that nobody can open.
func (c *Client) InviteBadly(ctx context.Context, account, uri, user mimi.URI) error {
	set, err := c.fetch(ctx, account, uri, user)
	if err != nil {
		return err
	}
	return c.commit(ctx, uri, account, func(_ context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
		opts, err := c.addition(r, set)
		if err != nil {
			return nil, err
		}
		wrong, err := identity.NewWrapperKey(r.suite, c.cfg.Random)
		if err != nil {
			return nil, err
		}
		wrong.Generation = r.public().Newest()
		var aad identity.AddAAD
		for _, kp := range set {
			key, err := wrong.Wrap(r.suite, r.public().GroupID(), &kp.Credential.PseudonymousCredentialTBS, kp.LinkKey, c.cfg.Random)
			if err != nil {
				return nil, err
			}
			aad.Keys = append(aad.Keys, key)
		}
		item, err := aad.SafeAADItem()
		opts.AAD = mls.AuthenticatedData{Safe: mls.SafeAAD{item}}
		return opts, err
	})
}

// InviteAgain adds somebody to a room who is in it already, under another pseudonym.
func (c *Client) InviteAgain(ctx context.Context, account, uri, user mimi.URI) error {
	set, err := c.fetch(ctx, account, uri, user)
	if err != nil {
		return err
	}
	return c.commit(ctx, uri, account, func(_ context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
		return c.addition(r, set)
	})
}

// ChangeKey gives an account another key, as if its client had been made anew.
func (c *Client) ChangeKey(ctx context.Context, user mimi.URI) error {
	account, err := c.cfg.Store.Account(ctx, user)
	if err != nil {
		return err
	}
	x, err := openAccount(account)
	if err != nil {
		return err
	}
	key, err := c.cfg.Suite.GenerateSignatureKey(c.cfg.Random)
	if err != nil {
		return err
	}
	x.seed, x.certificate = key.Seed(), nil
	if account.Secret, err = wire.Marshal(x); err != nil {
		return err
	}
	return c.cfg.Store.PutAccount(ctx, account)
}

// ReplaceCA gives the provider another identity CA at its next start.
func (c *Client) ReplaceCA(ctx context.Context) error {
	ca, err := identity.NewCA(identity.CAConfig{Suite: c.cfg.Suite, Domain: c.cfg.Domain, Clock: c.cfg.Clock, Random: c.cfg.Random})
	if err != nil {
		return err
	}
	b, err := wire.Marshal(&storedCA{ca.Key().Seed(), ca.Certificate()})
	if err != nil {
		return err
	}
	return c.cfg.Store.PutSecret(ctx, secretCA, b)
}

// EndContact is the first step of ending a connection, without the second.
func (c *Client) EndContact(ctx context.Context, account, peer mimi.URI, state ContactState) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		contact, secret, err := c.contact(ctx, account, peer)
		if err != nil {
			return err
		}
		return c.endContact(ctx, contact, secret, state)
	})
}

// IssuerIsDue reports whether the provider needs another key that issues upload tokens:
// the next maintenance makes it.
func (c *Client) IssuerIsDue() bool { return c.keys.issuer().Due(c.cfg.Clock.Now()) }
