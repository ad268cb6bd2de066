package secrettree

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

type generationVector struct {
	Generation       uint32
	HandshakeKey     vectors.Hex `json:"handshake_key"`
	HandshakeNonce   vectors.Hex `json:"handshake_nonce"`
	ApplicationKey   vectors.Hex `json:"application_key"`
	ApplicationNonce vectors.Hex `json:"application_nonce"`
}

type secretTreeVector struct {
	CipherSuite uint16 `json:"cipher_suite"`
	SenderData  struct {
		SenderDataSecret vectors.Hex `json:"sender_data_secret"`
		Ciphertext       vectors.Hex
		Key, Nonce       vectors.Hex
	} `json:"sender_data"`
	EncryptionSecret vectors.Hex `json:"encryption_secret"`
	Leaves           [][]generationVector
}

var testLimits = Limits{Skipped: 1000, Forward: 2000}

func TestVectorsSecretTree(t *testing.T) {
	vectors.Run(t, "secret-tree", func(t *testing.T, c secretTreeVector) {
		s, err := suite.Lookup(suite.ID(c.CipherSuite))
		if err != nil {
			t.Fatal(err)
		}
		sample := c.SenderData.Ciphertext[:min(s.Nh(), len(c.SenderData.Ciphertext))]
		secret := suite.NewSecret(c.SenderData.SenderDataSecret)
		if !bytes.Equal(s.ExpandWithLabel(secret, "key", sample, s.Nk()).Bytes(), c.SenderData.Key) ||
			!bytes.Equal(s.ExpandWithLabel(secret, "nonce", sample, s.Nn()).Bytes(), c.SenderData.Nonce) {
			t.Error("sender data key or nonce is wrong")
		}
		tree := New(s, suite.NewSecret(c.EncryptionSecret), treemath.Leaves(uint32(len(c.Leaves))), testLimits)
		for i, generations := range c.Leaves {
			for _, g := range generations {
				for kind, want := range map[Kind][2][]byte{Handshake: {g.HandshakeKey, g.HandshakeNonce}, Application: {g.ApplicationKey, g.ApplicationNonce}} {
					k, err := tree.Get(uint32(i), kind, g.Generation)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(k.Key.Bytes(), want[0]) || !bytes.Equal(k.Nonce.Bytes(), want[1]) {
						t.Errorf("leaf %d, kind %d, generation %d: wrong key or nonce", i, kind, g.Generation)
					}
					k.Consume()
				}
			}
		}
	})
}

func grow(t *testing.T, leaves uint32) *Tree {
	t.Helper()
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		t.Fatal(err)
	}
	return New(s, suite.NewSecret(bytes.Repeat([]byte{7}, 32)), leaves, testLimits)
}

func get(t *testing.T, tree *Tree, leaf, generation uint32) []byte {
	t.Helper()
	k, err := tree.Get(leaf, Application, generation)
	if err != nil {
		t.Fatalf("leaf %d, generation %d: %v", leaf, generation, err)
	}
	key := bytes.Clone(k.Key.Bytes())
	k.Consume()
	return key
}

// stored is a simulated disk.
type stored map[string][]byte

func (d stored) flush(tree *Tree) (written int) {
	tree.Flush(func(key string, value suite.Secret) {
		if value.IsZero() {
			delete(d, key)
			return
		}
		d[key] = bytes.Clone(value.Bytes())
		written += len(key) + value.Len()
	})
	return written
}

