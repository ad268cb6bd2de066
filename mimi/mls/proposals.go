package mls

import (
	"bytes"
	"context"
	"fmt"
)

// proposalCache holds the proposals that were received in an epoch and may be
// committed by reference.
type proposalCache struct {
	order []*cachedProposal
	byRef map[string]*cachedProposal
}

type cachedProposal struct {
	ref     ProposalRef
	content *authenticatedContent
	tag     []byte // membership tag, to hand the message on
}

func (c *proposalCache) get(ref ProposalRef) *cachedProposal { return c.byRef[string(ref)] }

func (c *proposalCache) add(p *cachedProposal) {
	if c.byRef == nil {
		c.byRef = map[string]*cachedProposal{}
	}
	if c.byRef[string(p.ref)] == nil {
		c.byRef[string(p.ref)] = p
		c.order = append(c.order, p)
	}
}

// message returns the PublicMessage that carried the proposal, or nil if it came
// encrypted.
func (p *cachedProposal) message() *PublicMessage {
	if p.content.format != WireFormatPublicMessage {
		return nil
	}
	return &PublicMessage{Content: p.content.content, Auth: p.content.auth, MembershipTag: p.tag}
}

// A PendingProposal is a proposal of the current epoch that is not committed.
type PendingProposal struct {
	Ref      ProposalRef
	Sender   Sender
	Proposal *Proposal
	Message  *PublicMessage // nil if it came encrypted
}

func (c *proposalCache) list() []PendingProposal {
	var l []PendingProposal
	for _, p := range c.order {
		l = append(l, PendingProposal{p.ref, p.content.content.Sender, p.content.content.Proposal, p.message()})
	}
	return l
}

// checkProposal verifies a proposal message and all that can be said about it
// alone (RFC 9420, sections 6.1, 12.1 and 12.1.8). The membership tag is checked
// before, by whoever has the key.
func (st *state) checkProposal(ctx context.Context, cfg *Config, c *proposalCache, a *authenticatedContent) (*cachedProposal, error) {
	leaf, key, err := st.proposalSender(a)
	if err != nil {
		return nil, err
	}
	// RFC 9420, sections 12.1: 1; 6.1: 5
	if err := a.verify(st.suite, key, st.encoded); err != nil {
		return nil, err
	}
	if _, err := parseAuthenticatedData(st.framing.safeAAD, a.content.AuthenticatedData); err != nil {
		return nil, err
	}
	ref, err := a.ref(st.suite)
	if err != nil {
		return nil, err
	}
	p := &cachedProposal{ref: ref, content: a}
	if c.get(ref) != nil {
		return p, nil
	}
	if len(c.order) >= cfg.Limits.PendingProposals {
		return nil, fmt.Errorf("%w: %d", ErrTooManyProposals, len(c.order))
	}
	body, sender := a.content.Proposal.Body, a.content.Sender
	if err := st.checkBody(ctx, cfg, body, sender, true); err != nil {
		return nil, err
	}
	switch p := body.(type) {
	case *AppDataUpdate:
		if err := st.checkAppDataRemoval(p); err != nil {
			return nil, err
		}
	case *ExternalInit:
		return nil, fmt.Errorf("%w: as a proposal of its own", ErrExternalInit)
	case *SelfRemove:
		if err := st.checkSelfRemove(c, a); err != nil {
			return nil, err
		}
	}
	view := &ProposalView{Group: View{st}, Proposal: a.content.Proposal, Sender: sender, SenderLeaf: leaf, ByReference: true}
	return p, policyError("ValidateProposal", cfg.Policy.ValidateProposal(ctx, view))
}

// proposalSender returns the leaf and signature key of who sent a proposal (RFC
// 9420, section 6.1).
func (st *state) proposalSender(a *authenticatedContent) (*LeafNode, []byte, error) {
	sender, body := a.content.Sender, a.content.Proposal.Body
	switch sender.Type {
	case SenderMember:
		leaf := st.tree.leaf(sender.Index)
		if leaf == nil {
			return nil, nil, fmt.Errorf("%w: sender %d", ErrNotMember, sender.Index)
		}
		return leaf, leaf.SignatureKey, nil
	case SenderExternal:
		senders, err := st.context.Extensions.ExternalSenders()
		if err != nil {
			return nil, nil, err
		}
		// RFC 9420, section 6.1: 2
		if int64(sender.Index) >= int64(len(senders)) {
			return nil, nil, fmt.Errorf("%w: sender %d is not listed", ErrExternalSender, sender.Index)
		}
		// RFC 9420, sections 6.1: 2; 12.1.8: 2
		if !body.ProposalType().external() {
			return nil, nil, fmt.Errorf("%w: %v", ErrExternalSender, body.ProposalType())
		}
		return nil, senders[sender.Index].SignatureKey, nil
	case SenderNewMemberProposal:
		add, ok := body.(*Add)
		// RFC 9420, section 6.1: 4
		if !ok {
			return nil, nil, fmt.Errorf("%w: %v of a new member", ErrSender, body.ProposalType())
		}
		return &add.KeyPackage.LeafNode, add.KeyPackage.LeafNode.SignatureKey, nil
	case SenderNewMemberCommit:
	}
	// RFC 9420, section 6.1: 3
	return nil, nil, fmt.Errorf("%w: proposal of sender type %d", ErrSender, sender.Type)
}

