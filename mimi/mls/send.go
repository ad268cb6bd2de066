package mls

import (
	"context"
	"fmt"
)

// Protect encrypts application data as an own leaf (RFC 9420, section 6.3). The
// rows have to be stored before the message is sent, or a crash would lead to
// the same key being used twice. Proposals have to be committed first: it fails
// with [ErrPendingProposals]. In a group with the content_media_types component
// the data is what [ApplicationFraming.ApplicationData] returns.
func (g *Group) Protect(from LeafIndex, data []byte, aad AuthenticatedData) (*PrivateMessage, error) {
	return g.ProtectPadded(from, data, aad, g.cfg.Limits.Padding)
}

// ProtectPadded is [Group.Protect] for data whose length would tell something: it is
// padded to a multiple of that many octets, instead of [Limits.Padding].
func (g *Group) ProtectPadded(from LeafIndex, data []byte, aad AuthenticatedData, padding int) (*PrivateMessage, error) {
	// RFC 9420, section 12.4: 1
	if len(g.proposals.order) > 0 {
		return nil, ErrPendingProposals
	}
	if _, err := g.state.framing.parse(data); err != nil {
		return nil, err
	}
	content := FramedContent{ContentType: ContentApplication, ApplicationData: data}
	a, err := g.signed(from, content, WireFormatPrivateMessage, aad)
	if err != nil {
		return nil, err
	}
	return g.messages.protect(g.cfg.Random, a, padding)
}

// signed completes and signs a content as an own leaf.
func (g *Group) signed(from LeafIndex, content FramedContent, format WireFormat, aad AuthenticatedData) (*authenticatedContent, error) {
	key, err := g.ready(from)
	if err != nil {
		return nil, err
	}
	content.GroupID, content.Epoch, content.Sender = g.state.context.GroupID, g.Epoch(), Sender{SenderMember, from}
	if content.AuthenticatedData, err = aad.encode(g.state.framing.safeAAD); err != nil {
		return nil, err
	}
	a := &authenticatedContent{format: format, content: content}
	return a, a.sign(g.suite, key, g.state.encoded)
}

// Propose makes a proposal of an own leaf, and stores it as pending. A
// SelfRemove, Remove or AppDataUpdate is meant; for an Update see
// [Group.ProposeUpdate].
func (g *Group) Propose(ctx context.Context, from LeafIndex, body ProposalBody, aad AuthenticatedData) (*PublicMessage, ProposalRef, error) {
	if body.ProposalType() == ProposalUpdate {
		return nil, nil, fmt.Errorf("%w: use ProposeUpdate", ErrOwnUpdate)
	}
	if p, ok := body.(*PreSharedKey); ok && len(p.PSK.Nonce) == 0 {
		id, err := g.freshPSK(p.PSK)
		if err != nil {
			return nil, nil, err
		}
		body = &PreSharedKey{id}
	}
	if err := g.checkSent([]ProposalBody{body}); err != nil {
		return nil, nil, err
	}
	return g.propose(ctx, from, body, aad)
}

// ProposeUpdate proposes a new leaf for an own one (RFC 9420, section 12.1.2).
// Its HPKE key is fresh; newLeaf nil keeps the rest.
func (g *Group) ProposeUpdate(ctx context.Context, from LeafIndex, newLeaf *LeafParams, aad AuthenticatedData) (*PublicMessage, ProposalRef, error) {
	signature, err := g.ready(from)
	if err != nil {
		return nil, nil, err
	}
	leaf := g.state.tree.leaf(from).clone()
	if newLeaf != nil {
		if leaf, err = newLeaf.leaf(); err != nil {
			return nil, nil, err
		}
		signature = newLeaf.SignatureKey
	}
	key, err := g.suite.GenerateHPKEKey(g.cfg.Random)
	if err != nil {
		return nil, nil, err
	}
	leaf.Source, leaf.EncryptionKey, leaf.ParentHash = LeafNodeSourceUpdate, key.Public(), nil
	leaf.NotBefore, leaf.NotAfter = 0, 0
	if err := leaf.sign(g.suite, signature, g.state.context.GroupID, from); err != nil {
		return nil, nil, err
	}
	m, ref, err := g.propose(ctx, from, &Update{*leaf}, aad)
	if err != nil {
		return nil, nil, err
	}
	u := &pendingUpdate{from, key, signature}
	g.updates[string(ref)] = u
	g.journal.encode(updateRow(ref), &storedUpdate{from, key.Secret(), signature.Seed()}, true)
	return m, ref, nil
}

func (g *Group) propose(ctx context.Context, from LeafIndex, body ProposalBody, aad AuthenticatedData) (*PublicMessage, ProposalRef, error) {
	own, err := copyProposal(body)
	if err != nil {
		return nil, nil, err
	}
	content := FramedContent{ContentType: ContentProposal, Proposal: own}
	a, err := g.signed(from, content, WireFormatPublicMessage, aad)
	if err != nil {
		return nil, nil, err
	}
	m, err := a.public(g.suite, g.secrets.Membership, g.state.encoded)
	if err != nil {
		return nil, nil, err
	}
	r, err := g.acceptProposal(ctx, a, m.MembershipTag)
	if err != nil {
		return nil, nil, err
	}
	return m, r.Ref, nil
}
