package mls_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestSection7_3SentLifetimesAreValidNow: the sender gets no allowance for clocks
// that differ, the receiver does.
func TestSection7_3SentLifetimesAreValidNow(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "dan/1")
	k.KeyPackage.LeafNode.NotBefore = uint64(mlstest.Now.Add(time.Hour).Unix())
	mls.ResignKeyPackage(t, k)
	add := &mls.Add{KeyPackage: k.KeyPackage}
	g := w.Node("A").Group
	if _, err := g.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{add}}); !errors.Is(err, mls.ErrLifetime) {
		t.Errorf("commit of an Add that is not valid yet: %v", err)
	}
	if _, _, err := g.Propose(t.Context(), 0, add, mls.AuthenticatedData{}); !errors.Is(err, mls.ErrLifetime) {
		t.Errorf("proposal of an Add that is not valid yet: %v", err)
	}
	if _, err := w.Hub.Stage(t.Context(), forgedCommit(t, w, byValue(add))); err != nil {
		t.Errorf("a clock that is an hour off: %v", err)
	}
}

// TestSection12_4_3_2ExternalJoins: what an external joiner checks before it
// commits.
func TestSection12_4_3_2ExternalJoins(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	join := func(gi *mls.GroupInfo, opts mls.ExternalOptions) error {
		opts.Leaf = w.LeafParams("dan/1")
		_, _, err := mls.ExternalJoin(t.Context(), mlstest.Config("D", &mlstest.Policy{}), gi, w.Hub.RatchetTree(), opts)
		return err
	}
	bare, err := a.GroupInfo(0, mls.GroupInfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := join(bare, mls.ExternalOptions{}); !errors.Is(err, mls.ErrExternalPub) {
		t.Errorf("GroupInfo without external_pub: %v", err)
	}
	forged, err := a.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		t.Fatal(err)
	}
	forged.Signature[3] ^= 1
	if err := join(forged, mls.ExternalOptions{}); !errors.Is(err, mls.ErrGroupInfo) {
		t.Errorf("GroupInfo with a wrong signature: %v", err)
	}
	last, err := a.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		t.Fatal(err)
	}
	last.GroupContext.Epoch = 1<<64 - 1
	mls.ResignGroupInfo(t, a, 0, last)
	if err := join(last, mls.ExternalOptions{}); !errors.Is(err, mls.ErrGroupInfo) {
		t.Errorf("the last epoch: %v", err)
	}
	noKey, err := a.GroupInfo(0, mls.GroupInfoOptions{Extensions: mls.Extensions{{Type: mls.ExtensionExternalPub, Data: []byte{1, 2}}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := join(noKey, mls.ExternalOptions{}); !errors.Is(err, mls.ErrGroupInfo) {
		t.Errorf("external_pub that is no key: %v", err)
	}
	b := w.Node("B").Group
	proposal := func(body mls.ProposalBody) *mls.PublicMessage {
		return mls.Forge(t, b, 1, mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: body}})
	}
	good := w.Hub.GroupInfo()
	if err := join(good, mls.ExternalOptions{SelfRemoves: []*mls.PublicMessage{proposal(&mls.Remove{Removed: 2})}}); !errors.Is(err, mls.ErrExternalCommit) {
		t.Errorf("a Remove among the SelfRemoves: %v", err)
	}
	spoilt := proposal(&mls.SelfRemove{})
	spoilt.Auth.Signature[3] ^= 1
	if err := join(good, mls.ExternalOptions{SelfRemoves: []*mls.PublicMessage{spoilt}}); !errors.Is(err, mls.ErrSignature) {
		t.Errorf("a SelfRemove with a wrong signature: %v", err)
	}
	old := proposal(&mls.SelfRemove{})
	w.Commit("A", "alice/1", mls.CommitOptions{})
	if err := join(w.Hub.GroupInfo(), mls.ExternalOptions{SelfRemoves: []*mls.PublicMessage{old}}); !errors.Is(err, mls.ErrEpochPast) {
		t.Errorf("a SelfRemove of the last epoch: %v", err)
	}
}

