package mls_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// withComponents is a GroupContext extension with these components.
func withComponents(t *testing.T, entries ...mls.ComponentData) mls.Extension {
	t.Helper()
	l, err := mls.Extensions{}.WithComponents(entries...)
	if err != nil {
		t.Fatal(err)
	}
	return l[0]
}

// list is a list of components as the data of one.
func list(t *testing.T, id mls.ComponentID, ids ...mls.ComponentID) mls.ComponentData {
	t.Helper()
	d, err := mls.ComponentsList(ids).Component(id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestAppDataUpdate follows draft-ietf-mls-extensions-09, section "Updating
// Application Data in the GroupContext".
func TestAppDataUpdate(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 7, Data: []byte("old")}), requireCaps(t, mls.RequiredCapabilities{
		Extensions: []mls.ExtensionType{mls.ExtensionAppDataDictionary}, Proposals: []mls.ProposalType{mls.ProposalAppDataUpdate},
	}))
	join := func(_ mls.ComponentID, old []byte, updates [][]byte) ([]byte, error) {
		if bytes.Equal(updates[0], []byte("bad")) {
			return nil, errors.New("not acceptable")
		}
		return bytes.Join(append([][]byte{old}, updates...), []byte("+")), nil
	}
	w.Policy.Component = join
	for _, n := range w.Active() {
		n.Policy.Component = join
	}
	update := func(id mls.ComponentID, data string) mls.ProposalBody {
		return &mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateUpdate, Update: []byte(data)}
	}
	r := w.Commit("A", "alice/1", mls.CommitOptions{NoPath: true, Proposals: []mls.ProposalBody{update(7, "a"), update(9, "x"), update(7, "b")}})
	if r.HasPath {
		t.Error("an AppDataUpdate needs no path")
	}
	for id, want := range map[mls.ComponentID]string{7: "old+a+b", 9: "+x"} {
		got, ok, err := w.Hub.View().Context().Extensions.Component(id)
		if string(got) != want || !ok || err != nil {
			t.Errorf("component %d: %q, %v, %v", id, got, ok, err)
		}
	}
	w.Propose("B", "bob/1", update(7, "c"))
	w.Commit("C", "carol/1", mls.CommitOptions{AllPending: true, Proposals: []mls.ProposalBody{&mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateRemove}}})
	if _, ok, _ := w.Hub.View().Context().Extensions.Component(9); ok {
		t.Error("a removed component is still there")
	}
	refusedCommit(t, w, byValue(update(7, "bad")), mls.ErrAppData)
	drop := &mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateRemove}
	refusedCommit(t, w, byValue(update(7, "d"), drop), mls.ErrAppData)
	refusedCommit(t, w, byValue(drop, update(7, "d")), mls.ErrAppData)
	refusedCommit(t, w, byValue(drop, drop), mls.ErrAppData)
	// With AppDataUpdate required, nothing else may change the dictionary.
	changed := w.Hub.View().Context().Extensions.Without(mls.ExtensionAppDataDictionary)
	refusedCommit(t, w, byValue(&mls.GroupContextExtensions{Extensions: changed}), mls.ErrAppData)
}

// TestSafeAAD follows draft-ietf-mls-extensions-09, section "Safe Additional
// Authenticated Data".
func TestSafeAAD(t *testing.T) {
	plain := three(t)
	if _, err := plain.Node("A").Group.Protect(0, []byte("x"), mls.AuthenticatedData{Safe: mls.SafeAAD{{ID: 1}}}); !errors.Is(err, mls.ErrSafeAAD) {
		t.Errorf("SafeAAD in a group without the component: %v", err)
	}
	w := three(t, withComponents(t, list(t, mls.ComponentSafeAAD)))
	items := mls.SafeAAD{{ID: 0x8d40, Data: []byte("one")}, {ID: 0x8d43, Data: []byte("two")}}
	r := w.Commit("A", "alice/1", mls.CommitOptions{AAD: mls.AuthenticatedData{Safe: items, Rest: []byte("rest")}})
	if got, _ := r.AuthenticatedData.Safe.Get(0x8d43); string(got) != "two" || string(r.AuthenticatedData.Rest) != "rest" {
		t.Errorf("authenticated data: %v", r.AuthenticatedData)
	}
	unordered := mls.AuthenticatedData{Safe: mls.SafeAAD{items[1], items[0]}}
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{AAD: unordered}); !errors.Is(err, mls.ErrComponentOrder) {
		t.Errorf("items out of order: %v", err)
	}
	m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{ContentType: mls.ContentCommit, Commit: byValue(), AuthenticatedData: []byte{0x05, 1}})
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrSafeAAD)
	refusedByHub(t, w, m, mls.ErrSafeAAD)
	w.Say("B", "bob/1", "an empty SafeAAD stands before")
}

