package mls

import (
	"bytes"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A nodeKey is a private key of a node of the tree.
type nodeKey struct {
	node treemath.Node
	key  suite.HPKEPrivateKey
}

// A path is the secret side of an UpdatePath, or the upper part of one.
type path struct {
	keys    []nodeKey
	secrets []suite.Secret // path secret of each key, in the same order
	commit  suite.Secret   // commit_secret
}

// derivePath derives the keys of these nodes from the path secret of the first
// one (RFC 9420, section 7.4). Without nodes the secret itself is the commit
// secret.
func derivePath(s *suite.Suite, first suite.Secret, nodes []treemath.Node) (*path, error) {
	p := &path{keys: make([]nodeKey, len(nodes)), secrets: make([]suite.Secret, len(nodes))}
	p.commit = first.Clone()
	for k := range nodes {
		p.secrets[k] = p.commit
		p.commit = s.DeriveSecret(p.commit, "path")
	}
	err := inParallel(len(nodes), func(k int) error {
		node := s.DeriveSecret(p.secrets[k], "node")
		defer node.Erase()
		key, err := s.DeriveHPKEKey(node)
		if err != nil {
			return err
		}
		key.Public() // computed once, and here
		p.keys[k] = nodeKey{nodes[k], key}
		return nil
	})
	if err != nil {
		p.erase()
		return nil, err
	}
	return p, nil
}

// erase overwrites the secrets of the path; its keys stay.
//
// RFC 9420, sections 7.5: 6; 9.2: 3
func (p *path) erase() {
	for i := range p.secrets {
		p.secrets[i].Erase()
	}
	p.commit.Erase()
}

func stepNodes(steps []pathStep) []treemath.Node {
	nodes := make([]treemath.Node, len(steps))
	for i, s := range steps {
		nodes[i] = s.node
	}
	return nodes
}

// mergePath puts new keys on the filtered direct path of leaf i, and returns the
// parent hash of the leaf itself (RFC 9420, section 7.5). The leaf is left as it
// is.
func (t *tree) mergePath(i LeafIndex, steps []pathStep, keys [][]byte) ([]byte, error) {
	onPath := 0
	for _, x := range treemath.DirectPath(uint32(i), t.leaves()) {
		if onPath < len(steps) && steps[onPath].node == x {
			onPath++
		} else if t.at(x) != nil {
			t.set(x, nil)
		}
	}
	var above []byte
	for k := len(steps) - 1; k >= 0; k-- {
		p := &ParentNode{EncryptionKey: keys[k], ParentHash: above}
		if err := t.setNode(steps[k].node, &Node{Parent: p}); err != nil {
			return nil, err
		}
		var err error
		if above, err = t.parentHash(p, steps[k].copath); err != nil {
			return nil, err
		}
	}
	return above, nil
}

// A newPath is an UpdatePath that is being made.
type newPath struct {
	path        *path
	leafKey     suite.HPKEPrivateKey
	steps       []pathStep
	update      UpdatePath
	provisional []byte // encoded provisional GroupContext
}

// startPath makes fresh keys for leaf i and its filtered direct path, merges
// them into t and signs the new leaf. Path secrets are encrypted by
// [newPath.encrypt], once the GroupContext is known.
func (t *tree) startPath(random io.Reader, i LeafIndex, added map[LeafIndex]bool, leaf *LeafNode, key suite.SignatureKey, groupID []byte) (*newPath, error) {
	seed := make([]byte, t.suite.Nh())
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("randomness for a path secret: %w", err)
	}
	first := suite.NewSecret(seed)
	clear(seed)
	defer first.Erase()
	n := &newPath{steps: t.filteredPath(i, added)}
	var err error
	if n.path, err = derivePath(t.suite, first, stepNodes(n.steps)); err != nil {
		return nil, err
	}
	if n.leafKey, err = t.suite.GenerateHPKEKey(random); err != nil {
		return nil, err
	}
	keys := make([][]byte, len(n.path.keys))
	for k, nk := range n.path.keys {
		keys[k] = nk.key.Public()
	}
	leaf.Source = LeafNodeSourceCommit
	leaf.NotBefore, leaf.NotAfter = 0, 0
	leaf.EncryptionKey = n.leafKey.Public()
	if leaf.ParentHash, err = t.mergePath(i, n.steps, keys); err != nil {
		return nil, err
	}
	if err := leaf.sign(t.suite, key, groupID, i); err != nil {
		return nil, err
	}
	if err := t.setLeaf(i, leaf); err != nil {
		return nil, err
	}
	n.update.LeafNode = *leaf
	n.update.Nodes = make([]UpdatePathNode, len(keys))
	for k := range keys {
		n.update.Nodes[k].EncryptionKey = keys[k]
	}
	return n, nil
}

