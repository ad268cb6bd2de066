package protocol

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const keyMaterialLabel = "KeyMaterialRequestTBS"

// A KeyMaterialRequest claims KeyPackages of all clients of a user
// (draft-ietf-mimi-protocol-06, section 5.2). It is for plain rooms; rooms with
// minimal metadata use [AnonymousKeyMaterialRequest].
//
//	struct {
//	    Protocol protocol;
//	    IdentifierUri requestingUser;
//	    IdentifierUri targetUser;
//	    IdentifierUri roomId;
//	    select (protocol) {
//	        case mls10:
//	            CipherSuite acceptableCiphersuites<V>;
//	            RequiredCapabilities requiredCapabilities;
//	            SignaturePublicKey requesterSignatureKey;
//	            Credential requesterCredential;
//	            /* SignWithLabel(requesterSignatureKey, "KeyMaterialRequestTBS", KeyMaterialRequestTBS) */
//	            opaque key_material_request_signature<V>;
//	    };
//	} KeyMaterialRequest;
//
// KeyMaterialRequestTBS is the same without the signature.
type KeyMaterialRequest struct {
	RequestingUser mimi.URI
	TargetUser     mimi.URI
	// Room that the KeyPackages are for; zero outside of a room.
	Room      mimi.URI
	Requester Requester
	Signature []byte
}

// A Requester is what both forms of a request for key material say about the
// client that asks.
type Requester struct {
	// CipherSuites that are acceptable; never empty.
	CipherSuites []suite.ID
	// Required of each KeyPackage.
	Required mls.RequiredCapabilities
	// SignatureKey of the client, and Credential for it.
	SignatureKey []byte
	Credential   mls.Credential
}

// Wire codes the fields in the order in which they stand in a request.
func (r *Requester) Wire(c *wire.Codec) {
	wire.Vector(c, &r.CipherSuites, wire.Uint16)
	if len(r.CipherSuites) == 0 {
		c.Fail(fmt.Errorf("%w: no acceptable cipher suite", ErrMalformed))
	}
	r.Required.Wire(c)
	wire.Opaque(c, &r.SignatureKey)
	r.Credential.Wire(c)
}

// Wire implements [wire.Message].
func (r *KeyMaterialRequest) Wire(c *wire.Codec) {
	r.tbs(c)
	wire.Opaque(c, &r.Signature)
}

func (r *KeyMaterialRequest) tbs(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	userURI(c, &r.RequestingUser)
	userURI(c, &r.TargetUser)
	r.Room.WireOptional(c)
	if !r.Room.IsZero() && r.Room.Kind != mimi.KindRoom {
		c.Fail(fmt.Errorf("%w: roomId is not the URI of a room", ErrMalformed))
	}
	r.Requester.Wire(c)
}

// Sign sets Requester.SignatureKey and Signature.
func (r *KeyMaterialRequest) Sign(s *suite.Suite, key suite.SignatureKey) (err error) {
	r.Requester.SignatureKey = key.Public()
	r.Signature, err = sign(s, key, keyMaterialLabel, r.tbs)
	return err
}

// Verify checks the signature with the SignatureKey in the request, whose
// algorithm is that of the suite s; it fails with suite.ErrSignature. Whose key
// that is, the caller decides.
func (r *KeyMaterialRequest) Verify(s *suite.Suite) error {
	return verify(s, r.Requester.SignatureKey, keyMaterialLabel, r.tbs, r.Signature)
}

// A KeyMaterialUserCode is the outcome of a request for key material.
//
//	enum {
//	    success(0), partialSuccess(1), incompatibleProtocol(2), noCompatibleMaterial(3),
//	    userUnknown(4), noConsent(5), noConsentForThisRoom(6), userDeleted(7), (255)
//	} KeyMaterialUserCode;
type KeyMaterialUserCode uint8

// The outcomes for a user.
const (
	KeyMaterialSuccess              KeyMaterialUserCode = 0
	KeyMaterialPartialSuccess       KeyMaterialUserCode = 1
	KeyMaterialIncompatibleProtocol KeyMaterialUserCode = 2
	KeyMaterialNoCompatibleMaterial KeyMaterialUserCode = 3
	KeyMaterialUserUnknown          KeyMaterialUserCode = 4
	KeyMaterialNoConsent            KeyMaterialUserCode = 5
	KeyMaterialNoConsentForThisRoom KeyMaterialUserCode = 6
	KeyMaterialUserDeleted          KeyMaterialUserCode = 7
)

// A KeyMaterialError is a KeyMaterialUserCode that is no success.
type KeyMaterialError struct {
	Code KeyMaterialUserCode
}

