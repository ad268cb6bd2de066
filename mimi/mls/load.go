package mls

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/schedule"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rows are stored rows by key. Those of the tree, which are most, are apart.
type rows struct {
	byKey map[string][]byte
	nodes []Row // ascending by key
}

func readRows(list []Row, kind byte) (*rows, error) {
	r := &rows{byKey: map[string][]byte{}, nodes: make([]Row, 0, len(list))}
	for _, row := range list {
		// unmutated: such a row is unknown, or does not decode
		if row.Value == nil {
			return nil, fmt.Errorf("%w: row %q is deleted", ErrState, row.Key)
		}
		if strings.HasPrefix(row.Key, prefixNode) {
			r.nodes = append(r.nodes, row)
			continue
		}
		if _, ok := r.byKey[row.Key]; ok {
			return nil, fmt.Errorf("%w: row %q is there twice", ErrState, row.Key)
		}
		r.byKey[row.Key] = row.Value
	}
	byKey := func(a, b Row) int { return strings.Compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(r.nodes, byKey) {
		slices.SortFunc(r.nodes, byKey)
	}
	version, ok := r.byKey[rowVersion]
	if !ok || !bytes.Equal(version, []byte{stateVersion, kind}) {
		return nil, fmt.Errorf("%w: version %x, want %x", ErrState, version, []byte{stateVersion, kind})
	}
	delete(r.byKey, rowVersion)
	return r, nil
}

// decode decodes the row with this key and takes it out.
func (r *rows) decode(key string, m wire.Message) (ok bool, err error) {
	b, ok := r.byKey[key]
	if !ok {
		return false, nil
	}
	delete(r.byKey, key)
	if err := wire.Unmarshal(b, m); err != nil {
		return true, fmt.Errorf("%w: row %q: %w", ErrState, key, err)
	}
	return true, nil
}

// each calls f for the rows under a prefix, ascending, and takes them out.
func (r *rows) each(prefix string, f func(rest string, value []byte) error) error {
	var keys []string
	for k := range r.byKey {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := f(k[len(prefix):], r.byKey[k]); err != nil {
			return fmt.Errorf("%w: row %q: %w", ErrState, k, err)
		}
		delete(r.byKey, k)
	}
	return nil
}

// number parses the fixed form of indices and epochs in keys.
func number(s string, digits int) (uint64, error) {
	if len(s) != digits {
		return 0, fmt.Errorf("%q is not a number of %d digits", s, digits)
	}
	var v uint64
	for _, d := range []byte(s) {
		switch {
		case d >= '0' && d <= '9':
			v = v<<4 | uint64(d-'0')
		case d >= 'a' && d <= 'f':
			v = v<<4 | uint64(d-'a'+10)
		default:
			return 0, fmt.Errorf("%q is not a number of %d digits", s, digits)
		}
	}
	return v, nil
}

// state reads GroupContext and tree, and checks that they belong together.
func (r *rows) state(maxLeaves int) (*state, error) {
	var sc storedContext
	if ok, err := r.decode(rowContext, &sc); err != nil {
		return nil, err
	} else if !ok {
		return nil, fmt.Errorf("%w: no row %q", ErrState, rowContext)
	}
	s, err := suite.Lookup(sc.context.CipherSuite)
	if err != nil {
		return nil, err
	}
	t, err := r.tree(s, maxLeaves)
	if err != nil {
		return nil, err
	}
	st, err := storedState(s, sc.context, t)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	st.interim, st.confirmationTag = sc.interim, sc.tag
	return st, nil
}

// tree takes over the nodes as they are stored. They are neither decoded nor
// hashed: that is done by [state.whole], or when somebody asks for one.
func (r *rows) tree(s *suite.Suite, maxLeaves int) (*tree, error) {
	if len(r.nodes) == 0 {
		return nil, fmt.Errorf("%w: no rows %q", ErrState, prefixNode)
	}
	at := make([]uint64, len(r.nodes))
	for i, row := range r.nodes {
		var err error
		if at[i], err = number(row.Key[len(prefixNode):], 8); err != nil {
			return nil, fmt.Errorf("%w: row %q: %w", ErrState, row.Key, err)
		}
	}
	t, err := treeFor(s, at[len(at)-1]+1, maxLeaves)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrState, err)
	}
	for i, row := range r.nodes {
		if t.at(treemath.Node(at[i])) != nil {
			return nil, fmt.Errorf("%w: row %q is there twice", ErrState, row.Key)
		}
		n, err := storedTreeNode(row.Value)
		if err != nil {
			return nil, fmt.Errorf("%w: row %q: %w", ErrState, row.Key, err)
		}
		if n.isLeaf() != treemath.Node(at[i]).IsLeaf() {
			return nil, fmt.Errorf("%w: row %q: %w: wrong type", ErrState, row.Key, ErrTreeForm)
		}
		t.nodes.Set(int(at[i]), slot{node: n})
	}
	return t, nil
}

