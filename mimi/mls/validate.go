package mls

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// checkLeafAlone checks what a leaf node has to fulfil in any group (RFC 9420,
// sections 7.2 and 7.3): the form of its keys, consistent capabilities, and an
// acceptable lifetime. The signature is checked elsewhere, since it depends on
// the group.
func checkLeafAlone(cfg *Config, s *suite.Suite, l *LeafNode) error {
	// RFC 9420, section 10: 2
	if err := s.CheckHPKEKey(l.EncryptionKey); err != nil {
		return fmt.Errorf("encryption key: %w", err)
	}
	// unmutated: no signature verifies with what is no key
	// RFC 9420, sections 5.1.2: 1; 10: 2
	if err := s.CheckSignatureKey(l.SignatureKey); err != nil {
		return fmt.Errorf("signature key: %w", err)
	}
	// RFC 9420, section 5.3: 1
	if err := l.Credential.certifies(l.SignatureKey); err != nil {
		return err
	}
	c := &l.Capabilities
	switch {
	// RFC 9420, section 7.2: 2
	case !slices.Contains(c.Versions, MLS10):
		return fmt.Errorf("%w: version mls10 is not listed", ErrCapabilities)
	// RFC 9420, sections 7.2: 2; 7.3: 3
	case !slices.Contains(c.CipherSuites, s.ID()):
		return fmt.Errorf("%w: cipher suite %v is not listed", ErrCapabilities, s.ID())
	// RFC 9420, section 7.2: 3
	case !slices.Contains(c.Credentials, l.Credential.Type):
		return fmt.Errorf("%w: the leaf's own credential type 0x%04x is not listed", ErrCapabilities, uint16(l.Credential.Type))
	}
	for _, e := range l.Extensions {
		// RFC 9420, sections 7.2: 3; 7.3: 8; 10: 6
		if !c.supportsExtension(e.Type) {
			return fmt.Errorf("%w: the leaf's own extension 0x%04x is not listed", ErrCapabilities, uint16(e.Type))
		}
	}
	if _, err := l.Extensions.negotiation(); err != nil {
		return err
	}
	if l.Source != LeafNodeSourceKeyPackage {
		return nil
	}
	longest := cfg.Limits.MaxLifetime
	// RFC 9420, sections 7.2: 5; 7.3: 6
	if l.NotAfter < l.NotBefore || (longest >= 0 && l.NotAfter-l.NotBefore > uint64(longest/time.Second)) {
		return fmt.Errorf("%w: %d to %d", ErrLifetime, l.NotBefore, l.NotAfter)
	}
	return nil
}

// checkLifetime checks that a leaf is valid now, give or take the skew (RFC
// 9420, section 7.3). Leaves that are in a tree already are not asked: they may
// have expired since.
func checkLifetime(cfg *Config, l *LeafNode, skew time.Duration) error {
	if l.Source != LeafNodeSourceKeyPackage {
		return nil
	}
	now := cfg.Now()
	from, to := now.Add(skew).Unix(), now.Add(-skew).Unix()
	// RFC 9420, section 7.3: 6
	if from < 0 || l.NotBefore > uint64(from) || (to > 0 && l.NotAfter < uint64(to)) {
		return fmt.Errorf("%w: valid from %d to %d, now is %d", ErrLifetime, l.NotBefore, l.NotAfter, now.Unix())
	}
	return nil
}

// ValidateKeyPackage checks a KeyPackage before it is used (RFC 9420, section
// 10.1), as far as that is possible without a group: signatures, keys, lifetime
// and credential.
func ValidateKeyPackage(ctx context.Context, cfg Config, kp *KeyPackage) error {
	c, err := cfg.complete(false)
	if err != nil {
		return err
	}
	s, err := suite.Lookup(kp.CipherSuite)
	if err != nil {
		return err
	}
	if err := checkKeyPackage(c, s, kp); err != nil {
		return err
	}
	if err := checkLifetime(c, &kp.LeafNode, c.Limits.ClockSkew); err != nil {
		return err
	}
	return c.validateCredential(ctx, &kp.LeafNode)
}

// checkKeyPackage checks what RFC 9420, section 10.1, says, without policy.
func checkKeyPackage(cfg *Config, s *suite.Suite, kp *KeyPackage) error {
	// RFC 9420, section 10.1: 1
	if kp.Version != MLS10 || kp.CipherSuite != s.ID() {
		return fmt.Errorf("%w: version %d, %v", ErrKeyPackageSuite, kp.Version, kp.CipherSuite)
	}
	// RFC 9420, sections 7.3: 9, 10; 10: 5
	if kp.LeafNode.Source != LeafNodeSourceKeyPackage {
		return fmt.Errorf("%w: %d in a KeyPackage", ErrLeafSource, kp.LeafNode.Source)
	}
	// RFC 9420, section 10.1: 2
	if err := checkLeafAlone(cfg, s, &kp.LeafNode); err != nil {
		return err
	}
	// RFC 9420, section 10: 1
	if err := s.CheckHPKEKey(kp.InitKey); err != nil {
		return fmt.Errorf("init key: %w", err)
	}
	// RFC 9420, section 10.1: 4
	if slices.Equal(kp.InitKey, kp.LeafNode.EncryptionKey) {
		return fmt.Errorf("%w: it is the init key of its KeyPackage", ErrSameEncryption)
	}
	for _, e := range kp.Extensions {
		// RFC 9420, section 10: 6
		if !kp.LeafNode.Capabilities.supportsExtension(e.Type) {
			return fmt.Errorf("%w: extension 0x%04x of the KeyPackage is not listed", ErrCapabilities, uint16(e.Type))
		}
	}
	if err := kp.checkLastResort(); err != nil {
		return err
	}
	// RFC 9420, sections 7.3: 2; 10: 3; 10.1: 3
	if err := kp.VerifySignatures(s); err != nil {
		return fmt.Errorf("KeyPackage: %w: %w", ErrSignature, err)
	}
	return nil
}

