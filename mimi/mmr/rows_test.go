package mmr_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr/mmrtest"
)

// crowd is a room of Alice, Bob and n others who never do anything.
func crowd(tb testing.TB, hub mmrtest.Hub, n int) *mmrtest.World {
	tb.Helper()
	w := mmrtest.New(tb, hub, mmrtest.GroupPolicy(), alice)
	bends := []mmrtest.Bend{}
	if n > 0 {
		bends = append(bends, mmrtest.Crowd(n, func(i int) string { return fmt.Sprintf("user%d@c.example", i) }))
	}
	w.Commit(alice, bends...)
	w.Commit(alice, mmrtest.Add(bob))
	return w
}

// TestStoredRowsFollowTheChange: what a Commit writes does not depend on the size of the
// room.
func TestStoredRowsFollowTheChange(t *testing.T) {
	for _, n := range []int{0, 50} {
		hub := mmrtest.NewPublicHub()
		w := crowd(t, hub, n)
		for _, step := range []struct {
			name string
			rows int
			do   func()
		}{
			{"nothing", 0, func() { w.Commit(bob) }},
			{"own entry", 1, func() { w.Commit(bob, mmrtest.OwnEntry) }},
			{"two Adds", 2, func() { w.Commit(bob, mmrtest.Add(carol, dave)) }},
			{"a removal and the generation", 2, func() { w.Commit(alice, mmrtest.Remove(carol)) }},
			{"an Add in the place of the removed", 1, func() { w.Commit(alice, mmrtest.Add("eve@e.example")) }},
			{"a resync: an entry, maybe two, and the generation", 2, func() { w.Accept(w.Resync(bob)) }},
		} {
			step.do()
			if hub.Written != step.rows {
				t.Errorf("%d others: %s: %d rows written, want %d", n, step.name, hub.Written, step.rows)
			}
			checkStored(t, hub)
		}
	}
}

func TestSplitRowsRefuses(t *testing.T) {
	hub := mmrtest.NewPublicHub()
	mmrtest.Trio(mmrtest.New(t, hub, mmrtest.GroupPolicy(), alice))
	generation := mls.Row{Key: "mmr/generation", Value: make([]byte, 8)}
	link := mls.Row{Key: "mmr/link/00000001", Value: hub.Rows["mmr/link/00000001"]}
	if _, _, err := mmr.SplitRows([]mls.Row{link, generation}); err != nil {
		t.Fatal(err)
	}
	for name, rows := range map[string][]mls.Row{
		"no generation":        {link},
		"truncated generation": {{Key: generation.Key, Value: make([]byte, 7)}},
		"link of another leaf": {generation, {Key: "mmr/link/00000002", Value: link.Value}},
		"truncated link":       {generation, {Key: link.Key, Value: link.Value[:9]}},
		"trailing octet":       {generation, {Key: link.Key, Value: append(bytes.Clone(link.Value), 0)}},
		"unknown row":          {generation, {Key: "mmr/else", Value: link.Value}},
	} {
		if _, _, err := mmr.SplitRows(rows); !errors.Is(err, mmr.ErrStored) {
			t.Errorf("%s: %v", name, err)
		}
	}
	stored, others, err := mmr.SplitRows([]mls.Row{generation, link, {Key: "else"}})
	if err != nil || len(others) != 1 || others[0].Key != "else" {
		t.Fatal(others, err)
	}
	if _, err := stored.Open(hub.Group.Suite(), hub.Group.View()); !errors.Is(err, identity.ErrTable) {
		t.Errorf("a table without some leaves is opened: %v", err)
	}
}

// FuzzStoredRow: a row has one encoding, and says itself which leaf it is of.
func FuzzStoredRow(f *testing.F) {
	hub := mmrtest.NewPublicHub()
	mmrtest.Trio(mmrtest.New(f, hub, mmrtest.GroupPolicy(), alice))
	for key, value := range hub.Rows {
		if _, _, err := mmr.SplitRows([]mls.Row{{Key: key, Value: value}, {Key: "mmr/generation", Value: make([]byte, 8)}}); err == nil && key[:4] == "mmr/" {
			f.Add(key, value)
			f.Add(key, value[:len(value)-1])
		}
	}
	f.Add("mmr/link/00000001", []byte{0, 0, 0, 1, 0})
	f.Add("mmr/link/1", []byte{0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		rows := []mls.Row{{Key: key, Value: value}}
		if key != "mmr/generation" {
			rows = append(rows, mls.Row{Key: "mmr/generation", Value: make([]byte, 8)})
		}
		stored, others, err := mmr.SplitRows(rows)
		if err != nil || len(others) > 0 {
			t.Skip("refused")
		}
		again, err := stored.Rows()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range again {
			if row.Key == key && !bytes.Equal(row.Value, value) {
				t.Errorf("%s: %x is written as %x", key, value, row.Value)
			}
		}
		if len(again) != len(rows) {
			t.Errorf("%d rows are written, %d were read", len(again), len(rows))
		}
	})
}

// TestStoredRowsOfEqualRooms: a room that was read and one that was carried over have the
// same rows, so that nothing is to be written between them but equal values.
func TestStoredRowsOfEqualRooms(t *testing.T) {
	hub := mmrtest.NewPublicHub()
	w := mmrtest.New(t, hub, mmrtest.GroupPolicy(), alice)
	mmrtest.Trio(w)
	rows, err := mmr.Rows(hub.Rules.Room(), hub.Rules.Room())
	if err != nil || len(rows) > 0 {
		t.Errorf("%d rows differ between a room and itself: %v", len(rows), err)
	}
	stored, _, err := mmr.SplitRows(hub.Stored())
	if err != nil {
		t.Fatal(err)
	}
	again, err := stored.Open(hub.Group.Suite(), hub.Group.View())
	if err != nil {
		t.Fatal(err)
	}
	rows, err = mmr.Rows(again, hub.Rules.Room())
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		if !bytes.Equal(row.Value, hub.Rows[row.Key]) {
			t.Errorf("row %s differs", row.Key)
		}
	}
}
