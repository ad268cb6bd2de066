package keymaterial

import (
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// PlainConfig is what [NewPlain] makes a KeyPackage for a plain room from.
type PlainConfig struct {
	Suite *suite.Suite
	// Account is the user, of this provider, and Peer the person who may add the user
	// with it.
	Account, Peer mimi.URI
	// Key and Certificate are those of the user's client.
	Key         suite.SignatureKey
	Certificate identity.ClientCredential
	Clock       mimi.Clock
	Random      io.Reader
}

// NewPlain makes a KeyPackage for a plain room, which is used once, and its private
// part: its leaf shows the certificate of the user's client.
func NewPlain(cfg PlainConfig) (*mls.KeyPackage, *Private, error) {
	credential, err := cfg.Certificate.Leaf()
	if err != nil {
		return nil, nil, fmt.Errorf("make a KeyPackage: %w", err)
	}
	extensions, err := identity.PlainLeafExtensions()
	if err != nil {
		return nil, nil, fmt.Errorf("make a KeyPackage: %w", err)
	}
	notBefore, notAfter := identity.KeyPackageLifetime(cfg.Clock.Now())
	keys, err := mls.NewKeyPackage(cfg.Random, mls.KeyPackageParams{
		CipherSuite: cfg.Suite.ID(),
		Leaf: mls.LeafParams{
			Credential: credential, Capabilities: identity.PlainCapabilities(), Extensions: extensions, SignatureKey: cfg.Key,
		},
		NotBefore: uint64(notBefore.Unix()), NotAfter: uint64(notAfter.Unix()),
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make a KeyPackage: %w", err)
	}
	private, err := (&PrivateKeyPackage{Account: cfg.Account, Peer: cfg.Peer, Keys: keys}).stored(notAfter)
	if err != nil {
		return nil, nil, fmt.Errorf("make a KeyPackage: %w", err)
	}
	return &keys.KeyPackage, private, nil
}

// Plain reports whether the KeyPackage is one for plain rooms: a Welcome for it is
// to such a room, and to no other.
func (p *PrivateKeyPackage) Plain() bool {
	return p.Keys.KeyPackage.LeafNode.Credential.Type == mls.CredentialX509
}

// PlainCheck is what [CheckPlain] needs to know.
type PlainCheck struct {
	// Suite of the room.
	Suite *suite.Suite
	// User is the person whose KeyPackages were asked for.
	User mimi.URI
	// Authority is the pinned identity CA of the person's domain.
	Authority *identity.Authority
	Clock     mimi.Clock
}

// CheckPlain makes the adder's checks of an answer for a plain room: every
// KeyPackage is of a client of the user who was asked for, as the identity CA of
// the user's domain says, and usable now; clients and keys are distinct. It fails
// with a *[protocol.KeyMaterialError], [ErrSet], [ErrKeyPackage], [ErrOtherPerson],
// [ErrLifetime], or an error of identity.OpenPlain.
func CheckPlain(cfg PlainCheck, answer *protocol.KeyMaterialResponse) ([]*mls.KeyPackage, error) {
	if err := answer.Err(); err != nil {
		return nil, err
	}
	if answer.User != cfg.User {
		return nil, mimi.Refuse("plain-key-package-user", fmt.Errorf("%w: the answer names another user", ErrOtherPerson))
	}
	seen := distinct{}
	var out []*mls.KeyPackage
	for i := range answer.Clients {
		client := &answer.Clients[i]
		if client.Status != protocol.ClientSuccess {
			continue // a client that cannot take part; the others can
		}
		if err := cfg.check(client, seen); err != nil {
			return nil, fmt.Errorf("KeyPackage %d: %w", i, err)
		}
		out = append(out, client.KeyPackage)
	}
	if len(out) == 0 {
		return nil, mimi.Refuse("plain-key-package-none", fmt.Errorf("%w: none is usable", ErrSet))
	}
	return out, nil
}

// check makes the checks of one KeyPackage.
func (cfg *PlainCheck) check(client *protocol.ClientKeyMaterial, seen distinct) error {
	kp, now := client.KeyPackage, cfg.Clock.Now()
	if kp == nil || kp.Version != mls.MLS10 || kp.CipherSuite != cfg.Suite.ID() || kp.LeafNode.Source != mls.LeafNodeSourceKeyPackage {
		return mimi.Refuse("plain-key-package-form", fmt.Errorf("%w: for another suite, version or purpose", ErrKeyPackage))
	}
	if err := kp.VerifySignatures(cfg.Suite); err != nil {
		return mimi.Refuse("plain-key-package-signature", fmt.Errorf("%w: %w", ErrKeyPackage, err))
	}
	leaf := &kp.LeafNode
	opened, err := identity.OpenPlain(cfg.Suite, leaf.Credential, leaf.SignatureKey, cfg.Authority, identity.NewLeaf(now, now))
	if err != nil {
		return err
	}
	if opened.User() != cfg.User || opened.Client() != client.Client {
		return mimi.Refuse("plain-key-package-person", ErrOtherPerson)
	}
	if err := seen.add(client.Client.String(), string(kp.InitKey), string(leaf.EncryptionKey), string(leaf.SignatureKey)); err != nil {
		return err
	}
	if sec := now.Unix(); sec < 0 || leaf.NotBefore > uint64(sec) || leaf.NotAfter < uint64(sec) || leaf.NotAfter > mimi.LastSecond {
		return mimi.Refuse("plain-key-package-time", ErrLifetime)
	}
	return nil
}
