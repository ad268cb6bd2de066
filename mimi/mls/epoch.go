package mls

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// externalInitLabel is the label of RFC 9420, section 8.3.
const externalInitLabel = "MLS 1.0 external init secret"

// pskSecret collects the PSKs of a commit or Welcome, in order (RFC 9420,
// section 8.4).
func (g *Group) pskSecret(ctx context.Context, ids []PreSharedKeyID) (suite.Secret, error) {
	return pskSecret(ctx, g.cfg, g.suite, ids, g.resumptionPSK)
}

func pskSecret(ctx context.Context, cfg *Config, s *suite.Suite, ids []PreSharedKeyID, resumption func(*PreSharedKeyID) (suite.Secret, bool)) (suite.Secret, error) {
	if len(ids) == 0 {
		return suite.Secret{}, nil
	}
	psks := make([]schedule.PSK, len(ids))
	for i := range ids {
		id, err := wire.Marshal(&ids[i])
		if err != nil {
			return suite.Secret{}, err
		}
		psks[i].ID = id
		if secret, ok := resumption(&ids[i]); ok {
			psks[i].Secret = secret
			continue
		}
		// RFC 9420, sections 12.4.2: 5; 12.4.3.1: 3
		if cfg.PSK == nil {
			return suite.Secret{}, fmt.Errorf("%w: number %d", ErrNoPSK, i)
		}
		// RFC 9420, sections 12.4.2: 5; 12.4.3.1: 3
		if psks[i].Secret, err = cfg.PSK(ctx, ids[i]); err != nil {
			if !errors.Is(err, ErrNoPSK) {
				err = fmt.Errorf("%w: %w", ErrNoPSK, err)
			}
			return suite.Secret{}, err
		}
	}
	return schedule.PSKSecret(s, psks)
}

// resumptionPSK finds a resumption PSK of this group, or of the one it is made
// from. There is none without a group.
func (g *Group) resumptionPSK(id *PreSharedKeyID) (suite.Secret, bool) {
	if g == nil {
		return suite.Secret{}, false
	}
	if g.origin != nil && id.Usage != ResumptionApplication {
		return g.origin.resumptionPSK(id)
	}
	if id.Type != PSKResumption || !bytes.Equal(id.GroupID, g.state.context.GroupID) {
		return suite.Secret{}, false
	}
	if g.secrets != nil && id.Epoch == g.Epoch() {
		return g.secrets.Resumption, true
	}
	secret, ok := g.resumption[id.Epoch]
	return secret, ok
}

// A nextEpoch is a staged commit with the secrets of the epoch it leads to:
// everything that [Group.install] needs, so that it cannot fail.
type nextEpoch struct {
	staged  *stagedCommit
	secrets *schedule.Secrets
	keys    []nodeKey
	own     map[LeafIndex]suite.SignatureKey // own leaves that are new or have a new key
	joiner  suite.Secret                     // only for a Welcome
}

// derive computes the secrets of the next epoch (RFC 9420, section 8) from the
// commit secret, absent without path. It does not check the confirmation tag.
func (n *nextEpoch) derive(s *suite.Suite, init, commit, psk suite.Secret) {
	n.joiner = schedule.Joiner(s, init, commit, n.staged.next.encoded)
	n.secrets = schedule.Epoch(s, n.joiner, psk, n.staged.next.encoded)
}

// tag is the confirmation tag of the next epoch (RFC 9420, section 6.1).
func (n *nextEpoch) tag(s *suite.Suite) []byte {
	return s.MAC(n.secrets.Confirmation, n.staged.next.context.ConfirmedTranscriptHash)
}

