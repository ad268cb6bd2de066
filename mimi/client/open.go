package client

import (
	"bytes"
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
		_, err := c.authority(ctx, domain)
		c.tries.note(domain, c.cfg.Clock.Now(), err)
		if err != nil {
			c.cfg.Log.WarnContext(ctx, "identity CA is not known; links of this domain stay closed", "peer", domain, "err", err)
		}
	}
}

// prepareAgain is prepare for leaves that were there before: it leaves out domains
// that have not answered just now.
func (c *Client) prepareAgain(ctx context.Context, domains ...string) {
	c.prepare(ctx, slices.DeleteFunc(domains, func(domain string) bool { return !c.tries.may(domain, c.cfg.Clock.Now()) })...)
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

// A sight is what came of opening the identity link of a leaf.
type sight struct {
	// member has no User if the link did not open, or is not there.
	member *Member
	// link is nil for a leaf without an entry, and for one in quarantine.
	link *identity.OpenedLink
	// failure is why the leaf is in quarantine, or nil.
	failure error
}

// openLeaf opens the identity link of a leaf of the room.
func (c *Client) openLeaf(ctx context.Context, r *room, i mls.LeafIndex, at identity.Moment) (sight, error) {
	tree, ok := r.group.View().Member(i)
	if !ok {
		return sight{}, fmt.Errorf("client: internal error: leaf %d is not in the group", i)
	}
	return c.openNode(ctx, r, i, tree.Leaf, at)
}

// openNode is openLeaf for a leaf as it was before a commit.
func (c *Client) openNode(ctx context.Context, r *room, i mls.LeafIndex, leaf *mls.LeafNode, at identity.Moment) (sight, error) {
	tbs, known := r.public().Leaf(i)
	if !known {
		return sight{}, fmt.Errorf("client: internal error: leaf %d is not in the room", i)
	}
	m := &Member{Room: r.uri(), Index: uint32(i), UserPseudonym: tbs.UserPseudonym, ClientPseudonym: tbs.ClientPseudonym}
	if r.hidden(i) {
		return sight{member: c.ownMember(r, m)}, nil
	}
	opened, err := c.openLink(ctx, r, leaf, i, at)
	if err == nil {
		err = r.contradiction(m, opened.User())
	}
	if err != nil {
		c.refused(ctx, "identity link does not open", err, "room", r.uri(), "leaf", i)
		return sight{member: c.ownMember(r, m), failure: err}, nil
	}
	m.User, m.Client, m.NotAfter = opened.User(), opened.Client(), opened.Certificate().NotAfter()
	return sight{member: m, link: opened}, nil
}

// see stores what came of opening a link. How a leaf has come matters if it is in
// quarantine, and was not before.
func (c *Client) see(ctx context.Context, r *room, s sight, how arrival, t *told) error {
	if err := c.noteKey(ctx, r, s.link, t); err != nil {
		return err
	}
	if s.failure == nil {
		r.release(mls.LeafIndex(s.member.Index))
	} else {
		waited := r.waiting()
		r.quarantine(s.member, s.failure, how, c.cfg.Clock.Now())
		if uri := r.uri(); !waited && r.waiting() {
			t.then(func(context.Context) { c.reachLater(uri, triesApart) })
		}
		c.suspect(s.failure, s.member.UserPseudonym.Domain, t)
	}
	if old := r.members[mls.LeafIndex(s.member.Index)]; old == nil || old.ClientPseudonym != s.member.ClientPseudonym {
		if err := c.alertShared(ctx, r, s.member, t); err != nil {
			return err
		}
	}
	return c.putMember(ctx, r, s.member)
}

func (c *Client) openLink(ctx context.Context, r *room, leaf *mls.LeafNode, i mls.LeafIndex, at identity.Moment) (*identity.OpenedLink, error) {
	if tbs, ok := r.public().Leaf(i); ok {
		if link := r.inspected[tbs.ClientPseudonym]; link != nil && bytes.Equal(link.Pseudonyms().SignaturePublicKey, leaf.SignatureKey) {
			return link, nil // opened before it was joined
		}
	}
	link, err := c.openNew(ctx, r, leaf, i, at)
	c.cfg.Metrics.Link(err == nil)
	return link, err
}

// openNew is openLink for a link that was not opened before.
func (c *Client) openNew(ctx context.Context, r *room, leaf *mls.LeafNode, i mls.LeafIndex, at identity.Moment) (*identity.OpenedLink, error) {
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

// people are the opened members of a room by what may not contradict: one leaf for
// each.
type people struct {
	byPseudonym, byUser map[mimi.URI]*Member
}

func (p *people) add(m *Member) {
	if m.User.IsZero() {
		return
	}
	if p.byPseudonym[m.UserPseudonym] == nil {
		p.byPseudonym[m.UserPseudonym] = m
	}
	if p.byUser[m.User] == nil {
		p.byUser[m.User] = m
	}
}

// others returns who is in the room beside a leaf. It is kept as long as members are
// only added.
func (r *room) others(i mls.LeafIndex) *people {
	known := r.members[i] != nil
	if r.people != nil && !known {
		return r.people
	}
	p := &people{map[mimi.URI]*Member{}, map[mimi.URI]*Member{}}
	for j, m := range r.members {
		if j != i && r.quarantined[j] == nil {
			p.add(m)
		}
	}
	if r.people = nil; !known {
		r.people = p
	}
	return p
}

// contradiction fails if a newly opened member and one that is there cannot both
// be true: one user pseudonym is one person, and the other way round
// (docs/mmr-profile.md, section 1). Who was opened first is believed.
func (r *room) contradiction(m *Member, user mimi.URI) error {
	others := r.others(mls.LeafIndex(m.Index))
	if other := others.byPseudonym[m.UserPseudonym]; other != nil && other.User != user {
		return mimi.Refuse("pseudonym-two-people", identity.ErrTwoUsers)
	}
	if other := others.byUser[user]; other != nil && other.UserPseudonym != m.UserPseudonym {
		return mimi.Refuse("person-two-pseudonyms", identity.ErrTwoPseudonyms)
	}
	return nil
}

// putMember notes and stores a member.
func (c *Client) putMember(ctx context.Context, r *room, m *Member) error {
	i := mls.LeafIndex(m.Index)
	switch {
	case r.members[i] != nil:
		r.people = nil
	case r.people != nil && r.quarantined[i] == nil:
		r.people.add(m)
	}
	r.members[i], r.roster = m, nil
	return c.cfg.Store.PutMember(ctx, m)
}

// dropMember forgets a leaf that is gone.
func (c *Client) dropMember(ctx context.Context, r *room, i mls.LeafIndex) error {
	r.release(i)
	if r.members[i] == nil {
		return nil
	}
	r.people, r.roster = nil, nil
	delete(r.members, i)
	return c.cfg.Store.DeleteMember(ctx, r.uri(), uint32(i))
}

// reopen tries links again that did not open: those that wait for the identity CA of
// their provider, or all. It returns who has got a name.
func (c *Client) reopen(ctx context.Context, r *room, all bool, t *told) (opened []Person, err error) {
	for _, q := range r.unknown() {
		if !all && q.marks&markNoCA == 0 {
			continue // it does not change by waiting
		}
		s, err := c.openLeaf(ctx, r, q.leaf, identity.LeafInTree(c.cfg.Clock.Now()))
		if err != nil {
			return nil, err
		}
		if old := r.members[q.leaf]; old != nil {
			s.member.CommittedBy = old.CommittedBy
		}
		if err := c.see(ctx, r, s, arrival{}, t); err != nil {
			return nil, err
		}
		if s.failure == nil {
			opened = append(opened, c.personOf(r, s.member))
		}
	}
	return opened, nil
}

// moment is when a new leaf's certificate has to be valid.
func (c *Client) moment(accepted time.Time) identity.Moment {
	return identity.NewLeaf(accepted, c.cfg.Clock.Now())
}
