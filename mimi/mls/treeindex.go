package mls

import (
	"bytes"
	"hash/maphash"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/pages"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
)

// A treeIndex answers questions about all nodes of a tree at once: where a key
// is, and what all members support. So a commit costs what it changes, and not
// what the group has. It is kept up by [tree.set].
type treeIndex struct {
	encryption keyIndex // of all nodes
	signature  keyIndex // of leaves
	members    int
	// counts has the number of members with a credential of some type, or with some
	// type in their capabilities. It is shared with other trees until it changes.
	counts map[typeKey]int
	shared bool
}

// A typeKey is a type, and where it stands.
type typeKey struct {
	place uint8
	kind  uint16
}

// The places of types that are counted.
const (
	inUse             uint8 = iota // type of the leaf's own credential
	listedProposals                // in Capabilities
	listedCredentials              // in Capabilities
)

func newTreeIndex(leaves uint32) *treeIndex {
	return &treeIndex{encryption: newKeyIndex(leaves), signature: newKeyIndex(leaves), counts: map[typeKey]int{}}
}

func (x *treeIndex) clone() *treeIndex {
	return &treeIndex{x.encryption.clone(), x.signature.clone(), x.members, x.counts, true}
}

// replace notes that one node takes the place of another; both may be blank.
func (x *treeIndex) replace(at treemath.Node, old, n *treeNode) {
	if old != nil {
		x.encryption.drop(old.encryptionKey(), at)
	}
	if n != nil {
		x.encryption.add(n.encryptionKey(), at)
	}
	if at.IsLeaf() {
		x.replaceLeaf(at, old, n)
	}
}

func (x *treeIndex) replaceLeaf(at treemath.Node, old, n *treeNode) {
	var was, is *leafHead
	if old != nil {
		was = old.head()
		x.signature.drop(was.signatureKey, at)
	}
	if n != nil {
		is = n.head()
		x.signature.add(is.signatureKey, at)
	}
	// The new leaf of a member mostly lists what the old one did.
	if was != nil && is != nil && was.credential.Type == is.credential.Type &&
		bytes.Equal(was.proposals, is.proposals) && bytes.Equal(was.credentials, is.credentials) {
		return
	}
	if x.shared {
		x.counts, x.shared = maps.Clone(x.counts), false
	}
	x.count(was, -1)
	x.count(is, 1)
}

// count adds the types of a leaf, or takes them away.
func (x *treeIndex) count(h *leafHead, by int) {
	if h == nil {
		return
	}
	x.members += by
	add := func(place uint8) func(uint16) {
		return func(kind uint16) {
			k := typeKey{place, kind}
			if x.counts[k] += by; x.counts[k] == 0 {
				delete(x.counts, k)
			}
		}
	}
	add(inUse)(uint16(h.credential.Type))
	h.proposals.each(add(listedProposals))
	h.credentials.each(add(listedCredentials))
}

// byAll reports whether all members have a type at this place.
func (x *treeIndex) byAll(place uint8, kind uint16) bool {
	return x.counts[typeKey{place, kind}] == x.members
}

// credentialTypes returns the types of the members' credentials, ascending.
func (x *treeIndex) credentialTypes() []CredentialType {
	var types []CredentialType
	for k := range x.counts {
		if k.place == inUse {
			types = append(types, CredentialType(k.kind))
		}
	}
	slices.Sort(types)
	return types
}

// A keyIndex finds the nodes that may have a key: a hash table that shares what
// did not change with the one it was cloned from. It holds no keys, since the
// tree has them.
type keyIndex struct {
	seed    maphash.Seed // random, so that nobody can choose keys that collide
	buckets pages.Array[[]keyEntry]
}

type keyEntry struct {
	tag  uint32 // more octets of the hash
	node treemath.Node
}

func newKeyIndex(leaves uint32) keyIndex {
	x := keyIndex{seed: maphash.MakeSeed()}
	x.buckets.Resize(int(max(leaves, 1)))
	return x
}

func (x *keyIndex) clone() keyIndex { return keyIndex{x.seed, x.buckets.Clone()} }

func (x *keyIndex) place(key []byte) (bucket int, tag uint32) {
	h := maphash.Bytes(x.seed, key)
	return int(uint32(h) % uint32(x.buckets.Len())), uint32(h >> 32)
}

func (x *keyIndex) add(key []byte, at treemath.Node) {
	b, tag := x.place(key)
	old := x.buckets.At(b)
	x.buckets.Set(b, append(old[:len(old):len(old)], keyEntry{tag, at}))
}

func (x *keyIndex) drop(key []byte, at treemath.Node) {
	b, tag := x.place(key)
	x.buckets.Set(b, slices.DeleteFunc(slices.Clone(x.buckets.At(b)), func(e keyEntry) bool { return e == keyEntry{tag, at} }))
}

// find returns a node for which ok says that it is one that is looked for.
func (x *keyIndex) find(key []byte, ok func(treemath.Node) bool) (treemath.Node, bool) {
	b, tag := x.place(key)
	for _, e := range x.buckets.At(b) {
		if e.tag == tag && ok(e.node) {
			return e.node, true
		}
	}
	return 0, false
}

// withEncryptionKey finds a node with this HPKE key. The index has to be there.
func (t *tree) withEncryptionKey(key []byte, but treemath.Node) (treemath.Node, bool) {
	return t.index.encryption.find(key, func(x treemath.Node) bool {
		return x != but && bytes.Equal(t.at(x).encryptionKey(), key)
	})
}

// twin finds another leaf with a key of leaf i, and says which: its signature
// key, or else its HPKE key.
func (t *tree) twin(i LeafIndex) (other LeafIndex, kind string, found bool) {
	at := treemath.Leaf(uint32(i))
	key := t.at(at).signatureKey()
	x, found := t.index.signature.find(key, func(x treemath.Node) bool {
		return x != at && bytes.Equal(t.at(x).signatureKey(), key)
	})
	if found {
		return LeafIndex(x.LeafIndex()), "signature", true
	}
	key = t.at(at).encryptionKey()
	x, found = t.index.encryption.find(key, func(x treemath.Node) bool {
		return x != at && x.IsLeaf() && bytes.Equal(t.at(x).encryptionKey(), key)
	})
	return LeafIndex(x.LeafIndex()), "encryption", found
}
