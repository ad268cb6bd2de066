package mls_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A model is a world under random operations.
type model struct {
	*mlstest.World
	t       *rapid.T
	clients map[string]string // member -> node
	serial  int
	gone    []*mlstest.Node // nodes of which every leaf was removed
}

func (m *model) members() []string {
	var l []string
	for c := range m.clients {
		l = append(l, c)
	}
	slices.Sort(l)
	return l
}

// someone draws a member and its node.
func (m *model) someone(label string) (client, node string) {
	client = rapid.SampledFrom(m.members()).Draw(m.t, label)
	return client, m.clients[client]
}

// arrivals draws new clients, on nodes that exist or not.
func (m *model) arrivals(most int) []mlstest.Arrival {
	var l []mlstest.Arrival
	for range rapid.IntRange(1, most).Draw(m.t, "arrivals") {
		m.serial++
		node := fmt.Sprintf("N%d", rapid.IntRange(0, 4).Draw(m.t, "node"))
		// Two who join a new node by one Welcome each: the second is attached.
		l = append(l, mlstest.On(node, fmt.Sprintf("user%d/1", m.serial)))
	}
	return l
}

func (m *model) arrived(l ...mlstest.Arrival) {
	for _, a := range l {
		m.clients[a.Client] = a.Node
		m.gone = slices.DeleteFunc(m.gone, func(n *mlstest.Node) bool { return n.Name == a.Node })
	}
}

// left forgets members who are no longer in the tree, and nodes without leaves.
func (m *model) left() {
	for _, c := range m.members() {
		if _, ok := m.Find(c); ok {
			continue
		}
		node := m.Node(m.clients[c])
		delete(m.clients, c)
		if !node.Group.Active() && !slices.Contains(m.gone, node) {
			m.gone = append(m.gone, node)
		}
	}
}

func (m *model) add(*rapid.T) {
	if len(m.clients) > 14 {
		m.t.Skip("enough members")
	}
	client, node := m.someone("committer")
	l := m.arrivals(3)
	m.AddWith(node, client, mls.CommitOptions{NoPath: rapid.Bool().Draw(m.t, "no path"), AllPending: true}, l...)
	m.left()
	m.arrived(l...)
}

func (m *model) remove(*rapid.T) {
	if len(m.clients) < 3 {
		m.t.Skip("too few members")
	}
	client, node := m.someone("committer")
	victim, _ := m.someone("victim")
	if victim == client {
		m.t.Skip("same")
	}
	thief := m.copyOf(m.clients[victim])
	n := m.Node(node)
	p, err := n.Group.Commit(m.T.Context(), m.Leaf(client), mls.CommitOptions{AllPending: true, Proposals: []mls.ProposalBody{&mls.Remove{Removed: m.Leaf(victim)}}})
	if err != nil {
		m.t.Fatal(err)
	}
	var control []kept
	for _, other := range m.Active() {
		if other != n {
			control = append(control, m.copyOf(other.Name))
		}
	}
	m.Deliver(n, p)
	m.Check()
	m.left()
	// Who keeps all keys instead of forgetting them opens no path secret, unless
	// another leaf of the same node is still a member.
	stays := slices.Contains(slices.Collect(maps.Values(m.clients)), thief.name)
	if !stays && mls.OpensPath(m.T, thief.group, p.Message) {
		m.t.Fatalf("%s was removed with its last leaf, and opens the path of the commit that did it", thief.name)
	}
	for _, member := range control {
		if m.Node(member.name).Group.Active() && !mls.OpensPath(m.T, member.group, p.Message) {
			m.t.Fatalf("%s is a member, and does not open the path either: the check says nothing", member.name)
		}
	}
}

// A kept is a copy of what a node knows, that forgets nothing.
type kept struct {
	name  string
	group *mls.Group
}

func (m *model) copyOf(node string) kept {
	n := m.Node(node)
	n.Disk.Write(n.Group.Dirty())
	g, err := mls.LoadGroup(n.Config, n.Disk.Rows())
	if err != nil {
		m.t.Fatal(err)
	}
	return kept{node, g}
}

