package mlsbench

import (
	"context"
	"runtime"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// memoryTarget is how much one joined group of profileSize members may take.
const memoryTarget = 4 << 20

// copies is how many groups are held at once to find out what one takes.
const copies = 8

// memory measures the heap that one group takes: joined by a Welcome, and loaded
// from rows. Each is made from octets of its own, of which it may keep parts.
func (b *bench) memory(ctx context.Context, l *mlstest.Large) error {
	i, err := l.Invite(ctx, false)
	if err != nil {
		return err
	}
	joined, err := held(func() (*mls.Group, error) {
		own := *i
		own.Welcome, own.Tree = slices.Clone(i.Welcome), slices.Clone(i.Tree)
		g, err := own.Join(ctx)
		if err == nil {
			g.Dirty() // as after storing it
		}
		return g, err
	})
	if err != nil {
		return err
	}
	m := l.Members[0]
	if err := l.CatchUp(ctx, m); err != nil {
		return err
	}
	rows := m.Rows()
	loaded, err := held(func() (*mls.Group, error) {
		own := slices.Clone(rows)
		for i := range own {
			own[i].Value = slices.Clone(own[i].Value)
		}
		return mls.LoadGroup(m.Config, own)
	})
	if err != nil {
		return err
	}
	for _, r := range []result{{Op: "heap of a joined group", Heap: joined}, {Op: "heap of a loaded group", Heap: loaded}} {
		r.Suite, r.Size, r.Tree, r.Profile, r.Own = uint16(l.Suite), l.Size, l.Shape, l.Profile, 1
		b.results = append(b.results, r)
		b.writeHeap(&r)
	}
	return nil
}

// held returns how much heap each of several groups takes.
func held(make func() (*mls.Group, error)) (int, error) {
	var groups [copies]*mls.Group
	before := heap()
	for i := range groups {
		var err error
		if groups[i], err = make(); err != nil {
			return 0, err
		}
	}
	after := heap()
	runtime.KeepAlive(&groups)
	return max(0, int(after)-int(before)) / copies, nil
}

// heap is what is reachable.
func heap() uint64 {
	var m runtime.MemStats
	// What has a finalizer takes a second collection.
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
