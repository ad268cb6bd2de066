package protocol

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The components of franking (draft-ietf-mimi-protocol-06, sections 9.1 and 9.2).
const (
	// ComponentFrankAAD holds a [FrankAAD] in the SafeAAD of a PrivateMessage.
	ComponentFrankAAD mls.ComponentID = 0x0020
	// ComponentFrankingAgent holds a [FrankingAgentData] in the GroupContext.
	ComponentFrankingAgent mls.ComponentID = 0x0021
)

// FrankSize is the length of a franking_tag and of a server_frank in octets.
const FrankSize = sha256.Size

const frankingLabel = "FrankingIntegrityTBS"

// A FrankAAD commits a sender to a message (draft-ietf-mimi-protocol-06, section
// 5.4.1).
//
//	struct { uint8 franking_tag[32]; } FrankAAD;
type FrankAAD struct {
	Tag []byte
}

// Wire implements [wire.Message].
func (f *FrankAAD) Wire(c *wire.Codec) { wire.Fixed(c, &f.Tag, FrankSize) }

// FrankingTag returns the franking_tag of the application data of a message
// (after any ApplicationFraming) with the salt of its MIMI content.
func FrankingTag(salt, applicationData []byte) []byte { return hmacSHA256(salt, applicationData) }

func hmacSHA256(key []byte, data ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

// FrankingAgentData names the key with which the hub of a room signs franks. It
// is the form of the component and of an update to it.
//
//	struct {
//	    SignaturePublicKey franking_signature_key;
//	    Credential credential;
//	} FrankingAgentData;
type FrankingAgentData struct {
	SignatureKey []byte
	Credential   mls.Credential
}

// Wire implements [wire.Message].
func (f *FrankingAgentData) Wire(c *wire.Codec) {
	wire.Opaque(c, &f.SignatureKey)
	f.Credential.Wire(c)
}

// A ServerFrankingContext is what the hub saw when it accepted a message.
//
//	struct {
//	    IdentifierUri sender_uri;
//	    IdentifierUri room_uri;
//	    uint64 accepted_timestamp;
//	} ServerFrankingContext;
type ServerFrankingContext struct {
	// Sender is the sendingUri: a user_pseudonym in minimal-metadata rooms.
	Sender mimi.URI
	Room   mimi.URI
	// Accepted is the hub's acceptance time, in whole milliseconds.
	Accepted time.Time
}

// Wire implements [wire.Message].
func (f *ServerFrankingContext) Wire(c *wire.Codec) {
	userURI(c, &f.Sender)
	roomURI(c, &f.Room)
	milliseconds(c, &f.Accepted)
}

// A Frank proves that the hub accepted a message (draft-ietf-mimi-protocol-06,
// section 5.4).
//
//	struct {
//	    uint8 server_frank[32];
//	    CipherSuite franking_signature_ciphersuite;
//	    opaque franking_integrity_signature<V>;
//	} Frank;
type Frank struct {
	ServerFrank []byte
	CipherSuite suite.ID
	Signature   []byte
}

// Wire implements [wire.Message].
func (f *Frank) Wire(c *wire.Codec) {
	wire.Fixed(c, &f.ServerFrank, FrankSize)
	wire.Uint16(c, &f.CipherSuite)
	wire.Opaque(c, &f.Signature)
}

// tbs returns the fields that the signature covers.
//
//	struct {
//	    opaque server_frank[32];
//	    CipherSuite franking_signature_ciphersuite;
//	    ServerFrankingContext context;
//	} FrankingIntegrityTBS;
func (f *Frank) tbs(context ServerFrankingContext) fields {
	return func(c *wire.Codec) {
		wire.Fixed(c, &f.ServerFrank, FrankSize)
		wire.Uint16(c, &f.CipherSuite)
		context.Wire(c)
	}
}

func serverFrank(hubKey suite.Secret, tag []byte, context ServerFrankingContext) ([]byte, error) {
	if len(tag) != FrankSize {
		return nil, fmt.Errorf("%w: franking_tag of %d octets", ErrMalformed, len(tag))
	}
	b, err := wire.Marshal(&context)
	if err != nil {
		return nil, err
	}
	return hmacSHA256(hubKey.Bytes(), tag, b), nil
}

// NewFrank franks a message at the hub: tag is its franking_tag, hubKey the hub's
// secret with which it recognises its own franks later, key that of the room's
// franking agent.
func NewFrank(s *suite.Suite, hubKey suite.Secret, key suite.SignatureKey, tag []byte, context ServerFrankingContext) (*Frank, error) {
	mac, err := serverFrank(hubKey, tag, context)
	if err != nil {
		return nil, err
	}
	f := &Frank{ServerFrank: mac, CipherSuite: s.ID()}
	f.Signature, err = sign(s, key, frankingLabel, f.tbs(context))
	return f, err
}

// Verify checks, at a receiver, the hub's signature on the frank with the key of
// the room's franking agent. The context is the receiver's own knowledge: the
// sender whom the message names, the room, and the time that came with it. The
// suite is that of the group; a frank of another fails, as do wrong signatures,
// with suite.ErrSignature. The caller still compares the sender with the leaf, and
// the tag with [FrankingTag].
func (f *Frank) Verify(s *suite.Suite, agentKey []byte, context ServerFrankingContext) error {
	if f.CipherSuite != s.ID() {
		return fmt.Errorf("%w: the frank is of another cipher suite", suite.ErrSignature)
	}
	return verify(s, agentKey, frankingLabel, f.tbs(context), f.Signature)
}

// VerifyServer reports, at the hub, whether the server_frank is one that the hub
// made with hubKey for a message of that tag in that context.
func (f *Frank) VerifyServer(hubKey suite.Secret, tag []byte, context ServerFrankingContext) bool {
	mac, err := serverFrank(hubKey, tag, context)
	return err == nil && subtle.ConstantTimeCompare(mac, f.ServerFrank) == 1
}
