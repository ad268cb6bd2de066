package mls_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// three is a group of three members on three nodes.
func three(t *testing.T, extensions ...mls.Extension) *mlstest.World {
	t.Helper()
	w := mlstest.New(t, mls.X25519, "A", "alice/1", extensions...)
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"), mlstest.On("C", "carol/1"))
	return w
}

// threeWith is three with leaves that are changed.
func threeWith(t *testing.T, change func(*mls.LeafParams), extensions ...mls.Extension) *mlstest.World {
	t.Helper()
	w := mlstest.NewWith(t, mls.X25519, change, "A", "alice/1", extensions...)
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"), mlstest.On("C", "carol/1"))
	return w
}

// refused lets a node process a message that it has to refuse with want, and
// checks that not an octet of its state has changed.
func refused(t *testing.T, w *mlstest.World, node string, m *mls.MLSMessage, want error) {
	t.Helper()
	n := w.Node(node)
	n.Disk.Write(n.Group.Dirty())
	before := n.Disk.Snapshot()
	if _, err := n.Group.Process(t.Context(), mlstest.Again(t, m)); !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", node, err, want)
	}
	n.Disk.Write(n.Group.Dirty())
	if !bytes.Equal(before, n.Disk.Snapshot()) {
		t.Errorf("%s: a refused message has changed the state", node)
	}
}

// refusedByHub is refused for the hub.
func refusedByHub(t *testing.T, w *mlstest.World, m *mls.PublicMessage, want error) {
	t.Helper()
	w.HubDisk.Write(w.Hub.Dirty())
	before := w.HubDisk.Snapshot()
	m = mlstest.Again(t, &mls.MLSMessage{PublicMessage: m}).PublicMessage
	if _, err := w.Hub.Stage(t.Context(), m); !errors.Is(err, want) {
		t.Errorf("hub: %v, want %v", err, want)
	}
	w.HubDisk.Write(w.Hub.Dirty())
	if !bytes.Equal(before, w.HubDisk.Snapshot()) {
		t.Error("hub: a refused message has changed the state")
	}
}

// pending makes a commit and discards it: a message to be spoilt.
func pending(t *testing.T, w *mlstest.World, node, from string, opts mls.CommitOptions) *mls.PendingCommit {
	t.Helper()
	g := w.Node(node).Group
	p, err := g.Commit(t.Context(), w.Leaf(from), opts)
	if err != nil {
		t.Fatal(err)
	}
	g.Discard()
	p.Message = mlstest.Again(t, p.MLSMessage()).PublicMessage
	return p
}

// TestRule1StagedAndAtomic: whatever is wrong, a commit leaves no trace, and the
// right one is processed afterwards.
func TestRule1StagedAndAtomic(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	key, _ := a.SignatureKey(w.Leaf("alice/1"))
	spoil := func(f func(m *mls.PublicMessage)) *mls.MLSMessage {
		p := pending(t, w, "A", "alice/1", mls.CommitOptions{})
		f(p.Message)
		return p.MLSMessage()
	}
	refused(t, w, "B", spoil(func(m *mls.PublicMessage) {
		m.Auth.ConfirmationTag[0] ^= 1
		mls.Retag(t, a, m)
	}), mls.ErrConfirmationTag)
	refused(t, w, "B", spoil(func(m *mls.PublicMessage) { m.MembershipTag[0] ^= 1 }), mls.ErrMembershipTag)
	refused(t, w, "B", spoil(func(m *mls.PublicMessage) {
		m.Auth.Signature[0] ^= 1
		mls.Retag(t, a, m)
	}), mls.ErrSignature)
	refused(t, w, "B", spoil(func(m *mls.PublicMessage) {
		for i := range m.Content.Commit.Path.Nodes {
			for j := range m.Content.Commit.Path.Nodes[i].EncryptedPathSecret {
				m.Content.Commit.Path.Nodes[i].EncryptedPathSecret[j].Ciphertext[0] ^= 1
			}
		}
		mls.Resign(t, a, key, m)
	}), mls.ErrPathSecret)
	w.Commit("A", "alice/1", mls.CommitOptions{})
	w.Say("B", "bob/1", "still here")
}