// TestAppDataRemovalNeedsData: a proposal to remove what is not there is invalid,
// alone and in a commit.
func TestAppDataRemovalNeedsData(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 7, Data: []byte("x")}))
	remove := func(id mls.ComponentID) mls.ProposalBody {
		return &mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateRemove}
	}
	m := proposalOf(t, w, "A", "alice/1", remove(8))
	refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrAppData)
	refusedByHub(t, w, m, mls.ErrAppData)
	refusedCommit(t, w, byValue(remove(8)), mls.ErrAppData)
	w.Propose("A", "alice/1", remove(7))
	w.Propose("A", "alice/1", &mls.AppDataUpdate{Component: 9, Operation: mls.AppDataUpdateUpdate})
	w.Commit("B", "bob/1", mls.CommitOptions{AllPending: true})
}

// TestComponentsAreNotRestricted: where components may be is the application's to
// say, be they registered for that place or not.
func TestComponentsAreNotRestricted(t *testing.T) {
	var all []mls.ComponentData
	for _, id := range []mls.ComponentID{0, mls.ComponentLastResortKeyPackage, mls.ComponentAppAck, 0x7fff, 0x8000, 0xffff} {
		all = append(all, mls.ComponentData{ID: id, Data: []byte("any")})
	}
	anywhere := withComponents(t, all...)
	w := threeWith(t, func(p *mls.LeafParams) { p.Extensions = mls.Extensions{anywhere} }, anywhere)
	lists := withComponents(t, mls.ComponentData{ID: mls.ComponentAppComponents, Data: []byte("no list")}, mls.ComponentData{ID: mls.ComponentContentMediaTypes})
	k, err := mls.NewKeyPackage(mlstest.Random("kp"), mls.KeyPackageParams{
		CipherSuite: mls.X25519, Leaf: w.LeafParams("dan/1"), NotBefore: uint64(mlstest.Now.Unix()), NotAfter: uint64(mlstest.Now.Unix()) + 3600,
		Extensions: mls.Extensions{lists},
	})
	if err != nil {
		t.Fatal(err)
	}
	info := withInfo(mls.GroupInfoOptions{RatchetTree: true, ExternalPub: true, Extensions: mls.Extensions{lists}})
	info.Proposals = []mls.ProposalBody{&mls.Add{KeyPackage: k.KeyPackage}, &mls.AppEphemeral{Component: mls.ComponentSafeAAD}}
	p, err := w.Node("A").Group.Commit(t.Context(), w.Leaf("alice/1"), info)
	if err != nil {
		t.Fatal(err)
	}
	w.Deliver(w.Node("A"), p)
	if _, _, err := mls.JoinWelcome(t.Context(), mlstest.Config("D", &mlstest.Policy{}), p.Welcome, k, nil); err != nil {
		t.Error(err)
	}
}

// TestSafeAADForm is the structure by hand, and what may stand behind it: the same
// in PublicMessages and PrivateMessages.
func TestSafeAADForm(t *testing.T) {
	w := three(t, withComponents(t, list(t, mls.ComponentSafeAAD)))
	group := w.Hub.View().Context().Extensions
	for name, c := range map[string]struct {
		aad  mls.AuthenticatedData
		wire string
	}{
		"empty":     {mls.AuthenticatedData{}, "\x00"},
		"only rest": {mls.AuthenticatedData{Rest: []byte("rest")}, "\x00rest"},
		"two items": {mls.AuthenticatedData{Safe: mls.SafeAAD{{ID: 0x2a2a}, {ID: 0x8d40, Data: []byte("one")}}, Rest: []byte("rest")}, "\x09\x2a\x2a\x00\x8d\x40\x03onerest"},
	} {
		m, err := w.Node("A").Group.Protect(w.Leaf("alice/1"), []byte("hi"), c.aad)
		if err != nil || string(m.AuthenticatedData) != c.wire {
			t.Fatalf("%s: %q, %v", name, m.AuthenticatedData, err)
		}
		r, err := w.Node("B").Group.Process(t.Context(), &mls.MLSMessage{PrivateMessage: m})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Application.AuthenticatedData
		if len(got.Safe) != len(c.aad.Safe) || string(got.Rest) != string(c.aad.Rest) {
			t.Errorf("%s: %v", name, got)
		}
		p := pending(t, w, "A", "alice/1", mls.CommitOptions{AAD: c.aad})
		if string(p.Message.Content.AuthenticatedData) != c.wire {
			t.Errorf("%s, in a commit: %q", name, p.Message.Content.AuthenticatedData)
		}
	}
	for name, wrong := range map[string]string{"nothing": "", "out of order": "\x06\x00\x02\x00\x00\x01\x00", "twice": "\x06\x00\x02\x00\x00\x02\x00", "too short": "\x03\x00\x01"} {
		if _, err := mls.ParseAuthenticatedData(group, []byte(wrong)); !errors.Is(err, mls.ErrSafeAAD) {
			t.Errorf("%s: %v", name, err)
		}
		m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{
			ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: &mls.Remove{Removed: 1}}, AuthenticatedData: []byte(wrong),
		})
		refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrSafeAAD)
		refusedByHub(t, w, m, mls.ErrSafeAAD)
	}
}

