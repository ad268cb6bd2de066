package mmr

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// Rules is the [mls.Policy] of one group. Its owner, who also owns the group,
// tells it which room the group is at each epoch: see [Rules.Set].
type Rules struct {
	codes joinCodes

	mu   sync.Mutex
	room *Room
	// staged is the room after the Commit that leads to after, which was found
	// good. The state behind a View is that of one staged Commit and no other.
	staged *Room
	after  mls.View
}

var _ mls.Policy = (*Rules)(nil)

// NewRules returns the rules for a group. joinCode says whether the joiner with
// a credential has shown a valid joining code to this hub; members give nil.
func NewRules(joinCode func(mls.Credential) bool) *Rules {
	return &Rules{codes: joinCode}
}

// Room returns the room that was set last, or nil.
func (u *Rules) Room() *Room {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.room
}

// Set says which room the group is now. Before the first call no Commit passes.
func (u *Rules) Set(r *Room) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.room, u.staged, u.after = r, nil, mls.View{}
}

// Next returns the room after a Commit that [Rules.ValidateCommit] has let pass,
// or checks the Commit now.
func (u *Rules) Next(view *mls.CommitView) (*Room, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.staged != nil && u.after == view.After {
		return u.staged, nil
	}
	if u.room == nil {
		return nil, fmt.Errorf("%w: no room is set", ErrNotMinimal)
	}
	next, err := u.room.Next(view, u.codes)
	if err == nil {
		u.staged, u.after = next, view.After
	}
	return next, err
}

// ValidateCredential implements [mls.Policy]. A basic credential is the hub's, as
// external sender: it names the provider. That no leaf has one is checked with
// the leaves.
func (u *Rules) ValidateCredential(_ context.Context, credential mls.Credential, signatureKey []byte) error {
	if credential.Type == mls.CredentialBasic {
		_, err := mimi.ParseURIKind(string(credential.Body), mimi.KindProvider)
		return err
	}
	tbs, err := ReadCredential(credential)
	if err != nil {
		return err
	}
	if !bytes.Equal(tbs.SignaturePublicKey, signatureKey) {
		return mimi.Refuse("credential-key", identity.ErrSignatureKey)
	}
	return nil
}

// SameClient implements [mls.Policy]: a client keeps its credential, or takes a
// new client pseudonym and key under the same user pseudonym; in a plain room it
// keeps its addresses.
func (u *Rules) SameClient(prev, next mls.Credential) bool {
	if prev.Equal(&next) {
		return true
	}
	a, errA := ReadCredential(prev)
	b, errB := ReadCredential(next)
	if errA != nil || errB != nil || prev.Type != next.Type {
		return false
	}
	if prev.Type == mls.CredentialX509 { // a renewed certificate
		return a.UserPseudonym == b.UserPseudonym && a.ClientPseudonym == b.ClientPseudonym
	}
	return identity.SameClient(a, b)
}

// legalProposals are the types that any proposal may have (docs/mmr-profile.md,
// section 3, "Who sends what").
var legalProposals = []mls.ProposalType{
	mls.ProposalAdd, mls.ProposalRemove, mls.ProposalSelfRemove, mls.ProposalAppDataUpdate, mls.ProposalPreSharedKey, mls.ProposalExternalInit,
}

// ValidateProposal implements [mls.Policy]: which proposals are legal, by value
// and by reference (docs/mmr-profile.md, section 3, "Who sends what").
func (u *Rules) ValidateProposal(_ context.Context, view *mls.ProposalView) error {
	byValue := view.Commit != nil && !view.ByReference
	external := view.Commit != nil && view.Commit.External
	if !byValue && view.Sender.Type != mls.SenderMember {
		return mimi.Refuse("proposal-outside", fmt.Errorf("%w: from outside the group", ErrProposal))
	}
	if !slices.Contains(legalProposals, view.Proposal.Type()) {
		return mimi.Refuse("proposal-type", fmt.Errorf("%w: %v", ErrProposal, view.Proposal.Type()))
	}
	switch body := view.Proposal.Body.(type) {
	case *mls.Add:
		if !byValue {
			return mimi.Refuse("add-by-reference", fmt.Errorf("%w: an Add stands in its committer's own Commit", ErrProposal))
		}
		room := u.Room()
		if room == nil {
			return fmt.Errorf("%w: no room is set", ErrNotMinimal)
		}
		_, err := room.ParseLeaf(&body.KeyPackage.LeafNode)
		return err
	case *mls.AppDataUpdate:
		if !byValue && (body.Component == identity.ComponentPolicy || body.Component == identity.ComponentRoomMetadata) {
			return mimi.Refuse("component-by-reference", fmt.Errorf("%w: component 0x%04x changes by value alone", ErrProposal, uint16(body.Component)))
		}
		return nil
	case *mls.PreSharedKey, *mls.ExternalInit:
		if !byValue || !external {
			return mimi.Refuse("joiners-proposal", fmt.Errorf("%w: %v outside of an external Commit", ErrProposal, view.Proposal.Type()))
		}
		if room := u.Room(); view.Proposal.Type() == mls.ProposalPreSharedKey && room != nil && room.plain {
			return fmt.Errorf("%w: a pre-shared key in a plain room, which has none", ErrProposal)
		}
	}
	return nil
}

// ApplyComponent implements [mls.Policy].
func (u *Rules) ApplyComponent(_ context.Context, id mls.ComponentID, old []byte, updates [][]byte) ([]byte, error) {
	next, err := room.ApplyComponent(room.ComponentID(id), old, updates)
	if err != nil || id != identity.ComponentPolicy {
		return next, err
	}
	return next, checkPolicyChange(old, next)
}

// ValidateCommit implements [mls.Policy].
func (u *Rules) ValidateCommit(_ context.Context, view *mls.CommitView) error {
	_, err := u.Next(view)
	return err
}
