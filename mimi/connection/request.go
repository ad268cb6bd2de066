package connection

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	labelRequest = "ConnectionRequest"
	labelSigned  = "ConnectionRequestTBS"
	// padRequest hides who asks: the length of names.
	padRequest = 4096
	secretSize = 32
	// RequestLifetime is how old a request may be, and how long its joining code
	// is good for.
	RequestLifetime = 30 * 24 * time.Hour
)

// ErrRequestFormat reports an opened ciphertext that holds no connection request,
// or one that asks to join a room elsewhere than at the requester's provider.
var ErrRequestFormat = errors.New("connection: malformed connection request")

// A ConnectionRequest is what the requester tells the responder.
//
//	struct {
//	    Credential requester_client_credential;
//	    opaque connection_room_id<V>;
//	    opaque connection_room_identity_link_wrapper_key<V>;
//	    opaque requester_connection_key<V>;
//	    opaque connection_response_key<V>;   /* HPKE public key, fresh */
//	    opaque requester_connection_token<V>;
//	    opaque join_secret<V>;
//	    uint64 created_at_ms;
//	} ConnectionRequest;
type ConnectionRequest struct {
	Client        identity.ClientCredential
	Room          mimi.URI
	WrapperKey    suite.Secret
	ConnectionKey identity.ConnectionKey
	ResponseKey   []byte
	Token         identity.ConnectionToken
	JoinSecret    suite.Secret
	CreatedAt     uint64 // milliseconds since 1970
}

// Wire codes the structure.
func (r *ConnectionRequest) Wire(c *wire.Codec) {
	r.Client.Wire(c)
	r.Room.Wire(c)
	r.WrapperKey.Wire(c)
	r.ConnectionKey.Wire(c)
	wire.Opaque(c, &r.ResponseKey)
	r.Token.Wire(c)
	r.JoinSecret.Wire(c)
	wire.Uint64(c, &r.CreatedAt)
	switch {
	case r.Room.Kind != mimi.KindRoom:
		c.Fail(fmt.Errorf("%w: connection_room_id is not a room's", ErrRequestFormat))
	case r.WrapperKey.Len() != secretSize || r.JoinSecret.Len() != secretSize:
		c.Fail(fmt.Errorf("%w: a secret is of the wrong length", ErrRequestFormat))
	}
}

// JoiningCode returns the code with which the responder gets the GroupInfo of
// the connection room (GroupInfoRequest.joiningCode), and which the requester
// registers when it creates the room: single use, for [RequestLifetime].
func (r *ConnectionRequest) JoiningCode(s *suite.Suite) suite.Secret {
	return s.ExpandWithLabel(r.JoinSecret, "JoiningCode", []byte(r.Room.String()), 32)
}

// A ConnectionRequestContext binds an encrypted request to its recipient and to
// the package that it was made for.
//
//	struct {
//	    opaque recipient_user_uri<V>;
//	    opaque cep_ref<V>;
//	} ConnectionRequestContext;
type ConnectionRequestContext struct {
	Recipient mimi.URI
	Package   Ref
}

// Wire codes the structure.
func (x *ConnectionRequestContext) Wire(c *wire.Codec) {
	x.Recipient.Wire(c)
	x.Package.Wire(c)
}

// A ConnectionRequestTBS is what the requester signs. It is not sent: both sides
// know the context.
//
//	struct {
//	    ConnectionRequest request;
//	    opaque recipient_user_uri<V>;
//	    opaque cep_ref<V>;
//	} ConnectionRequestTBS;
type ConnectionRequestTBS struct {
	Request *ConnectionRequest
	Context ConnectionRequestContext
}

// Wire codes the structure.
func (t *ConnectionRequestTBS) Wire(c *wire.Codec) {
	if t.Request == nil {
		t.Request = new(ConnectionRequest)
	}
	t.Request.Wire(c)
	t.Context.Wire(c)
}

// A SignedConnectionRequest is the plaintext of an encrypted request.
//
//	struct {
//	    ConnectionRequest request;
//	    opaque signature<V>;
//	} SignedConnectionRequest;
type SignedConnectionRequest struct {
	Request   ConnectionRequest
	Signature []byte
}

// Wire codes the structure.
func (r *SignedConnectionRequest) Wire(c *wire.Codec) {
	r.Request.Wire(c)
	wire.Opaque(c, &r.Signature)
}

// Ref returns the request_ref.
func (r *SignedConnectionRequest) Ref(s *suite.Suite) (Ref, error) {
	return refHash(s, "MIMI 1.0 ConnectionRequest", r)
}

// Keys are the key and the token that one side gives the other, for one contact.
type Keys struct {
	Key   identity.ConnectionKey
	Token identity.ConnectionToken
}

// NewKeys makes keys for one contact.
func NewKeys(random io.Reader) (Keys, error) {
	key, err := identity.NewConnectionKey(random)
	if err != nil {
		return Keys{}, err
	}
	token, err := identity.NewConnectionToken(random)
	return Keys{key, token}, err
}

// Wire codes the keys for storing them sealed, and as a ConnectionResponse.
func (k *Keys) Wire(c *wire.Codec) {
	k.Key.Wire(c)
	k.Token.Wire(c)
}