// race lets two nodes commit in the same epoch. The hub takes one; the other is
// refused, and goes on from that.
func (m *model) race(*rapid.T) {
	first, node := m.someone("first")
	second, other := m.someone("second")
	if node == other {
		m.t.Skip("one node has one pending commit")
	}
	a, b := m.Node(node), m.Node(other)
	p, err := a.Group.Commit(m.T.Context(), m.Leaf(first), mls.CommitOptions{AllPending: true})
	if err != nil {
		m.t.Fatal(err)
	}
	late, err := b.Group.Commit(m.T.Context(), m.Leaf(second), mls.CommitOptions{AllPending: rapid.Bool().Draw(m.t, "all pending")})
	if err != nil {
		m.t.Fatal(err)
	}
	if rapid.Bool().Draw(m.t, "restart") {
		m.Restart(other)
	}
	m.Deliver(a, p)
	if b.Group.Pending() != nil {
		m.t.Fatalf("%s still has its commit of the epoch before", other)
	}
	if _, err := m.Hub.Stage(m.T.Context(), late.Message); !errors.Is(err, mls.ErrEpochPast) {
		m.t.Fatalf("the hub takes two commits of one epoch: %v", err)
	}
	m.Check()
	m.left()
}

// shuffle sends messages of several members, loses some, and delivers the others
// in any order: some before the next commit and some after it, and each once.
func (m *model) shuffle(*rapid.T) {
	if len(m.Hub.PendingProposals()) > 0 {
		m.t.Skip("proposals are pending")
	}
	type sent struct {
		node, client, text string
		message            *mls.PrivateMessage
	}
	var all []sent
	for i := range rapid.IntRange(2, 8).Draw(m.t, "messages") {
		client, node := m.someone("sender")
		text := fmt.Sprintf("message %d of %s", i, client)
		all = append(all, sent{node, client, text, m.Protect(node, client, text)})
	}
	order := rapid.Permutation(all).Draw(m.t, "order")
	order = order[:rapid.IntRange(0, len(order)).Draw(m.t, "not lost")]
	early := rapid.IntRange(0, len(order)).Draw(m.t, "before the commit")
	for i, s := range order {
		if i == early {
			client, node := m.someone("committer")
			m.Commit(node, client, mls.CommitOptions{})
		}
		for _, n := range m.Active() {
			if n.Name == s.node {
				continue
			}
			r, err := n.Group.Process(m.T.Context(), &mls.MLSMessage{PrivateMessage: s.message})
			if err != nil {
				m.t.Fatalf("%s: %s: %v", n.Name, s.text, err)
			}
			if string(r.Application.Data) != s.text || string(r.Application.SenderLeaf.Credential.Body) != s.client {
				m.t.Fatalf("%s: got %q of %q for %q", n.Name, r.Application.Data, r.Application.SenderLeaf.Credential.Body, s.text)
			}
			if _, err := n.Group.Process(m.T.Context(), &mls.MLSMessage{PrivateMessage: s.message}); !errors.Is(err, mls.ErrReplay) {
				m.t.Fatalf("%s: %s, again: %v", n.Name, s.text, err)
			}
		}
	}
}

func (m *model) commit(*rapid.T) {
	client, node := m.someone("committer")
	m.Commit(node, client, mls.CommitOptions{AllPending: true})
	m.left()
}

func (m *model) propose(*rapid.T) {
	client, node := m.someone("proposer")
	if len(m.clients) < 3 || slices.ContainsFunc(m.Hub.PendingProposals(), func(p mls.PendingProposal) bool { return p.Sender.Index == m.Leaf(client) }) {
		m.t.Skip("has proposed already")
	}
	if rapid.Bool().Draw(m.t, "update") {
		m.ProposeUpdate(node, client)
	} else {
		m.Propose(node, client, &mls.SelfRemove{})
	}
}

