package mls_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// byValue makes a commit of proposals by value, without path.
func byValue(bodies ...mls.ProposalBody) *mls.Commit {
	c := &mls.Commit{}
	for _, b := range bodies {
		c.Proposals = append(c.Proposals, mls.ProposalOrRef{Proposal: &mls.Proposal{Body: b}})
	}
	return c
}

// forgedCommit is a commit of Alice's that her own package would not make.
func forgedCommit(t *testing.T, w *mlstest.World, c *mls.Commit) *mls.PublicMessage {
	t.Helper()
	return mls.Forge(t, w.Node("A").Group, w.Leaf("alice/1"), mls.FramedContent{ContentType: mls.ContentCommit, Commit: c})
}

// refusedCommit checks that members and hub refuse a forged commit.
func refusedCommit(t *testing.T, w *mlstest.World, c *mls.Commit, want error) {
	t.Helper()
	m := forgedCommit(t, w, c)
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, want)
	refusedByHub(t, w, m, want)
}

// keyPackage makes a valid KeyPackage of a new client.
func keyPackage(t *testing.T, w *mlstest.World, client string) *mls.KeyPackagePrivate {
	t.Helper()
	return mlstest.KeyPackage(t, mls.X25519, w.LeafParams(client), mlstest.Random("kp "+client))
}

func requireCaps(t *testing.T, r mls.RequiredCapabilities) mls.Extension {
	t.Helper()
	e, err := r.Extension()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestSection5_3_1NewCredentialsAreValidated: of an Add, of a path, and as the
// successor of the old one.
func TestSection5_3_1NewCredentialsAreValidated(t *testing.T) {
	w := three(t)
	bad := errors.New("unknown issuer")
	refuse := func(c mls.Credential, _ []byte) error {
		if bytes.HasPrefix(c.Body, []byte("mallory")) {
			return bad
		}
		return nil
	}
	w.Node("B").Policy.Credential, w.Policy.Credential = refuse, refuse
	for _, n := range []string{"mallory/1", "dan/1"} {
		leaf := w.LeafParams(n)
		p := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: keyPackage(t, w, "mallory/2").KeyPackage}}})
		refused(t, w, "B", p.MLSMessage(), bad)
		refusedByHub(t, w, p.Message, mls.ErrCredential)
		w.Node("A").Policy.Same = func(mls.Credential, mls.Credential) bool { return true }
		p = pending(t, w, "A", "alice/1", mls.CommitOptions{NewLeaf: &leaf})
		want := mls.ErrCredential
		if n == "dan/1" {
			want = mls.ErrSuccessor
		}
		refused(t, w, "B", p.MLSMessage(), want)
		refusedByHub(t, w, p.Message, want)
	}
}

// TestSection6Addresses: group, epoch, and application data in the clear.
func TestSection6Addresses(t *testing.T) {
	w := three(t)
	old := pending(t, w, "A", "alice/1", mls.CommitOptions{})
	w.Commit("A", "alice/1", mls.CommitOptions{})
	refused(t, w, "B", old.MLSMessage(), mls.ErrEpochPast)
	refusedByHub(t, w, old.Message, mls.ErrEpochPast)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(0)
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{})
	p.Message.Content.Epoch += 2
	mls.Resign(t, a, key, p.Message)
	refused(t, w, "B", p.MLSMessage(), mls.ErrEpochFuture)
	refusedByHub(t, w, p.Message, mls.ErrEpochFuture)
	p = pending(t, w, "A", "alice/1", mls.CommitOptions{})
	p.Message.Content.GroupID = []byte("another")
	mls.Resign(t, a, key, p.Message)
	refused(t, w, "B", p.MLSMessage(), mls.ErrGroupID)
	refusedByHub(t, w, p.Message, mls.ErrGroupID)
	m := mls.Forge(t, a, 0, mls.FramedContent{ContentType: mls.ContentApplication, ApplicationData: []byte("text")})
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrWireFormat)
	refusedByHub(t, w, m, mls.ErrWireFormat)
	refused(t, w, "B", &mls.MLSMessage{GroupInfo: w.Hub.GroupInfo()}, mls.ErrWireFormat)
}

