package mls_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// An offer is what a leaf needs for a demand of the GroupContext.
type offer struct {
	demand mls.Extensions            // of the GroupContext
	able   func(p *mls.LeafParams)   // makes a leaf that offers it
	unable []func(p *mls.LeafParams) // make leaves that do not
	want   error
}

// refusedEverywhere checks that a leaf without what the group demands comes into
// the group in none of the ways there are, and that one with it does.
func (o *offer) refusedEverywhere(t *testing.T) {
	t.Helper()
	w := threeWith(t, o.able, o.demand...)
	a, bob := w.Node("A").Group, w.Leaf("bob/1")
	for _, unable := range o.unable {
		w.Change = unable
		leaf := w.LeafParams("dan/1")
		_, create := mls.Create(t.Context(), w.Node("A").Config, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf, Extensions: o.demand})
		own := w.LeafParams("alice/1")
		_, path := a.Commit(t.Context(), 0, mls.CommitOptions{NewLeaf: &own})
		_, external := a.ExternalCommit(t.Context(), mls.ExternalOptions{Leaf: leaf})
		_, _, join := mls.ExternalJoin(t.Context(), mlstest.Config("D", &mlstest.Policy{}), w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: leaf})
		for how, err := range map[string]error{"Create": create, "path": path, "external Commit": external, "ExternalJoin": join} {
			if !errors.Is(err, o.want) {
				t.Errorf("%s: %v, want %v", how, err, o.want)
			}
		}
		refusedCommit(t, w, byValue(&mls.Add{KeyPackage: keyPackage(t, w, "dan/1").KeyPackage}), o.want)
	}
	// An Update is refused in the commit, not alone: the group may change with it.
	leaf := w.LeafParams("bob/1")
	m, _, err := w.Node("B").Group.ProposeUpdate(t.Context(), bob, &leaf, mls.AuthenticatedData{})
	if err != nil {
		t.Fatal(err)
	}
	w.AtHub(m, nil)
	w.Others(w.Node("B"), &mls.MLSMessage{PublicMessage: m})
	refs := w.Hub.PendingProposals()
	if _, err := a.Commit(t.Context(), 0, mls.CommitOptions{References: []mls.ProposalRef{refs[0].Ref}}); !errors.Is(err, o.want) {
		t.Errorf("Update: %v, want %v", err, o.want)
	}
	w.Change = o.able
	w.Commit("A", "alice/1", mls.CommitOptions{})
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
	w.External(mlstest.On("E", "eve/1"), mls.ExternalOptions{})
}

// refusedForMembers checks that a group whose members do not offer something
// cannot come to demand it, nor be joined if it does.
func (o *offer) refusedForMembers(t *testing.T) {
	t.Helper()
	for _, unable := range o.unable {
		w := threeWith(t, o.able)
		w.Change = unable
		w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
		gce := &mls.GroupContextExtensions{Extensions: o.demand}
		if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{gce}}); !errors.Is(err, o.want) {
			t.Errorf("GroupContextExtensions: %v, want %v", err, o.want)
		}
		m := o.forgedExtensions(t, w)
		refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, o.want)
		refusedByHub(t, w, m, o.want)
		gi, err := w.Node("A").Group.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
		if err != nil {
			t.Fatal(err)
		}
		gi.GroupContext.Extensions = o.demand
		mls.ResignGroupInfo(t, w.Node("A").Group, 0, gi)
		if _, err := mls.NewPublicGroup(t.Context(), w.HubConf, gi, w.Hub.RatchetTree()); !errors.Is(err, o.want) {
			t.Errorf("a group that demands it already: %v, want %v", err, o.want)
		}
		// Those who are removed in the same commit do not matter.
		w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{gce, &mls.Remove{Removed: w.Leaf("dan/1")}}})
	}
}

// forgedExtensions is a commit of the extensions that its author would not make.
func (o *offer) forgedExtensions(t *testing.T, w *mlstest.World) *mls.PublicMessage {
	t.Helper()
	m := pending(t, w, "A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.GroupContextExtensions{}}}).Message
	m.Content.Commit.Proposals = byValue(&mls.GroupContextExtensions{Extensions: o.demand}).Proposals
	key, _ := w.Node("A").Group.SignatureKey(0)
	return mls.Resign(t, w.Node("A").Group, key, m)
}

func (o *offer) check(t *testing.T) {
	t.Run("new leaves", o.refusedEverywhere)
	t.Run("members", o.refusedForMembers)
}

// malformed checks that these extensions are refused in a leaf, in a GroupContext
// and as a proposal.
func malformed(t *testing.T, name string, e mls.Extension, want error) {
	t.Helper()
	w := three(t)
	all := func(p *mls.LeafParams) {
		p.Capabilities.Extensions = append(p.Capabilities.Extensions, mls.ExtensionSupportedWireFormats, mls.ExtensionRequiredWireFormats)
	}
	k := keyPackage(t, w, "dan/1")
	k.KeyPackage.LeafNode.Capabilities.Extensions = append(k.KeyPackage.LeafNode.Capabilities.Extensions, mls.ExtensionSupportedWireFormats, mls.ExtensionRequiredWireFormats)
	k.KeyPackage.LeafNode.Extensions = mls.Extensions{e}
	mls.ResignKeyPackage(t, k)
	if err := mls.ValidateKeyPackage(t.Context(), w.HubConf, &k.KeyPackage); err == nil || (want != nil && !errors.Is(err, want)) {
		t.Errorf("%s: a leaf with it: %v", name, err)
	}
	m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{
		ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.GroupContextExtensions{Extensions: mls.Extensions{e}}},
	})
	if _, err := w.Hub.Stage(t.Context(), m); err == nil || (want != nil && !errors.Is(err, want)) {
		t.Errorf("%s: a proposal of it: %v", name, err)
	}
	w.Change = all
	leaf := w.LeafParams("dan/1")
	if _, err := mls.Create(t.Context(), w.HubConf, mls.CreateParams{CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf, Extensions: mls.Extensions{e}}); err == nil {
		t.Errorf("%s: a group with it is made", name)
	}
}
