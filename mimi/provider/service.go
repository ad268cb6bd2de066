package provider

import (
	"context"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Common to all services: methods are called concurrently, by as many goroutines
// as [Limits] allow. The context ends with the request or after
// Limits.RequestTime. from is the domain of the peer, authenticated by mutual TLS.
// URIs in a request are well-formed and name things of the right kind; whether
// from may speak for the user it names, and all signatures, are for the service to
// check. Errors must not contain parts of the request.

// A Hub serves the rooms that are hosted here. Every room that it is asked about
// has this provider's domain. A method returns a response that says success, or an
// error: a *protocol.WrongEpochError, *protocol.NotAllowedError or
// *protocol.InvalidProposalError, protocol.ErrNoSuchRoom, protocol.ErrMalformed
// (wrapped), or a *protocol.RetryLaterError; all others are answered with 500.
//
// What Update and SubmitMessage accept is durable, with its place in the order of
// the room, when they return. An equal request of an equal peer gets the answer
// that the first one got.
type Hub interface {
	Update(ctx context.Context, from string, room mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error)
	SubmitMessage(ctx context.Context, from string, room mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error)
	// GroupInfo seals its answer for the requester. The request's signature has not
	// been verified.
	GroupInfo(ctx context.Context, from string, room mimi.URI, req *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error)
	// JoinCode makes a joining code of req.Room valid, durably.
	JoinCode(ctx context.Context, from string, req *protocol.JoinCodeRegistration) error
	// RelayKeyMaterial passes the request of a member of req.Room on to the provider
	// of req.Target, which may be this one, and its answer back.
	RelayKeyMaterial(ctx context.Context, from string, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error)
	// RelayUserKeyMaterial does so for a plain room: to the provider of
	// req.TargetUser.
	RelayUserKeyMaterial(ctx context.Context, from string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error)
}

// An Inbox takes in what the hubs of other providers send to users here.
type Inbox interface {
	// Notify stores body, durably, before it returns nil: the peer is then told
	// that it need not send it again. A body that has been stored before is success
	// without effect; body is the octets as received, and is one or more
	// MinimalMetadataFanouts, or FanoutMessages for a plain room. The hub of room is from. Errors are as those of a
	// [Hub].
	Notify(ctx context.Context, from string, room mimi.URI, body []byte) error
}

// People answers for the users of this provider who can be asked for a connection.
type People interface {
	// ConnectionPackage returns an encoded ConnectionEstablishmentPackage of the
	// user, at most protocol.MaxConnectionPackage octets; nil and no error if there
	// is no such user or they are not to be found. Users of all domains are asked
	// for.
	ConnectionPackage(ctx context.Context, from string, user mimi.URI) ([]byte, error)
	// ConnectionRequest stores a request for a user. It returns nil also for a user
	// or package that is not known, and for every request that is not to be shown:
	// the peer always gets the same answer. An error says that nothing was stored
	// and that the peer should try again.
	ConnectionRequest(ctx context.Context, from string, req *protocol.ConnectionRequest) error
	// Consent takes in what from says about consent, for one of its users. It returns
	// nil also for a user who is not known, as ConnectionRequest does; an entry of or to
	// users of others is a *protocol.NotAllowedError.
	Consent(ctx context.Context, from string, e *protocol.ConsentEntry) error
}

// A KeyMaterial hands out KeyPackages under connection tokens.
type KeyMaterial interface {
	// KeyMaterial answers a request that the hub of req.Room, which is from, relays.
	// What it has to say to the requester, refusals included, is sealed in its
	// answer. If the token does not open, there is nobody to seal to: that is a
	// *protocol.NotAllowedError.
	KeyMaterial(ctx context.Context, from string, req *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error)
	// UserKeyMaterial answers a request for a plain room that its hub, which is
	// from, relays: for the KeyPackages of req.TargetUser, who is of this provider. A
	// refusal by the user is an answer.
	UserKeyMaterial(ctx context.Context, from string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error)
}

// A Directory makes this provider's directory document.
type Directory interface {
	Directory(ctx context.Context) (*protocol.Directory, error)
}

// A Limiter decides on rates. It is asked once for each authenticated request to
// an endpoint; [TokenBuckets] is one.
type Limiter interface {
	// Allow counts one request, or returns false and how long the peer should wait.
	Allow(peer string, e protocol.Endpoint) (wait time.Duration, ok bool)
}