// TestSection6_1Senders: who may send what.
func TestSection6_1Senders(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	remove := &mls.Proposal{Body: &mls.Remove{Removed: 1}}
	for name, c := range map[string]struct {
		content mls.FramedContent
		want    error
	}{
		"commit of an external sender":       {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderExternal}, ContentType: mls.ContentCommit, Commit: &mls.Commit{}}, mls.ErrSender},
		"commit of a new member's proposal":  {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderNewMemberProposal}, ContentType: mls.ContentCommit, Commit: &mls.Commit{}}, mls.ErrSender},
		"proposal of a new member's commit":  {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderNewMemberCommit}, ContentType: mls.ContentProposal, Proposal: remove}, mls.ErrSender},
		"new member proposes a Remove":       {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderNewMemberProposal}, ContentType: mls.ContentProposal, Proposal: remove}, mls.ErrSender},
		"external sender that is not listed": {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderExternal}, ContentType: mls.ContentProposal, Proposal: remove}, mls.ErrExternalSender},
		"no member":                          {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: 3}, ContentType: mls.ContentProposal, Proposal: remove}, mls.ErrNotMember},
		"beyond the tree":                    {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: 1 << 31}, ContentType: mls.ContentProposal, Proposal: remove}, mls.ErrNotMember},
		"commit of no member":                {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: 3}, ContentType: mls.ContentCommit, Commit: byValue()}, mls.ErrNotMember},
		"commit from beyond the tree":        {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: 1 << 31}, ContentType: mls.ContentCommit, Commit: byValue()}, mls.ErrNotMember},
		"commit of another member":           {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: 2}, ContentType: mls.ContentCommit, Commit: byValue()}, mls.ErrSignature},
		"another member":                     {mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: 2}, ContentType: mls.ContentProposal, Proposal: remove}, mls.ErrSignature},
		"ExternalInit as a proposal":         {mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.ExternalInit{}}}, mls.ErrExternalInit},
	} {
		t.Run(name, func(t *testing.T) {
			m := mls.Forge(t, a, 0, c.content)
			refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, c.want)
			refusedByHub(t, w, m, c.want)
		})
	}
}

// TestSection6_3PrivateMessages: padding, sender and ciphertext.
func TestSection6_3PrivateMessages(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(0)
	text := func(i mls.LeafIndex) mls.FramedContent {
		return mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: i}, ContentType: mls.ContentApplication, ApplicationData: []byte("text")}
	}
	keep := func(b []byte) []byte { return b }
	send := func(m *mls.PrivateMessage) *mls.MLSMessage { return &mls.MLSMessage{PrivateMessage: m} }
	refused(t, w, "B", send(mls.SealPrivate(t, a, key, text(0), func(b []byte) []byte { return append(b, 0, 0, 1, 0) })), mls.ErrPadding)
	refused(t, w, "B", send(mls.SealPrivate(t, a, key, text(3), keep)), mls.ErrNotMember)
	refused(t, w, "B", send(mls.SealPrivate(t, a, key, text(2), keep)), mls.ErrSignature)
	m := mls.SealPrivate(t, a, key, text(0), keep)
	m.Ciphertext[len(m.Ciphertext)-1] ^= 1
	refused(t, w, "B", send(m), mls.ErrDecrypt)
	m = mls.SealPrivate(t, a, key, text(0), keep)
	m.EncryptedSenderData[0] ^= 1
	refused(t, w, "B", send(m), mls.ErrDecrypt)
	m = mls.SealPrivate(t, a, key, text(0), keep)
	m.AuthenticatedData = []byte("changed")
	refused(t, w, "B", send(m), mls.ErrDecrypt)
	m = mls.SealPrivate(t, a, key, text(0), keep)
	m.Epoch++
	refused(t, w, "B", send(m), mls.ErrEpochFuture)
	if _, err := w.Node("B").Group.Process(t.Context(), send(mls.SealPrivate(t, a, key, text(0), keep))); err != nil {
		t.Errorf("the positive control: %v", err)
	}
}