func (m *model) external(*rapid.T) {
	if len(m.clients) > 14 {
		m.t.Skip("enough members")
	}
	a := m.arrivals(1)[0]
	m.External(a, mls.ExternalOptions{})
	m.left()
	m.arrived(a)
}

// resync replaces a leaf by a new one of the same user.
func (m *model) resync(*rapid.T) {
	client, node := m.someone("client")
	old := m.Leaf(client)
	m.serial++
	again := fmt.Sprintf("%s+%d", client, m.serial)
	m.External(mlstest.On(node, again), mls.ExternalOptions{Resync: &old})
	m.arrived(mlstest.On(node, again))
	m.left()
}

func (m *model) discard(*rapid.T) {
	client, node := m.someone("committer")
	n := m.Node(node)
	n.Disk.Write(n.Group.Dirty())
	before := n.Disk.Snapshot()
	if _, err := n.Group.Commit(m.T.Context(), m.Leaf(client), mls.CommitOptions{}); err != nil {
		m.t.Fatal(err)
	}
	n.Group.Discard()
	n.Disk.Write(n.Group.Dirty())
	if !slices.Equal(before, n.Disk.Snapshot()) {
		m.t.Fatal("a discarded commit left something behind")
	}
}

// crash restarts a node between Commit and Merge.
func (m *model) crash(*rapid.T) {
	client, node := m.someone("committer")
	n := m.Node(node)
	if _, err := n.Group.Commit(m.T.Context(), m.Leaf(client), mls.CommitOptions{AllPending: true}); err != nil {
		m.t.Fatal(err)
	}
	m.Restart(node)
	m.Deliver(n, n.Group.Pending())
	m.Check()
	m.left()
}

func (m *model) restart(*rapid.T) {
	_, node := m.someone("client")
	m.Restart(node)
	m.RestartHub()
}

func (m *model) say(*rapid.T) {
	if len(m.Hub.PendingProposals()) > 0 {
		m.t.Skip("proposals are pending")
	}
	client, node := m.someone("sender")
	message := m.Say(node, client, "text of "+client)
	for _, n := range m.gone {
		if _, err := n.Group.Process(m.T.Context(), &mls.MLSMessage{PrivateMessage: message}); !errors.Is(err, mls.ErrInactive) {
			m.t.Fatalf("%s was removed and reads on: %v", n.Name, err)
		}
	}
}

// late sends a message that arrives after the next commit.
func (m *model) late(*rapid.T) {
	if len(m.Hub.PendingProposals()) > 0 {
		m.t.Skip("proposals are pending")
	}
	client, node := m.someone("sender")
	message := m.Protect(node, client, "late")
	committer, other := m.someone("committer")
	nodes := m.Active()
	m.Commit(other, committer, mls.CommitOptions{})
	if rapid.Bool().Draw(m.t, "restart") {
		m.Restart(other)
	}
	for _, n := range nodes {
		if n.Name == node {
			continue
		}
		r, err := n.Group.Process(m.T.Context(), &mls.MLSMessage{PrivateMessage: message})
		if err != nil {
			m.t.Fatalf("%s: late message: %v", n.Name, err)
		}
		if string(r.Application.SenderLeaf.Credential.Body) != client {
			m.t.Fatalf("%s: sender %q", n.Name, r.Application.SenderLeaf.Credential.Body)
		}
	}
}

// TestModel runs random histories. After each step all nodes and the hub agree.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{World: mlstest.New(t, suite.X25519AES128, "N0", "user0/1"), t: rt, clients: map[string]string{"user0/1": "N0"}}
		rt.Repeat(map[string]func(*rapid.T){
			"add": m.add, "remove": m.remove, "commit": m.commit, "propose": m.propose, "external": m.external,
			"resync": m.resync, "discard": m.discard, "crash": m.crash, "restart": m.restart, "say": m.say, "late": m.late, "race": m.race, "shuffle": m.shuffle,
		})
	})
}
