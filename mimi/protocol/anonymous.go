package protocol

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	connectionTokenLabel = "ConnectionToken"
	keyMaterialSealLabel = "KeyMaterialResponse"

	padToken       = 256
	padKeyMaterial = 4096

	// TokenNonceSize is the length of the nonce in a [ConnectionTokenContent].
	TokenNonceSize = 16
)

// A SealedConnectionToken tells the provider that holds the key material, and not
// the hub in between, whose it is (mmr-profile.md, section 5).
//
//	struct { opaque domain<V>; uint8 key_id; HPKECiphertext sealed; } SealedConnectionToken;
type SealedConnectionToken struct {
	// Domain of the provider whose key it is sealed to.
	Domain string
	// KeyID is the id of that key in the provider's directory document.
	KeyID  uint8
	Sealed suite.HPKECiphertext
}

// Wire implements [wire.Message].
func (t *SealedConnectionToken) Wire(c *wire.Codec) {
	identity.WireDomain(c, &t.Domain)
	wire.Uint8(c, &t.KeyID)
	t.Sealed.Wire(c)
}

// A ConnectionTokenContent is what a [SealedConnectionToken] holds, padded to 256.
//
//	struct {
//	    opaque connection_token<V>;
//	    opaque nonce[16];
//	    uint64 created_at_ms;
//	    opaque response_key<V>;
//	} ConnectionTokenContent;
type ConnectionTokenContent struct {
	// Token under which the key material is stored.
	Token identity.ConnectionToken
	// Nonce is random; a provider refuses one that it has seen.
	Nonce []byte
	// Created is the time of the request, in whole milliseconds; a provider refuses
	// it after 10 minutes.
	Created time.Time
	// ResponseKey is a fresh HPKE public key to which the answer is sealed.
	ResponseKey []byte
}

// Wire implements [wire.Message].
func (t *ConnectionTokenContent) Wire(c *wire.Codec) {
	t.Token.Wire(c)
	if t.Token.Len() != identity.SecretSize {
		c.Fail(fmt.Errorf("%w: connection token of %d octets", ErrMalformed, t.Token.Len()))
	}
	wire.Fixed(c, &t.Nonce, TokenNonceSize)
	milliseconds(c, &t.Created)
	wire.Opaque(c, &t.ResponseKey)
}

// tokenContext binds a sealed token to the room and the one leaf that may use it:
// room_id<V> || PseudonymousCredentialTBS.
func tokenContext(room mimi.URI, adder *identity.PseudonymousCredentialTBS) ([]byte, error) {
	return wire.Marshal(fields(func(c *wire.Codec) {
		roomURI(c, &room)
		adder.Wire(c)
	}))
}

// SealConnectionToken seals a token for the provider at domain, whose key comes
// from its own directory document, for use by adder in room.
func SealConnectionToken(domain string, key identity.ProviderKey, room mimi.URI, adder *identity.PseudonymousCredentialTBS, content *ConnectionTokenContent) (*SealedConnectionToken, error) {
	s, err := suite.Lookup(key.Suite)
	if err != nil {
		return nil, fmt.Errorf("seal a connection token for %s: %w", domain, err)
	}
	context, err := tokenContext(room, adder)
	if err != nil {
		return nil, err
	}
	plaintext, err := marshalPadded(content, padToken)
	if err != nil {
		return nil, err
	}
	sealed, err := s.EncryptWithLabel(key.Public, connectionTokenLabel, context, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal a connection token for %s: %w", domain, err)
	}
	return &SealedConnectionToken{domain, key.ID, sealed}, nil
}

// Open returns the content of a token that adder uses in room.
func (t *SealedConnectionToken) Open(keys identity.ProviderKeyRing, room mimi.URI, adder *identity.PseudonymousCredentialTBS) (*ConnectionTokenContent, error) {
	context, err := tokenContext(room, adder)
	if err != nil {
		return nil, err
	}
	plaintext, err := keys.Decrypt(t.KeyID, connectionTokenLabel, context, t.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open a connection token: %w", err)
	}
	content := &ConnectionTokenContent{}
	if err := unmarshalPadded(plaintext, padToken, content); err != nil {
		return nil, fmt.Errorf("open a connection token: %w", err)
	}
	return content, nil
}