// TestSection7_3Leaves: what a leaf has to fulfil, in an Add.
func TestSection7_3Leaves(t *testing.T) {
	w := three(t, requireCaps(t, mls.RequiredCapabilities{
		Extensions:  []mls.ExtensionType{mls.ExtensionAppDataDictionary},
		Proposals:   []mls.ProposalType{mls.ProposalSelfRemove},
		Credentials: []mls.CredentialType{mls.CredentialBasic},
	}))
	foreign := mls.Credential{Type: 0x5a5a, Body: []byte("dan/1")}
	member, _ := w.Hub.View().Member(1)
	day := uint64(24 * time.Hour / time.Second)
	now := uint64(mlstest.Now.Unix())
	for name, c := range map[string]struct {
		change func(k *mls.KeyPackagePrivate)
		want   error
	}{
		"source update":       {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Source = mls.LeafNodeSourceUpdate }, mls.ErrLeafSource},
		"source commit":       {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Source = mls.LeafNodeSourceCommit }, mls.ErrLeafSource},
		"no version":          {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Capabilities.Versions = nil }, mls.ErrCapabilities},
		"no suite":            {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Capabilities.CipherSuites = nil }, mls.ErrCapabilities},
		"no credential type":  {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Capabilities.Credentials = nil }, mls.ErrCapabilities},
		"unlisted extension":  {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Extensions = mls.Extensions{{Type: 0xf001}} }, mls.ErrCapabilities},
		"unlisted in package": {func(k *mls.KeyPackagePrivate) { k.KeyPackage.Extensions = mls.Extensions{{Type: 0xf001}} }, mls.ErrCapabilities},
		"required proposal":   {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Capabilities.Proposals = nil }, mls.ErrUnsupported},
		"required extension":  {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.Capabilities.Extensions = nil }, mls.ErrUnsupported},
		"credential that others lack": {func(k *mls.KeyPackagePrivate) {
			k.KeyPackage.LeafNode.Credential = foreign
			k.KeyPackage.LeafNode.Capabilities.Credentials = []mls.CredentialType{mls.CredentialBasic, foreign.Type}
		}, mls.ErrCapabilities},
		"lifetime too long":  {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.NotAfter = now + 200*day }, mls.ErrLifetime},
		"lifetime backwards": {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.NotAfter = 5 }, mls.ErrLifetime},
		"signature key in use": {func(k *mls.KeyPackagePrivate) {
			k.KeyPackage.LeafNode.SignatureKey = member.Leaf.SignatureKey
			b := w.Node("B").Group
			k.SignatureKey, _ = b.SignatureKey(1)
		}, mls.ErrDuplicateKey},
		"encryption key in use": {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.EncryptionKey = member.Leaf.EncryptionKey }, mls.ErrDuplicateKey},
		"init key is leaf key":  {func(k *mls.KeyPackagePrivate) { k.KeyPackage.InitKey = k.KeyPackage.LeafNode.EncryptionKey }, mls.ErrSameEncryption},
		"no encryption key":     {func(k *mls.KeyPackagePrivate) { k.KeyPackage.LeafNode.EncryptionKey = []byte{1} }, suite.ErrKey},
		"no init key":           {func(k *mls.KeyPackagePrivate) { k.KeyPackage.InitKey = nil }, suite.ErrKey},
		"other suite":           {func(k *mls.KeyPackagePrivate) { k.KeyPackage.CipherSuite = suite.X25519ChaCha20 }, mls.ErrKeyPackageSuite},
		"other version":         {func(k *mls.KeyPackagePrivate) { k.KeyPackage.Version = 2 }, mls.ErrKeyPackageSuite},
	} {
		t.Run(name, func(t *testing.T) {
			k := keyPackage(t, w, "dan/1")
			c.change(k)
			mls.ResignKeyPackage(t, k)
			refusedCommit(t, w, byValue(&mls.Add{KeyPackage: k.KeyPackage}), c.want)
		})
	}
	k := keyPackage(t, w, "dan/1")
	k.KeyPackage.LeafNode.NotBefore++ // not signed again
	m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{ContentType: mls.ContentCommit, Commit: byValue(&mls.Add{KeyPackage: k.KeyPackage})})
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrSignature)
	k = keyPackage(t, w, "dan/1")
	k.KeyPackage.Signature[0] ^= 1 // the leaf's own signature is right
	refusedCommit(t, w, byValue(&mls.Add{KeyPackage: k.KeyPackage}), mls.ErrSignature)
	expired := keyPackage(t, w, "dan/1")
	expired.KeyPackage.LeafNode.NotBefore, expired.KeyPackage.LeafNode.NotAfter = now-10*day, now-5*day
	mls.ResignKeyPackage(t, expired)
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: expired.KeyPackage}}}); !errors.Is(err, mls.ErrLifetime) {
		t.Errorf("sending an expired KeyPackage: %v", err)
	}
	refusedByHub(t, w, forgedCommit(t, w, byValue(&mls.Add{KeyPackage: expired.KeyPackage})), mls.ErrLifetime)
	if err := mls.ValidateKeyPackage(t.Context(), mlstest.Config("x", &mlstest.Policy{}), &expired.KeyPackage); !errors.Is(err, mls.ErrLifetime) {
		t.Errorf("validating an expired KeyPackage: %v", err)
	}
	unsigned := keyPackage(t, w, "dan/1")
	unsigned.KeyPackage.Signature[0] ^= 1
	if err := mls.ValidateKeyPackage(t.Context(), mlstest.Config("x", &mlstest.Policy{}), &unsigned.KeyPackage); !errors.Is(err, mls.ErrSignature) {
		t.Errorf("validating a KeyPackage that is not signed: %v", err)
	}
	strict := &mlstest.Policy{Credential: func(mls.Credential, []byte) error { return errors.New("unknown issuer") }}
	if err := mls.ValidateKeyPackage(t.Context(), mlstest.Config("x", strict), &keyPackage(t, w, "dan/1").KeyPackage); !errors.Is(err, mls.ErrCredential) {
		t.Errorf("validating a KeyPackage of a stranger: %v", err)
	}
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
}

