package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A Hub keeps the rooms that this provider hosts.
type Hub struct{ t *tables }

var (
	_ hub.Store = (*Hub)(nil)
	_ hub.Queue = (*Hub)(nil)
)

// Create implements [hub.Store].
func (h *Hub) Create(ctx context.Context, room mimi.URI, rows []mls.Row) error {
	return h.t.atomically(ctx, func(ctx context.Context) error {
		n, err := h.t.execCount(ctx, "create room", `
			INSERT INTO mimi_hub_room (room, version) VALUES ($1, 0)
			ON CONFLICT (room) DO NOTHING`, room.String())
		if err != nil {
			return err
		}
		if n == 0 {
			return hub.ErrRoomExists
		}
		return h.putRows(ctx, room, rows)
	})
}

// Load implements [hub.Store]. It is one statement, so that version and rows fit
// each other: a transaction around two would keep writers waiting.
func (h *Hub) Load(ctx context.Context, room mimi.URI) (rows []mls.Row, version uint64, err error) {
	result, err := h.t.db.Query(ctx, `
		SELECT r.version, w.key, w.value
		FROM mimi_hub_room r LEFT JOIN mimi_hub_row w ON w.room = r.room
		WHERE r.room = $1 AND NOT r.closed ORDER BY w.key`, room.String())
	loaded, err := list("read room", scanHubRow, result, err)
	if err != nil {
		return nil, 0, err
	}
	if len(loaded) == 0 {
		return nil, 0, hub.ErrNoRoom
	}
	for _, l := range loaded {
		if l.key.Valid {
			rows = append(rows, mls.Row{Key: l.key.String, Value: l.value})
		}
	}
	return rows, loaded[0].version, nil
}

// A hubRow is a row with its room's version; a room without rows has one
// without a key.
type hubRow struct {
	version uint64
	key     sql.NullString
	value   []byte
}

func scanHubRow(row dbutil.Scannable) (r hubRow, err error) {
	err = row.Scan(unsigned64{&r.version}, &r.key, &r.value)
	return r, err
}

// Advance implements [hub.Store]. The update of the version comes first: it
// decides which of two changes is made, and holds the other back until the
// first is committed.
func (h *Hub) Advance(ctx context.Context, room mimi.URI, from uint64, change *hub.Change) error {
	return h.t.atomically(ctx, func(ctx context.Context) error {
		n, err := h.t.execCount(ctx, "advance room", `
			UPDATE mimi_hub_room SET version = version + 1, closed = $3
			WHERE room = $1 AND version = $2 AND NOT closed`, room.String(), signed(from), change.Closed)
		if err != nil {
			return err
		}
		if n == 0 {
			return h.conflict(ctx, room)
		}
		if err := h.putRows(ctx, room, change.Rows); err != nil {
			return err
		}
		if change.Closed {
			if err := h.t.exec(ctx, "delete rows of room",
				`DELETE FROM mimi_hub_row WHERE room = $1`, room.String()); err != nil {
				return err
			}
		}
		if err := h.putAnswer(ctx, room, change); err != nil {
			return err
		}
		return h.append(ctx, room, change.Deliveries)
	})
}

// conflict explains why an update has met no row.
func (h *Hub) conflict(ctx context.Context, room mimi.URI) error {
	var version uint64
	err := h.t.db.QueryRow(ctx, `
		SELECT version FROM mimi_hub_room WHERE room = $1 AND NOT closed`,
		room.String()).Scan(unsigned64{&version})
	if errors.Is(err, sql.ErrNoRows) {
		return hub.ErrNoRoom
	} else if err != nil {
		return fmt.Errorf("mapping: failed to read version of room: %w", err)
	}
	return &hub.ConflictError{Version: version}
}

func (h *Hub) putRows(ctx context.Context, room mimi.URI, rows []mls.Row) error {
	for _, row := range rows {
		var err error
		switch {
		case row.Secret:
			err = errors.New("mapping: internal error: a hub has no secret, but was given a secret row to keep")
		case row.Value == nil:
			err = h.t.exec(ctx, "delete row of room",
				`DELETE FROM mimi_hub_row WHERE room = $1 AND key = $2`, room.String(), row.Key)
		default:
			err = h.t.exec(ctx, "write row of room", `
				INSERT INTO mimi_hub_row (room, key, value) VALUES ($1, $2, $3)
				ON CONFLICT (room, key) DO UPDATE SET value = excluded.value`,
				room.String(), row.Key, row.Value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putAnswer fails if the request was accepted before. A change without a
// request, which the hub has made by itself, leaves no answer.
func (h *Hub) putAnswer(ctx context.Context, room mimi.URI, change *hub.Change) error {
	if change.Request == [32]byte{} {
		return nil
	}
	return h.t.exec(ctx, "keep answer to request", `
		INSERT INTO mimi_hub_answer (room, request, answer, accepted) VALUES ($1, $2, $3, $4)`,
		room.String(), change.Request[:], change.Answer, change.At.UnixMilli())
}

// Answer implements [hub.Store].
func (h *Hub) Answer(ctx context.Context, room mimi.URI, request [32]byte) (answer []byte, ok bool, err error) {
	err = h.t.db.QueryRow(ctx, `
		SELECT answer FROM mimi_hub_answer WHERE room = $1 AND request = $2`,
		room.String(), request[:]).Scan(&answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	} else if err != nil {
		return nil, false, fmt.Errorf("mapping: failed to read answer to request: %w", err)
	}
	return answer, true, nil
}

// Forget implements [hub.Store].
func (h *Hub) Forget(ctx context.Context, before time.Time) error {
	return h.t.exec(ctx, "forget answers",
		`DELETE FROM mimi_hub_answer WHERE accepted < $1`, before.UnixMilli())
}