// proposals reads the pending proposals in the order in which they came.
func (r *rows) proposals(s *suite.Suite) (proposalCache, error) {
	var c proposalCache
	err := r.each(prefixProp, func(_ string, value []byte) error {
		var sp storedProposal
		if err := wire.Unmarshal(value, &sp); err != nil {
			return err
		}
		if sp.content.content.ContentType != ContentProposal {
			return fmt.Errorf("content type %d", sp.content.content.ContentType)
		}
		ref, err := sp.content.ref(s)
		if err != nil {
			return err
		}
		c.add(&cachedProposal{ref, sp.content, sp.tag})
		return nil
	})
	return c, err
}

// LoadGroup makes a group from the rows that were stored. Rows that were deleted
// must not be among them. It fails with [ErrState] if they do not fit together;
// signatures are not verified again.
func LoadGroup(cfg Config, stored []Row) (*Group, error) {
	c, err := cfg.complete(true)
	if err != nil {
		return nil, err
	}
	r, err := readRows(stored, stateMember)
	if err != nil {
		return nil, err
	}
	st, err := r.state(c.Limits.MaxLeaves)
	if err != nil {
		return nil, err
	}
	g := newGroup(c, st)
	for _, load := range []func(*rows) error{g.loadPast, g.loadEpoch, g.loadKeys, g.loadProposals, g.loadPending} {
		if err := load(r); err != nil {
			return nil, err
		}
	}
	reInit := new(ReInit)
	if ok, err := r.decode(rowEnded, reInit); err != nil {
		return nil, err
	} else if ok {
		g.reInit = reInit
	}
	for k := range r.byKey {
		return nil, fmt.Errorf("%w: unknown row %q", ErrState, k)
	}
	g.journal = journal{}
	return g, nil
}

// loadTree reads the rows of a secret tree.
func (r *rows) loadTree(prefix string, t *secrettree.Tree) error {
	if err := r.each(prefix, func(rest string, value []byte) error { return t.Load(rest, suite.NewSecret(value)) }); err != nil {
		return err
	}
	if err := t.Check(); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	return nil
}

