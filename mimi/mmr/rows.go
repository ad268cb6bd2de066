package mmr

import (
	"cmp"
	"fmt"
	"slices"
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

// Rows returns what changes in the store when a room becomes next; before is nil
// for a new one. It is proportional to the change. A plain room has no rows.
func Rows(before, next *Room) ([]mls.Row, error) {
	if next.plain {
		return nil, nil
	}
	var out []mls.Row
	if before == nil || before.newest != next.newest {
		g := generationRow(next.newest)
		value, err := wire.Marshal(&g)
		if err != nil {
			return nil, err
		}
		out = append(out, mls.Row{Key: rowGeneration, Value: value})
	}
	var old []identity.IdentityLinkEntry
	if before != nil {
		old = before.table.Entries
	}
	for i := range next.table.Entries {
		e := &next.table.Entries[i]
		// Both are ascending.
		for len(old) > 0 && old[0].Leaf < e.Leaf {
			out, old = append(out, mls.Row{Key: linkKey(old[0].Leaf)}), old[1:]
		}
		// A Commit keeps the keys of the entries that it leaves alone.
		same := len(old) > 0 && old[0] == *e
		if len(old) > 0 && old[0].Leaf == e.Leaf {
			old = old[1:]
		}
		if same {
			continue
		}
		value, err := wire.Marshal(e)
		if err != nil {
			return nil, err
		}
		out = append(out, mls.Row{Key: linkKey(e.Leaf), Value: value})
	}
	for _, e := range old {
		out = append(out, mls.Row{Key: linkKey(e.Leaf)})
	}
	return out, nil
}

// A Stored is what [Rows] wrote, together.
type Stored struct {
	// nothing says that there are no rows at all, as for a plain room.
	nothing bool
	newest  identity.Generation
	entries []identity.IdentityLinkEntry // ascending
}

// SplitRows takes the rows that [Rows] wrote out of all that are stored of a room,
// in any order, and returns the others. It fails with [ErrStored].
func SplitRows(rows []mls.Row) (stored *Stored, others []mls.Row, err error) {
	stored = &Stored{}
	found := false
	for _, row := range rows {
		switch {
		case !strings.HasPrefix(row.Key, rowPrefix):
			others = append(others, row)
			continue
		case row.Key == rowGeneration:
			found = true
			err = wire.Unmarshal(row.Value, (*generationRow)(&stored.newest))
		default:
			err = stored.link(row)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%w: row %s: %w", ErrStored, row.Key, err)
		}
	}
	if stored.nothing = !found; !found && len(stored.entries) > 0 {
		return nil, nil, fmt.Errorf("%w: no row %s", ErrStored, rowGeneration)
	}
	slices.SortFunc(stored.entries, func(a, b identity.IdentityLinkEntry) int { return cmp.Compare(a.Leaf, b.Leaf) })
	return stored, others, nil
}

// link reads a row of the identity link table.
func (s *Stored) link(row mls.Row) error {
	var e identity.IdentityLinkEntry
	if err := wire.Unmarshal(row.Value, &e); err != nil {
		return err
	}
	if row.Key != linkKey(e.Leaf) {
		return fmt.Errorf("it is of leaf %d, or of nothing that is known", e.Leaf)
	}
	s.entries = append(s.entries, e)
	return nil
}

// Open is the function [Open] with what was stored. The leaves are not checked
// again: that was done before they were stored.
func (s *Stored) Open(cs *suite.Suite, view mls.View) (*Room, error) {
	plain, err := IsPlain(view.Context())
	if err != nil {
		return nil, err
	}
	if plain != s.nothing {
		return nil, fmt.Errorf("%w: rows of identity links in a plain room, or none in another", ErrStored)
	}
	var table *identity.IdentityLinkTable
	if !plain {
		table = s.table(view.Context().GroupID, view.Epoch())
	}
	return open(cs, view, s.newest, table, func(leaf *mls.LeafNode) (*identity.PseudonymousCredentialTBS, error) {
		return ReadCredential(leaf.Credential)
	})
}

func (s *Stored) table(groupID []byte, epoch uint64) *identity.IdentityLinkTable {
	return &identity.IdentityLinkTable{GroupID: groupID, Epoch: epoch, Entries: s.entries}
}
