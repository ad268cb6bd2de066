package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Bridge keeps what the Matrix side knows beside bridgev2's own tables. It is
// the Store of package bridge, which says what its methods promise.
type Bridge struct{ t *tables }

// Bridge returns what the Matrix side keeps.
func (s *Store) Bridge() *Bridge { return &Bridge{s.tables} }

// Ghost returns the id of the ghost of a person, or of a pseudonym in a room; if
// there is none yet, fresh becomes its id. room is zero for a person.
func (b *Bridge) Ghost(ctx context.Context, room, user mimi.URI, fresh string) (id string, err error) {
	err = b.t.atomically(ctx, func(ctx context.Context) error {
		id, err = b.ghostOf(ctx, room, user)
		if err != nil || id != "" {
			return err
		}
		id = fresh
		return b.t.exec(ctx, "store ghost",
			`INSERT INTO mimi_ghost (id, room, user_uri) VALUES ($1, $2, $3)`, fresh, room.String(), user.String())
	})
	return id, err
}

// ghostOf returns the id of a ghost, or "".
func (b *Bridge) ghostOf(ctx context.Context, room, user mimi.URI) (id string, err error) {
	err = b.t.db.QueryRow(ctx,
		`SELECT id FROM mimi_ghost WHERE user_uri = $1 AND room = $2`, user.String(), room.String()).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("mapping: failed to read ghost: %w", err)
	}
	return id, nil
}

// GhostOwner returns whose ghost an id is: a person and no room, or a pseudonym
// and its room. Both are zero if there is no such ghost.
func (b *Bridge) GhostOwner(ctx context.Context, id string) (room, user mimi.URI, err error) {
	err = b.t.db.QueryRow(ctx, `SELECT room, user_uri FROM mimi_ghost WHERE id = $1`, id).
		Scan(uriColumn{&room}, uriColumn{&user})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return mimi.URI{}, mimi.URI{}, fmt.Errorf("mapping: failed to read ghost: %w", err)
	}
	return room, user, nil
}

// LinkGhost notes who is behind a pseudonym in a room. If that person has no ghost
// yet, the pseudonym's becomes theirs. It returns the pseudonym's ghost, or "" if
// there was none, and the person's, or "" if there is none.
func (b *Bridge) LinkGhost(ctx context.Context, room, pseudonym, user mimi.URI) (before, after string, err error) {
	err = b.t.atomically(ctx, func(ctx context.Context) error {
		if before, err = b.ghostOf(ctx, room, pseudonym); err != nil {
			return err
		}
		if after, err = b.ghostOf(ctx, mimi.URI{}, user); err != nil || before == "" || after != "" {
			return err
		}
		after = before
		return b.t.exec(ctx, "link ghost",
			`UPDATE mimi_ghost SET room = '', user_uri = $1 WHERE id = $2`, user.String(), before)
	})
	return before, after, err
}

// PutRequestRoom notes in which Matrix room an account is asked for a connection.
func (b *Bridge) PutRequestRoom(ctx context.Context, ref [32]byte, account, peer mimi.URI, mxid string) error {
	return b.t.exec(ctx, "store request room", `
		INSERT INTO mimi_request_room (ref, account, peer, mxid) VALUES ($1, $2, $3, $4)
		ON CONFLICT (ref) DO UPDATE SET account = excluded.account, peer = excluded.peer, mxid = excluded.mxid`,
		ref[:], account.String(), peer.String(), mxid)
}

// RequestRoom returns the Matrix room of a request, or "".
func (b *Bridge) RequestRoom(ctx context.Context, ref [32]byte) (mxid string, err error) {
	err = b.t.db.QueryRow(ctx, `SELECT mxid FROM mimi_request_room WHERE ref = $1`, ref[:]).Scan(&mxid)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("mapping: failed to read request room: %w", err)
	}
	return mxid, nil
}

// RequestIn returns the request that a Matrix room is for. account is zero if it
// is for none.
func (b *Bridge) RequestIn(ctx context.Context, mxid string) (ref [32]byte, account, peer mimi.URI, err error) {
	err = b.t.db.QueryRow(ctx, `SELECT ref, account, peer FROM mimi_request_room WHERE mxid = $1`, mxid).
		Scan(hashColumn{&ref}, uriColumn{&account}, uriColumn{&peer})
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return ref, mimi.URI{}, mimi.URI{}, fmt.Errorf("mapping: failed to read request room: %w", err)
	}
	return ref, account, peer, nil
}

// RequestOf returns a request of a peer to an account that has a Matrix room, or
// "" if there is none.
func (b *Bridge) RequestOf(ctx context.Context, account, peer mimi.URI) (ref [32]byte, mxid string, err error) {
	err = b.t.db.QueryRow(ctx, `
		SELECT ref, mxid FROM mimi_request_room WHERE account = $1 AND peer = $2 ORDER BY ref LIMIT 1`,
		account.String(), peer.String()).Scan(hashColumn{&ref}, &mxid)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return ref, "", fmt.Errorf("mapping: failed to read request room: %w", err)
	}
	return ref, mxid, nil
}

// DeleteRequestRoom does nothing if there is no such request.
func (b *Bridge) DeleteRequestRoom(ctx context.Context, ref [32]byte) error {
	return b.t.exec(ctx, "delete request room", `DELETE FROM mimi_request_room WHERE ref = $1`, ref[:])
}

// PutRevision notes that a message of a room is a later version of first, or, if
// reaction is not empty, a reaction to it.
func (b *Bridge) PutRevision(ctx context.Context, room mimi.URI, id, first [32]byte, reaction string) error {
	return b.t.exec(ctx, "store revision", `
		INSERT INTO mimi_revision (room, id, first, reaction) VALUES ($1, $2, $3, $4)
		ON CONFLICT (room, id) DO UPDATE SET first = excluded.first, reaction = excluded.reaction`,
		room.String(), id[:], first[:], reaction)
}

// Revision returns what [Bridge.PutRevision] noted; first is zero if it noted
// nothing.
func (b *Bridge) Revision(ctx context.Context, room mimi.URI, id [32]byte) (first [32]byte, reaction string, err error) {
	err = b.t.db.QueryRow(ctx,
		`SELECT first, reaction FROM mimi_revision WHERE room = $1 AND id = $2`, room.String(), id[:]).
		Scan(hashColumn{&first}, &reaction)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return first, "", fmt.Errorf("mapping: failed to read revision: %w", err)
	}
	return first, reaction, nil
}