// TestRule2FirstEpochIsRandom: two groups with the same parameters share no
// secret, none is derived from zeros, and the first commit has a path even if it
// only adds.
func TestRule2FirstEpochIsRandom(t *testing.T) {
	leaf := mlstest.Leaf(t, mls.X25519, "alice/1", mlstest.Random("leaf"))
	var exported [][]byte
	for range 2 {
		cfg := mlstest.Config("A", &mlstest.Policy{})
		cfg.Random = rand.Reader
		g, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf})
		if err != nil {
			t.Fatal(err)
		}
		s, err := g.Export("label", nil, 32)
		if err != nil {
			t.Fatal(err)
		}
		exported = append(exported, s.Bytes())
	}
	if bytes.Equal(exported[0], exported[1]) {
		t.Error("two first epochs have the same secrets")
	}
	w := mlstest.New(t, mls.X25519, "A", "alice/1")
	r := w.AddWith("A", "alice/1", mls.CommitOptions{NoPath: true}, mlstest.On("B", "bob/1"))
	if !r.HasPath {
		t.Error("the first commit has no path")
	}
	if r := w.AddWith("A", "alice/1", mls.CommitOptions{NoPath: true}, mlstest.On("C", "carol/1")); r.HasPath {
		t.Error("NoPath is ignored after the first epoch")
	}
}

// TestRule3NoSecretIsPrinted formats whatever an application can hold.
func TestRule3NoSecretIsPrinted(t *testing.T) {
	w := three(t)
	g := w.Node("A").Group
	if _, err := g.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	type holder struct{ g *mls.Group }
	fresh := w.Node("B").Group
	rows := g.Dirty()
	if len(rows) == 0 {
		t.Fatal("no rows to print")
	}
	kp := mlstest.KeyPackage(t, mls.X25519, w.LeafParams("dan/1"), mlstest.Random("kp"))
	secrets := append(slices.Concat(mls.Secrets(g), mls.Secrets(fresh)), kp.InitKey.Secret().Bytes(), kp.EncryptionKey.Secret().Bytes(), kp.SignatureKey.Seed().Bytes())
	if len(secrets) < 8 {
		t.Fatalf("only %d secrets to look for", len(secrets))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		for _, v := range []any{g, *g, g.Pending(), *g.Pending(), kp, *kp, w.LeafParams("x"), g.View(), rows, rows[0], holder{g}, holder{fresh}} {
			out := fmt.Sprintf(verb, v)
			for _, s := range secrets {
				for _, form := range []string{string(s), fmt.Sprintf("%x", s), fmt.Sprint(s[:8])[1:20], fmt.Sprintf("%#v", s[:8])[7:40]} {
					if strings.Contains(out, form) {
						t.Fatalf("%s of %T shows a secret", verb, v)
					}
				}
			}
		}
	}
}

// TestRule4ForwardSecrecyOnDisk: after a message nothing stored decrypts it, and
// old epochs are gone after a few commits.
func TestRule4ForwardSecrecyOnDisk(t *testing.T) {
	w := three(t)
	w.Restart("B")
	m := &mls.MLSMessage{PrivateMessage: w.Protect("A", "alice/1", "once")}
	b := w.Node("B")
	if _, err := b.Group.Process(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	w.Restart("B")
	refused(t, w, "B", m, mls.ErrReplay)
	late := &mls.MLSMessage{PrivateMessage: w.Protect("A", "alice/1", "late")}
	tooLate := &mls.MLSMessage{PrivateMessage: w.Protect("A", "alice/1", "too late")}
	epoch := b.Group.Epoch()
	past := mls.DefaultLimits().PastEpochs
	for range past {
		w.Commit("A", "alice/1", mls.CommitOptions{})
	}
	w.Restart("B")
	refused(t, w, "B", m, mls.ErrReplay)
	if _, err := b.Group.Process(t.Context(), late); err != nil {
		t.Errorf("a late message: %v", err)
	}
	w.Restart("B")
	refused(t, w, "B", late, mls.ErrReplay)
	w.Commit("A", "alice/1", mls.CommitOptions{})
	w.Restart("B")
	refused(t, w, "B", tooLate, mls.ErrEpochPast)
	for k := range b.Disk {
		if strings.Contains(k, fmt.Sprintf("%016x", epoch)) {
			t.Errorf("row %s of a forgotten epoch is still there", k)
		}
	}
}

// TestRule4RemovedLeafTakesItsKeys: the node that stays keeps only what its other
// leaves know.
func TestRule4RemovedLeafTakesItsKeys(t *testing.T) {
	w := three(t)
	w.Add("A", "alice/1", mlstest.On("B", "bea/1"))
	w.Commit("B", "bea/1", mls.CommitOptions{})
	leaf := w.Leaf("bea/1")
	w.Restart("B")
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: leaf}}})
	w.Restart("B")
	b := w.Node("B")
	if _, ok := b.Group.SignatureKey(leaf); ok {
		t.Error("the signature key of a removed leaf is still there")
	}
	for _, k := range []string{fmt.Sprintf("o/%08x", leaf), fmt.Sprintf("k/%08x", 2*leaf)} {
		if _, ok := b.Disk[k]; ok {
			t.Errorf("row %s of a removed leaf is still there", k)
		}
	}
	w.Say("B", "bob/1", "bob goes on")
}

