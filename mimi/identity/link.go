package identity

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The ways in which an identity link fails to say who is behind a credential.
// Beside them stand [ErrPadding], [ErrCredentialType], [ErrCertificate],
// [ErrIssuer], [ErrDomain] and [ErrValidity].
var (
	// ErrLinkFormat reports an identity link of the wrong form or size.
	ErrLinkFormat = errors.New("identity: malformed identity link")
	// ErrCommitment reports a link key that is not the one the credential
	// commits to.
	ErrCommitment = errors.New("identity: link key does not match the commitment")
	// ErrLinkDecrypt reports a ciphertext that does not open under the key.
	ErrLinkDecrypt = errors.New("identity: identity link does not open")
	// ErrLinkSignature reports that the client did not sign the credential.
	ErrLinkSignature = errors.New("identity: client's signature of the credential does not verify")
	// ErrLinkTooLong reports names that are too long for an identity link of
	// constant size.
	ErrLinkTooLong = errors.New("identity: names do not fit into an identity link")
)

// Sizes of an identity link; they are the same for all suites.
const (
	linkHash  = 32
	linkNonce = 12
	linkTag   = 16
	// maxCertificate is what a TBE can hold beside the longest signature: three
	// lengths of padding, signature and certificate list with its element, and the
	// credential type.
	maxCertificate = PadLink - 2 - (2 + 72) - 2 - 2 - 2
)

const labelCredential = "PseudonymousCredentialTBS"

// An IdentityLinkCiphertext hides an IdentityLinkTBE (docs/mmr-profile.md,
// section 2). Its size is constant.
//
//	struct {
//	    opaque commitment<V>;
//	    opaque nonce<V>;
//	    opaque ciphertext<V>;
//	} IdentityLinkCiphertext;
type IdentityLinkCiphertext struct {
	Commitment []byte
	Nonce      []byte
	Ciphertext []byte
}

// Wire codes the structure and refuses other sizes with [ErrLinkFormat].
func (l *IdentityLinkCiphertext) Wire(c *wire.Codec) {
	wire.Opaque(c, &l.Commitment)
	wire.Opaque(c, &l.Nonce)
	wire.Opaque(c, &l.Ciphertext)
	if len(l.Commitment) != linkHash || len(l.Nonce) != linkNonce || len(l.Ciphertext) != PadLink+linkTag {
		c.Fail(fmt.Errorf("%w: sizes %d, %d, %d", ErrLinkFormat, len(l.Commitment), len(l.Nonce), len(l.Ciphertext)))
	}
}

// identityLinkTBE is the plaintext:
//
//	struct {
//	    opaque pseudonymous_credential_signature<V>;
//	    Credential client_credential;
//	} IdentityLinkTBE;
type identityLinkTBE struct {
	signature []byte
	client    ClientCredential
}

func (t *identityLinkTBE) Wire(c *wire.Codec) {
	wire.Opaque(c, &t.signature)
	t.client.Wire(c)
}

// DeriveLinkKey derives the identity link key of a credential from the
// connection key that a contact knows (docs/mmr-profile.md, section 2):
//
//	ILK = ExpandWithLabel(connection_key, "IdentityLinkKey", PseudonymousCredentialTBS, Nh)
func DeriveLinkKey(s *suite.Suite, key ConnectionKey, tbs *PseudonymousCredentialTBS) (LinkKey, error) {
	if key.Len() != SecretSize {
		return LinkKey{}, fmt.Errorf("%w: connection key of %d octets", ErrSecretSize, key.Len())
	}
	context, err := tbs.encode()
	if err != nil {
		return LinkKey{}, err
	}
	return LinkKey{s.ExpandWithLabel(key.Secret, "IdentityLinkKey", context, s.Nh())}, nil
}

