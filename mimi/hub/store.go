package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

var (
	// ErrNoRoom reports a room that this hub does not host.
	ErrNoRoom = errors.New("hub: no such room")
	// ErrRoomExists reports that a room of that name exists already.
	ErrRoomExists = errors.New("hub: room exists")
)

// A ConflictError reports that a room has changed since it was read. The caller
// reads it again and decides again.
type ConflictError struct {
	// Version is the room's current one.
	Version uint64
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("hub: room is already at version %d", e.Version)
}

// A Change is the whole effect of one accepted request on its room. It becomes
// visible at once and as a whole, or not at all.
type Change struct {
	// Rows are those that differ; a nil value deletes the row.
	Rows []mls.Row
	// Request is the SHA-256 of the accepted request, and Answer what it was
	// answered: a repeat of the request gets the same answer. A Request of zeros is
	// none: a change that leaves no answer.
	Request [32]byte
	Answer  []byte
	// At is the time of acceptance.
	At time.Time
	// Deliveries are to be made in this order, behind all earlier ones.
	Deliveries []Delivery
	// Closed says that the room has nobody left in it. Its rows are deleted;
	// answers and deliveries remain.
	Closed bool
}

// A Delivery is the body of one notify request to one provider
// (draft-ietf-mimi-protocol-06, section 5.5).
type Delivery struct {
	// Seq orders the deliveries of a room; the store gives it.
	Seq uint64
	// Domain of the provider that receives it.
	Domain string
	Body   []byte
}

// A Lane is the ordered deliveries of one room to one provider.
type Lane struct {
	Room   mimi.URI
	Domain string
}

// A Store keeps the rooms that one hub hosts. A room is a set of rows with a
// version that each change moves on by one. Rows hold nothing secret: a hub has
// no key.
//
// Writes are durable when they return, and calls for one room are linearizable.
// All methods may be called concurrently. Package storetest checks every
// implementation.
type Store interface {
	// Create makes a room at version 0, or fails with [ErrRoomExists], also if a
	// room of that name has been closed.
	Create(ctx context.Context, room mimi.URI, rows []mls.Row) error

	// Load returns the room's rows in the order of their keys, and its version.
	// It fails with [ErrNoRoom], also for a closed room.
	Load(ctx context.Context, room mimi.URI) (rows []mls.Row, version uint64, err error)

	// Advance applies a change to a room at version from, and moves it to
	// version from+1. It is the only way to change a room. If the room is at
	// another version, Advance changes nothing and returns a *[ConflictError].
	Advance(ctx context.Context, room mimi.URI, from uint64, change *Change) error

	// Answer returns what an accepted request was answered, or ok = false if no
	// request with that hash was accepted since the horizon of [Store.Forget].
	Answer(ctx context.Context, room mimi.URI, request [32]byte) (answer []byte, ok bool, err error)

	// Forget drops the answers to requests accepted before the given time.
	Forget(ctx context.Context, before time.Time) error
}

// A Queue holds the deliveries that [Store.Advance] has added and that are not
// done. The rules of [Store] apply.
type Queue interface {
	// Lanes returns those that are not empty.
	Lanes(ctx context.Context) ([]Lane, error)

	// Head returns the first deliveries of a lane, at most limit of them and at
	// least one if there is any, in order.
	Head(ctx context.Context, lane Lane, limit int) ([]Delivery, error)

	// Done removes the lane's deliveries up to and including seq.
	Done(ctx context.Context, lane Lane, seq uint64) error
}
