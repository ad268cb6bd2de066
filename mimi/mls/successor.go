package mls

import (
	"bytes"
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A SuccessorParams describes a group that goes on from another one.
type SuccessorParams struct {
	// Leaf is that of the creator, with keys of the new group's cipher suite.
	Leaf LeafParams
	// Members are KeyPackages of the other members.
	Members []KeyPackage
	// AAD and GroupInfo are as in [CommitOptions], for the first commit.
	AAD       AuthenticatedData
	GroupInfo GroupInfoFunc
}

// ReInit makes the group that follows g, which a ReInit has ended, and its first
// commit, whose Welcome goes to the other members (RFC 9420, section 11.2). All
// members of g have to be among Members, or it fails with [ErrReInit].
func (g *Group) ReInit(ctx context.Context, cfg Config, p SuccessorParams) (*Group, *PendingCommit, error) {
	if g.reInit == nil || g.secrets == nil {
		return nil, nil, fmt.Errorf("%w: no ReInit was committed", ErrReInit)
	}
	if g.reInit.Version != MLS10 {
		return nil, nil, fmt.Errorf("%w: version %d is not supported", ErrReInit, g.reInit.Version)
	}
	leaves := []*LeafNode{{Credential: p.Leaf.Credential}}
	for i := range p.Members {
		leaves = append(leaves, &p.Members[i].LeafNode)
	}
	// RFC 9420, section 12.4.1: 5
	if missing := g.unmatched(g.currentLeaves(), leaves); missing != nil {
		return nil, nil, fmt.Errorf("%w: a member of the old group is not in the new one", ErrReInit)
	}
	create := CreateParams{CipherSuite: g.reInit.CipherSuite, GroupID: g.reInit.GroupID, Leaf: p.Leaf, Extensions: g.reInit.Extensions}
	return g.succeed(ctx, cfg, create, ResumptionReInit, p)
}

// Branch makes a group of some members of g, and its first commit, whose Welcome
// goes to them (RFC 9420, section 11.3). Both groups go on. Everyone in the
// branch has to be a member of g, or it fails with [ErrBranch].
func (g *Group) Branch(ctx context.Context, cfg Config, groupID []byte, extensions Extensions, p SuccessorParams) (*Group, *PendingCommit, error) {
	if err := g.receiving(); err != nil {
		return nil, nil, err
	}
	leaves := []*LeafNode{{Credential: p.Leaf.Credential}}
	for i := range p.Members {
		leaves = append(leaves, &p.Members[i].LeafNode)
	}
	// RFC 9420, section 11.3: 5
	if stranger := g.unmatched(leaves, g.currentLeaves()); stranger != nil {
		return nil, nil, fmt.Errorf("%w: it has someone who is no member of the old group", ErrBranch)
	}
	create := CreateParams{CipherSuite: g.suite.ID(), GroupID: groupID, Leaf: p.Leaf, Extensions: extensions}
	return g.succeed(ctx, cfg, create, ResumptionBranch, p)
}

// succeed creates a group and commits its members and the resumption PSK of g.
func (g *Group) succeed(ctx context.Context, cfg Config, create CreateParams, usage ResumptionPSKUsage, p SuccessorParams) (*Group, *PendingCommit, error) {
	n, err := Create(ctx, cfg, create)
	if err != nil {
		return nil, nil, err
	}
	n.origin = g
	var proposals []ProposalBody
	for i := range p.Members {
		proposals = append(proposals, &Add{p.Members[i]})
	}
	// RFC 9420, section 12.4.1: 6
	proposals = append(proposals, &PreSharedKey{PreSharedKeyID{Type: PSKResumption, Usage: usage, GroupID: g.GroupID(), Epoch: g.Epoch()}})
	pending, err := n.Commit(ctx, 0, CommitOptions{Proposals: proposals, AAD: p.AAD, GroupInfo: p.GroupInfo})
	n.origin = nil
	if err != nil {
		return nil, nil, err
	}
	return n, pending, nil
}

// currentLeaves returns the leaves of the current members.
func (g *Group) currentLeaves() []*LeafNode {
	var l []*LeafNode
	g.state.tree.members(func(_ LeafIndex, leaf *LeafNode) bool {
		l = append(l, leaf)
		return true
	})
	return l
}

// leavesOf returns the leaves of the members in an epoch, or nothing if that is
// forgotten.
func (g *Group) leavesOf(epoch uint64) []*LeafNode {
	if epoch == g.Epoch() {
		return g.currentLeaves()
	}
	var l []*LeafNode
	for i, p := range g.past {
		if p.epoch != epoch {
			continue
		}
		for leaf := range p.messages.tree.Leaves() {
			if n := g.pastLeaf(i, LeafIndex(leaf)); n != nil {
				l = append(l, n)
			}
		}
	}
	return l
}

// unmatched returns a leaf of a that has no partner of its own in b: the same
// credential, or one of the same client.
func (g *Group) unmatched(a, b []*LeafNode) *LeafNode {
	taken := make([]bool, len(b))
	pair := func(leaf *LeafNode, same func(x, y Credential) bool) bool {
		for i, other := range b {
			if !taken[i] && same(leaf.Credential, other.Credential) {
				taken[i] = true
				return true
			}
		}
		return false
	}
	var rest []*LeafNode
	for _, leaf := range a {
		if !pair(leaf, func(x, y Credential) bool { return x.Equal(&y) }) {
			rest = append(rest, leaf)
		}
	}
	for _, leaf := range rest {
		if !pair(leaf, g.cfg.Policy.SameClient) {
			return leaf
		}
	}
	return nil
}

// JoinSuccessor joins a group that goes on from g by a ReInit or as a branch: the
// Welcome names the resumption PSK of g, and the new group is compared with it
// (RFC 9420, sections 11.2, 11.3 and 12.4.3.1). Otherwise it is [JoinWelcome],
// which refuses such Welcomes.
func (g *Group) JoinSuccessor(ctx context.Context, cfg Config, m *Welcome, kp *KeyPackagePrivate, tree *RatchetTree) (*Group, *Joined, error) {
	c, err := cfg.complete(true)
	if err != nil {
		return nil, nil, err
	}
	return joinWelcome(ctx, c, m, kp, tree, g)
}

// checkSuccession compares a Welcome with the group that it goes on from, after
// the GroupInfo and its tree were verified.
func (g *Group) checkSuccession(id *PreSharedKeyID, st *state) error {
	failure := ErrReInit
	if id.Usage == ResumptionBranch {
		failure = ErrBranch
	}
	c := &st.context
	// RFC 9420, sections 11.2: 2; 11.3: 4; 12.4.3.1: 18
	if c.Epoch != 1 {
		return fmt.Errorf("%w: the Welcome is of epoch %d", failure, c.Epoch)
	}
	var leaves []*LeafNode
	st.tree.members(func(_ LeafIndex, l *LeafNode) bool {
		leaves = append(leaves, l)
		return true
	})
	if id.Usage == ResumptionBranch {
		// RFC 9420, sections 11.3: 2, 3; 12.4.3.1: 21
		if c.CipherSuite != g.suite.ID() {
			return fmt.Errorf("%w: its cipher suite is %v", failure, c.CipherSuite)
		}
		// RFC 9420, sections 11.3: 2, 5; 12.4.3.1: 21
		if g.unmatched(leaves, g.leavesOf(id.Epoch)) != nil {
			return fmt.Errorf("%w: it has someone who is no member of the old group", failure)
		}
		return nil
	}
	// RFC 9420, sections 11.2: 3; 12.4.3.1: 19
	if g.reInit == nil || id.Epoch != g.Epoch() {
		return fmt.Errorf("%w: no ReInit was committed in epoch %d", failure, id.Epoch)
	}
	got, err := wire.Marshal(&ReInit{GroupID: c.GroupID, Version: MLS10, CipherSuite: c.CipherSuite, Extensions: c.Extensions})
	if err != nil {
		return err
	}
	want, err := wire.Marshal(g.reInit)
	if err != nil {
		return err
	}
	// RFC 9420, sections 11.2: 1; 12.4.3.1: 19
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%w: the new group has other parameters", failure)
	}
	// RFC 9420, section 12.4.3.1: 20
	if g.unmatched(g.currentLeaves(), leaves) != nil {
		return fmt.Errorf("%w: a member of the old group is not in the new one", failure)
	}
	return nil
}

// successionPSK finds the one PSK in a Welcome that says that the group goes on
// from another one, or nil. Without old group, which it would name, there must
// be none.
func successionPSK(s *suite.Suite, ids []PreSharedKeyID, old *Group) (*PreSharedKeyID, error) {
	var found *PreSharedKeyID
	for i := range ids {
		// RFC 9420, section 8.4: 2
		if len(ids[i].Nonce) != s.Nh() {
			return nil, fmt.Errorf("%w: a nonce of %d octets", ErrPSK, len(ids[i].Nonce))
		}
		if ids[i].Type != PSKResumption || ids[i].Usage == ResumptionApplication {
			continue
		}
		// RFC 9420, sections 11.2: 4; 11.3: 6; 12.4.3.1: 4
		if old == nil || found != nil {
			return nil, ErrWelcomePSK
		}
		found = &ids[i]
	}
	// RFC 9420, section 11.2: 3
	if old != nil && (found == nil || !bytes.Equal(found.GroupID, old.state.context.GroupID)) {
		return nil, fmt.Errorf("%w: the Welcome does not go on from this group", ErrWelcomePSK)
	}
	return found, nil
}
