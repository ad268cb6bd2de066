package mls

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The following let tests play members who break the rules: they sign whatever
// they are told to.

// Fresh forgets the octets in which a message was received, so that a test can
// change its fields.
func Fresh(m *PublicMessage) *PublicMessage {
	m.Content.received = nil
	if c := m.Content.Commit; c != nil {
		if c.Path != nil {
			c.Path.LeafNode.received = nil
		}
		for i := range c.Proposals {
			if c.Proposals[i].Proposal != nil {
				freshBody(c.Proposals[i].Proposal.Body)
			}
		}
	}
	if p := m.Content.Proposal; p != nil {
		freshBody(p.Body)
	}
	return m
}

func freshBody(b ProposalBody) {
	switch p := b.(type) {
	case *Add:
		p.KeyPackage.received, p.KeyPackage.LeafNode.received = nil, nil
	case *Update:
		p.LeafNode.received = nil
	}
}

// Resign signs a changed message with a key, and gives it the membership tag
// that g's epoch has.
func Resign(t testing.TB, g *Group, key suite.SignatureKey, m *PublicMessage) *PublicMessage {
	t.Helper()
	Fresh(m)
	a := &authenticatedContent{format: WireFormatPublicMessage, content: m.Content, auth: m.Auth}
	if err := a.sign(g.suite, key, g.state.encoded); err != nil {
		t.Fatal(err)
	}
	m.Auth = a.auth
	return Retag(t, g, m)
}

// Retag gives a message the right membership tag without a new signature.
func Retag(t testing.TB, g *Group, m *PublicMessage) *PublicMessage {
	t.Helper()
	a := &authenticatedContent{format: WireFormatPublicMessage, content: m.Content, auth: m.Auth}
	tbm, err := a.tbm(g.state.encoded)
	if err != nil {
		t.Fatal(err)
	}
	m.MembershipTag = nil
	if m.Content.Sender.Type == SenderMember {
		m.MembershipTag = g.suite.MAC(g.secrets.Membership, tbm...)
	}
	return m
}

// Forge makes a signed message of an own leaf with any content.
func Forge(t testing.TB, g *Group, from LeafIndex, content FramedContent) *PublicMessage {
	t.Helper()
	content.GroupID, content.Epoch = g.state.context.GroupID, g.Epoch()
	if content.Sender == (Sender{}) {
		content.Sender = Sender{SenderMember, from}
	}
	m := &PublicMessage{Content: content}
	if content.ContentType == ContentCommit {
		m.Auth.ConfirmationTag = make([]byte, g.suite.Nh())
	}
	return Resign(t, g, ownKey(t, g, from), m)
}

// ResignLeaf signs a changed leaf.
func ResignLeaf(t testing.TB, g *Group, key suite.SignatureKey, l *LeafNode, at LeafIndex) {
	t.Helper()
	if err := l.sign(g.suite, key, g.state.context.GroupID, at); err != nil {
		t.Fatal(err)
	}
}

// ResignKeyPackage signs a changed KeyPackage and its leaf.
func ResignKeyPackage(t testing.TB, kp *KeyPackagePrivate) {
	t.Helper()
	s, err := suite.Lookup(X25519)
	if err != nil {
		t.Fatal(err)
	}
	k := &kp.KeyPackage
	if err := k.LeafNode.sign(s, kp.SignatureKey, nil, 0); err != nil {
		t.Fatal(err)
	}
	k.received, k.Signature = nil, nil
	tbs, err := k.tbs()
	if err != nil {
		t.Fatal(err)
	}
	if k.Signature, err = s.SignWithLabel(kp.SignatureKey, "KeyPackageTBS", tbs); err != nil {
		t.Fatal(err)
	}
}

// X25519 is the suite of most tests.
const X25519 = suite.X25519AES128

// ResignGroupInfo signs a changed GroupInfo.
func ResignGroupInfo(t testing.TB, g *Group, signer LeafIndex, gi *GroupInfo) {
	t.Helper()
	if err := gi.sign(g.suite, ownKey(t, g, signer)); err != nil {
		t.Fatal(err)
	}
}

