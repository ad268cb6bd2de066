// Package mlstest makes MLS groups for tests.
//
// A [World] is one group with its hub and some nodes, each of which holds one
// [mls.Group] with any number of own leaves:
//
//	w := mlstest.New(t, suite.X25519AES128, "A", "alice/1")
//	w.Add("A", "alice/1", mlstest.On("B", "bob/1"))
//	w.Say("B", "bob/1", "hello")
//
// After every step all nodes and the hub are checked against each other.
package mlstest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// Now is the time of all tests.
var Now = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// Random returns a deterministic source of randomness for a name.
func Random(name string) io.Reader { return rand.NewChaCha8(sha256.Sum256([]byte(name))) }

// Config returns a configuration for a node.
func Config(name string, p *Policy) mls.Config {
	return mls.Config{Policy: p, Random: Random(name), Now: func() time.Time { return Now }}
}

// Capabilities returns the capabilities of all test clients: everything that the
// package knows, with basic credentials.
func Capabilities() mls.Capabilities {
	c := mls.DefaultCapabilities()
	c.Extensions = []mls.ExtensionType{mls.ExtensionAppDataDictionary}
	c.Proposals = []mls.ProposalType{mls.ProposalAppDataUpdate, mls.ProposalAppEphemeral, mls.ProposalSelfRemove}
	c.Credentials = []mls.CredentialType{mls.CredentialBasic}
	return c
}

// Leaf returns the parameters of a leaf with a fresh signature key.
func Leaf(t testing.TB, id suite.ID, name string, random io.Reader) mls.LeafParams {
	t.Helper()
	s, err := suite.Lookup(id)
	if err != nil {
		t.Fatal(err)
	}
	key, err := s.GenerateSignatureKey(random)
	if err != nil {
		t.Fatal(err)
	}
	return mls.LeafParams{Credential: mls.BasicCredential([]byte(name)), Capabilities: Capabilities(), SignatureKey: key}
}