func (d stored) load(t *testing.T, like *Tree) *Tree {
	t.Helper()
	tree := Empty(like.suite, like.leaves, like.limits)
	for k, v := range d {
		if err := tree.Load(k, suite.NewSecret(v)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Check(); err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestEachKeyIsUsedOnce is RFC 9420, section 9.1, in and out of order, with a
// restart after every message.
func TestEachKeyIsUsedOnce(t *testing.T) {
	tree, disk := grow(t, 8), stored{}
	disk.flush(tree)
	for _, generation := range []uint32{3, 0, 2, 5, 1, 4, 6} {
		get(t, tree, 5, generation)
		disk.flush(tree)
		tree = disk.load(t, tree)
		if _, err := tree.Get(5, Application, generation); !errors.Is(err, ErrConsumed) {
			t.Errorf("generation %d a second time: %v", generation, err)
		}
	}
}

// TestUnconsumedKeyChangesNothing makes sure that a forged message costs no key.
func TestUnconsumedKeyChangesNothing(t *testing.T) {
	tree, disk := grow(t, 8), stored{}
	disk.flush(tree)
	before := maps.Clone(disk)
	for _, generation := range []uint32{0, 9, 2000} {
		if _, err := tree.Get(3, Application, generation); err != nil {
			t.Fatal(err)
		}
	}
	if written := disk.flush(tree); written != 0 || !maps.EqualFunc(before, disk, bytes.Equal) {
		t.Errorf("%d octets written for keys that were not consumed", written)
	}
}

// TestConsumedSecretsAreGone is RFC 9420, section 9.2, on disk: nothing stored
// leads back to a used key.
func TestConsumedSecretsAreGone(t *testing.T) {
	tree, disk := grow(t, 8), stored{}
	disk.flush(tree)
	first := maps.Clone(disk)
	key := get(t, tree, 5, 0)
	disk.flush(tree)
	for _, x := range []treemath.Node{treemath.Root(8), 11, 10, 9} {
		if _, ok := disk[nodeRow(x).String()]; ok {
			t.Errorf("node %d is still stored", x)
		}
	}
	for k, v := range disk {
		if bytes.Contains(v, key) {
			t.Errorf("row %s has the used key", k)
		}
		if bytes.Equal(v, first[k]) {
			t.Errorf("row %s survived", k)
		}
	}
}

// TestConsumedSecretsAreErased: the octets of a ratchet's secret and of a key are
// overwritten.
func TestConsumedSecretsAreErased(t *testing.T) {
	tree := grow(t, 2)
	get(t, tree, 0, 0)
	ratchet := tree.ratchets[ratchetID{0, Application}].secret.Bytes()
	key, err := tree.Get(0, Application, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{ratchet, key.Key.Bytes(), key.Nonce.Bytes()} {
		if len(b) == 0 || bytes.Equal(b, make([]byte, len(b))) {
			t.Fatal("no secret to look at")
		}
		defer func() {
			if !bytes.Equal(b, make([]byte, len(b))) {
				t.Errorf("%d octets are not overwritten", len(b))
			}
		}()
	}
	key.Consume()
}

// TestSection15_3WindowIsBounded: 1000 skipped keys, 2000 forward.
func TestSection15_3WindowIsBounded(t *testing.T) {
	tree := grow(t, 2)
	if _, err := tree.Get(0, Application, 2001); !errors.Is(err, ErrTooFar) {
		t.Errorf("2001 forward: %v", err)
	}
	if _, err := tree.Get(0, Application, ^uint32(0)); !errors.Is(err, ErrTooFar) {
		t.Errorf("the last generation: %v", err)
	}
	get(t, tree, 0, 2000)
	if n := len(tree.ratchets[ratchetID{0, Application}].skipped); n != 1000 {
		t.Errorf("%d skipped keys, want 1000", n)
	}
	if _, err := tree.Get(0, Application, 999); !errors.Is(err, ErrConsumed) {
		t.Errorf("1001 back: %v", err)
	}
	get(t, tree, 0, 1000)
	get(t, tree, 0, 2500)
	if n := len(tree.ratchets[ratchetID{0, Application}].skipped); n != 1000 {
		t.Errorf("%d skipped keys after more gaps, want 1000", n)
	}
}

// TestBytesPerMessageDoNotDependOnSize compares a small with a large tree.
func TestBytesPerMessageDoNotDependOnSize(t *testing.T) {
	var sizes []int
	for _, leaves := range []uint32{2, 1024} {
		tree, disk := grow(t, leaves), stored{}
		get(t, tree, 1, 0)
		disk.flush(tree)
		get(t, tree, 1, 1)
		sizes = append(sizes, disk.flush(tree))
	}
	if sizes[0] != sizes[1] || sizes[0] > 100 {
		t.Errorf("octets per message: %v", sizes)
	}
}

func TestNextAndGetAgree(t *testing.T) {
	a, b := grow(t, 4), grow(t, 4)
	for generation := range uint32(5) {
		k, err := a.Next(2, Handshake)
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.Get(2, Handshake, generation)
		if err != nil {
			t.Fatal(err)
		}
		if k.Generation != generation || !k.Key.Equal(other.Key) || !k.Nonce.Equal(other.Nonce) {
			t.Errorf("generation %d differs", generation)
		}
		k.Consume()
		other.Consume()
	}
	if _, err := a.Next(4, Handshake); !errors.Is(err, ErrNoLeaf) {
		t.Errorf("leaf 4 of 4: %v", err)
	}
}

func TestTakeGivesEachLeafOnce(t *testing.T) {
	tree := grow(t, 1<<16)
	seen := map[string]bool{}
	for _, leaf := range []uint32{0, 1, 2, 0x8d40, 0xffff} {
		s, err := tree.Take(leaf)
		if err != nil {
			t.Fatal(err)
		}
		seen[string(s.Bytes())] = true
		if _, err := tree.Take(leaf); !errors.Is(err, ErrConsumed) {
			t.Errorf("leaf %#x again: %v", leaf, err)
		}
	}
	if len(seen) != 5 {
		t.Error("secrets repeat")
	}
	if _, err := tree.Take(1 << 16); !errors.Is(err, ErrNoLeaf) {
		t.Errorf("beyond the tree: %v", err)
	}
}

func TestLoadRefusesForeignRows(t *testing.T) {
	like := grow(t, 4)
	for _, key := range []string{"", "n/", "n/00000007", "n/0000000G", "n/00000000 ", "r/00000004/0", "r/00000000/2", "k/00000000/0", "z/1"} {
		tree := Empty(like.suite, 4, testLimits)
		for _, size := range []int{0, 28, 32, 36} {
			if err := tree.Load(key, suite.NewSecret(make([]byte, size))); !errors.Is(err, ErrRow) {
				t.Errorf("row %q of %d octets: %v", key, size, err)
			}
		}
	}
	tree := Empty(like.suite, 4, testLimits)
	if err := tree.Load("k/00000000/1/00000003", suite.NewSecret(make([]byte, 28))); err != nil {
		t.Fatal(err)
	}
	if err := tree.Check(); !errors.Is(err, ErrRow) {
		t.Errorf("a skipped key without its ratchet: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("n/00000003", bytes.Repeat([]byte{1}, 32))
	f.Add("r/00000001/1", bytes.Repeat([]byte{1}, 36))
	f.Add("k/00000001/1/00000007", bytes.Repeat([]byte{1}, 28))
	f.Add("n/00000003", bytes.Repeat([]byte{1}, 31)) // refused
	f.Add("n/0000000G", bytes.Repeat([]byte{1}, 32)) // refused
	s, err := suite.Lookup(suite.X25519AES128)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		tree := Empty(s, 4, testLimits)
		if err := tree.Load(key, suite.NewSecret(value)); err != nil {
			if !errors.Is(err, ErrRow) {
				t.Fatalf("an error without identity: %v", err)
			}
			t.Skip(err)
		}
		var keys []string
		tree.Keys(func(k string) { keys = append(keys, k) })
		if !slices.Contains(keys, key) {
			t.Errorf("row %q was loaded as %q", key, keys)
		}
	})
}
