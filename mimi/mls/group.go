package mls

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Group is what the members in one program know about a group: one tree, one
// key schedule and one secret tree, however many own leaves it has. A commit is
// processed once, and a message is decrypted once.
//
// A Group is not safe for concurrent use. After every call that changes it, the
// caller writes the rows of [Group.Dirty] in one transaction before anything
// leaves the program; if that fails, the Group is thrown away and loaded again.
type Group struct {
	cfg   *Config
	suite *suite.Suite
	state *state

	secrets  *schedule.Secrets // nil until the first external Commit is merged, and when inactive
	messages messageKeys       // of the current epoch
	exporter *secrettree.Tree  // of SafeExportSecret
	past     []*pastEpoch      // oldest first
	// resumption has the resumption PSKs of past epochs.
	resumption map[uint64]suite.Secret

	// An own leaf has a signature key here, its HPKE key in keys, and its sending
	// ratchets in the secret tree.
	own  map[LeafIndex]*heldKey[suite.SignatureKey]
	keys map[treemath.Node]*heldKey[suite.HPKEPrivateKey] // of leaves and parents, of all own leaves together

	proposals proposalCache
	updates   map[string]*pendingUpdate // own Update proposals, by reference
	pending   *pendingCommit
	reInit    *ReInit // that ended the group
	origin    *Group  // of a successor, while its first commit is made

	journal journal
}

// A pendingUpdate is the private side of an own Update proposal.
type pendingUpdate struct {
	leaf       LeafIndex
	encryption suite.HPKEPrivateKey
	signature  suite.SignatureKey
}

// A pastEpoch keeps what decrypts application messages that come late.
type pastEpoch struct {
	epoch    uint64
	encoded  []byte // GroupContext
	framing  framing
	messages messageKeys
	// replaced has the leaves of this epoch that the next one does not have any
	// more; nil was blank.
	replaced map[LeafIndex]*treeNode
}

// LeafParams are what a leaf says about its owner. Its keys for HPKE are made by
// the group.
type LeafParams struct {
	Credential   Credential
	Capabilities Capabilities
	Extensions   Extensions
	SignatureKey suite.SignatureKey
}

// leaf returns a leaf without HPKE key and signature.
func (p *LeafParams) leaf() (*LeafNode, error) {
	if err := p.checkSent(); err != nil {
		return nil, err
	}
	return &LeafNode{
		SignatureKey: p.SignatureKey.Public(),
		Credential:   p.Credential, Capabilities: p.Capabilities, Extensions: slices.Clone(p.Extensions),
	}, nil
}

// CreateParams describe a new group.
type CreateParams struct {
	CipherSuite CipherSuite
	GroupID     []byte
	Leaf        LeafParams
	Extensions  Extensions // of the GroupContext
}

// Create makes a group with one member (RFC 9420, section 11). Its first epoch
// has random secrets, and the first commit always carries a path.
func Create(ctx context.Context, cfg Config, p CreateParams) (*Group, error) {
	c, err := cfg.complete(true)
	if err != nil {
		return nil, err
	}
	s, err := suite.Lookup(p.CipherSuite)
	if err != nil {
		return nil, err
	}
	key, err := s.GenerateHPKEKey(c.Random)
	if err != nil {
		return nil, err
	}
	leaf, err := p.Leaf.leaf()
	if err != nil {
		return nil, err
	}
	// The first commit replaces this leaf. Its source is update, since it has
	// neither a KeyPackage nor a path.
	leaf.Source, leaf.EncryptionKey = LeafNodeSourceUpdate, key.Public()
	if err := leaf.sign(s, p.Leaf.SignatureKey, p.GroupID, 0); err != nil {
		return nil, err
	}
	t := newTree(s)
	if err := t.setLeaf(0, leaf); err != nil {
		return nil, err
	}
	st, err := newState(s, GroupContext{CipherSuite: p.CipherSuite, GroupID: p.GroupID, Extensions: p.Extensions}, t)
	if err != nil {
		return nil, err
	}
	if err := st.validateAll(ctx, c); err != nil {
		return nil, err
	}
	if err := p.Extensions.checkSent(); err != nil {
		return nil, err
	}
	random := make([]byte, s.Nh())
	// RFC 9420, section 11: 2
	if _, err := io.ReadFull(c.Random, random); err != nil {
		return nil, fmt.Errorf("randomness for the first epoch: %w", err)
	}
	epoch := suite.NewSecret(random)
	clear(random)
	secrets := schedule.FromEpochSecret(s, epoch)
	epoch.Erase()
	if err := st.confirm(s.MAC(secrets.Confirmation, st.context.ConfirmedTranscriptHash)); err != nil {
		return nil, err
	}
	g := newGroup(c, st)
	g.setOwn(0, p.Leaf.SignatureKey)
	g.setKey(treemath.Leaf(0), key)
	g.start(st, secrets)
	g.journal.tree(st.tree, nil)
	return g, nil
}

