package mls

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Result is what a processed message was. Exactly one field is set.
type Result struct {
	Commit      *CommitResult
	Proposal    *ProposalResult
	Application *ApplicationMessage
}

// A CommitResult is a commit that took effect.
type CommitResult struct {
	CommitView
	Epoch uint64 // the new one
	// Own says that it was the pending commit.
	Own bool
	// OwnRemoved are own leaves that the commit removed; their keys are gone.
	OwnRemoved []LeafIndex
	// Active says that there are own leaves left and the group goes on. If not,
	// all secrets are gone.
	Active bool
	// DiscardedPending says that a pending commit was overtaken and dropped.
	DiscardedPending bool
}

// A ProposalResult is a proposal that was stored for a commit.
type ProposalResult struct {
	Ref               ProposalRef
	Sender            Sender
	Proposal          *Proposal
	AuthenticatedData AuthenticatedData
}

// An ApplicationMessage is a decrypted message.
type ApplicationMessage struct {
	Epoch             uint64
	Sender            LeafIndex
	SenderLeaf        *LeafNode // in the epoch of the message
	Generation        uint32
	AuthenticatedData AuthenticatedData
	Data              []byte

	framing framing // of the epoch of the message
}

// Process verifies a PublicMessage or PrivateMessage and lets it take effect. If
// it fails, the group is exactly as before. The own pending commit, when it
// comes back, is merged.
func (g *Group) Process(ctx context.Context, m *MLSMessage) (*Result, error) {
	switch {
	case m.PublicMessage != nil:
		return g.processPublic(ctx, m.PublicMessage)
	case m.PrivateMessage != nil:
		return g.processPrivate(ctx, m.PrivateMessage)
	}
	return nil, fmt.Errorf("%w: 0x%04x is no message within a group", ErrWireFormat, uint16(m.WireFormat()))
}

func (g *Group) processPublic(ctx context.Context, m *PublicMessage) (*Result, error) {
	if err := g.state.checkAddress(m.Content.GroupID, m.Content.Epoch); err != nil {
		return nil, err
	}
	if own, err := g.isPending(m); err != nil {
		return nil, err
	} else if own {
		r, err := g.Merge(ctx)
		return &Result{Commit: r}, err
	}
	if err := g.receiving(); err != nil {
		return nil, err
	}
	a, err := fromPublic(m)
	if err != nil {
		return nil, err
	}
	if a.content.Sender.Type == SenderMember {
		// RFC 9420, sections 6.2: 2; 12.4.2: 2
		if err := a.verifyMembership(g.suite, m.MembershipTag, g.secrets.Membership, g.state.encoded); err != nil {
			return nil, err
		}
	}
	return g.handshake(ctx, a, m.MembershipTag)
}

// isPending reports whether m is the own pending commit.
func (g *Group) isPending(m *PublicMessage) (bool, error) {
	if g.pending == nil {
		return false, nil
	}
	b, err := wire.Marshal(m)
	return bytes.Equal(b, g.pending.message), err
}

func (g *Group) receiving() error {
	switch {
	case g.secrets == nil && g.pending != nil:
		return ErrNoSecrets
	case g.secrets == nil || g.reInit != nil:
		return ErrInactive
	}
	return nil
}

// handshake processes an authenticated proposal or commit; its signature is
// still to be checked.
func (g *Group) handshake(ctx context.Context, a *authenticatedContent, tag []byte) (*Result, error) {
	if a.content.ContentType == ContentProposal {
		r, err := g.acceptProposal(ctx, a, tag)
		if err != nil {
			return nil, err
		}
		return &Result{Proposal: r}, nil
	}
	s, err := g.state.stageCommit(ctx, g.cfg, &g.proposals, a, false)
	if err != nil {
		return nil, err
	}
	if g.removesAllOwn(s) {
		return &Result{Commit: g.leave(s)}, nil
	}
	n, err := g.open(ctx, s)
	if err != nil {
		return nil, err
	}
	return &Result{Commit: g.install(n)}, nil
}

// removesAllOwn reports whether no own leaf is left after a commit. The secrets
// of the new epoch are not for us then, and its confirmation tag cannot be
// checked.
func (g *Group) removesAllOwn(s *stagedCommit) bool {
	left := len(g.own)
	for _, m := range s.removed {
		if g.own[m.Index] != nil {
			left--
		}
	}
	return left == 0
}

// acceptProposal verifies a proposal and stores it.
func (g *Group) acceptProposal(ctx context.Context, a *authenticatedContent, tag []byte) (*ProposalResult, error) {
	p, err := g.state.checkProposal(ctx, g.cfg, &g.proposals, a)
	if err != nil {
		return nil, err
	}
	p.tag = tag
	g.storeProposal(p)
	return proposalResult(g.state, p)
}

