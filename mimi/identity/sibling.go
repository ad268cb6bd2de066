package identity

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrSibling reports a second leaf of a user pseudonym that no leaf of that user
// pseudonym has vouched for (docs/mmr-profile.md, section 1).
var ErrSibling = errors.New("identity: second leaf of a user is not vouched for by the first")

const labelSibling = "MGP1 Sibling"

// A SiblingProof lets a further client of a user enter by external Commit: a leaf
// of the same user pseudonym signs the newcomer's credential.
//
//	struct {
//	    uint32 leaf_index;
//	    opaque signature<V>;
//	} SiblingProof;
type SiblingProof struct {
	Leaf      mls.LeafIndex
	Signature []byte
}

// Wire codes the structure.
func (p *SiblingProof) Wire(c *wire.Codec) {
	wire.Uint32(c, &p.Leaf)
	wire.Opaque(c, &p.Signature)
}

// siblingContent is group_id<V> || new PseudonymousCredentialTBS.
type siblingContent struct {
	groupID []byte
	tbs     *PseudonymousCredentialTBS
}

func (x *siblingContent) Wire(c *wire.Codec) {
	wire.Opaque(c, &x.groupID)
	x.tbs.Wire(c)
}

// NewSiblingProof vouches with the key of the leaf at position leaf for a
// newcomer of the same user pseudonym.
func NewSiblingProof(s *suite.Suite, groupID []byte, leaf mls.LeafIndex, key suite.SignatureKey, newcomer *PseudonymousCredentialTBS) (*SiblingProof, error) {
	content, err := wire.Marshal(&siblingContent{groupID, newcomer})
	if err != nil {
		return nil, fmt.Errorf("vouch for a leaf: %w", err)
	}
	sig, err := s.SignWithLabel(key, labelSibling, content)
	if err != nil {
		return nil, fmt.Errorf("vouch for a leaf: %w", err)
	}
	return &SiblingProof{leaf, sig}, nil
}

// Verify checks that sibling, the credential of the leaf at position p.Leaf,
// vouches for newcomer. It fails with [ErrSibling].
func (p *SiblingProof) Verify(s *suite.Suite, groupID []byte, sibling, newcomer *PseudonymousCredentialTBS) error {
	if sibling.UserPseudonym != newcomer.UserPseudonym {
		return mimi.Refuse("sibling-user", fmt.Errorf("%w: leaf %d is of another user", ErrSibling, p.Leaf))
	}
	content, err := wire.Marshal(&siblingContent{groupID, newcomer})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSibling, err)
	}
	if err := s.VerifyWithLabel(sibling.SignaturePublicKey, labelSibling, content, p.Signature); err != nil {
		return mimi.Refuse("sibling-signature", fmt.Errorf("%w: %w", ErrSibling, err))
	}
	return nil
}

// SafeAADItem returns p as an item of the SafeAAD of an external Commit.
func (p *SiblingProof) SafeAADItem() (mls.SafeAADItem, error) {
	return component(ComponentSiblingProof, p)
}

// SiblingProofFrom returns the proof in the SafeAAD of a Commit, or nil if there
// is none.
func SiblingProofFrom(aad mls.SafeAAD) (*SiblingProof, error) {
	data, ok := aad.Get(ComponentSiblingProof)
	if !ok {
		return nil, nil
	}
	var p SiblingProof
	if err := wire.Unmarshal(data, &p); err != nil {
		return nil, fmt.Errorf("component sibling_proof: %w", err)
	}
	return &p, nil
}