func newGroup(cfg *Config, st *state) *Group {
	g := &Group{
		cfg: cfg, suite: st.suite, state: st,
		resumption: map[uint64]suite.Secret{},
		own:        map[LeafIndex]*heldKey[suite.SignatureKey]{},
		keys:       map[treemath.Node]*heldKey[suite.HPKEPrivateKey]{},
		updates:    map[string]*pendingUpdate{},
		journal:    journal{},
	}
	g.journal.set(rowVersion, []byte{stateVersion, stateMember}, false)
	return g
}

// start makes secrets those of the current epoch.
func (g *Group) start(st *state, secrets *schedule.Secrets) {
	g.state, g.secrets = st, secrets
	g.messages = messageKeys{
		suite: g.suite, senderData: secrets.SenderData,
		tree: secrettree.New(g.suite, secrets.Encryption, st.tree.leaves(), g.cfg.treeLimits()),
	}
	g.exporter = secrettree.New(g.suite, secrets.AppExport, 1<<16, secrettree.Limits{})
	secrets.Encryption, secrets.AppExport = suite.Secret{}, suite.Secret{}
	g.journal.context(st)
	g.journal.encode(rowEpoch, secrets, true)
}

// View returns the public state of the current epoch.
func (g *Group) View() View { return View{g.state} }

// Epoch returns the number of the current epoch.
func (g *Group) Epoch() uint64 { return g.state.context.Epoch }

// GroupID returns the group ID.
func (g *Group) GroupID() []byte { return slices.Clone(g.state.context.GroupID) }

// Suite returns the cipher suite of the group.
func (g *Group) Suite() *suite.Suite { return g.suite }

// RatchetTree returns the tree as it is sent.
func (g *Group) RatchetTree() *RatchetTree { return g.View().RatchetTree() }

// OwnLeaves returns the own leaves, ascending.
func (g *Group) OwnLeaves() []LeafIndex {
	l := make([]LeafIndex, 0, len(g.own))
	for i := range g.own {
		l = append(l, i)
	}
	slices.Sort(l)
	return l
}

// Active reports whether the group has own leaves and was not ended by a ReInit.
func (g *Group) Active() bool { return len(g.own) > 0 && g.reInit == nil }

// SignatureKey returns the signature key of an own leaf.
func (g *Group) SignatureKey(i LeafIndex) (suite.SignatureKey, bool) {
	held, ok := g.own[i]
	if !ok {
		return suite.SignatureKey{}, false
	}
	key, err := held.get()
	return key, err == nil
}

// EncryptionKey returns the HPKE key of an own leaf, which components use with
// [ComponentLabel] (draft-ietf-mls-extensions-09, section "Hybrid Public Key
// Encryption (HPKE) Keys").
func (g *Group) EncryptionKey(i LeafIndex) (suite.HPKEPrivateKey, bool) {
	if _, ok := g.own[i]; !ok {
		return suite.HPKEPrivateKey{}, false
	}
	key, err := g.privateKey(treemath.Leaf(uint32(i)))
	return key, err == nil && !key.IsZero()
}

// privateKey returns the private key of a node. Without one it is absent.
func (g *Group) privateKey(x treemath.Node) (suite.HPKEPrivateKey, error) {
	held, ok := g.keys[x]
	if !ok {
		return suite.HPKEPrivateKey{}, nil
	}
	return held.get()
}

