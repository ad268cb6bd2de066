package mmr

import (
	"fmt"
	"reflect"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
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
		return nil, mimi.Refuse("leaf-capabilities", fmt.Errorf("%w: other capabilities", ErrLeaf))
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
		return nil, mimi.Refuse("leaf-extensions", fmt.Errorf("%w: other extensions", ErrLeaf))
	}
	return cred, nil
}
