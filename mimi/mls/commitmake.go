package mls

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// CommitOptions say what a commit does.
type CommitOptions struct {
	// Proposals are committed by value, in this order, behind the references. The
	// nonce of a PSK is set here if it is absent.
	Proposals []ProposalBody
	// References are committed by reference, in this order.
	References []ProposalRef
	// AllPending adds references to all pending proposals that can be committed
	// together by this leaf (RFC 9420, section 12.4).
	AllPending bool
	// NoPath leaves the path out where RFC 9420, section 12.4, allows that. It is
	// ignored in the first epoch, whose secrets only the creator has made.
	NoPath bool
	// NewLeaf replaces credential, capabilities, extensions and signature key of
	// the committer's leaf, which needs a path.
	NewLeaf *LeafParams
	// AAD is the authenticated data of the commit.
	AAD AuthenticatedData
	// GroupInfo says what the GroupInfos carry. Without it the public one has
	// external_pub, the one in the Welcome the ratchet tree, and nothing else.
	GroupInfo GroupInfoFunc
}

// Commit makes a commit of an own leaf. Nothing changes but that the commit is
// pending: store the rows, send the message, and then Merge or Discard.
func (g *Group) Commit(ctx context.Context, from LeafIndex, opts CommitOptions) (*PendingCommit, error) {
	signer, err := g.ready(from)
	if err != nil {
		return nil, err
	}
	if g.pending != nil {
		return nil, ErrPendingCommit
	}
	list, err := g.proposalList(ctx, from, &opts)
	if err != nil {
		return nil, err
	}
	if err := g.checkSent(opts.Proposals); err != nil {
		return nil, err
	}
	leaf := g.state.tree.leaf(from).clone()
	signature := signer
	if opts.NewLeaf != nil {
		if leaf, err = opts.NewLeaf.leaf(); err != nil {
			return nil, err
		}
		signature = opts.NewLeaf.SignatureKey
	}
	m := &commitMaker{g: g, sender: Sender{SenderMember, from}, signer: signer, newSigner: signature, leaf: leaf, info: opts.GroupInfo}
	m.prepared, err = g.state.prepare(ctx, g.cfg, &g.proposals, list, m.sender, g.state.tree.leaf(from), true)
	if err != nil && opts.AllPending {
		list, m.prepared, err = g.mostPending(ctx, from, list)
	}
	if err != nil {
		return nil, err
	}
	m.init = g.secrets.Init.Clone()
	// RFC 9420, section 12.4.1: 2
	withPath := !opts.NoPath || m.prepared.pathNeeds || opts.NewLeaf != nil || g.Epoch() == 0
	return m.make(ctx, list, opts.AAD, withPath)
}

// mostPending puts a list together when all pending proposals at once are not
// valid: proposal by proposal, as long as the list stays valid. So nobody can
// keep others from committing by proposals that contradict each other.
func (g *Group) mostPending(ctx context.Context, from LeafIndex, all []ProposalOrRef) ([]ProposalOrRef, *prepared, error) {
	try := func(list []ProposalOrRef) (*prepared, error) {
		return g.state.prepare(ctx, g.cfg, &g.proposals, list, Sender{SenderMember, from}, g.state.tree.leaf(from), true)
	}
	var list []ProposalOrRef
	for _, p := range all {
		if p.Proposal != nil {
			list = append(list, p)
		}
	}
	best, err := try(list)
	if err != nil {
		return nil, nil, err
	}
	refs := 0
	for _, p := range all {
		if p.Proposal != nil {
			continue
		}
		more := slices.Insert(slices.Clone(list), refs, p)
		if next, err := try(more); err == nil {
			list, best = more, next
			refs++
		}
	}
	return list, best, nil
}

