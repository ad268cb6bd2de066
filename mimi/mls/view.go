package mls

import (
	"iter"
	"slices"
)

// A Member is a leaf that is not blank. The leaf is shared and must not be
// changed.
type Member struct {
	Index LeafIndex
	Leaf  *LeafNode
}

// A View is the public state of one epoch. It never changes, and may be kept and
// shared.
type View struct{ state *state }

// Context returns a copy of the GroupContext.
func (v View) Context() *GroupContext {
	c := v.state.context
	c.Extensions = slices.Clone(c.Extensions)
	return &c
}

// Epoch returns the number of the epoch.
func (v View) Epoch() uint64 { return v.state.context.Epoch }

// Member returns the member at a leaf.
func (v View) Member(i LeafIndex) (Member, bool) {
	l := v.state.tree.leaf(i)
	return Member{i, l}, l != nil
}

// Members lists the members in the order of their leaves.
func (v View) Members() iter.Seq[Member] {
	return func(yield func(Member) bool) {
		v.state.tree.members(func(i LeafIndex, l *LeafNode) bool { return yield(Member{i, l}) })
	}
}

// Len counts the members.
func (v View) Len() int {
	n := 0
	for range v.Members() {
		n++
	}
	return n
}

// RatchetTree returns the tree as it is sent.
func (v View) RatchetTree() *RatchetTree {
	t := v.state.tree.ratchetTree()
	return &t
}

// ConfirmationTag returns the tag of the epoch, as GroupInfos carry it.
func (v View) ConfirmationTag() []byte { return slices.Clone(v.state.confirmationTag) }

// A CommitInfo says who commits.
type CommitInfo struct {
	External  bool
	Committer LeafIndex // meaningless if External: the leaf is not assigned yet
	// CommitterLeaf is the leaf before the commit, or the leaf in the path of an
	// external Commit.
	CommitterLeaf *LeafNode
}

// A ProposalView is a proposal in its context.
type ProposalView struct {
	Group       View // the epoch in which it was sent
	Proposal    *Proposal
	Sender      Sender
	SenderLeaf  *LeafNode // nil for an external sender
	ByReference bool
	Commit      *CommitInfo // nil while the proposal is not committed
}

// A CommittedProposal is a proposal that a commit covers.
type CommittedProposal struct {
	Proposal    *Proposal
	Sender      Sender
	ByReference bool
	Ref         ProposalRef // only by reference
}

// A LeafChange is a member whose leaf was replaced.
type LeafChange struct {
	Index    LeafIndex
	Old, New *LeafNode
}

// A CommitView is a commit with the epochs before and after it. After lacks the
// confirmation tag as long as the commit is only staged by its own author.
type CommitView struct {
	Before, After View
	External      bool
	Committer     LeafIndex // in After
	CommitterLeaf *LeafNode // in After
	Proposals     []CommittedProposal
	// Added are the new members in the order of their Adds, an external joiner
	// last.
	Added []Member
	// Removed are the members that are gone, with their last leaves. A resync
	// removes the old leaf and adds the new one, maybe in the same place.
	Removed []Member
	// Updated are the leaves replaced by Update proposals, and by a path.
	Updated           []LeafChange
	HasPath           bool
	AuthenticatedData AuthenticatedData
	ReInit            *ReInit // nil without one
}