// TestSection7_6And12_4_2Paths: the form of a path and its keys.
func TestSection7_6And12_4_2Paths(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(0)
	member, _ := w.Hub.View().Member(1)
	old, _ := w.Hub.View().Member(0)
	for name, c := range map[string]struct {
		change func(p *mls.UpdatePath)
		want   error
	}{
		"node missing":       {func(p *mls.UpdatePath) { p.Nodes = p.Nodes[1:] }, mls.ErrPathForm},
		"node too many":      {func(p *mls.UpdatePath) { p.Nodes = append(p.Nodes, p.Nodes[0]) }, mls.ErrPathForm},
		"ciphertext missing": {func(p *mls.UpdatePath) { p.Nodes[0].EncryptedPathSecret = nil }, mls.ErrPathForm},
		"ciphertext too many": {func(p *mls.UpdatePath) {
			n := &p.Nodes[0]
			n.EncryptedPathSecret = append(n.EncryptedPathSecret, n.EncryptedPathSecret[0])
		}, mls.ErrPathForm},
		"key of a member":    {func(p *mls.UpdatePath) { p.Nodes[0].EncryptionKey = member.Leaf.EncryptionKey }, mls.ErrDuplicateKey},
		"key twice":          {func(p *mls.UpdatePath) { p.Nodes[1].EncryptionKey = p.Nodes[0].EncryptionKey }, mls.ErrDuplicateKey},
		"no key":             {func(p *mls.UpdatePath) { p.Nodes[0].EncryptionKey = []byte{1} }, suite.ErrKey},
		"other key":          {func(p *mls.UpdatePath) { p.Nodes[0].EncryptionKey = bytes.Repeat([]byte{9}, 32) }, mls.ErrParentHash},
		"parent hash":        {func(p *mls.UpdatePath) { p.LeafNode.ParentHash[0] ^= 1 }, mls.ErrParentHash},
		"source":             {func(p *mls.UpdatePath) { p.LeafNode.Source = mls.LeafNodeSourceUpdate }, mls.ErrLeafSource},
		"same key as before": {func(p *mls.UpdatePath) { p.LeafNode.EncryptionKey = old.Leaf.EncryptionKey }, mls.ErrSameEncryption},
		"swapped ciphertexts": {func(p *mls.UpdatePath) {
			p.Nodes[0].EncryptedPathSecret, p.Nodes[1].EncryptedPathSecret = p.Nodes[1].EncryptedPathSecret, p.Nodes[0].EncryptedPathSecret
		}, mls.ErrPathSecret},
	} {
		t.Run(name, func(t *testing.T) {
			p := pending(t, w, "A", "alice/1", mls.CommitOptions{})
			mls.Fresh(p.Message)
			path := p.Message.Content.Commit.Path
			if len(path.Nodes) != 2 {
				t.Fatalf("%d nodes in the path", len(path.Nodes))
			}
			c.change(path)
			mls.ResignLeaf(t, a, key, &path.LeafNode, 0)
			mls.Resign(t, a, key, p.Message)
			refused(t, w, "B", p.MLSMessage(), c.want)
			if !errors.Is(c.want, mls.ErrPathSecret) { // which the hub cannot see
				refusedByHub(t, w, p.Message, c.want)
			}
		})
	}
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{})
	mls.Fresh(p.Message)
	mls.ResignLeaf(t, a, key, &p.Message.Content.Commit.Path.LeafNode, 1) // signed for another place
	mls.Resign(t, a, key, p.Message)
	refused(t, w, "B", p.MLSMessage(), mls.ErrSignature)
	refusedByHub(t, w, p.Message, mls.ErrSignature)
}

