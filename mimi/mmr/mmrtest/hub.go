package mmrtest

import (
	"context"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A PublicHub is what of a hub belongs to the rules: a public group and the room,
// stored in rows. It asks for no codes, peers or GroupInfos.
type PublicHub struct {
	Group *mls.PublicGroup
	Rules *mmr.Rules
	// Rows are what is stored of the room.
	Rows map[string][]byte
	// Written counts the rows of package mmr that the last change has written.
	Written int

	cfg mls.Config
}

// NewPublicHub makes a hub without a room. Its clock stands still.
func NewPublicHub() *PublicHub {
	h := &PublicHub{Rules: mmr.NewRules(nil), Rows: map[string][]byte{}}
	h.cfg = mls.Config{Policy: h.Rules, Now: func() time.Time { return identitytest.Start }}
	return h
}

// Create implements [Hub].
func (h *PublicHub) Create(ctx context.Context, c *mmr.Creation) (err error) {
	if h.Group, err = mls.NewPublicGroup(ctx, h.cfg, c.GroupInfo, c.Tree); err != nil {
		return err
	}
	room, err := mmr.Open(h.Group.Suite(), h.Group.View(), 0, c.Table)
	if err != nil {
		return err
	}
	return h.set(nil, room)
}

// Update implements [Hub].
func (h *PublicHub) Update(ctx context.Context, _ string, _ mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	staged, err := h.Group.Stage(ctx, req.ProposalOrCommit.PublicMessage)
	if err != nil {
		return nil, err
	}
	if !req.IsCommit() {
		return &protocol.UpdateRoomResponse{}, h.propose(ctx, staged, req.MoreProposals)
	}
	next, err := h.Rules.Next(staged.Commit())
	if err != nil {
		return nil, err
	}
	if err := h.Group.Apply(staged, req.GroupInfo.Full); err != nil {
		return nil, err
	}
	return &protocol.UpdateRoomResponse{}, h.set(h.Rules.Room(), next)
}

func (h *PublicHub) propose(ctx context.Context, staged *mls.Staged, more []mls.MLSMessage) error {
	if err := h.Group.Apply(staged, nil); err != nil {
		return err
	}
	for _, m := range more {
		staged, err := h.Group.Stage(ctx, m.PublicMessage)
		if err != nil {
			return err
		}
		if err := h.Group.Apply(staged, nil); err != nil {
			return err
		}
	}
	h.write(h.Group.Dirty())
	return nil
}

func (h *PublicHub) set(before, next *mmr.Room) error {
	rows, err := mmr.Rows(before, next)
	if err != nil {
		return err
	}
	h.Written = len(rows)
	h.write(h.Group.Dirty())
	h.write(rows)
	h.Rules.Set(next)
	return nil
}

func (h *PublicHub) write(rows []mls.Row) {
	for _, row := range rows {
		if row.Value == nil {
			delete(h.Rows, row.Key)
		} else {
			h.Rows[row.Key] = row.Value
		}
	}
}

// Stored returns all rows, in no order.
func (h *PublicHub) Stored() []mls.Row {
	out := make([]mls.Row, 0, len(h.Rows))
	for key, value := range h.Rows {
		out = append(out, mls.Row{Key: key, Value: value})
	}
	return out
}