// TestRule5LengthBeforeAllocation feeds the decoders the inputs with the most
// elements per octet.
func TestRule5LengthBeforeAllocation(t *testing.T) {
	const n = 1 << 18
	long := func(prefix []byte, unit ...byte) []byte {
		body := bytes.Repeat(unit, n/len(unit))
		l := len(body)
		return slices.Concat(prefix, []byte{0x80 | byte(l>>24), byte(l >> 16), byte(l >> 8), byte(l)}, body)
	}
	for name, c := range map[string]struct {
		b []byte
		m wire.Message
	}{
		"blank nodes":         {long(nil, 0), new(mls.RatchetTree)},
		"empty extensions":    {long(append([]byte{0, 1, 0, 1, 0}, make([]byte, 10)...), 0, 9, 0), new(mls.GroupContext)},
		"empty ciphertexts":   {long([]byte{0}, 0, 0), new(mls.UpdatePathNode)},
		"proposals":           {long(nil, 1, 0, 10), new(mls.Commit)},
		"references":          {long(nil, 2, 0), new(mls.Commit)},
		"group secrets":       {long([]byte{0, 1}, 0, 0, 0), new(mls.Welcome)},
		"components":          {long(nil, 0, 1, 0), new(mls.AppDataDictionary)},
		"announced, not sent": {[]byte{0xbf, 0xff, 0xff, 0xff}, new(mls.RatchetTree)},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_ = wire.Unmarshal(c.b, c.m)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(128*len(c.b)+1<<14) {
			t.Errorf("%s: %d octets allocated for %d", name, got, len(c.b))
		}
	}
}

// TestRule6UnknownProposalIsAnError: a proposal of unknown type is never
// skipped.
func TestRule6UnknownProposalIsAnError(t *testing.T) {
	w := three(t)
	m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.SelfRemove{}}})
	b, err := mls.Marshal(&mls.MLSMessage{PublicMessage: m})
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, []byte{byte(mls.ContentProposal), 0, byte(mls.ProposalSelfRemove)})
	b[at+1], b[at+2] = 0x0a, 0x0a
	if err := mls.Unmarshal(b, new(mls.MLSMessage)); !errors.Is(err, mls.ErrUnsupportedProposal) {
		t.Errorf("unknown proposal: %v", err)
	}
}

// TestRule6UnknownContentIsKept: credentials, capabilities and extensions that
// nobody knows go through the tree octet for octet.
func TestRule6UnknownContentIsKept(t *testing.T) {
	w := three(t)
	leaf := w.LeafParams("dan/1")
	leaf.Capabilities.Extensions = append(leaf.Capabilities.Extensions, 0x0a0a, 0xf123)
	leaf.Capabilities.Credentials = append(leaf.Capabilities.Credentials, 0x5a5a)
	leaf.Extensions = mls.Extensions{{Type: 0xf123, Data: []byte("unknown data")}}
	kp := mlstest.KeyPackage(t, mls.X25519, leaf, mlstest.Random("kp"))
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: kp.KeyPackage}}})
	want, err := mls.Marshal(&kp.KeyPackage.LeafNode)
	if err != nil {
		t.Fatal(err)
	}
	w.Restart("B")
	m, _ := w.Node("B").Group.View().Member(w.Leaf("dan/1"))
	if got, err := mls.Marshal(m.Leaf); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the leaf has changed: %v", err)
	}
	unknown := mls.Credential{Type: 0xfd4d, Body: []byte("opaque to us")}
	b, err := mls.Marshal(&unknown)
	if err != nil {
		t.Fatal(err)
	}
	var got mls.Credential
	if err := mls.Unmarshal(b, &got); err != nil || !got.Equal(&unknown) {
		t.Errorf("unknown credential: %v, %v", got, err)
	}
}