// initSecret is the init secret for a commit: that of the epoch, or the one an
// external joiner sent (RFC 9420, section 8.3).
func (g *Group) initSecret(p *prepared) (suite.Secret, error) {
	if p.init == nil {
		return g.secrets.Init.Clone(), nil
	}
	key, err := g.suite.DeriveHPKEKey(g.secrets.External)
	if err != nil {
		return suite.Secret{}, err
	}
	// RFC 9420, section 12.4.3.2: 5
	secret, err := g.suite.ExportFrom(key, p.init.KEMOutput, externalInitLabel)
	if err != nil {
		return suite.Secret{}, fmt.Errorf("%w: KEM output: %w", ErrExternalInit, err)
	}
	return secret, nil
}

// open does the private part of processing a commit of someone else (RFC 9420,
// section 12.4.2): path secret, key schedule, confirmation tag. It changes
// nothing.
func (g *Group) open(ctx context.Context, s *stagedCommit) (*nextEpoch, error) {
	n := &nextEpoch{staged: s, own: map[LeafIndex]suite.SignatureKey{}}
	updated, err := g.ownUpdates(s, n)
	if err != nil {
		return nil, err
	}
	var commit suite.Secret
	if s.path != nil {
		find := func(x treemath.Node) (suite.HPKEPrivateKey, error) {
			if k, ok := updated[x]; ok {
				return k, nil
			}
			return g.privateKey(x)
		}
		p, err := s.tree.openPath(s.steps, s.path, find, s.provisional)
		if err != nil {
			return nil, err
		}
		defer p.erase()
		n.keys, commit = append(n.keys, p.keys...), p.commit
	}
	psk, err := g.pskSecret(ctx, s.psks)
	if err != nil {
		return nil, err
	}
	init, err := g.initSecret(s.prepared)
	if err != nil {
		return nil, err
	}
	n.derive(g.suite, init, commit, psk)
	init.Erase()
	// RFC 9420, section 9.2: 3
	n.joiner.Erase()
	// RFC 9420, sections 6.2: 2; 6.3.1: 6; 12.4.2: 10
	if !g.suite.VerifyMAC(n.secrets.Confirmation, s.content.auth.ConfirmationTag, s.next.context.ConfirmedTranscriptHash) {
		return nil, ErrConfirmationTag
	}
	return n, nil
}

// ownUpdates finds the private keys of own Update proposals that a commit
// covers.
func (g *Group) ownUpdates(s *stagedCommit, n *nextEpoch) (map[treemath.Node]suite.HPKEPrivateKey, error) {
	found := map[treemath.Node]suite.HPKEPrivateKey{}
	for i := range s.proposals {
		cp := &s.proposals[i]
		if cp.Proposal.Type() != ProposalUpdate || cp.Sender.Type != SenderMember || g.own[cp.Sender.Index] == nil {
			continue
		}
		u := g.updates[string(cp.Ref)]
		if u == nil {
			return nil, fmt.Errorf("%w: the keys of the own Update %x are gone", ErrState, []byte(cp.Ref))
		}
		x := treemath.Leaf(uint32(u.leaf))
		found[x] = u.encryption
		n.keys = append(n.keys, nodeKey{x, u.encryption})
		n.own[u.leaf] = u.signature
	}
	return found, nil
}

// install makes a verified epoch the current one. It cannot fail: this is the
// moment in which a commit takes effect.
func (g *Group) install(n *nextEpoch) *CommitResult {
	s := n.staged
	r := &CommitResult{CommitView: s.view, Epoch: s.next.context.Epoch, DiscardedPending: g.pending != nil}
	if g.secrets != nil {
		g.retire(s)
	}
	g.journal.tree(s.tree, s.tree.changed)
	for _, m := range s.removed {
		if g.own[m.Index] != nil {
			r.OwnRemoved = append(r.OwnRemoved, m.Index)
			g.dropOwn(m.Index)
		}
	}
	for x := range s.tree.changed {
		held, ok := g.keys[x]
		if n := s.tree.inside(x); ok && (n == nil || !bytes.Equal(held.public, n.encryptionKey())) {
			// RFC 9420, section 7.5: 5, 7
			g.dropKey(x)
		}
	}
	for _, k := range n.keys {
		g.setKey(k.node, k.key)
	}
	for i, key := range n.own {
		g.setOwn(i, key)
	}
	g.dropPending()
	g.clearProposals()
	g.start(s.next, n.secrets)
	if s.reInit != nil {
		// RFC 9420, section 12.4.2: 11, 12
		g.reInit = s.reInit
		g.journal.encode(rowEnded, s.reInit, false)
	}
	r.Active = g.Active()
	return r
}

