package client

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// Invite adds a person to a group: a contact of the account, or another account
// here. It fails with [ErrAlreadyMember] if they are in it, unless the account has added
// them a short while ago and was not told so.
func (c *Client) Invite(ctx context.Context, account, uri, user mimi.URI) error {
	if err := c.withRoom(ctx, uri, func(r *room) error {
		if own, err := r.speaker(account); err == nil {
			return r.mayInvite(own)
		}
		return nil // the commit says why not
	}); err != nil {
		return err
	}
	// Only who knows everybody knows that the person is not there.
	if err := c.openAll(ctx, uri); err != nil {
		return err
	}
	// No set is fetched in vain.
	if err := c.withRoom(ctx, uri, func(r *room) error {
		if _, err := r.speaker(account); err != nil {
			return nil // to who is not in the room nobody is
		}
		return c.notThere(ctx, r, account, user)
	}); err != nil {
		return ignore(err, errAdded)
	}
	if plain, err := c.isPlain(ctx, uri); err != nil {
		return err
	} else if plain {
		return c.invitePlain(ctx, account, uri, user)
	}
	set, err := c.fetch(ctx, account, uri, user)
	if err != nil {
		return err
	}
	for range c.cfg.Limits.Attempts {
		var made *identity.Generation // that of the last attempt
		err = c.commit(ctx, uri, account, func(ctx context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
			if err := c.notThere(ctx, r, account, user); err != nil {
				return nil, err
			}
			newest := r.public().Newest()
			if made != nil && *made != newest {
				return nil, errRotated
			}
			made = &newest
			return c.addition(r, set)
		})
		if !errors.Is(err, errRotated) {
			return ignore(err, errAdded)
		}
		// The wrapper key was rotated by the commit that won: the set was shown to
		// the hub already, and is not used again (docs/mmr-profile.md, section 3,
		// "Conflicts").
		if set, err = c.fetch(ctx, account, uri, user); err != nil {
			return err
		}
	}
	return ErrBusy
}

// errRotated reports that the wrapper key changed between two attempts to add
// somebody.
var errRotated = errors.New("client: the wrapper key was rotated")

// addition is the commit that adds a set of KeyPackages.
func (c *Client) addition(r *room, set []keymaterial.Checked) (*mls.CommitOptions, error) {
	if len(mmr.Leaving(r.proposed())) > 0 {
		return nil, &errAgain{removal: true}
	}
	opts := &mls.CommitOptions{AllPending: true}
	var aad identity.AddAAD
	policy := r.public().Policy()
	for _, kp := range set {
		// Where it may be absent, it is for the invited to say who they are.
		var key *identity.EncryptedIdentityLinkKey
		if policy.RequiresEntry(false) {
			var err error
			if key, err = r.ring.Newest().Wrap(r.suite, r.public().GroupID(), &kp.Credential.PseudonymousCredentialTBS, kp.LinkKey, c.cfg.Random); err != nil {
				return nil, err
			}
		}
		aad.Keys = append(aad.Keys, key)
		opts.Proposals = append(opts.Proposals, &mls.Add{KeyPackage: *kp.KeyPackage})
	}
	update := rules.ParticipantListUpdate{Added: []rules.Participant{{User: set[0].Credential.UserPseudonym, Role: rules.RoleMember}}}
	if err := r.propose(opts, update); err != nil {
		return nil, err
	}
	item, err := aad.SafeAADItem()
	if err != nil {
		return nil, err
	}
	opts.AAD = mls.AuthenticatedData{Safe: mls.SafeAAD{item}}
	return opts, c.resealMetadata(r, opts)
}

// propose puts a change of the participant list into a commit.
func (r *room) propose(opts *mls.CommitOptions, update rules.ParticipantListUpdate) error {
	op, err := update.Operation()
	if err != nil {
		return err
	}
	opts.Proposals = append(opts.Proposals, &mls.AppDataUpdate{
		Component: mls.ComponentID(op.ID), Operation: mls.AppDataUpdateUpdate, Update: op.Data,
	})
	return nil
}

// Kick removes a person from a group.
func (c *Client) Kick(ctx context.Context, account, uri, user mimi.URI) error {
	if err := c.openAll(ctx, uri); err != nil {
		return err
	}
	if err := c.awaitRenewals(ctx, uri); err != nil {
		return err
	}
	return c.commit(ctx, uri, account, func(_ context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
		m, ok := r.memberOf(user)
		if !ok {
			return nil, ErrNotMember
		}
		return r.removal(m.UserPseudonym)
	})
}

// evict removes the user of a leaf that has no business in a room: who joined a
// connection room without being the person asked.
func (c *Client) evict(ctx context.Context, uri, account mimi.URI, leaf mls.LeafIndex) {
	err := c.commit(ctx, uri, account, func(_ context.Context, r *room, _ *Leaf) (*mls.CommitOptions, error) {
		tbs, ok := r.public().Leaf(leaf)
		if !ok {
			return nil, ErrNotMember
		}
		return r.removal(tbs.UserPseudonym)
	})
	if err != nil && !errors.Is(err, ErrNotMember) {
		c.cfg.Log.WarnContext(ctx, "could not remove a leaf", "room", uri, "err", err)
	}
}