func proposalResult(st *state, p *cachedProposal) (*ProposalResult, error) {
	c := &p.content.content
	aad, err := parseAuthenticatedData(st.framing.safeAAD, c.AuthenticatedData)
	return &ProposalResult{p.ref, c.Sender, c.Proposal, aad}, err
}

func (g *Group) storeProposal(p *cachedProposal) {
	if g.proposals.get(p.ref) == nil {
		g.journal.encode(proposalRow(len(g.proposals.order)), &storedProposal{p.content, p.tag}, false)
		g.proposals.add(p)
	}
}

func proposalRow(number int) string { return rowKey(prefixProp, uint64(number), 8) }

func updateRow(ref ProposalRef) string { return prefixUpdate + hex.EncodeToString(ref) }

func (g *Group) processPrivate(ctx context.Context, m *PrivateMessage) (*Result, error) {
	if err := g.receiving(); err != nil {
		return nil, err
	}
	if !bytes.Equal(m.GroupID, g.state.context.GroupID) {
		return nil, ErrGroupID
	}
	if m.Epoch < g.Epoch() && m.ContentType == ContentApplication {
		return g.processPast(m)
	}
	if err := g.state.checkAddress(m.GroupID, m.Epoch); err != nil {
		return nil, err
	}
	e := epochKeys{&g.messages, g.state.encoded, g.state.framing, g.state.tree.leaf}
	a, leaf, key, err := g.openPrivate(m, e)
	if err != nil {
		return nil, err
	}
	if m.ContentType == ContentApplication {
		return applicationResult(a, leaf, key, e.framing)
	}
	// The key is consumed with the message, but the epoch may be a past one then.
	r, err := g.handshake(ctx, a, nil)
	if err == nil && (r.Commit == nil || r.Commit.Active || g.secrets != nil) {
		key.Consume()
	}
	return r, err
}

// epochKeys is what decrypting a message of an epoch takes.
type epochKeys struct {
	messages *messageKeys
	encoded  []byte // GroupContext
	framing  framing
	leaf     func(LeafIndex) *LeafNode
}

// openPrivate decrypts a message and checks its signature. The key is not yet
// consumed.
func (g *Group) openPrivate(m *PrivateMessage, e epochKeys) (*authenticatedContent, *LeafNode, *secrettree.Key, error) {
	d, err := e.messages.openSenderData(m)
	if err != nil {
		return nil, nil, nil, err
	}
	leaf := e.leaf(d.leaf)
	// RFC 9420, section 6.3.2: 2
	if leaf == nil {
		return nil, nil, nil, fmt.Errorf("%w: sender %d", ErrNotMember, d.leaf)
	}
	if g.own[d.leaf] != nil && m.Epoch == g.Epoch() {
		return nil, nil, nil, fmt.Errorf("%w: %d", ErrOwnMessage, d.leaf)
	}
	a, key, err := e.messages.open(m, d)
	if err != nil {
		return nil, nil, nil, err
	}
	// RFC 9420, sections 6.3.1: 6; 6.1: 5
	return a, leaf, key, a.verify(g.suite, leaf.SignatureKey, e.encoded)
}

func applicationResult(a *authenticatedContent, leaf *LeafNode, key *secrettree.Key, f framing) (*Result, error) {
	aad, err := parseAuthenticatedData(f.safeAAD, a.content.AuthenticatedData)
	if err != nil {
		return nil, err
	}
	// RFC 9420, sections 9.1: 1; 9.2: 1, 2
	key.Consume()
	return &Result{Application: &ApplicationMessage{
		Epoch: a.content.Epoch, Sender: a.content.Sender.Index, SenderLeaf: leaf, Generation: key.Generation,
		AuthenticatedData: aad, Data: a.content.ApplicationData, framing: f,
	}}, nil
}

// processPast decrypts an application message of a past epoch.
func (g *Group) processPast(m *PrivateMessage) (*Result, error) {
	for i, p := range g.past {
		if p.epoch != m.Epoch {
			continue
		}
		e := epochKeys{&p.messages, p.encoded, p.framing, func(l LeafIndex) *LeafNode { return g.pastLeaf(i, l) }}
		a, leaf, key, err := g.openPrivate(m, e)
		if err != nil {
			return nil, err
		}
		return applicationResult(a, leaf, key, e.framing)
	}
	return nil, fmt.Errorf("%w: %d, the keys are gone", ErrEpochPast, m.Epoch)
}

// pastLeaf returns the leaf that was at l in the i-th past epoch.
func (g *Group) pastLeaf(i int, l LeafIndex) *LeafNode {
	for _, p := range g.past[i:] {
		if leaf, ok := p.replaced[l]; ok {
			return leaf.leaf()
		}
	}
	return g.state.tree.leaf(l)
}