// PendingProposals lists the proposals of the epoch that may be committed.
func (g *Group) PendingProposals() []PendingProposal { return g.proposals.list() }

// ready returns the signature key of an own leaf, or an error unless the group can
// act for it.
func (g *Group) ready(from LeafIndex) (suite.SignatureKey, error) {
	switch {
	case g.reInit != nil, len(g.own) == 0 && g.secrets != nil:
		return suite.SignatureKey{}, ErrInactive
	case g.secrets == nil && g.pending != nil:
		return suite.SignatureKey{}, ErrNoSecrets
	case g.secrets == nil:
		return suite.SignatureKey{}, ErrInactive
	}
	held, ok := g.own[from]
	if !ok {
		return suite.SignatureKey{}, fmt.Errorf("%w: %d", ErrNotOwn, from)
	}
	return held.get()
}

// Export derives a secret of the current epoch for use outside of MLS (RFC 9420,
// section 8.5), of at most [suite.MaxExpand] octets.
func (g *Group) Export(label string, context []byte, n int) (suite.Secret, error) {
	if g.secrets == nil {
		return suite.Secret{}, ErrNoSecrets
	}
	return exportFrom(g.suite, g.secrets, label, context, n)
}

func exportFrom(s *suite.Suite, secrets *schedule.Secrets, label string, context []byte, n int) (suite.Secret, error) {
	if n < 0 || n > suite.MaxExpand {
		return suite.Secret{}, fmt.Errorf("mls: an exported secret of %d octets is not possible", n)
	}
	return secrets.Export(s, label, context, n), nil
}

// ExportComponent is SafeExportSecret: the secret of a component, which can be
// had once in an epoch (draft-ietf-mls-extensions-09, section "Exported
// Secrets"). A second time it fails with [ErrReplay].
func (g *Group) ExportComponent(id ComponentID) (suite.Secret, error) {
	if g.secrets == nil {
		return suite.Secret{}, ErrNoSecrets
	}
	secret, err := g.exporter.Take(uint32(id))
	if err != nil {
		return suite.Secret{}, fmt.Errorf("%w: component 0x%04x", ErrReplay, uint16(id))
	}
	return secret, nil
}

// EpochAuthenticator returns the secret with which members confirm out of band
// that they are in the same epoch (RFC 9420, section 8.7). It is absent without
// secrets.
func (g *Group) EpochAuthenticator() suite.Secret {
	if g.secrets == nil {
		return suite.Secret{}
	}
	return g.secrets.Authenticator.Clone()
}

// GroupInfoOptions say what a GroupInfo carries besides the GroupContext.
type GroupInfoOptions struct {
	Extensions  Extensions
	RatchetTree bool // with the ratchet_tree extension
	ExternalPub bool // with the external_pub extension, for external joins
}

// GroupInfo signs a GroupInfo of the current epoch as an own leaf.
func (g *Group) GroupInfo(signer LeafIndex, opts GroupInfoOptions) (*GroupInfo, error) {
	key, err := g.ready(signer)
	if err != nil {
		return nil, err
	}
	return makeGroupInfo(g.state, g.secrets, signer, key, opts)
}

func makeGroupInfo(st *state, secrets *schedule.Secrets, signer LeafIndex, key suite.SignatureKey, opts GroupInfoOptions) (*GroupInfo, error) {
	gi := &GroupInfo{
		GroupContext: *View{st}.Context(), Extensions: slices.Clone(opts.Extensions),
		ConfirmationTag: slices.Clone(st.confirmationTag), Signer: signer,
	}
	if opts.ExternalPub {
		key, err := st.suite.DeriveHPKEKey(secrets.External)
		if err != nil {
			return nil, err
		}
		pub := opaque(key.Public())
		data, err := Marshal(&pub)
		if err != nil {
			return nil, err
		}
		gi.Extensions = gi.Extensions.With(ExtensionExternalPub, data)
	}
	if opts.RatchetTree { // last, as in a PartialGroupInfo
		data, err := wire.Marshal(st.tree)
		if err != nil {
			return nil, err
		}
		gi.Extensions = gi.Extensions.With(ExtensionRatchetTree, data)
	}
	return gi, gi.sign(st.suite, key)
}
