package connection

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	labelResponse = "ConnectionResponse"
	padResponse   = 256
)

// The ways in which an answer to one's own request is refused. The requester
// then removes the leaf and tells its user (docs/mmr-profile.md, section 4).
var (
	// ErrNewLeaves reports a Commit that brings another number of leaves into the
	// connection room than one.
	ErrNewLeaves = errors.New("connection: the answer does not bring exactly one leaf")
	// ErrResponse reports a connection response that is absent, malformed, or does
	// not open in the context of the own request.
	ErrResponse = errors.New("connection: response does not open")
	// ErrOtherPerson reports that somebody else joined than was asked.
	ErrOtherPerson = errors.New("connection: somebody else has answered than was asked")
)

// A ConnectionResponse is what the responder gives the requester:
//
//	struct {
//	    opaque responder_connection_key<V>;
//	    opaque responder_connection_token<V>;
//	} ConnectionResponse;
type ConnectionResponse = Keys

// A ConnectionResponseContext binds a response to the request and to the leaf
// that brings it.
//
//	struct {
//	    opaque connection_room_id<V>;
//	    opaque request_ref<V>;
//	    PseudonymousCredentialTBS responder_tbs;
//	} ConnectionResponseContext;
type ConnectionResponseContext struct {
	Room      mimi.URI
	Request   Ref
	Responder identity.PseudonymousCredentialTBS
}

// Wire codes the structure.
func (x *ConnectionResponseContext) Wire(c *wire.Codec) {
	x.Room.Wire(c)
	x.Request.Wire(c)
	x.Responder.Wire(c)
}

// sealResponse makes an EncryptedConnectionResponse.
func sealResponse(s *suite.Suite, public []byte, context *ConnectionResponseContext, keys *Keys) (mls.SafeAADItem, error) {
	var none mls.SafeAADItem
	b, err := wire.Marshal(keys)
	if err != nil {
		return none, fmt.Errorf("encrypt a connection response: %w", err)
	}
	defer clear(b)
	plaintext, err := identity.Pad(b, padResponse)
	if err != nil {
		return none, err
	}
	defer clear(plaintext)
	bound, err := wire.Marshal(context)
	if err != nil {
		return none, fmt.Errorf("encrypt a connection response: %w", err)
	}
	sealed, err := s.EncryptWithLabel(public, labelResponse, bound, plaintext)
	if err != nil {
		return none, fmt.Errorf("encrypt a connection response: %w", err)
	}
	data, err := wire.Marshal(&sealed)
	return mls.SafeAADItem{ID: identity.ComponentConnectionResponse, Data: data}, err
}

// openResponse opens an EncryptedConnectionResponse, or fails with [ErrResponse].
func openResponse(s *suite.Suite, private suite.HPKEPrivateKey, context *ConnectionResponseContext, data []byte) (*Keys, error) {
	var sealed suite.HPKECiphertext
	if err := wire.Unmarshal(data, &sealed); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	bound, err := wire.Marshal(context)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	plaintext, err := s.DecryptWithLabel(private, labelResponse, bound, sealed)
	if err != nil {
		return nil, mimi.Refuse("response-opens", fmt.Errorf("%w: %w", ErrResponse, err))
	}
	defer clear(plaintext)
	b, err := identity.Unpad(plaintext, padResponse)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	defer clear(b)
	var keys Keys
	if err := wire.Unmarshal(b, &keys); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrResponse, err)
	}
	return &keys, nil
}

// Accept makes the requester's checks of an answer (docs/mmr-profile.md, section
// 4): the external Commit brings exactly one new leaf, its SafeAAD holds a
// response in the context of this request, and the leaf is of the person asked.
// Added are the opened links of the leaves that the Commit brings; one that did
// not open is nil. It returns what the contact gives us.
func (o *OutgoingRequest) Accept(added []*identity.OpenedLink, aad mls.SafeAAD) (*Keys, error) {
	if len(added) != 1 {
		return nil, mimi.Refuse("response-leaves", fmt.Errorf("%w: %d", ErrNewLeaves, len(added)))
	}
	if added[0] == nil {
		return nil, mimi.Refuse("response-link", fmt.Errorf("%w: its identity link does not open", ErrOtherPerson))
	}
	s, err := suite.Lookup(o.CipherSuite)
	if err != nil {
		return nil, err
	}
	data, ok := aad.Get(identity.ComponentConnectionResponse)
	if !ok {
		return nil, mimi.Refuse("response-missing", fmt.Errorf("%w: the Commit brings none", ErrResponse))
	}
	context := &ConnectionResponseContext{o.Room, o.Ref, added[0].Pseudonyms()}
	keys, err := openResponse(s, o.response, context, data)
	if err != nil {
		return nil, err
	}
	if added[0].User() != o.Asked {
		return nil, mimi.Refuse("response-person", ErrOtherPerson)
	}
	return keys, nil
}
