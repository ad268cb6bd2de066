package mlspeer

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

func (p *Peer) create(ctx context.Context, q Create) (*Answer, error) {
	g, err := mls.Create(ctx, p.cfg, mls.CreateParams{
		CipherSuite: p.suite.ID(), GroupID: q.GroupID, Leaf: p.leaf, Extensions: extensions(q.Extensions),
	})
	if err != nil {
		return nil, err
	}
	p.group, p.own = g, g.OwnLeaves()[0]
	return &Answer{}, nil
}

func (p *Peer) join(ctx context.Context, q Join) (*Answer, error) {
	m, err := parse(q.Welcome)
	if err != nil {
		return nil, err
	}
	if m.Welcome == nil {
		return nil, errors.New("the message is no Welcome")
	}
	tree, err := parseTree(q.Tree)
	if err != nil {
		return nil, err
	}
	err = mls.ErrWelcomeNotForUs
	for i, kp := range p.keyPackages {
		var g *mls.Group
		var joined *mls.Joined
		g, joined, err = mls.JoinWelcome(ctx, p.cfg, m.Welcome, kp, tree)
		if errors.Is(err, mls.ErrWelcomeNotForUs) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.group, p.own = g, joined.Own
		p.keyPackages = append(p.keyPackages[:i], p.keyPackages[i+1:]...)
		return &Answer{}, nil
	}
	return nil, err
}

func (p *Peer) externalJoin(ctx context.Context, q ExternalJoin) (*Answer, error) {
	m, err := parse(q.GroupInfo)
	if err != nil {
		return nil, err
	}
	if m.GroupInfo == nil {
		return nil, errors.New("the message is no GroupInfo")
	}
	tree, err := parseTree(q.Tree)
	if err != nil {
		return nil, err
	}
	aad, err := mls.ParseAuthenticatedData(m.GroupInfo.GroupContext.Extensions, q.AAD)
	if err != nil {
		return nil, err
	}
	opts := mls.ExternalOptions{Leaf: p.leaf, AAD: aad}
	for _, id := range q.PSK {
		opts.PSKs = append(opts.PSKs, mls.PreSharedKeyID{Type: mls.PSKExternal, ID: id})
	}
	if q.Resync {
		if opts.Resync, err = p.findOwn(m.GroupInfo, tree); err != nil {
			return nil, err
		}
	}
	g, pending, err := mls.ExternalJoin(ctx, p.cfg, m.GroupInfo, tree, opts)
	if err != nil {
		return nil, err
	}
	commit, err := mls.Marshal(pending.MLSMessage())
	if err != nil {
		return nil, err
	}
	if _, err := g.Merge(ctx); err != nil {
		return nil, err
	}
	p.group, p.own = g, g.OwnLeaves()[0]
	return &Answer{Commit: commit}, nil
}

// findOwn finds the leaf of this client by its credential.
func (p *Peer) findOwn(gi *mls.GroupInfo, tree *mls.RatchetTree) (*mls.LeafIndex, error) {
	if tree == nil {
		var err error
		if tree, err = gi.Extensions.RatchetTree(); err != nil {
			return nil, err
		}
	}
	if tree == nil {
		return nil, mls.ErrNoTree
	}
	for i, node := range *tree {
		if node != nil && node.Leaf != nil && node.Leaf.Credential.Equal(&p.leaf.Credential) {
			own := mls.LeafIndex(i / 2)
			return &own, nil
		}
	}
	return nil, errors.New("there is no leaf of this client to resync")
}

func (p *Peer) groupInfo(_ context.Context, q GroupInfo) (*Answer, error) {
	gi, err := p.group.GroupInfo(p.own, mls.GroupInfoOptions{ExternalPub: true, RatchetTree: q.Tree})
	if err != nil {
		return nil, err
	}
	msg, err := mls.Marshal(&mls.MLSMessage{GroupInfo: gi})
	if err != nil {
		return nil, err
	}
	tree, err := mls.Marshal(p.group.RatchetTree())
	if err != nil {
		return nil, err
	}
	return &Answer{GroupInfo: msg, Tree: tree}, nil
}

func (p *Peer) export(_ context.Context, q Export) (*Answer, error) {
	secret, err := p.group.Export(q.Label, q.Context, q.Length)
	if err != nil {
		return nil, err
	}
	return &Answer{Secret: bytes.Clone(secret.Bytes())}, nil
}

func (p *Peer) state(context.Context, None) (*Answer, error) {
	v := p.group.View()
	own, c, authenticator := uint32(p.own), v.Context(), p.group.EpochAuthenticator()
	a := &Answer{
		GroupID: c.GroupID, Epoch: c.Epoch, TreeHash: c.TreeHash, Own: &own,
		EpochAuthenticator: bytes.Clone(authenticator.Bytes()),
	}
	for _, e := range c.Extensions {
		a.Extensions = append(a.Extensions, Extension{Type: uint16(e.Type), Data: e.Data})
	}
	for m := range v.Members() {
		a.Roster = append(a.Roster, Member{
			Index: uint32(m.Index), Identity: m.Leaf.Credential.Body,
			CredentialType: uint16(m.Leaf.Credential.Type), SignatureKey: m.Leaf.SignatureKey,
		})
	}
	return a, nil
}

func parse(b []byte) (*mls.MLSMessage, error) {
	m := new(mls.MLSMessage)
	if err := mls.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("failed to decode the MLSMessage: %w", err)
	}
	return m, nil
}

func parseTree(b []byte) (*mls.RatchetTree, error) {
	if len(b) == 0 {
		return nil, nil
	}
	t := new(mls.RatchetTree)
	if err := mls.Unmarshal(b, t); err != nil {
		return nil, fmt.Errorf("failed to decode the ratchet tree: %w", err)
	}
	return t, nil
}
