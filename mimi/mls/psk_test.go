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