// An AnonymousKeyMaterialRequest claims a set of KeyPackages under a connection
// token, through the hub of the room that they are for (mmr-profile.md, section
// 5). Its target names nobody:
//
//	struct {
//	    Protocol protocol;
//	    IdentifierUri requestingUser;  /* user_pseudonym of the adder */
//	    IdentifierUri targetUser;      /* mimi://domain/keymaterial */
//	    IdentifierUri roomId;
//	    CipherSuite acceptableCiphersuites<V>;
//	    RequiredCapabilities requiredCapabilities;
//	    SignaturePublicKey requesterSignatureKey;
//	    Credential requesterCredential;
//	    SealedConnectionToken token;
//	    /* SignWithLabel(leaf key of the adder, "KeyMaterialRequestTBS", all before) */
//	    opaque key_material_request_signature<V>;
//	} AnonymousKeyMaterialRequest;
type AnonymousKeyMaterialRequest struct {
	RequestingUser mimi.URI
	Target         KeyMaterialTarget
	Room           mimi.URI
	// Requester is the adder's leaf: its credential and signature key.
	Requester Requester
	Token     SealedConnectionToken
	Signature []byte
}

// Wire implements [wire.Message].
func (r *AnonymousKeyMaterialRequest) Wire(c *wire.Codec) {
	r.tbs(c)
	wire.Opaque(c, &r.Signature)
}

func (r *AnonymousKeyMaterialRequest) tbs(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	userURI(c, &r.RequestingUser)
	r.Target.Wire(c)
	roomURI(c, &r.Room)
	r.Requester.Wire(c)
	r.Token.Wire(c)
	if r.Token.Domain != r.Target.Domain {
		c.Fail(mimi.Refuse("token-domain", fmt.Errorf("%w: the connection token is for another provider than the request", ErrMalformed)))
	}
}

// Sign sets Requester.SignatureKey and Signature.
func (r *AnonymousKeyMaterialRequest) Sign(s *suite.Suite, key suite.SignatureKey) (err error) {
	r.Requester.SignatureKey = key.Public()
	r.Signature, err = sign(s, key, keyMaterialLabel, r.tbs)
	return err
}

// Verify checks the signature with the SignatureKey in the request, whose
// algorithm is that of the suite s; it fails with suite.ErrSignature. The hub also
// checks that key and credential are those of a leaf of RequestingUser.
func (r *AnonymousKeyMaterialRequest) Verify(s *suite.Suite) error {
	return verify(s, r.Requester.SignatureKey, keyMaterialLabel, r.tbs, r.Signature)
}

// Hash is SHA-256 of the whole request, the context of the answer. A relayed
// request has the same octets, because a message has one encoding only.
func (r *AnonymousKeyMaterialRequest) Hash() ([]byte, error) {
	b, err := wire.Marshal(r)
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(b)
	return h[:], nil
}

// Wire implements [wire.Message]: an IdentifierUri.
func (t *KeyMaterialTarget) Wire(c *wire.Codec) {
	b := []byte(t.String())
	wire.Opaque(c, &b)
	parsed, err := ParseKeyMaterialTarget(string(b))
	if err != nil {
		c.Fail(err)
	}
	if c.Decoding() {
		*t = parsed
	}
}

// A SealedKeyMaterial answers an [AnonymousKeyMaterialRequest]: a padded
// [KeyMaterialResponse] that only the requester can read (mmr-profile.md, section
// 5).
//
//	HPKECiphertext sealed;
type SealedKeyMaterial struct {
	Sealed suite.HPKECiphertext
}

// Wire implements [wire.Message].
func (k *SealedKeyMaterial) Wire(c *wire.Codec) { k.Sealed.Wire(c) }

// SealKeyMaterial seals an answer to the response key of the request with that
// Hash.
func SealKeyMaterial(s *suite.Suite, responseKey, requestHash []byte, answer *KeyMaterialResponse) (*SealedKeyMaterial, error) {
	plaintext, err := marshalPadded(answer, padKeyMaterial)
	if err != nil {
		return nil, err
	}
	sealed, err := s.EncryptWithLabel(responseKey, keyMaterialSealLabel, requestHash, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal key material: %w", err)
	}
	return &SealedKeyMaterial{sealed}, nil
}

// Open returns the answer to the request with that Hash.
func (k *SealedKeyMaterial) Open(s *suite.Suite, private suite.HPKEPrivateKey, requestHash []byte) (*KeyMaterialResponse, error) {
	plaintext, err := s.DecryptWithLabel(private, keyMaterialSealLabel, requestHash, k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open key material: %w", err)
	}
	answer := &KeyMaterialResponse{}
	if err := unmarshalPadded(plaintext, padKeyMaterial, answer); err != nil {
		return nil, fmt.Errorf("open key material: %w", err)
	}
	return answer, nil
}

// marshalPadded is padN of the encoding of m.
func marshalPadded(m wire.Message, n int) ([]byte, error) {
	b, err := wire.Marshal(m)
	if err != nil {
		return nil, err
	}
	return identity.Pad(b, n)
}

// unmarshalPadded is the inverse of marshalPadded.
func unmarshalPadded(b []byte, n int, m wire.Message) error {
	x, err := identity.Unpad(b, n)
	if err != nil {
		return err
	}
	return wire.Unmarshal(x, m)
}
