package identity

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The ways in which a credential is refused by whoever sees it, the hub
// included.
var (
	// ErrCredentialType reports a credential of another type than the one that
	// has its place there: anything but 0xFD4D in a leaf, anything but one X.509
	// certificate behind it.
	ErrCredentialType = errors.New("identity: credential of the wrong type")
	// ErrPseudonym reports pseudonyms that are not two version 4 UUIDs of one
	// domain (docs/mmr-profile.md, section 1).
	ErrPseudonym = errors.New("identity: malformed pseudonym")
	// ErrSignatureKey reports a credential for another signature key than the
	// leaf's.
	ErrSignatureKey = errors.New("identity: credential is for another signature key")
)

// maxSignatureKey bounds signature_public_key: an uncompressed P-256 point has 65
// octets.
const maxSignatureKey = 65

// A PseudonymousCredentialTBS is a credential without its link: what the client
// signs, and what other structures name a leaf by (docs/mmr-profile.md, section
// 2).
//
//	struct { opaque uri<V>; } IdentifierUri;
//
//	struct {
//	    IdentifierUri client_pseudonym;
//	    IdentifierUri user_pseudonym;
//	    opaque signature_public_key<V>;
//	} PseudonymousCredentialTBS;
type PseudonymousCredentialTBS struct {
	ClientPseudonym    mimi.URI
	UserPseudonym      mimi.URI
	SignaturePublicKey []byte
}

// Wire codes the structure and refuses malformed pseudonyms in both directions.
func (t *PseudonymousCredentialTBS) Wire(c *wire.Codec) {
	t.ClientPseudonym.Wire(c)
	t.UserPseudonym.Wire(c)
	wire.Opaque(c, &t.SignaturePublicKey)
	if err := t.check(); err != nil {
		c.Fail(err)
	}
}

func (t *PseudonymousCredentialTBS) check() error {
	client, user := t.ClientPseudonym, t.UserPseudonym
	switch {
	case client.Kind != mimi.KindClient || user.Kind != mimi.KindUser:
		return mimi.Refuse("pseudonym-kind", fmt.Errorf("%w: want a client and a user", ErrPseudonym))
	case !client.HasRandomID() || !user.HasRandomID():
		return mimi.Refuse("pseudonym-random", fmt.Errorf("%w: not a version 4 UUID", ErrPseudonym))
	case client.Domain != user.Domain:
		return mimi.Refuse("pseudonym-domains", fmt.Errorf("%w: client and user are of different domains", ErrPseudonym))
	case len(t.SignaturePublicKey) == 0 || len(t.SignaturePublicKey) > maxSignatureKey:
		return fmt.Errorf("%w: it has %d octets", ErrSignatureKey, len(t.SignaturePublicKey))
	}
	return nil
}

// Domain returns the provider of the pseudonyms.
func (t *PseudonymousCredentialTBS) Domain() string { return t.UserPseudonym.Domain }

// encode returns the octets, the context of many an operation.
func (t *PseudonymousCredentialTBS) encode() ([]byte, error) {
	b, err := wire.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode a pseudonymous credential: %w", err)
	}
	return b, nil
}

// NewPseudonyms makes a client pseudonym and, if user is zero, a user pseudonym
// of the provider at domain. Leaves of one user in one room share the latter.
func NewPseudonyms(domain string, user mimi.URI, random io.Reader) (client, outUser mimi.URI, err error) {
	if user.IsZero() {
		if user, err = mimi.NewID(domain, mimi.KindUser, random); err != nil {
			return mimi.URI{}, mimi.URI{}, err
		}
	}
	client, err = mimi.NewID(domain, mimi.KindClient, random)
	return client, user, err
}

