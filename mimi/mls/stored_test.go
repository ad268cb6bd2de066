package mls_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestStoredRowsFitTogether: rows that are missing, there twice, of another kind
// or another group are no state.
func TestStoredRowsFitTogether(t *testing.T) {
	w, other := three(t), three(t)
	n := w.Node("A")
	if _, err := n.Group.Commit(t.Context(), 0, mls.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	other.Commit("C", "carol/1", mls.CommitOptions{})
	n.Disk.Write(n.Group.Dirty())
	w.HubDisk.Write(w.Hub.Dirty())
	foreign := other.Node("A")
	foreign.Disk.Write(foreign.Group.Dirty())
	proposal, err := mls.Marshal(mls.Forge(t, n.Group, 0, mls.FramedContent{
		ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.Remove{Removed: 1}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(d mlstest.Disk) []mls.Row{
		"deleted row":             func(d mlstest.Disk) []mls.Row { return append(d.Rows(), mls.Row{Key: "more"}) },
		"row that is there twice": func(d mlstest.Disk) []mls.Row { return append(d.Rows(), d["context"]) },
		"unknown row":             func(d mlstest.Disk) []mls.Row { return append(d.Rows(), mls.Row{Key: "more", Value: []byte{1}}) },
		"no version":              func(d mlstest.Disk) []mls.Row { delete(d, "version"); return d.Rows() },
		"hub's version":           func(d mlstest.Disk) []mls.Row { d["version"] = w.HubDisk["version"]; return d.Rows() },
		"no context":              func(d mlstest.Disk) []mls.Row { delete(d, "context"); return d.Rows() },
		"no tree": func(d mlstest.Disk) []mls.Row {
			for k := range d {
				if strings.HasPrefix(k, "n/") {
					delete(d, k)
				}
			}
			return d.Rows()
		},
		"another tree hash": func(d mlstest.Disk) []mls.Row { d["context"] = foreign.Disk["context"]; return d.Rows() },
		"context too long": func(d mlstest.Disk) []mls.Row {
			d["context"] = mls.Row{Key: "context", Value: append(d["context"].Value, 0)}
			return d.Rows()
		},
		"node that is none": func(d mlstest.Disk) []mls.Row {
			d["n/00000000"] = mls.Row{Key: "n/00000000", Value: []byte{9}}
			return d.Rows()
		},
		"node that is there twice": func(d mlstest.Disk) []mls.Row { return append(d.Rows(), d["n/00000000"]) },
		"node without a number": func(d mlstest.Disk) []mls.Row {
			return append(d.Rows(), mls.Row{Key: "n/0000000z", Value: d["n/00000000"].Value})
		},
		"node with a long number": func(d mlstest.Disk) []mls.Row {
			return append(d.Rows(), mls.Row{Key: "n/000000000", Value: d["n/00000000"].Value})
		},
		"node beyond the largest tree": func(d mlstest.Disk) []mls.Row {
			return append(d.Rows(), mls.Row{Key: "n/00020000", Value: d["n/00000000"].Value})
		},
		"last node that there can be": func(d mlstest.Disk) []mls.Row {
			return append(d.Rows(), mls.Row{Key: "n/fffffffe", Value: d["n/00000000"].Value})
		},
		"skipped key without its ratchet": func(d mlstest.Disk) []mls.Row {
			for k := range d {
				if strings.HasPrefix(k, "s/") {
					return append(d.Rows(), mls.Row{Key: k[:len("s/0000000000000000/")] + "k/00000001/1/00000000", Value: make([]byte, 28), Secret: true})
				}
			}
			return nil
		},
		"node without octets": func(d mlstest.Disk) []mls.Row {
			return append(d.Rows(), mls.Row{Key: "n/00000006", Value: []byte{}})
		},
		"node that is cut off": func(d mlstest.Disk) []mls.Row {
			d["n/00000000"] = mls.Row{Key: "n/00000000", Value: d["n/00000000"].Value[:40]}
			return d.Rows()
		},
		"leaf in the place of a parent": func(d mlstest.Disk) []mls.Row {
			return append(d.Rows(), mls.Row{Key: "n/00000005", Value: d["n/00000000"].Value})
		},
		"parent in the place of an old leaf": func(d mlstest.Disk) []mls.Row {
			parent := d["n/00000003"].Value
			for k := range d {
				if strings.HasPrefix(k, "l/") {
					d[k] = mls.Row{Key: k, Value: parent}
				}
			}
			return d.Rows()
		},
		"pending proposal": func(d mlstest.Disk) []mls.Row {
			d["pending"] = mls.Row{Key: "pending", Value: mls.PendingRow(t, n.Group, proposal)}
			return d.Rows()
		},
		"pending nothing": func(d mlstest.Disk) []mls.Row {
			d["pending"] = mls.Row{Key: "pending", Value: mls.PendingRow(t, n.Group, []byte{1})}
			return d.Rows()
		},
	} {
		disk := mlstest.Disk{}
		disk.Write(n.Disk.Rows())
		if _, err := mls.LoadGroup(n.Config, change(disk)); !errors.Is(err, mls.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	delete(w.HubDisk, "groupinfo")
	if _, err := mls.LoadPublicGroup(w.HubConf, w.HubDisk.Rows()); !errors.Is(err, mls.ErrState) {
		t.Errorf("hub without GroupInfo: %v", err)
	}
}

// TestStoredKeyPackagesFitTogether: each private key is one, and that of its
// public key.
func TestStoredKeyPackagesFitTogether(t *testing.T) {
	w := three(t)
	k := keyPackage(t, w, "dan/1")
	init, encryption, seed := k.InitKey.Secret(), k.EncryptionKey.Secret(), k.SignatureKey.Seed()
	short := suite.NewSecret([]byte{1})
	for name, keys := range map[string][3]suite.Secret{
		"init":       {short, encryption, seed},
		"encryption": {init, short, seed},
		"signature":  {init, encryption, short},
		"swapped":    {encryption, init, seed},
		"another":    {init, encryption, init},
	} {
		if _, err := mls.AssembleKeyPackage(&k.KeyPackage, keys[0], keys[1], keys[2]); !errors.Is(err, mls.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := mls.UnmarshalKeyPackagePrivate(short); !errors.Is(err, mls.ErrState) {
		t.Errorf("a stored KeyPackage of one octet: %v", err)
	}
}

// TestCallsOutOfTurn: what a group cannot do at the moment.
func TestCallsOutOfTurn(t *testing.T) {
	w := three(t)
	g := w.Node("A").Group
	leaf := w.LeafParams("alex/1")
	if _, err := g.Commit(t.Context(), 0, mls.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.ExternalCommit(t.Context(), mls.ExternalOptions{Leaf: leaf}); !errors.Is(err, mls.ErrPendingCommit) {
		t.Errorf("external Commit beside a pending one: %v", err)
	}
	g.Discard()
	far := w.Protect("B", "bob/1", "text")
	w.Node("A").Config.Limits.ForwardKeys = 1
	w.Restart("A")
	for range 3 {
		far = w.Protect("B", "bob/1", "text")
	}
	refused(t, w, "A", &mls.MLSMessage{PrivateMessage: far}, mls.ErrTooFar)
	far.GroupID = []byte("another")
	refused(t, w, "A", &mls.MLSMessage{PrivateMessage: far}, mls.ErrGroupID)
	w.Commit("B", "bob/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: 0}}})
	g = w.Node("A").Group
	if _, err := g.ExternalCommit(t.Context(), mls.ExternalOptions{Leaf: leaf}); !errors.Is(err, mls.ErrInactive) {
		t.Errorf("external Commit of a group that is over: %v", err)
	}
	if _, err := g.ExportComponent(1); !errors.Is(err, mls.ErrNoSecrets) {
		t.Errorf("component secret of a group that is over: %v", err)
	}
	if _, err := g.Protect(0, nil, mls.AuthenticatedData{}); !errors.Is(err, mls.ErrInactive) {
		t.Errorf("message of a group that is over: %v", err)
	}
	for name, m := range map[string]*mls.FramedContent{
		"proposal": {ContentType: mls.ContentProposal, Sender: mls.Sender{Type: mls.SenderMember}},
		"commit":   {ContentType: mls.ContentCommit, Sender: mls.Sender{Type: mls.SenderMember}},
	} {
		if _, err := mls.Marshal(m); err == nil {
			t.Errorf("a %s message without one is encoded", name)
		}
	}
	if _, err := mls.Marshal(new(mls.Node)); !errors.Is(err, mls.ErrTreeForm) {
		t.Errorf("a node without content is encoded: %v", err)
	}
}

// TestStoredContextDecodes: the GroupContext of a stored group is read as a whole.
func TestStoredContextDecodes(t *testing.T) {
	required, err := (&mls.RequiredCapabilities{}).Extension()
	if err != nil {
		t.Fatal(err)
	}
	w := mlstest.New(t, mls.X25519, "A", "alice/1", required)
	n := w.Node("A")
	n.Disk.Write(n.Group.Dirty())
	good, bad := []byte{0, 3, 3, 0, 0, 0}, []byte{0, 3, 3, 1, 0, 0}
	broken := bytes.Replace(n.Disk["context"].Value, good, bad, 1)
	if bytes.Equal(broken, n.Disk["context"].Value) {
		t.Fatal("the extension is not where it should be")
	}
	n.Disk["context"] = mls.Row{Key: "context", Value: broken}
	if _, err := mls.LoadGroup(n.Config, n.Disk.Rows()); !errors.Is(err, mls.ErrState) {
		t.Errorf("required_capabilities that do not decode: %v", err)
	}
}

// TestStoredTreeIsThatOfItsGroup: the tree of a group that was loaded is only
// hashed when it is needed, but before anything comes of it.
func TestStoredTreeIsThatOfItsGroup(t *testing.T) {
	w := three(t)
	p, err := w.Node("C").Group.Commit(t.Context(), 2, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := w.Node("A")
	n.Disk.Write(n.Group.Dirty())
	w.HubDisk.Write(w.Hub.Dirty())
	for key, value := range map[string][]byte{
		"n/00000002": n.Disk["n/00000004"].Value, // another member's leaf
		"n/00000004": append(n.Disk["n/00000004"].Value, 0),
	} {
		for _, disk := range []mlstest.Disk{n.Disk, w.HubDisk} {
			if disk[key].Value == nil {
				t.Fatalf("no row %s", key)
			}
		}
		member, hub := mlstest.Disk{}, mlstest.Disk{}
		member.Write(append(n.Disk.Rows(), mls.Row{Key: key, Value: value}))
		hub.Write(append(w.HubDisk.Rows(), mls.Row{Key: key, Value: value}))
		g, err := mls.LoadGroup(n.Config, member.Rows())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.Commit(t.Context(), 0, mls.CommitOptions{}); !errors.Is(err, mls.ErrState) {
			t.Errorf("%s: commit: %v", key, err)
		}
		if r, err := g.Process(t.Context(), p.MLSMessage()); err == nil {
			t.Errorf("%s: process: %v", key, r)
		}
		h, err := mls.LoadPublicGroup(w.HubConf, hub.Rows())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.Stage(t.Context(), p.Message); err == nil {
			t.Errorf("%s: the hub stages a commit", key)
		}
	}
}

// TestStoredKeysAreThoseOfTheirPlace: a private key is imported when it is used,
// and then has to be that of its node or leaf.
func TestStoredKeysAreThoseOfTheirPlace(t *testing.T) {
	w := three(t)
	p, err := w.Node("C").Group.Commit(t.Context(), 2, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n := w.Node("A")
	n.Disk.Write(n.Group.Dirty())
	for name, c := range map[string]struct {
		key string
		use func(g *mls.Group) error
	}{
		"signature key": {"o/00000000", func(g *mls.Group) error {
			_, err := g.Protect(0, nil, mls.AuthenticatedData{})
			return err
		}},
		"HPKE key": {"k/", func(g *mls.Group) error {
			_, err := g.Process(t.Context(), p.MLSMessage())
			return err
		}},
	} {
		for what, value := range map[string][]byte{"another": make([]byte, 32), "none": {1}} {
			disk := mlstest.Disk{}
			disk.Write(n.Disk.Rows())
			for k := range disk {
				if strings.HasPrefix(k, c.key) {
					disk[k] = mls.Row{Key: k, Value: append([]byte{7}, value[1:]...), Secret: true}
				}
			}
			g, err := mls.LoadGroup(n.Config, disk.Rows())
			if err != nil {
				t.Fatal(err)
			}
			if err := c.use(g); !errors.Is(err, mls.ErrState) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
	}
	disk := mlstest.Disk{}
	disk.Write(append(n.Disk.Rows(), mls.Row{Key: "k/0000000c", Value: make([]byte, 32)}))
	if _, err := mls.LoadGroup(n.Config, disk.Rows()); !errors.Is(err, mls.ErrState) {
		t.Errorf("key of a blank node: %v", err)
	}
	disk.Write([]mls.Row{{Key: "k/0000000c"}, {Key: "o/80000000", Value: make([]byte, 32)}})
	if _, err := mls.LoadGroup(n.Config, disk.Rows()); !errors.Is(err, mls.ErrState) {
		t.Errorf("key of a leaf that is beyond the tree: %v", err)
	}
}

// TestHubRefusesBadExternalPub: others could not join with it.
func TestHubRefusesBadExternalPub(t *testing.T) {
	w := three(t)
	g := w.Node("A").Group
	p, err := g.Commit(t.Context(), 0, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Hub.Stage(t.Context(), p.Message)
	if err != nil {
		t.Fatal(err)
	}
	gi := *p.GroupInfo
	gi.Extensions = mls.Extensions{{Type: mls.ExtensionExternalPub, Data: []byte{9}}}
	mls.ResignGroupInfo(t, g, 0, &gi)
	if err := w.Hub.Apply(s, mlstest.Again(t, &mls.MLSMessage{GroupInfo: &gi}).GroupInfo); !errors.Is(err, mls.ErrGroupInfo) {
		t.Errorf("external_pub that does not decode: %v", err)
	}
}

// TestViewsAreShared: somebody looks at a view of a group that was loaded, while
// the group goes on. The race detector has to find nothing.
func TestViewsAreShared(t *testing.T) {
	w := three(t)
	p, err := w.Node("C").Group.Commit(t.Context(), 2, mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.RestartHub()
	view := w.Hub.View()
	done := make(chan int)
	go func() {
		n := 0
		for range 100 {
			n += view.Len()
		}
		done <- n
	}()
	if _, err := w.Hub.Stage(t.Context(), p.Message); err != nil {
		t.Error(err)
	}
	if n := <-done; n != 300 {
		t.Errorf("%d members in 100 looks at three", n)
	}
}
