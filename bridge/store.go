package bridge

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Store keeps what the connector must know after a restart, beside bridgev2's
// own tables. Writes are durable when they return. All methods may be called
// concurrently.
type Store interface {
	GhostStore
	RequestStore
	RevisionStore
}

// A GhostStore gives people the ids of their ghosts. A ghost belongs to a person,
// or, while nobody knows who that is, to a pseudonym in one room.
type GhostStore interface {
	// Ghost returns the id of the ghost of a person, for which room is zero, or of
	// a pseudonym in a room. If there is none yet, fresh becomes its id.
	Ghost(ctx context.Context, room, user mimi.URI, fresh string) (id string, err error)
	// GhostOwner returns whose ghost an id is; both are zero if there is no such
	// ghost.
	GhostOwner(ctx context.Context, id string) (room, user mimi.URI, err error)
	// LinkGhost notes who is behind a pseudonym. If that person has no ghost yet,
	// the pseudonym's becomes theirs. It returns the pseudonym's ghost, or "" if
	// there was none, and the person's, or "" if there is none.
	LinkGhost(ctx context.Context, room, pseudonym, user mimi.URI) (before, after string, err error)
}

// A RequestStore knows the Matrix rooms in which people are asked for a
// connection.
type RequestStore interface {
	// PutRequestRoom inserts or replaces the room of the request ref.
	PutRequestRoom(ctx context.Context, ref [32]byte, account, peer mimi.URI, mxid string) error
	// RequestRoom returns the Matrix room of a request, or "".
	RequestRoom(ctx context.Context, ref [32]byte) (mxid string, err error)
	// RequestIn returns the request that a Matrix room is for; account is zero if
	// it is for none.
	RequestIn(ctx context.Context, mxid string) (ref [32]byte, account, peer mimi.URI, err error)
	// RequestOf returns a request of peer to account that has a room; mxid is ""
	// if there is none.
	RequestOf(ctx context.Context, account, peer mimi.URI) (ref [32]byte, mxid string, err error)
	// DeleteRequestRoom does nothing if there is none.
	DeleteRequestRoom(ctx context.Context, ref [32]byte) error
}

// A RevisionStore knows the messages that stand for another one: later versions
// of a message, and reactions to it. People reply to the version that they see;
// bridgev2 knows the first one.
type RevisionStore interface {
	// PutRevision notes that a message is a later version of first, or, if
	// reaction is not empty, a reaction to first.
	PutRevision(ctx context.Context, room mimi.URI, id, first [32]byte, reaction string) error
	// Revision returns what was noted; first is zero if that is nothing.
	Revision(ctx context.Context, room mimi.URI, id [32]byte) (first [32]byte, reaction string, err error)
}