// KeyPackage makes a KeyPackage that is valid for a day around [Now].
func KeyPackage(t testing.TB, id suite.ID, leaf mls.LeafParams, random io.Reader) *mls.KeyPackagePrivate {
	t.Helper()
	kp, err := mls.NewKeyPackage(random, mls.KeyPackageParams{
		CipherSuite: id, Leaf: leaf,
		NotBefore: uint64(Now.Add(-12 * time.Hour).Unix()), NotAfter: uint64(Now.Add(12 * time.Hour).Unix()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

// A Node is a program with its group and its disk.
type Node struct {
	Name   string
	Config mls.Config
	Policy *Policy
	Group  *mls.Group // nil before it joins
	Disk   Disk
	// Inbox has the application messages that were decrypted.
	Inbox []string
}

// A Disk has the rows of one group.
type Disk map[string]mls.Row

// Write stores rows as a transaction would, and returns how many octets.
func (d Disk) Write(rows []mls.Row) (written int) {
	for _, r := range rows {
		written += len(r.Key) + len(r.Value)
		if r.Value == nil {
			delete(d, r.Key)
		} else {
			d[r.Key] = r
		}
	}
	return written
}

// Rows returns all rows, ascending by key.
func (d Disk) Rows() []mls.Row {
	rows := make([]mls.Row, 0, len(d))
	for _, r := range d {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b mls.Row) int { return bytes.Compare([]byte(a.Key), []byte(b.Key)) })
	return rows
}

// Snapshot encodes all rows, for comparing.
func (d Disk) Snapshot() []byte {
	var b []byte
	for _, r := range d.Rows() {
		b = binary.BigEndian.AppendUint32(append(b, r.Key...), uint32(len(r.Value)))
		b = append(b, r.Value...)
	}
	return b
}

// A World is a group with its hub and nodes.
type World struct {
	T       testing.TB
	ID      suite.ID
	Hub     *mls.PublicGroup
	HubDisk Disk
	HubConf mls.Config
	Policy  *Policy // of the hub
	Nodes   map[string]*Node
	// Change is applied to the parameters of each new leaf, unless it is nil.
	Change func(*mls.LeafParams)
	random io.Reader
}

// GroupID is the ID of all test groups.
var GroupID = []byte("mimi://hub.example/g/test")

// New makes a world in which one node has created the group. Extensions are
// those of the GroupContext.
func New(t testing.TB, id suite.ID, node, client string, extensions ...mls.Extension) *World {
	t.Helper()
	return NewWith(t, id, nil, node, client, extensions...)
}

// NewWith is [New] with leaves that are changed.
func NewWith(t testing.TB, id suite.ID, change func(*mls.LeafParams), node, client string, extensions ...mls.Extension) *World {
	t.Helper()
	w := &World{T: t, ID: id, Nodes: map[string]*Node{}, Policy: &Policy{}, HubDisk: Disk{}, Change: change, random: Random("world " + node + client)}
	n := w.Node(node)
	g, err := mls.Create(t.Context(), n.Config, mls.CreateParams{
		CipherSuite: id, GroupID: GroupID, Leaf: w.LeafParams(client), Extensions: extensions,
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Group = g
	gi, err := g.GroupInfo(0, mls.GroupInfoOptions{ExternalPub: true})
	if err != nil {
		t.Fatal(err)
	}
	w.HubConf = Config("hub", w.Policy)
	if w.Hub, err = mls.NewPublicGroup(t.Context(), w.HubConf, gi, g.RatchetTree()); err != nil {
		t.Fatal(err)
	}
	w.Check()
	return w
}

// Node returns a node, new or not.
func (w *World) Node(name string) *Node {
	n := w.Nodes[name]
	if n == nil {
		p := &Policy{}
		n = &Node{Name: name, Policy: p, Config: Config(fmt.Sprintf("node %s %d", name, len(w.Nodes)), p), Disk: Disk{}}
		w.Nodes[name] = n
	}
	return n
}

// Leaf returns the index of a client, which has to be a member.
func (w *World) Leaf(client string) mls.LeafIndex {
	w.T.Helper()
	i, ok := w.Find(client)
	if !ok {
		w.T.Fatalf("%s is no member", client)
	}
	return i
}

// Find looks a client up at the hub.
func (w *World) Find(client string) (mls.LeafIndex, bool) {
	for _, m := range w.Hub.Roster() {
		if string(m.Leaf.Credential.Body) == client {
			return m.Index, true
		}
	}
	return 0, false
}

// An Arrival is a client that joins on a node.
type Arrival struct{ Node, Client string }

// On names a client and the node that holds its keys.
func On(node, client string) Arrival { return Arrival{node, client} }

// LeafParams makes parameters with a fresh signature key.
func (w *World) LeafParams(client string) mls.LeafParams {
	w.T.Helper()
	leaf := Leaf(w.T, w.ID, client, w.random)
	if w.Change != nil {
		w.Change(&leaf)
	}
	return leaf
}

// Add commits Adds of these clients, with more options, and lets them in.
func (w *World) Add(node, from string, arrivals ...Arrival) *mls.CommitResult {
	w.T.Helper()
	return w.AddWith(node, from, mls.CommitOptions{}, arrivals...)
}

// AddWith is Add with more options.
func (w *World) AddWith(node, from string, opts mls.CommitOptions, arrivals ...Arrival) *mls.CommitResult {
	w.T.Helper()
	keys := make([]*mls.KeyPackagePrivate, len(arrivals))
	for i, a := range arrivals {
		keys[i] = KeyPackage(w.T, w.ID, w.LeafParams(a.Client), w.random)
		opts.Proposals = append(opts.Proposals, &mls.Add{KeyPackage: keys[i].KeyPackage})
	}
	p, r := w.commit(node, from, opts)
	for i, a := range arrivals {
		w.welcome(w.Node(a.Node), p.Welcome, keys[i])
	}
	w.Check()
	return r
}

// welcome lets a new member in: into the group of its node, or as a new group.
func (w *World) welcome(n *Node, m *mls.Welcome, kp *mls.KeyPackagePrivate) {
	w.T.Helper()
	stored, err := kp.MarshalSecret()
	if err != nil {
		w.T.Fatal(err)
	}
	if kp, err = mls.UnmarshalKeyPackagePrivate(stored); err != nil {
		w.T.Fatal(err)
	}
	m = Again(w.T, &mls.MLSMessage{Welcome: m}).Welcome
	if n.Group != nil && n.Group.Active() {
		if _, err := n.Group.AttachWelcome(w.T.Context(), m, kp); err != nil {
			w.T.Fatalf("%s: attach: %v", n.Name, err)
		}
		return
	}
	g, joined, err := mls.JoinWelcome(w.T.Context(), n.Config, m, kp, nil)
	if err != nil {
		w.T.Fatalf("%s: join: %v", n.Name, err)
	}
	if joined.GroupInfo == nil {
		w.T.Fatalf("%s: no GroupInfo came out of the Welcome", n.Name)
	}
	n.Group, n.Disk = g, Disk{}
}

// Again sends a message through its encoding.
func Again(t testing.TB, m *mls.MLSMessage) *mls.MLSMessage {
	t.Helper()
	b, err := mls.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := new(mls.MLSMessage)
	if err := mls.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Commit makes a commit that adds nobody, and lets it take effect everywhere.
func (w *World) Commit(node, from string, opts mls.CommitOptions) *mls.CommitResult {
	w.T.Helper()
	_, r := w.commit(node, from, opts)
	w.Check()
	return r
}

func (w *World) commit(node, from string, opts mls.CommitOptions) (*mls.PendingCommit, *mls.CommitResult) {
	w.T.Helper()
	n := w.Node(node)
	p, err := n.Group.Commit(w.T.Context(), w.Leaf(from), opts)
	if err != nil {
		w.T.Fatalf("%s: commit of %s: %v", node, from, err)
	}
	return p, w.Deliver(n, p)
}

// Deliver brings a pending commit to the hub, merges it and brings it to all
// other nodes.
func (w *World) Deliver(n *Node, p *mls.PendingCommit) *mls.CommitResult {
	w.T.Helper()
	w.AtHub(p.Message, p.GroupInfo)
	result, err := n.Group.Merge(w.T.Context())
	if err != nil {
		w.T.Fatalf("%s: merge: %v", n.Name, err)
	}
	w.Others(n, p.MLSMessage())
	return result
}

// AtHub stages and applies a message at the hub.
func (w *World) AtHub(m *mls.PublicMessage, gi *mls.GroupInfo) {
	w.T.Helper()
	s, err := w.Hub.Stage(w.T.Context(), Again(w.T, &mls.MLSMessage{PublicMessage: m}).PublicMessage)
	if err != nil {
		w.T.Fatalf("hub: stage: %v", err)
	}
	if s.NeedsGroupInfo() {
		gi = Again(w.T, &mls.MLSMessage{GroupInfo: gi}).GroupInfo
	}
	if err := w.Hub.Apply(s, gi); err != nil {
		w.T.Fatalf("hub: apply: %v", err)
	}
}

// Others lets all active nodes but one process a handshake message.
func (w *World) Others(but *Node, m *mls.MLSMessage) {
	w.T.Helper()
	for _, n := range w.Active() {
		if n == but {
			continue
		}
		if _, err := n.Group.Process(w.T.Context(), Again(w.T, m)); err != nil {
			w.T.Fatalf("%s: process: %v", n.Name, err)
		}
	}
}

// Active returns the nodes with own leaves, ordered by name.
func (w *World) Active() []*Node {
	var l []*Node
	for _, n := range w.Nodes {
		if n.Group != nil && n.Group.Active() {
			l = append(l, n)
		}
	}
	slices.SortFunc(l, func(a, b *Node) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return l
}

// Propose brings a proposal to the hub and to all nodes.
func (w *World) Propose(node, from string, body mls.ProposalBody) mls.ProposalRef {
	w.T.Helper()
	n := w.Node(node)
	m, ref, err := n.Group.Propose(w.T.Context(), w.Leaf(from), body, mls.AuthenticatedData{})
	if err != nil {
		w.T.Fatalf("%s: propose: %v", node, err)
	}
	w.AtHub(m, nil)
	w.Others(n, &mls.MLSMessage{PublicMessage: m})
	w.Check()
	return ref
}

// ProposeUpdate brings an Update to the hub and to all nodes.
func (w *World) ProposeUpdate(node, from string) mls.ProposalRef {
	w.T.Helper()
	n := w.Node(node)
	m, ref, err := n.Group.ProposeUpdate(w.T.Context(), w.Leaf(from), nil, mls.AuthenticatedData{})
	if err != nil {
		w.T.Fatalf("%s: propose an update: %v", node, err)
	}
	w.AtHub(m, nil)
	w.Others(n, &mls.MLSMessage{PublicMessage: m})
	w.Check()
	return ref
}

// External joins a client by an external Commit: into the group of its node, or
// as a new group.
func (w *World) External(a Arrival, opts mls.ExternalOptions) *mls.CommitResult {
	w.T.Helper()
	n := w.Node(a.Node)
	opts.Leaf = w.LeafParams(a.Client)
	var p *mls.PendingCommit
	var err error
	if n.Group != nil && n.Group.Active() {
		p, err = n.Group.ExternalCommit(w.T.Context(), opts)
	} else {
		for _, pending := range w.Hub.PendingProposals() {
			if pending.Proposal.Type() == mls.ProposalSelfRemove {
				opts.SelfRemoves = append(opts.SelfRemoves, pending.Message)
			}
		}
		n.Disk = Disk{}
		n.Group, p, err = mls.ExternalJoin(w.T.Context(), n.Config, w.Hub.GroupInfo(), w.Hub.RatchetTree(), opts)
	}
	if err != nil {
		w.T.Fatalf("%s: external commit: %v", a.Node, err)
	}
	if p.Welcome != nil {
		w.T.Fatalf("%s: external commit: a Welcome without Adds", a.Node)
	}
	r := w.Deliver(n, p)
	w.Check()
	return r
}

// Say sends an application message, which every other node has to decrypt once.
func (w *World) Say(node, from, text string) *mls.PrivateMessage {
	w.T.Helper()
	m := w.Protect(node, from, text)
	w.Hear(node, from, text, m)
	return m
}

// Protect encrypts an application message.
func (w *World) Protect(node, from, text string) *mls.PrivateMessage {
	w.T.Helper()
	m, err := w.Node(node).Group.Protect(w.Leaf(from), []byte(text), mls.AuthenticatedData{})
	if err != nil {
		w.T.Fatalf("%s: protect: %v", node, err)
	}
	return m
}

// Hear lets all nodes but the sender's decrypt a message: once, and not again.
func (w *World) Hear(node, from, text string, m *mls.PrivateMessage) {
	w.T.Helper()
	message := &mls.MLSMessage{PrivateMessage: m}
	for _, n := range w.Active() {
		r, err := n.Group.Process(w.T.Context(), Again(w.T, message))
		if n.Name == node {
			if !errors.Is(err, mls.ErrOwnMessage) {
				w.T.Fatalf("%s: own message: %v", n.Name, err)
			}
			continue
		}
		if err != nil {
			w.T.Fatalf("%s: message of %s: %v", n.Name, from, err)
		}
		if string(r.Application.Data) != text || string(r.Application.SenderLeaf.Credential.Body) != from {
			w.T.Fatalf("%s: got %q of %q", n.Name, r.Application.Data, r.Application.SenderLeaf.Credential.Body)
		}
		n.Inbox = append(n.Inbox, text)
		if _, err := n.Group.Process(w.T.Context(), Again(w.T, message)); !errors.Is(err, mls.ErrReplay) {
			w.T.Fatalf("%s: the same message again: %v", n.Name, err)
		}
	}
}

// Restart stores a node's group and loads it again.
func (w *World) Restart(name string) {
	w.T.Helper()
	n := w.Node(name)
	n.Disk.Write(n.Group.Dirty())
	g, err := mls.LoadGroup(n.Config, n.Disk.Rows())
	if err != nil {
		w.T.Fatalf("%s: restart: %v", name, err)
	}
	n.Group = g
}

// RestartHub stores the hub's group and loads it again.
func (w *World) RestartHub() {
	w.T.Helper()
	w.HubDisk.Write(w.Hub.Dirty())
	h, err := mls.LoadPublicGroup(w.HubConf, w.HubDisk.Rows())
	if err != nil {
		w.T.Fatalf("hub: restart: %v", err)
	}
	w.Hub = h
}

// Check compares all active nodes with the hub and with each other.
func (w *World) Check() {
	w.T.Helper()
	want, err := mls.Marshal(w.Hub.View().Context())
	if err != nil {
		w.T.Fatal(err)
	}
	var authenticator, exported suite.Secret
	own := map[mls.LeafIndex]string{}
	for _, n := range w.Active() {
		got, err := mls.Marshal(n.Group.View().Context())
		if err != nil {
			w.T.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			w.T.Fatalf("%s is in epoch %d with another GroupContext than the hub, which is in %d", n.Name, n.Group.Epoch(), w.Hub.Epoch())
		}
		a := n.Group.EpochAuthenticator()
		if authenticator.IsZero() {
			authenticator = a
		}
		if !a.Equal(authenticator) {
			w.T.Fatalf("%s has another epoch authenticator", n.Name)
		}
		e, err := n.Group.Export("check", want, 32)
		if err != nil {
			w.T.Fatal(err)
		}
		if exported.IsZero() {
			exported = e
		}
		if !e.Equal(exported) {
			w.T.Fatalf("%s exports another secret", n.Name)
		}
		for _, i := range n.Group.OwnLeaves() {
			if other, ok := own[i]; ok {
				w.T.Fatalf("leaf %d is an own leaf of %s and %s", i, other, n.Name)
			}
			own[i] = n.Name
		}
	}
}
