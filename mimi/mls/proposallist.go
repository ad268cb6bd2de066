package mls

import (
	"context"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A prepared commit is a valid proposal list, applied to a copy of the tree and
// of the extensions. The path is still to come.
type prepared struct {
	before     *state
	index      *treeIndex // of the tree before
	external   bool
	committer  LeafIndex // of an external Commit: assigned when the path is merged
	leaf       *LeafNode // the committer's leaf before, or the path leaf of an external Commit
	fresh      bool
	proposals  []CommittedProposal
	tree       *tree
	extensions Extensions

	added     []Member
	removed   []Member
	updated   []LeafChange
	addedSet  map[LeafIndex]bool
	resync    *LeafIndex
	psks      []PreSharedKeyID
	init      *ExternalInit
	reInit    *ReInit
	pathNeeds bool // a path is required
	all       bool // every leaf has to be checked against the new extensions
}

// prepare resolves, validates and applies the proposals of a commit (RFC 9420,
// sections 12.2 and 12.3). For an external Commit, leaf is the one in its path.
func (st *state) prepare(ctx context.Context, cfg *Config, cache *proposalCache, list []ProposalOrRef, sender Sender, leaf *LeafNode, fresh bool) (*prepared, error) {
	whole, err := st.whole()
	if err != nil {
		return nil, err
	}
	p := &prepared{
		before: st, external: sender.Type == SenderNewMemberCommit, committer: sender.Index, leaf: leaf, fresh: fresh,
		index: whole.index, tree: whole.clone(), extensions: slices.Clone(st.context.Extensions),
		addedSet: map[LeafIndex]bool{}, pathNeeds: len(list) == 0,
	}
	if err := p.resolve(cache, list, sender); err != nil {
		return nil, err
	}
	// RFC 9420, sections 12.2: 1, 2; 12.4: 2; 12.4.2: 4
	if err := p.checkList(ctx, cfg); err != nil {
		return nil, err
	}
	if err := p.apply(ctx, cfg); err != nil {
		return nil, err
	}
	return p, nil
}

// resolve looks the references up.
func (p *prepared) resolve(cache *proposalCache, list []ProposalOrRef, sender Sender) error {
	seen := map[string]bool{}
	for _, por := range list {
		cp := CommittedProposal{Proposal: por.Proposal, Sender: sender}
		if por.Proposal == nil {
			if seen[string(por.Reference)] {
				return fmt.Errorf("%w: %x", ErrDuplicateRef, []byte(por.Reference))
			}
			seen[string(por.Reference)] = true
			cached := cache.get(por.Reference)
			if cached == nil {
				return fmt.Errorf("%w: %x", ErrUnknownProposal, []byte(por.Reference))
			}
			c := &cached.content.content
			cp = CommittedProposal{Proposal: c.Proposal, Sender: c.Sender, ByReference: true, Ref: por.Reference}
		}
		p.pathNeeds = p.pathNeeds || cp.Proposal.Type().pathRequired()
		p.proposals = append(p.proposals, cp)
	}
	return nil
}

// checkList is RFC 9420, section 12.2.
func (p *prepared) checkList(ctx context.Context, cfg *Config) error {
	leaves := map[LeafIndex]bool{}
	counts := map[ProposalType]int{}
	psks := map[string]bool{}
	info := &CommitInfo{External: p.external, Committer: p.committer, CommitterLeaf: p.leaf}
	for i := range p.proposals {
		cp := &p.proposals[i]
		counts[cp.Proposal.Type()]++
		if p.external {
			if err := checkExternalCommit(cp); err != nil {
				return err
			}
		}
		if err := p.checkOne(cp, leaves, psks); err != nil {
			return err
		}
		// RFC 9420, section 12.2: 3
		if err := p.before.checkBody(ctx, cfg, cp.Proposal.Body, cp.Sender, p.fresh); err != nil {
			return err
		}
		view := &ProposalView{
			Group: View{p.before}, Proposal: cp.Proposal, Sender: cp.Sender, SenderLeaf: p.senderLeaf(cp), ByReference: cp.ByReference, Commit: info,
		}
		if err := cfg.Policy.ValidateProposal(ctx, view); err != nil {
			return policyError("ValidateProposal", err)
		}
	}
	switch {
	// RFC 9420, section 12.2: 10
	case counts[ProposalGroupContextExtensions] > 1:
		return ErrSeveralGCE
	// RFC 9420, section 12.2: 11
	case counts[ProposalReInit] > 0 && len(p.proposals) > 1:
		return fmt.Errorf("%w: it is not alone", ErrReInit)
	// RFC 9420, section 12.2: 15
	case p.external && counts[ProposalExternalInit] != 1:
		return fmt.Errorf("%w: %d in an external Commit", ErrExternalInit, counts[ProposalExternalInit])
	// RFC 9420, section 12.2: 12
	case !p.external && counts[ProposalExternalInit] > 0:
		return fmt.Errorf("%w: in a commit of a member", ErrExternalInit)
	// RFC 9420, section 12.2: 16
	case p.external && counts[ProposalRemove] > 1:
		return fmt.Errorf("%w: %d Removes", ErrExternalCommit, counts[ProposalRemove])
	}
	return p.checkSupport(leaves)
}

// checkExternalCommit checks that a proposal may be in an external Commit. By
// reference that is SelfRemove alone; by value what RFC 9420, section 12.2,
// lists, and the two types for which draft-ietf-mls-extensions-09 says so.
func checkExternalCommit(cp *CommittedProposal) error {
	t := cp.Proposal.Type()
	if cp.ByReference {
		// RFC 9420, section 12.4.3.2: 2
		if t != ProposalSelfRemove {
			return fmt.Errorf("%w: %v by reference", ErrExternalCommit, t)
		}
		return nil
	}
	switch t {
	// RFC 9420, section 12.2: 19
	case ProposalExternalInit, ProposalRemove, ProposalPreSharedKey, ProposalAppDataUpdate, ProposalAppEphemeral:
		return nil
	case ProposalAdd, ProposalUpdate, ProposalReInit, ProposalGroupContextExtensions, ProposalSelfRemove:
	}
	// RFC 9420, section 12.2: 20
	return fmt.Errorf("%w: %v", ErrExternalCommit, t)
}

// checkOne checks a proposal against its committer and the others in the list.
func (p *prepared) checkOne(cp *CommittedProposal, leaves map[LeafIndex]bool, psks map[string]bool) error {
	var target LeafIndex
	switch body := cp.Proposal.Body.(type) {
	case *Update:
		// unmutated: it is the committer's own then, which the next check refuses
		// RFC 9420, section 12.2: 4
		if !cp.ByReference {
			return fmt.Errorf("%w: by value", ErrOwnUpdate)
		}
		// RFC 9420, section 12.2: 4
		if cp.Sender == (Sender{SenderMember, p.committer}) {
			return ErrOwnUpdate
		}
		target = cp.Sender.Index
	case *SelfRemove:
		if !cp.ByReference {
			return fmt.Errorf("%w: SelfRemove", ErrByValue)
		}
		if !p.external && cp.Sender.Index == p.committer {
			return ErrSelfRemoval
		}
		target = cp.Sender.Index
	case *Remove:
		// RFC 9420, section 12.2: 5
		if !p.external && body.Removed == p.committer {
			return ErrSelfRemoval
		}
		target = body.Removed
	case *PreSharedKey:
		id, err := wire.Marshal(&body.PSK)
		if err != nil {
			return err
		}
		// RFC 9420, section 12.2: 9
		if psks[string(id)] {
			return ErrSamePSK
		}
		psks[string(id)] = true
		return nil
	default:
		return nil
	}
	// RFC 9420, section 12.2: 6
	if leaves[target] {
		return fmt.Errorf("%w: %d", ErrSameLeaf, target)
	}
	leaves[target] = true
	return nil
}

// senderLeaf returns the leaf of who sent a proposal, if there is one.
func (p *prepared) senderLeaf(cp *CommittedProposal) *LeafNode {
	switch cp.Sender.Type {
	case SenderMember:
		return p.before.tree.leaf(cp.Sender.Index)
	case SenderNewMemberCommit:
		return p.leaf
	case SenderNewMemberProposal:
		if add, ok := cp.Proposal.Body.(*Add); ok {
			return &add.KeyPackage.LeafNode
		}
	case SenderExternal:
	}
	return nil
}

// checkSupport checks that all members who process the commit support its
// non-default proposals (RFC 9420, section 12.2). Those who are removed do not
// matter.
func (p *prepared) checkSupport(removedOrUpdated map[LeafIndex]bool) error {
	var types []ProposalType
	removed := map[LeafIndex]bool{}
	for i := range p.proposals {
		cp := &p.proposals[i]
		t := cp.Proposal.Type()
		if !t.isDefault() && !slices.Contains(types, t) && !p.index.byAll(listedProposals, uint16(t)) {
			types = append(types, t)
		}
		switch body := cp.Proposal.Body.(type) {
		case *Remove:
			removed[body.Removed] = true
		case *SelfRemove:
			removed[cp.Sender.Index] = true
		}
	}
	if len(types) == 0 {
		return nil
	}
	var err error
	p.before.tree.members(func(i LeafIndex, l *LeafNode) bool {
		for _, t := range types {
			// RFC 9420, sections 12.2: 13; 13.2: 1
			if !removed[i] && !l.Capabilities.supportsProposal(t) {
				err = fmt.Errorf("%w: %v by leaf %d", ErrUnsupported, t, i)
			}
		}
		return err == nil
	})
	return err
}

// apply is RFC 9420, section 12.3, with the additions of the extensions draft:
// SelfRemove between Update and Remove, application data at the end.
//
// RFC 9420, section 12.3: 1
func (p *prepared) apply(ctx context.Context, cfg *Config) error {
	for i := range p.proposals {
		if gce, ok := p.proposals[i].Proposal.Body.(*GroupContextExtensions); ok {
			// RFC 9420, section 12.3: 2, 3
			p.extensions, p.all = slices.Clone(gce.Extensions), true
		}
	}
	for i := range p.proposals {
		// RFC 9420, section 12.3: 4
		if u, ok := p.proposals[i].Proposal.Body.(*Update); ok {
			at := p.proposals[i].Sender.Index
			p.updated = append(p.updated, LeafChange{at, p.tree.leaf(at), &u.LeafNode})
			if err := p.tree.update(at, &u.LeafNode); err != nil {
				return err
			}
		}
	}
	for i := range p.proposals {
		switch body := p.proposals[i].Proposal.Body.(type) {
		case *SelfRemove:
			p.remove(p.proposals[i].Sender.Index)
		case *Remove:
			// RFC 9420, section 12.3: 5
			p.remove(body.Removed)
			if p.external {
				p.resync = &body.Removed
			}
		}
	}
	if len(p.removed) > 0 {
		p.tree.truncate()
	}
	for i := range p.proposals {
		switch body := p.proposals[i].Proposal.Body.(type) {
		case *Add:
			// RFC 9420, section 12.3: 6
			if err := p.add(cfg, &body.KeyPackage.LeafNode); err != nil {
				return err
			}
		case *PreSharedKey:
			// RFC 9420, sections 8.4: 1; 12.3: 7; 12.4.1: 3
			p.psks = append(p.psks, body.PSK)
		case *ExternalInit:
			// RFC 9420, section 12.3: 8
			p.init = body
		case *ReInit:
			// RFC 9420, section 12.3: 9
			p.reInit = body
		}
	}
	return p.applyAppData(ctx, cfg)
}

func (p *prepared) remove(i LeafIndex) {
	p.removed = append(p.removed, Member{i, p.tree.leaf(i)})
	p.tree.remove(i)
}

func (p *prepared) add(cfg *Config, l *LeafNode) error {
	i, err := p.tree.add(l)
	if err != nil {
		return err
	}
	if err := p.checkSize(cfg); err != nil {
		return err
	}
	p.added = append(p.added, Member{i, l})
	p.addedSet[i] = true
	return nil
}

// checkSize checks that the tree has not grown too large.
func (p *prepared) checkSize(cfg *Config) error {
	if int64(p.tree.leaves()) > int64(cfg.Limits.MaxLeaves) {
		return fmt.Errorf("%w: %d leaves, at most %d are allowed", ErrTreeForm, p.tree.leaves(), cfg.Limits.MaxLeaves)
	}
	return nil
}

// applyAppData applies AppDataUpdate proposals, component by component
// (draft-ietf-mls-extensions-09, section "Updating Application Data in the
// GroupContext").
func (p *prepared) applyAppData(ctx context.Context, cfg *Config) error {
	type change struct {
		updates [][]byte
		remove  bool
	}
	changes := map[ComponentID]*change{}
	var order []ComponentID
	for i := range p.proposals {
		u, ok := p.proposals[i].Proposal.Body.(*AppDataUpdate)
		if !ok {
			continue
		}
		c := changes[u.Component]
		if c == nil {
			c = &change{}
			changes[u.Component] = c
			order = append(order, u.Component)
		} else if c.remove || u.Operation == AppDataUpdateRemove {
			return fmt.Errorf("%w: component 0x%04x is removed and changed, or removed twice", ErrAppData, uint16(u.Component))
		}
		if u.Operation == AppDataUpdateRemove {
			c.remove = true
		} else {
			c.updates = append(c.updates, u.Update)
		}
	}
	if len(order) == 0 {
		return nil
	}
	dict, err := p.extensions.AppDataDictionary()
	if err != nil {
		return err
	}
	for _, id := range order {
		old, ok := dict.Get(id)
		if changes[id].remove {
			if !ok {
				return fmt.Errorf("%w: component 0x%04x has no data to remove", ErrAppData, uint16(id))
			}
			dict = dict.Without(id)
		} else {
			data, err := cfg.Policy.ApplyComponent(ctx, id, old, changes[id].updates)
			if err != nil {
				return fmt.Errorf("%w: component 0x%04x: %w", ErrAppData, uint16(id), policyError("ApplyComponent", err))
			}
			dict = dict.With(id, data)
		}
		p.all = p.all || id.negotiated()
	}
	e, err := dict.Extension()
	if err != nil {
		return err
	}
	// A dictionary that appears for the first time is an extension that all
	// members have to support.
	_, had := p.extensions.Find(e.Type)
	p.all = p.all || !had
	p.extensions = p.extensions.With(e.Type, e.Data)
	return nil
}
