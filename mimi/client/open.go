package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

// prepare pins the identity CAs of domains, so that links can be opened in a
// transaction. A domain that does not answer is left out: its links stay closed.
func (c *Client) prepare(ctx context.Context, domains ...string) {
	for _, domain := range domains {
		if _, err := c.authority(ctx, domain); err != nil {
			c.cfg.Log.WarnContext(ctx, "identity CA is not known; links of this domain stay closed", "peer", domain, "err", err)
		}
	}
}

// domainsOf returns the providers of the leaves that a Commit brings.
func domainsOf(m *mls.PublicMessage) []string {
	var out []string
	note := func(leaf *mls.LeafNode) {
		if cred, err := mmr.ReadCredential(leaf.Credential); err == nil && !slices.Contains(out, cred.Domain()) {
			out = append(out, cred.Domain())
		}
	}
	commit := m.Content.Commit
	if commit == nil {
		return nil
	}
	for _, p := range commit.Proposals {
		if p.Proposal == nil {
			continue
		}
		if add, ok := p.Proposal.Body.(*mls.Add); ok {
			note(&add.KeyPackage.LeafNode)
		}
	}
	if commit.Path != nil {
		note(&commit.Path.LeafNode)
	}
	return out
}

// treeDomains returns the providers of all leaves of a tree.
func treeDomains(tree mls.RatchetTree) []string {
	var out []string
	for _, node := range tree {
		if node == nil || node.Leaf == nil {
			continue
		}
		if cred, err := mmr.ReadCredential(node.Leaf.Credential); err == nil && !slices.Contains(out, cred.Domain()) {
			out = append(out, cred.Domain())
		}
	}
	return out
}

// openLeaf opens the identity link of a leaf of the room. The member that it
// returns has no User if the link did not open: the leaf is in quarantine then, unless
// it is hidden.
func (c *Client) openLeaf(ctx context.Context, r *room, i mls.LeafIndex, at identity.Moment) (*Member, *identity.OpenedLink, error) {
	tree, ok := r.group.View().Member(i)
	tbs, known := r.public().Leaf(i)
	if !ok || !known {
		return nil, nil, fmt.Errorf("client: internal error: leaf %d is not in the room", i)
	}
	m := &Member{Room: r.uri(), Index: uint32(i), UserPseudonym: tbs.UserPseudonym, ClientPseudonym: tbs.ClientPseudonym}
	if r.hidden(i) {
		return c.hiddenMember(r, m), nil, nil
	}
	opened, err := c.openLink(ctx, r, tree.Leaf, i, at)
	if err == nil {
		err = r.contradiction(m, opened.User())
	}
	if err != nil {
		c.refused(ctx, "identity link does not open", err, "room", r.uri(), "leaf", i)
		return m, nil, nil
	}
	m.User, m.Client, m.NotAfter = opened.User(), opened.Client(), opened.Certificate().NotAfter()
	return m, opened, nil
}

func (c *Client) openLink(ctx context.Context, r *room, leaf *mls.LeafNode, i mls.LeafIndex, at identity.Moment) (*identity.OpenedLink, error) {
	if r.plain() {
		return c.openPlain(ctx, r, leaf, at)
	}
	entry, ok := r.public().Table().Key(i)
	if !ok || entry == nil {
		return nil, identity.ErrTable
	}
	cred, err := identity.ParseCredential(r.suite, leaf.Credential, leaf.SignatureKey)
	if err != nil {
		return nil, err
	}
	key, err := r.ring.Open(r.suite, r.public().GroupID(), &cred.PseudonymousCredentialTBS, entry)
	if err != nil {
		return nil, err
	}
	authority, err := c.known(ctx, cred.Domain())
	if err != nil {
		return nil, err
	}
	return identity.OpenLink(r.suite, cred, key, authority, at)
}

// contradiction fails if a newly opened member and one that is there cannot both
// be true: one user pseudonym is one person, and the other way round
// (docs/mmr-profile.md, section 1). Who was there first is believed.
func (r *room) contradiction(m *Member, user mimi.URI) error {
	for _, other := range r.members {
		switch {
		case other.Index == m.Index || other.User.IsZero():
		case other.UserPseudonym == m.UserPseudonym && other.User != user:
			return mimi.Refuse("pseudonym-two-people", identity.ErrTwoUsers)
		case other.UserPseudonym != m.UserPseudonym && other.User == user:
			return mimi.Refuse("person-two-pseudonyms", identity.ErrTwoPseudonyms)
		}
	}
	return nil
}

// putMember notes and stores a member.
func (c *Client) putMember(ctx context.Context, r *room, m *Member) error {
	r.members[mls.LeafIndex(m.Index)] = m
	return c.cfg.Store.PutMember(ctx, m)
}

// reopen tries the links again that did not open, for want of a provider's
// identity CA perhaps. It returns those that did.
func (c *Client) reopen(ctx context.Context, r *room) ([]*Member, error) {
	var out []*Member
	for i, m := range r.members {
		if !m.User.IsZero() || r.hidden(i) {
			continue
		}
		again, opened, err := c.openLeaf(ctx, r, i, identity.LeafInTree(c.cfg.Clock.Now()))
		if err != nil {
			return nil, err
		}
		if opened == nil {
			continue
		}
		again.CommittedBy = m.CommittedBy
		if err := c.putMember(ctx, r, again); err != nil {
			return nil, err
		}
		out = append(out, again)
	}
	return out, nil
}

// moment is when a new leaf's certificate has to be valid.
func (c *Client) moment(accepted time.Time) identity.Moment {
	return identity.NewLeaf(accepted, c.cfg.Clock.Now())
}
