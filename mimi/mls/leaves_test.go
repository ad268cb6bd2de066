package mls_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestOwnLeaves: a node with several leaves sends from each, processes a commit
// and a message once, and goes on with those that are left.
func TestOwnLeaves(t *testing.T) {
	w := mlstest.New(t, mls.X25519, "A", "alice/1")
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"), mlstest.On("B", "bea/1"))
	w.Add("A", "alice/1", mlstest.On("C", "carol/1"), mlstest.On("B", "ben/1"))
	b := w.Node("B")
	if got := b.Group.OwnLeaves(); len(got) != 3 {
		t.Fatalf("own leaves: %v", got)
	}
	for _, c := range []string{"bob/1", "bea/1", "ben/1"} {
		w.Say("B", c, "from "+c)
		w.Restart("B")
		w.Commit("B", c, mls.CommitOptions{})
		w.Commit("C", "carol/1", mls.CommitOptions{})
	}
	r := w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("bob/1")}, &mls.Remove{Removed: w.Leaf("bea/1")}}})
	if len(r.Removed) != 2 {
		t.Errorf("removed: %v", r.Removed)
	}
	w.Restart("B")
	if got := b.Group.OwnLeaves(); len(got) != 1 || got[0] != w.Leaf("ben/1") {
		t.Errorf("own leaves that are left: %v", got)
	}
	if _, err := b.Group.Protect(r.Removed[0].Index, []byte("text"), mls.AuthenticatedData{}); !errors.Is(err, mls.ErrNotOwn) {
		t.Errorf("sending from a removed leaf: %v", err)
	}
	w.Commit("C", "carol/1", mls.CommitOptions{})
	w.Commit("B", "ben/1", mls.CommitOptions{})
	w.Say("B", "ben/1", "alone")
}

