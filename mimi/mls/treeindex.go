package mls

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/pages"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
)

// A treeIndex answers questions about all nodes of a tree at once: where a key
// is, and which credential types are in use. So a commit costs what it changes,
// and not what the group has. It is kept up by [tree.set].
type treeIndex struct {
	encryption keyIndex // of all nodes
	signature  keyIndex // of leaves
	// credentials counts the members with each credential type, in no order. There
	// are few types.
	credentials []credentialCount
}

type credentialCount struct {
	kind CredentialType
	n    int
}

func newTreeIndex(leaves uint32) *treeIndex {
	return &treeIndex{encryption: newKeyIndex(leaves), signature: newKeyIndex(leaves)}
}

func (x *treeIndex) clone() *treeIndex {
	return &treeIndex{x.encryption.clone(), x.signature.clone(), slices.Clone(x.credentials)}
}

// replace notes that one node takes the place of another; both may be blank.
func (x *treeIndex) replace(at treemath.Node, old, n *treeNode) {
	if old != nil {
		x.encryption.drop(old.encryptionKey(), at)
		if old.isLeaf() {
			key, credential := old.leafFacts()
			x.signature.drop(key, at)
			x.count(credential, -1)
		}
	}
	if n != nil {
		x.encryption.add(n.encryptionKey(), at)
		if n.isLeaf() {
			key, credential := n.leafFacts()
			x.signature.add(key, at)
			x.count(credential, 1)
		}
	}
}

func (x *treeIndex) count(kind CredentialType, by int) {
	i := slices.IndexFunc(x.credentials, func(c credentialCount) bool { return c.kind == kind })
	if i < 0 {
		i = len(x.credentials)
		x.credentials = append(x.credentials, credentialCount{kind: kind})
	}
	if x.credentials[i].n += by; x.credentials[i].n == 0 {
		x.credentials = slices.Delete(x.credentials, i, i+1)
	}
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
func (t *tree) twin(i LeafIndex) (other LeafIndex, signature, found bool) {
	at := treemath.Leaf(uint32(i))
	key, _ := t.at(at).leafFacts()
	x, found := t.index.signature.find(key, func(x treemath.Node) bool {
		k, _ := t.at(x).leafFacts()
		return x != at && bytes.Equal(k, key)
	})
	if found {
		return LeafIndex(x.LeafIndex()), true, true
	}
	key = t.at(at).encryptionKey()
	x, found = t.index.encryption.find(key, func(x treemath.Node) bool {
		return x != at && x.IsLeaf() && bytes.Equal(t.at(x).encryptionKey(), key)
	})
	return LeafIndex(x.LeafIndex()), false, found
}
