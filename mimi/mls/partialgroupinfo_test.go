package mls_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// withInfo is a commit whose public GroupInfo has these options.
func withInfo(o mls.GroupInfoOptions) mls.CommitOptions {
	return mls.CommitOptions{GroupInfo: func(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) { return o, o, nil }}
}

// TestPartialGroupInfo follows draft-mahy-mls-ratchet-tree-options-03, section
// "Conveying the GroupInfo": whether the ratchet_tree comes, stays or goes, the hub
// ends with the GroupInfo that the committer has signed, octet for octet.
func TestPartialGroupInfo(t *testing.T) {
	w := three(t)
	before := false
	for i, c := range []struct {
		tree bool
		want mls.RatchetTreePresence
	}{
		{false, mls.RatchetTreeNever}, {true, mls.RatchetTreeAdded}, {true, mls.RatchetTreePresent}, {false, mls.RatchetTreeRemoved}, {false, mls.RatchetTreeNever},
	} {
		a := w.Node("A")
		opts := withInfo(mls.GroupInfoOptions{RatchetTree: c.tree, ExternalPub: true, Extensions: mls.Extensions{withComponents(t, mls.ComponentData{ID: 9})}})
		p, err := a.Group.Commit(t.Context(), w.Leaf("alice/1"), opts)
		if err != nil {
			t.Fatal(err)
		}
		s, err := w.Hub.Stage(t.Context(), mlstest.Again(t, p.MLSMessage()).PublicMessage)
		if err != nil {
			t.Fatal(err)
		}
		partial := partialAgain(t, p.GroupInfo, before)
		if partial.RatchetTree != c.want || len(partial.Extensions) != 2 {
			t.Errorf("%d: presence %d, want %d; extensions %v", i, partial.RatchetTree, c.want, partial.Extensions)
		}
		if err := w.Hub.ApplyPartial(s, partial); err != nil {
			t.Fatalf("%d: %v", i, err)
		}
		want, err := mls.Marshal(p.GroupInfo)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := mls.Marshal(w.Hub.GroupInfo()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d: the hub has another GroupInfo: %v", i, err)
		}
		if _, err := a.Group.Merge(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.Others(a, p.MLSMessage())
		w.RestartHub()
		w.Check()
		before = c.tree
	}
	w.External(mlstest.On("D", "dan/1"), mls.ExternalOptions{})
	w.Say("D", "dan/1", "joined by a GroupInfo that was put together")
}

// partialAgain takes a GroupInfo apart, and sends the part through its encoding.
func partialAgain(t *testing.T, gi *mls.GroupInfo, before bool) *mls.PartialGroupInfo {
	t.Helper()
	partial, err := gi.Partial(before)
	if err != nil {
		t.Fatal(err)
	}
	b, err := mls.Marshal(partial)
	if err != nil {
		t.Fatal(err)
	}
	partial = new(mls.PartialGroupInfo)
	if err := mls.Unmarshal(b, partial); err != nil {
		t.Fatal(err)
	}
	return partial
}

// TestPartialGroupInfoOfJoiners: the committer of an external Commit signs as the
// leaf that it gets.
func TestPartialGroupInfoOfJoiners(t *testing.T) {
	w := three(t)
	p, _ := externalCommit(t, w, "dan/1", mls.ExternalOptions{})
	s, err := w.Hub.Stage(t.Context(), p.Message)
	if err != nil {
		t.Fatal(err)
	}
	gi, err := w.Hub.Complete(s, partialAgain(t, p.GroupInfo, false))
	if err != nil || gi.Signer != 3 {
		t.Fatalf("%+v, %v", gi, err)
	}
	if err := w.Hub.Apply(s, gi); err != nil {
		t.Error(err)
	}
}

// TestPartialGroupInfoIsVerified: what the committer has not signed leaves no
// trace.
func TestPartialGroupInfoIsVerified(t *testing.T) {
	w := three(t)
	p, err := w.Node("A").Group.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := w.Hub.Stage(t.Context(), p.Message)
	if err != nil {
		t.Fatal(err)
	}
	w.HubDisk.Write(w.Hub.Dirty())
	snapshot := w.HubDisk.Snapshot()
	for name, c := range map[string]struct {
		change func(x *mls.PartialGroupInfo)
		want   error
	}{
		"signature":                 {func(x *mls.PartialGroupInfo) { x.Signature[3] ^= 1 }, mls.ErrSignature},
		"extensions":                {func(x *mls.PartialGroupInfo) { x.Extensions = nil }, mls.ErrSignature},
		"another external_pub":      {func(x *mls.PartialGroupInfo) { x.Extensions[0].Data[9] ^= 1 }, mls.ErrSignature},
		"a tree that is not signed": {func(x *mls.PartialGroupInfo) { x.RatchetTree = mls.RatchetTreeAdded }, mls.ErrSignature},
		"a tree before":             {func(x *mls.PartialGroupInfo) { x.RatchetTree = mls.RatchetTreePresent }, mls.ErrPartialGroupInfo},
		"a tree before, not now":    {func(x *mls.PartialGroupInfo) { x.RatchetTree = mls.RatchetTreeRemoved }, mls.ErrPartialGroupInfo},
		"unknown presence":          {func(x *mls.PartialGroupInfo) { x.RatchetTree = 4 }, mls.ErrPartialGroupInfo},
		"an extension twice":        {func(x *mls.PartialGroupInfo) { x.Extensions = append(x.Extensions, x.Extensions[0]) }, mls.ErrDuplicateExtension},
	} {
		partial := partialAgain(t, p.GroupInfo, false)
		c.change(partial)
		if err := w.Hub.ApplyPartial(s, partial); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		w.HubDisk.Write(w.Hub.Dirty())
		if !bytes.Equal(snapshot, w.HubDisk.Snapshot()) {
			t.Fatalf("%s: the hub has changed", name)
		}
	}
	// A full GroupInfo may be signed by any member, a partial one does not say by
	// whom.
	bob := mlstest.Again(t, &mls.MLSMessage{GroupInfo: p.GroupInfo}).GroupInfo
	bob.Signer = w.Leaf("bob/1")
	mls.ResignGroupInfo(t, w.Node("B").Group, bob.Signer, bob)
	if _, err := w.Hub.Complete(s, partialAgain(t, bob, false)); !errors.Is(err, mls.ErrSignature) {
		t.Errorf("signed by another member: %v", err)
	}
	good := partialAgain(t, p.GroupInfo, false)
	m := proposalOf(t, w, "B", "bob/1", &mls.Remove{Removed: 0})
	proposal, err := w.Hub.Stage(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Hub.ApplyPartial(proposal, good); !errors.Is(err, mls.ErrPartialGroupInfo) {
		t.Errorf("with a proposal: %v", err)
	}
	if err := w.Hub.ApplyPartial(s, good); err != nil {
		t.Error(err)
	}
	if err := w.Hub.ApplyPartial(s, good); !errors.Is(err, mls.ErrStaged) {
		t.Errorf("applied twice: %v", err)
	}
}

// TestPartialGroupInfoForm is the structure by hand, and what it refuses.
func TestPartialGroupInfoForm(t *testing.T) {
	p := mls.PartialGroupInfo{RatchetTree: mls.RatchetTreeAdded, Extensions: mls.Extensions{{Type: 9, Data: []byte("x")}}, Signature: []byte("sig")}
	if got, err := mls.Marshal(&p); err != nil || string(got) != "\x03\x04\x00\x09\x01x\x03sig" {
		t.Errorf("%q, %v", got, err)
	}
	for name, c := range map[string]struct {
		b    string
		want error
	}{
		"presence 4":         {"\x04\x00\x00", mls.ErrPartialGroupInfo},
		"ratchet_tree":       {"\x00\x03\x00\x02\x00\x00", mls.ErrPartialGroupInfo},
		"an extension twice": {"\x00\x06\x00\x09\x00\x00\x09\x00\x00", mls.ErrDuplicateExtension},
		"no signature field": {"\x00\x00", wire.ErrTruncated},
		"something behind":   {"\x00\x00\x00\x00", wire.ErrTrailing},
	} {
		if err := mls.Unmarshal([]byte(c.b), new(mls.PartialGroupInfo)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	gi := mls.GroupInfo{Extensions: mls.Extensions{{Type: mls.ExtensionRatchetTree}, {Type: 9}}}
	if _, err := gi.Partial(false); !errors.Is(err, mls.ErrPartialGroupInfo) {
		t.Errorf("a tree that is not the last extension: %v", err)
	}
}
