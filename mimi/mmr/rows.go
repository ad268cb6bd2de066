package mmr

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// What is stored of a room beside its group, under keys that no group has.
const (
	rowPrefix     = "mmr/"
	rowGeneration = rowPrefix + "generation"
	rowLink       = rowPrefix + "link/" // + leaf index
)

// generationRow is the newest generation of the wrapper key.
//
//	uint64 newest_generation;
type generationRow identity.Generation

// Wire implements [wire.Message].
func (g *generationRow) Wire(c *wire.Codec) { wire.Uint64(c, g) }

func linkKey(leaf mls.LeafIndex) string { return fmt.Sprintf("%s%08x", rowLink, uint32(leaf)) }

// rows encodes what a room has beside its group.
func (r *Room) rows() (map[string][]byte, error) {
	out := make(map[string][]byte, len(r.table.Entries)+1)
	g := generationRow(r.newest)
	var err error
	if out[rowGeneration], err = wire.Marshal(&g); err != nil {
		return nil, err
	}
	for i := range r.table.Entries {
		e := &r.table.Entries[i]
		if out[linkKey(e.Leaf)], err = wire.Marshal(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Rows returns what changes in the store when a room becomes next; before is nil
// for a new one. It is proportional to the change.
func Rows(before, next *Room) ([]mls.Row, error) {
	old := map[string][]byte{}
	if before != nil {
		var err error
		if old, err = before.rows(); err != nil {
			return nil, err
		}
	}
	now, err := next.rows()
	if err != nil {
		return nil, err
	}
	var out []mls.Row
	for key, value := range now {
		if !bytes.Equal(value, old[key]) {
			out = append(out, mls.Row{Key: key, Value: value})
		}
		delete(old, key)
	}
	for key := range old {
		out = append(out, mls.Row{Key: key})
	}
	return out, nil
}

// A Stored is what [Rows] wrote, together.
type Stored struct {
	newest  identity.Generation
	entries []identity.IdentityLinkEntry
}

// SplitRows takes the rows that [Rows] wrote out of all that are stored of a room,
// and returns the others.
func SplitRows(rows []mls.Row) (stored *Stored, others []mls.Row, err error) {
	stored = &Stored{}
	for _, row := range rows {
		switch {
		case row.Key == rowGeneration:
			err = wire.Unmarshal(row.Value, (*generationRow)(&stored.newest))
		case strings.HasPrefix(row.Key, rowLink):
			var e identity.IdentityLinkEntry
			err = wire.Unmarshal(row.Value, &e)
			stored.entries = append(stored.entries, e)
		default:
			others = append(others, row)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("mmr: stored row %s: %w", row.Key, err)
		}
	}
	return stored, others, nil
}

// Open is the function [Open] with what was stored.
func (s *Stored) Open(cs *suite.Suite, view mls.View) (*Room, error) {
	table := &identity.IdentityLinkTable{GroupID: view.Context().GroupID, Epoch: view.Epoch(), Entries: s.entries}
	return Open(cs, view, s.newest, table)
}
