package mls

import (
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/secrettree"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/internal/treemath"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Row is a piece of the stored state of a [Group] or [PublicGroup]. Rows are
// written only when they changed: one application message changes a few small
// ones, whatever the size of the group. It prints without its value, but for one
// in an unexported field of another structure: fmt asks no methods there.
type Row struct {
	Key    string // ASCII, unique in the group
	Value  []byte // nil: the row is to be deleted
	Secret bool   // the value is to be sealed before it is stored
}

// The keys of rows, and the version of their form. Anything a later version
// changes gets a new number.
const (
	stateVersion = 1
	stateMember  = 1
	stateHub     = 2

	rowVersion   = "version"
	rowContext   = "context"   // GroupContext, confirmation tag
	rowEpoch     = "epoch"     // secrets of the current epoch
	rowPending   = "pending"   // pending commit
	rowEnded     = "ended"     // the ReInit that ended the group
	rowGroupInfo = "groupinfo" // hub: the GroupInfo of the current epoch
	prefixNode   = "n/"        // node: tree node
	prefixKey    = "k/"        // node: HPKE private key
	prefixOwn    = "o/"        // leaf: signature key of an own leaf
	prefixProp   = "c/"        // number: pending proposal
	prefixUpdate = "u/"        // reference: private side of an own Update
	prefixTree   = "s/"        // epoch/...: secret tree
	prefixExport = "x/"        // ...: exporter tree
	prefixPast   = "p/"        // epoch: past epoch
	prefixOld    = "l/"        // epoch/leaf: leaf of a past epoch that was replaced
	prefixResume = "r/"        // epoch: resumption PSK
)

// rowKey is a prefix with a number in hexadecimal digits. A commit makes dozens.
func rowKey(prefix string, v uint64, digits int) string {
	b := append(make([]byte, 0, 32), prefix...)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[v>>shift&0xf])
	}
	return string(b)
}

func nodeRow(prefix string, x treemath.Node) string { return rowKey(prefix, uint64(x), 8) }

func leafRow(prefix string, i LeafIndex) string { return rowKey(prefix, uint64(i), 8) }

func epochRow(prefix string, epoch uint64) string { return rowKey(prefix, epoch, 16) }

func oldLeafRow(epoch uint64, i LeafIndex) string {
	return leafRow(epochRow(prefixOld, epoch)+"/", i)
}

// A journal collects changed rows until they are asked for. They are behind
// functions for the reason given at [suite.Secret].
type journal map[string]func() Row

func (j journal) put(r Row) { j[r.Key] = func() Row { return r } }

func (j journal) set(key string, value []byte, secret bool) {
	j.put(Row{key, slices.Clone(value), secret})
}

func (j journal) del(key string) { j.put(Row{Key: key}) }

// encode sets a row to a message of our own making, which always encodes.
func (j journal) encode(key string, m wire.Message, secret bool) {
	b, err := wire.Marshal(m)
	if err != nil {
		panic("internal error: state does not encode: " + err.Error())
	}
	j.put(Row{key, b, secret})
}

// tree notes the nodes that changed, or all of them.
func (j journal) tree(t *tree, changed map[treemath.Node]struct{}) {
	if changed == nil {
		for i := range t.nodes.Len() {
			if n := t.at(treemath.Node(i)); n != nil {
				j.put(Row{nodeRow(prefixNode, treemath.Node(i)), n.raw, false})
			}
		}
		return
	}
	for x := range changed {
		if n := t.inside(x); n != nil {
			j.put(Row{nodeRow(prefixNode, x), n.raw, false})
		} else {
			j.del(nodeRow(prefixNode, x))
		}
	}
}

// storedContext is the row of a GroupContext with its confirmation tag.
type storedContext struct {
	context GroupContext
	tag     []byte
	interim []byte
}

// Wire codes the structure.
func (s *storedContext) Wire(c *wire.Codec) {
	s.context.Wire(c)
	wire.Opaque(c, &s.tag)
	wire.Opaque(c, &s.interim)
}

func (j journal) context(st *state) {
	j.encode(rowContext, &storedContext{st.context, st.confirmationTag, st.interim}, false)
}

// take returns the rows and forgets them. A map keeps the size it once had, and
// looking through one that had all nodes of a tree takes long: it begins anew.
func (j *journal) take() []Row {
	rows := make([]Row, 0, len(*j))
	for _, r := range *j {
		rows = append(rows, r())
	}
	*j = journal{}
	slices.SortFunc(rows, func(a, b Row) int { return strings.Compare(a.Key, b.Key) })
	return rows
}

// secretTree notes the changes of a secret tree under prefix.
func (j journal) secretTree(prefix string, t *secrettree.Tree) {
	t.Flush(func(key string, value suite.Secret) {
		if value.IsZero() {
			j.del(prefix + key)
		} else {
			j.set(prefix+key, value.Bytes(), true)
		}
	})
}

// dropTree deletes all rows of a secret tree.
func (j journal) dropTree(prefix string, t *secrettree.Tree) {
	t.Flush(func(key string, _ suite.Secret) { j.del(prefix + key) })
	t.Keys(func(key string) { j.del(prefix + key) })
	t.Erase()
}

// Dirty returns the rows that changed since the last call, ascending by key. All
// of them have to be stored in one transaction, secret ones sealed, before what
// the change belongs to leaves the program: a message that is sent before its
// row is stored could be encrypted with the same key again after a crash.
func (g *Group) Dirty() []Row {
	if g.secrets != nil {
		g.journal.secretTree(epochRow(prefixTree, g.Epoch())+"/", g.messages.tree)
		g.journal.secretTree(prefixExport, g.exporter)
	}
	for _, p := range g.past {
		g.journal.secretTree(epochRow(prefixTree, p.epoch)+"/", p.messages.tree)
	}
	return g.journal.take()
}

func (g *Group) setOwn(i LeafIndex, key suite.SignatureKey) {
	g.own[i] = hold(key)
	g.journal.set(leafRow(prefixOwn, i), key.Seed().Bytes(), true)
}

func (g *Group) dropOwn(i LeafIndex) {
	g.own[i].stored.Erase()
	delete(g.own, i)
	g.journal.del(leafRow(prefixOwn, i))
}

func (g *Group) setKey(x treemath.Node, key suite.HPKEPrivateKey) {
	g.keys[x] = hold(key)
	g.journal.set(nodeRow(prefixKey, x), key.Secret().Bytes(), true)
}

func (g *Group) dropKey(x treemath.Node) {
	g.keys[x].stored.Erase()
	delete(g.keys, x)
	g.journal.del(nodeRow(prefixKey, x))
}