// removal is the commit that removes all leaves of a user.
func (r *room) removal(pseudonym mimi.URI) (*mls.CommitOptions, error) {
	opts := &mls.CommitOptions{AllPending: true}
	leaving := mmr.Leaving(r.proposed())
	for _, leaf := range r.public().LeavesOf(pseudonym) {
		if slices.Contains(leaving, leaf) {
			continue // pending already, by reference
		}
		opts.Proposals = append(opts.Proposals, &mls.Remove{Removed: leaf})
	}
	if len(opts.Proposals) == 0 {
		return opts, nil
	}
	index, ok := r.public().State().Find(pseudonym)
	if !ok {
		return nil, ErrNotMember
	}
	return opts, r.propose(opts, rules.ParticipantListUpdate{Removed: []uint32{index}})
}

// proposed returns what is pending in the room's group.
func (r *room) proposed() []mmr.Proposed {
	var out []mmr.Proposed
	for _, p := range r.group.PendingProposals() {
		out = append(out, mmr.Proposed{Proposal: p.Proposal, Sender: p.Sender})
	}
	return out
}

// Join says yes to an invitation. In a room whose members need not show who they are
// it shows who the account is; [Client.JoinPseudonymously] does not.
func (c *Client) Join(ctx context.Context, account, uri mimi.URI) error {
	if err := c.accept(ctx, account, uri); err != nil {
		return err
	}
	return ignore(c.Identify(ctx, account, uri), ErrDenied)
}

// accept says yes to an invitation.
func (c *Client) accept(ctx context.Context, account, uri mimi.URI) error {
	err := c.withRoom(ctx, uri, func(r *room) error {
		l, ok := r.own[account]
		switch {
		case !ok || l.State == LeafLeaving:
			return ErrNotMember
		case l.State == LeafJoined:
			return nil
		}
		joined := *l
		joined.State = LeafJoined
		if err := c.cfg.Store.PutLeaf(ctx, &joined); err != nil {
			return err
		}
		r.own[account] = &joined
		c.openInBackground(r)
		return nil
	})
	if err == nil {
		c.showOwn(ctx, uri) // before it commits anything else
		c.spawn(func(ctx context.Context) { c.sendProfile(ctx, account, uri) })
		c.planRemovals(ctx, uri) // it may commit them now
	}
	return err
}

// planRemovals decides when this gateway commits the removals that are pending in
// a room: at once if it has the lowest leaf of those who stay, else later, to
// leave it to others (docs/mmr-profile.md, section 3).
func (c *Client) planRemovals(ctx context.Context, uri mimi.URI) {
	wait, pending := time.Duration(0), false
	err := c.withRoom(ctx, uri, func(r *room) error {
		leaving := mmr.Leaving(r.proposed())
		if len(leaving) == 0 {
			return nil
		}
		rank := 0
		for _, i := range r.public().Leaves() {
			switch {
			case slices.Contains(leaving, i):
			case r.committer(i) != nil:
				pending = true
				if len(r.former) == 0 { // accounts that join anew wait for nothing else
					wait = min(time.Duration(rank)*c.cfg.Limits.RemovalStep, c.cfg.Limits.MaxRemoval)
				}
				return nil
			default:
				rank++
			}
		}
		return nil
	})
	if err == nil && pending {
		c.later(uri, wait, c.commitRemovals)
	}
}

// committer returns the own leaf at an index, if it may commit.
func (r *room) committer(i mls.LeafIndex) *Leaf {
	for _, l := range r.own {
		if mls.LeafIndex(l.Index) == i && l.State == LeafJoined {
			return l
		}
	}
	return nil
}

// commitRemovals commits the removals that are pending in a room, if they still
// are.
func (c *Client) commitRemovals(ctx context.Context, uri mimi.URI) {
	if err := c.awaitRenewals(ctx, uri); err != nil {
		return // nobody here is in the room, or everything ends
	}
	err := c.withRoom(ctx, uri, func(r *room) error {
		if err := c.settleRoom(ctx, r); err != nil {
			return err
		}
		leaving := mmr.Leaving(r.proposed())
		if len(leaving) == 0 {
			return nil
		}
		for _, i := range r.public().Leaves() {
			own := r.committer(i)
			if own != nil && !slices.Contains(leaving, i) {
				return c.commitPending(ctx, r, own)
			}
		}
		return nil
	})
	if _, again := errors.AsType[*errAgain](err); again || err == nil || ctx.Err() != nil {
		return // another member was first, and its commit is on its way
	}
	c.cfg.Log.WarnContext(ctx, "could not commit a removal", "room", uri, "err", err)
}