// A PseudonymousCredential is what a leaf shows (draft-ietf-mimi-protocol-06,
// section "Credential encryption"). It is well-formed, and says nothing about
// who is behind it until its link is opened.
//
//	struct {
//	    IdentifierUri client_pseudonym;
//	    IdentifierUri user_pseudonym;
//	    opaque signature_public_key<V>;
//	    opaque identity_link_ciphertext<V>;
//	} PseudonymousCredential;
type PseudonymousCredential struct {
	PseudonymousCredentialTBS
	Link IdentityLinkCiphertext
}

// Wire codes the structure.
func (p *PseudonymousCredential) Wire(c *wire.Codec) {
	p.PseudonymousCredentialTBS.Wire(c)
	link, err := wire.Marshal(&p.Link)
	if err != nil && !c.Decoding() {
		c.Fail(err)
	}
	wire.Opaque(c, &link)
	if c.Decoding() {
		if err := wire.Unmarshal(link, &p.Link); err != nil {
			c.Fail(err)
		}
	}
}

// Credential returns p as the credential of a leaf.
func (p *PseudonymousCredential) Credential() (mls.Credential, error) {
	body, err := wire.Marshal(p)
	return mls.Credential{Type: CredentialPseudonymous, Body: body}, err
}

// Equal reports whether the credentials are the same octets.
func (p *PseudonymousCredential) Equal(o *PseudonymousCredential) bool {
	a, errA := wire.Marshal(p)
	b, errB := wire.Marshal(o)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// ParseCredential reads the credential of a leaf whose signature key is
// signatureKey. It fails with [ErrCredentialType], [ErrSignatureKey],
// [ErrPseudonym] or [ErrLinkFormat], or because the octets are none.
func ParseCredential(s *suite.Suite, credential mls.Credential, signatureKey []byte) (*PseudonymousCredential, error) {
	if credential.Type != CredentialPseudonymous {
		return nil, mimi.Refuse("credential-type", fmt.Errorf("%w: 0x%04x in a leaf", ErrCredentialType, uint16(credential.Type)))
	}
	var p PseudonymousCredential
	if err := wire.Unmarshal(credential.Body, &p); err != nil {
		return nil, fmt.Errorf("pseudonymous credential: %w", err)
	}
	if !bytes.Equal(p.SignaturePublicKey, signatureKey) {
		return nil, mimi.Refuse("credential-key", ErrSignatureKey)
	}
	if err := s.CheckSignatureKey(signatureKey); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSignatureKey, err)
	}
	return &p, nil
}

// SameClient reports whether a leaf with the credential next may take the place
// of the one with the credential prev by a resync: the user pseudonym is the
// same, the client pseudonym and the key are fresh (docs/mmr-profile.md, section
// 1).
func SameClient(prev, next *PseudonymousCredentialTBS) bool {
	return prev.UserPseudonym == next.UserPseudonym && prev.ClientPseudonym != next.ClientPseudonym &&
		!bytes.Equal(prev.SignaturePublicKey, next.SignaturePublicKey)
}

// A ClientCredential is a client's real credential: x509 with exactly one
// certificate (docs/mmr-profile.md, section 2). [Authority.Verify] says whether
// it is good.
type ClientCredential struct {
	// Certificate in DER.
	Certificate []byte
}

// Wire codes the credential as a Credential of RFC 9420, section 5.3, and
// refuses other types and chains with [ErrCredentialType].
func (cc *ClientCredential) Wire(c *wire.Codec) {
	kind := mls.CredentialX509
	wire.Uint16(c, &kind)
	if kind != mls.CredentialX509 {
		c.Fail(fmt.Errorf("%w: 0x%04x, where x509 is needed", ErrCredentialType, uint16(kind)))
		return
	}
	chain := [][]byte{cc.Certificate}
	wire.Vector(c, &chain, wire.Opaque)
	if len(chain) != 1 || len(chain[0]) == 0 {
		c.Fail(fmt.Errorf("%w: %d certificates, where one is needed", ErrCredentialType, len(chain)))
		return
	}
	if c.Decoding() {
		cc.Certificate = chain[0]
	}
}
