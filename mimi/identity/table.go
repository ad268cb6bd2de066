package identity

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrTable reports an identity link table that does not fit its group: a missing,
// surplus or misplaced entry, another group or epoch, another hash.
var ErrTable = errors.New("identity: identity link table does not fit the group")

// An AddAAD brings the wrapped link keys of the leaves that a Commit adds, in
// the order of its Adds, and then perhaps that of the committer's own leaf
// (docs/mmr-profile.md, section 3). A nil element is an absent optional.
//
//	struct {
//	    optional<EncryptedIdentityLinkKey> encrypted_identity_link_keys<V>;
//	} AddAAD;
type AddAAD struct {
	Keys []*EncryptedIdentityLinkKey
}

// Wire codes the structure.
func (a *AddAAD) Wire(c *wire.Codec) {
	wire.Vector(c, &a.Keys, wireOptionalKey)
}

func wireOptionalKey(c *wire.Codec, k **EncryptedIdentityLinkKey) {
	wire.Optional(c, k, wire.Struct)
}

// SafeAADItem returns a as an item of the SafeAAD of a Commit.
func (a *AddAAD) SafeAADItem() (mls.SafeAADItem, error) { return component(ComponentIdentityLink, a) }

// AddAADFrom returns the AddAAD in the SafeAAD of a Commit, or nil if there is
// none.
func AddAADFrom(aad mls.SafeAAD) (*AddAAD, error) {
	data, ok := aad.Get(ComponentIdentityLink)
	if !ok {
		return nil, nil
	}
	var a AddAAD
	if err := wire.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("component identity_link: %w", err)
	}
	return &a, nil
}

// An IdentityLinkEntry is the wrapped link key of one leaf; Key is nil where the
// policy lets it be absent.
//
//	struct {
//	    uint32 leaf_index;
//	    optional<EncryptedIdentityLinkKey> key;
//	} IdentityLinkEntry;
type IdentityLinkEntry struct {
	Leaf mls.LeafIndex
	Key  *EncryptedIdentityLinkKey
}

// Wire codes the structure.
func (e *IdentityLinkEntry) Wire(c *wire.Codec) {
	wire.Uint32(c, &e.Leaf)
	wireOptionalKey(c, &e.Key)
}

// An IdentityLinkTable holds the wrapped link keys of a group in one epoch: one
// entry per non-blank leaf, ascending (docs/mmr-profile.md, section 3). The hub
// keeps it, and so do the members. Its methods never change it.
//
//	struct {
//	    opaque group_id<V>;
//	    uint64 epoch;
//	    IdentityLinkEntry entries<V>;
//	} IdentityLinkTable;
type IdentityLinkTable struct {
	GroupID []byte
	Epoch   uint64
	Entries []IdentityLinkEntry
}

// Wire codes the structure and refuses entries out of order with [ErrTable].
func (t *IdentityLinkTable) Wire(c *wire.Codec) {
	wire.Opaque(c, &t.GroupID)
	wire.Uint64(c, &t.Epoch)
	wire.Vector(c, &t.Entries, wire.Struct)
	for i := 1; i < len(t.Entries); i++ {
		if t.Entries[i-1].Leaf >= t.Entries[i].Leaf {
			c.Fail(mimi.Refuse("table-order", fmt.Errorf("%w: entries are not ascending", ErrTable)))
			return
		}
	}
}

// Hash returns table_hash.
func (t *IdentityLinkTable) Hash(s *suite.Suite) ([]byte, error) {
	b, err := wire.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode an identity link table: %w", err)
	}
	return s.RefHash("MIMI 1.0 IdentityLinkTable", b), nil
}

func (t *IdentityLinkTable) find(leaf mls.LeafIndex) (int, bool) {
	return slices.BinarySearchFunc(t.Entries, leaf, func(e IdentityLinkEntry, l mls.LeafIndex) int { return cmp.Compare(e.Leaf, l) })
}

// Key returns the wrapped key of a leaf, which may be nil; ok is false if the
// table has no such leaf.
func (t *IdentityLinkTable) Key(leaf mls.LeafIndex) (key *EncryptedIdentityLinkKey, ok bool) {
	i, ok := t.find(leaf)
	if !ok {
		return nil, false
	}
	return t.Entries[i].Key, true
}

// A TableChange is what one Commit does to a table.
type TableChange struct {
	// Epoch that the Commit begins.
	Epoch uint64
	// Removed leaves.
	Removed []mls.LeafIndex
	// Added leaves at their indices in the new tree: those of the Adds, and the
	// committer's of an external Commit.
	Added []IdentityLinkEntry
	// Renewed is the own entry of a committer that was a member before, or nil.
	Renewed *IdentityLinkEntry
}

// Apply returns the table after a Commit: removed leaves are deleted first, since
// an added one may take the place of a removed one. It fails with [ErrTable]
// and, like every method, leaves t as it is.
func (t *IdentityLinkTable) Apply(ch TableChange) (*IdentityLinkTable, error) {
	if ch.Epoch != t.Epoch+1 {
		return nil, fmt.Errorf("%w: epoch %d after %d", ErrTable, ch.Epoch, t.Epoch)
	}
	out := &IdentityLinkTable{bytes.Clone(t.GroupID), ch.Epoch, slices.Clone(t.Entries)}
	for _, leaf := range ch.Removed {
		i, ok := out.find(leaf)
		if !ok {
			return nil, fmt.Errorf("%w: leaf %d is removed and not there", ErrTable, leaf)
		}
		out.Entries = slices.Delete(out.Entries, i, i+1)
	}
	for _, e := range ch.Added {
		i, taken := out.find(e.Leaf)
		if taken {
			return nil, fmt.Errorf("%w: leaf %d is added and already there", ErrTable, e.Leaf)
		}
		out.Entries = slices.Insert(out.Entries, i, e)
	}
	if e := ch.Renewed; e != nil {
		i, ok := out.find(e.Leaf)
		if !ok {
			return nil, fmt.Errorf("%w: leaf %d is renewed and not there", ErrTable, e.Leaf)
		}
		out.Entries[i] = *e
	}
	return out, nil
}

// CheckLeaves fails with [ErrTable] unless the table is of this group and epoch
// and has exactly one entry for each of the leaves, which are ascending.
func (t *IdentityLinkTable) CheckLeaves(groupID []byte, epoch uint64, leaves []mls.LeafIndex) error {
	if !bytes.Equal(t.GroupID, groupID) {
		return mimi.Refuse("table-group", fmt.Errorf("%w: it is of another group", ErrTable))
	}
	if t.Epoch != epoch {
		return mimi.Refuse("table-epoch", fmt.Errorf("%w: it is of epoch %d, not %d", ErrTable, t.Epoch, epoch))
	}
	if !slices.EqualFunc(t.Entries, leaves, func(e IdentityLinkEntry, l mls.LeafIndex) bool { return e.Leaf == l }) {
		return mimi.Refuse("table-leaves", fmt.Errorf("%w: %d entries for %d leaves, or other ones", ErrTable, len(t.Entries), len(leaves)))
	}
	return nil
}

// Generations returns those that the table names, ascending.
func (t *IdentityLinkTable) Generations() []Generation {
	var out []Generation
	for _, e := range t.Entries {
		if e.Key != nil {
			out = append(out, e.Key.Generation)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
