package mlspeer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

func (p *Peer) commit(ctx context.Context, q Commit) (*Answer, error) {
	bodies, err := p.committed(q)
	if err != nil {
		return nil, err
	}
	aad, err := mls.ParseAuthenticatedData(p.group.View().Context().Extensions, q.AAD)
	if err != nil {
		return nil, err
	}
	pending, err := p.group.Commit(ctx, p.own, mls.CommitOptions{
		Proposals: bodies, AllPending: true, AAD: aad,
		GroupInfo: func(*mls.NextEpoch) (public, welcome mls.GroupInfoOptions, err error) {
			return mls.GroupInfoOptions{ExternalPub: true}, mls.GroupInfoOptions{RatchetTree: q.Tree}, nil
		},
	})
	if err != nil {
		return nil, err
	}
	a := new(Answer)
	if a.Commit, err = mls.Marshal(pending.MLSMessage()); err != nil {
		return nil, err
	}
	if pending.Welcome != nil {
		if a.Welcome, err = mls.Marshal(&mls.MLSMessage{Welcome: pending.Welcome}); err != nil {
			return nil, err
		}
	}
	if _, err := p.group.Merge(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// committed makes the proposals that a commit carries by value.
func (p *Peer) committed(q Commit) ([]mls.ProposalBody, error) {
	var bodies []mls.ProposalBody
	for _, kp := range q.Add {
		body, err := add(kp)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	for _, leaf := range q.Remove {
		bodies = append(bodies, &mls.Remove{Removed: mls.LeafIndex(leaf)})
	}
	if q.GCE != nil {
		bodies = append(bodies, &mls.GroupContextExtensions{Extensions: extensions(*q.GCE)})
	}
	for _, id := range q.PSK {
		bodies = append(bodies, &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: id}})
	}
	for _, epoch := range q.Resumption {
		bodies = append(bodies, &mls.PreSharedKey{PSK: mls.PreSharedKeyID{
			Type: mls.PSKResumption, Usage: mls.ResumptionApplication, GroupID: p.group.GroupID(), Epoch: epoch,
		}})
	}
	for _, c := range q.Custom {
		body, err := custom(c)
		if err != nil {
			return nil, err
		}
		bodies = append(bodies, body)
	}
	return bodies, nil
}

func (p *Peer) propose(ctx context.Context, q Propose) (*Answer, error) {
	aad, err := mls.ParseAuthenticatedData(p.group.View().Context().Extensions, q.AAD)
	if err != nil {
		return nil, err
	}
	var m *mls.PublicMessage
	if q.Update {
		m, _, err = p.group.ProposeUpdate(ctx, p.own, nil, aad)
	} else {
		var body mls.ProposalBody
		if body, err = p.proposed(q); err != nil {
			return nil, err
		}
		m, _, err = p.group.Propose(ctx, p.own, body, aad)
	}
	if err != nil {
		return nil, err
	}
	msg, err := mls.Marshal(&mls.MLSMessage{PublicMessage: m})
	return &Answer{Proposal: msg}, err
}

// proposed makes the proposal that q names, other than an Update.
func (p *Peer) proposed(q Propose) (mls.ProposalBody, error) {
	switch {
	case len(q.Add) > 0:
		return add(q.Add)
	case q.Remove != nil:
		return &mls.Remove{Removed: mls.LeafIndex(*q.Remove)}, nil
	case q.GCE != nil:
		return &mls.GroupContextExtensions{Extensions: extensions(*q.GCE)}, nil
	case q.Custom != nil:
		return custom(*q.Custom)
	case len(q.PSK) > 0:
		nonce := make([]byte, p.suite.Nh())
		if _, err := p.cfg.Random.Read(nonce); err != nil {
			return nil, err
		}
		return &mls.PreSharedKey{PSK: mls.PreSharedKeyID{Type: mls.PSKExternal, ID: q.PSK, Nonce: nonce}}, nil
	case q.SelfRemove:
		return &mls.SelfRemove{}, nil
	default:
		return nil, errors.New("the request names no proposal")
	}
}

func add(kp []byte) (mls.ProposalBody, error) {
	m, err := parse(kp)
	if err != nil {
		return nil, err
	}
	if m.KeyPackage == nil {
		return nil, errors.New("the message is no KeyPackage")
	}
	return &mls.Add{KeyPackage: *m.KeyPackage}, nil
}

// custom makes a proposal of its type and what follows.
func custom(c Custom) (mls.ProposalBody, error) {
	var p mls.Proposal
	err := mls.Unmarshal(append(binary.BigEndian.AppendUint16(nil, c.Type), c.Data...), &p)
	if errors.Is(err, mls.ErrUnsupportedProposal) {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return p.Body, err
}

// externalPropose signs what RFC 9420, section 6.1, calls the FramedContentTBS.
// For senders outside of the group that has no GroupContext.
func (p *Peer) externalPropose(_ context.Context, q ExternalPropose) (*Answer, error) {
	m, err := parse(q.GroupInfo)
	if err != nil {
		return nil, err
	}
	if m.GroupInfo == nil {
		return nil, errors.New("the message is no GroupInfo")
	}
	body, err := p.proposed(Propose{Add: q.Add, Remove: q.Remove})
	if err != nil {
		return nil, err
	}
	sender, err := p.externalSender(m.GroupInfo)
	if err != nil {
		return nil, err
	}
	content := mls.FramedContent{
		GroupID: m.GroupInfo.GroupContext.GroupID, Epoch: m.GroupInfo.GroupContext.Epoch, Sender: sender,
		ContentType: mls.ContentProposal, Proposal: &mls.Proposal{Body: body},
	}
	framed, err := mls.Marshal(&content)
	if err != nil {
		return nil, err
	}
	tbs := binary.BigEndian.AppendUint16(nil, uint16(mls.MLS10))
	tbs = binary.BigEndian.AppendUint16(tbs, uint16(mls.WireFormatPublicMessage))
	signature, err := p.suite.SignWithLabel(p.leaf.SignatureKey, "FramedContentTBS", append(tbs, framed...))
	if err != nil {
		return nil, err
	}
	msg, err := mls.Marshal(&mls.MLSMessage{PublicMessage: &mls.PublicMessage{
		Content: content, Auth: mls.FramedContentAuthData{Signature: signature},
	}})
	return &Answer{Proposal: msg}, err
}

// externalSender says as whom this client may propose.
func (p *Peer) externalSender(gi *mls.GroupInfo) (mls.Sender, error) {
	senders, err := gi.GroupContext.Extensions.ExternalSenders()
	if err != nil {
		return mls.Sender{}, err
	}
	for i, s := range senders {
		if string(s.SignatureKey) == string(p.leaf.SignatureKey.Public()) {
			return mls.Sender{Type: mls.SenderExternal, Index: mls.LeafIndex(i)}, nil
		}
	}
	return mls.Sender{Type: mls.SenderNewMemberProposal}, nil
}

func (p *Peer) process(ctx context.Context, q Process) (*Answer, error) {
	m, err := parse(q.Msg)
	if err != nil {
		return nil, err
	}
	before := p.group.View().Context().Extensions
	r, err := p.group.Process(ctx, m)
	if err != nil {
		return nil, err
	}
	a := new(Answer)
	var aad mls.AuthenticatedData
	switch {
	case r.Application != nil:
		sender := uint32(r.Application.Sender)
		a.Kind, a.Data, a.Sender, aad = KindApplication, r.Application.Data, &sender, r.Application.AuthenticatedData
	case r.Proposal != nil:
		a.Kind, aad = KindProposal, r.Proposal.AuthenticatedData
		if r.Proposal.Sender.Type == mls.SenderMember {
			sender := uint32(r.Proposal.Sender.Index)
			a.Sender = &sender
		}
	default:
		a.Kind, a.Active, aad = KindCommit, &r.Commit.Active, r.Commit.AuthenticatedData
		if !r.Commit.External {
			sender := uint32(r.Commit.Committer)
			a.Sender = &sender
		}
		if !r.Commit.Active {
			p.group = nil
		}
	}
	a.AAD, err = marshalAAD(before, aad)
	return a, err
}

// marshalAAD is the opposite of ParseAuthenticatedData.
func marshalAAD(group mls.Extensions, aad mls.AuthenticatedData) ([]byte, error) {
	_, safe, err := group.Component(mls.ComponentSafeAAD)
	if err != nil || !safe {
		return aad.Rest, err
	}
	b, err := mls.Marshal(&aad.Safe)
	return append(b, aad.Rest...), err
}

func (p *Peer) protect(_ context.Context, q Protect) (*Answer, error) {
	aad, err := mls.ParseAuthenticatedData(p.group.View().Context().Extensions, q.AAD)
	if err != nil {
		return nil, err
	}
	m, err := p.group.Protect(p.own, q.Data, aad)
	if err != nil {
		return nil, err
	}
	msg, err := mls.Marshal(&mls.MLSMessage{PrivateMessage: m})
	return &Answer{Msg: msg}, err
}