// seal returns the AEAD key and the commitment of k.
func (k LinkKey) expand(s *suite.Suite) (key suite.Secret, commitment []byte, err error) {
	if k.Len() != s.Nh() {
		return suite.Secret{}, nil, fmt.Errorf("%w: link key of %d octets", ErrSecretSize, k.Len())
	}
	commit := s.ExpandWithLabel(k.Secret, "commit", nil, s.Nh())
	return s.ExpandWithLabel(k.Secret, "key", nil, s.Nk()), commit.Bytes(), nil
}

// linkAAD is PseudonymousCredentialTBS || commitment<V>.
func linkAAD(tbs *PseudonymousCredentialTBS, commitment []byte) ([]byte, error) {
	b, err := tbs.encode()
	if err != nil {
		return nil, err
	}
	c, err := wire.Marshal((*padded)(&commitment))
	return append(b, c...), err
}

// A ClientSigner is a client that can sign with the key of its certificate.
type ClientSigner interface {
	// Credential returns the client's current certificate.
	Credential() ClientCredential
	// SignWithLabel signs as RFC 9420, section 5.1.2, says.
	SignWithLabel(label string, content []byte) ([]byte, error)
}

// A Client is a [ClientSigner] whose key is at hand.
type Client struct {
	Suite       *suite.Suite
	Key         suite.SignatureKey
	Certificate ClientCredential
}

// Credential implements [ClientSigner].
func (c *Client) Credential() ClientCredential { return c.Certificate }

// SignWithLabel implements [ClientSigner].
func (c *Client) SignWithLabel(label string, content []byte) ([]byte, error) {
	return c.Suite.SignWithLabel(c.Key, label, content)
}

// SealLink makes the credential that shows tbs and hides client. It fails with
// [ErrLinkTooLong].
func SealLink(s *suite.Suite, tbs PseudonymousCredentialTBS, key LinkKey, client ClientSigner, random io.Reader) (*PseudonymousCredential, error) {
	content, err := tbs.encode()
	if err != nil {
		return nil, err
	}
	tbe := identityLinkTBE{client: client.Credential()}
	if tbe.signature, err = client.SignWithLabel(labelCredential, content); err != nil {
		return nil, fmt.Errorf("sign a pseudonymous credential: %w", err)
	}
	nonce, err := randomBytes(random, s.Nn())
	if err != nil {
		return nil, err
	}
	return sealTBE(s, tbs, key, &tbe, nonce)
}

func sealTBE(s *suite.Suite, tbs PseudonymousCredentialTBS, key LinkKey, tbe *identityLinkTBE, nonce []byte) (*PseudonymousCredential, error) {
	b, err := wire.Marshal(tbe)
	if err != nil {
		return nil, fmt.Errorf("encode an identity link: %w", err)
	}
	plaintext, err := Pad(b, PadLink)
	if err != nil {
		return nil, err
	}
	if len(plaintext) != PadLink {
		return nil, fmt.Errorf("%w: %d octets", ErrLinkTooLong, len(b))
	}
	aeadKey, commitment, err := key.expand(s)
	if err != nil {
		return nil, err
	}
	defer aeadKey.Erase()
	aad, err := linkAAD(&tbs, commitment)
	if err != nil {
		return nil, err
	}
	ciphertext, err := s.Seal(aeadKey, nonce, aad, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal an identity link: %w", err)
	}
	return &PseudonymousCredential{tbs, IdentityLinkCiphertext{commitment, nonce, ciphertext}}, nil
}