// TestSection12_4_3_1ForgedWelcomes: Welcomes of a member who knows the group, but
// not what it says.
func TestSection12_4_3_1ForgedWelcomes(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "dan/1")
	a := w.Node("A").Group
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
	joiner := suite.NewSecret(bytes.Repeat([]byte{5}, 32))
	path := suite.NewSecret(bytes.Repeat([]byte{6}, 32))
	short := suite.NewSecret([]byte{6})
	nonce := make([]byte, 32)
	for name, c := range map[string]struct {
		key     *mls.KeyPackagePrivate
		secrets mls.GroupSecrets
		change  func(gi *mls.GroupInfo)
		want    error
	}{
		"other joiner secret": {k, mls.GroupSecrets{}, nil, mls.ErrConfirmationTag},
		"other path secret":   {k, mls.GroupSecrets{PathSecret: &path}, nil, mls.ErrPathSecret},
		"short path secret":   {k, mls.GroupSecrets{PathSecret: &short}, nil, mls.ErrPathSecret},
		"never added":         {keyPackage(t, w, "eve/1"), mls.GroupSecrets{}, nil, mls.ErrOwnLeafNotInTree},
		"other cipher suite":  {k, mls.GroupSecrets{}, func(gi *mls.GroupInfo) { gi.GroupContext.CipherSuite = suite.X25519ChaCha20 }, mls.ErrKeyPackageSuite},
		"not signed":          {k, mls.GroupSecrets{}, func(gi *mls.GroupInfo) { gi.Signature[1] ^= 1 }, mls.ErrSignature},
		"signer is no member": {k, mls.GroupSecrets{}, func(gi *mls.GroupInfo) { gi.Signer = 7 }, mls.ErrNotMember},
		"short PSK nonce":     {k, mls.GroupSecrets{PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, Nonce: nonce[1:]}}}, nil, mls.ErrPSK},
		"PSK for ReInit": {k, mls.GroupSecrets{PSKs: []mls.PreSharedKeyID{{
			Type: mls.PSKResumption, Usage: mls.ResumptionReInit, Nonce: nonce,
		}}}, nil, mls.ErrWelcomePSK},
		"PSK that is not there": {k, mls.GroupSecrets{PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, Nonce: nonce}}}, nil, mls.ErrNoPSK},
	} {
		t.Run(name, func(t *testing.T) {
			gi, err := a.GroupInfo(0, mls.GroupInfoOptions{RatchetTree: true})
			if err != nil {
				t.Fatal(err)
			}
			if c.change != nil {
				c.change(gi)
			}
			c.secrets.JoinerSecret = joiner
			m := mls.ForgeWelcome(t, &c.key.KeyPackage, gi, c.secrets)
			if _, _, err := mls.JoinWelcome(t.Context(), mlstest.Config("D", &mlstest.Policy{}), m, c.key, nil); !errors.Is(err, c.want) {
				t.Errorf("a new group: %v, want %v", err, c.want)
			}
			b := w.Node("B").Group
			if _, err := b.AttachWelcome(t.Context(), m, c.key); !errors.Is(err, c.want) && !errors.Is(err, mls.ErrConfirmationTag) && !errors.Is(err, mls.ErrGroupInfo) {
				t.Errorf("a group that is there: %v, want %v", err, c.want)
			}
			if len(b.OwnLeaves()) != 1 {
				t.Error("a forged Welcome has attached a leaf")
			}
		})
	}
	if _, err := mls.AssembleKeyPackage(&k.KeyPackage, joiner, k.EncryptionKey.Secret(), k.SignatureKey.Seed()); !errors.Is(err, mls.ErrState) {
		t.Errorf("KeyPackage with a foreign init key: %v", err)
	}
}

