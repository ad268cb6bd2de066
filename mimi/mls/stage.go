package mls

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A stagedCommit is a commit whose public part is verified. The epoch it leads
// to is complete, but nobody has it as the current one yet.
type stagedCommit struct {
	*prepared
	content     *authenticatedContent
	next        *state
	path        *UpdatePath
	steps       []pathStep // of the path
	provisional []byte     // encoded provisional GroupContext, for path secrets
	view        CommitView
}

// stageCommit verifies the public part of a commit: everything that RFC 9420,
// section 12.4.2, asks for except the membership tag, the path secrets and the
// confirmation tag, which only members can check. It changes nothing.
func (st *state) stageCommit(ctx context.Context, cfg *Config, cache *proposalCache, a *authenticatedContent, fresh bool) (*stagedCommit, error) {
	sender, commit := a.content.Sender, a.content.Commit
	leaf, err := st.committerLeaf(a)
	if err != nil {
		return nil, err
	}
	// RFC 9420, sections 12.4.2: 3; 6.1: 5; 12.4.3.2: 3, 4
	if err := a.verify(st.suite, leaf.SignatureKey, st.encoded); err != nil {
		return nil, err
	}
	s := &stagedCommit{content: a, path: commit.Path}
	if s.view.AuthenticatedData, err = parseAuthenticatedData(st.framing.safeAAD, a.content.AuthenticatedData); err != nil {
		return nil, err
	}
	if s.prepared, err = st.prepare(ctx, cfg, cache, commit.Proposals, sender, leaf, fresh); err != nil {
		return nil, err
	}
	// RFC 9420, sections 12.4: 3; 12.4.2: 6
	if s.pathNeeds && commit.Path == nil {
		return nil, ErrPathMissing
	}
	if commit.Path != nil {
		if err := s.mergePath(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return s, s.finish(ctx, cfg)
}

// verifyLeaf verifies the signature of a leaf at its place.
func (st *state) verifyLeaf(leaf *LeafNode, at LeafIndex) error {
	// RFC 9420, section 7.3: 2
	if err := leaf.VerifySignature(st.suite, st.context.GroupID, at); err != nil {
		return fmt.Errorf("leaf %d: %w: %w", at, ErrSignature, err)
	}
	return nil
}

// stageOwn is stageCommit for a commit that was just made here: its proposals are
// prepared, its path is in the tree, and its signatures are our own. All other
// checks are those of the receivers: a commit that they would refuse is not sent.
func (st *state) stageOwn(ctx context.Context, cfg *Config, p *prepared, np *newPath, a *authenticatedContent) (*stagedCommit, error) {
	s := &stagedCommit{prepared: p, content: a, path: a.content.Commit.Path}
	var err error
	if s.view.AuthenticatedData, err = parseAuthenticatedData(st.framing.safeAAD, a.content.AuthenticatedData); err != nil {
		return nil, err
	}
	if np != nil {
		s.steps, s.provisional = np.steps, np.provisional
		if err := s.checkPathLeaf(ctx, cfg); err != nil {
			return nil, err
		}
		s.noteLeaf(st.tree.leaf(s.committer))
	}
	return s, s.finish(ctx, cfg)
}

// noteLeaf notes the committer's new leaf, which is in the tree, and the old one.
func (s *stagedCommit) noteLeaf(old *LeafNode) {
	leaf := s.tree.leaf(s.committer)
	if s.external {
		s.added = append(s.added, Member{s.committer, leaf})
	} else {
		s.updated = append(s.updated, LeafChange{s.committer, old, leaf})
	}
}

// committerLeaf returns the leaf whose key signs a commit (RFC 9420, section
// 6.1).
func (st *state) committerLeaf(a *authenticatedContent) (*LeafNode, error) {
	sender := a.content.Sender
	switch sender.Type {
	case SenderMember:
		leaf := st.tree.leaf(sender.Index)
		if leaf == nil {
			return nil, fmt.Errorf("%w: sender %d", ErrNotMember, sender.Index)
		}
		return leaf, nil
	case SenderNewMemberCommit:
		// unmutated: what was decrypted is of a member
		if a.format != WireFormatPublicMessage {
			return nil, fmt.Errorf("%w: an external Commit is a PublicMessage", ErrWireFormat)
		}
		// RFC 9420, section 12.4.3.2: 1
		if a.content.Commit.Path == nil {
			return nil, fmt.Errorf("%w: external Commit", ErrPathMissing)
		}
		return &a.content.Commit.Path.LeafNode, nil
	case SenderExternal, SenderNewMemberProposal:
	}
	// RFC 9420, sections 6.1: 2, 4; 12.4.3.2: 6
	return nil, fmt.Errorf("%w: commit of sender type %d", ErrSender, sender.Type)
}

// mergePath validates an UpdatePath and merges it into the tree (RFC 9420,
// section 12.4.2).
func (s *stagedCommit) mergePath(ctx context.Context, cfg *Config) error {
	leaf := &s.path.LeafNode
	if s.external {
		s.committer = s.tree.nextLeaf()
		if err := s.checkSize(cfg); err != nil {
			return err
		}
	}
	// RFC 9420, sections 7.3: 9, 12; 12.4.2: 7
	if leaf.Source != LeafNodeSourceCommit {
		return fmt.Errorf("%w: %d in a path", ErrLeafSource, leaf.Source)
	}
	if err := s.before.verifyLeaf(leaf, s.committer); err != nil {
		return err
	}
	// RFC 9420, section 7.5: 1
	if err := s.checkPathLeaf(ctx, cfg); err != nil {
		return err
	}
	old := s.tree.leaf(s.committer)
	if s.external {
		// As an Add would (RFC 9420, section 12.4.3.2).
		if err := s.tree.setLeaf(s.committer, leaf); err != nil {
			return err
		}
	}
	s.steps = s.tree.filteredPath(s.committer, s.addedSet)
	if err := checkPathForm(s.steps, s.path); err != nil {
		return err
	}
	if err := s.checkNewKeys(); err != nil {
		return err
	}
	keys := make([][]byte, len(s.path.Nodes))
	for k := range keys {
		keys[k] = s.path.Nodes[k].EncryptionKey
	}
	parentHash, err := s.tree.mergePath(s.committer, s.steps, keys)
	if err != nil {
		return err
	}
	// RFC 9420, sections 7.5: 3; 7.9.2: 2
	if !bytes.Equal(parentHash, leaf.ParentHash) {
		return fmt.Errorf("%w: committer %d", ErrParentHash, s.committer)
	}
	if err := s.tree.setLeaf(s.committer, leaf); err != nil {
		return err
	}
	s.noteLeaf(old)
	s.provisional, err = s.provisionalContext()
	return err
}

// provisionalContext encodes the GroupContext under which path secrets are
// encrypted (RFC 9420, section 12.4.1), once the path is in the tree.
func (p *prepared) provisionalContext() ([]byte, error) {
	c := p.before.context
	c.Epoch++
	c.Extensions = p.extensions
	var err error
	if c.TreeHash, err = p.tree.rootHash(); err != nil {
		return nil, err
	}
	return wire.Marshal(&c)
}

// checkPathLeaf validates the leaf in the path, whose signature is verified: as the
// successor of the old one or, of a new member, as a new leaf.
func (s *stagedCommit) checkPathLeaf(ctx context.Context, cfg *Config) error {
	leaf := &s.path.LeafNode
	if err := checkLeafAlone(cfg, s.before.suite, leaf); err != nil {
		return err
	}
	if !s.external {
		return s.before.checkSuccessor(ctx, cfg, s.committer, leaf)
	}
	if s.resync != nil {
		// RFC 9420, section 12.2: 17, 18
		if err := s.before.checkSuccessor(ctx, cfg, *s.resync, leaf); err != nil {
			return fmt.Errorf("resync: %w", err)
		}
	}
	return cfg.validateCredential(ctx, leaf)
}

// checkNewKeys verifies that the public keys of the path are keys, and that none
// of them is in the tree or twice in the path (RFC 9420, section 12.4.2).
func (s *stagedCommit) checkNewKeys() error {
	fresh := make(map[string]bool, len(s.path.Nodes)+1)
	for k := -1; k < len(s.path.Nodes); k++ {
		key := s.path.LeafNode.EncryptionKey
		if k >= 0 {
			key = s.path.Nodes[k].EncryptionKey
			if err := s.before.suite.CheckHPKEKey(key); err != nil {
				return fmt.Errorf("node %d of the path: %w", k, err)
			}
		}
		// RFC 9420, section 12.4.2: 9
		if fresh[string(key)] {
			return fmt.Errorf("%w: twice in the path", ErrDuplicateKey)
		}
		fresh[string(key)] = true
	}
	// The leaf of an external joiner is in the tree already.
	own := noNode
	if s.external {
		own = treemath.Leaf(uint32(s.committer))
	}
	for key := range fresh {
		// RFC 9420, section 12.4.2: 9
		if x, ok := s.tree.withEncryptionKey([]byte(key), own); ok {
			return fmt.Errorf("%w: node %d has an encryption key of the path", ErrDuplicateKey, x)
		}
	}
	return nil
}

// finish builds the state of the next epoch, validates its leaves, and asks the
// policy.
func (s *stagedCommit) finish(ctx context.Context, cfg *Config) error {
	c := s.before.context
	c.Epoch++
	c.Extensions = s.extensions
	input, err := s.content.confirmedInput()
	if err != nil {
		return err
	}
	c.ConfirmedTranscriptHash = schedule.ConfirmedTranscriptHash(s.before.suite, s.before.interim, input...)
	if s.next, err = newState(s.before.suite, c, s.tree); err != nil {
		return err
	}
	check := map[LeafIndex]bool{}
	for _, m := range s.added {
		check[m.Index] = true
	}
	for _, u := range s.updated {
		check[u.Index] = true
	}
	// RFC 9420, sections 12.2: 14; 13.4: 6, 10
	if err := s.next.checkMembers(check, s.all); err != nil {
		return err
	}
	if err := s.next.confirm(s.content.auth.ConfirmationTag); err != nil {
		return err
	}
	s.fillView()
	return policyError("ValidateCommit", cfg.Policy.ValidateCommit(ctx, &s.view))
}

func (s *stagedCommit) fillView() {
	s.view.Before, s.view.After = View{s.before}, View{s.next}
	s.view.External, s.view.Committer, s.view.HasPath = s.external, s.committer, s.path != nil
	s.view.CommitterLeaf = s.next.tree.leaf(s.committer)
	s.view.Proposals = slices.Clone(s.proposals)
	s.view.Added, s.view.Removed, s.view.Updated = s.added, s.removed, s.updated
	s.view.ReInit = s.reInit
}

// checkAddress checks that a message is for this group and epoch.
func (st *state) checkAddress(groupID []byte, epoch uint64) error {
	switch {
	case !bytes.Equal(groupID, st.context.GroupID):
		return ErrGroupID
	// RFC 9420, sections 12.1: 1; 12.4.2: 1
	case epoch < st.context.Epoch:
		return fmt.Errorf("%w: %d, the group is in %d", ErrEpochPast, epoch, st.context.Epoch)
	// RFC 9420, sections 12.1: 1; 12.4.2: 1
	case epoch > st.context.Epoch:
		return fmt.Errorf("%w: %d, the group is in %d", ErrEpochFuture, epoch, st.context.Epoch)
	}
	return nil
}
