package client

import (
	"context"
	"errors"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// ErrNotFound reports that a store does not have what was asked for.
var ErrNotFound = errors.New("client: not found")

// A Store keeps everything that the engine must know after a restart.
//
// Fields named Secret are sealed at rest by the store, bound to the key of their
// row. Times are kept with millisecond precision, in UTC. All methods may be
// called concurrently; writes are durable when they return, or when the
// transaction around them does. Package storetest checks every implementation.
type Store interface {
	// Atomically runs f in a transaction: its writes become visible and durable
	// together when f returns nil, and never otherwise. Every call that takes
	// part is given f's context. A transaction inside another joins it. Nothing
	// that waits for the network or for another goroutine happens in f.
	Atomically(ctx context.Context, f func(ctx context.Context) error) error

	Secrets
	Accounts
	Closures
	Contacts
	Requests
	Consents
	Rooms
	Leaves
	Members
	FormerPseudonyms
	Outbox
	Inbox
	Events
}

// Secrets keeps the keys of the provider itself.
type Secrets interface {
	// PutSecret inserts or replaces the secret of that name, sealed at rest.
	PutSecret(ctx context.Context, name string, secret []byte) error
	// Secret fails with [ErrNotFound].
	Secret(ctx context.Context, name string) ([]byte, error)
}

// An Account is a local user as a MIMI client.
type Account struct {
	// User is the account's real address, Client the URI of its one MIMI client.
	User   mimi.URI
	Client mimi.URI
	// Name is the display name that the account's contacts are told.
	Name string
	// Secret holds keys and certificate.
	Secret []byte
}

// Accounts keeps the local users.
type Accounts interface {
	// PutAccount inserts or replaces the account of that user.
	PutAccount(ctx context.Context, account *Account) error
	// Account fails with [ErrNotFound].
	Account(ctx context.Context, user mimi.URI) (*Account, error)
	// Accounts returns all, in the order of their URIs.
	Accounts(ctx context.Context) ([]*Account, error)
	// SetActive notes when an account was active last. An earlier time than the one
	// that is noted changes nothing, nor does an account that is not there.
	SetActive(ctx context.Context, user mimi.URI, at time.Time) error
	// CountActive counts the accounts that were active at or after a time.
	CountActive(ctx context.Context, since time.Time) (int, error)
	// DeleteAccount deletes the account of that user with its contacts, requests,
	// consents, leaves, former pseudonyms and outgoing messages. It does nothing if there is none.
	DeleteAccount(ctx context.Context, user mimi.URI) error
}

// A Closure is the deletion of an account: what is left to do, and afterwards the
// memory that the user did not want to be reached any more.
type Closure struct {
	Account mimi.URI
	Since   time.Time
	// Rooms is how many the account was in at the beginning, and Told how many of them
	// its user was told that it has left.
	Rooms, Told uint32
	// Done says that nothing else is left of the account.
	Done bool
}

// Closures keeps the deletions of accounts.
type Closures interface {
	// PutClosure inserts or replaces the closure of that account.
	PutClosure(ctx context.Context, closure *Closure) error
	// Closure fails with [ErrNotFound].
	Closure(ctx context.Context, account mimi.URI) (*Closure, error)
	// Closures returns those that are not done, in the order of their accounts.
	Closures(ctx context.Context) ([]*Closure, error)
	// DeleteClosure does nothing if there is no such closure.
	DeleteClosure(ctx context.Context, account mimi.URI) error
}

// A ContactState says how far a connection has come. Zero is no state.
type ContactState uint8

// The states of a contact.
const (
	// ContactAsked: our request is out and unanswered.
	ContactAsked ContactState = iota + 1
	// ContactConnected: both sides have each other's connection key and token.
	ContactConnected
	// ContactColleague: both are accounts here, so no request was needed.
	ContactColleague
	// ContactBlocked: requests and Welcomes of this person are dropped unseen.
	ContactBlocked
	// ContactExpired: our request was not answered in time.
	ContactExpired
	// ContactEnding: the account has ended the connection, and is about to leave its
	// room. Then the contact is forgotten.
	ContactEnding
	// ContactLeft: the peer has left the connection room.
	ContactLeft
	// ContactClosed: the peer has closed their account.
	ContactClosed
)

// ended reports whether there is no connection, and no request for one: the contact
// has no keys then.
func (s ContactState) ended() bool { return s >= ContactBlocked }

// A Contact is what one account knows of one other person.
type Contact struct {
	// ID is random, so that nothing has to name the pair.
	ID      string
	Account mimi.URI
	Peer    mimi.URI
	State   ContactState
	// Room is the connection room; zero before there is one and for colleagues.
	Room mimi.URI
	// Name is the display name that the peer told this account.
	Name    string
	Changed time.Time
	// Secret holds the connection keys and tokens of both directions.
	Secret []byte

	// Verified and KeyChanged are set by [Client.Contacts] and not stored: the account
	// has compared safety codes with the peer, or has, and the peer's keys have changed
	// since.
	Verified, KeyChanged bool
}

// Contacts keeps the contacts of all accounts.
type Contacts interface {
	// PutContact inserts or replaces the contact with that ID. A second contact
	// with the same account and peer is an error.
	PutContact(ctx context.Context, contact *Contact) error
	// Contact fails with [ErrNotFound].
	Contact(ctx context.Context, account, peer mimi.URI) (*Contact, error)
	// Contacts returns all contacts of all accounts, in the order of their IDs.
	Contacts(ctx context.Context) ([]*Contact, error)
	// DeleteContact does nothing if there is no such contact.
	DeleteContact(ctx context.Context, id string) error
}

// A Request is an incoming connection request that waits for its recipient's
// decision.
type Request struct {
	// Ref is the request_ref of mmr-profile.md, section 4.
	Ref [32]byte
	// Account is asked, and Peer asks.
	Account  mimi.URI
	Peer     mimi.URI
	Received time.Time
	// Secret is the opened SignedConnectionRequest.
	Secret []byte

	// Plain is set by [Client.Requests] and not stored: Peer asks for consent to add the
	// account to plain rooms, not for a connection.
	Plain bool
}

// Requests keeps incoming connection requests until they are decided.
type Requests interface {
	// PutRequest inserts or replaces the request with that Ref.
	PutRequest(ctx context.Context, request *Request) error
	// Request fails with [ErrNotFound].
	Request(ctx context.Context, ref [32]byte) (*Request, error)
	// Requests returns those for an account, oldest first.
	Requests(ctx context.Context, account mimi.URI) ([]*Request, error)
	// DeleteRequest does nothing if there is no such request.
	DeleteRequest(ctx context.Context, ref [32]byte) error
}

// A ConsentSide says whose KeyPackages a [Consent] is about.
type ConsentSide uint8

// The sides of a consent.
const (
	// ConsentOfAccount: Peer wants to fetch KeyPackages of Account.
	ConsentOfAccount ConsentSide = iota + 1
	// ConsentOfPeer: Account wants to fetch KeyPackages of Peer.
	ConsentOfPeer
)

// A ConsentState says how far a consent has come.
type ConsentState uint8

// The states of a consent.
const (
	// ConsentAsked: there is a request that is not answered.
	ConsentAsked ConsentState = iota + 1
	// ConsentGranted: KeyPackages may be fetched.
	ConsentGranted
	// ConsentDeclined: the account has declined, and is not asked again for a while.
	ConsentDeclined
	// ConsentEnded: the account has taken back its request, or its consent. Once the
	// peer's provider is told, it is forgotten.
	ConsentEnded
)

// A Consent is what an account and a person of another provider have agreed about
// plain rooms without being connected (docs/mmr-profile.md, section 11, "Consent").
type Consent struct {
	// Ref is that of its protocol.ConsentScope.
	Ref     [32]byte
	Account mimi.URI
	Peer    mimi.URI
	// Room that it is about; zero for any.
	Room  mimi.URI
	Side  ConsentSide
	State ConsentState
	// Changed is when it came to this state.
	Changed time.Time
	// Untold says that the peer's provider is yet to be told of the state.
	Untold bool
}

// Consents keeps who has asked whom for consent, and who has given it.
type Consents interface {
	// PutConsent inserts or replaces the consent with that Ref.
	PutConsent(ctx context.Context, consent *Consent) error
	// Consent fails with [ErrNotFound].
	Consent(ctx context.Context, ref [32]byte) (*Consent, error)
	// Consents returns those of an account, in the order of their changes.
	Consents(ctx context.Context, account mimi.URI) ([]*Consent, error)
	// UntoldConsents returns the untold ones of all accounts, in the order of their
	// accounts.
	UntoldConsents(ctx context.Context) ([]*Consent, error)
	// DeleteConsent does nothing if there is no such consent.
	DeleteConsent(ctx context.Context, ref [32]byte) error
}

// A RoomKind says what a room is for.
type RoomKind uint8

// The kinds of rooms.
const (
	RoomGroup RoomKind = iota + 1
	RoomConnection
	// RoomPlain is a group whose members hub and providers know by their real
	// addresses (docs/mmr-profile.md, section 11, "Plain rooms").
	RoomPlain
)

// A Room is one that at least one account is, or was, in.
type Room struct {
	URI  mimi.URI
	Kind RoomKind
	// Creator is the local account that made the room, or zero.
	Creator mimi.URI
	// Left says that no account is in the room any more; its rows are gone.
	Left bool
	// Secret holds what the hub must not know: wrapper keys, name.
	Secret []byte
}

// Rooms keeps rooms and the rows of their MLS groups.
type Rooms interface {
	// PutRoom inserts or replaces the room of that URI.
	PutRoom(ctx context.Context, room *Room) error
	// Room fails with [ErrNotFound].
	Room(ctx context.Context, room mimi.URI) (*Room, error)
	// Rooms returns all, in the order of their URIs.
	Rooms(ctx context.Context) ([]*Room, error)
	// PutRows inserts, replaces and (nil value) deletes rows of a room's group.
	// Rows marked as secret are sealed.
	PutRows(ctx context.Context, room mimi.URI, rows []mls.Row) error
	// Rows returns all rows of a room's group, in the order of their keys.
	Rows(ctx context.Context, room mimi.URI) ([]mls.Row, error)
	// DeleteRows deletes all rows, leaves and members of a room.
	DeleteRows(ctx context.Context, room mimi.URI) error
}

// A LeafState says what an account has made of its membership in a room.
type LeafState uint8

// The states of a local leaf.
const (
	// LeafInvited: somebody added the account; it has not yet said yes. Nothing
	// is sent for it.
	LeafInvited LeafState = iota + 1
	// LeafJoined: the account takes part.
	LeafJoined
	// LeafLeaving: the account has left; its removal is not yet committed.
	LeafLeaving
	// LeafEntering: the account's external Commit is with the hub. Index has no
	// meaning yet.
	LeafEntering
)

// A Leaf is the membership of one account in one room.
type Leaf struct {
	Room    mimi.URI
	Account mimi.URI
	// Index is the leaf index in the ratchet tree.
	Index uint32
	State LeafState
	// AddedBy is the member who added the account; zero for the room's creator
	// and for who joined by themselves.
	AddedBy mimi.URI
}

// Leaves keeps the leaves of local accounts.
type Leaves interface {
	// PutLeaf inserts or replaces the leaf of that account in that room.
	PutLeaf(ctx context.Context, leaf *Leaf) error
	// Leaves returns those in a room, in the order of their indices.
	Leaves(ctx context.Context, room mimi.URI) ([]*Leaf, error)
	// LeavesOf returns those of an account, in the order of their rooms.
	LeavesOf(ctx context.Context, account mimi.URI) ([]*Leaf, error)
	// DeleteLeaf does nothing if there is no such leaf.
	DeleteLeaf(ctx context.Context, room, account mimi.URI) error
}

// A Member is one leaf of a room as its identity link was opened. Links are
// opened once and kept; a leaf without a member is one whose link is still closed.
type Member struct {
	Room mimi.URI
	// Index is the leaf index in the ratchet tree.
	Index           uint32
	UserPseudonym   mimi.URI
	ClientPseudonym mimi.URI
	// User and Client are the identity behind the pseudonyms, or zero if the
	// link did not open: then the leaf is in quarantine.
	User   mimi.URI
	Client mimi.URI
	// NotAfter is the end of the client certificate's validity.
	NotAfter time.Time
	// CommittedBy is the leaf index of the member who brought this one.
	CommittedBy uint32
}

// Members keeps the members of rooms, local ones included.
type Members interface {
	// PutMember inserts or replaces the member at that leaf.
	PutMember(ctx context.Context, member *Member) error
	// Members returns those of a room, in the order of their indices.
	Members(ctx context.Context, room mimi.URI) ([]*Member, error)
	// MembersBehind returns those of all rooms that have that user pseudonym or that
	// client pseudonym, in the order of their rooms and indices.
	MembersBehind(ctx context.Context, user, client mimi.URI) ([]*Member, error)
	// DeleteMember does nothing if there is no such member.
	DeleteMember(ctx context.Context, room mimi.URI, index uint32) error
}

// An Outgoing is a message on its way to the hub.
type Outgoing struct {
	// Seq orders the messages of a room; the store gives it.
	Seq  uint64
	Room mimi.URI
	// Account is the sender.
	Account mimi.URI
	// Source is the sender's own name for the message (a Matrix event id), which
	// makes sending idempotent.
	Source string
	// MessageID is that of the content.
	MessageID []byte
	// Body is the encoded SubmitMessageRequest, the same at every attempt in one
	// epoch.
	Body []byte
	// Epoch that Body is encrypted for.
	Epoch uint64
	// Accepted is the hub's time of acceptance; zero before.
	Accepted time.Time
	// Secret is the content, for encrypting it again in a later epoch. It is
	// deleted by acceptance.
	Secret []byte
}

// Outbox keeps messages until the hub has accepted them, and the memory of those
// that it has accepted.
type Outbox interface {
	// PutOutgoing inserts a message, or replaces the one with the same room and
	// source. It sets Seq when inserting.
	PutOutgoing(ctx context.Context, out *Outgoing) error
	// Outgoing fails with [ErrNotFound].
	Outgoing(ctx context.Context, room mimi.URI, source string) (*Outgoing, error)
	// Unaccepted returns the messages of all rooms that the hubs have not
	// accepted, in order.
	Unaccepted(ctx context.Context) ([]*Outgoing, error)
	// DeleteOutgoing does nothing if there is no such message.
	DeleteOutgoing(ctx context.Context, room mimi.URI, source string) error
	// ForgetOutgoing deletes messages accepted before the given time.
	ForgetOutgoing(ctx context.Context, before time.Time) error
}

// An Incoming is a notify request that was acknowledged and waits to be
// processed.
type Incoming struct {
	// Seq orders what has come for a room; the store gives it.
	Seq  uint64
	Room mimi.URI
	// From is the domain of the hub that sent it.
	From     string
	Received time.Time
	Body     []byte
}

// Inbox keeps incoming requests, and remembers them by their hash.
type Inbox interface {
	// AddIncoming stores a request and sets Seq, unless one with the same sender
	// and body was stored since the horizon of ForgetIncoming: then it does
	// nothing and reports fresh = false.
	AddIncoming(ctx context.Context, in *Incoming) (fresh bool, err error)
	// NextIncoming returns the oldest request for a room, or [ErrNotFound].
	NextIncoming(ctx context.Context, room mimi.URI) (*Incoming, error)
	// RoomsWithIncoming returns the rooms that have any.
	RoomsWithIncoming(ctx context.Context) ([]mimi.URI, error)
	// DeleteIncoming deletes a request; its hash stays known.
	DeleteIncoming(ctx context.Context, seq uint64) error
	// ForgetIncoming drops the hashes of requests received before the given time
	// that are deleted.
	ForgetIncoming(ctx context.Context, before time.Time) error
}

// A StoredEvent is an [Event] that has not yet been delivered.
type StoredEvent struct {
	// Seq orders all events; the store gives it.
	Seq uint64
	// Lane groups events that must be delivered in order: a room URI, or an
	// account URI for what belongs to no room.
	Lane mimi.URI
	// Secret is the encoded event.
	Secret []byte
}

// Events keeps what the Matrix side has still to be told.
type Events interface {
	// AddEvent stores an event and sets Seq.
	AddEvent(ctx context.Context, event *StoredEvent) error
	// NextEvent returns the oldest event of a lane, or [ErrNotFound].
	NextEvent(ctx context.Context, lane mimi.URI) (*StoredEvent, error)
	// EventLanes returns the lanes that have any.
	EventLanes(ctx context.Context) ([]mimi.URI, error)
	// DeleteEvent does nothing if there is no such event.
	DeleteEvent(ctx context.Context, seq uint64) error
}