// Error implements error.
func (e *KeyMaterialError) Error() string {
	switch e.Code {
	case KeyMaterialIncompatibleProtocol:
		return "the other side has no client that speaks this protocol"
	case KeyMaterialNoCompatibleMaterial:
		return "no client of the other side can take part in this room"
	case KeyMaterialUserUnknown:
		return "the other side does not know this person"
	case KeyMaterialNoConsent, KeyMaterialNoConsentForThisRoom:
		return "the other side does not allow adding this person"
	case KeyMaterialUserDeleted:
		return "this account has been deleted"
	default:
		return fmt.Sprintf("key material: user code %d", e.Code)
	}
}

// A KeyMaterialClientCode is the outcome for one client.
//
//	enum { success(0), keyMaterialExhausted(1), nothingCompatible(2), (255) } KeyMaterialClientCode;
type KeyMaterialClientCode uint8

// The outcomes for a client.
const (
	ClientSuccess           KeyMaterialClientCode = 0
	ClientExhausted         KeyMaterialClientCode = 1
	ClientNothingCompatible KeyMaterialClientCode = 2
)

// A ClientKeyMaterial is the answer for one client.
//
//	struct {
//	    KeyMaterialClientCode clientStatus;
//	    IdentifierUri clientUri;
//	    select (protocol) {
//	        case mls10:
//	            select (clientStatus) {
//	                case success:           KeyPackage keyPackage;
//	                case nothingCompatible: optional<Capabilities> clientCapabilities;
//	            };
//	    };
//	} ClientKeyMaterial;
type ClientKeyMaterial struct {
	Status KeyMaterialClientCode
	// Client is the client's URI; for a minimal-metadata room the client_pseudonym.
	Client mimi.URI
	// KeyPackage with ClientSuccess.
	KeyPackage *mls.KeyPackage
	// Capabilities with ClientNothingCompatible, or nil.
	Capabilities *mls.Capabilities
}

// Wire implements [wire.Message].
func (k *ClientKeyMaterial) Wire(c *wire.Codec) {
	enum(c, &k.Status, ClientSuccess, ClientNothingCompatible)
	kindURI(c, &k.Client, mimi.KindClient)
	switch k.Status {
	case ClientSuccess:
		if c.Decoding() {
			k.KeyPackage = new(mls.KeyPackage)
		}
		if k.KeyPackage == nil {
			c.Fail(fmt.Errorf("%w: client success without a KeyPackage", ErrMalformed))
			return
		}
		k.KeyPackage.Wire(c)
	case ClientNothingCompatible:
		wire.Optional(c, &k.Capabilities, wire.Struct)
	}
}

// A KeyMaterialResponse answers a request for key material
// (draft-ietf-mimi-protocol-06, section 5.2).
//
//	struct {
//	    Protocol protocol;
//	    KeyMaterialUserCode userStatus;
//	    IdentifierUri userUri;
//	    ClientKeyMaterial clients<V>;
//	} KeyMaterialResponse;
type KeyMaterialResponse struct {
	Status KeyMaterialUserCode
	// User whose clients follow; for a minimal-metadata room the user_pseudonym,
	// and zero without key material.
	User mimi.URI
	// Clients are empty unless Status is a success or noCompatibleMaterial.
	Clients []ClientKeyMaterial
}

// Wire implements [wire.Message]. Clients behind a code that must not have them
// are refused.
func (r *KeyMaterialResponse) Wire(c *wire.Codec) {
	p := MLS10
	p.Wire(c)
	enum(c, &r.Status, KeyMaterialSuccess, KeyMaterialUserDeleted)
	r.User.WireOptional(c)
	wire.Vector(c, &r.Clients, wire.Struct)
	success := r.Status == KeyMaterialSuccess || r.Status == KeyMaterialPartialSuccess
	switch {
	case success && (r.User.Kind != mimi.KindUser || len(r.Clients) == 0):
		c.Fail(fmt.Errorf("%w: key material without user or clients", ErrMalformed))
	case !r.User.IsZero() && r.User.Kind != mimi.KindUser:
		c.Fail(fmt.Errorf("%w: userUri is not the URI of a user", ErrMalformed))
	case !success && r.Status != KeyMaterialNoCompatibleMaterial && len(r.Clients) > 0:
		c.Fail(fmt.Errorf("%w: user code %d must not come with clients", ErrMalformed, r.Status))
	}
}

// Err returns nil for the two successes, and otherwise a [*KeyMaterialError].
func (r *KeyMaterialResponse) Err() error {
	if r.Status == KeyMaterialSuccess || r.Status == KeyMaterialPartialSuccess {
		return nil
	}
	return &KeyMaterialError{r.Status}
}
