package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	mls "github.com/thomas-vilte/mls-go"
	"github.com/thomas-vilte/mls-go/ciphersuite"
	"github.com/thomas-vilte/mls-go/extensions"
	"github.com/thomas-vilte/mls-go/framing"
	"github.com/thomas-vilte/mls-go/group"
)

// The library frames KeyPackages and GroupInfos without the head of an
// MLSMessage: version mls10, and the wire format.
var (
	headGroupInfo  = []byte{0, 1, 0, 4}
	headKeyPackage = []byte{0, 1, 0, 5}
)

// A peer is a client of the library, and the group it is in.
type peer struct {
	client *mls.Client
	group  []byte
}

func newPeer(q *request) (*peer, map[string]any, error) {
	var types []uint16
	if err := decode(q.Extensions, &types); err != nil {
		return nil, nil, err
	}
	switch {
	case q.Suite < 1 || q.Suite > 3:
		return nil, nil, fmt.Errorf("cipher suite %d: %w", q.Suite, errUnsupported)
	case q.CredentialType > 1:
		return nil, nil, fmt.Errorf("credential type %d: %w", q.CredentialType, errUnsupported)
	case len(types) > 0 || len(q.Proposals) > 0:
		return nil, nil, fmt.Errorf("capabilities other than the library's own: %w", errUnsupported)
	case !q.PublicHandshake:
		return nil, nil, fmt.Errorf("encrypted handshake messages: %w", errUnsupported)
	}
	client, err := mls.NewClient(q.Identity, ciphersuite.CipherSuite(q.Suite), mls.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
	if err != nil {
		return nil, nil, err
	}
	return &peer{client: client}, map[string]any{}, nil
}

func (p *peer) handle(ctx context.Context, q *request) (map[string]any, error) {
	switch q.Op {
	case "keypackage":
		return p.keyPackage(ctx, q)
	case "create":
		return p.create(ctx, q)
	case "join":
		return p.join(ctx, q)
	case "external_join":
		return p.externalJoin(ctx, q)
	case "external_propose", "psk":
		return nil, fmt.Errorf("%s: %w by the library's Client", q.Op, errUnsupported)
	}
	if p.group == nil {
		return nil, errors.New("this peer is in no group")
	}
	switch q.Op {
	case "commit":
		return p.commit(ctx, q)
	case "propose":
		return p.propose(ctx, q)
	case "process":
		return p.process(ctx, q)
	case "protect":
		msg, err := p.client.SendMessage(ctx, p.group, q.Data, mls.WithAAD(q.AAD))
		return map[string]any{"msg": octets(msg)}, err
	case "group_info":
		return p.groupInfo(ctx)
	case "export":
		secret, err := p.client.Export(ctx, p.group, q.Label, q.Context, q.Length)
		return map[string]any{"secret": octets(secret)}, err
	case "state":
		return p.state(ctx)
	default:
		return nil, fmt.Errorf("unknown op %q", q.Op)
	}
}

func (p *peer) keyPackage(ctx context.Context, q *request) (map[string]any, error) {
	if len(q.Extensions) > 0 || len(q.LeafExtensions) > 0 {
		return nil, fmt.Errorf("extensions in KeyPackages: %w", errUnsupported)
	}
	kp, err := p.client.FreshKeyPackageBytes(ctx)
	return map[string]any{"key_package": octets(append(bytes.Clone(headKeyPackage), kp...))}, err
}

func (p *peer) create(ctx context.Context, q *request) (map[string]any, error) {
	var list []extension
	if err := decode(q.Extensions, &list); err != nil {
		return nil, err
	}
	var contextExtensions []group.Extension
	for _, e := range list {
		contextExtensions = append(contextExtensions, group.Extension{Type: extensions.ExtensionType(e.Type), Data: e.Data})
	}
	kp, err := p.client.FreshKeyPackageBytes(ctx)
	if err != nil {
		return nil, err
	}
	p.group, err = p.client.CreateGroupWithExtensions(ctx, q.GroupID, kp, contextExtensions)
	return map[string]any{}, err
}

func (p *peer) join(ctx context.Context, q *request) (map[string]any, error) {
	var tree octets
	if err := decode(q.Tree, &tree); err != nil {
		return nil, err
	}
	if len(tree) > 0 {
		return nil, fmt.Errorf("a tree beside the Welcome: %w by the library's Client", errUnsupported)
	}
	id, err := p.client.JoinGroup(ctx, q.Welcome)
	if err == nil {
		p.group = id
	}
	return map[string]any{}, err
}

func (p *peer) externalJoin(ctx context.Context, q *request) (map[string]any, error) {
	var tree octets
	if err := decode(q.Tree, &tree); err != nil {
		return nil, err
	}
	if len(tree) > 0 || len(q.AAD) > 0 || q.Resync || len(q.PSK) > 0 {
		return nil, fmt.Errorf("options of external Commits: %w by the library's Client", errUnsupported)
	}
	info, ok := bytes.CutPrefix(q.GroupInfo, headGroupInfo)
	if !ok {
		return nil, errors.New("the message is no GroupInfo")
	}
	id, commit, err := p.client.ExternalJoin(ctx, info)
	if err == nil {
		p.group = id
	}
	return map[string]any{"commit": octets(commit)}, err
}

func (p *peer) commit(ctx context.Context, q *request) (map[string]any, error) {
	if len(q.AAD) > 0 || len(q.GCE) > 0 || len(q.Custom) > 0 || len(q.PSK) > 0 {
		return nil, fmt.Errorf("options of commits: %w by the library's Client", errUnsupported)
	}
	var add []octets
	var remove []uint32
	var tree bool
	if err := errors.Join(decode(q.Add, &add), decode(q.Remove, &remove), decode(q.Tree, &tree)); err != nil {
		return nil, err
	}
	if len(add) > 0 && !tree {
		return nil, fmt.Errorf("a Welcome without the tree: %w by this peer", errUnsupported)
	}
	// The Client commits by reference only. What nobody has seen is sent by value:
	// that is not offered, and so only its own calls for one Add or Remove are left.
	var commit, welcome []byte
	var err error
	switch {
	case len(add) == 1 && len(remove) == 0 && len(q.Resumption) == 0:
		kp, _ := bytes.CutPrefix(add[0], headKeyPackage)
		commit, welcome, err = p.client.InviteMember(ctx, p.group, kp)
	case len(add) == 0 && len(remove) == 1 && len(q.Resumption) == 0:
		var identity []byte
		if identity, err = p.identity(ctx, remove[0]); err == nil {
			commit, err = p.client.RemoveMember(ctx, p.group, identity)
		}
	case len(add) == 0 && len(remove) == 0 && len(q.Resumption) == 0:
		// With pending proposals or without: an empty commit has a path.
		commit, welcome, err = p.client.CommitPendingProposals(ctx, p.group)
	default:
		return nil, fmt.Errorf("several proposals by value in one commit: %w by the library's Client", errUnsupported)
	}
	if err != nil {
		return nil, err
	}
	a := map[string]any{"commit": octets(commit)}
	if len(welcome) > 0 {
		a["welcome"] = octets(welcome)
	}
	return a, nil
}

// identity finds the identity at a leaf, by which the Client names members.
func (p *peer) identity(ctx context.Context, leaf uint32) ([]byte, error) {
	members, err := p.client.ListMembers(ctx, p.group)
	for _, m := range members {
		if m.LeafIndex == leaf {
			return m.Identity, nil
		}
	}
	return nil, errors.Join(err, errors.New("no member at this leaf"))
}

func (p *peer) propose(ctx context.Context, q *request) (map[string]any, error) {
	if len(q.AAD) > 0 {
		return nil, fmt.Errorf("authenticated data of proposals: %w by the library's Client", errUnsupported)
	}
	var msg []byte
	var err error
	switch {
	case len(q.Add) > 0:
		var kp octets
		if err = decode(q.Add, &kp); err == nil {
			raw, _ := bytes.CutPrefix(kp, headKeyPackage)
			msg, err = p.client.ProposeAddMember(ctx, p.group, raw)
		}
	case len(q.Remove) > 0:
		var leaf uint32
		var identity []byte
		if err = decode(q.Remove, &leaf); err == nil {
			if identity, err = p.identity(ctx, leaf); err == nil {
				msg, err = p.client.ProposeRemoveMember(ctx, p.group, identity)
			}
		}
	default:
		return nil, fmt.Errorf("this proposal: %w by the library's Client", errUnsupported)
	}
	return map[string]any{"proposal": octets(msg)}, err
}

func (p *peer) process(ctx context.Context, q *request) (map[string]any, error) {
	m, err := framing.UnmarshalMLSMessage(q.Msg)
	if err != nil {
		return nil, err
	}
	public, ok := m.AsPublic()
	if !ok {
		r, err := p.client.ReceiveMessage(ctx, p.group, q.Msg)
		if err != nil {
			return nil, err
		}
		return map[string]any{
			"kind": "application", "data": octets(r.Plaintext), "aad": octets(r.AuthenticatedData), "sender": r.SenderLeafIdx,
		}, nil
	}
	a := map[string]any{"aad": octets(public.Content.AuthenticatedData)}
	if public.Content.ContentType() == framing.ContentTypeProposal {
		a["kind"] = "proposal"
		return a, p.client.ProcessPublicMessage(ctx, p.group, q.Msg)
	}
	a["kind"] = "commit"
	before, err := p.client.OwnLeafIndex(ctx, p.group)
	if err != nil {
		return nil, err
	}
	err = p.client.ProcessCommit(ctx, p.group, q.Msg)
	if errors.Is(err, mls.ErrOwnLeafNotFound) {
		// This is how the library tells a member that it was removed.
		a["active"], p.group = false, nil
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	members, err := p.client.ListMembers(ctx, p.group)
	a["active"] = slices.ContainsFunc(members, func(m mls.MemberInfo) bool { return m.LeafIndex == before })
	return a, err
}

func (p *peer) groupInfo(ctx context.Context) (map[string]any, error) {
	info, err := p.client.GroupInfo(ctx, p.group)
	return map[string]any{"group_info": octets(append(bytes.Clone(headGroupInfo), info...))}, err
}

func (p *peer) state(ctx context.Context) (map[string]any, error) {
	encoded, err := p.client.GroupInfo(ctx, p.group)
	if err != nil {
		return nil, err
	}
	info, err := group.UnmarshalGroupInfo(encoded)
	if err != nil {
		return nil, err
	}
	authenticator, err := p.client.EpochAuthenticator(ctx, p.group)
	if err != nil {
		return nil, err
	}
	own, err := p.client.OwnLeafIndex(ctx, p.group)
	if err != nil {
		return nil, err
	}
	members, err := p.client.ListMembers(ctx, p.group)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b mls.MemberInfo) int { return int(a.LeafIndex) - int(b.LeafIndex) })
	roster := []map[string]any{}
	for _, m := range members {
		roster = append(roster, map[string]any{
			"index": m.LeafIndex, "identity": octets(m.Identity), "credential_type": 1, "signature_key": octets(m.SigningKey),
		})
	}
	list := []extension{}
	for _, e := range info.GroupContext.Extensions {
		list = append(list, extension{Type: uint16(e.Type), Data: e.Data})
	}
	return map[string]any{
		"group_id": octets(p.group), "epoch": info.GroupContext.Epoch.AsUint64(), "tree_hash": octets(info.GroupContext.TreeHash),
		"epoch_authenticator": octets(authenticator), "own": own, "roster": roster, "extensions": list,
	}, nil
}

// decode reads a member that may be absent.
func decode(member json.RawMessage, v any) error {
	if len(member) == 0 {
		return nil
	}
	began := time.Now()
	defer func() { decoding += time.Since(began) }()
	return json.Unmarshal(member, v)
}
