package identity

import (
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// LeafConfig is what [NewLeafIdentity] makes a leaf's identity from.
type LeafConfig struct {
	Suite *suite.Suite
	// Domain of the provider.
	Domain string
	// User is the user pseudonym that the person already has in the room or in
	// the KeyPackage set, or zero for a fresh one. A resync keeps it.
	User mimi.URI
	// Client is the real client behind the leaf.
	Client ClientSigner
	// ConnectionKey makes the link one that the contact with this key can open.
	// It is for KeyPackages alone; nil means a random link key, for creators,
	// external joiners and own updates (docs/mmr-profile.md, section 2).
	ConnectionKey *ConnectionKey
	Random        io.Reader
}

// A LeafIdentity is all that is new about a leaf: fresh pseudonyms, a fresh
// signature key, the credential, and the link key that opens it.
type LeafIdentity struct {
	Credential PseudonymousCredential
	Key        suite.SignatureKey
	LinkKey    LinkKey
}

// NewLeafIdentity makes the identity of a leaf. It fails with [ErrLinkTooLong].
func NewLeafIdentity(cfg LeafConfig) (*LeafIdentity, error) {
	client, user, err := NewPseudonyms(cfg.Domain, cfg.User, cfg.Random)
	if err != nil {
		return nil, err
	}
	key, err := cfg.Suite.GenerateSignatureKey(cfg.Random)
	if err != nil {
		return nil, fmt.Errorf("make a leaf: %w", err)
	}
	tbs := PseudonymousCredentialTBS{client, user, key.Public()}
	var link LinkKey
	if cfg.ConnectionKey != nil {
		link, err = DeriveLinkKey(cfg.Suite, *cfg.ConnectionKey, &tbs)
	} else {
		link, err = NewLinkKey(cfg.Suite, cfg.Random)
	}
	if err != nil {
		return nil, err
	}
	cred, err := SealLink(cfg.Suite, tbs, link, cfg.Client, cfg.Random)
	if err != nil {
		return nil, err
	}
	return &LeafIdentity{*cred, key, link}, nil
}

// TBS returns the credential without its link.
func (l *LeafIdentity) TBS() *PseudonymousCredentialTBS {
	return &l.Credential.PseudonymousCredentialTBS
}

// Wrap returns the leaf's own entry for the AddAAD of a Commit.
func (l *LeafIdentity) Wrap(s *suite.Suite, groupID []byte, newest WrapperKey, random io.Reader) (*EncryptedIdentityLinkKey, error) {
	return newest.Wrap(s, groupID, l.TBS(), l.LinkKey, random)
}

// Extensions returns the extensions of the leaf: app_components, safe_aad, and a
// reference to the queue, sealed for this leaf.
func (l *LeafIdentity) Extensions(queueKey ProviderKey, queue QueueID) (mls.Extensions, error) {
	ref, err := queueKey.SealQueue(l.TBS(), queue)
	if err != nil {
		return nil, err
	}
	return LeafExtensions(ref)
}

// LeafExtensions returns the extensions of a leaf with this queue reference.
func LeafExtensions(queue *QueueReference) (mls.Extensions, error) {
	d, err := LeafComponents(queue)
	if err != nil {
		return nil, err
	}
	e, err := d.Extension()
	return mls.Extensions{e}, err
}

// leafSecret is how a LeafIdentity is stored:
//
//	struct {
//	    PseudonymousCredential credential;
//	    opaque signature_key_seed<V>;
//	    opaque identity_link_key<V>;
//	}
type leafSecret struct {
	credential PseudonymousCredential
	seed, link suite.Secret
}

func (x *leafSecret) Wire(c *wire.Codec) {
	x.credential.Wire(c)
	x.seed.Wire(c)
	wireSecret(c, &x.link, linkHash)
}

// Marshal returns the identity for storing it sealed; it has private keys in it.
func (l *LeafIdentity) Marshal() ([]byte, error) {
	return wire.Marshal(&leafSecret{l.Credential, l.Key.Seed(), l.LinkKey.Secret})
}

// UnmarshalLeafIdentity reads what [LeafIdentity.Marshal] wrote for the same
// suite.
func UnmarshalLeafIdentity(s *suite.Suite, b []byte) (*LeafIdentity, error) {
	var x leafSecret
	if err := wire.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("stored leaf identity: %w", err)
	}
	key, err := s.ImportSignatureKey(x.seed)
	if err != nil {
		return nil, fmt.Errorf("stored leaf identity: %w", err)
	}
	if string(key.Public()) != string(x.credential.SignaturePublicKey) {
		return nil, fmt.Errorf("stored leaf identity: %w", ErrSignatureKey)
	}
	return &LeafIdentity{x.credential, key, LinkKey{x.link}}, nil
}

// KeyPackageLifetime is the lifetime of every KeyPackage and of the structures
// beside it, so that it tells nothing: from 00:00 UTC of the day before, for 90
// whole days (docs/mmr-profile.md, section 5).
func KeyPackageLifetime(now time.Time) (notBefore, notAfter time.Time) {
	notBefore = startOfDay(now).Add(-day)
	return notBefore, notBefore.Add(90 * day)
}

// handOutPeriod is how long a stored KeyPackage, or establishment package, is
// handed out. The client certificate in it is valid for half of its life when it is
// sealed, which is longer (docs/mmr-profile.md, section 5).
const handOutPeriod = 14 * day

// HandOutHorizon is the not_after of the oldest KeyPackage that is still handed out
// at now: one that was made up to 14 days before. Those that end before that are
// kept only for what was handed out already. It is the same for everybody, so that
// it tells nothing.
func HandOutHorizon(now time.Time) time.Time {
	_, notAfter := KeyPackageLifetime(now)
	return notAfter.Add(-handOutPeriod)
}