// proposalList puts the proposals of a commit together.
func (g *Group) proposalList(ctx context.Context, from LeafIndex, opts *CommitOptions) ([]ProposalOrRef, error) {
	refs := slices.Clone(opts.References)
	if opts.AllPending {
		for _, ref := range g.committable(ctx, from, opts.Proposals) {
			if !slices.ContainsFunc(refs, func(r ProposalRef) bool { return slices.Equal(r, ref) }) {
				refs = append(refs, ref)
			}
		}
	}
	var list []ProposalOrRef
	for _, ref := range refs {
		list = append(list, ProposalOrRef{Reference: ref})
	}
	for _, body := range opts.Proposals {
		if p, ok := body.(*PreSharedKey); ok && len(p.PSK.Nonce) == 0 {
			id, err := g.freshPSK(p.PSK)
			if err != nil {
				return nil, err
			}
			body = &PreSharedKey{id}
		}
		own, err := copyProposal(body)
		if err != nil {
			return nil, err
		}
		list = append(list, ProposalOrRef{Proposal: own})
	}
	return list, nil
}

// copyProposal sends a proposal through its encoding: what becomes part of the
// tree is not shared with the caller.
func copyProposal(body ProposalBody) (*Proposal, error) {
	b, err := wire.Marshal(&Proposal{body})
	if err != nil {
		return nil, err
	}
	p := new(Proposal)
	return p, wire.Unmarshal(b, p)
}

// freshPSK gives a PSK id its nonce.
func (g *Group) freshPSK(id PreSharedKeyID) (PreSharedKeyID, error) {
	id.Nonce = make([]byte, g.suite.Nh())
	// RFC 9420, sections 8.4: 2; 11.3: 1; 12.1.4: 4
	if _, err := io.ReadFull(g.cfg.Random, id.Nonce); err != nil {
		return id, fmt.Errorf("randomness for a PSK nonce: %w", err)
	}
	return id, nil
}

// committable selects pending proposals that do not contradict each other, nor
// those by value: of several for a leaf a SelfRemove, else a Remove, else the
// latest Update (RFC 9420, section 12.2). A ReInit has to be asked for, and a PSK
// has to be there.
func (g *Group) committable(ctx context.Context, from LeafIndex, byValue []ProposalBody) []ProposalRef {
	rank := map[ProposalType]int{ProposalUpdate: 1, ProposalRemove: 2, ProposalSelfRemove: 3}
	best := map[LeafIndex]*cachedProposal{}
	taken, gce := map[LeafIndex]bool{}, false
	for _, b := range byValue {
		switch p := b.(type) {
		case *Remove:
			taken[p.Removed] = true
		case *GroupContextExtensions:
			gce = true
		}
	}
	keep := map[*cachedProposal]bool{}
	for _, p := range g.proposals.order {
		c := &p.content.content
		target := c.Sender.Index
		switch body := c.Proposal.Body.(type) {
		case *ReInit:
			continue
		case *PreSharedKey:
			_, err := g.pskSecret(ctx, []PreSharedKeyID{body.PSK})
			keep[p] = err == nil
			continue
		case *GroupContextExtensions:
			keep[p] = !gce
			gce = true
			continue
		case *Update, *SelfRemove:
		case *Remove:
			target = body.Removed
		default:
			keep[p] = true
			continue
		}
		t := c.Proposal.Type()
		if target == from || taken[target] {
			continue
		}
		if b := best[target]; b == nil || rank[b.content.content.Proposal.Type()] <= rank[t] {
			best[target] = p
		}
	}
	var refs []ProposalRef
	for _, p := range g.proposals.order {
		c := &p.content.content
		target := c.Sender.Index
		if r, ok := c.Proposal.Body.(*Remove); ok {
			target = r.Removed
		}
		if keep[p] || best[target] == p {
			refs = append(refs, p.ref)
		}
	}
	return refs
}

