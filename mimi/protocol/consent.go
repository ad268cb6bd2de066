package protocol

import (
	"crypto/sha256"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A ConsentOperation says what a [ConsentEntry] does.
//
//	enum { cancel(0), request(1), grant(2), revoke(3), (255) } ConsentOperation;
type ConsentOperation uint8

// The operations: the first two are sent to requestConsent, by the provider of the
// requester, the others to updateConsent, by that of the target.
const (
	ConsentCancel  ConsentOperation = 0
	ConsentRequest ConsentOperation = 1
	ConsentGrant   ConsentOperation = 2
	ConsentRevoke  ConsentOperation = 3
)

// Endpoint returns where entries with that operation are sent.
func (o ConsentOperation) Endpoint() Endpoint {
	if o == ConsentGrant || o == ConsentRevoke {
		return EndpointUpdateConsent
	}
	return EndpointRequestConsent
}

// A ConsentEntry asks somebody for consent to fetch their KeyPackages for plain rooms,
// or says what they think of it (draft-ietf-mimi-protocol-06, section "Convey explicit
// consent"). It is not signed: the provider that sends it speaks for its user.
//
//	struct {
//	    ConsentOperation consentOperation;
//	    IdentifierUri requesterUri;
//	    IdentifierUri targetUri;
//	    optional<RoomId> roomId;
//	    select (consentOperation) {
//	        case grant: KeyPackage clientKeyPackages<V>;
//	    };
//	    AppDataDictionary consent_extensions;
//	} ConsentEntry;
//
// The draft defines no RoomId; it is an IdentifierUri here, as everywhere else.
type ConsentEntry struct {
	Operation ConsentOperation
	ConsentScope
	// KeyPackages of the target's clients, with ConsentGrant alone; often none.
	KeyPackages []mls.KeyPackage
	// Extensions that are not known mean nothing.
	Extensions mls.AppDataDictionary
}

// Wire implements [wire.Message].
func (e *ConsentEntry) Wire(c *wire.Codec) {
	enum(c, &e.Operation, ConsentCancel, ConsentRevoke)
	e.ConsentScope.Wire(c)
	switch {
	case e.Operation == ConsentGrant:
		wire.Vector(c, &e.KeyPackages, wire.Struct)
	case len(e.KeyPackages) > 0:
		c.Fail(fmt.Errorf("%w: KeyPackages without a grant", ErrMalformed))
	}
	e.Extensions.Wire(c)
}

// A ConsentScope is what a consent is about.
//
//	struct {
//	    IdentifierUri requesterUri;
//	    IdentifierUri targetUri;
//	    optional<RoomId> roomId;
//	} ConsentScope;
type ConsentScope struct {
	// Requester wants to fetch KeyPackages of Target.
	Requester, Target mimi.URI
	// Room that they are for; zero for any.
	Room mimi.URI
}

// Wire implements [wire.Message]. Nobody needs their own consent.
func (s *ConsentScope) Wire(c *wire.Codec) {
	userURI(c, &s.Requester)
	userURI(c, &s.Target)
	if s.Requester == s.Target && !s.Target.IsZero() {
		c.Fail(fmt.Errorf("%w: requester and target are the same", ErrMalformed))
	}
	room := &s.Room
	if !c.Decoding() && s.Room.IsZero() {
		room = nil
	}
	wire.Optional(c, &room, roomURI)
	if c.Decoding() && room != nil {
		s.Room = *room
	}
}

// Ref names the scope: SHA-256 of its encoding. Requests for the same scope are one.
func (s *ConsentScope) Ref() ([sha256.Size]byte, error) {
	b, err := wire.Marshal(s)
	if err != nil {
		return [sha256.Size]byte{}, fmt.Errorf("encode the scope of a consent: %w", err)
	}
	return sha256.Sum256(b), nil
}

// Receiver is the user whose provider an entry with that operation is sent to.
func (e *ConsentEntry) Receiver() mimi.URI {
	if e.Operation.Endpoint() == EndpointUpdateConsent {
		return e.Requester
	}
	return e.Target
}

// Sender is the user whose provider sends the entry.
func (e *ConsentEntry) Sender() mimi.URI {
	if e.Operation.Endpoint() == EndpointUpdateConsent {
		return e.Target
	}
	return e.Requester
}