// TestSection12_2ProposalLists: lists that are invalid as a whole or in part.
func TestSection12_2ProposalLists(t *testing.T) {
	w := three(t)
	b := w.Node("B").Group
	leaf, _ := w.Hub.View().Member(0)
	k := keyPackage(t, w, "dan/1").KeyPackage
	psk := func(id mls.PreSharedKeyID, nonce int) *mls.PreSharedKey {
		id.Nonce = make([]byte, nonce)
		return &mls.PreSharedKey{PSK: id}
	}
	external := mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("id")}
	bobRemoves := w.Propose("B", "bob/1", &mls.Remove{Removed: w.Leaf("carol/1")})
	bobLeaves := w.Propose("B", "bob/1", &mls.SelfRemove{})
	aliceUpdates := w.ProposeUpdate("A", "alice/1")
	ref := func(c *mls.Commit, refs ...mls.ProposalRef) *mls.Commit {
		for _, r := range refs {
			c.Proposals = append(c.Proposals, mls.ProposalOrRef{Reference: r})
		}
		return c
	}
	for name, c := range map[string]struct {
		commit *mls.Commit
		want   error
	}{
		"removes its committer":          {byValue(&mls.Remove{Removed: 0}), mls.ErrSelfRemoval},
		"inline Update":                  {byValue(&mls.Update{LeafNode: *leaf.Leaf}), mls.ErrOwnUpdate},
		"own Update by reference":        {ref(byValue(), aliceUpdates), mls.ErrOwnUpdate},
		"inline SelfRemove":              {byValue(&mls.SelfRemove{}), mls.ErrByValue},
		"removes the same leaf twice":    {byValue(&mls.Remove{Removed: 2}, &mls.Remove{Removed: 2}), mls.ErrSameLeaf},
		"by value and by reference":      {ref(byValue(&mls.Remove{Removed: 2}), bobRemoves), mls.ErrSameLeaf},
		"Remove beside SelfRemove":       {ref(byValue(&mls.Remove{Removed: 1}), bobLeaves), mls.ErrSameLeaf},
		"same reference twice":           {ref(byValue(), bobRemoves, bobRemoves), mls.ErrDuplicateRef},
		"unknown reference":              {ref(byValue(), mls.ProposalRef("unknown")), mls.ErrUnknownProposal},
		"removes no member":              {byValue(&mls.Remove{Removed: 3}), mls.ErrNotMember},
		"removes beyond the tree":        {byValue(&mls.Remove{Removed: 1 << 31}), mls.ErrNotMember},
		"adds the same client twice":     {byValue(&mls.Add{KeyPackage: k}, &mls.Add{KeyPackage: k}), mls.ErrDuplicateKey},
		"ExternalInit of a member":       {byValue(&mls.ExternalInit{KEMOutput: []byte{1}}), mls.ErrExternalInit},
		"two lists of extensions":        {byValue(&mls.GroupContextExtensions{}, &mls.GroupContextExtensions{}), mls.ErrSeveralGCE},
		"ReInit beside another":          {byValue(&mls.ReInit{Version: mls.MLS10, CipherSuite: mls.X25519}, &mls.Remove{Removed: 2}), mls.ErrReInit},
		"ReInit to an older version":     {byValue(&mls.ReInit{Version: 0, CipherSuite: mls.X25519}), mls.ErrReInit},
		"short PSK nonce":                {byValue(psk(external, 31)), mls.ErrPSK},
		"same PSK twice":                 {byValue(psk(external, 32), psk(external, 32)), mls.ErrSamePSK},
		"PSK for ReInit":                 {byValue(psk(mls.PreSharedKeyID{Type: mls.PSKResumption, Usage: mls.ResumptionReInit}, 32)), mls.ErrPSK},
		"PSK for branching":              {byValue(psk(mls.PreSharedKeyID{Type: mls.PSKResumption, Usage: mls.ResumptionBranch}, 32)), mls.ErrPSK},
		"empty without path":             {byValue(), mls.ErrPathMissing},
		"Remove without path":            {byValue(&mls.Remove{Removed: 2}), mls.ErrPathMissing},
		"Update by reference, no path":   {ref(byValue(), bobRemoves), mls.ErrPathMissing},
		"SelfRemove without path":        {ref(byValue(), bobLeaves), mls.ErrPathMissing},
		"component with nothing to drop": {byValue(&mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateRemove}), mls.ErrAppData},
		"component updated and removed":  {byValue(&mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateUpdate}, &mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateRemove}), mls.ErrAppData},
		"component removed twice":        {byValue(&mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateRemove}, &mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateRemove}), mls.ErrAppData},
	} {
		t.Run(name, func(t *testing.T) { refusedCommit(t, w, c.commit, c.want) })
	}
	m := mls.Forge(t, b, 1, mls.FramedContent{ContentType: mls.ContentCommit, Commit: ref(byValue(), bobLeaves)})
	refused(t, w, "A", &mls.MLSMessage{PublicMessage: m}, mls.ErrSelfRemoval)
	refusedByHub(t, w, m, mls.ErrSelfRemoval)
	second := mls.Forge(t, b, 1, mls.FramedContent{ContentType: mls.ContentProposal, AuthenticatedData: []byte("other"), Proposal: &mls.Proposal{Body: &mls.SelfRemove{}}})
	refused(t, w, "A", &mls.MLSMessage{PublicMessage: second}, mls.ErrTwoSelfRemoves)
	refusedByHub(t, w, second, mls.ErrTwoSelfRemoves)
	if _, err := w.Node("A").Group.Protect(0, []byte("text"), mls.AuthenticatedData{}); !errors.Is(err, mls.ErrPendingProposals) {
		t.Errorf("application data beside pending proposals: %v", err)
	}
	w.Commit("C", "carol/1", mls.CommitOptions{References: []mls.ProposalRef{bobLeaves, aliceUpdates}})
}