func (g *Group) loadPast(r *rows) error {
	err := r.each(prefixPast, func(rest string, value []byte) error {
		var sp storedPast
		if err := wire.Unmarshal(value, &sp); err != nil {
			return err
		}
		var context GroupContext
		if err := wire.Unmarshal(sp.encoded, &context); err != nil {
			return err
		}
		frame, err := context.Extensions.framing()
		if err != nil {
			return err
		}
		p := &pastEpoch{epoch: context.Epoch, encoded: sp.encoded, framing: frame, replaced: map[LeafIndex]*treeNode{}}
		if epochRow("", p.epoch) != rest || p.epoch >= g.Epoch() {
			return fmt.Errorf("it is for epoch %d", p.epoch)
		}
		if sp.leaves != treemath.Leaves(sp.leaves) || int64(sp.leaves) > int64(g.cfg.Limits.MaxLeaves) {
			return fmt.Errorf("%d leaves", sp.leaves)
		}
		p.messages = messageKeys{g.suite, sp.senderData, secrettree.Empty(g.suite, sp.leaves, g.cfg.treeLimits())}
		g.past = append(g.past, p)
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range g.past {
		if err := r.loadTree(epochRow(prefixTree, p.epoch)+"/", p.messages.tree); err != nil {
			return err
		}
		err := r.each(epochRow(prefixOld, p.epoch)+"/", func(rest string, value []byte) error {
			i, err := number(rest, 8)
			if err != nil {
				return err
			}
			p.replaced[LeafIndex(i)], err = decodeOldLeaf(value)
			return err
		})
		if err != nil {
			return err
		}
	}
	return r.each(prefixResume, func(rest string, value []byte) error {
		epoch, err := number(rest, 16)
		g.resumption[epoch] = suite.NewSecret(value)
		return err
	})
}

func (g *Group) loadEpoch(r *rows) error {
	secrets := new(schedule.Secrets)
	ok, err := r.decode(rowEpoch, secrets)
	if !ok || err != nil {
		return err
	}
	g.secrets = secrets
	g.messages = messageKeys{g.suite, secrets.SenderData, secrettree.Empty(g.suite, g.state.tree.leaves(), g.cfg.treeLimits())}
	g.exporter = secrettree.Empty(g.suite, 1<<16, secrettree.Limits{})
	if err := r.loadTree(epochRow(prefixTree, g.Epoch())+"/", g.messages.tree); err != nil {
		return err
	}
	return r.loadTree(prefixExport, g.exporter)
}

// loadKeys reads the private keys. Whether each is that of its place is seen when
// it is used.
func (g *Group) loadKeys(r *rows) error {
	err := r.each(prefixKey, func(rest string, value []byte) error {
		x, err := number(rest, 8)
		if err != nil {
			return err
		}
		node := treemath.Node(x)
		n := g.state.tree.inside(node)
		if n == nil {
			return fmt.Errorf("the node is blank")
		}
		g.keys[node] = &heldKey[suite.HPKEPrivateKey]{
			public: n.encryptionKey(), stored: suite.NewSecret(value), load: g.suite.ImportHPKEKey,
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.each(prefixOwn, func(rest string, value []byte) error {
		i, err := number(rest, 8)
		if err != nil {
			return err
		}
		if i >= uint64(g.state.tree.leaves()) || g.state.tree.at(treemath.Leaf(uint32(i))) == nil {
			return fmt.Errorf("the leaf is blank")
		}
		if _, ok := g.keys[treemath.Leaf(uint32(i))]; !ok {
			return fmt.Errorf("the leaf has no HPKE key")
		}
		g.own[LeafIndex(i)] = &heldKey[suite.SignatureKey]{
			public: g.state.tree.at(treemath.Leaf(uint32(i))).signatureKey(), stored: suite.NewSecret(value), load: g.suite.ImportSignatureKey,
		}
		return nil
	})
}

func (g *Group) loadProposals(r *rows) error {
	var err error
	if g.proposals, err = r.proposals(g.suite); err != nil {
		return err
	}
	return r.each(prefixUpdate, func(rest string, value []byte) error {
		ref, err := hex.DecodeString(rest)
		if err != nil {
			return err
		}
		var su storedUpdate
		if err := wire.Unmarshal(value, &su); err != nil {
			return err
		}
		u := &pendingUpdate{leaf: su.leaf}
		if u.encryption, err = g.suite.ImportHPKEKey(su.encryption); err != nil {
			return err
		}
		u.signature, err = g.suite.ImportSignatureKey(su.signature)
		g.updates[string(ref)] = u
		return err
	})
}

func (g *Group) loadPending(r *rows) error {
	p := new(pendingCommit)
	ok, err := r.decode(rowPending, p)
	if !ok || err != nil {
		return err
	}
	p.public.Message = new(PublicMessage)
	// unmutated: what does not decode is no commit either
	if err := wire.Unmarshal(p.message, p.public.Message); err != nil {
		return fmt.Errorf("%w: row %q: %w", ErrState, rowPending, err)
	}
	if p.public.Message.Content.ContentType != ContentCommit {
		return fmt.Errorf("%w: row %q: content type %d", ErrState, rowPending, p.public.Message.Content.ContentType)
	}
	g.pending = p
	return nil
}