// TestAppDataUpdateMakesTheDictionary: without one it comes last among the
// extensions, its entries in order; an AppDataUpdate can do that beside a
// GroupContextExtensions, and after it, wherever it is in the commit.
func TestAppDataUpdateMakesTheDictionary(t *testing.T) {
	w := three(t)
	update := func(id mls.ComponentID) mls.ProposalBody {
		return &mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateUpdate, Update: []byte("x")}
	}
	required := requireCaps(t, mls.RequiredCapabilities{Proposals: []mls.ProposalType{mls.ProposalAppDataUpdate}})
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{update(9), update(7), &mls.GroupContextExtensions{Extensions: mls.Extensions{required}}, update(8)}})
	l := w.Hub.View().Context().Extensions
	if len(l) != 2 || l[0].Type != mls.ExtensionRequiredCapabilities || l[1].Type != mls.ExtensionAppDataDictionary || string(l[1].Data) != "\x0c\x00\x07\x01x\x00\x08\x01x\x00\x09\x01x" {
		t.Errorf("extensions %v", l)
	}
	// Now AppDataUpdate is required, other extensions can change as long as the
	// dictionary stays.
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{update(6), &mls.GroupContextExtensions{Extensions: mls.Extensions{l[1]}}}})
}

// TestExternalSendersOfComponents: an external sender may send AppDataUpdate and
// AppEphemeral, and they need no path when they are committed.
func TestExternalSendersOfComponents(t *testing.T) {
	sender := mlstest.Leaf(t, mls.X25519, "hub/1", mlstest.Random("sender"))
	e, err := mls.ExternalSendersExtension(mls.ExternalSender{SignatureKey: sender.SignatureKey.Public(), Credential: sender.Credential})
	if err != nil {
		t.Fatal(err)
	}
	w := three(t, e)
	for _, body := range []mls.ProposalBody{
		&mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateUpdate, Update: []byte("x")}, &mls.AppEphemeral{Component: 7},
	} {
		m := mls.Forge(t, w.Node("A").Group, 0, mls.FramedContent{Sender: mls.Sender{Type: mls.SenderExternal}, ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: body}})
		mls.Resign(t, w.Node("A").Group, sender.SignatureKey, m)
		w.AtHub(m, nil)
		w.Others(nil, &mls.MLSMessage{PublicMessage: m})
	}
	if r := w.Commit("A", "alice/1", mls.CommitOptions{AllPending: true, NoPath: true}); r.HasPath || len(r.Proposals) != 2 {
		t.Errorf("%d proposals, path %v", len(r.Proposals), r.HasPath)
	}
	p, _ := externalCommit(t, w, "dan/1", mls.ExternalOptions{Proposals: []mls.ProposalBody{
		&mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateUpdate, Update: []byte("y")}, &mls.AppEphemeral{Component: 7},
	}})
	if _, err := w.Hub.Stage(t.Context(), p.Message); err != nil {
		t.Errorf("in an external Commit: %v", err)
	}
}

