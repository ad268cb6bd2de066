package mls_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// onlyKeysOf checks that a node stores the private keys of these clients' leaves, and of
// parents that one of them has the key of, and no others.
func onlyKeysOf(w *mlstest.World, node string, clients ...string) {
	w.T.Helper()
	w.Restart(node)
	n := w.Node(node)
	tree := *n.Group.RatchetTree()
	has := func(at uint32) bool {
		for _, c := range clients {
			leaf := uint32(w.Leaf(c))
			level := 0
			for at>>level&1 == 1 {
				level++
			}
			if at>>(level+1) != 2*leaf>>(level+1) {
				continue // it is not below
			}
			unmerged := false
			if p := tree[at].Parent; p != nil {
				for _, i := range p.UnmergedLeaves {
					unmerged = unmerged || uint32(i) == leaf
				}
			}
			if !unmerged {
				return true
			}
		}
		return false
	}
	signing := 0
	for _, row := range n.Disk.Rows() {
		switch {
		case strings.HasPrefix(row.Key, "o/"):
			signing++
		case strings.HasPrefix(row.Key, "u/"):
			w.T.Errorf("%s keeps keys that were proposed", node)
		case strings.HasPrefix(row.Key, "k/"):
			at, err := strconv.ParseUint(row.Key[2:], 16, 32)
			if err != nil {
				w.T.Fatal(err)
			}
			if !has(uint32(at)) {
				w.T.Errorf("%s keeps the private key of node %d", node, at)
			}
		}
	}
	if signing != len(clients) {
		w.T.Errorf("%s has %d signature keys, want %d", node, signing, len(clients))
	}
}

// detach lets a node forget a client.
func detach(w *mlstest.World, node, client string) {
	w.T.Helper()
	if err := w.Node(node).Group.Detach(w.Leaf(client)); err != nil {
		w.T.Fatal(err)
	}
}

// family is a group in which one node has three leaves, each of which has committed.
func family(t *testing.T) *mlstest.World {
	w := mlstest.New(t, mls.X25519, "A", "alice/1")
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"), mlstest.On("B", "bea/1"))
	w.Add("A", "alice/1", mlstest.On("C", "carol/1"), mlstest.On("B", "ben/1"))
	for _, c := range []string{"bob/1", "bea/1", "ben/1"} {
		w.Commit("B", c, mls.CommitOptions{})
	}
	w.Commit("C", "carol/1", mls.CommitOptions{})
	return w
}

// TestDetach: an own leaf whose keys are forgotten stays, and can do nothing; the others
// go on, also when it is removed.
func TestDetach(t *testing.T) {
	w := family(t)
	b := w.Node("B")
	onlyKeysOf(w, "B", "bob/1", "bea/1", "ben/1")
	if err := b.Group.Detach(w.Leaf("alice/1")); !errors.Is(err, mls.ErrNotOwn) {
		t.Errorf("a leaf of another: %v", err)
	}
	bob := w.Leaf("bob/1")
	detach(w, "B", "bob/1")
	onlyKeysOf(w, "B", "bea/1", "ben/1")
	if _, err := b.Group.Protect(bob, []byte("text"), mls.AuthenticatedData{}); !errors.Is(err, mls.ErrNotOwn) {
		t.Errorf("sending from it: %v", err)
	}
	if err := b.Group.Detach(bob); !errors.Is(err, mls.ErrNotOwn) {
		t.Errorf("once more: %v", err)
	}
	w.Say("B", "bea/1", "without bob")
	w.Say("C", "carol/1", "hello")
	w.Commit("B", "ben/1", mls.CommitOptions{})
	w.Commit("C", "carol/1", mls.CommitOptions{})
	onlyKeysOf(w, "B", "bea/1", "ben/1")
	detach(w, "B", "ben/1")
	onlyKeysOf(w, "B", "bea/1")
	if err := b.Group.Detach(w.Leaf("bea/1")); !errors.Is(err, mls.ErrLastOwn) {
		t.Errorf("the only own leaf: %v", err)
	}
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: bob}}})
	w.Commit("B", "bea/1", mls.CommitOptions{})
	w.Say("A", "alice/1", "among us")
	w.Say("B", "bea/1", "yes")
}

// TestDetachedCommit: a Commit that was on its way is one of somebody else's then.
func TestDetachedCommit(t *testing.T) {
	w := family(t)
	b := w.Node("B")
	p, err := b.Group.Commit(t.Context(), w.Leaf("bob/1"), mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	detach(w, "B", "bob/1")
	if b.Group.Pending() != nil {
		t.Error("the Commit is still pending")
	}
	w.Restart("B")
	w.AtHub(p.Message, p.GroupInfo)
	w.Others(nil, p.MLSMessage())
	w.Check()
	onlyKeysOf(w, "B", "bea/1", "ben/1")
	w.Commit("B", "bea/1", mls.CommitOptions{})
}

// TestDetachedUpdate: new keys that were proposed for the leaf do not come back, neither
// by a Commit that was made before nor by somebody else's.
func TestDetachedUpdate(t *testing.T) {
	for name, before := range map[string]bool{"own": true, "another's": false} {
		t.Run(name, func(t *testing.T) {
			w := family(t)
			b := w.Node("B")
			w.ProposeUpdate("B", "bob/1")
			if !before {
				detach(w, "B", "bob/1")
				onlyKeysOf(w, "B", "bea/1", "ben/1")
				w.Commit("A", "alice/1", mls.CommitOptions{AllPending: true})
			} else {
				p, err := b.Group.Commit(t.Context(), w.Leaf("ben/1"), mls.CommitOptions{AllPending: true})
				if err != nil {
					t.Fatal(err)
				}
				detach(w, "B", "bob/1")
				w.Deliver(b, p)
				w.Check()
			}
			onlyKeysOf(w, "B", "bea/1", "ben/1")
			w.Commit("B", "bea/1", mls.CommitOptions{})
			w.Commit("A", "alice/1", mls.CommitOptions{})
		})
	}
}

// TestDetachUnmerged: keys that the other own leaf was never given go as well.
func TestDetachUnmerged(t *testing.T) {
	w := mlstest.New(t, mls.X25519, "A", "alice/1")
	w.Add("A", "alice/1", mlstest.On("C", "carol/1"), mlstest.On("B", "bob/1"), mlstest.On("C", "cora/1"))
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("carol/1")}}})
	w.Commit("B", "bob/1", mls.CommitOptions{})
	w.AddWith("A", "alice/1", mls.CommitOptions{NoPath: true}, mlstest.On("B", "ben/1"))
	root := (*w.Node("B").Group.RatchetTree())[3].Parent
	if root == nil || len(root.UnmergedLeaves) != 1 || root.UnmergedLeaves[0] != w.Leaf("ben/1") {
		t.Fatalf("the root is %+v", root)
	}
	detach(w, "B", "bob/1")
	onlyKeysOf(w, "B", "ben/1")
	w.Commit("A", "alice/1", mls.CommitOptions{})
	w.Commit("B", "ben/1", mls.CommitOptions{})
}