// A commitMaker makes a commit of a member or of an external joiner.
type commitMaker struct {
	g         *Group
	sender    Sender
	signer    suite.SignatureKey // of the message
	newSigner suite.SignatureKey // of the leaf in the new epoch
	leaf      *LeafNode          // of the path, without keys
	prepared  *prepared
	path      *newPath // nil without path
	init      suite.Secret
	info      GroupInfoFunc
}

func (m *commitMaker) make(ctx context.Context, list []ProposalOrRef, aad AuthenticatedData, withPath bool) (*PendingCommit, error) {
	g := m.g
	data, err := aad.encode(g.state.framing.safeAAD)
	if err != nil {
		return nil, err
	}
	a := &authenticatedContent{format: WireFormatPublicMessage, content: FramedContent{
		GroupID: g.state.context.GroupID, Epoch: g.Epoch(), Sender: m.sender,
		AuthenticatedData: data, ContentType: ContentCommit, Commit: &Commit{Proposals: list},
	}}
	pending := &pendingCommit{init: m.init, signature: m.newSigner.Seed().Clone()}
	if withPath {
		if m.path, err = m.makePath(pending); err != nil {
			return nil, err
		}
		defer m.path.path.erase()
		a.content.Commit.Path = &m.path.update
	}
	pending.public.From = m.prepared.committer
	if err := a.sign(g.suite, m.signer, g.state.encoded); err != nil {
		return nil, err
	}
	// Only the confirmation tag is still missing.
	// RFC 9420, sections 12.4.1: 1; 12.4: 2
	staged, err := g.state.stageOwn(ctx, g.cfg, m.prepared, m.path, a)
	if err != nil {
		return nil, err
	}
	n := &nextEpoch{staged: staged, own: map[LeafIndex]suite.SignatureKey{}}
	if err := m.secrets(ctx, pending, n); err != nil {
		return nil, err
	}
	defer n.joiner.Erase()
	a.auth.ConfirmationTag = n.tag(g.suite)
	if err := staged.next.confirm(a.auth.ConfirmationTag); err != nil {
		return nil, err
	}
	if err := m.finish(pending, n, a); err != nil {
		return nil, err
	}
	g.pending = pending
	g.journal.encode(rowPending, pending, true)
	return g.Pending(), nil
}

// makePath makes the UpdatePath (RFC 9420, section 12.4.1).
func (m *commitMaker) makePath(pending *pendingCommit) (*newPath, error) {
	g, p := m.g, m.prepared
	if p.external {
		p.committer = p.tree.nextLeaf()
		if err := p.checkSize(g.cfg); err != nil {
			return nil, err
		}
	}
	np, err := p.tree.startPath(g.cfg.Random, p.committer, p.addedSet, m.leaf, m.newSigner, g.state.context.GroupID)
	if err != nil {
		return nil, err
	}
	if np.provisional, err = p.provisionalContext(); err != nil {
		return nil, err
	}
	if err := np.encrypt(p.tree); err != nil {
		return nil, err
	}
	first := np.path.commit.Clone() // without nodes the first secret is the last
	if len(np.path.secrets) > 0 {
		first = np.path.secrets[0].Clone()
	}
	pending.path, pending.leafKey = &first, np.leafKey.Secret()
	return np, nil
}

// secrets derives the secrets of the next epoch. The joiner secret stays for the
// Welcome.
func (m *commitMaker) secrets(ctx context.Context, pending *pendingCommit, n *nextEpoch) error {
	g := m.g
	if _, err := g.ownUpdates(n.staged, n); err != nil {
		return err
	}
	var commit suite.Secret
	if m.path != nil {
		commit = m.path.path.commit
		n.keys = append(n.keys, m.path.path.keys...)
		n.keys = append(n.keys, nodeKey{treemath.Leaf(uint32(pending.public.From)), m.path.leafKey})
		n.own[pending.public.From] = m.newSigner
	}
	var err error
	if pending.psk, err = g.pskSecret(ctx, n.staged.psks); err != nil {
		return err
	}
	n.derive(g.suite, pending.init, commit, pending.psk)
	return nil
}