// SealPrivate encrypts a content as any leaf with any padding, as a member who
// breaks the rules could.
func SealPrivate(t testing.TB, g *Group, key suite.SignatureKey, content FramedContent, spoil func(plaintext []byte) []byte) *PrivateMessage {
	t.Helper()
	content.GroupID, content.Epoch = g.state.context.GroupID, g.Epoch()
	a := &authenticatedContent{format: WireFormatPrivateMessage, content: content}
	if err := a.sign(g.suite, key, g.state.encoded); err != nil {
		t.Fatal(err)
	}
	if content.ContentType == ContentCommit {
		a.auth.ConfirmationTag = make([]byte, g.suite.Nh())
	}
	m := &PrivateMessage{GroupID: content.GroupID, Epoch: content.Epoch, ContentType: content.ContentType, AuthenticatedData: content.AuthenticatedData}
	plaintext, err := Marshal(&privateContent{content: &a.content, auth: &a.auth})
	if err != nil {
		t.Fatal(err)
	}
	aad, err := Marshal(&privateAAD{m, true})
	if err != nil {
		t.Fatal(err)
	}
	k, err := g.messages.tree.Next(uint32(content.Sender.Index), kindOf(m.ContentType))
	if err != nil {
		t.Fatal(err)
	}
	guard := []byte{1, 2, 3, 4}
	if m.Ciphertext, err = g.suite.Seal(k.Key, guarded(k.Nonce, guard), aad, spoil(plaintext)); err != nil {
		t.Fatal(err)
	}
	if m.EncryptedSenderData, err = g.messages.sealSenderData(m, &senderData{content.Sender.Index, k.Generation, guard}); err != nil {
		t.Fatal(err)
	}
	return m
}

// Secrets returns the octets of all secrets a group holds.
func Secrets(g *Group) [][]byte {
	var l [][]byte
	for _, r := range g.AllRows() {
		if r.Secret && len(r.Value) >= 16 {
			l = append(l, r.Value)
		}
	}
	return l
}

// AllRows returns the rows of the whole group as if all had changed.
func (g *Group) AllRows() []Row {
	var l []Row
	for x, held := range g.keys {
		k, err := held.get()
		if err != nil {
			panic(err)
		}
		l = append(l, Row{nodeRow(prefixKey, x), k.Secret().Bytes(), true})
	}
	for i, held := range g.own {
		k, err := held.get()
		if err != nil {
			panic(err)
		}
		l = append(l, Row{leafRow(prefixOwn, i), k.Seed().Bytes(), true})
	}
	if g.secrets != nil {
		for _, s := range []suite.Secret{g.secrets.Init, g.secrets.Exporter, g.secrets.External, g.secrets.Membership, g.secrets.Resumption} {
			l = append(l, Row{"secret", s.Bytes(), true})
		}
	}
	return l
}

// FreshLeaf forgets the octets in which a leaf was received.
func FreshLeaf(l *LeafNode) { l.received = nil }

