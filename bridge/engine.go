package bridge

import (
	"context"
	"crypto/sha256"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// An Engine acts in MIMI for the people of this homeserver. It is a
// [client.Client]; its methods promise what they promise there, and may be
// called concurrently. It does not wait for [Connector.Deliver], which may call
// it back.
type Engine interface {
	Accounts
	Connections
	Authorities
	Rooms
	Links
	Messages
}

// Accounts are the people of this homeserver as MIMI users.
type Accounts interface {
	// Provision makes an account unless there is one. It fails with
	// [mimi.ErrHandle] if the localpart can't be an address.
	Provision(ctx context.Context, localpart, name string) (mimi.URI, error)
	DeleteAccount(ctx context.Context, account mimi.URI) (*client.Deletion, error)
	Deletion(ctx context.Context, account mimi.URI) (*client.Deletion, error)
	SetName(ctx context.Context, account mimi.URI, name string) error
	// Crowd counts them.
	Crowd(ctx context.Context) (client.Crowd, error)
}

// Connections are whom people of this homeserver know at other providers.
type Connections interface {
	Connect(ctx context.Context, account, peer mimi.URI) (*client.Contact, error)
	Accept(ctx context.Context, account mimi.URI, ref client.Ref) (room mimi.URI, err error)
	Decline(ctx context.Context, account mimi.URI, ref client.Ref) error
	AskConsent(ctx context.Context, account, peer mimi.URI) error
	Consents(ctx context.Context, account mimi.URI) ([]*client.Consent, error)
	Requests(ctx context.Context, account mimi.URI) ([]*client.Request, error)
	Contacts(ctx context.Context, account mimi.URI) ([]*client.Contact, error)
	RemoveContact(ctx context.Context, account, peer mimi.URI) error
	Block(ctx context.Context, account, peer mimi.URI) error
	Unblock(ctx context.Context, account, peer mimi.URI) error
	Safety(ctx context.Context, account, peer mimi.URI) (*client.Safety, error)
	Verify(ctx context.Context, account, peer mimi.URI, digest [sha256.Size]byte) error
	Unverify(ctx context.Context, account, peer mimi.URI) error
}

// Authorities say who the people of providers are.
type Authorities interface {
	IdentityCA() (*identity.Authority, []identity.ProviderKey, error)
	IdentityCAChanges(ctx context.Context) ([]identity.PinChange, error)
	AcceptIdentityCA(ctx context.Context, domain string, fingerprint [32]byte) error
}

// Rooms are the rooms that people of this homeserver are in.
type Rooms interface {
	CreateRoom(ctx context.Context, account mimi.URI, opts client.RoomOptions, invite []mimi.URI) (room mimi.URI, failed map[mimi.URI]error, err error)
	Invite(ctx context.Context, account, room, user mimi.URI) error
	Kick(ctx context.Context, account, room, user mimi.URI) error
	Leave(ctx context.Context, account, room mimi.URI) error
	Join(ctx context.Context, account, room mimi.URI) error
	JoinPseudonymously(ctx context.Context, account, room mimi.URI) error
	Identify(ctx context.Context, account, room mimi.URI) error
	Loosen(ctx context.Context, account, room mimi.URI, requirement identity.LinkRequirement) error
	SetRole(ctx context.Context, account, room, user mimi.URI, admin bool) error
	SetTopic(ctx context.Context, account, room mimi.URI, topic string) error
	SetAvatar(ctx context.Context, account, room mimi.URI, avatar *rules.Avatar) error
	// RoomsOf returns the rooms that an account is in, or invited to.
	RoomsOf(ctx context.Context, account mimi.URI) ([]*client.Leaf, error)
	Rename(ctx context.Context, account, room mimi.URI, name string) error
	Room(ctx context.Context, room mimi.URI) (*client.RoomInfo, error)
	Unverified(ctx context.Context, account, room mimi.URI) ([]client.UnverifiedMember, error)
	SendAnyway(ctx context.Context, account, room mimi.URI, leaves int) error
}

// Links let people enter rooms without being added.
type Links interface {
	MakeLink(ctx context.Context, account, room mimi.URI, opts client.LinkOptions) (*client.Link, error)
	Links(ctx context.Context, account, room mimi.URI) ([]*client.Link, error)
	RevokeLink(ctx context.Context, account, room mimi.URI, id string) error
	JoinLink(ctx context.Context, account mimi.URI, text string, opts client.JoinOptions) (room mimi.URI, err error)
}

// Messages go to rooms.
type Messages interface {
	// Send sends a message once for each source, however often it is called.
	Send(ctx context.Context, account, room mimi.URI, source string, message content.Message) (client.Sent, error)
}

// A Node is the MIMI side of the gateway: hub, provider, and the engine.
type Node interface {
	// Start begins to serve other providers and to deliver what waits. It is
	// called once, before any login connects.
	Start(ctx context.Context) error
	// Stop ends both and returns when no call is left. What was not delivered
	// stays stored.
	Stop()
}

// A Backend is what stands on the gateway's database.
type Backend struct {
	Node   Node
	Engine Engine
	// Intake keeps what the homeserver sends.
	Intake IntakeStore
	// Store keeps what the connector knows of people and messages.
	Store Store
}

var _ Engine = (*client.Client)(nil)