// encrypt encrypts the path secrets to everyone but the added leaves, under the
// provisional GroupContext (RFC 9420, section 7.6).
func (n *newPath) encrypt(t *tree) error {
	type job struct {
		step int
		to   treemath.Node
		out  *HPKECiphertext
	}
	var jobs []job
	for k, step := range n.steps {
		out := make([]HPKECiphertext, len(step.recipients))
		n.update.Nodes[k].EncryptedPathSecret = out
		for j, x := range step.recipients {
			jobs = append(jobs, job{k, x, &out[j]})
		}
	}
	return inParallel(len(jobs), func(i int) (err error) {
		j := jobs[i]
		*j.out, err = t.suite.EncryptWithLabel(t.encryptionKey(j.to), "UpdatePathNode", n.provisional, n.path.secrets[j.step].Bytes())
		if err != nil {
			return fmt.Errorf("path secret for node %d: %w", j.to, err)
		}
		return nil
	})
}

// checkPathForm checks that an UpdatePath has the right number of nodes and
// ciphertexts (RFC 9420, section 7.6).
func checkPathForm(steps []pathStep, update *UpdatePath) error {
	if len(steps) != len(update.Nodes) {
		return fmt.Errorf("%w: %d nodes, want %d", ErrPathForm, len(update.Nodes), len(steps))
	}
	for k, step := range steps {
		// RFC 9420, section 7.6: 2
		if got, want := len(update.Nodes[k].EncryptedPathSecret), len(step.recipients); got != want {
			return fmt.Errorf("%w: %d ciphertexts for node %d, want %d", ErrPathForm, got, step.node, want)
		}
	}
	return nil
}

// openPath decrypts an UpdatePath with the private keys at hand: the lowest
// secret that one of them opens, since everything above follows from it. It
// fails with [ErrPathSecret].
func (t *tree) openPath(steps []pathStep, update *UpdatePath, key func(treemath.Node) (suite.HPKEPrivateKey, error), groupContext []byte) (*path, error) {
	tried := 0
	for k, step := range steps {
		for j, x := range step.recipients {
			private, err := key(x)
			if err != nil {
				return nil, err
			}
			if private.IsZero() {
				continue
			}
			tried++
			b, err := t.suite.DecryptWithLabel(private, "UpdatePathNode", groupContext, update.Nodes[k].EncryptedPathSecret[j])
			if err != nil {
				continue
			}
			first := suite.NewSecret(b)
			clear(b)
			p, err := t.followPath(first, steps[k:], update.Nodes[k:])
			first.Erase()
			if err != nil {
				return nil, err
			}
			return p, nil
		}
	}
	return nil, fmt.Errorf("%w: none of %d ciphertexts opens", ErrPathSecret, tried)
}

// followPath derives the keys from a path secret on, and compares them with the
// public ones (RFC 9420, section 7.5).
func (t *tree) followPath(first suite.Secret, steps []pathStep, nodes []UpdatePathNode) (*path, error) {
	// unmutated: a secret of another length leads to other keys
	if first.Len() != t.suite.Nh() {
		return nil, fmt.Errorf("%w: a path secret of %d octets", ErrPathSecret, first.Len())
	}
	p, err := derivePath(t.suite, first, stepNodes(steps))
	if err != nil {
		return nil, err
	}
	for k, nk := range p.keys {
		// RFC 9420, sections 7.5: 4; 12.4.3.1: 16
		if !bytes.Equal(nk.key.Public(), nodes[k].EncryptionKey) {
			p.erase()
			return nil, fmt.Errorf("%w: node %d has another public key", ErrPathSecret, nk.node)
		}
	}
	return p, nil
}
