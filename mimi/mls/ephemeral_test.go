package mls_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// TestAppEphemeral follows draft-ietf-mls-extensions-09, section "Attaching
// Application Data to a Commit": in the order of the commit, without a path, and
// without a trace in the group but for the transcript.
func TestAppEphemeral(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 7, Data: []byte("old")}))
	before := w.Hub.View().Context().Extensions
	ephemeral := func(id mls.ComponentID, data string) mls.ProposalBody {
		return &mls.AppEphemeral{Component: id, Data: []byte(data)}
	}
	w.Propose("B", "bob/1", ephemeral(7, "of bob"))
	r := w.Commit("A", "alice/1", mls.CommitOptions{
		NoPath: true, AllPending: true, Proposals: []mls.ProposalBody{ephemeral(7, "one"), ephemeral(9, "other"), ephemeral(7, "two"), ephemeral(7, "one")},
	})
	if r.HasPath {
		t.Error("an AppEphemeral needs no path")
	}
	var got []string
	for sender, data := range r.Ephemeral(7) {
		got = append(got, fmt.Sprintf("%d %s", sender.Index, data))
	}
	if want := []string{"1 of bob", "0 one", "0 two", "0 one"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, data := range r.Ephemeral(7) {
		if string(data) != "of bob" {
			t.Errorf("first %q", data)
		}
		break
	}
	after, old := mls.GroupContextExtensions{Extensions: w.Hub.View().Context().Extensions}, mls.GroupContextExtensions{Extensions: before}
	x, err := mls.Marshal(&after)
	if err != nil {
		t.Fatal(err)
	}
	if y, err := mls.Marshal(&old); err != nil || !slices.Equal(x, y) {
		t.Errorf("the GroupContext has changed: %v", err)
	}
}

// TestAppEphemeralComesBeforeAppDataUpdate: whatever the order in the commit, data
// of the GroupContext changes last.
func TestAppEphemeralComesBeforeAppDataUpdate(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 7, Data: []byte("old")}))
	var order []string
	w.Policy.Proposal = func(v *mls.ProposalView) error {
		if e, ok := v.Proposal.Body.(*mls.AppEphemeral); ok {
			order = append(order, "ephemeral "+string(e.Data))
		}
		return nil
	}
	w.Policy.Component = func(_ mls.ComponentID, old []byte, updates [][]byte) ([]byte, error) {
		order = append(order, "update "+string(old))
		return updates[0], nil
	}
	w.Policy.Commit = func(v *mls.CommitView) error {
		for _, data := range v.Ephemeral(7) {
			was, _, _ := v.Before.Context().Extensions.Component(7)
			order = append(order, fmt.Sprintf("commit %s, data was %s", data, was))
		}
		return nil
	}
	w.Commit("A", "alice/1", mls.CommitOptions{NoPath: true, Proposals: []mls.ProposalBody{
		&mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateUpdate, Update: []byte("new")},
		&mls.AppEphemeral{Component: 7, Data: []byte("b")},
		&mls.AppEphemeral{Component: 7, Data: []byte("a")},
	}})
	want := []string{"ephemeral b", "ephemeral a", "update old", "commit b, data was old", "commit a, data was old"}
	if !slices.Equal(order, want) {
		t.Errorf("%q, want %q", order, want)
	}
}

// TestApplicationRefusesComponents: a component that the application does not know,
// or data that it does not accept, makes AppEphemeral and AppDataUpdate invalid,
// alone and in a commit.
func TestApplicationRefusesComponents(t *testing.T) {
	w := three(t, withComponents(t, mls.ComponentData{ID: 8}))
	known := func(v *mls.ProposalView) error {
		switch p := v.Proposal.Body.(type) {
		case *mls.AppEphemeral:
			if p.Component != 7 || len(p.Data) == 0 {
				return errors.New("no such component, or no data")
			}
		case *mls.AppDataUpdate:
			if p.Component != 7 {
				return errors.New("no such component")
			}
		}
		return nil
	}
	w.Policy.Proposal = known
	for _, n := range w.Active() {
		if n.Name != "A" {
			n.Policy.Proposal = known
		}
	}
	for name, body := range map[string]mls.ProposalBody{
		"AppEphemeral of an unknown component": &mls.AppEphemeral{Component: 8, Data: []byte("x")},
		"AppEphemeral with invalid data":       &mls.AppEphemeral{Component: 7},
		"update of an unknown component":       &mls.AppDataUpdate{Component: 8, Operation: mls.AppDataUpdateUpdate},
		"removal of an unknown component":      &mls.AppDataUpdate{Component: 8, Operation: mls.AppDataUpdateRemove},
	} {
		t.Run(name, func(t *testing.T) {
			refusedCommit(t, w, byValue(body), mls.ErrPolicy)
			m := proposalOf(t, w, "A", "alice/1", body)
			refused(t, w, "B", &mls.MLSMessage{PublicMessage: m}, mls.ErrPolicy)
			refusedByHub(t, w, m, mls.ErrPolicy)
		})
	}
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: []mls.ProposalBody{&mls.AppEphemeral{Component: 7, Data: []byte("x")}}})
}