// RequestConfig is what [NewRequest] makes a request from.
type RequestConfig struct {
	Package *VerifiedPackage
	// User asks, with this client.
	User   mimi.URI
	Client identity.ClientSigner
	// Room is the connection room, at the requester's own provider, and
	// WrapperKey its only wrapper key.
	Room       mimi.URI
	WrapperKey identity.WrapperKey
	// Keys are what this contact is given.
	Keys   Keys
	Clock  mimi.Clock
	Random io.Reader
}

// An OutgoingRequest is what the requester remembers of its request until it is
// answered. It is secret; [OutgoingRequest.Wire] is for storing it sealed.
type OutgoingRequest struct {
	// Asked is the person that the request went to.
	Asked       mimi.URI
	CipherSuite mls.CipherSuite
	Room        mimi.URI
	Ref         Ref
	JoiningCode suite.Secret
	CreatedAt   uint64 // milliseconds since 1970
	response    suite.HPKEPrivateKey
}

// Wire codes the structure; this is no wire format of the profile.
func (o *OutgoingRequest) Wire(c *wire.Codec) {
	o.Asked.Wire(c)
	wire.Uint16(c, &o.CipherSuite)
	o.Room.Wire(c)
	o.Ref.Wire(c)
	o.JoiningCode.Wire(c)
	wire.Uint64(c, &o.CreatedAt)
	private := o.response.Secret()
	private.Wire(c)
	if !c.Decoding() {
		return
	}
	s, err := suite.Lookup(o.CipherSuite)
	if err == nil {
		o.response, err = s.ImportHPKEKey(private)
	}
	// X25519 has many private keys for one; what we store is the clamped one.
	if err == nil && !o.response.Secret().Equal(private) {
		err = suite.ErrKey
	}
	if err != nil {
		c.Fail(fmt.Errorf("stored connection request: %w", err))
	}
}

// Format shows nobody's name and no key, whatever the verb.
func (o *OutgoingRequest) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("[redacted connection request]"))
}

// A SealedRequest is what is sent to the responder's provider: the body of a
// connectionRequest (docs/mmr-profile.md, section 10), whose codec is
// protocol.ConnectionRequest.
type SealedRequest struct {
	Target  mimi.URI
	Package Ref
	Request suite.HPKECiphertext
}

// NewRequest makes a connection request to the user of a package.
func NewRequest(cfg RequestConfig) (*SealedRequest, *OutgoingRequest, error) {
	s := cfg.Package.suite
	if cfg.Room.Domain != cfg.User.Domain {
		return nil, nil, fmt.Errorf("make a connection request: %w: the room is at another provider", ErrRequestFormat)
	}
	response, err := s.GenerateHPKEKey(cfg.Random)
	if err != nil {
		return nil, nil, fmt.Errorf("make a connection request: %w", err)
	}
	join := make([]byte, secretSize)
	if _, err := io.ReadFull(cfg.Random, join); err != nil {
		return nil, nil, fmt.Errorf("make a connection request: %w", err)
	}
	signed := &SignedConnectionRequest{Request: ConnectionRequest{
		Client: cfg.Client.Credential(), Room: cfg.Room, WrapperKey: cfg.WrapperKey.Key,
		ConnectionKey: cfg.Keys.Key, ResponseKey: response.Public(), Token: cfg.Keys.Token,
		JoinSecret: suite.NewSecret(join), CreatedAt: uint64(cfg.Clock.Now().UnixMilli()),
	}}
	context := ConnectionRequestContext{cfg.Package.User(), cfg.Package.ref}
	if err := signed.sign(cfg.Client, context); err != nil {
		return nil, nil, err
	}
	sealed, err := signed.encrypt(s, cfg.Package.pkg.TBS.PublicKey, context)
	if err != nil {
		return nil, nil, err
	}
	ref, err := signed.Ref(s)
	if err != nil {
		return nil, nil, err
	}
	return &SealedRequest{context.Recipient, context.Package, sealed}, &OutgoingRequest{
		Asked: context.Recipient, CipherSuite: s.ID(), Room: cfg.Room, Ref: ref,
		JoiningCode: signed.Request.JoiningCode(s), CreatedAt: signed.Request.CreatedAt, response: response,
	}, nil
}

func (r *SignedConnectionRequest) sign(client identity.ClientSigner, context ConnectionRequestContext) error {
	content, err := wire.Marshal(&ConnectionRequestTBS{&r.Request, context})
	if err != nil {
		return fmt.Errorf("sign a connection request: %w", err)
	}
	if r.Signature, err = client.SignWithLabel(labelSigned, content); err != nil {
		return fmt.Errorf("sign a connection request: %w", err)
	}
	return nil
}

func (r *SignedConnectionRequest) encrypt(s *suite.Suite, public []byte, context ConnectionRequestContext) (suite.HPKECiphertext, error) {
	var none suite.HPKECiphertext
	b, err := wire.Marshal(r)
	if err != nil {
		return none, fmt.Errorf("encrypt a connection request: %w", err)
	}
	defer clear(b)
	plaintext, err := identity.Pad(b, padRequest)
	if err != nil {
		return none, err
	}
	defer clear(plaintext)
	bound, err := wire.Marshal(&context)
	if err != nil {
		return none, fmt.Errorf("encrypt a connection request: %w", err)
	}
	return s.EncryptWithLabel(public, labelRequest, bound, plaintext)
}
