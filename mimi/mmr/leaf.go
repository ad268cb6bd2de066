package mmr

import (
	"fmt"
	"reflect"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ParseLeaf reads the credential of a leaf and checks all that everyone can see
// of it: capabilities and extensions are the same as everyone's
// (docs/mmr-profile.md, section 2), and the queue is at the provider of the
// pseudonyms (section 1).
func ParseLeaf(s *suite.Suite, leaf *mls.LeafNode) (*identity.PseudonymousCredential, error) {
	cred, err := identity.ParseCredential(s, leaf.Credential, leaf.SignatureKey)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(leaf.Capabilities, identity.Capabilities()) {
		return nil, fmt.Errorf("%w: other capabilities", ErrLeaf)
	}
	queue, err := identity.QueueFrom(leaf.Extensions, &cred.PseudonymousCredentialTBS)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	want, err := identity.LeafExtensions(queue)
	if err != nil {
		return nil, err
	}
	if !reflect.DeepEqual(leaf.Extensions, want) {
		return nil, fmt.Errorf("%w: other extensions", ErrLeaf)
	}
	return cred, nil
}

// ReadCredential reads the credential of a leaf that was checked when it came, or
// whose leaf is checked elsewhere.
func ReadCredential(c mls.Credential) (*identity.PseudonymousCredentialTBS, error) {
	if c.Type != identity.CredentialPseudonymous {
		return nil, fmt.Errorf("%w: 0x%04x in a leaf", identity.ErrCredentialType, uint16(c.Type))
	}
	var cred identity.PseudonymousCredential
	if err := wire.Unmarshal(c.Body, &cred); err != nil {
		return nil, fmt.Errorf("pseudonymous credential: %w", err)
	}
	return &cred.PseudonymousCredentialTBS, nil
}
