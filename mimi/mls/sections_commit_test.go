package mls_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestSection12_1EpochOfProposals: a proposal is of the current epoch.
func TestSection12_1EpochOfProposals(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(0)
	for by, want := range map[uint64]error{^uint64(0): mls.ErrEpochPast, 1: mls.ErrEpochFuture} {
		m := mls.Forge(t, a, 0, mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.Remove{Removed: 1}}})
		m.Content.Epoch += by
		mls.Resign(t, a, key, m)
		refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, want)
		refusedByHub(t, w, m, want)
	}
}

// TestSection12_2Resyncs: the path leaf of a resync is checked as an Update of
// the leaf that it replaces.
func TestSection12_2Resyncs(t *testing.T) {
	w := three(t)
	bob := w.Leaf("bob/1")
	old, _ := w.Hub.View().Member(bob)
	commit := func(client string) (*mls.PublicMessage, mls.LeafParams) {
		p, leaf := externalCommit(t, w, client, mls.ExternalOptions{Resync: &bob})
		return mls.Fresh(p.Message), leaf
	}
	send := func(m *mls.PublicMessage, leaf mls.LeafParams, want error) {
		t.Helper()
		mls.ResignLeaf(t, w.Node("A").Group, leaf.SignatureKey, &m.Content.Commit.Path.LeafNode, bob)
		mls.Resign(t, w.Node("A").Group, leaf.SignatureKey, m)
		refused(t, w, "C", &mls.MLSMessage{PublicMessage: m}, want)
		refusedByHub(t, w, m, want)
	}
	m, leaf := commit("bob/2")
	m.Content.Commit.Path.LeafNode.EncryptionKey = old.Leaf.EncryptionKey
	send(m, leaf, mls.ErrSameEncryption)
	m, leaf = commit("bob/2")
	m.Content.Commit.Path.LeafNode.Credential = mls.BasicCredential([]byte("mallory/1"))
	send(m, leaf, mls.ErrSuccessor)
	if _, _, err := mls.ExternalJoin(t.Context(), mlstest.Config("M", &mlstest.Policy{}), w.Hub.GroupInfo(), w.Hub.RatchetTree(),
		mls.ExternalOptions{Leaf: w.LeafParams("mallory/1"), Resync: &bob}); !errors.Is(err, mls.ErrSuccessor) {
		t.Errorf("making such a commit: %v", err)
	}
	refuse := errors.New("unknown issuer")
	strict := func(c mls.Credential, _ []byte) error {
		if string(c.Body) == "bob/2" {
			return refuse
		}
		return nil
	}
	w.Node("C").Policy.Credential, w.Policy.Credential = strict, strict
	m, leaf = commit("bob/2")
	send(m, leaf, refuse)
}

// everything makes a commit with proposals of all types that change the tree, in
// the reverse of the order in which they are applied.
func everything(t *testing.T, w *mlstest.World) *mls.CommitResult {
	t.Helper()
	update := w.ProposeUpdate("B", "bob/1")
	kp := func(client string) *mls.Add { return &mls.Add{KeyPackage: keyPackage(t, w, client).KeyPackage} }
	required := requireCaps(t, mls.RequiredCapabilities{Proposals: []mls.ProposalType{mls.ProposalSelfRemove}})
	return w.Commit("A", "alice/1", mls.CommitOptions{
		References: []mls.ProposalRef{update},
		Proposals: []mls.ProposalBody{
			kp("dan/1"), kp("eve/1"), &mls.Remove{Removed: w.Leaf("carol/1")}, &mls.GroupContextExtensions{Extensions: mls.Extensions{required}},
		},
	})
}

// TestSection12_3Order: the places of new members tell that removed ones were
// gone already, and that Adds are applied as they are listed.
func TestSection12_3Order(t *testing.T) {
	w := three(t)
	carol := w.Leaf("carol/1")
	before, _ := w.Hub.View().Member(w.Leaf("bob/1"))
	r := everything(t, w)
	if w.Leaf("dan/1") != carol || w.Leaf("eve/1") != carol+1 || len(r.Added) != 2 || r.Added[0].Index != carol {
		t.Errorf("dan at %d, eve at %d", w.Leaf("dan/1"), w.Leaf("eve/1"))
	}
	after, _ := w.Hub.View().Member(w.Leaf("bob/1"))
	if bytes.Equal(before.Leaf.EncryptionKey, after.Leaf.EncryptionKey) {
		t.Error("the Update was not applied")
	}
	if len(w.Hub.View().Context().Extensions) != 1 {
		t.Error("the extensions were not replaced")
	}
	w.Say("B", "bob/1", "updated")
}

