package mls

import (
	"context"
	"fmt"
)

// ExternalOptions say how to join by an external Commit (RFC 9420, section
// 12.4.3.2).
type ExternalOptions struct {
	Leaf LeafParams
	// PSKs are injected in this order. Their nonces are set here.
	PSKs []PreSharedKeyID
	// Resync removes the old leaf of the same client.
	Resync *LeafIndex
	// Proposals are further ones, by value: AppDataUpdate and AppEphemeral are
	// allowed.
	Proposals []ProposalBody
	// SelfRemoves are the pending SelfRemoves that the hub handed out with the
	// GroupInfo; they have to be in the commit (draft-ietf-mls-extensions-09,
	// section "Proposal Description"). A group that has own leaves knows them
	// itself.
	SelfRemoves []*PublicMessage
	AAD         AuthenticatedData
	GroupInfo   GroupInfoFunc
}

// ExternalJoin makes a group from a GroupInfo, and an external Commit that joins
// it. Until that is merged, the group has no secrets. A tree that is passed in
// is used instead of the ratchet_tree extension; without either it fails with
// [ErrNoTree].
func ExternalJoin(ctx context.Context, cfg Config, gi *GroupInfo, tree *RatchetTree, opts ExternalOptions) (*Group, *PendingCommit, error) {
	c, err := cfg.complete(true)
	if err != nil {
		return nil, nil, err
	}
	st, err := stateFromGroupInfo(ctx, c, gi, tree)
	if err != nil {
		return nil, nil, err
	}
	pub, err := gi.Extensions.ExternalPub()
	if err != nil {
		return nil, nil, err
	}
	if pub == nil {
		return nil, nil, ErrExternalPub
	}
	g := newGroup(c, st)
	g.journal.context(st)
	g.journal.tree(st.tree, nil)
	for _, m := range opts.SelfRemoves {
		if err := g.takeSelfRemove(ctx, m); err != nil {
			return nil, nil, fmt.Errorf("pending SelfRemove: %w", err)
		}
	}
	p, err := g.external(ctx, pub, opts)
	if err != nil {
		return nil, nil, err
	}
	return g, p, nil
}

// takeSelfRemove validates a SelfRemove without its membership tag, which a
// joiner cannot check.
func (g *Group) takeSelfRemove(ctx context.Context, m *PublicMessage) error {
	if err := g.state.checkAddress(m.Content.GroupID, m.Content.Epoch); err != nil {
		return err
	}
	a, err := fromPublic(m)
	if err != nil {
		return err
	}
	if a.content.ContentType != ContentProposal || a.content.Proposal.Type() != ProposalSelfRemove {
		return fmt.Errorf("%w: not a SelfRemove", ErrExternalCommit)
	}
	_, err = g.acceptProposal(ctx, a, m.MembershipTag)
	return err
}

// ExternalCommit makes an external Commit for a further own leaf of a group that
// has own leaves already.
func (g *Group) ExternalCommit(ctx context.Context, opts ExternalOptions) (*PendingCommit, error) {
	switch {
	case g.pending != nil:
		return nil, ErrPendingCommit
	case g.reInit != nil || g.secrets == nil:
		return nil, ErrInactive
	}
	key, err := g.suite.DeriveHPKEKey(g.secrets.External)
	if err != nil {
		return nil, err
	}
	return g.external(ctx, key.Public(), opts)
}

func (g *Group) external(ctx context.Context, externalPub []byte, opts ExternalOptions) (*PendingCommit, error) {
	if err := g.checkSent(opts.Proposals); err != nil {
		return nil, err
	}
	kemOutput, init, err := g.suite.ExportTo(externalPub, externalInitLabel)
	if err != nil {
		return nil, err
	}
	list := []ProposalOrRef{{Proposal: &Proposal{&ExternalInit{kemOutput}}}}
	if opts.Resync != nil {
		list = append(list, ProposalOrRef{Proposal: &Proposal{&Remove{*opts.Resync}}})
	}
	for _, id := range opts.PSKs {
		fresh, err := g.freshPSK(id)
		if err != nil {
			return nil, err
		}
		list = append(list, ProposalOrRef{Proposal: &Proposal{&PreSharedKey{fresh}}})
	}
	for _, body := range opts.Proposals {
		list = append(list, ProposalOrRef{Proposal: &Proposal{body}})
	}
	for _, p := range g.proposals.order {
		c := &p.content.content
		if c.Proposal.Type() == ProposalSelfRemove && (opts.Resync == nil || c.Sender.Index != *opts.Resync) {
			list = append(list, ProposalOrRef{Reference: p.ref})
		}
	}
	leaf, err := opts.Leaf.leaf()
	if err != nil {
		return nil, err
	}
	m := &commitMaker{
		g: g, sender: Sender{Type: SenderNewMemberCommit}, signer: opts.Leaf.SignatureKey, newSigner: opts.Leaf.SignatureKey,
		leaf: leaf, init: init, info: opts.GroupInfo,
	}
	if m.prepared, err = g.state.prepare(ctx, g.cfg, &g.proposals, list, m.sender, leaf, true); err != nil {
		return nil, err
	}
	return m.make(ctx, list, opts.AAD, true)
}
