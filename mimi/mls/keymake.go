package mls

import (
	"fmt"
	"io"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// DefaultCapabilities returns what this package supports in any group. The
// credential types are the application's to add, as are extensions and
// proposals beyond the default ones.
func DefaultCapabilities() Capabilities {
	// RFC 9420, sections 7.2: 2; 13.5: 5, 6
	return Capabilities{Versions: []ProtocolVersion{MLS10}, CipherSuites: suite.IDs()}
}

// KeyPackageParams describe a new KeyPackage.
type KeyPackageParams struct {
	CipherSuite         CipherSuite
	Leaf                LeafParams
	NotBefore, NotAfter uint64 // seconds since 1970
	Extensions          Extensions
	// LastResort marks the KeyPackage as one that may be used again. The leaf has
	// to list the app_data_dictionary extension.
	LastResort bool
}

// A KeyPackagePrivate is a KeyPackage with its private keys. It prints without
// them.
type KeyPackagePrivate struct {
	KeyPackage    KeyPackage
	InitKey       suite.HPKEPrivateKey
	EncryptionKey suite.HPKEPrivateKey
	SignatureKey  suite.SignatureKey
}

// NewKeyPackage makes and signs a KeyPackage with fresh HPKE keys (RFC 9420,
// section 10).
func NewKeyPackage(random io.Reader, p KeyPackageParams) (*KeyPackagePrivate, error) {
	s, err := suite.Lookup(p.CipherSuite)
	if err != nil {
		return nil, err
	}
	k := &KeyPackagePrivate{SignatureKey: p.Leaf.SignatureKey}
	// RFC 9420, section 10: 1
	if k.InitKey, err = s.GenerateHPKEKey(random); err != nil {
		return nil, err
	}
	if k.EncryptionKey, err = s.GenerateHPKEKey(random); err != nil {
		return nil, err
	}
	extensions, err := p.extensions()
	if err != nil {
		return nil, err
	}
	leaf, err := p.Leaf.leaf()
	if err != nil {
		return nil, err
	}
	leaf.Source, leaf.EncryptionKey = LeafNodeSourceKeyPackage, k.EncryptionKey.Public()
	leaf.NotBefore, leaf.NotAfter = p.NotBefore, p.NotAfter
	if err := leaf.sign(s, p.Leaf.SignatureKey, nil, 0); err != nil {
		return nil, err
	}
	k.KeyPackage = KeyPackage{
		Version: MLS10, CipherSuite: p.CipherSuite, InitKey: k.InitKey.Public(),
		LeafNode: *leaf, Extensions: extensions,
	}
	tbs, err := k.KeyPackage.tbs()
	if err != nil {
		return nil, err
	}
	k.KeyPackage.Signature, err = s.SignWithLabel(p.Leaf.SignatureKey, "KeyPackageTBS", tbs)
	return k, err
}

// storedKeyPackage is the form in which a [KeyPackagePrivate] is kept.
type storedKeyPackage struct {
	kp                          KeyPackage
	init, encryption, signature suite.Secret
}

// Wire codes the structure.
func (s *storedKeyPackage) Wire(c *wire.Codec) {
	s.kp.Wire(c)
	s.init.Wire(c)
	s.encryption.Wire(c)
	s.signature.Wire(c)
}

// MarshalSecret encodes the KeyPackage with its private keys, for storing it
// sealed.
func (k *KeyPackagePrivate) MarshalSecret() (suite.Secret, error) {
	b, err := wire.Marshal(&storedKeyPackage{k.KeyPackage, k.InitKey.Secret(), k.EncryptionKey.Secret(), k.SignatureKey.Seed()})
	if err != nil {
		return suite.Secret{}, err
	}
	defer clear(b)
	return suite.NewSecret(b), nil
}

// UnmarshalKeyPackagePrivate decodes what MarshalSecret made, and fails with
// [ErrState] if keys and KeyPackage do not belong together.
func UnmarshalKeyPackagePrivate(stored suite.Secret) (*KeyPackagePrivate, error) {
	var s storedKeyPackage
	if err := wire.Unmarshal(stored.Bytes(), &s); err != nil {
		return nil, fmt.Errorf("%w: KeyPackage: %w", ErrState, err)
	}
	return AssembleKeyPackage(&s.kp, s.init, s.encryption, s.signature)
}

// AssembleKeyPackage puts a KeyPackage and its private keys together, and fails
// with [ErrState] if they do not belong together.
func AssembleKeyPackage(kp *KeyPackage, initKey, encryptionKey, signatureSeed suite.Secret) (*KeyPackagePrivate, error) {
	s, err := suite.Lookup(kp.CipherSuite)
	if err != nil {
		return nil, err
	}
	k := &KeyPackagePrivate{KeyPackage: *kp}
	if k.InitKey, err = s.ImportHPKEKey(initKey); err != nil {
		return nil, fmt.Errorf("%w: init key: %w", ErrState, err)
	}
	if k.EncryptionKey, err = s.ImportHPKEKey(encryptionKey); err != nil {
		return nil, fmt.Errorf("%w: encryption key: %w", ErrState, err)
	}
	if k.SignatureKey, err = s.ImportSignatureKey(signatureSeed); err != nil {
		return nil, fmt.Errorf("%w: signature key: %w", ErrState, err)
	}
	if !slices.Equal(k.InitKey.Public(), kp.InitKey) || !slices.Equal(k.EncryptionKey.Public(), kp.LeafNode.EncryptionKey) ||
		!slices.Equal(k.SignatureKey.Public(), kp.LeafNode.SignatureKey) {
		return nil, fmt.Errorf("%w: private keys are not those of the KeyPackage", ErrState)
	}
	return k, nil
}