// checkBody checks what a proposal says, apart from the list it is in (RFC 9420,
// section 12.1). fresh asks for lifetimes that are valid now.
func (st *state) checkBody(ctx context.Context, cfg *Config, body ProposalBody, sender Sender, fresh bool) error {
	switch p := body.(type) {
	case *Add:
		if err := checkKeyPackage(cfg, st.suite, &p.KeyPackage); err != nil {
			return fmt.Errorf("Add: %w", err)
		}
		if fresh {
			if err := checkLifetime(cfg, &p.KeyPackage.LeafNode, cfg.Limits.ClockSkew); err != nil {
				return fmt.Errorf("Add: %w", err)
			}
		}
		return cfg.validateCredential(ctx, &p.KeyPackage.LeafNode)
	case *Update:
		// unmutated: proposalSender and checkExternalCommit refuse other senders first
		if sender.Type != SenderMember {
			return fmt.Errorf("%w: Update", ErrSender)
		}
		// RFC 9420, section 7.3: 9, 11
		if p.LeafNode.Source != LeafNodeSourceUpdate {
			return fmt.Errorf("%w: %d in an Update", ErrLeafSource, p.LeafNode.Source)
		}
		if err := checkLeafAlone(cfg, st.suite, &p.LeafNode); err != nil {
			return err
		}
		if err := st.verifyLeaf(&p.LeafNode, sender.Index); err != nil {
			return err
		}
		return st.checkSuccessor(ctx, cfg, sender.Index, &p.LeafNode)
	case *Remove:
		if st.tree.leaf(p.Removed) == nil {
			return fmt.Errorf("%w: Remove of %d", ErrNotMember, p.Removed)
		}
	case *PreSharedKey:
		return st.checkPSK(&p.PSK, sender)
	case *ReInit:
		if p.Version < MLS10 {
			return fmt.Errorf("%w: version %d", ErrReInit, p.Version)
		}
	case *GroupContextExtensions:
		return st.checkExtensions(ctx, cfg, p.Extensions)
	case *SelfRemove:
		// unmutated: proposalSender and checkExternalCommit refuse other senders first
		if sender.Type != SenderMember {
			return fmt.Errorf("%w: SelfRemove", ErrSender)
		}
	case *ExternalInit, *AppDataUpdate, *AppEphemeral:
	}
	return nil
}

// checkPSK is RFC 9420, section 12.1.4. The PSK for a ReInit or a branch only
// belongs into the first commit of a group, which has no member but its creator.
func (st *state) checkPSK(id *PreSharedKeyID, sender Sender) error {
	// RFC 9420, sections 8.4: 2; 12.1.4: 3
	if len(id.Nonce) != st.suite.Nh() {
		return fmt.Errorf("%w: a nonce of %d octets", ErrPSK, len(id.Nonce))
	}
	first := st.context.Epoch == 0 && sender.Type == SenderMember
	// RFC 9420, sections 11.2: 4, 5; 11.3: 6, 7; 12.1.4: 1, 2
	if id.Type == PSKResumption && id.Usage != ResumptionApplication && !first {
		return fmt.Errorf("%w: resumption usage %d outside of ReInit and branching", ErrPSK, id.Usage)
	}
	return nil
}

// checkSuccessor compares a leaf, which is fine by itself, with the leaf at old
// that it replaces (RFC 9420, sections 5.3.1 and 7.3).
func (st *state) checkSuccessor(ctx context.Context, cfg *Config, old LeafIndex, leaf *LeafNode) error {
	before := st.tree.leaf(old)
	// unmutated: proposalSender and checkBody look for the leaf first
	if before == nil {
		return fmt.Errorf("%w: %d", ErrNotMember, old)
	}
	// RFC 9420, sections 7.3: 11; 7.5: 1; 12.4.2: 8
	if bytes.Equal(before.EncryptionKey, leaf.EncryptionKey) {
		return fmt.Errorf("%w: leaf %d", ErrSameEncryption, old)
	}
	if before.Credential.Equal(&leaf.Credential) && bytes.Equal(before.SignatureKey, leaf.SignatureKey) {
		return nil
	}
	// RFC 9420, section 5.3.1: 1
	if err := cfg.validateCredential(ctx, leaf); err != nil {
		return err
	}
	// RFC 9420, sections 5.3.1: 2; 12.2: 18
	if !before.Credential.Equal(&leaf.Credential) && !cfg.Policy.SameClient(before.Credential, leaf.Credential) {
		return fmt.Errorf("%w: leaf %d", ErrSuccessor, old)
	}
	return nil
}

// checkExtensions checks a new list of GroupContext extensions by itself.
func (st *state) checkExtensions(ctx context.Context, cfg *Config, l Extensions) error {
	if _, err := l.RequiredCapabilities(); err != nil {
		return err
	}
	if _, err := l.negotiation(); err != nil {
		return err
	}
	senders, err := l.ExternalSenders()
	if err != nil {
		return err
	}
	old, err := st.context.Extensions.ExternalSenders()
	if err != nil {
		return err
	}
	for i, s := range senders {
		if i < len(old) && old[i].Credential.Equal(&s.Credential) && bytes.Equal(old[i].SignatureKey, s.SignatureKey) {
			continue
		}
		// RFC 9420, section 5.3.1: 1
		if err := cfg.Policy.ValidateCredential(ctx, s.Credential, s.SignatureKey); err != nil {
			return fmt.Errorf("%w: external sender: %w", ErrCredential, policyError("ValidateCredential", err))
		}
	}
	// draft-ietf-mls-extensions-09, section "Updating Application Data in the
	// GroupContext".
	for _, t := range st.required.Proposals {
		if t != ProposalAppDataUpdate {
			continue
		}
		was, had := st.context.Extensions.Find(ExtensionAppDataDictionary)
		is, has := l.Find(ExtensionAppDataDictionary)
		if had != has || !bytes.Equal(was, is) {
			return fmt.Errorf("%w: a GroupContextExtensions proposal changes the app_data_dictionary", ErrAppData)
		}
	}
	return nil
}