// TestSection12_3ExtensionsComeFirst: a new member has to support what the same
// commit requires.
func TestSection12_3ExtensionsComeFirst(t *testing.T) {
	w := three(t)
	required := requireCaps(t, mls.RequiredCapabilities{Proposals: []mls.ProposalType{mls.ProposalSelfRemove}})
	gce := &mls.GroupContextExtensions{Extensions: mls.Extensions{required}}
	leaf := w.LeafParams("dan/1")
	leaf.Capabilities.Proposals = nil
	lacking := mlstest.KeyPackage(t, mls.X25519, leaf, mlstest.Random("kp"))
	options := func(k *mls.KeyPackagePrivate) mls.CommitOptions {
		return mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}, gce}}
	}
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, options(lacking)); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("a new member that lacks what is new: %v", err)
	}
	w.Commit("A", "alice/1", options(keyPackage(t, w, "eve/1")))
}

// TestSection12_4_1OwnCommitsAreChecked: what others would refuse is not made,
// and nothing is pending then.
func TestSection12_4_1OwnCommitsAreChecked(t *testing.T) {
	w := three(t)
	g := w.Node("A").Group
	for _, c := range []struct {
		body mls.ProposalBody
		want error
	}{
		{&mls.Remove{Removed: 0}, mls.ErrSelfRemoval},
		{&mls.Remove{Removed: 7}, mls.ErrNotMember},
		{&mls.SelfRemove{}, mls.ErrByValue},
		{&mls.ExternalInit{KEMOutput: []byte{1}}, mls.ErrExternalInit},
	} {
		if _, err := g.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{c.body}}); !errors.Is(err, c.want) {
			t.Errorf("%T: %v, want %v", c.body, err, c.want)
		}
		if g.Pending() != nil {
			t.Errorf("%T: it is pending", c.body)
		}
	}
}

// TestSection12_4_1PathsWhereRequired: NoPath is a wish.
func TestSection12_4_1PathsWhereRequired(t *testing.T) {
	w := three(t)
	add := &mls.Add{KeyPackage: keyPackage(t, w, "dan/1").KeyPackage}
	leaf := w.LeafParams("alice/1")
	for name, c := range map[string]struct {
		opts mls.CommitOptions
		want bool
	}{
		"Add":            {mls.CommitOptions{Proposals: []mls.ProposalBody{add}}, false},
		"Add and Remove": {mls.CommitOptions{Proposals: []mls.ProposalBody{add, &mls.Remove{Removed: 1}}}, true},
		"nothing":        {mls.CommitOptions{}, true},
		"extensions":     {mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.GroupContextExtensions{}}}, true},
		"new leaf":       {mls.CommitOptions{Proposals: []mls.ProposalBody{add}, NewLeaf: &leaf}, true},
	} {
		c.opts.NoPath = true
		p := pending(t, w, "A", "alice/1", c.opts)
		if got := p.Message.Content.Commit.Path != nil; got != c.want {
			t.Errorf("%s: path %v", name, got)
		}
	}
}

// TestSection12_4_1WelcomesCoverAll: the one Welcome is for every new member.
func TestSection12_4_1WelcomesCoverAll(t *testing.T) {
	w := three(t)
	var adds []mls.ProposalBody
	var refs []string
	for _, c := range []string{"dan/1", "eve/1", "fay/1"} {
		k := keyPackage(t, w, c)
		ref, err := k.KeyPackage.Ref()
		if err != nil {
			t.Fatal(err)
		}
		adds, refs = append(adds, &mls.Add{KeyPackage: k.KeyPackage}), append(refs, string(ref))
	}
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: adds})
	var got []string
	for _, s := range p.Welcome.Secrets {
		got = append(got, string(s.NewMember))
	}
	if !slices.Equal(got, refs) {
		t.Errorf("the Welcome is for %x, not %x", got, refs)
	}
}

// TestSection12_4_2PSKsAreThere: a commit with a PSK that a member lacks, which
// then waits for it.
func TestSection12_4_2PSKsAreThere(t *testing.T) {
	w := three(t)
	for _, n := range []string{"A", "C"} {
		w.Node(n).Config.PSK = pskOf("secret")
		w.Restart(n)
	}
	psk := &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("id")}}
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{psk}})
	refused(t, w, "B", p.MLSMessage(), mls.ErrNoPSK)
	past := &mls.PreSharedKey{PSK: mls.PreSharedKeyID{
		Type: mls.PSKResumption, Usage: mls.ResumptionApplication, GroupID: mlstest.GroupID, Epoch: 77, Nonce: make([]byte, 32),
	}}
	commit := pending(t, w, "A", "alice/1", mls.CommitOptions{}).Message
	commit.Content.Commit.Proposals = byValue(past).Proposals
	key, _ := w.Node("A").Group.SignatureKey(0)
	mls.Resign(t, w.Node("A").Group, key, commit)
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: commit}, mls.ErrNoPSK)
	broken := errors.New("the store is broken")
	w.Node("B").Config.PSK = func(context.Context, mls.PreSharedKeyID) (suite.Secret, error) { return suite.Secret{}, broken }
	w.Restart("B")
	refused(t, w, "B", p.MLSMessage(), mls.ErrNoPSK)
	refused(t, w, "B", p.MLSMessage(), broken)
	w.Node("B").Config.PSK = pskOf("another secret")
	w.Restart("B")
	refused(t, w, "B", p.MLSMessage(), mls.ErrConfirmationTag)
}

