package mls

import (
	"bytes"
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Joined is what came out of a Welcome.
type Joined struct {
	Own LeafIndex
	// GroupInfo is the one in the Welcome, with the extensions that are only for
	// new members.
	GroupInfo *GroupInfo
}

// An openWelcome is a decrypted Welcome. Nothing of the GroupInfo is verified.
type openWelcome struct {
	suite   *suite.Suite
	secrets GroupSecrets
	psk     suite.Secret
	info    *GroupInfo
	// succession is the PSK that a ReInit or a branch asks for.
	succession *PreSharedKeyID
}

func (w *openWelcome) erase() {
	w.secrets.JoinerSecret.Erase()
	w.psk.Erase()
	if w.secrets.PathSecret != nil {
		w.secrets.PathSecret.Erase()
	}
}

// open decrypts a Welcome with the keys of a KeyPackage (RFC 9420, section
// 12.4.3.1).
//
// The group g is the one that knows resumption PSKs, or nil; old says that the
// Welcome is for a successor of it.
func (m *Welcome) open(ctx context.Context, cfg *Config, kp *KeyPackagePrivate, g, old *Group) (*openWelcome, error) {
	s, err := suite.Lookup(m.CipherSuite)
	if err != nil {
		return nil, err
	}
	// RFC 9420, section 12.4.3.1: 2
	if kp.KeyPackage.CipherSuite != m.CipherSuite {
		return nil, fmt.Errorf("%w: it is for %v", ErrKeyPackageSuite, kp.KeyPackage.CipherSuite)
	}
	ref, err := kp.KeyPackage.Ref()
	if err != nil {
		return nil, err
	}
	var sealed *HPKECiphertext
	for i := range m.Secrets {
		if bytes.Equal(m.Secrets[i].NewMember, ref) {
			sealed = &m.Secrets[i].Secrets
			break
		}
	}
	// RFC 9420, section 12.4.3.1: 2
	if sealed == nil {
		return nil, ErrWelcomeNotForUs
	}
	plaintext, err := s.DecryptWithLabel(kp.InitKey, "Welcome", m.EncryptedGroupInfo, *sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: group secrets of the Welcome", ErrDecrypt)
	}
	defer clear(plaintext)
	w := &openWelcome{suite: s}
	if err := wire.Unmarshal(plaintext, &w.secrets); err != nil {
		return nil, fmt.Errorf("group secrets of the Welcome: %w", err)
	}
	if w.succession, err = successionPSK(s, w.secrets.PSKs, old); err != nil {
		return nil, err
	}
	if w.psk, err = pskSecret(ctx, cfg, s, w.secrets.PSKs, g.resumptionPSK); err != nil {
		return nil, err
	}
	key, nonce := schedule.Welcome(s, w.secrets.JoinerSecret, w.psk)
	defer key.Erase()
	info, err := s.Open(key, nonce, nil, m.EncryptedGroupInfo)
	if err != nil {
		return nil, fmt.Errorf("%w: GroupInfo of the Welcome", ErrDecrypt)
	}
	w.info = new(GroupInfo)
	if err := wire.Unmarshal(info, w.info); err != nil {
		return nil, fmt.Errorf("GroupInfo of the Welcome: %w", err)
	}
	// RFC 9420, section 12.4.3.1: 8
	if w.info.GroupContext.CipherSuite != m.CipherSuite {
		return nil, fmt.Errorf("%w: the group has %v", ErrKeyPackageSuite, w.info.GroupContext.CipherSuite)
	}
	return w, nil
}

// JoinWelcome joins a group as an added member. A tree that is passed in is used
// instead of the ratchet_tree extension; without either it fails with
// [ErrNoTree]. The caller checks that it has no group with this ID yet (for one
// that it has, there is [Group.AttachWelcome]), and deletes the private keys of
// the KeyPackage, unless that is one of last resort.
func JoinWelcome(ctx context.Context, cfg Config, m *Welcome, kp *KeyPackagePrivate, tree *RatchetTree) (*Group, *Joined, error) {
	c, err := cfg.complete(true)
	if err != nil {
		return nil, nil, err
	}
	return joinWelcome(ctx, c, m, kp, tree, nil)
}

// joinWelcome joins a group, which goes on from old unless that is nil.
func joinWelcome(ctx context.Context, c *Config, m *Welcome, kp *KeyPackagePrivate, tree *RatchetTree, old *Group) (*Group, *Joined, error) {
	w, err := m.open(ctx, c, kp, old, old)
	if err != nil {
		return nil, nil, err
	}
	defer w.erase()
	st, err := stateFromGroupInfo(ctx, c, w.info, tree)
	if err != nil {
		return nil, nil, err
	}
	own, ok := st.tree.find(&kp.KeyPackage.LeafNode)
	// RFC 9420, section 12.4.3.1: 15
	if !ok {
		return nil, nil, ErrOwnLeafNotInTree
	}
	if old != nil {
		if err := old.checkSuccession(w.succession, st); err != nil {
			return nil, nil, err
		}
	}
	keys, err := w.pathKeys(st.tree, own)
	if err != nil {
		return nil, nil, err
	}
	secrets := schedule.Epoch(w.suite, w.secrets.JoinerSecret, w.psk, st.encoded)
	// RFC 9420, section 12.4.3.1: 17
	if !w.suite.VerifyMAC(secrets.Confirmation, w.info.ConfirmationTag, st.context.ConfirmedTranscriptHash) {
		return nil, nil, ErrConfirmationTag
	}
	g := newGroup(c, st)
	g.journal.tree(st.tree, nil)
	g.start(st, secrets)
	g.attach(own, kp, keys)
	return g, &Joined{own, w.info}, nil
}

// attach puts the keys of a new own leaf in place.
func (g *Group) attach(own LeafIndex, kp *KeyPackagePrivate, keys []nodeKey) {
	g.setOwn(own, kp.SignatureKey)
	g.setKey(treemath.Leaf(uint32(own)), kp.EncryptionKey)
	for _, k := range keys {
		g.setKey(k.node, k.key)
	}
}

// pathKeys derives the private keys that the path secret of a Welcome gives a
// new member: those of the nodes above it that the commit has set (RFC 9420,
// section 12.4.3.1).
func (w *openWelcome) pathKeys(t *tree, own LeafIndex) ([]nodeKey, error) {
	if w.secrets.PathSecret == nil {
		return nil, nil
	}
	signer := w.info.Signer
	if t.leaf(signer) == nil {
		return nil, fmt.Errorf("%w: signer %d", ErrNotMember, signer)
	}
	lowest := treemath.CommonAncestor(uint32(own), uint32(signer))
	var steps []pathStep
	var nodes []UpdatePathNode
	for _, x := range treemath.DirectPath(uint32(signer), t.leaves()) {
		p := t.parent(x)
		if x.Level() < lowest.Level() {
			continue
		}
		if p == nil {
			if x == lowest {
				return nil, fmt.Errorf("%w: the common ancestor is blank", ErrPathSecret)
			}
			continue
		}
		steps = append(steps, pathStep{node: x})
		nodes = append(nodes, UpdatePathNode{EncryptionKey: p.EncryptionKey})
	}
	p, err := t.followPath(*w.secrets.PathSecret, steps, nodes)
	if err != nil {
		return nil, err
	}
	p.erase()
	return p.keys, nil
}

// AttachWelcome makes a member that was added by a commit, which this group has
// processed already, a further own leaf. A Welcome for a later epoch fails with
// [ErrWelcomeEpoch]: process the commit first. One for an earlier epoch is
// accepted as long as that is kept; of its keys, those still in use are taken.
func (g *Group) AttachWelcome(ctx context.Context, m *Welcome, kp *KeyPackagePrivate) (*Joined, error) {
	if err := g.receiving(); err != nil {
		return nil, err
	}
	w, err := m.open(ctx, g.cfg, kp, g, nil)
	if err != nil {
		return nil, err
	}
	defer w.erase()
	if err := g.checkWelcome(w); err != nil {
		return nil, err
	}
	whole, err := g.state.whole()
	if err != nil {
		return nil, err
	}
	own, ok := whole.find(&kp.KeyPackage.LeafNode)
	if !ok {
		return nil, ErrOwnLeafNotInTree
	}
	var keys []nodeKey
	if w.info.GroupContext.Epoch == g.Epoch() {
		if keys, err = w.pathKeys(g.state.tree, own); err != nil {
			return nil, err
		}
	} else if keys, err = w.survivingKeys(g.state.tree, own); err != nil {
		return nil, err
	}
	g.attach(own, kp, keys)
	return &Joined{own, w.info}, nil
}

// checkWelcome checks a Welcome against the epoch it is for, which this group
// knows itself: its GroupInfo, and that its joiner secret leads to the secrets
// of that epoch.
func (g *Group) checkWelcome(w *openWelcome) error {
	gi := w.info
	if !bytes.Equal(gi.GroupContext.GroupID, g.state.context.GroupID) {
		return ErrGroupID
	}
	epoch := gi.GroupContext.Epoch
	if epoch == g.Epoch() {
		if err := g.state.checkGroupInfo(gi); err != nil {
			return err
		}
		return w.checkSecrets(g.state.encoded, g.messages.senderData)
	}
	encoded, err := wire.Marshal(&gi.GroupContext)
	if err != nil {
		return err
	}
	for i, p := range g.past {
		if p.epoch != epoch {
			continue
		}
		if !bytes.Equal(encoded, p.encoded) {
			return fmt.Errorf("%w: its GroupContext is not that of the epoch", ErrGroupInfo)
		}
		signer := g.pastLeaf(i, gi.Signer)
		if signer == nil {
			return fmt.Errorf("%w: signer %d: %w", ErrGroupInfo, gi.Signer, ErrNotMember)
		}
		if err := gi.VerifySignature(g.suite, signer.SignatureKey); err != nil {
			return fmt.Errorf("%w: %w: %w", ErrGroupInfo, ErrSignature, err)
		}
		return w.checkSecrets(p.encoded, p.messages.senderData)
	}
	return fmt.Errorf("%w: Welcome for %d, the group is in %d", ErrWelcomeEpoch, epoch, g.Epoch())
}

// checkSecrets compares the epoch that the Welcome leads to with the one that
// the group has. The sender data secret stands for all of them: it is kept as
// long as the epoch.
func (w *openWelcome) checkSecrets(groupContext []byte, senderData suite.Secret) error {
	secrets := schedule.Epoch(w.suite, w.secrets.JoinerSecret, w.psk, groupContext)
	if !secrets.SenderData.Equal(senderData) {
		return fmt.Errorf("%w: the joiner secret is of another epoch", ErrConfirmationTag)
	}
	return nil
}

// survivingKeys derives the keys of a path secret of an earlier epoch, and keeps
// those that are still the keys of nodes above the leaf.
func (w *openWelcome) survivingKeys(t *tree, own LeafIndex) ([]nodeKey, error) {
	if w.secrets.PathSecret == nil {
		return nil, nil
	}
	above := treemath.DirectPath(uint32(own), t.leaves())
	// The tree may have had more levels then, but never more than 32.
	p, err := derivePath(w.suite, *w.secrets.PathSecret, make([]treemath.Node, 32))
	if err != nil {
		return nil, err
	}
	defer p.erase()
	var keys []nodeKey
	for _, x := range above {
		parent := t.parent(x)
		if parent == nil {
			continue
		}
		for _, k := range p.keys {
			if bytes.Equal(k.key.Public(), parent.EncryptionKey) {
				keys = append(keys, nodeKey{x, k.key})
			}
		}
	}
	return keys, nil
}
