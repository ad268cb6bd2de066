package mls

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// ErrStaged reports a [Staged] that belongs to another epoch or group: the group
// went on since it was staged.
var ErrStaged = errors.New("mls: staged message does not fit the group any more")

// A PublicGroup is what a hub knows about a group: the public state. It verifies
// what can be verified without secrets, by the same code as the members. It
// cannot check membership tags and confirmation tags, so that it demands a
// GroupInfo with each commit.
//
// A PublicGroup is not safe for concurrent use.
type PublicGroup struct {
	cfg       *Config
	suite     *suite.Suite
	state     *state
	info      *GroupInfo
	proposals proposalCache
	journal   journal
}

// NewPublicGroup starts with a GroupInfo and its tree, both verified as a new
// member would. A tree that is passed in is used instead of the ratchet_tree
// extension; without either it fails with [ErrNoTree].
func NewPublicGroup(ctx context.Context, cfg Config, gi *GroupInfo, tree *RatchetTree) (*PublicGroup, error) {
	c, err := cfg.complete(false)
	if err != nil {
		return nil, err
	}
	st, err := stateFromGroupInfo(ctx, c, gi, tree)
	if err != nil {
		return nil, err
	}
	p := &PublicGroup{cfg: c, suite: st.suite, state: st, info: gi, journal: journal{}}
	p.journal.set(rowVersion, []byte{stateVersion, stateHub}, false)
	p.journal.context(st)
	p.journal.tree(st.tree, nil)
	p.journal.encode(rowGroupInfo, gi, false)
	return p, nil
}

// A Staged is a message that a [PublicGroup] has verified and not yet applied.
type Staged struct {
	state    *state
	commit   *stagedCommit
	proposal *cachedProposal
	result   *ProposalResult
}

// Commit returns what a commit does, or nil for a proposal.
func (s *Staged) Commit() *CommitView {
	if s.commit == nil {
		return nil
	}
	v := s.commit.view
	return &v
}

// Proposal returns the proposal, or nil for a commit.
func (s *Staged) Proposal() *ProposalResult { return s.result }

// NeedsGroupInfo reports whether Apply demands a GroupInfo.
func (s *Staged) NeedsGroupInfo() bool { return s.commit != nil }

// Stage verifies a proposal or commit. It changes nothing.
func (p *PublicGroup) Stage(ctx context.Context, m *PublicMessage) (*Staged, error) {
	if err := p.state.checkAddress(m.Content.GroupID, m.Content.Epoch); err != nil {
		return nil, err
	}
	a, err := fromPublic(m)
	if err != nil {
		return nil, err
	}
	s := &Staged{state: p.state}
	if a.content.ContentType == ContentCommit {
		s.commit, err = p.state.stageCommit(ctx, p.cfg, &p.proposals, a, true)
		return s, err
	}
	if s.proposal, err = p.state.checkProposal(ctx, p.cfg, &p.proposals, a); err != nil {
		return nil, err
	}
	s.proposal.tag = m.MembershipTag
	s.result, err = proposalResult(p.state, s.proposal)
	return s, err
}

// Apply lets a staged message take effect. With a commit comes a GroupInfo of
// the new epoch, signed by a member of it: its GroupContext has to be the one
// computed here, and its confirmation tag that of the commit. Otherwise, or if
// the group went on since Stage, nothing changes. A part of the GroupInfo is
// enough for [PublicGroup.ApplyPartial].
func (p *PublicGroup) Apply(s *Staged, gi *GroupInfo) error {
	if s.state != p.state {
		return ErrStaged
	}
	if s.commit == nil {
		if p.proposals.get(s.proposal.ref) == nil {
			p.journal.encode(proposalRow(len(p.proposals.order)), &storedProposal{s.proposal.content, s.proposal.tag}, false)
			p.proposals.add(s.proposal)
		}
		return nil
	}
	if gi == nil {
		return fmt.Errorf("%w: none came with the commit", ErrGroupInfo)
	}
	next := s.commit.next
	if err := next.checkGroupInfo(gi); err != nil {
		return err
	}
	p.advance(next, gi)
	return nil
}

// advance goes to the next epoch with a GroupInfo that is checked.
func (p *PublicGroup) advance(next *state, gi *GroupInfo) {
	for i := range p.proposals.order {
		p.journal.del(proposalRow(i))
	}
	p.journal.tree(next.tree, next.tree.changed)
	p.journal.context(next)
	p.journal.encode(rowGroupInfo, gi, false)
	p.state, p.info, p.proposals = next, gi, proposalCache{}
}

// View returns the public state of the current epoch.
func (p *PublicGroup) View() View { return View{p.state} }

// Epoch returns the number of the current epoch.
func (p *PublicGroup) Epoch() uint64 { return p.state.context.Epoch }

// GroupID returns the group ID.
func (p *PublicGroup) GroupID() []byte { return slices.Clone(p.state.context.GroupID) }

// Suite returns the cipher suite of the group.
func (p *PublicGroup) Suite() *suite.Suite { return p.suite }

// GroupInfo returns the GroupInfo that came with the last commit, for external
// joiners.
func (p *PublicGroup) GroupInfo() *GroupInfo { return p.info }

// RatchetTree returns the tree as it is sent.
func (p *PublicGroup) RatchetTree() *RatchetTree { return p.View().RatchetTree() }

// Roster lists the members in the order of their leaves.
func (p *PublicGroup) Roster() []Member { return slices.Collect(p.View().Members()) }

// PendingProposals lists the proposals of the epoch that may be committed. The
// SelfRemoves among them go to external joiners with the GroupInfo.
func (p *PublicGroup) PendingProposals() []PendingProposal { return p.proposals.list() }

// Dirty returns the rows that changed since the last call, ascending by key. They
// belong into the transaction that accepts the message.
func (p *PublicGroup) Dirty() []Row { return p.journal.take() }

// LoadPublicGroup makes a group from the rows that were stored. It fails with
// [ErrState] if they do not fit together.
func LoadPublicGroup(cfg Config, stored []Row) (*PublicGroup, error) {
	c, err := cfg.complete(false)
	if err != nil {
		return nil, err
	}
	r, err := readRows(stored, stateHub)
	if err != nil {
		return nil, err
	}
	st, err := r.state(c.Limits.MaxLeaves)
	if err != nil {
		return nil, err
	}
	p := &PublicGroup{cfg: c, suite: st.suite, state: st, info: new(GroupInfo), journal: journal{}}
	if ok, err := r.decode(rowGroupInfo, p.info); err != nil {
		return nil, err
	} else if !ok {
		return nil, fmt.Errorf("%w: no row %q", ErrState, rowGroupInfo)
	}
	if p.proposals, err = r.proposals(st.suite); err != nil {
		return nil, err
	}
	for k := range r.byKey {
		return nil, fmt.Errorf("%w: unknown row %q", ErrState, k)
	}
	return p, nil
}
