package mls_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// greaseIn returns the GREASE values of a list, by hand.
func greaseIn[T ~uint16](l []T) (found []T) {
	for _, v := range l {
		if hi, lo := v>>8, v&0xff; hi == lo && lo&0xf == 0xa && lo != 0xfa {
			found = append(found, v)
		}
	}
	return found
}

func greaseComponents(t *testing.T, l mls.Extensions) (found []mls.ComponentID) {
	t.Helper()
	d, err := l.AppDataDictionary()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range d {
		found = append(found, greaseIn([]mls.ComponentID{e.ID})...)
	}
	return found
}

func types(l mls.Extensions) (found []mls.ExtensionType) {
	for _, e := range l {
		found = append(found, e.Type)
	}
	return found
}

// componentLeaf is a leaf with a list of components, and one of safe_aad.
func componentLeaf(t *testing.T, safe ...mls.ComponentID) func(*mls.LeafParams) {
	return func(p *mls.LeafParams) {
		p.Extensions = mls.Extensions{withComponents(t, list(t, mls.ComponentAppComponents, 0x8d40), list(t, mls.ComponentSafeAAD, safe...))}
	}
}

// TestGREASEIsGenerated: in every place that RFC 9420, section 13.5, and
// draft-ietf-mls-extensions-09, section "GREASE", list, only if asked for, and not
// always the same.
func TestGREASEIsGenerated(t *testing.T) {
	random := mlstest.Random("grease")
	leaf := mlstest.Leaf(t, mls.X25519, "dan/1", random)
	componentLeaf(t, 0x8d43)(&leaf)
	seen := map[uint16]bool{}
	note := func(n int, where string, values ...uint16) {
		t.Helper()
		if len(values) != n {
			t.Errorf("%s has %d GREASE values, want %d", where, len(values), n)
		}
		for _, v := range values {
			seen[v] = true
		}
	}
	for range 200 {
		p := mls.KeyPackageParams{CipherSuite: mls.X25519, Leaf: leaf, LastResort: true, NotAfter: 1}
		plain, err := mls.NewKeyPackage(random, p)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = p.WithGREASE(random); err != nil {
			t.Fatal(err)
		}
		k, err := mls.NewKeyPackage(random, p)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, kp := range []*mls.KeyPackage{&plain.KeyPackage, &k.KeyPackage} {
			c, e := &kp.LeafNode.Capabilities, kp.LeafNode.Extensions
			note(count, "cipher_suites", numbers(greaseIn(c.CipherSuites))...)
			note(count, "proposals", numbers(greaseIn(c.Proposals))...)
			note(count, "credentials", numbers(greaseIn(c.Credentials))...)
			own, of := greaseIn(types(e)), greaseIn(types(kp.Extensions))
			note(count, "leaf extensions", numbers(own)...)
			note(count, "KeyPackage extensions", numbers(of)...)
			listed := greaseIn(c.Extensions)
			for _, v := range slices.Concat(own, of) {
				if !slices.Contains(listed, v) {
					t.Errorf("extension 0x%04x is not in the capabilities", v)
				}
			}
			note(count, "leaf components", numbers(greaseComponents(t, e))...)
			note(count, "KeyPackage components", numbers(greaseComponents(t, kp.Extensions))...)
			for _, id := range []mls.ComponentID{mls.ComponentAppComponents, mls.ComponentSafeAAD} {
				l, _, err := e.ComponentsList(id)
				if err != nil {
					t.Fatal(err)
				}
				note(count, "component list", numbers(greaseIn(l))...)
			}
			count = 1
		}
		if !k.KeyPackage.LastResort() || len(greaseIn(leaf.Capabilities.Extensions)) > 0 || len(leaf.Extensions) != 1 {
			t.Fatal("WithGREASE has taken something away, or changed its argument")
		}
		for _, id := range slices.Concat(greaseComponents(t, k.KeyPackage.Extensions), greaseComponents(t, k.KeyPackage.LeafNode.Extensions)) {
			if id >= 0x8000 {
				t.Errorf("component 0x%04x is a private one", uint16(id))
			}
		}
	}
	if len(seen) != 15 {
		t.Errorf("%d values were chosen, of 15", len(seen))
	}
}

func numbers[T ~uint16](l []T) (n []uint16) {
	for _, v := range l {
		n = append(n, uint16(v))
	}
	return n
}