// TestRequiredComponents: what the group requires, every new leaf lists.
func TestRequiredComponents(t *testing.T) {
	w := three(t)
	for _, id := range []mls.ComponentID{mls.ComponentAppComponents, mls.ComponentSafeAAD} {
		d := list(t, id, 0x8d40)
		p := &mls.AppDataUpdate{Component: id, Operation: mls.AppDataUpdateUpdate, Update: d.Data}
		if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{p}}); !errors.Is(err, mls.ErrComponents) {
			t.Errorf("list 0x%04x that no leaf has: %v", id, err)
		}
	}
	leaf := w.LeafParams("alice/1")
	leaf.Extensions = mls.Extensions{withComponents(t, list(t, mls.ComponentAppComponents, 0x8d40, 0x8d41), list(t, mls.ComponentSafeAAD, 0x8d40))}
	cfg := mlstest.Config("A", &mlstest.Policy{})
	if _, err := mls.Create(t.Context(), cfg, mls.CreateParams{
		CipherSuite: mls.X25519, GroupID: []byte("g"), Leaf: leaf,
		Extensions: mls.Extensions{withComponents(t, list(t, mls.ComponentAppComponents, 0x8d40), list(t, mls.ComponentSafeAAD, 0x8d40))},
	}); err != nil {
		t.Errorf("a leaf with all of them: %v", err)
	}
}

// TestExternalCommitWithAppDataUpdate: the extensions draft allows it, and the
// policy decides.
func TestExternalCommitWithAppDataUpdate(t *testing.T) {
	w := three(t)
	a := w.Node("A").Group
	p, leaf := externalCommit(t, w, "dan/1", mls.ExternalOptions{})
	c := p.Message.Content.Commit
	c.Proposals = append(c.Proposals, byValue(&mls.AppEphemeral{Component: 7}).Proposals...)
	mls.Resign(t, a, leaf.SignatureKey, p.Message)
	if _, err := w.Hub.Stage(t.Context(), p.Message); err != nil {
		t.Errorf("without a rule: %v", err)
	}
	w.Policy.Proposal = func(v *mls.ProposalView) error {
		if v.Commit != nil && v.Commit.External && v.Proposal.Type() == mls.ProposalAppEphemeral {
			return errors.New("not from a joiner")
		}
		return nil
	}
	refusedByHub(t, w, p.Message, mls.ErrPolicy)
}

// TestComponentOperations: labels differ by component, and a component's secret
// can be had once in an epoch.
func TestComponentOperations(t *testing.T) {
	one, err := mls.ComponentLabel(1, "label")
	if err != nil {
		t.Fatal(err)
	}
	two, err := mls.ComponentLabel(2, "label")
	if err != nil || one == two || one != "\x0dMLS Component\x00\x01\x05label" {
		t.Errorf("labels %q and %q, %v", one, two, err)
	}
	w := three(t)
	a, b := w.Node("A").Group, w.Node("B").Group
	x, err := a.ExportComponent(0x8d40)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.ExportComponent(0x8d40)
	if err != nil || !x.Equal(y) {
		t.Errorf("members export different secrets: %v", err)
	}
	w.Restart("A")
	if _, err := w.Node("A").Group.ExportComponent(0x8d40); !errors.Is(err, mls.ErrReplay) {
		t.Errorf("a second time, after a restart: %v", err)
	}
	if z, err := w.Node("A").Group.ExportComponent(0x8d41); err != nil || z.Equal(x) {
		t.Errorf("another component: %v", err)
	}
	w.Commit("A", "alice/1", mls.CommitOptions{})
	if z, err := w.Node("A").Group.ExportComponent(0x8d40); err != nil || z.Equal(x) {
		t.Errorf("the next epoch: %v", err)
	}
}

// TestContradictingProposalsDoNotBlockCommits: of pending proposals that are not
// valid together, a commit takes those that are.
func TestContradictingProposalsDoNotBlockCommits(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 7, Data: []byte("old")}))
	w.Propose("B", "bob/1", &mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateUpdate, Update: []byte("new")})
	w.Propose("B", "bob/1", &mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateRemove})
	w.Propose("B", "bob/1", &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("nobody has it")}})
	w.Propose("C", "carol/1", &mls.SelfRemove{})
	r := w.Commit("A", "alice/1", mls.CommitOptions{AllPending: true})
	if len(r.Proposals) != 2 || len(r.Removed) != 1 {
		t.Errorf("%d proposals committed, %d members removed", len(r.Proposals), len(r.Removed))
	}
	if data, _, _ := w.Hub.View().Context().Extensions.Component(7); string(data) != "new" {
		t.Errorf("component: %q", data)
	}
	w.Say("A", "alice/1", "nothing is pending any more")
}
