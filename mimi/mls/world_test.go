package mls_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestRoom is the life of a room, in every cipher suite.
func TestRoom(t *testing.T) {
	for _, id := range suite.IDs() {
		t.Run(id.String(), func(t *testing.T) {
			w := mlstest.New(t, id, "A", "alice/1")
			w.Add("A", "alice/1", mlstest.On("B", "bob/1"), mlstest.On("C", "carol/1"))
			w.Say("A", "alice/1", "hello")
			w.Say("B", "bob/1", "hello too")
			// B holds a second leaf, then a third one by an external Commit.
			w.Add("A", "alice/1", mlstest.On("B", "bea/1"))
			w.External(mlstest.On("B", "ben/1"), mls.ExternalOptions{})
			w.Say("B", "bea/1", "several of us")
			w.Say("C", "carol/1", "I see")
			w.Commit("B", "ben/1", mls.CommitOptions{})
			w.Restart("B")
			w.Commit("C", "carol/1", mls.CommitOptions{})
			w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("bob/1")}}})
			w.Say("A", "alice/1", "without bob")
			w.External(mlstest.On("D", "dan/1"), mls.ExternalOptions{})
			w.RestartHub()
			w.Propose("B", "bea/1", &mls.SelfRemove{})
			w.Commit("D", "dan/1", mls.CommitOptions{AllPending: true})
			w.ProposeUpdate("B", "ben/1")
			w.Restart("B")
			w.Commit("C", "carol/1", mls.CommitOptions{AllPending: true})
			w.Say("B", "ben/1", "updated")
			w.Commit("B", "ben/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.Remove{Removed: w.Leaf("alice/1")}}})
			if w.Node("A").Group.Active() {
				t.Error("A is still active")
			}
			w.Restart("A")
			if w.Node("A").Group.Active() {
				t.Error("A is active again after a restart")
			}
		})
	}
}