// TestGREASEIsIgnored: a group goes on with GREASE values wherever they may be: in
// leaves, KeyPackages, GroupInfos, SafeAAD and an AppEphemeral.
func TestGREASEIsIgnored(t *testing.T) {
	random := mlstest.Random("grease")
	add := func(p *mls.LeafParams) {
		componentLeaf(t, 0x8d43)(p)
		var err error
		if *p, err = p.WithGREASE(random); err != nil {
			t.Fatal(err)
		}
	}
	w := threeWith(t, add, withComponents(t, list(t, mls.ComponentAppComponents, 0x8d40), list(t, mls.ComponentSafeAAD, 0x8d43)))
	info := func(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
		o := mls.GroupInfoOptions{RatchetTree: true, ExternalPub: true, Extensions: mls.Extensions{withComponents(t, mls.ComponentData{ID: 9})}}
		o, err = o.WithGREASE(random)
		if len(greaseIn(types(o.Extensions))) != 1 || len(greaseComponents(t, o.Extensions)) != 1 {
			t.Errorf("GroupInfo extensions %v", o.Extensions)
		}
		return o, o, err
	}
	p, err := (mls.KeyPackageParams{
		CipherSuite: mls.X25519, Leaf: w.LeafParams("dan/1"), NotBefore: uint64(mlstest.Now.Unix()), NotAfter: uint64(mlstest.Now.Unix()) + 3600,
		Extensions: mls.Extensions{withComponents(t, mls.ComponentData{ID: 9})},
	}).WithGREASE(random)
	if err != nil {
		t.Fatal(err)
	}
	k, err := mls.NewKeyPackage(random, p)
	if err != nil {
		t.Fatal(err)
	}
	aad, err := mls.AuthenticatedData{Safe: mls.SafeAAD{{ID: 0x8d43, Data: []byte("known")}}}.WithGREASE(random)
	if err != nil || len(aad.Safe) != 2 {
		t.Fatalf("%v, %v", aad, err)
	}
	commit, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{AAD: aad, GroupInfo: info, Proposals: []mls.ProposalBody{
		&mls.Add{KeyPackage: k.KeyPackage}, &mls.AppEphemeral{Component: 0x2a2a, Data: []byte("nothing")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := w.Deliver(w.Node("A"), commit)
	if data, ok := r.AuthenticatedData.Safe.Get(0x8d43); !ok || string(data) != "known" {
		t.Errorf("authenticated data %v", r.AuthenticatedData)
	}
	d := w.Node("D")
	if d.Group, _, err = mls.JoinWelcome(t.Context(), d.Config, commit.Welcome, k, nil); err != nil {
		t.Fatal(err)
	}
	w.External(mlstest.On("E", "eve/1"), mls.ExternalOptions{})
	w.Say("D", "dan/1", "hello")
}

// TestGREASEStaysOutOfGroups: components of the GroupContext and of PSKs are never
// GREASE ones if they are ours.
func TestGREASEStaysOutOfGroups(t *testing.T) {
	w := three(t)
	for name, e := range map[string]mls.Extension{
		"entry":          withComponents(t, mls.ComponentData{ID: 0x7a7a}),
		"app_components": withComponents(t, list(t, mls.ComponentAppComponents, 0x0a0a)),
		"safe_aad":       withComponents(t, list(t, mls.ComponentSafeAAD, 0x3a3a)),
	} {
		gce := &mls.GroupContextExtensions{Extensions: mls.Extensions{e}}
		if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{gce}}); !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string]mls.ProposalBody{
		"AppDataUpdate": &mls.AppDataUpdate{Component: 0x0a0a, Operation: mls.AppDataUpdateUpdate},
		"PSK":           &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKApplication, Component: 0x5a5a}},
	} {
		if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{b}}); !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("%s in a commit: %v", name, err)
		}
		if _, err := w.Node("A").Group.ExternalCommit(t.Context(), mls.ExternalOptions{Leaf: w.LeafParams("dan/1"), Proposals: []mls.ProposalBody{b}}); !errors.Is(err, mls.ErrGREASE) {
			t.Errorf("%s in an external Commit: %v", name, err)
		}
	}
	// From 0x8000 on components are private, whatever they look like.
	private := withComponents(t, mls.ComponentData{ID: 0x8a8a})
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.GroupContextExtensions{Extensions: mls.Extensions{private}}}})
}

// TestGREASENeedsRandomness: without it there is an error, wherever it ends.
func TestGREASENeedsRandomness(t *testing.T) {
	leaf := mlstest.Leaf(t, mls.X25519, "dan/1", mlstest.Random("leaf"))
	componentLeaf(t, 0x8d43)(&leaf)
	params := mls.KeyPackageParams{Leaf: leaf, LastResort: true}
	octets := bytes.Repeat([]byte{0}, 64)
	enough := 0
	for n := range octets {
		_, err := params.WithGREASE(bytes.NewReader(octets[:n]))
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("with %d octets: %v", n, err)
		}
		if err == nil {
			enough++
		}
	}
	if enough == 0 || enough == len(octets) {
		t.Errorf("%d of %d lengths are enough", enough, len(octets))
	}
	if _, err := (mls.AuthenticatedData{}).WithGREASE(bytes.NewReader(nil)); err == nil {
		t.Error("authenticated data without randomness")
	}
	if _, err := (mls.GroupInfoOptions{}).WithGREASE(bytes.NewReader(nil)); err == nil {
		t.Error("a GroupInfo without randomness")
	}
	broken := mls.Extensions{{Type: mls.ExtensionAppDataDictionary, Data: []byte{1}}}
	if _, err := (mls.GroupInfoOptions{Extensions: broken}).WithGREASE(mlstest.Random("r")); err == nil {
		t.Error("a dictionary that is none")
	}
	if _, err := (mls.LeafParams{Extensions: broken}).WithGREASE(mlstest.Random("r")); err == nil {
		t.Error("a leaf with a dictionary that is none")
	}
}