// TestJoiningGroupHasNoSecrets: before its commit is accepted, a joining group
// can do nothing but wait, also after a restart.
func TestJoiningGroupHasNoSecrets(t *testing.T) {
	w := three(t)
	n := w.Node("D")
	g, p, err := mls.ExternalJoin(t.Context(), n.Config, w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: w.LeafParams("dan/1")})
	if err != nil {
		t.Fatal(err)
	}
	n.Group = g
	w.Restart("D")
	if _, err := n.Group.Protect(p.From, []byte("text"), mls.AuthenticatedData{}); !errors.Is(err, mls.ErrNoSecrets) {
		t.Errorf("sending: %v", err)
	}
	if _, err := n.Group.Export("label", nil, 32); !errors.Is(err, mls.ErrNoSecrets) {
		t.Errorf("exporting: %v", err)
	}
	other := pending(t, w, "A", "alice/1", mls.CommitOptions{})
	if _, err := n.Group.Process(t.Context(), other.MLSMessage()); !errors.Is(err, mls.ErrNoSecrets) {
		t.Errorf("another commit: %v", err)
	}
	w.Deliver(n, n.Group.Pending())
	w.Check()
	w.Say("D", "dan/1", "here")
}

// TestConfigIsComplete: what is mandatory is asked for.
func TestConfigIsComplete(t *testing.T) {
	whole := mlstest.Config("A", &mlstest.Policy{})
	for name, spoil := range map[string]func(c *mls.Config){
		"no policy":     func(c *mls.Config) { c.Policy = nil },
		"no clock":      func(c *mls.Config) { c.Now = nil },
		"no randomness": func(c *mls.Config) { c.Random = nil },
	} {
		cfg := whole
		spoil(&cfg)
		if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{CipherSuite: mls.X25519}); !errors.Is(err, mls.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTreeSizeIsBounded: neither an Add nor an external Commit nor a GroupInfo
// gets the tree beyond the limit.
func TestTreeSizeIsBounded(t *testing.T) {
	w := three(t)
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
	add := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: keyPackage(t, w, "eve/1").KeyPackage}}})
	external, _ := externalCommit(t, w, "fay/1", mls.ExternalOptions{})
	w.HubConf.Limits.MaxLeaves = 4
	w.RestartHub()
	refusedByHub(t, w, add.Message, mls.ErrTreeForm)
	refusedByHub(t, w, external.Message, mls.ErrTreeForm)
	w.HubConf.Limits.MaxLeaves = 2
	if _, err := mls.NewPublicGroup(t.Context(), w.HubConf, w.Hub.GroupInfo(), w.Hub.RatchetTree()); !errors.Is(err, mls.ErrTreeForm) {
		t.Errorf("a tree of four leaves: %v", err)
	}
}

// TestPendingProposalsAreBounded: a member cannot fill the store of others.
func TestPendingProposalsAreBounded(t *testing.T) {
	w := three(t)
	w.HubConf.Limits.PendingProposals = 1
	w.RestartHub()
	a := w.Node("A").Group
	for i, want := range []error{nil, mls.ErrTooManyProposals} {
		m := mls.Forge(t, a, 0, mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.Remove{Removed: mls.LeafIndex(i + 1)}}})
		s, err := w.Hub.Stage(t.Context(), m)
		if !errors.Is(err, want) {
			t.Errorf("proposal %d: %v, want %v", i, err, want)
		}
		if err == nil {
			if err := w.Hub.Apply(s, nil); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestExternalJoinKeepsTheLimit: nobody makes a commit that no member would take.
func TestExternalJoinKeepsTheLimit(t *testing.T) {
	w := three(t)
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
	cfg := w.Node("E").Config
	cfg.Limits.MaxLeaves = 4
	_, _, err := mls.ExternalJoin(t.Context(), cfg, w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: w.LeafParams("erin/1")})
	if !errors.Is(err, mls.ErrTreeForm) {
		t.Errorf("the fifth of at most four: %v", err)
	}
}
