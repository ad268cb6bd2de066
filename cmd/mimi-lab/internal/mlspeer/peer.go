package mlspeer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// maxLine bounds a request: a Welcome or tree of some thousand members in hex.
const maxLine = 64 << 20

// ErrUnsupported marks requests for what the implementation does not have.
var ErrUnsupported = errors.New("not supported")

var (
	errNoInit  = errors.New("the first request has to be init")
	errNoGroup = errors.New("this peer is in no group")
)

// A Peer is an MLS client of package mls behind the protocol. It is not safe for
// concurrent use.
type Peer struct {
	cfg         mls.Config
	suite       *suite.Suite
	leaf        mls.LeafParams
	keyPackages []*mls.KeyPackagePrivate
	psks        map[string]suite.Secret
	group       *mls.Group
	own         mls.LeafIndex
}

// New returns a peer that waits for "init".
func New() *Peer { return &Peer{} }

// Serve answers requests until the input ends.
func Serve(ctx context.Context, r io.Reader, w io.Writer) error {
	p := New()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		answer, err := json.Marshal(p.Handle(ctx, lines.Bytes()))
		if err != nil {
			return err
		}
		if _, err := w.Write(append(answer, '\n')); err != nil {
			return err
		}
	}
	return lines.Err()
}

// Handle answers one request.
func (p *Peer) Handle(ctx context.Context, request []byte) *Answer {
	var head struct {
		Op string `json:"op"`
	}
	err := json.Unmarshal(request, &head)
	var a *Answer
	if err == nil {
		a, err = p.dispatch(ctx, head.Op, request)
	}
	if err != nil {
		return &Answer{Error: err.Error(), Unsupported: errors.Is(err, ErrUnsupported)}
	}
	a.OK = true
	return a
}

func (p *Peer) dispatch(ctx context.Context, op string, request []byte) (*Answer, error) {
	if op == "init" {
		return call(ctx, request, p.init)
	}
	if p.suite == nil {
		return nil, errNoInit
	}
	switch op {
	case "keypackage":
		return call(ctx, request, p.keyPackage)
	case "create":
		return call(ctx, request, p.create)
	case "join":
		return call(ctx, request, p.join)
	case "external_join":
		return call(ctx, request, p.externalJoin)
	case "external_propose":
		return call(ctx, request, p.externalPropose)
	case "psk":
		return call(ctx, request, p.psk)
	}
	if p.group == nil {
		return nil, errNoGroup
	}
	switch op {
	case "commit":
		return call(ctx, request, p.commit)
	case "propose":
		return call(ctx, request, p.propose)
	case "process":
		return call(ctx, request, p.process)
	case "protect":
		return call(ctx, request, p.protect)
	case "group_info":
		return call(ctx, request, p.groupInfo)
	case "export":
		return call(ctx, request, p.export)
	case "state":
		return call(ctx, request, p.state)
	default:
		return nil, fmt.Errorf("unknown op %q", op)
	}
}

// call decodes the parameters of a request and answers it.
func call[P any](ctx context.Context, request []byte, f func(context.Context, P) (*Answer, error)) (*Answer, error) {
	var params P
	if err := unmarshalParams(request, &params); err != nil {
		return nil, err
	}
	began := time.Now()
	a, err := f(ctx, params)
	if err == nil {
		a.NS = time.Since(began).Nanoseconds()
	}
	return a, err
}

func (p *Peer) init(_ context.Context, q Init) (*Answer, error) {
	if !q.PublicHandshake {
		return nil, fmt.Errorf("encrypted handshake messages: %w", ErrUnsupported)
	}
	s, err := suite.Lookup(suite.ID(q.Suite))
	if errors.Is(err, suite.ErrUnsupported) {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	} else if err != nil {
		return nil, err
	}
	key, err := s.GenerateSignatureKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	credential := mls.Credential{Type: mls.CredentialType(q.CredentialType), Body: q.Identity}
	if q.CredentialType == 0 {
		credential.Type = mls.CredentialBasic
	}
	capabilities := mls.DefaultCapabilities()
	capabilities.Extensions = convert[mls.ExtensionType](q.Extensions)
	capabilities.Proposals = convert[mls.ProposalType](q.Proposals)
	capabilities.Credentials = append([]mls.CredentialType{mls.CredentialBasic}, convert[mls.CredentialType](q.Credentials)...)
	*p = Peer{
		suite: s,
		leaf:  mls.LeafParams{Credential: credential, Capabilities: capabilities, SignatureKey: key},
		psks:  map[string]suite.Secret{},
	}
	p.cfg = mls.Config{Policy: permissive{}, Random: rand.Reader, Now: time.Now, PSK: p.findPSK}
	return &Answer{SignatureKey: key.Public()}, nil
}

func (p *Peer) keyPackage(_ context.Context, q KeyPackage) (*Answer, error) {
	leaf := p.leaf
	leaf.Extensions = extensions(q.LeafExtensions)
	now := p.cfg.Now()
	kp, err := mls.NewKeyPackage(p.cfg.Random, mls.KeyPackageParams{
		CipherSuite: p.suite.ID(),
		Leaf:        leaf,
		NotBefore:   uint64(now.Add(-time.Hour).Unix()),
		NotAfter:    uint64(now.Add(28 * 24 * time.Hour).Unix()),
		Extensions:  extensions(q.Extensions),
	})
	if err != nil {
		return nil, err
	}
	msg, err := mls.Marshal(&mls.MLSMessage{KeyPackage: &kp.KeyPackage})
	if err != nil {
		return nil, err
	}
	p.keyPackages = append(p.keyPackages, kp)
	return &Answer{KeyPackage: msg}, nil
}

func (p *Peer) psk(_ context.Context, q PSK) (*Answer, error) {
	p.psks[string(q.ID)] = suite.NewSecret(q.PSK)
	return &Answer{}, nil
}

func (p *Peer) findPSK(_ context.Context, id mls.PreSharedKeyID) (suite.Secret, error) {
	psk, ok := p.psks[string(id.ID)]
	if id.Type != mls.PSKExternal || !ok {
		return suite.Secret{}, mls.ErrNoPSK
	}
	return psk, nil
}

// permissive is the policy of a peer: everything that RFC 9420 allows. Clients
// are told apart by their credentials.
type permissive struct{}

func (permissive) ValidateCredential(context.Context, mls.Credential, []byte) error { return nil }

func (permissive) SameClient(old, new mls.Credential) bool { return old.Equal(&new) }

func (permissive) ValidateProposal(context.Context, *mls.ProposalView) error { return nil }

func (permissive) ApplyComponent(_ context.Context, _ mls.ComponentID, _ []byte, updates [][]byte) ([]byte, error) {
	return updates[len(updates)-1], nil
}

func (permissive) ValidateCommit(context.Context, *mls.CommitView) error { return nil }

func convert[T ~uint16](list []uint16) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = T(v)
	}
	return out
}

func extensions(list []Extension) mls.Extensions {
	out := make(mls.Extensions, len(list))
	for i, e := range list {
		out[i] = mls.Extension{Type: mls.ExtensionType(e.Type), Data: e.Data}
	}
	return out
}
