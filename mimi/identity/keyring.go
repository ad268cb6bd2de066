package identity

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MaxGenerations is how many wrapper keys of a room may be live at a time
// (docs/mmr-profile.md, section 3).
const MaxGenerations = 1024

// ErrKeys reports wrapper keys that are absent, out of order, or more than
// [MaxGenerations].
var ErrKeys = errors.New("identity: wrapper keys")

// wrapperKeys is WrapperKey keys<V>: at least one, ascending, bounded.
type wrapperKeys []WrapperKey

func (k *wrapperKeys) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]WrapperKey)(k), wire.Struct)
	if err := k.check(); err != nil {
		c.Fail(err)
	}
}

func (k *wrapperKeys) check() error {
	if len(*k) == 0 || len(*k) > MaxGenerations {
		return fmt.Errorf("%w: %d of them", ErrKeys, len(*k))
	}
	for i := 1; i < len(*k); i++ {
		if (*k)[i-1].Generation >= (*k)[i].Generation {
			return mimi.Refuse("wrapper-keys-order", fmt.Errorf("%w: not ascending", ErrKeys))
		}
	}
	return nil
}

// An Exporter is a group whose epoch secrets are at hand.
type Exporter interface {
	// Export is MLS-Exporter of the current epoch (RFC 9420, section 8.5).
	Export(label string, context []byte, length int) (suite.Secret, error)
}

// A KeyRing holds the wrapper keys of a room that a member knows
// (docs/mmr-profile.md, section 3). The zero value is not usable; a ring always
// has a newest key. Rings are values: every operation returns a new ring, so
// that a staged commit can be dropped.
type KeyRing struct{ keys wrapperKeys }

// NewKeyRing makes a ring of at least one key, ascending, as they come from a
// creator, a Welcome, a connection request or a join link. It fails with
// [ErrKeys].
func NewKeyRing(keys ...WrapperKey) (KeyRing, error) {
	r := KeyRing{slices.Clone(wrapperKeys(keys))}
	return r, r.keys.check()
}

// Wire codes the ring as WrapperKey keys<V>, for storing it sealed.
func (r *KeyRing) Wire(c *wire.Codec) { r.keys.Wire(c) }

// Format shows no key, whatever the verb.
func (r KeyRing) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[redacted: %d wrapper keys]", len(r.keys))
}

// Newest returns the key for new entries.
func (r KeyRing) Newest() WrapperKey { return r.keys[len(r.keys)-1] }

// Key returns the key of a generation.
func (r KeyRing) Key(g Generation) (WrapperKey, bool) {
	i, ok := slices.BinarySearchFunc(r.keys, g, func(k WrapperKey, g Generation) int { return cmp.Compare(k.Generation, g) })
	if !ok {
		return WrapperKey{}, false
	}
	return r.keys[i], true
}

// Add returns a ring that has key as its newest. It fails with [ErrGeneration]
// if a newer or equally new key is there.
func (r KeyRing) Add(key WrapperKey) (KeyRing, error) {
	if newest := r.Newest().Generation; key.Generation <= newest {
		return KeyRing{}, fmt.Errorf("%w: %d after %d", ErrGeneration, key.Generation, newest)
	}
	return NewKeyRing(append(slices.Clone(r.keys), key)...)
}

// Derive returns a ring with the key of the generation that a removal begins:
// epoch is the one that the Commit with the removal began, and group is at it.
// In [WrapperStatic] rooms the ring stays as it is. A full ring has to be without the
// keys that the removal has made useless: see [KeyRing.Needed].
func (r KeyRing) Derive(s *suite.Suite, mode WrapperMode, epoch uint64, group Exporter) (KeyRing, error) {
	if mode == WrapperStatic {
		return r, nil
	}
	key, err := group.Export(ExporterLabel, nil, s.Nh())
	if err != nil {
		return KeyRing{}, fmt.Errorf("derive the wrapper key of generation %d: %w", epoch, err)
	}
	return r.Add(WrapperKey{Generation(epoch), key})
}

// Live returns the ring without the keys that nothing needs any more: it keeps
// the newest, those that the table names, and the one that the encrypted room
// metadata names, if there is any. It fails with [ErrKeys] if one of these is
// missing.
func (r KeyRing) Live(table *IdentityLinkTable, metadata *EncryptedRoomMetadata) (KeyRing, error) {
	var keys []WrapperKey
	for _, g := range LiveGenerations(table, r.Newest().Generation, metadata) {
		k, ok := r.Key(g)
		if !ok {
			return KeyRing{}, fmt.Errorf("%w: generation %d is live and unknown", ErrKeys, g)
		}
		keys = append(keys, k)
	}
	return NewKeyRing(keys...)
}

// Needed returns the ring without the keys that neither the table nor the encrypted
// metadata name, but with the newest. Unlike [KeyRing.Live] it misses nothing.
func (r KeyRing) Needed(table *IdentityLinkTable, metadata *EncryptedRoomMetadata) KeyRing {
	live := LiveGenerations(table, r.Newest().Generation, metadata)
	return KeyRing{slices.DeleteFunc(slices.Clone(r.keys), func(k WrapperKey) bool {
		_, needed := slices.BinarySearch(live, k.Generation)
		return !needed
	})}
}

// Keys returns the keys, ascending.
func (r KeyRing) Keys() []WrapperKey { return slices.Clone(r.keys) }

// Open unwraps the link key of a leaf's credential with the key of the right
// generation. It fails with [ErrGeneration] or [ErrUnwrap].
func (r KeyRing) Open(s *suite.Suite, groupID []byte, tbs *PseudonymousCredentialTBS, e *EncryptedIdentityLinkKey) (LinkKey, error) {
	k, ok := r.Key(e.Generation)
	if !ok {
		return LinkKey{}, fmt.Errorf("%w: %d is unknown", ErrGeneration, e.Generation)
	}
	return k.Unwrap(s, groupID, tbs, e)
}

// LiveGenerations returns those that are live in a room, ascending: the newest, every
// one that the table names, and that of the encrypted metadata, if there is any.
func LiveGenerations(table *IdentityLinkTable, newest Generation, metadata *EncryptedRoomMetadata) []Generation {
	out := append(table.Generations(), newest)
	if metadata != nil {
		out = append(out, metadata.Generation)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// MustRenew returns the leaves that have to renew their own entries before the
// room rotates again, ascending: the owners of the oldest entries, once limit
// generations are live; it is [MaxGenerations] at most. Otherwise it is empty.
func MustRenew(table *IdentityLinkTable, newest Generation, metadata *EncryptedRoomMetadata, limit int) []mls.LeafIndex {
	generations := table.Generations()
	if len(generations) == 0 || len(LiveGenerations(table, newest, metadata)) < limit {
		return nil
	}
	var out []mls.LeafIndex
	for _, e := range table.Entries {
		if e.Key != nil && e.Key.Generation == generations[0] && generations[0] != newest {
			out = append(out, e.Leaf)
		}
	}
	return out
}
