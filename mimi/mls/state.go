package mls

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"sync"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A state is everything public about one epoch. It is immutable, so that views of
// it need no copy.
type state struct {
	suite           *suite.Suite
	context         GroupContext
	encoded         []byte // the encoded context
	tree            *tree  // all hashes are cached, unless it was loaded: see whole
	interim         []byte // interim transcript hash
	confirmationTag []byte
	required        RequiredCapabilities
	needs           negotiation // what leaves have to offer, beside required
	framing         framing     // of the data of messages

	mu        sync.Mutex // guards completed
	completed *tree      // of a state that was loaded, once somebody has asked
}

// newState makes a state: it hashes the tree, and sets the tree hash of the
// context.
func newState(s *suite.Suite, c GroupContext, t *tree) (*state, error) {
	var err error
	if c.TreeHash, err = t.rootHash(); err != nil {
		return nil, err
	}
	return storedState(s, c, t)
}

// storedState makes a state whose tree is not hashed.
func storedState(s *suite.Suite, c GroupContext, t *tree) (*state, error) {
	st := &state{suite: s, context: c, tree: t}
	var err error
	if st.required, err = c.Extensions.RequiredCapabilities(); err != nil {
		return nil, err
	}
	// What later readers ask for is decoded here once, so that they cannot fail.
	if st.needs, err = c.Extensions.negotiation(); err != nil {
		return nil, err
	}
	if st.framing, err = c.Extensions.framing(); err != nil {
		return nil, err
	}
	if _, err := c.Extensions.ExternalSenders(); err != nil {
		return nil, err
	}
	st.encoded, err = wire.Marshal(&st.context)
	return st, err
}

// whole returns the tree with what one that was loaded lacks: the tree hashes, which
// have to lead to that of the GroupContext, and the index. It is asked for before a
// commit is staged or made, and fails with [ErrState]. The tree of the state itself
// stays as it is, since others may be looking at it.
func (st *state) whole() (*tree, error) {
	if st.tree.index != nil {
		return st.tree, nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.completed != nil {
		return st.completed, nil
	}
	t := &tree{suite: st.suite, nodes: st.tree.nodes.Clone(), changed: map[treemath.Node]struct{}{}}
	hash, err := t.rootHash()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(hash, st.context.TreeHash) {
		return nil, fmt.Errorf("%w: %w", ErrState, ErrTreeHash)
	}
	t.buildIndex()
	st.completed = t
	return t, nil
}

// confirm ends the transcript of the epoch with the confirmation tag.
func (st *state) confirm(tag []byte) error {
	interim, err := schedule.InterimTranscriptHash(st.suite, st.context.ConfirmedTranscriptHash, tag)
	if err != nil {
		return err
	}
	st.interim, st.confirmationTag = interim, bytes.Clone(tag)
	return nil
}

// checkGroupInfo checks a GroupInfo against a state that is complete (RFC 9420,
// section 12.4.3): the hub demands one with every commit.
func (st *state) checkGroupInfo(gi *GroupInfo) error {
	signer := st.tree.leaf(gi.Signer)
	// RFC 9420, section 12.4.3.1: 6
	if signer == nil {
		return fmt.Errorf("%w: signer %d: %w", ErrGroupInfo, gi.Signer, ErrNotMember)
	}
	// RFC 9420, sections 12.4.3: 4; 12.4.3.1: 5, 6
	if err := gi.VerifySignature(st.suite, signer.SignatureKey); err != nil {
		return fmt.Errorf("%w: %w: %w", ErrGroupInfo, ErrSignature, err)
	}
	encoded, err := wire.Marshal(&gi.GroupContext)
	// unmutated: what was decoded encodes
	if err != nil {
		return fmt.Errorf("%w: %w", ErrGroupInfo, err)
	}
	if !bytes.Equal(encoded, st.encoded) {
		return fmt.Errorf("%w: its GroupContext is not that of the epoch", ErrGroupInfo)
	}
	if !bytes.Equal(gi.ConfirmationTag, st.confirmationTag) {
		return fmt.Errorf("%w: its confirmation tag is not that of the commit", ErrGroupInfo)
	}
	if pub, err := gi.Extensions.ExternalPub(); err != nil {
		return fmt.Errorf("%w: %w", ErrGroupInfo, err)
	} else if pub != nil {
		if err := st.suite.CheckHPKEKey(pub); err != nil {
			return fmt.Errorf("%w: external_pub: %w", ErrGroupInfo, err)
		}
	}
	return nil
}

// stateFromGroupInfo builds the state that a GroupInfo describes, and verifies
// all that RFC 9420, section 12.4.3.1, lists about the GroupInfo and its tree. A
// tree that is passed in has precedence over the ratchet_tree extension.
func stateFromGroupInfo(ctx context.Context, cfg *Config, gi *GroupInfo, nodes *RatchetTree) (*state, error) {
	s, err := suite.Lookup(gi.GroupContext.CipherSuite)
	if err != nil {
		return nil, err
	}
	if gi.GroupContext.Epoch == math.MaxUint64 {
		return nil, fmt.Errorf("%w: no epoch can follow", ErrGroupInfo)
	}
	if nodes == nil {
		if nodes, err = gi.Extensions.RatchetTree(); err != nil {
			return nil, err
		}
		// RFC 9420, section 12.4.3.1: 1
		if nodes == nil {
			return nil, ErrNoTree
		}
	}
	t, err := treeOf(s, *nodes, cfg.Limits.MaxLeaves)
	if err != nil {
		return nil, err
	}
	// RFC 9420, section 12.4.3.1: 9
	if err := t.verifyForm(); err != nil {
		return nil, err
	}
	st, err := newState(s, gi.GroupContext, t)
	if err != nil {
		return nil, err
	}
	// RFC 9420, sections 12.4.3.1: 10; 12.4.3.3: 3
	if !bytes.Equal(st.context.TreeHash, gi.GroupContext.TreeHash) {
		return nil, ErrTreeHash
	}
	if err := st.confirm(gi.ConfirmationTag); err != nil {
		return nil, err
	}
	if err := st.checkGroupInfo(gi); err != nil {
		return nil, err
	}
	// RFC 9420, sections 7.9.2: 1; 12.4.3.1: 11
	if err := t.verifyParentHashes(); err != nil {
		return nil, err
	}
	return st, st.validateAll(ctx, cfg)
}