// TestSection12_2UnsupportedProposals: a non-default proposal needs the support
// of all who process the commit.
func TestSection12_2UnsupportedProposals(t *testing.T) {
	w := three(t)
	leaf := w.LeafParams("dan/1")
	leaf.Capabilities.Proposals = nil
	kp := mlstest.KeyPackage(t, mls.X25519, leaf, mlstest.Random("kp"))
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: kp.KeyPackage}}})
	refusedCommit(t, w, byValue(&mls.AppEphemeral{Component: 9}), mls.ErrUnsupported)
	extensions := mls.Extensions{requireCaps(t, mls.RequiredCapabilities{Proposals: []mls.ProposalType{mls.ProposalSelfRemove}})}
	gce := &mls.GroupContextExtensions{Extensions: extensions}
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{gce}}); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("required capability that a member lacks: %v", err)
	}
	unknown := &mls.GroupContextExtensions{Extensions: mls.Extensions{{Type: 0xf001}}}
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{unknown}}); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("GroupContext extension that members lack: %v", err)
	}
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{gce, &mls.Remove{Removed: w.Leaf("dan/1")}}})
}

// TestSection12_1_8ExternalSenders: listed ones may propose what the registry
// allows.
func TestSection12_1_8ExternalSenders(t *testing.T) {
	sender := mlstest.Leaf(t, mls.X25519, "hub/1", mlstest.Random("sender"))
	e, err := mls.ExternalSendersExtension(mls.ExternalSender{SignatureKey: sender.SignatureKey.Public(), Credential: sender.Credential})
	if err != nil {
		t.Fatal(err)
	}
	w := three(t, e)
	a := w.Node("A").Group
	propose := func(body mls.ProposalBody) *mls.PublicMessage {
		m := mls.Forge(t, a, 0, mls.FramedContent{Sender: mls.Sender{Type: mls.SenderExternal}, ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: body}})
		return mls.Resign(t, a, sender.SignatureKey, m)
	}
	for _, body := range []mls.ProposalBody{&mls.SelfRemove{}, &mls.ExternalInit{}} {
		m := propose(body)
		refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrExternalSender)
		refusedByHub(t, w, m, mls.ErrExternalSender)
	}
	m := propose(&mls.Remove{Removed: w.Leaf("bob/1")})
	w.AtHub(m, nil)
	w.Others(nil, &mls.MLSMessage{PublicMessage: m})
	w.Commit("C", "carol/1", mls.CommitOptions{AllPending: true})
	if _, ok := w.Find("bob/1"); ok {
		t.Error("the proposal of the external sender was not committed")
	}
	mallory := mls.ExternalSender{SignatureKey: sender.SignatureKey.Public(), Credential: mls.BasicCredential([]byte("mallory"))}
	more, err := mls.ExternalSendersExtension(mls.ExternalSender{SignatureKey: sender.SignatureKey.Public(), Credential: sender.Credential}, mallory)
	if err != nil {
		t.Fatal(err)
	}
	w.Policy.Credential = func(c mls.Credential, _ []byte) error {
		if c.Equal(&mallory.Credential) {
			return errors.New("unknown issuer")
		}
		return nil
	}
	refusedByHub(t, w, forgedCommit(t, w, byValue(&mls.GroupContextExtensions{Extensions: mls.Extensions{more}})), mls.ErrCredential)
	k := keyPackage(t, w, "dan/1")
	m = mls.Resign(t, a, k.SignatureKey, mls.Forge(t, a, 0, mls.FramedContent{
		Sender: mls.Sender{Type: mls.SenderNewMemberProposal}, ContentType: mls.ContentProposal,
		Proposal: &mls.Proposal{Body: &mls.Add{KeyPackage: k.KeyPackage}},
	}))
	w.AtHub(m, nil)
	w.Others(nil, &mls.MLSMessage{PublicMessage: m})
	w.Commit("C", "carol/1", mls.CommitOptions{AllPending: true})
	w.Leaf("dan/1")
}

// TestSection12_4_3_1Welcomes: what a new member checks.
func TestSection12_4_3_1Welcomes(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "dan/1")
	g := w.Node("A").Group
	p, err := g.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	cfg := mlstest.Config("D", &mlstest.Policy{})
	join := func(m *mls.Welcome, tree *mls.RatchetTree) error {
		_, _, err := mls.JoinWelcome(t.Context(), cfg, m, k, tree)
		return err
	}
	if err := join(p.Welcome, nil); err != nil {
		t.Fatalf("positive control: %v", err)
	}
	again := func() *mls.Welcome { return mlstest.Again(t, &mls.MLSMessage{Welcome: p.Welcome}).Welcome }
	m := again()
	m.Secrets[0].NewMember[0] ^= 1
	if err := join(m, nil); !errors.Is(err, mls.ErrWelcomeNotForUs) {
		t.Errorf("for another KeyPackage: %v", err)
	}
	m = again()
	m.EncryptedGroupInfo[0] ^= 1
	if err := join(m, nil); !errors.Is(err, mls.ErrDecrypt) {
		t.Errorf("changed GroupInfo: %v", err)
	}
	m = again()
	m.CipherSuite = suite.X25519ChaCha20
	if err := join(m, nil); !errors.Is(err, mls.ErrKeyPackageSuite) {
		t.Errorf("other cipher suite: %v", err)
	}
	tree := slices.Clone(*g.RatchetTree())
	tree[4] = nil
	if err := join(again(), &tree); !errors.Is(err, mls.ErrTreeHash) && !errors.Is(err, mls.ErrUnmergedLeaves) {
		t.Errorf("tree without a member: %v", err)
	}
	if _, err := w.Node("B").Group.AttachWelcome(t.Context(), again(), k); !errors.Is(err, mls.ErrWelcomeEpoch) {
		t.Errorf("Welcome before its commit: %v", err)
	}
}