// openTBE undoes sealTBE. The commitment comes first: plain AES-GCM lets one
// ciphertext open to two people under two keys.
func openTBE(s *suite.Suite, cred *PseudonymousCredential, key LinkKey) (*identityLinkTBE, error) {
	aeadKey, commitment, err := key.expand(s)
	if err != nil {
		return nil, err
	}
	defer aeadKey.Erase()
	if subtle.ConstantTimeCompare(commitment, cred.Link.Commitment) != 1 {
		return nil, mimi.Refuse("link-commitment", ErrCommitment)
	}
	aad, err := linkAAD(&cred.PseudonymousCredentialTBS, commitment)
	if err != nil {
		return nil, err
	}
	if len(cred.Link.Ciphertext) != PadLink+linkTag || len(cred.Link.Nonce) != s.Nn() {
		return nil, ErrLinkFormat
	}
	plaintext, err := s.Open(aeadKey, cred.Link.Nonce, aad, cred.Link.Ciphertext)
	if err != nil {
		return nil, mimi.Refuse("link-ciphertext", ErrLinkDecrypt)
	}
	b, err := Unpad(plaintext, PadLink)
	if err != nil {
		return nil, err
	}
	var tbe identityLinkTBE
	if err := wire.Unmarshal(b, &tbe); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLinkFormat, err)
	}
	return &tbe, nil
}

// A Moment says when a certificate has to be valid.
type Moment struct {
	now, fanOut time.Time
	inTree      bool
}

// NewLeaf is the moment for a leaf that a commit has just brought: the
// certificate must be valid now, and when the hub sent the commit out.
func NewLeaf(fanOut, now time.Time) Moment { return Moment{now: now, fanOut: fanOut} }

// LeafInTree is the moment for a leaf that a joiner finds: its certificate may
// have expired since it came.
func LeafInTree(now time.Time) Moment { return Moment{now: now, inTree: true} }

func (m Moment) check(c *ClientCertificate) error {
	if m.inTree {
		return nil
	}
	if err := c.CheckAt(m.fanOut); err != nil {
		return fmt.Errorf("at the hub's time: %w", err)
	}
	if err := c.CheckAt(m.now); err != nil {
		return fmt.Errorf("at our time: %w", err)
	}
	return nil
}

// An OpenedLink is a verified answer to who is behind a credential.
type OpenedLink struct {
	tbs     PseudonymousCredentialTBS
	cert    *ClientCertificate
	expired bool
}

// Pseudonyms returns what was opened.
func (o *OpenedLink) Pseudonyms() PseudonymousCredentialTBS {
	t := o.tbs
	t.SignaturePublicKey = bytes.Clone(t.SignaturePublicKey)
	return t
}

// User returns the URI of the person.
func (o *OpenedLink) User() mimi.URI { return o.cert.User() }

// Client returns the URI of the client.
func (o *OpenedLink) Client() mimi.URI { return o.cert.Client() }

// Certificate returns the client's certificate.
func (o *OpenedLink) Certificate() *ClientCertificate { return o.cert }

// Expired reports whether the certificate's time had passed when the link was
// opened; it is shown beside the name.
func (o *OpenedLink) Expired() bool { return o.expired }

// OpenLink opens the identity link of a credential and verifies everything about
// it (docs/mmr-profile.md, sections 1, 2 and 8): commitment, ciphertext,
// certificate chain to the authority of the pseudonyms' domain, domains,
// signature, and validity at the moment. The first check that fails gives the
// error.
func OpenLink(s *suite.Suite, cred *PseudonymousCredential, key LinkKey, authority *Authority, at Moment) (*OpenedLink, error) {
	tbe, err := openTBE(s, cred, key)
	if err != nil {
		return nil, err
	}
	if authority.Domain() != cred.Domain() {
		return nil, mimi.Refuse("link-domain", fmt.Errorf("%w: pseudonyms of %s, authority of %s", ErrDomain, cred.Domain(), authority.Domain()))
	}
	cert, err := authority.Verify(s, tbe.client)
	if err != nil {
		return nil, err
	}
	content, err := cred.encode()
	if err != nil {
		return nil, err
	}
	if err := s.VerifyWithLabel(cert.public, labelCredential, content, tbe.signature); err != nil {
		return nil, mimi.Refuse("link-signature", fmt.Errorf("%w: %w", ErrLinkSignature, err))
	}
	if err := at.check(cert); err != nil {
		return nil, err
	}
	return &OpenedLink{cred.PseudonymousCredentialTBS, cert, cert.ExpiredAt(at.now)}, nil
}