// TestRule7ReceivedOctetsAreVerified: a decoded object that was changed does not
// verify, although its signature is still that of the sender.
func TestRule7ReceivedOctetsAreVerified(t *testing.T) {
	w := three(t)
	kp := mlstest.KeyPackage(t, mls.X25519, w.LeafParams("dan/1"), mlstest.Random("kp"))
	var got mls.KeyPackage
	b, err := mls.Marshal(&kp.KeyPackage)
	if err != nil {
		t.Fatal(err)
	}
	if err := mls.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if err := got.VerifySignatures(w.Hub.Suite()); err != nil {
		t.Error(err)
	}
	got.LeafNode.NotAfter++
	if err := got.VerifySignatures(w.Hub.Suite()); !errors.Is(err, mls.ErrModified) {
		t.Errorf("a changed KeyPackage: %v", err)
	}
	p := pending(t, w, "A", "alice/1", mls.CommitOptions{})
	p.Message.Content.AuthenticatedData = []byte("changed")
	if _, err := w.Node("B").Group.Process(t.Context(), p.MLSMessage()); !errors.Is(err, mls.ErrModified) {
		t.Errorf("a changed commit: %v", err)
	}
}

// externalCommit makes an external Commit of a client that has no group yet.
func externalCommit(t *testing.T, w *mlstest.World, client string, opts mls.ExternalOptions) (*mls.PendingCommit, mls.LeafParams) {
	t.Helper()
	opts.Leaf = w.LeafParams(client)
	_, p, err := mls.ExternalJoin(t.Context(), mlstest.Config(client, &mlstest.Policy{}), w.Hub.GroupInfo(), w.Hub.RatchetTree(), opts)
	if err != nil {
		t.Fatal(err)
	}
	p.Message = mlstest.Again(t, p.MLSMessage()).PublicMessage
	return p, opts.Leaf
}

// TestRule8ExternalCommits: only what RFC 9420, section 12.2, allows, for hub and
// members alike.
func TestRule8ExternalCommits(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	ref := w.Propose("A", "alice/1", &mls.Remove{Removed: w.Leaf("carol/1")})
	bob, carol := w.Leaf("bob/1"), w.Leaf("carol/1")
	member, _ := a.View().Member(bob)
	kp := mlstest.KeyPackage(t, mls.X25519, w.LeafParams("eve/1"), mlstest.Random("kp"))
	add := func(b mls.ProposalBody) mls.ProposalOrRef { return mls.ProposalOrRef{Proposal: &mls.Proposal{Body: b}} }
	for name, c := range map[string]struct {
		change func(c *mls.Commit)
		want   error
	}{
		"no ExternalInit":   {func(c *mls.Commit) { c.Proposals = nil }, mls.ErrExternalInit},
		"two ExternalInits": {func(c *mls.Commit) { c.Proposals = append(c.Proposals, c.Proposals[0]) }, mls.ErrExternalInit},
		"Add":               {func(c *mls.Commit) { c.Proposals = append(c.Proposals, add(&mls.Add{KeyPackage: kp.KeyPackage})) }, mls.ErrExternalCommit},
		"inline Update":     {func(c *mls.Commit) { c.Proposals = append(c.Proposals, add(&mls.Update{LeafNode: *member.Leaf})) }, mls.ErrExternalCommit},
		"inline SelfRemove": {func(c *mls.Commit) { c.Proposals = append(c.Proposals, add(&mls.SelfRemove{})) }, mls.ErrExternalCommit},
		"extensions":        {func(c *mls.Commit) { c.Proposals = append(c.Proposals, add(&mls.GroupContextExtensions{})) }, mls.ErrExternalCommit},
		"ReInit": {func(c *mls.Commit) {
			c.Proposals = append(c.Proposals, add(&mls.ReInit{Version: mls.MLS10, CipherSuite: mls.X25519}))
		}, mls.ErrExternalCommit},
		"reference":         {func(c *mls.Commit) { c.Proposals = append(c.Proposals, mls.ProposalOrRef{Reference: ref}) }, mls.ErrExternalCommit},
		"Remove of another": {func(c *mls.Commit) { c.Proposals = append(c.Proposals, add(&mls.Remove{Removed: carol})) }, mls.ErrSuccessor},
		"two Removes": {func(c *mls.Commit) {
			c.Proposals = append(c.Proposals, add(&mls.Remove{Removed: carol}), add(&mls.Remove{Removed: bob}))
		}, mls.ErrExternalCommit},
		"no path":             {func(c *mls.Commit) { c.Path = nil }, mls.ErrPathMissing},
		"leaf without suites": {func(c *mls.Commit) { c.Path.LeafNode.Capabilities.CipherSuites = nil }, mls.ErrCapabilities},
		"leaf of a package":   {func(c *mls.Commit) { c.Path.LeafNode.Source = mls.LeafNodeSourceKeyPackage }, mls.ErrLeafSource},
		"leaf of another":     {func(c *mls.Commit) { c.Path.LeafNode.Signature = nil }, mls.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			p, leaf := externalCommit(t, w, "dan/1", mls.ExternalOptions{})
			c.change(p.Message.Content.Commit)
			mls.Fresh(p.Message)
			switch {
			case name == "Remove of another":
				// The place of the leaf is that of the removed one then.
				mls.ResignLeaf(t, a, leaf.SignatureKey, &p.Message.Content.Commit.Path.LeafNode, carol)
			case name != "leaf of another" && strings.HasPrefix(name, "leaf"):
				mls.ResignLeaf(t, a, leaf.SignatureKey, &p.Message.Content.Commit.Path.LeafNode, 3)
			}
			mls.Resign(t, a, leaf.SignatureKey, p.Message)
			refused(t, w, "B", p.MLSMessage(), c.want)
			refusedByHub(t, w, p.Message, c.want)
		})
	}
}

