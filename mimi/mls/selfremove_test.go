package mls_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// proposalOf is a proposal of a member that her own package would not make.
func proposalOf(t *testing.T, w *mlstest.World, node, client string, body mls.ProposalBody) *mls.PublicMessage {
	t.Helper()
	return mls.Forge(t, w.Node(node).Group, w.Leaf(client), mls.FramedContent{ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: body}})
}

// TestSelfRemoveCapableGroups: where a member does not support SelfRemove, nobody
// proposes one, and an external joiner is not kept out by one.
func TestSelfRemoveCapableGroups(t *testing.T) {
	w := three(t)
	w.Change = func(p *mls.LeafParams) { p.Capabilities.Proposals = nil }
	w.Add("A", "alice/1", mlstest.On("D", "dan/1"))
	if _, _, err := w.Node("B").Group.Propose(t.Context(), w.Leaf("bob/1"), &mls.SelfRemove{}, mls.AuthenticatedData{}); !errors.Is(err, mls.ErrUnsupported) {
		t.Errorf("proposed: %v", err)
	}
	m := proposalOf(t, w, "B", "bob/1", &mls.SelfRemove{})
	refused(t, w, "A", &mls.MLSMessage{PublicMessage: m}, mls.ErrUnsupported)
	refusedByHub(t, w, m, mls.ErrUnsupported)
	// With the support of all that is left, it goes on.
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("dan/1")}}})
	w.Propose("B", "bob/1", &mls.SelfRemove{})
	w.Commit("A", "alice/1", mls.CommitOptions{AllPending: true})
}

// TestSelfRemoveIsPublic: encrypted, joiners could not read it.
func TestSelfRemoveIsPublic(t *testing.T) {
	w := three(t)
	b := w.Node("B").Group
	key, _ := b.SignatureKey(w.Leaf("bob/1"))
	content := mls.FramedContent{Sender: mls.Sender{Type: mls.SenderMember, Index: w.Leaf("bob/1")}, ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.SelfRemove{}}}
	m := mls.SealPrivate(t, b, key, content, func(plaintext []byte) []byte { return plaintext })
	refused(t, w, "A", &mls.MLSMessage{PrivateMessage: m}, mls.ErrWireFormat)
}

// TestSelfRemoveIsNotExternal: neither external senders nor joiners remove
// themselves, and it is never by value.
func TestSelfRemoveIsNotExternal(t *testing.T) {
	sender := mlstest.Leaf(t, mls.X25519, "hub/1", mlstest.Random("sender"))
	e, err := mls.ExternalSendersExtension(mls.ExternalSender{SignatureKey: sender.SignatureKey.Public(), Credential: sender.Credential})
	if err != nil {
		t.Fatal(err)
	}
	w := three(t, e)
	m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{
		Sender: mls.Sender{Type: mls.SenderExternal}, ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.SelfRemove{}},
	})
	mls.Resign(t, w.Node("A").Group, sender.SignatureKey, m)
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrExternalSender)
	refusedByHub(t, w, m, mls.ErrExternalSender)
	refusedCommit(t, w, byValue(&mls.SelfRemove{}), mls.ErrByValue)
}

// TestSelfRemoveOncePerEpoch: a second one is not made and not accepted, and in
// the next epoch there is a new chance.
func TestSelfRemoveOncePerEpoch(t *testing.T) {
	w := three(t)
	w.Propose("B", "bob/1", &mls.SelfRemove{})
	if _, _, err := w.Node("B").Group.Propose(t.Context(), w.Leaf("bob/1"), &mls.SelfRemove{}, mls.AuthenticatedData{Rest: []byte("again")}); !errors.Is(err, mls.ErrTwoSelfRemoves) {
		t.Errorf("a second one: %v", err)
	}
	w.Commit("A", "alice/1", mls.CommitOptions{})
	w.Propose("B", "bob/1", &mls.SelfRemove{})
}

// TestSelfRemoveGoesBeforeRemove: of a SelfRemove and a Remove of the same leaf,
// the commit has the SelfRemove, and the removed member sees it.
func TestSelfRemoveGoesBeforeRemove(t *testing.T) {
	w := three(t)
	w.Propose("C", "carol/1", &mls.Remove{Removed: w.Leaf("bob/1")})
	w.Propose("B", "bob/1", &mls.SelfRemove{})
	p, err := w.Node("A").Group.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{AllPending: true, NoPath: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.Node("B").Group.Process(t.Context(), mlstest.Again(t, p.MLSMessage()))
	if err != nil || r.Commit.Active || len(r.Commit.OwnRemoved) != 1 {
		t.Errorf("bob: %+v, %v", r, err)
	}
	w.AtHub(p.Message, p.GroupInfo)
	view := p.View
	if len(view.Proposals) != 1 || view.Proposals[0].Proposal.Type() != mls.ProposalSelfRemove || !view.HasPath || len(view.Removed) != 1 {
		t.Errorf("committed %v, with path %v", view.Proposals, view.HasPath)
	}
}

// TestSelfRemoveOfJoiners: a joiner takes along what the hub hands out, checks
// what can be checked without the membership key, and may have none.
func TestSelfRemoveOfJoiners(t *testing.T) {
	w := three(t)
	w.Propose("B", "bob/1", &mls.SelfRemove{})
	w.Propose("C", "carol/1", &mls.SelfRemove{})
	var handed []*mls.PublicMessage
	for _, p := range w.Hub.PendingProposals() {
		m := mlstest.Again(t, &mls.MLSMessage{PublicMessage: p.Message}).PublicMessage
		m.MembershipTag[0] ^= 1 // which a joiner cannot check, and no reference covers
		handed = append(handed, m)
	}
	join := func(l ...*mls.PublicMessage) (*mls.PendingCommit, error) {
		_, p, err := mls.ExternalJoin(t.Context(), mlstest.Config("D", &mlstest.Policy{}), w.Hub.GroupInfo(), w.Hub.RatchetTree(), mls.ExternalOptions{Leaf: w.LeafParams("dan/1"), SelfRemoves: l})
		return p, err
	}
	for n := range 3 {
		p, err := join(handed[:n]...)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.View.Removed) != n {
			t.Errorf("%d of %d removed", len(p.View.Removed), n)
		}
		if _, err := w.Hub.Stage(t.Context(), mlstest.Again(t, p.MLSMessage()).PublicMessage); err != nil {
			t.Errorf("%d: %v", n, err)
		}
	}
}
