package mls_test

import (
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// large is a group of some size with two nodes; all other members are leaves
// without a node.
func large(b *testing.B, size int) *mlstest.World {
	b.Helper()
	w := mlstest.New(b, mls.X25519, "A", "alice/1")
	w.Add("A", "alice/1", mlstest.On("B", "bob/1"))
	var more []mls.ProposalBody
	for i := range size - 2 {
		client := fmt.Sprintf("user%d/1", i)
		kp := mlstest.KeyPackage(b, mls.X25519, w.LeafParams(client), mlstest.Random(client))
		more = append(more, &mls.Add{KeyPackage: kp.KeyPackage})
	}
	w.Commit("A", "alice/1", mls.CommitOptions{Proposals: more})
	return w
}

var sizes = []int{10, 1000}

func BenchmarkCommit(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := large(b, size)
			g := w.Node("A").Group
			for b.Loop() {
				if _, err := g.Commit(b.Context(), 0, mls.CommitOptions{}); err != nil {
					b.Fatal(err)
				}
				g.Discard()
			}
		})
	}
}

func BenchmarkHubStage(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := large(b, size)
			p, err := w.Node("A").Group.Commit(b.Context(), 0, mls.CommitOptions{NoPath: true, Proposals: []mls.ProposalBody{
				&mls.AppDataUpdate{Component: 7, Operation: mls.AppDataUpdateUpdate, Update: []byte("x")},
			}})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := w.Hub.Stage(b.Context(), p.Message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProcessCommit(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := large(b, size)
			w.Commit("B", "bob/1", mls.CommitOptions{})
			n := w.Node("B")
			n.Disk.Write(n.Group.Dirty())
			p, err := w.Node("A").Group.Commit(b.Context(), 0, mls.CommitOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				g, err := mls.LoadGroup(n.Config, n.Disk.Rows())
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if _, err := g.Process(b.Context(), p.MLSMessage()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, size := range sizes {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			w := large(b, size)
			for b.Loop() {
				m := w.Protect("A", "alice/1", "text")
				if _, err := w.Node("B").Group.Process(b.Context(), &mls.MLSMessage{PrivateMessage: m}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
