package mlstest

import (
	"bytes"
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A Policy is a policy for tests. The zero value refuses nothing; a hook that is
// set decides. Credentials are basic ones, of the form "user/client": clients of
// the same user may succeed each other.
type Policy struct {
	Credential func(c mls.Credential, signatureKey []byte) error
	Same       func(old, new mls.Credential) bool
	Proposal   func(v *mls.ProposalView) error
	Component  func(id mls.ComponentID, old []byte, updates [][]byte) ([]byte, error)
	Commit     func(v *mls.CommitView) error
}

// ValidateCredential asks the hook.
func (p *Policy) ValidateCredential(_ context.Context, c mls.Credential, signatureKey []byte) error {
	if p.Credential == nil {
		return nil
	}
	return p.Credential(c, signatureKey)
}

// SameClient asks the hook, and else compares the users.
func (p *Policy) SameClient(old, new mls.Credential) bool {
	if p.Same != nil {
		return p.Same(old, new)
	}
	a, _, _ := bytes.Cut(old.Body, []byte("/"))
	b, _, _ := bytes.Cut(new.Body, []byte("/"))
	return bytes.Equal(a, b)
}

// ValidateProposal asks the hook.
func (p *Policy) ValidateProposal(_ context.Context, v *mls.ProposalView) error {
	if p.Proposal == nil {
		return nil
	}
	return p.Proposal(v)
}

// ApplyComponent asks the hook; without one the last update is the new data.
func (p *Policy) ApplyComponent(_ context.Context, id mls.ComponentID, old []byte, updates [][]byte) ([]byte, error) {
	if p.Component == nil {
		return updates[len(updates)-1], nil
	}
	return p.Component(id, old, updates)
}

// ValidateCommit asks the hook.
func (p *Policy) ValidateCommit(_ context.Context, v *mls.CommitView) error {
	if p.Commit == nil {
		return nil
	}
	return p.Commit(v)
}