// TestSection12_4_3_1CredentialsOfTrees: a joiner validates the credentials of
// all members, a hub as well.
func TestSection12_4_3_1CredentialsOfTrees(t *testing.T) {
	w := three(t)
	refuse := errors.New("unknown issuer")
	cfg := mlstest.Config("D", &mlstest.Policy{Credential: func(c mls.Credential, _ []byte) error {
		if string(c.Body) == "carol/1" {
			return refuse
		}
		return nil
	}})
	if _, err := mls.NewPublicGroup(t.Context(), cfg, w.Hub.GroupInfo(), w.Hub.RatchetTree()); !errors.Is(err, refuse) {
		t.Errorf("hub: %v", err)
	}
	k := keyPackage(t, w, "dan/1")
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
	if _, _, err := mls.JoinWelcome(t.Context(), cfg, p.Welcome, k, nil); !errors.Is(err, refuse) {
		t.Errorf("Welcome: %v", err)
	}
	if _, _, err := mls.ExternalJoin(t.Context(), cfg, w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: w.LeafParams("dan/1")}); !errors.Is(err, refuse) {
		t.Errorf("external Commit: %v", err)
	}
}

// TestSection12_4_3_2Signatures: an external Commit is signed with the key of its
// path's leaf, and nobody else's.
func TestSection12_4_3_2Signatures(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	alices, _ := a.SignatureKey(0)
	for name, key := range map[string]suite.SignatureKey{"a member's": alices, "a stranger's": w.LeafParams("mallory/1").SignatureKey} {
		p, _ := externalCommit(t, w, "dan/1", mls.ExternalOptions{})
		mls.Resign(t, a, key, p.Message)
		t.Log(name)
		refused(t, w, "B", p.MLSMessage(), mls.ErrSignature)
		refusedByHub(t, w, p.Message, mls.ErrSignature)
	}
}

// TestSection12_4_3_3Trees: a tree goes without blank nodes at its end, and comes
// without them.
func TestSection12_4_3_3Trees(t *testing.T) {
	w := three(t)
	tree := *w.Node("A").Group.RatchetTree()
	if len(tree) != 5 || tree[4] == nil {
		t.Fatalf("%d nodes for three members", len(tree))
	}
	if _, err := mls.NewPublicGroup(t.Context(), w.HubConf, w.Hub.GroupInfo(), &tree); err != nil {
		t.Errorf("positive control: %v", err)
	}
	for _, blanks := range []int{1, 2, 10} {
		long := append(slices.Clone(tree), make(mls.RatchetTree, blanks)...)
		if _, err := mls.NewPublicGroup(t.Context(), w.HubConf, w.Hub.GroupInfo(), &long); !errors.Is(err, mls.ErrTreeForm) {
			t.Errorf("%d blank nodes at the end: %v", blanks, err)
		}
	}
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: 1}}})
	if tree = *w.Node("A").Group.RatchetTree(); tree[len(tree)-1] == nil {
		t.Error("a tree with a blank node at its end")
	}
}

// TestSection13_4AddedMembersSupportTheGroup: each extension of the GroupContext.
func TestSection13_4AddedMembersSupportTheGroup(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 7, Data: []byte("data")}))
	leaf := w.LeafParams("dan/1")
	leaf.Capabilities.Extensions = nil
	k := mlstest.KeyPackage(t, mls.X25519, leaf, mlstest.Random("kp"))
	refusedCommit(t, w, byValue(&mls.Add{KeyPackage: k.KeyPackage}), mls.ErrUnsupported)
	w.Add("A", "alice/1", mlstest.On("E", "eve/1"))
}

// TestSection13_4JoinersSupportTheGroup: whoever joins refuses a group with an
// extension that it does not support.
func TestSection13_4JoinersSupportTheGroup(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	k := keyPackage(t, w, "dan/1")
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
	gi, err := a.GroupInfo(0, mls.GroupInfoOptions{RatchetTree: true, ExternalPub: true})
	if err != nil {
		t.Fatal(err)
	}
	gi.GroupContext.Extensions = gi.GroupContext.Extensions.With(0xf001, []byte("unknown"))
	mls.ResignGroupInfo(t, a, 0, gi)
	cfg := mlstest.Config("D", &mlstest.Policy{})
	m := mls.ForgeWelcome(t, &k.KeyPackage, gi, mls.GroupSecrets{JoinerSecret: suite.NewSecret(make([]byte, 32))})
	if _, _, err := mls.JoinWelcome(t.Context(), cfg, m, k, nil); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("Welcome: %v", err)
	}
	if _, _, err := mls.ExternalJoin(t.Context(), cfg, gi, nil, mls.ExternalOptions{Leaf: w.LeafParams("eve/1")}); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("external Commit: %v", err)
	}
}