// retire makes the current epoch a past one, and forgets the oldest.
func (g *Group) retire(s *stagedCommit) {
	epoch := g.Epoch()
	p := &pastEpoch{epoch: epoch, encoded: g.state.encoded, framing: g.state.framing, messages: g.messages, replaced: map[LeafIndex]*treeNode{}}
	for x := range s.tree.changed {
		if !x.IsLeaf() {
			continue
		}
		i := LeafIndex(x.LeafIndex())
		p.replaced[i] = g.state.tree.inside(x)
		g.journal.put(Row{oldLeafRow(epoch, i), encodeOldLeaf(p.replaced[i]), false})
	}
	g.journal.encode(epochRow(prefixPast, epoch), &storedPast{p.encoded, p.messages.senderData, g.state.tree.leaves()}, true)
	g.journal.secretTree(epochRow(prefixTree, epoch)+"/", p.messages.tree)
	g.journal.dropTree(prefixExport, g.exporter)
	g.resumption[epoch] = g.secrets.Resumption.Clone()
	g.journal.set(epochRow(prefixResume, epoch), g.secrets.Resumption.Bytes(), true)
	// RFC 9420, section 9.2: 3
	g.secrets.Init.Erase()
	g.secrets.Exporter.Erase()
	g.secrets.External.Erase()
	g.secrets.Confirmation.Erase()
	g.secrets.Membership.Erase()
	g.past = append(g.past, p)
	for len(g.past) > max(0, g.cfg.Limits.PastEpochs) {
		g.dropPast()
	}
}

// dropPast forgets the oldest past epoch.
func (g *Group) dropPast() {
	p := g.past[0]
	g.past = g.past[1:]
	epoch := p.epoch
	g.journal.dropTree(epochRow(prefixTree, epoch)+"/", p.messages.tree)
	p.messages.senderData.Erase()
	g.journal.del(epochRow(prefixPast, epoch))
	for i := range p.replaced {
		g.journal.del(oldLeafRow(epoch, i))
	}
	secret := g.resumption[epoch]
	secret.Erase()
	delete(g.resumption, epoch)
	g.journal.del(epochRow(prefixResume, epoch))
}

// leave forgets all secrets: the last own leaf was removed.
func (g *Group) leave(s *stagedCommit) *CommitResult {
	r := &CommitResult{CommitView: s.view, Epoch: s.next.context.Epoch, OwnRemoved: g.OwnLeaves(), DiscardedPending: g.pending != nil}
	for len(g.past) > 0 {
		g.dropPast()
	}
	g.journal.dropTree(epochRow(prefixTree, g.Epoch())+"/", g.messages.tree)
	g.journal.dropTree(prefixExport, g.exporter)
	g.journal.del(rowEpoch)
	for _, i := range g.OwnLeaves() {
		g.dropOwn(i)
	}
	for x := range g.keys {
		g.dropKey(x)
	}
	g.dropPending()
	g.clearProposals()
	g.secrets, g.messages, g.exporter = nil, messageKeys{}, nil
	g.journal.tree(s.tree, s.tree.changed)
	g.state = s.next
	g.journal.context(s.next)
	return r
}

// clearProposals forgets the proposals of an epoch that is over.
func (g *Group) clearProposals() {
	for i := range g.proposals.order {
		g.journal.del(proposalRow(i))
	}
	for ref := range g.updates {
		g.journal.del(updateRow(ProposalRef(ref)))
	}
	g.proposals = proposalCache{}
	clear(g.updates)
}
