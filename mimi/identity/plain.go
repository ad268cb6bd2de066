package identity

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// ErrProfileComponent reports a component of the profile in a plain room.
var ErrProfileComponent = errors.New("identity: a component of minimal-metadata rooms in a plain room")

// PlainAppComponents returns the app_components list of the GroupContext of a
// plain room, and of the leaves that this gateway makes for one: MIMI's own
// components, and none of the profile (docs/mmr-profile.md, section 11, "Plain
// rooms").
func PlainAppComponents() mls.ComponentsList {
	return mls.ComponentsList{
		componentParticipantList, componentRoomMetadata, componentRolesList, componentPreauthList, componentBaseRoomPolicy,
	}
}

// PlainRequiredCapabilities returns the required_capabilities of a plain room:
// those of every other room, with x509 for the credential.
func PlainRequiredCapabilities() mls.RequiredCapabilities {
	required := RequiredCapabilities()
	required.Credentials = []mls.CredentialType{mls.CredentialX509}
	return required
}

// PlainCapabilities returns the capabilities of the leaves that this gateway makes
// for plain rooms.
func PlainCapabilities() mls.Capabilities {
	capabilities := Capabilities()
	capabilities.Credentials = []mls.CredentialType{mls.CredentialX509}
	return capabilities
}

// PlainLeafExtensions returns the extensions of a leaf in a plain room. There is
// no reference to a queue: providers find their users by address.
func PlainLeafExtensions() (mls.Extensions, error) {
	d, err := PlainGroupComponents()
	if err != nil {
		return nil, err
	}
	e, err := d.Extension()
	return mls.Extensions{e}, err
}

// PlainGroupComponents returns what the GroupContext of a new plain room has beside
// the components of the room: app_components alone.
func PlainGroupComponents() (mls.AppDataDictionary, error) {
	app, err := PlainAppComponents().Component(mls.ComponentAppComponents)
	if err != nil {
		return nil, err
	}
	return mls.AppDataDictionary{app}, nil
}

// CheckNoProfile fails with [ErrProfileComponent] if a component of the profile
// stands in the app_data_dictionary of a plain room's GroupContext or GroupInfo:
// somebody mistakes the room for one of the other kind.
func CheckNoProfile(extensions mls.Extensions) error {
	d, err := extensions.AppDataDictionary()
	if err != nil {
		return err
	}
	for _, c := range d {
		if c.ID >= ComponentIdentityLink && c.ID <= ComponentSiblingProof {
			return mimi.Refuse("plain-profile-component", fmt.Errorf("%w: 0x%04x in a plain room", ErrProfileComponent, uint16(c.ID)))
		}
	}
	return nil
}

// ReadPlainCredential reads who the credential of a leaf in a plain room says it
// is: an x509 credential of one certificate of the form of docs/mmr-profile.md,
// section 2. Real addresses stand in the places of pseudonyms. Who issued the
// certificate is not checked: that is [Authority.Verify], for those who know the
// authority. It fails with [ErrCredentialType], [ErrCertificate] or [ErrDomain].
func ReadPlainCredential(credential mls.Credential) (*PseudonymousCredentialTBS, error) {
	cc, err := PlainClient(credential)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(cc.Certificate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	sc := scheme{cert.SignatureAlgorithm, cert.PublicKeyAlgorithm}
	if sc != (scheme{x509.PureEd25519, x509.Ed25519}) && sc != (scheme{x509.ECDSAWithSHA256, x509.ECDSA}) {
		return nil, mimi.Refuse("plain-certificate-scheme", fmt.Errorf("%w: %s is not a signature scheme of the profile", ErrCertificate, cert.SignatureAlgorithm))
	}
	return plainNames(sc, cc.Certificate)
}

// ParsePlainCredential is [ReadPlainCredential] for a leaf of a group of this
// suite with that signature key. It fails with [ErrSignatureKey] as well.
func ParsePlainCredential(s *suite.Suite, credential mls.Credential, signatureKey []byte) (*PseudonymousCredentialTBS, error) {
	cc, err := PlainClient(credential)
	if err != nil {
		return nil, err
	}
	tbs, err := plainNames(schemeOf(s), cc.Certificate)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(tbs.SignaturePublicKey, signatureKey) {
		return nil, mimi.Refuse("plain-credential-key", ErrSignatureKey)
	}
	return tbs, nil
}

// PlainClient returns the client credential of a leaf in a plain room. It fails
// with [ErrCredentialType], above all for a basic credential, which has no key,
// and for a pseudonymous one.
func PlainClient(credential mls.Credential) (*ClientCredential, error) {
	if credential.Type != mls.CredentialX509 {
		return nil, mimi.Refuse("plain-credential-type", fmt.Errorf("%w: 0x%04x in a leaf of a plain room", ErrCredentialType, uint16(credential.Type)))
	}
	chain, err := credential.Certificates()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCredentialType, err)
	}
	if len(chain) != 1 || len(chain[0]) == 0 {
		return nil, mimi.Refuse("plain-credential-chain", fmt.Errorf("%w: %d certificates, where one is needed", ErrCredentialType, len(chain)))
	}
	return &ClientCredential{Certificate: chain[0]}, nil
}

// Leaf returns the credential for a leaf of a plain room.
func (cc ClientCredential) Leaf() (mls.Credential, error) { return mls.X509Credential(cc.Certificate) }

// plainNames reads a certificate for a leaf.
func plainNames(sc scheme, der []byte) (*PseudonymousCredentialTBS, error) {
	cert, err := parseClientCertificate(sc, der)
	if err != nil {
		return nil, err
	}
	user, client, err := subjectURIs(cert)
	if err != nil {
		return nil, err
	}
	public, err := sc.publicKey(cert)
	if err != nil {
		return nil, err
	}
	return &PseudonymousCredentialTBS{ClientPseudonym: client, UserPseudonym: user, SignaturePublicKey: public}, nil
}

// OpenPlain checks who is behind a leaf of a plain room: that the authority of the
// domain has issued its certificate, for the leaf's signature key, and that this is
// valid at the moment. It is what [OpenLink] is for the other rooms. It fails with
// the errors of [ParsePlainCredential] and [Authority.Verify], and with
// [ErrValidity].
func OpenPlain(s *suite.Suite, credential mls.Credential, signatureKey []byte, authority *Authority, at Moment) (*OpenedLink, error) {
	tbs, err := ParsePlainCredential(s, credential, signatureKey)
	if err != nil {
		return nil, err
	}
	cc, err := PlainClient(credential)
	if err != nil {
		return nil, err
	}
	cert, err := authority.Verify(s, *cc)
	if err != nil {
		return nil, err
	}
	if err := at.check(cert); err != nil {
		return nil, err
	}
	return &OpenedLink{*tbs, cert, cert.ExpiredAt(at.now)}, nil
}