// TestSection13_5GREASE: values reserved for it are ignored where they may be,
// refused like others where they may not, and never sent there.
func TestSection13_5GREASE(t *testing.T) {
	w := three(t)
	const grease = 0x3a3a
	leaf := w.LeafParams("dan/1")
	c := &leaf.Capabilities
	c.CipherSuites, c.Extensions = append(c.CipherSuites, grease), append(c.Extensions, grease, 0xdada)
	c.Proposals, c.Credentials = append(c.Proposals, grease), append(c.Credentials, grease)
	leaf.Extensions = mls.Extensions{{Type: grease, Data: []byte("random")}}
	k, err := mls.NewKeyPackage(mlstest.Random("kp"), mls.KeyPackageParams{
		CipherSuite: mls.X25519, Leaf: leaf, Extensions: mls.Extensions{{Type: 0xdada, Data: []byte("random")}},
		NotBefore: uint64(mlstest.Now.Unix()), NotAfter: uint64(mlstest.Now.Unix()) + 3600,
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{
		Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}},
		GroupInfo: func(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
			o := mls.GroupInfoOptions{RatchetTree: true, ExternalPub: true, Extensions: mls.Extensions{{Type: 0xaaaa, Data: []byte("random")}}}
			return o, o, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Deliver(w.Node("A"), p)
	if _, _, err := mls.JoinWelcome(t.Context(), mlstest.Config("D", &mlstest.Policy{}), p.Welcome, k, nil); err != nil {
		t.Errorf("Welcome: %v", err)
	}
	if _, _, err := mls.ExternalJoin(t.Context(), mlstest.Config("E", &mlstest.Policy{}), p.GroupInfo, nil, mls.ExternalOptions{Leaf: w.LeafParams("eve/1")}); err != nil {
		t.Errorf("external join: %v", err)
	}
	// Listing a value does not give it a meaning.
	refusedCommit(t, w, byValue(&mls.GroupContextExtensions{Extensions: mls.Extensions{{Type: grease}}}), mls.ErrPathMissing)
	forged := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.GroupContextExtensions{}}}).Message
	forged.Content.Commit.Proposals = byValue(&mls.GroupContextExtensions{Extensions: mls.Extensions{{Type: grease}}}).Proposals
	key, _ := w.Node("A").Group.SignatureKey(0)
	mls.Resign(t, w.Node("A").Group, key, forged)
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: forged}, mls.ErrUnsupported)
	refusedByHub(t, w, forged, mls.ErrUnsupported)
	notSent(t, w, grease)
}

// notSent checks that a GREASE value does not leave us where it would be refused.
func notSent(t *testing.T, w *mlstest.World, grease uint16) {
	t.Helper()
	for how, err := range everyLeaf(t, w, func(p *mls.LeafParams) {
		p.Credential.Type = mls.CredentialType(grease)
		p.Capabilities.Credentials = append(p.Capabilities.Credentials, p.Credential.Type)
	}) {
		if !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("credential, %s: %v", how, err)
		}
	}
	for name, l := range map[string]mls.Extensions{
		"extension":           {{Type: mls.ExtensionType(grease)}},
		"required extension":  {requireCaps(t, mls.RequiredCapabilities{Extensions: []mls.ExtensionType{mls.ExtensionType(grease)}})},
		"required proposal":   {requireCaps(t, mls.RequiredCapabilities{Proposals: []mls.ProposalType{mls.ProposalType(grease)}})},
		"required credential": {requireCaps(t, mls.RequiredCapabilities{Credentials: []mls.CredentialType{mls.CredentialType(grease)}})},
	} {
		gce := &mls.GroupContextExtensions{Extensions: l}
		if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{gce}}); !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("%s in a commit: %v", name, err)
		}
		if _, _, err := w.Node("A").Group.Propose(t.Context(), 0, gce, mls.AuthenticatedData{}); !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("%s in a proposal: %v", name, err)
		}
		leaf := w.LeafParams("alice/1")
		c := &leaf.Capabilities
		c.Extensions, c.Proposals = append(c.Extensions, mls.ExtensionType(grease)), append(c.Proposals, mls.ProposalType(grease))
		c.Credentials = append(c.Credentials, mls.CredentialType(grease))
		if _, err := mls.Create(t.Context(), w.Node("A").Config, mls.CreateParams{CipherSuite: mls.X25519, Leaf: leaf, Extensions: l}); !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("%s of a new group: %v", name, err)
		}
	}
}
