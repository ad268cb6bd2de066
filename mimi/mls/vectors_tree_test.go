package mls

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest/vectors"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func vectorSuite(t *testing.T, id uint16) *suite.Suite {
	t.Helper()
	s, err := suite.Lookup(suite.ID(id))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func vectorTree(t *testing.T, s *suite.Suite, b []byte) *tree {
	t.Helper()
	var nodes RatchetTree
	if err := wire.Unmarshal(b, &nodes); err != nil {
		t.Fatal(err)
	}
	tr, err := treeOf(s, nodes, 1<<16)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

type treeOperations struct {
	CipherSuite    uint16      `json:"cipher_suite"`
	TreeBefore     vectors.Hex `json:"tree_before"`
	Proposal       vectors.Hex `json:"proposal"`
	ProposalSender uint32      `json:"proposal_sender"`
	TreeHashBefore vectors.Hex `json:"tree_hash_before"`
	TreeAfter      vectors.Hex `json:"tree_after"`
	TreeHashAfter  vectors.Hex `json:"tree_hash_after"`
}

func TestVectorsTreeOperations(t *testing.T) {
	vectors.Run(t, "tree-operations", func(t *testing.T, c treeOperations) {
		s := vectorSuite(t, c.CipherSuite)
		tr := vectorTree(t, s, c.TreeBefore)
		if h, err := tr.rootHash(); err != nil || !bytes.Equal(h, c.TreeHashBefore) {
			t.Errorf("tree hash before: %x, %v", h, err)
		}
		var p Proposal
		if err := wire.Unmarshal(c.Proposal, &p); err != nil {
			t.Fatal(err)
		}
		tr = tr.clone()
		switch body := p.Body.(type) {
		case *Add:
			tr.add(&body.KeyPackage.LeafNode)
		case *Update:
			tr.update(LeafIndex(c.ProposalSender), &body.LeafNode)
		case *Remove:
			tr.remove(body.Removed)
			tr.truncate()
		default:
			t.Fatalf("unexpected %v", p.Type())
		}
		after := tr.ratchetTree()
		if b, err := wire.Marshal(&after); err != nil || !bytes.Equal(b, c.TreeAfter) {
			t.Errorf("tree after is wrong: %v", err)
		}
		if h, err := tr.rootHash(); err != nil || !bytes.Equal(h, c.TreeHashAfter) {
			t.Errorf("tree hash after: %x, %v", h, err)
		}
	})
}

type treeValidation struct {
	CipherSuite uint16 `json:"cipher_suite"`
	Tree        vectors.Hex
	GroupID     vectors.Hex `json:"group_id"`
	Resolutions [][]treemath.Node
	TreeHashes  []vectors.Hex `json:"tree_hashes"`
}

func TestVectorsTreeValidation(t *testing.T) {
	vectors.Run(t, "tree-validation", func(t *testing.T, c treeValidation) {
		s := vectorSuite(t, c.CipherSuite)
		tr := vectorTree(t, s, c.Tree)
		if err := tr.verifyForm(); err != nil {
			t.Fatal(err)
		}
		if len(c.Resolutions) != tr.nodes.Len() || len(c.TreeHashes) != tr.nodes.Len() {
			t.Fatalf("%d nodes, %d resolutions, %d hashes", tr.nodes.Len(), len(c.Resolutions), len(c.TreeHashes))
		}
		for i := range tr.nodes.Len() {
			if got := tr.resolution(treemath.Node(i)); !slices.Equal(got, c.Resolutions[i]) {
				t.Errorf("resolution of %d: %v, want %v", i, got, c.Resolutions[i])
			}
			if h, err := tr.treeHash(treemath.Node(i)); err != nil || !bytes.Equal(h, c.TreeHashes[i]) {
				t.Errorf("tree hash of %d is wrong: %v", i, err)
			}
		}
		if err := tr.verifyParentHashes(); err != nil {
			t.Error(err)
		}
		tr.members(func(i LeafIndex, l *LeafNode) bool {
			if err := l.VerifySignature(s, c.GroupID, i); err != nil {
				t.Errorf("leaf %d: %v", i, err)
			}
			return true
		})
		// Every parent hash matters: with another one the tree is refused.
		for i := range tr.nodes.Len() {
			parent := tr.parent(treemath.Node(i))
			if parent == nil {
				continue
			}
			broken := tr.clone()
			p := *parent
			p.ParentHash = append(bytes.Clone(p.ParentHash), 1)
			if err := broken.setNode(treemath.Node(i), &Node{Parent: &p}); err != nil {
				t.Fatal(err)
			}
			if broken.verifyParentHashes() == nil {
				t.Errorf("parent hash of node %d is not verified", i)
			}
		}
	})
}

type treeKEM struct {
	CipherSuite             uint16      `json:"cipher_suite"`
	GroupID                 vectors.Hex `json:"group_id"`
	Epoch                   uint64
	ConfirmedTranscriptHash vectors.Hex `json:"confirmed_transcript_hash"`
	RatchetTree             vectors.Hex `json:"ratchet_tree"`
	LeavesPrivate           []struct {
		Index          LeafIndex
		EncryptionPriv vectors.Hex `json:"encryption_priv"`
		SignaturePriv  vectors.Hex `json:"signature_priv"`
		PathSecrets    []struct {
			Node       treemath.Node
			PathSecret vectors.Hex `json:"path_secret"`
		} `json:"path_secrets"`
	} `json:"leaves_private"`
	UpdatePaths []struct {
		Sender        LeafIndex
		UpdatePath    vectors.Hex   `json:"update_path"`
		PathSecrets   []vectors.Hex `json:"path_secrets"`
		CommitSecret  vectors.Hex   `json:"commit_secret"`
		TreeHashAfter vectors.Hex   `json:"tree_hash_after"`
	} `json:"update_paths"`
}

type privateLeaf struct {
	signature suite.SignatureKey
	keys      map[treemath.Node]suite.HPKEPrivateKey
}

func (p *privateLeaf) find(x treemath.Node) (suite.HPKEPrivateKey, error) { return p.keys[x], nil }

func (c *treeKEM) private(t *testing.T, s *suite.Suite, tr *tree) map[LeafIndex]*privateLeaf {
	t.Helper()
	leaves := map[LeafIndex]*privateLeaf{}
	for _, l := range c.LeavesPrivate {
		key, err := s.ImportHPKEKey(suite.NewSecret(l.EncryptionPriv))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := s.ImportSignatureKey(suite.NewSecret(l.SignaturePriv))
		if err != nil {
			t.Fatal(err)
		}
		p := &privateLeaf{sig, map[treemath.Node]suite.HPKEPrivateKey{treemath.Leaf(uint32(l.Index)): key}}
		for _, ps := range l.PathSecrets {
			path, err := derivePath(s, suite.NewSecret(ps.PathSecret), []treemath.Node{ps.Node})
			if err != nil {
				t.Fatal(err)
			}
			p.keys[ps.Node] = path.keys[0].key
		}
		for x, k := range p.keys {
			if tr.at(x) == nil || !bytes.Equal(k.Public(), tr.encryptionKey(x)) {
				t.Errorf("leaf %d: key of node %d does not fit", l.Index, x)
			}
		}
		leaves[l.Index] = p
	}
	return leaves
}

func (c *treeKEM) context(t *testing.T, tr *tree) []byte {
	t.Helper()
	hash, err := tr.rootHash()
	if err != nil {
		t.Fatal(err)
	}
	b, err := wire.Marshal(&GroupContext{
		CipherSuite: CipherSuite(c.CipherSuite), GroupID: c.GroupID, Epoch: c.Epoch,
		TreeHash: hash, ConfirmedTranscriptHash: c.ConfirmedTranscriptHash,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// merged merges an UpdatePath as the receivers do.
func merged(t *testing.T, before *tree, sender LeafIndex, update *UpdatePath) (*tree, []pathStep) {
	t.Helper()
	tr := before.clone()
	steps := tr.filteredPath(sender, nil)
	if err := checkPathForm(steps, update); err != nil {
		t.Fatal(err)
	}
	keys := make([][]byte, len(update.Nodes))
	for k := range keys {
		keys[k] = update.Nodes[k].EncryptionKey
	}
	parentHash, err := tr.mergePath(sender, steps, keys)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(parentHash, update.LeafNode.ParentHash) {
		t.Errorf("sender %d: parent hash does not match", sender)
	}
	tr.setLeaf(sender, &update.LeafNode)
	return tr, steps
}

func TestVectorsTreeKEM(t *testing.T) {
	vectors.Run(t, "treekem", func(t *testing.T, c treeKEM) {
		s := vectorSuite(t, c.CipherSuite)
		before := vectorTree(t, s, c.RatchetTree)
		leaves := c.private(t, s, before)
		for _, u := range c.UpdatePaths {
			var update UpdatePath
			if err := wire.Unmarshal(u.UpdatePath, &update); err != nil {
				t.Fatal(err)
			}
			tr, steps := merged(t, before, u.Sender, &update)
			if h, err := tr.rootHash(); err != nil || !bytes.Equal(h, u.TreeHashAfter) {
				t.Errorf("sender %d: tree hash after is wrong: %v", u.Sender, err)
			}
			for i, p := range leaves {
				if i == u.Sender {
					continue
				}
				got, err := tr.openPath(steps, &update, p.find, c.context(t, tr))
				if err != nil {
					t.Fatalf("sender %d, receiver %d: %v", u.Sender, i, err)
				}
				if !bytes.Equal(got.secrets[0].Bytes(), u.PathSecrets[i]) || !bytes.Equal(got.commit.Bytes(), u.CommitSecret) {
					t.Errorf("sender %d, receiver %d: wrong secrets", u.Sender, i)
				}
			}
			c.ownPath(t, before, u.Sender, leaves)
		}
	})
}

// ownPath makes a path of our own, which everyone has to open.
func (c *treeKEM) ownPath(t *testing.T, before *tree, sender LeafIndex, leaves map[LeafIndex]*privateLeaf) {
	t.Helper()
	tr := before.clone()
	np, err := tr.startPath(rand.Reader, sender, nil, tr.leaf(sender).clone(), leaves[sender].signature, c.GroupID)
	if err != nil {
		t.Fatal(err)
	}
	np.provisional = c.context(t, tr)
	if err := np.encrypt(tr); err != nil {
		t.Fatal(err)
	}
	if err := np.update.LeafNode.VerifySignature(before.suite, c.GroupID, sender); err != nil {
		t.Error(err)
	}
	after, steps := merged(t, before, sender, &np.update)
	for i, p := range leaves {
		if i == sender {
			continue
		}
		got, err := after.openPath(steps, &np.update, p.find, c.context(t, after))
		if err != nil {
			t.Fatalf("own path of %d, receiver %d: %v", sender, i, err)
		}
		if !got.commit.Equal(np.path.commit) {
			t.Errorf("own path of %d, receiver %d: wrong commit secret", sender, i)
		}
	}
}