// TestOwnPendingCommitComesBack: the hub's fan-out may reach the committer, too.
func TestOwnPendingCommitComesBack(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	p, err := a.Commit(t.Context(), 0, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.Process(t.Context(), mlstest.Again(t, p.MLSMessage()))
	if err != nil || !r.Commit.Own || a.Pending() != nil {
		t.Errorf("own commit: %+v, %v", r, err)
	}
	w.AtHub(p.Message, p.GroupInfo)
	w.Others(w.Node("A"), p.MLSMessage())
	w.Check()
}

// TestLostRace: another commit wins, and the pending one is gone.
func TestLostRace(t *testing.T) {
	w := three(t)
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := w.Node("B").Group.Commit(t.Context(), 1, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.AtHub(p.Message, p.GroupInfo)
	r, err := w.Node("A").Group.Process(t.Context(), p.MLSMessage())
	if err != nil || !r.Commit.DiscardedPending || w.Node("A").Group.Pending() != nil {
		t.Errorf("the losing side: %+v, %v", r, err)
	}
}

// TestNewLeaf: a path can bring a new credential, signature key and extensions.
func TestNewLeaf(t *testing.T) {
	w := three(t)
	leaf := w.LeafParams("alice/2")
	leaf.Capabilities.Extensions = append(leaf.Capabilities.Extensions, 0xf001)
	leaf.Extensions = mls.Extensions{{Type: 0xf001, Data: []byte("queue")}}
	r := w.Commit("A", "alice/1", mls.CommitOptions{NewLeaf: &leaf})
	if len(r.Updated) != 1 || string(r.Updated[0].Old.Credential.Body) != "alice/1" || string(r.Updated[0].New.Credential.Body) != "alice/2" {
		t.Errorf("updated: %v", r.Updated)
	}
	w.Restart("A")
	w.Say("A", "alice/2", "with a new key")
	m, _ := w.Node("C").Group.View().Member(0)
	if data, ok := m.Leaf.Extensions.Find(0xf001); !ok || string(data) != "queue" {
		t.Error("the extension is not there")
	}
}

// TestTwoGroupInfos: one for the hub, one in the Welcome, with the same tag, and
// with what only the next epoch knows.
func TestTwoGroupInfos(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "dan/1")
	var exported suite.Secret
	p, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{
		Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}},
		GroupInfo: func(n *mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
			if exported, err = n.Export("wrapper", nil, 32); err != nil {
				return public, welcome, err
			}
			if n.View().Epoch() != w.Hub.Epoch()+1 || len(n.Commit().Added) != 1 {
				t.Error("the next epoch is not the next one")
			}
			public = mls.GroupInfoOptions{ExternalPub: true, Extensions: mls.Extensions{{Type: 0xf001, Data: []byte("public")}}}
			welcome = mls.GroupInfoOptions{RatchetTree: true, Extensions: mls.Extensions{{Type: 0xf002, Data: []byte("secret key")}}}
			return public, welcome, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*mls.MLSMessage{p.MLSMessage(), {Welcome: p.Welcome}, {GroupInfo: p.GroupInfo}} {
		if b, err := mls.Marshal(m); err != nil || bytes.Contains(b, []byte("secret key")) {
			t.Errorf("the secret extension is in the clear: %v", err)
		}
	}
	w.Deliver(w.Node("A"), p)
	g, joined, err := mls.JoinWelcome(t.Context(), mlstest.Config("D", &mlstest.Policy{}), p.Welcome, k, nil)
	if err != nil {
		t.Fatal(err)
	}
	if data, ok := joined.GroupInfo.Extensions.Find(0xf002); !ok || string(data) != "secret key" {
		t.Error("the new member does not get the secret extension")
	}
	if _, ok := joined.GroupInfo.Extensions.Find(0xf001); ok || !bytes.Equal(joined.GroupInfo.ConfirmationTag, p.GroupInfo.ConfirmationTag) {
		t.Error("the GroupInfos are mixed up")
	}
	if got, err := g.Export("wrapper", nil, 32); err != nil || !got.Equal(exported) {
		t.Errorf("the new member exports another secret: %v", err)
	}
}

// TestLateWelcome: a Welcome that comes after further commits still attaches its
// leaf.
func TestLateWelcome(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "bea/1")
	p, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}}})
	if err != nil {
		t.Fatal(err)
	}
	w.Deliver(w.Node("A"), p)
	info := func(change func(gi *mls.GroupInfo)) *mls.Welcome {
		gi, err := w.Node("A").Group.GroupInfo(0, mls.GroupInfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		change(gi)
		mls.ResignGroupInfo(t, w.Node("A").Group, 0, gi)
		return mls.ForgeWelcome(t, &k.KeyPackage, gi, mls.GroupSecrets{JoinerSecret: suite.NewSecret(bytes.Repeat([]byte{5}, 32))})
	}
	forged := map[string]struct {
		m    *mls.Welcome
		want error
	}{
		"other joiner secret": {info(func(*mls.GroupInfo) {}), mls.ErrConfirmationTag},
		"other context":       {info(func(gi *mls.GroupInfo) { gi.GroupContext.TreeHash[0] ^= 1 }), mls.ErrGroupInfo},
		"other signer":        {info(func(gi *mls.GroupInfo) { gi.Signer = 1 }), mls.ErrGroupInfo},
		"no signer":           {info(func(gi *mls.GroupInfo) { gi.Signer = 9 }), mls.ErrGroupInfo},
		"other group":         {info(func(gi *mls.GroupInfo) { gi.GroupContext.GroupID = []byte("x") }), mls.ErrGroupID},
		"other epoch":         {info(func(gi *mls.GroupInfo) { gi.GroupContext.Epoch += 5 }), mls.ErrWelcomeEpoch},
	}
	for _, late := range []bool{false, true} {
		if late {
			w.Commit("C", "carol/1", mls.CommitOptions{})
			w.Restart("B")
		}
		for name, c := range forged {
			if _, err := w.Node("B").Group.AttachWelcome(t.Context(), c.m, k); !errors.Is(err, c.want) {
				t.Errorf("%s, late %v: %v, want %v", name, late, err, c.want)
			}
		}
	}
	if _, err := w.Node("B").Group.AttachWelcome(t.Context(), p.Welcome, k); err != nil {
		t.Fatal(err)
	}
	w.Restart("B")
	w.Say("B", "bea/1", "late, but here")
	w.Commit("C", "carol/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("bob/1")}}})
	w.Commit("B", "bea/1", mls.CommitOptions{})
	w.Say("B", "bea/1", "on its own")
}

// TestSelfRemoveInExternalCommit: a joiner takes pending SelfRemoves along.
func TestSelfRemoveInExternalCommit(t *testing.T) {
	w := three(t)
	w.Propose("B", "bob/1", &mls.SelfRemove{})
	r := w.External(mlstest.On("D", "dan/1"), mls.ExternalOptions{})
	if len(r.Removed) != 1 || string(r.Removed[0].Leaf.Credential.Body) != "bob/1" || len(r.Added) != 1 {
		t.Errorf("removed %v, added %v", r.Removed, r.Added)
	}
	if w.Node("B").Group.Active() {
		t.Error("B is still in the group")
	}
}

// TestBytesPerMessage: what an application message writes does not depend on the
// size of the group, nor does what a commit without path writes.
func TestBytesPerMessage(t *testing.T) {
	written := map[int][2]int{}
	for _, size := range []int{3, 60} {
		w := mlstest.New(t, mls.X25519, "A", "alice/1")
		w.Add("A", "alice/1", mlstest.On("B", "bob/1"))
		var more []mls.ProposalBody
		for i := range size - 2 {
			more = append(more, &mls.Add{KeyPackage: keyPackage(t, w, fmt.Sprintf("user%d/1", i)).KeyPackage})
		}
		w.Commit("A", "alice/1", mls.CommitOptions{Proposals: more})
		w.Say("A", "alice/1", "first")
		for _, n := range w.Active() {
			n.Disk.Write(n.Group.Dirty())
		}
		w.Say("A", "alice/1", "second")
		a, b := w.Node("A"), w.Node("B")
		written[size] = [2]int{a.Disk.Write(a.Group.Dirty()), b.Disk.Write(b.Group.Dirty())}
	}
	if written[3] != written[60] || written[3][0] > 200 || written[3][1] > 200 {
		t.Errorf("octets written by sender and receiver, by size: %v", written)
	}
}

// TestReInitEndsTheGroup is RFC 9420, section 12.4.2.
func TestReInitEndsTheGroup(t *testing.T) {
	w := three(t)
	r := w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.ReInit{GroupID: []byte("new"), Version: mls.MLS10, CipherSuite: mls.X25519}}})
	if r.ReInit == nil || r.Active {
		t.Errorf("result: %+v", r)
	}
	w.Restart("B")
	if _, err := w.Node("B").Group.Protect(1, []byte("text"), mls.AuthenticatedData{}); !errors.Is(err, mls.ErrInactive) {
		t.Errorf("sending after a ReInit: %v", err)
	}
}