func (c *Config) validateCredential(ctx context.Context, l *LeafNode) error {
	// RFC 9420, sections 5.3.1: 1; 7.3: 1
	if err := c.Policy.ValidateCredential(ctx, l.Credential, l.SignatureKey); err != nil {
		return fmt.Errorf("%w: %w", ErrCredential, policyError("ValidateCredential", err))
	}
	return nil
}

// supports checks that a leaf goes with the parameters of a group (RFC 9420,
// sections 7.3, 11.1 and 13.4, and what the extensions draft negotiates).
func (st *state) supports(l *LeafNode) error {
	c := &l.Capabilities
	for _, e := range st.context.Extensions {
		// RFC 9420, sections 12.4.3: 2; 13.4: 7, 8, 9
		if !c.supportsExtension(e.Type) {
			return fmt.Errorf("%w: GroupContext extension 0x%04x", ErrUnsupported, uint16(e.Type))
		}
	}
	for _, t := range st.required.Extensions {
		// RFC 9420, section 7.3: 4
		if !c.supportsExtension(t) {
			return fmt.Errorf("%w: required extension 0x%04x", ErrUnsupported, uint16(t))
		}
	}
	for _, t := range st.required.Proposals {
		// RFC 9420, section 7.3: 4
		if !c.supportsProposal(t) {
			return fmt.Errorf("%w: required %v", ErrUnsupported, t)
		}
	}
	for _, t := range st.required.Credentials {
		// RFC 9420, section 7.3: 4
		if !slices.Contains(c.Credentials, t) {
			return fmt.Errorf("%w: required credential type 0x%04x", ErrUnsupported, uint16(t))
		}
	}
	return st.needs.check(l.Extensions)
}

// checkMembers checks the leaves of a new epoch against each other (RFC 9420,
// section 7.3): keys are unique, everyone supports the credential types in use,
// and those in check support the group. all means that every leaf is in check.
// Of the others it is known that they were fine in the epoch before.
func (st *state) checkMembers(check map[LeafIndex]bool, all bool) error {
	types := st.tree.index.credentialTypes()
	if all {
		var err error
		st.tree.members(func(i LeafIndex, l *LeafNode) bool {
			err = st.checkMember(i, l, types)
			return err == nil
		})
		return err
	}
	for _, i := range slices.Sorted(maps.Keys(check)) {
		if err := st.checkMember(i, st.tree.leaf(i), types); err != nil {
			return err
		}
	}
	if len(check) == 0 {
		return nil
	}
	for _, t := range types {
		if st.tree.index.byAll(listedCredentials, uint16(t)) {
			continue
		}
		var err error
		st.tree.members(func(i LeafIndex, l *LeafNode) bool {
			err = l.supportsCredential(i, t)
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// checkMember checks one leaf against the group and all other leaves.
func (st *state) checkMember(i LeafIndex, l *LeafNode, inUse []CredentialType) error {
	// RFC 9420, sections 7.3: 13; 12.2: 7, 8, 14
	if j, kind, found := st.tree.twin(i); found {
		return fmt.Errorf("%w: leaves %d and %d have the same %s key", ErrDuplicateKey, i, j, kind)
	}
	if err := st.supports(l); err != nil {
		return fmt.Errorf("leaf %d: %w", i, err)
	}
	for _, t := range inUse {
		if err := l.supportsCredential(i, t); err != nil {
			return err
		}
	}
	return nil
}

// supportsCredential fails if a leaf does not support a credential type that is
// in use.
func (n *LeafNode) supportsCredential(i LeafIndex, t CredentialType) error {
	// RFC 9420, section 7.3: 5
	if !slices.Contains(n.Capabilities.Credentials, t) {
		return fmt.Errorf("%w: leaf %d does not support credential type 0x%04x, which is in use", ErrCapabilities, i, uint16(t))
	}
	return nil
}

// validateAll validates every leaf of a tree that was received as a whole (RFC
// 9420, section 12.4.3.1).
func (st *state) validateAll(ctx context.Context, cfg *Config) error {
	var members []Member
	st.tree.members(func(i LeafIndex, l *LeafNode) bool {
		members = append(members, Member{i, l})
		return true
	})
	err := inParallel(len(members), func(k int) error {
		m := &members[k]
		if err := checkLeafAlone(cfg, st.suite, m.Leaf); err != nil {
			return fmt.Errorf("leaf %d: %w", m.Index, err)
		}
		return st.verifyLeaf(m.Leaf, m.Index)
	})
	if err != nil {
		return err
	}
	for k := range members {
		if err := cfg.validateCredential(ctx, members[k].Leaf); err != nil {
			return fmt.Errorf("leaf %d: %w", members[k].Index, err)
		}
	}
	senders, err := st.context.Extensions.ExternalSenders()
	if err != nil {
		return err
	}
	for _, s := range senders {
		// RFC 9420, section 5.3.1: 1
		if err := cfg.Policy.ValidateCredential(ctx, s.Credential, s.SignatureKey); err != nil {
			return fmt.Errorf("%w: external sender: %w", ErrCredential, policyError("ValidateCredential", err))
		}
	}
	return st.checkMembers(nil, true)
}
