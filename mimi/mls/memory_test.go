package mls_test

import (
	"runtime"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// heapOfLargeGroup is the most that a group of 1000 members may take.
const heapOfLargeGroup = raceFactor * 4 << 20

// TestHeapOfALargeGroup: a group of 1000 members, with leaves as large as those of
// the profile, that was loaded, has processed a commit, and has shown all members
// to somebody.
func TestHeapOfALargeGroup(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a group of 1000 members")
	}
	l, err := mlstest.NewLarge(t.Context(), mlstest.LargeParams{Suite: mls.X25519, Size: 1000, Shape: mlstest.Fresh, Profile: true})
	if err != nil {
		t.Fatal(err)
	}
	rows := l.Members[0].Rows()
	commit, err := l.Advance(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var groups [4]*mls.Group
	before := heap()
	for i := range groups {
		own := slices.Clone(rows)
		for k := range own {
			own[k].Value = slices.Clone(own[k].Value)
		}
		g, err := mls.LoadGroup(l.Members[0].Config, own)
		if err != nil {
			t.Fatal(err)
		}
		var m mls.MLSMessage
		if err := mls.Unmarshal(commit, &m); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Process(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		g.Dirty()
		if n := g.View().Len(); n != 1000 {
			t.Fatalf("%d members", n)
		}
		groups[i] = g
	}
	each := (heap() - before) / uint64(len(groups))
	runtime.KeepAlive(&groups)
	runtime.KeepAlive(l)
	runtime.KeepAlive(rows)
	t.Logf("%.2f MiB", float64(each)/(1<<20))
	if each > heapOfLargeGroup {
		t.Errorf("%d octets of heap for a group of 1000 members, at most %d are allowed", each, heapOfLargeGroup)
	}
}