// TestRule9NoTreeIsNotAnEmptyTree: Welcome and GroupInfo without tree need one.
func TestRule9NoTreeIsNotAnEmptyTree(t *testing.T) {
	w := three(t)
	kp := mlstest.KeyPackage(t, mls.X25519, w.LeafParams("dan/1"), mlstest.Random("kp"))
	g := w.Node("A").Group
	p, err := g.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{
		Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: kp.KeyPackage}},
		GroupInfo: func(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) { return },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := mlstest.Config("D", &mlstest.Policy{})
	if _, _, err := mls.JoinWelcome(t.Context(), cfg, p.Welcome, kp, nil); !errors.Is(err, mls.ErrNoTree) {
		t.Errorf("Welcome without tree: %v", err)
	}
	if _, _, err := mls.JoinWelcome(t.Context(), cfg, p.Welcome, kp, &mls.RatchetTree{}); !errors.Is(err, mls.ErrTreeForm) {
		t.Errorf("Welcome with an empty tree: %v", err)
	}
	if _, _, err := mls.JoinWelcome(t.Context(), cfg, p.Welcome, kp, g.RatchetTree()); !errors.Is(err, mls.ErrTreeHash) {
		t.Errorf("Welcome with the old tree: %v", err)
	}
	if _, err := mls.NewPublicGroup(t.Context(), cfg, w.Hub.GroupInfo(), nil); !errors.Is(err, mls.ErrNoTree) {
		t.Errorf("GroupInfo without tree: %v", err)
	}
	if _, _, err := mls.ExternalJoin(t.Context(), cfg, w.Hub.GroupInfo(), nil, mls.ExternalOptions{Leaf: w.LeafParams("dan/2")}); !errors.Is(err, mls.ErrNoTree) {
		t.Errorf("external join without tree: %v", err)
	}
	if _, err := g.Merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := mls.JoinWelcome(t.Context(), cfg, p.Welcome, kp, g.RatchetTree()); err != nil {
		t.Errorf("Welcome with the tree passed in: %v", err)
	}
}

// TestRule10PendingCommitIsStoredFirst: the row of a pending commit is there
// before the message can be sent, and Discard leaves the state as it was.
func TestRule10PendingCommitIsStoredFirst(t *testing.T) {
	w := three(t)
	n := w.Node("A")
	n.Disk.Write(n.Group.Dirty())
	before := n.Disk.Snapshot()
	p, err := n.Group.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Group.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{}); !errors.Is(err, mls.ErrPendingCommit) {
		t.Errorf("a second commit: %v", err)
	}
	n.Disk.Write(n.Group.Dirty())
	if !n.Disk["pending"].Secret {
		t.Error("the pending commit is not a secret row")
	}
	w.Restart("A")
	if got, err := mls.Marshal(n.Group.Pending().Message); err != nil {
		t.Fatal(err)
	} else if want, err := mls.Marshal(p.Message); err != nil || !bytes.Equal(got, want) {
		t.Error("another commit is pending after a restart")
	}
	n.Group.Discard()
	n.Disk.Write(n.Group.Dirty())
	if !bytes.Equal(before, n.Disk.Snapshot()) {
		t.Error("Discard does not restore the state")
	}
	if _, err := n.Group.Merge(t.Context()); !errors.Is(err, mls.ErrNoPendingCommit) {
		t.Errorf("Merge after Discard: %v", err)
	}
	w.Commit("B", "bob/1", mls.CommitOptions{})
}

