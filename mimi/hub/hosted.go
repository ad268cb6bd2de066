package hub

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The rows of a room beside those of its group and of package mmr.
const (
	rowPrefix  = "hub/"
	rowCode    = rowPrefix + "code/"    // + code_hash: joinCode
	rowJoiner  = rowPrefix + "joiner/"  // + hash of the credential: code_hash
	rowPending = rowPrefix + "pending/" // + ProposalRef: uint64, acceptance in milliseconds
)

// A hosted room is one in memory. It belongs to whoever holds the lock of its
// cache entry. If storing a change fails, it is thrown away.
type hosted struct {
	uri     mimi.URI
	suite   *suite.Suite
	version uint64
	group   *mls.PublicGroup
	rules   *mmr.Rules
	codes   map[string]*joinCode // by code_hash
	joiners map[string]string    // code_hash by hash of the credential
	pending map[string]time.Time // acceptance by ProposalRef
	rows    []mls.Row            // changes that are not stored
	// touched says that something has changed in memory that is not stored.
	touched bool
	closed  bool
	// gone is what departing has found, nil if it was not asked since the last
	// change; targets are the leaves of the epoch, nil if they were not needed yet.
	gone    map[mimi.URI]bool
	targets []target
}

// room returns the public state of the room.
func (r *hosted) room() *mmr.Room { return r.rules.Room() }

// setRoom moves on to the room of the next epoch.
func (r *hosted) setRoom(next *mmr.Room) {
	r.rules.Set(next)
	r.gone, r.targets = nil, nil
}

// departing returns the users whose removal is pending: they are treated as gone.
func (r *hosted) departing() (map[mimi.URI]bool, error) {
	if r.gone != nil || len(r.pending) == 0 {
		return r.gone, nil
	}
	gone, err := r.room().Departing(r.proposals())
	if err != nil {
		return nil, fmt.Errorf("hub: internal error: pending proposals contradict each other: %w", err)
	}
	r.gone = gone
	return gone, nil
}

// put notes a change of a row; a nil value deletes it.
func (r *hosted) put(key string, value []byte) {
	r.touched = true
	r.rows = append(r.rows, mls.Row{Key: key, Value: value})
}

// withRoom runs f on the room while nobody else does. If f fails after it has
// changed the room, the room is dropped from memory and read again by the next
// one; a request that is merely refused costs no more than its check. If somebody
// else has changed the room in the store, f runs once more on the room as it is.
func (h *Hub) withRoom(ctx context.Context, uri mimi.URI, f func(*hosted) error) error {
	err := h.tryRoom(ctx, uri, f)
	if _, ok := errors.AsType[*ConflictError](err); ok {
		err = h.tryRoom(ctx, uri, f)
	}
	return err
}

func (h *Hub) tryRoom(ctx context.Context, uri mimi.URI, f func(*hosted) error) error {
	var refused error
	err := h.rooms.With(uri, func(slot *cache.Slot[hosted]) error {
		if slot.Value == nil {
			r, err := h.load(ctx, uri)
			if errors.Is(err, ErrNoRoom) {
				return protocol.ErrNoSuchRoom
			} else if err != nil {
				return fmt.Errorf("hub: load a room: %w", err)
			}
			slot.Value = r
		}
		r := slot.Value
		err := f(r)
		if err != nil && !r.touched {
			refused = err
			return nil
		}
		if err == nil && r.closed {
			slot.Value = nil
		}
		return err
	})
	if err == nil {
		err = refused
	}
	return err
}

// load reads a room from the store.
func (h *Hub) load(ctx context.Context, uri mimi.URI) (*hosted, error) {
	rows, version, err := h.cfg.Store.Load(ctx, uri)
	if err != nil {
		return nil, err
	}
	r := &hosted{uri: uri, version: version, codes: map[string]*joinCode{}, joiners: map[string]string{}, pending: map[string]time.Time{}}
	if rows, err = r.read(rows); err != nil {
		return nil, err
	}
	stored, rows, err := mmr.SplitRows(rows)
	if err != nil {
		return nil, err
	}
	if err := h.attach(r, func(cfg mls.Config) (*mls.PublicGroup, error) { return mls.LoadPublicGroup(cfg, rows) }); err != nil {
		return nil, err
	}
	room, err := stored.Open(r.suite, r.group.View())
	if err != nil {
		return nil, err
	}
	r.setRoom(room)
	return r, nil
}

// attach makes the group of a room, with rules that know which joiners have shown
// a code.
func (h *Hub) attach(r *hosted, open func(mls.Config) (*mls.PublicGroup, error)) error {
	r.rules = mmr.NewRules(func(credential mls.Credential) bool {
		return r.mayJoin(credential, h.cfg.Clock.Now())
	})
	group, err := open(h.groupConfig(r.rules))
	if err != nil {
		return err
	}
	r.group, r.suite = group, group.Suite()
	return nil
}

// read takes the hub's own rows out of those of a room, and returns the others.
func (r *hosted) read(rows []mls.Row) (others []mls.Row, err error) {
	for _, row := range rows {
		name := row.Key[strings.LastIndexByte(row.Key, '/')+1:]
		switch {
		case strings.HasPrefix(row.Key, rowCode):
			code := &joinCode{}
			if err := wire.Unmarshal(row.Value, code); err != nil {
				return nil, fmt.Errorf("row %s: %w", row.Key, err)
			}
			r.codes[name] = code
		case strings.HasPrefix(row.Key, rowJoiner):
			r.joiners[name] = string(row.Value)
		case strings.HasPrefix(row.Key, rowPending):
			if len(row.Value) != 8 {
				return nil, fmt.Errorf("row %s: %d octets", row.Key, len(row.Value))
			}
			r.pending[name] = time.UnixMilli(int64(binary.BigEndian.Uint64(row.Value))).UTC()
		default:
			others = append(others, row)
		}
	}
	return others, nil
}

// putRoom notes what differs between the room as it was, or nil, and as it will
// be, beside the group.
func (r *hosted) putRoom(before, after *mmr.Room) error {
	rows, err := mmr.Rows(before, after)
	r.rows = append(r.rows, rows...)
	return err
}

// store makes a change of the room durable and starts its deliveries.
func (h *Hub) store(ctx context.Context, r *hosted, change *Change) error {
	change.Rows = append(r.group.Dirty(), r.rows...)
	r.rows, r.touched = nil, true
	err := h.cfg.Store.Advance(ctx, r.uri, r.version, change)
	// Even if that failed: the change may be there, and only the news be lost.
	for _, d := range change.Deliveries {
		h.lanes.wake(Lane{r.uri, d.Domain})
	}
	if err != nil {
		return fmt.Errorf("hub: store a change of a room: %w", err)
	}
	r.version++
	r.touched, r.closed = false, change.Closed
	return nil
}

// proposals returns what is pending in the room's group.
func (r *hosted) proposals() []mmr.Proposed {
	var out []mmr.Proposed
	for _, p := range r.group.PendingProposals() {
		out = append(out, mmr.Proposed{Proposal: p.Proposal, Sender: p.Sender})
	}
	return out
}

// proposalsSince returns what has become pending after a moment.
func (r *hosted) proposalsSince(since time.Time) []mmr.Proposed {
	var out []mmr.Proposed
	for _, p := range r.group.PendingProposals() {
		if r.pending[rowName(p.Ref)].After(since) {
			out = append(out, mmr.Proposed{Proposal: p.Proposal, Sender: p.Sender})
		}
	}
	return out
}

func rowName(b []byte) string { return hex.EncodeToString(b) }