// finish makes message, GroupInfo and Welcome.
func (m *commitMaker) finish(pending *pendingCommit, n *nextEpoch, a *authenticatedContent) error {
	g := m.g
	var membership suite.Secret
	if g.secrets != nil {
		membership = g.secrets.Membership
	}
	message, err := a.public(g.suite, membership, g.state.encoded)
	if err != nil {
		return err
	}
	if pending.message, err = wire.Marshal(message); err != nil {
		return err
	}
	// What is sent is what was decoded: so the author keeps received octets like
	// everyone else.
	pending.public.Message = new(PublicMessage)
	if err := wire.Unmarshal(pending.message, pending.public.Message); err != nil {
		return err
	}
	info := m.info
	if info == nil {
		info = defaultGroupInfo
	}
	from := pending.public.From
	public, welcome, err := info(&NextEpoch{n, g.suite, from})
	if err != nil {
		return fmt.Errorf("contents of the GroupInfos: %w", err)
	}
	if pending.public.GroupInfo, err = makeGroupInfo(n.staged.next, n.secrets, from, m.newSigner, public); err != nil {
		return err
	}
	if len(m.prepared.addedSet) > 0 {
		gi, err := makeGroupInfo(n.staged.next, n.secrets, from, m.newSigner, welcome)
		if err != nil {
			return err
		}
		if pending.public.Welcome, err = m.welcome(pending, n, gi); err != nil {
			return err
		}
	}
	pending.public.View = &n.staged.view
	pending.next = n
	return nil
}

// welcome encrypts the GroupInfo and, to each new member, the group secrets (RFC
// 9420, section 12.4.3.1).
func (m *commitMaker) welcome(pending *pendingCommit, n *nextEpoch, gi *GroupInfo) (*Welcome, error) {
	s := m.g.suite
	plaintext, err := wire.Marshal(gi)
	if err != nil {
		return nil, err
	}
	key, nonce := schedule.Welcome(s, n.joiner, pending.psk)
	defer key.Erase()
	w := &Welcome{CipherSuite: s.ID()}
	if w.EncryptedGroupInfo, err = s.Seal(key, nonce, nil, plaintext); err != nil {
		return nil, err
	}
	k := 0
	for i := range n.staged.proposals {
		add, ok := n.staged.proposals[i].Proposal.Body.(*Add)
		if !ok {
			continue
		}
		secrets := GroupSecrets{JoinerSecret: n.joiner, PSKs: n.staged.psks}
		if m.path != nil {
			secrets.PathSecret = m.path.path.secretFor(n.staged.added[k].Index)
		}
		k++
		e, err := encryptGroupSecrets(s, &add.KeyPackage, &secrets, w.EncryptedGroupInfo)
		if err != nil {
			return nil, err
		}
		// RFC 9420, section 12.4.1: 4
		w.Secrets = append(w.Secrets, *e)
	}
	return w, nil
}

// secretFor returns the path secret of the lowest node of the path above a leaf.
func (p *path) secretFor(i LeafIndex) *suite.Secret {
	for k := range p.keys {
		if p.keys[k].node.Covers(uint32(i)) {
			return &p.secrets[k]
		}
	}
	return nil
}

func encryptGroupSecrets(s *suite.Suite, kp *KeyPackage, secrets *GroupSecrets, groupInfo []byte) (*EncryptedGroupSecrets, error) {
	ref, err := kp.Ref()
	if err != nil {
		return nil, err
	}
	plaintext, err := wire.Marshal(secrets)
	if err != nil {
		return nil, err
	}
	defer clear(plaintext)
	ct, err := s.EncryptWithLabel(kp.InitKey, "Welcome", groupInfo, plaintext)
	if err != nil {
		return nil, err
	}
	return &EncryptedGroupSecrets{NewMember: ref, Secrets: ct}, nil
}