// TestHubDemandsGroupInfo: with each commit, of the new epoch, from a member,
// with the tag of the commit.
func TestHubDemandsGroupInfo(t *testing.T) {
	w := three(t)
	g := w.Node("A").Group
	p, err := g.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	apply := func(change func(gi *mls.GroupInfo)) error {
		s, err := w.Hub.Stage(t.Context(), p.Message)
		if err != nil {
			t.Fatal(err)
		}
		gi := *mlstest.Again(t, &mls.MLSMessage{GroupInfo: p.GroupInfo}).GroupInfo
		change(&gi)
		return w.Hub.Apply(s, &gi)
	}
	for name, change := range map[string]func(gi *mls.GroupInfo){
		"signature":        func(gi *mls.GroupInfo) { gi.Signature[0] ^= 1 },
		"signer":           func(gi *mls.GroupInfo) { gi.Signer = 3 },
		"other signer":     func(gi *mls.GroupInfo) { gi.Signer = w.Leaf("bob/1") },
		"confirmation tag": func(gi *mls.GroupInfo) { gi.ConfirmationTag[0] ^= 1; mls.ResignGroupInfo(t, g, 0, gi) },
		"epoch":            func(gi *mls.GroupInfo) { gi.GroupContext.Epoch++; mls.ResignGroupInfo(t, g, 0, gi) },
		"tree hash":        func(gi *mls.GroupInfo) { gi.GroupContext.TreeHash[0] ^= 1; mls.ResignGroupInfo(t, g, 0, gi) },
		"old GroupInfo":    func(gi *mls.GroupInfo) { *gi = *w.Hub.GroupInfo() },
	} {
		epoch := w.Hub.Epoch()
		if err := apply(change); !errors.Is(err, mls.ErrGroupInfo) || w.Hub.Epoch() != epoch {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, err := w.Hub.Stage(t.Context(), p.Message)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Hub.Apply(s, nil); !errors.Is(err, mls.ErrGroupInfo) {
		t.Errorf("no GroupInfo: %v", err)
	}
	if err := w.Hub.Apply(s, p.GroupInfo); err != nil {
		t.Error(err)
	}
	if err := w.Hub.Apply(s, p.GroupInfo); !errors.Is(err, mls.ErrStaged) {
		t.Errorf("applied twice: %v", err)
	}
}

// TestPoisonedCommitIsRecovered: a commit with a wrong PSK passes the hub and
// fails at every member; they come back by resync.
func TestPoisonedCommitIsRecovered(t *testing.T) {
	w := three(t)
	psk := mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("join")}
	for _, n := range w.Active() {
		n.Config.PSK = pskOf("right")
		w.Restart(n.Name)
	}
	evil := mlstest.Config("eve", &mlstest.Policy{})
	evil.PSK = pskOf("wrong")
	_, p, err := mls.ExternalJoin(t.Context(), evil, w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: w.LeafParams("eve/1"), PSKs: []mls.PreSharedKeyID{psk}})
	if err != nil {
		t.Fatal(err)
	}
	w.AtHub(p.Message, p.GroupInfo)
	for _, n := range w.Active() {
		refused(t, w, n.Name, p.MLSMessage(), mls.ErrConfirmationTag)
	}
	clients := map[string]string{"A": "alice/1", "B": "bob/1", "C": "carol/1"}
	for _, node := range []string{"A", "B", "C"} {
		w.Nodes[node].Group = nil
	}
	for _, node := range []string{"A", "B", "C"} {
		old := w.Leaf(clients[node])
		w.External(mlstest.On(node, clients[node]+"+"), mls.ExternalOptions{Resync: &old})
	}
	w.Commit("A", "alice/1+", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("eve/1")}}})
	w.Say("B", "bob/1+", "back")
}