// TestSection12_4_3_1Trees: trees that a joiner or hub must refuse, although
// their hash is the one in the GroupInfo.
func TestSection12_4_3_1Trees(t *testing.T) {
	w := three(t)
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
	w.Commit("C", "carol/1", mls.CommitOptions{})
	w.Add("A", "alice/1", mlstest.On("E", "eve/1"))
	w.AddWith("A", "alice/1", mls.CommitOptions{NoPath: true}, mlstest.On("F", "fay/1"))
	g := w.Node("A").Group
	for name, c := range map[string]struct {
		change func(tree mls.RatchetTree)
		want   error
	}{
		"parent hash":             {func(tree mls.RatchetTree) { tree[3].Parent.ParentHash = []byte("other") }, mls.ErrParentHash},
		"key of the root":         {func(tree mls.RatchetTree) { tree[7].Parent.EncryptionKey = bytes.Repeat([]byte{9}, 32) }, mls.ErrParentHash},
		"key twice":               {func(tree mls.RatchetTree) { tree[1].Parent.EncryptionKey = tree[0].Leaf.EncryptionKey }, mls.ErrDuplicateKey},
		"no key":                  {func(tree mls.RatchetTree) { tree[1].Parent.EncryptionKey = []byte{1} }, suite.ErrKey},
		"unmerged leaf elsewhere": {func(tree mls.RatchetTree) { tree[1].Parent.UnmergedLeaves = []mls.LeafIndex{5} }, mls.ErrUnmergedLeaves},
		"unmerged leaf nowhere":   {func(tree mls.RatchetTree) { tree[7].Parent.UnmergedLeaves = []mls.LeafIndex{1 << 30} }, mls.ErrUnmergedLeaves},
		"unmerged blank leaf":     {func(tree mls.RatchetTree) { tree[7].Parent.UnmergedLeaves = []mls.LeafIndex{7} }, mls.ErrUnmergedLeaves},
		"unmerged above only":     {func(tree mls.RatchetTree) { tree[7].Parent.UnmergedLeaves = []mls.LeafIndex{1} }, mls.ErrUnmergedLeaves},
		"leaf signature":          {func(tree mls.RatchetTree) { tree[10].Leaf.NotAfter++ }, mls.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := mls.Marshal(g.RatchetTree())
			if err != nil {
				t.Fatal(err)
			}
			var tree mls.RatchetTree
			if err := mls.Unmarshal(b, &tree); err != nil {
				t.Fatal(err)
			}
			for _, n := range tree {
				if n != nil && n.Leaf != nil {
					mls.FreshLeaf(n.Leaf)
				}
			}
			c.change(tree)
			gi := *mlstest.Again(t, &mls.MLSMessage{GroupInfo: w.Hub.GroupInfo()}).GroupInfo
			gi.GroupContext.TreeHash = mls.HashOf(t, g, tree)
			mls.ResignGroupInfo(t, g, 0, &gi)
			gi.Signer = 0
			mls.ResignGroupInfo(t, g, 0, &gi)
			if _, err := mls.NewPublicGroup(t.Context(), w.HubConf, &gi, &tree); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// TestSection12_1ProposalsAlone: an invalid proposal is not stored.
func TestSection12_1ProposalsAlone(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	k := keyPackage(t, w, "dan/1")
	k.KeyPackage.LeafNode.Capabilities.Versions = nil
	mls.ResignKeyPackage(t, k)
	own, _ := w.Hub.View().Member(0)
	update := func(change func(l *mls.LeafNode)) *mls.Update {
		m, _, err := a.ProposeUpdate(t.Context(), 0, nil, mls.AuthenticatedData{})
		if err != nil {
			t.Fatal(err)
		}
		u, ok := mls.Fresh(m).Content.Proposal.Body.(*mls.Update)
		if !ok {
			t.Fatal("not an Update")
		}
		change(&u.LeafNode)
		key, _ := a.SignatureKey(0)
		mls.ResignLeaf(t, a, key, &u.LeafNode, 0)
		return u
	}
	unsigned := update(func(*mls.LeafNode) {})
	unsigned.LeafNode.Signature = make([]byte, 64)
	for name, c := range map[string]struct {
		body mls.ProposalBody
		want error
	}{
		"Update not signed":     {unsigned, mls.ErrSignature},
		"Remove of no member":   {&mls.Remove{Removed: 3}, mls.ErrNotMember},
		"short PSK nonce":       {&mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, Nonce: []byte{1}}}, mls.ErrPSK},
		"Add":                   {&mls.Add{KeyPackage: k.KeyPackage}, mls.ErrCapabilities},
		"ReInit":                {&mls.ReInit{CipherSuite: mls.X25519}, mls.ErrReInit},
		"Update with old key":   {update(func(l *mls.LeafNode) { l.EncryptionKey = own.Leaf.EncryptionKey }), mls.ErrSameEncryption},
		"Update of source":      {update(func(l *mls.LeafNode) { l.Source = mls.LeafNodeSourceCommit }), mls.ErrLeafSource},
		"Update of another":     {update(func(l *mls.LeafNode) { l.Credential = mls.BasicCredential([]byte("mallory/1")) }), mls.ErrSuccessor},
		"Update without suites": {update(func(l *mls.LeafNode) { l.Capabilities.CipherSuites = nil }), mls.ErrCapabilities},
	} {
		t.Run(name, func(t *testing.T) {
			m := mls.Forge(t, a, 0, mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: c.body}})
			refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, c.want)
			refusedByHub(t, w, m, c.want)
		})
	}
	if _, _, err := a.Propose(t.Context(), 0, &mls.Update{LeafNode: *own.Leaf}, mls.AuthenticatedData{}); !errors.Is(err, mls.ErrOwnUpdate) {
		t.Errorf("an Update without its private key: %v", err)
	}
	key, _ := a.SignatureKey(0)
	private := mls.SealPrivate(t, a, key, mls.FramedContent{
		Sender: mls.Sender{Type: mls.SenderMember}, ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.SelfRemove{}},
	}, func(b []byte) []byte { return b })
	refused(t, w, "B", &mls.MLSMessage{PrivateMessage: private}, mls.ErrWireFormat)
	w.Node("B").Policy.Proposal = func(*mls.ProposalView) error { return errors.New("nobody leaves") }
	m := mls.Forge(t, a, 0, mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.SelfRemove{}}})
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrPolicy)
}

