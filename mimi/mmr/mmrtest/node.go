package mmrtest

import (
	"context"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// A Node is a member's program: all clients of its domain are leaves of one group.
type Node struct {
	Domain string
	Group  *mls.Group // nil before it joins
	Rules  *mmr.Rules
	Ring   identity.KeyRing

	w      *World
	cfg    mls.Config
	policy *policy
	// own are the leaves of clients by name, identities who they are.
	own        map[string]mls.LeafIndex
	identities map[mls.LeafIndex]*identity.LeafIdentity
}

func (w *World) node(domain string) *Node {
	n, ok := w.Nodes[domain]
	if !ok {
		n = &Node{Domain: domain, w: w, own: map[string]mls.LeafIndex{}, identities: map[mls.LeafIndex]*identity.LeafIdentity{}}
		n.reset()
		w.Nodes[domain] = n
	}
	return n
}

// reset makes a node that has never been in the room.
func (n *Node) reset() {
	n.Group, n.Rules, n.Ring = nil, mmr.NewRules(nil), identity.KeyRing{}
	n.policy = &policy{Rules: n.Rules}
	n.cfg = mls.Config{
		Policy: n.policy, Random: identitytest.Random("node " + n.Domain), Now: n.w.Clock.Now, PSK: n.psk,
		Limits: mls.Limits{MaxLeaves: 1 << 16},
	}
	clear(n.own)
	clear(n.identities)
}

// psk gives join PSKs. If the node does not keep to the rules, it has any other
// PSK as well.
func (n *Node) psk(_ context.Context, id mls.PreSharedKeyID) (suite.Secret, error) {
	if generation, ok := identity.ParseJoinPSKID(id.ID); ok {
		if key, ok := n.Ring.Key(generation); ok {
			return key.JoinPSK(n.w.Suite, n.w.groupID())
		}
	}
	if n.policy.lenient {
		return suite.NewSecret(make([]byte, n.w.Suite.Nh())), nil
	}
	return suite.Secret{}, fmt.Errorf("%w: %x", mls.ErrNoPSK, id.ID)
}

// follow brings everything behind a Commit that took effect. Members never refuse
// what the hub has accepted.
func (n *Node) follow(view *mls.CommitView) {
	n.w.T.Helper()
	before := n.Rules.Room()
	next, err := n.Rules.Next(view)
	if err != nil {
		n.w.T.Fatalf("%s refuses what the hub has accepted: %v", n.Domain, err)
	}
	for _, removed := range view.Removed {
		for name, leaf := range n.own {
			if leaf == removed.Index {
				delete(n.own, name)
				delete(n.identities, leaf)
			}
		}
	}
	if n.Group.Active() && next.Newest() != before.Newest() {
		n.Ring = must(n.Ring.Derive(n.w.Suite, next.Policy().Mode, next.Epoch(), n.Group))(n.w.T)
	}
	n.Rules.Set(next)
}

// welcome lets a client of this node in. The node has processed the Commit, if it
// was a member before.
func (n *Node) welcome(welcome *mls.Welcome, tree *mls.RatchetTree, c *Client) {
	tb, ctx := n.w.T, n.w.T.Context()
	tb.Helper()
	welcome = Again(tb, welcome)
	if n.Group != nil && n.Group.Active() {
		n.take(c, must(n.Group.AttachWelcome(ctx, welcome, c.Keys))(tb).Own)
		return
	}
	n.reset()
	g, joined, err := mls.JoinWelcome(ctx, n.cfg, welcome, c.Keys, Again(tb, tree))
	if err != nil {
		tb.Fatalf("%s: join: %v", n.Domain, err)
	}
	n.Group = g
	var leaves []mls.LeafIndex
	for m := range g.View().Members() {
		leaves = append(leaves, m.Index)
	}
	keys, err := identity.KeysFromWelcome(n.w.Suite, joined.GroupInfo.Extensions, g.GroupID(), g.Epoch(), leaves)
	if err != nil {
		tb.Fatalf("%s: keys: %v", n.Domain, err)
	}
	n.Ring = must(identity.NewKeyRing(keys.Keys...))(tb)
	n.Rules.Set(must(mmr.Open(n.w.Suite, g.View(), n.Ring.Newest().Generation, keys.Table))(tb))
	n.take(c, joined.Own)
}

func (n *Node) take(c *Client, leaf mls.LeafIndex) {
	n.own[c.Name], n.identities[leaf] = leaf, c.Identity
}

// A policy can be told to let everything pass, so that a node makes what it must
// not.
type policy struct {
	*mmr.Rules
	lenient bool
}

func (p *policy) ValidateCredential(ctx context.Context, credential mls.Credential, key []byte) error {
	if p.lenient {
		return nil
	}
	return p.Rules.ValidateCredential(ctx, credential, key)
}

func (p *policy) SameClient(prev, next mls.Credential) bool {
	return p.lenient || p.Rules.SameClient(prev, next)
}

func (p *policy) ValidateProposal(ctx context.Context, view *mls.ProposalView) error {
	if p.lenient {
		return nil
	}
	return p.Rules.ValidateProposal(ctx, view)
}

func (p *policy) ApplyComponent(ctx context.Context, id mls.ComponentID, old []byte, updates [][]byte) ([]byte, error) {
	next, err := room.ApplyComponent(room.ComponentID(id), old, updates)
	if p.lenient {
		if err != nil {
			return updates[len(updates)-1], nil
		}
		return next, nil
	}
	return p.Rules.ApplyComponent(ctx, id, old, updates)
}

func (p *policy) ValidateCommit(ctx context.Context, view *mls.CommitView) error {
	if p.lenient {
		return nil
	}
	return p.Rules.ValidateCommit(ctx, view)
}
