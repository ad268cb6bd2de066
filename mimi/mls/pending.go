package mls

import (
	"bytes"
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A PendingCommit is a commit that waits for the hub's answer. The group is
// still in the old epoch.
type PendingCommit struct {
	// Message goes to the hub.
	Message *PublicMessage
	// Welcome goes to the new members after the commit was accepted, or is nil
	// without Adds.
	Welcome *Welcome
	// GroupInfo goes to the hub with the commit.
	GroupInfo *GroupInfo
	// From is the own leaf that commits: in the new epoch, if it joins by an
	// external Commit.
	From LeafIndex
	// View is what Policy.ValidateCommit has seen. Nil after a restart.
	View *CommitView
}

// MLSMessage returns the message as it goes over the network.
func (p *PendingCommit) MLSMessage() *MLSMessage { return &MLSMessage{PublicMessage: p.Message} }

// A pendingCommit is a pending commit with its secrets, as it is stored.
type pendingCommit struct {
	public    PendingCommit
	message   []byte // encoded PublicMessage
	path      *suite.Secret
	leafKey   suite.Secret // HPKE key of the path leaf
	signature suite.Secret // signature key of the committing leaf in the new epoch
	init      suite.Secret
	psk       suite.Secret

	next *nextEpoch // nil after a restart: it is computed again
}

// Wire codes what is stored.
func (p *pendingCommit) Wire(c *wire.Codec) {
	wire.Opaque(c, &p.message)
	wire.Optional(c, &p.path, wire.Struct)
	p.leafKey.Wire(c)
	p.signature.Wire(c)
	p.init.Wire(c)
	p.psk.Wire(c)
	wire.Uint32(c, &p.public.From)
	wire.Optional(c, &p.public.Welcome, wire.Struct)
	wire.Optional(c, &p.public.GroupInfo, wire.Struct)
}

// erase overwrites the secrets.
func (p *pendingCommit) erase() {
	if p.path != nil {
		p.path.Erase()
	}
	for _, s := range []*suite.Secret{&p.leafKey, &p.signature, &p.init, &p.psk} {
		s.Erase()
	}
}

// Pending returns the pending commit, or nil.
func (g *Group) Pending() *PendingCommit {
	if g.pending == nil {
		return nil
	}
	p := g.pending.public
	return &p
}

// Discard drops the pending commit: it was refused, or overtaken. The group is
// as it was before the commit was made.
func (g *Group) Discard() { g.dropPending() }

func (g *Group) dropPending() {
	if g.pending != nil {
		g.pending.erase()
		g.pending = nil
		g.journal.del(rowPending)
	}
}

// Merge puts the pending commit into effect after the hub has accepted it. It
// fails with [ErrNoPendingCommit], and after a restart with whatever speaks
// against the commit now.
func (g *Group) Merge(ctx context.Context) (*CommitResult, error) {
	if g.pending == nil {
		return nil, ErrNoPendingCommit
	}
	if g.pending.next == nil {
		if err := g.restage(ctx); err != nil {
			return nil, fmt.Errorf("stage the pending commit again: %w", err)
		}
	}
	n := g.pending.next
	r := g.install(n)
	r.Own, r.DiscardedPending = true, false
	return r, nil
}

// restage computes the next epoch of a pending commit that was loaded.
func (g *Group) restage(ctx context.Context) error {
	p := g.pending
	a, err := fromPublic(p.public.Message)
	if err != nil {
		return err
	}
	s, err := g.state.stageCommit(ctx, g.cfg, &g.proposals, a, false)
	if err != nil {
		return err
	}
	n := &nextEpoch{staged: s, own: map[LeafIndex]suite.SignatureKey{}}
	commit, err := g.ownPath(p, n)
	if err != nil {
		return err
	}
	n.derive(g.suite, p.init, commit, p.psk)
	commit.Erase()
	n.joiner.Erase()
	if !bytes.Equal(n.tag(g.suite), a.auth.ConfirmationTag) {
		return ErrConfirmationTag
	}
	p.next = n
	return nil
}

// ownPath puts the own keys of a pending commit into n, and returns the commit
// secret.
func (g *Group) ownPath(p *pendingCommit, n *nextEpoch) (suite.Secret, error) {
	if _, err := g.ownUpdates(n.staged, n); err != nil {
		return suite.Secret{}, err
	}
	if p.path == nil {
		return suite.Secret{}, nil
	}
	path, err := derivePath(g.suite, *p.path, stepNodes(n.staged.steps))
	if err != nil {
		return suite.Secret{}, err
	}
	leafKey, err := g.suite.ImportHPKEKey(p.leafKey)
	if err != nil {
		return suite.Secret{}, err
	}
	signature, err := g.suite.ImportSignatureKey(p.signature)
	if err != nil {
		return suite.Secret{}, err
	}
	n.keys = append(n.keys, path.keys...)
	n.keys = append(n.keys, nodeKey{treemath.Leaf(uint32(p.public.From)), leafKey})
	n.own[p.public.From] = signature
	commit := path.commit.Clone()
	path.erase()
	return commit, nil
}

// A NextEpoch is the epoch that a commit being made leads to: what a GroupInfo
// of it may have to say.
type NextEpoch struct {
	next      *nextEpoch
	suite     *suite.Suite
	committer LeafIndex
}

// View returns the public state of the next epoch.
func (n *NextEpoch) View() View { return View{n.next.staged.next} }

// Commit returns what the commit does.
func (n *NextEpoch) Commit() *CommitView {
	v := n.next.staged.view
	return &v
}

// Committer returns the leaf of the committer in the next epoch.
func (n *NextEpoch) Committer() LeafIndex { return n.committer }

// Export is [Group.Export] in the next epoch.
func (n *NextEpoch) Export(label string, context []byte, length int) (suite.Secret, error) {
	return exportFrom(n.suite, n.next.secrets, label, context, length)
}

// A GroupInfoFunc says what the two GroupInfos of a commit carry: the public one
// for the hub, and the one that is encrypted in the Welcome. Both have the same
// GroupContext and confirmation tag.
type GroupInfoFunc func(*NextEpoch) (public, welcome GroupInfoOptions, err error)

// defaultGroupInfo is used without a GroupInfoFunc.
func defaultGroupInfo(*NextEpoch) (public, welcome GroupInfoOptions, err error) {
	return GroupInfoOptions{ExternalPub: true}, GroupInfoOptions{RatchetTree: true}, nil
}
