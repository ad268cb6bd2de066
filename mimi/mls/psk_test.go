package mls_test

import (
	"context"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// pskOf answers every PSK id with the same secret.
func pskOf(secret string) func(context.Context, mls.PreSharedKeyID) (suite.Secret, error) {
	return func(context.Context, mls.PreSharedKeyID) (suite.Secret, error) {
		return suite.NewSecret([]byte(secret)), nil
	}
}

// TestPSKs: external ones by commit, Welcome and external Commit, resumption ones
// of past epochs.
func TestPSKs(t *testing.T) {
	w := three(t)
	external := func() mls.ProposalBody {
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: []byte("id")}}
	}
	if _, err := w.Node("A").Group.Commit(t.Context(), 0, mls.CommitOptions{Proposals: []mls.ProposalBody{external()}}); !errors.Is(err, mls.ErrNoPSK) {
		t.Errorf("a PSK that is not there: %v", err)
	}
	for _, n := range w.Active() {
		n.Config.PSK = pskOf("secret")
		w.Restart(n.Name)
	}
	w.Node("D").Config.PSK = pskOf("secret")
	w.Node("E").Config.PSK = pskOf("secret")
	w.AddWith("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{external(), external()}}, mlstest.On("D", "dan/1"))
	w.External(mlstest.On("E", "eve/1"), mls.ExternalOptions{PSKs: []mls.PreSharedKeyID{{Type: mls.PSKExternal, ID: []byte("id")}}})
	epoch := w.Hub.Epoch()
	w.Commit("A", "alice/1", mls.CommitOptions{})
	w.Restart("B")
	for _, n := range w.Active() {
		n.Config.PSK = nil
		w.Restart(n.Name)
	}
	w.Commit("B", "bob/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.PreSharedKey{PSK: mls.PreSharedKeyID{
		Type: mls.PSKResumption, Usage: mls.ResumptionApplication, GroupID: mlstest.GroupID, Epoch: epoch,
	}}}})
	w.Say("C", "carol/1", "same epoch")
}

// TestComponentPSKs follows draft-ietf-mls-extensions-09, section "Pre-Shared
// Keys": PSKs of components come in by commit, Welcome and external Commit, and
// the same name and secret is another PSK in each component.
func TestComponentPSKs(t *testing.T) {
	w := three(t)
	of := func(id mls.ComponentID) mls.PreSharedKeyID {
		return mls.PreSharedKeyID{Type: mls.PSKApplication, Component: id, ID: []byte("id")}
	}
	inject := func(id mls.ComponentID) mls.ProposalBody { return &mls.PreSharedKey{PSK: of(id)} }
	asked := map[mls.ComponentID]int{}
	answer := func(_ context.Context, id mls.PreSharedKeyID) (suite.Secret, error) {
		if id.Type != mls.PSKApplication || string(id.ID) != "id" {
			return suite.Secret{}, mls.ErrNoPSK
		}
		asked[id.Component]++
		return suite.NewSecret([]byte("a password")), nil
	}
	for _, name := range []string{"A", "B", "C", "D", "E"} {
		w.Node(name).Config.PSK = answer
		if w.Node(name).Group != nil {
			w.Restart(name)
		}
	}
	w.AddWith("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{inject(7), inject(8)}}, mlstest.On("D", "dan/1"))
	w.External(mlstest.On("E", "eve/1"), mls.ExternalOptions{PSKs: []mls.PreSharedKeyID{of(7)}})
	w.Propose("B", "bob/1", inject(8))
	if r := w.Commit("A", "alice/1", mls.CommitOptions{AllPending: true, NoPath: true}); r.HasPath || len(r.Proposals) != 1 {
		t.Errorf("a PSK needs no path: %v", r.Proposals)
	}
	if asked[7] == 0 || asked[8] == 0 {
		t.Errorf("asked for %v", asked)
	}
	w.Say("E", "eve/1", "everyone knows it")
	// Who has something else is not in the epoch.
	c := w.Node("C")
	c.Config.PSK = pskOf("another password")
	w.Restart("C")
	p, err := w.Node("A").Group.Commit(t.Context(), w.Leaf("alice/1"), mls.CommitOptions{Proposals: []mls.ProposalBody{inject(7)}})
	if err != nil {
		t.Fatal(err)
	}
	refused(t, w, "C", p.MLSMessage(), mls.ErrConfirmationTag)
	c.Config.PSK = nil
	w.Restart("C")
	refused(t, w, "C", p.MLSMessage(), mls.ErrNoPSK)
}

// TestComponentPSKForm is the structure by hand: type, component, id and nonce.
func TestComponentPSKForm(t *testing.T) {
	id := mls.PreSharedKeyID{Type: mls.PSKApplication, Component: 0x8d40, ID: []byte("id"), Nonce: []byte("nonce")}
	const want = "\x03\x8d\x40\x02id\x05nonce"
	if got, err := mls.Marshal(&id); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	var back mls.PreSharedKeyID
	if err := mls.Unmarshal([]byte(want), &back); err != nil || back.Component != 0x8d40 || string(back.ID) != "id" {
		t.Errorf("%+v, %v", back, err)
	}
}
