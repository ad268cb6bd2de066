package mls

import (
	"fmt"
	"slices"
)

// checkSelfRemove checks the form of a SelfRemove (draft-ietf-mls-extensions-09,
// section "Proposal Description"): always a PublicMessage of a member, once per
// epoch, in a group whose members all support it. In another one nobody could
// commit it, and external joiners, who have to, would not get in.
func (st *state) checkSelfRemove(c *proposalCache, a *authenticatedContent) error {
	if a.format != WireFormatPublicMessage {
		return fmt.Errorf("%w: SelfRemove is always a PublicMessage", ErrWireFormat)
	}
	for _, p := range c.order {
		if _, ok := p.content.content.Proposal.Body.(*SelfRemove); ok && p.content.content.Sender == a.content.Sender {
			return fmt.Errorf("%w: leaf %d", ErrTwoSelfRemoves, a.content.Sender.Index)
		}
	}
	return st.checkAllSupport(ProposalSelfRemove)
}

// checkAllSupport checks that a proposal type is supported by every member.
func (st *state) checkAllSupport(t ProposalType) error {
	if slices.Contains(st.required.Proposals, t) {
		return nil
	}
	var err error
	st.tree.members(func(i LeafIndex, l *LeafNode) bool {
		if !l.Capabilities.supportsProposal(t) {
			err = fmt.Errorf("%w: %v by leaf %d", ErrUnsupported, t, i)
		}
		return err == nil
	})
	return err
}