// TestPolicySeesWholeCommits: the hook refuses a commit before anything is
// applied, at members and hub alike, with both epochs in view.
func TestPolicySeesWholeCommits(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "dan/1")
	var seen []*mls.CommitView
	refuse := func(v *mls.CommitView) error {
		seen = append(seen, v)
		return errors.New("not today")
	}
	w.Node("B").Policy.Commit, w.Policy.Commit = refuse, refuse
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{
		Proposals: []mls.ProposalBody{&mls.Remove{Removed: 2}, &mls.Add{KeyPackage: k.KeyPackage}},
		AAD:       mls.AuthenticatedData{Rest: []byte("aad")},
	})
	refused(t, w, "B", p.MLSMessage(), mls.ErrPolicy)
	refusedByHub(t, w, p.Message, mls.ErrPolicy)
	if len(seen) != 2 {
		t.Fatalf("the hook was called %d times", len(seen))
	}
	for _, v := range seen {
		if v.Before.Epoch()+1 != v.After.Epoch() || v.External || v.Committer != 0 || !v.HasPath || string(v.AuthenticatedData.Rest) != "aad" ||
			len(v.Proposals) != 2 || len(v.Removed) != 1 || string(v.Removed[0].Leaf.Credential.Body) != "carol/1" ||
			len(v.Added) != 1 || string(v.Added[0].Leaf.Credential.Body) != "dan/1" || len(v.Updated) != 1 {
			t.Errorf("view: %+v", v)
		}
	}
}

// TestSection7_7TreesAreTruncated: a tree whose right half has no member is not
// the tree of a group.
func TestSection7_7TreesAreTruncated(t *testing.T) {
	w := mlstest.New(t, mls.X25519, "A", "alice/1")
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"))
	g := w.Node("A").Group
	tree := slices.Clone(*g.RatchetTree())
	tree = append(tree, &mls.Node{Parent: &mls.ParentNode{EncryptionKey: bytes.Repeat([]byte{9}, 32)}})
	gi := *mlstest.Again(t, &mls.MLSMessage{GroupInfo: w.Hub.GroupInfo()}).GroupInfo
	gi.GroupContext.TreeHash = mls.HashOf(t, g, tree)
	mls.ResignGroupInfo(t, g, 0, &gi)
	if _, err := mls.NewPublicGroup(t.Context(), w.HubConf, &gi, &tree); !errors.Is(err, mls.ErrTreeForm) {
		t.Errorf("a root above an empty half: %v", err)
	}
}