// HashOf returns the tree hash of any tree, or nothing for one without a form.
func HashOf(t testing.TB, g *Group, nodes RatchetTree) []byte {
	t.Helper()
	tr, err := treeOf(g.suite, nodes, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	h, err := tr.rootHash()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// ForgeWelcome makes a Welcome with any GroupInfo and any group secrets.
func ForgeWelcome(t testing.TB, kp *KeyPackage, gi *GroupInfo, secrets GroupSecrets) *Welcome {
	t.Helper()
	s, err := suite.Lookup(kp.CipherSuite)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := Marshal(gi)
	if err != nil {
		t.Fatal(err)
	}
	key, nonce := schedule.Welcome(s, secrets.JoinerSecret, suite.Secret{})
	w := &Welcome{CipherSuite: s.ID()}
	if w.EncryptedGroupInfo, err = s.Seal(key, nonce, nil, plaintext); err != nil {
		t.Fatal(err)
	}
	e, err := encryptGroupSecrets(s, kp, &secrets, w.EncryptedGroupInfo)
	if err != nil {
		t.Fatal(err)
	}
	w.Secrets = []EncryptedGroupSecrets{*e}
	return w
}

// ForgePath makes the UpdatePath of an own leaf for a commit that changes nothing
// else. The public key of its first node does not belong to its path secret.
func ForgePath(t testing.TB, g *Group, from LeafIndex) *UpdatePath {
	t.Helper()
	tr := g.state.tree.clone()
	n, err := tr.startPath(g.cfg.Random, from, nil, tr.leaf(from).clone(), ownKey(t, g, from), g.state.context.GroupID)
	if err != nil {
		t.Fatal(err)
	}
	other, err := g.suite.GenerateHPKEKey(g.cfg.Random)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([][]byte, len(n.update.Nodes))
	n.update.Nodes[0].EncryptionKey = other.Public()
	for k := range keys {
		keys[k] = n.update.Nodes[k].EncryptionKey
	}
	leaf := &n.update.LeafNode
	if leaf.ParentHash, err = tr.mergePath(from, n.steps, keys); err != nil {
		t.Fatal(err)
	}
	ResignLeaf(t, g, ownKey(t, g, from), leaf, from)
	if err := tr.setLeaf(from, leaf); err != nil {
		t.Fatal(err)
	}
	provisional := g.state.context
	provisional.Epoch++
	if provisional.TreeHash, err = tr.rootHash(); err != nil {
		t.Fatal(err)
	}
	if n.provisional, err = Marshal(&provisional); err != nil {
		t.Fatal(err)
	}
	if err := n.encrypt(tr); err != nil {
		t.Fatal(err)
	}
	return &n.update
}

// OpenedMessage is what is inside a PrivateMessage.
type OpenedMessage struct {
	Generation     uint32
	Guard, Padding []byte
}

// OpenPrivate decrypts a message without consuming its key.
func OpenPrivate(t testing.TB, g *Group, m *PrivateMessage) OpenedMessage {
	t.Helper()
	d, err := g.messages.openSenderData(m)
	if err != nil {
		t.Fatal(err)
	}
	k, err := g.messages.tree.Get(uint32(d.leaf), kindOf(m.ContentType), d.generation)
	if err != nil {
		t.Fatal(err)
	}
	aad, err := Marshal(&privateAAD{m, true})
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := g.suite.Open(k.Key, guarded(k.Nonce, d.guard), aad, m.Ciphertext)
	if err != nil {
		t.Fatal(err)
	}
	content := FramedContent{ContentType: m.ContentType}
	padding, err := wire.UnmarshalPrefix(plaintext, &privateContent{content: &content, auth: new(FramedContentAuthData)})
	if err != nil {
		t.Fatal(err)
	}
	return OpenedMessage{d.generation, d.guard, padding}
}

// ProtectAs encrypts application data with any sender.
func ProtectAs(g *Group, s Sender) error {
	a := &authenticatedContent{format: WireFormatPrivateMessage, content: FramedContent{Sender: s, ContentType: ContentApplication}}
	_, err := g.messages.protect(g.cfg.Random, a, 0)
	return err
}

// EpochSecrets are the secrets of an epoch that end with it.
func EpochSecrets(g *Group) []suite.Secret {
	return []suite.Secret{g.secrets.Init, g.secrets.Exporter, g.secrets.External, g.secrets.Confirmation, g.secrets.Membership}
}

// PathOctets derives a path, erases it, and returns the octets that its secrets
// had, and how many of them there were.
func PathOctets(t testing.TB, s *suite.Suite) [][]byte {
	t.Helper()
	p, err := derivePath(s, suite.NewSecret(make([]byte, s.Nh())), []treemath.Node{1, 3})
	if err != nil {
		t.Fatal(err)
	}
	octets := [][]byte{p.commit.Bytes()}
	for i := range p.secrets {
		octets = append(octets, p.secrets[i].Bytes())
	}
	p.erase()
	return octets
}

// Joiner returns the joiner secret of the pending commit's next epoch.
func Joiner(g *Group) suite.Secret { return g.pending.next.joiner }

// Succeed makes any successor of a group, as a member who breaks the rules could.
func Succeed(t testing.TB, g *Group, cfg Config, create CreateParams, usage ResumptionPSKUsage, p SuccessorParams) (*Group, *PendingCommit) {
	t.Helper()
	create.Leaf = p.Leaf
	n, pending, err := g.succeed(t.Context(), cfg, create, usage, p)
	if err != nil {
		t.Fatal(err)
	}
	return n, pending
}

// CheckSuccession compares the current epoch of a group with the one that it
// goes on from.
func CheckSuccession(old, next *Group, usage ResumptionPSKUsage, epoch uint64) error {
	return old.checkSuccession(&PreSharedKeyID{Usage: usage, Epoch: epoch}, next.state)
}

// JoinerOf processes a commit up to the point where it would take effect, and
// returns the joiner secret.
func JoinerOf(t testing.TB, g *Group, m *PublicMessage) suite.Secret {
	t.Helper()
	a, err := fromPublic(m)
	if err != nil {
		t.Fatal(err)
	}
	s, err := g.state.stageCommit(t.Context(), g.cfg, &g.proposals, a, false)
	if err != nil {
		t.Fatal(err)
	}
	n, err := g.open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return n.joiner
}

// A StoredSeed is a row that is stored, and its decoder.
type StoredSeed struct {
	Name   string
	Octets []byte
	Decode func([]byte) error
}

// StoredSeeds has one of each kind, of a group without pending commit.
func StoredSeeds(t testing.TB, g *Group) []StoredSeed {
	t.Helper()
	p, err := g.Commit(t.Context(), g.OwnLeaves()[0], CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Discard()
	a, err := fromPublic(p.Message)
	if err != nil {
		t.Fatal(err)
	}
	leaf := g.state.tree.leaf(0)
	secret := suite.NewSecret(make([]byte, 32))
	var seeds []StoredSeed
	add := func(name string, m wire.Message, fresh func() wire.Message) {
		b, err := wire.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		seeds = append(seeds, StoredSeed{name, b, func(b []byte) error { return wire.Unmarshal(b, fresh()) }})
	}
	old, err := newTreeNode(&Node{Leaf: leaf})
	if err != nil {
		t.Fatal(err)
	}
	seeds = append(seeds, StoredSeed{"leaf", encodeOldLeaf(old), func(b []byte) error {
		n, err := decodeOldLeaf(b)
		if err == nil && n.leaf() == nil {
			err = ErrTreeForm
		}
		return err
	}})
	add("past epoch", &storedPast{g.state.encoded, secret, 4}, func() wire.Message { return new(storedPast) })
	add("message", &storedProposal{a, []byte("tag")}, func() wire.Message { return new(storedProposal) })
	add("update", &storedUpdate{0, secret, secret}, func() wire.Message { return new(storedUpdate) })
	add("pending commit", g.pending, func() wire.Message { return new(pendingCommit) })
	add("epoch", g.secrets, func() wire.Message { return new(schedule.Secrets) })
	add("context", &g.state.context, func() wire.Message { return new(GroupContext) })
	add("ReInit", &ReInit{GroupID: []byte("id"), Version: MLS10, CipherSuite: X25519}, func() wire.Message { return new(ReInit) })
	return seeds
}

// PendingRow is the row of the pending commit with another message.
func PendingRow(t testing.TB, g *Group, message []byte) []byte {
	t.Helper()
	p := *g.pending
	p.message = message
	b, err := wire.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ownKey(t testing.TB, g *Group, i LeafIndex) suite.SignatureKey {
	t.Helper()
	key, ok := g.SignatureKey(i)
	if !ok {
		t.Fatalf("leaf %d has no signature key", i)
	}
	return key
}

// OpensPath reports whether any private key of a group opens any path secret of a
// commit of its epoch.
func OpensPath(t testing.TB, g *Group, m *PublicMessage) bool {
	t.Helper()
	a, err := fromPublic(m)
	if err != nil {
		t.Fatal(err)
	}
	s, err := g.state.stageCommit(t.Context(), g.cfg, &g.proposals, a, false)
	if err != nil {
		t.Fatal(err)
	}
	var keys []suite.HPKEPrivateKey
	for x := range g.keys {
		key, err := g.privateKey(x)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	for _, u := range g.updates {
		keys = append(keys, u.encryption)
	}
	for _, key := range keys {
		for _, n := range s.path.Nodes {
			for _, ct := range n.EncryptedPathSecret {
				if _, err := g.suite.DecryptWithLabel(key, "UpdatePathNode", s.provisional, ct); err == nil {
					return true
				}
			}
		}
	}
	return false
}
