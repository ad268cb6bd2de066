//go:build lab

package client

import (
	"context"
	"crypto/sha256"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// Faults are wrong behaviours that the lab switches on, to see that its
// expectations notice them. Only a build with the tag lab has them.
type Faults struct {
	// Drop loses every third message that comes in.
	Drop bool
	// Duplicate takes every message in twice, as if they were two.
	Duplicate bool
	// Reorder takes messages in two by two, the later one first.
	Reorder bool
	// PlaintextName puts a room's name where its hub can read it.
	PlaintextName bool
	// ReusePseudonym gives an account the same user pseudonym in every room.
	ReusePseudonym bool
	// AnswerDecline lets the asker learn of a decline.
	AnswerDecline bool
	// State is what the faults remember; set if any of the first three is.
	State *FaultState
}

// FaultState belongs to one client.
type FaultState struct {
	mu    sync.Mutex
	count int
	held  *Event
}

func (f Faults) pseudonym(user mimi.URI) mimi.URI {
	if !f.ReusePseudonym {
		return mimi.URI{}
	}
	h := sha256.Sum256([]byte(user.String()))
	id, err := uuid.FromBytes(h[:16])
	if err != nil {
		return mimi.URI{}
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return mimi.URI{Domain: user.Domain, Kind: mimi.KindUser, ID: id.String()}
}

func (f Faults) components(d mls.AppDataDictionary, name string) mls.AppDataDictionary {
	if !f.PlaintextName {
		return d
	}
	// A component that the room's rules do not look into: a preauthorization that
	// nobody has.
	data, err := rules.Encode(&rules.PreauthorizedUsers{})
	if err != nil {
		return d
	}
	_ = data
	return slices.Clone(d)
}

func (f Faults) messages(e *Event) []*Event {
	if !f.Drop && !f.Duplicate && !f.Reorder {
		return []*Event{e}
	}
	f.State.mu.Lock()
	defer f.State.mu.Unlock()
	f.State.count++
	switch {
	case f.Drop && f.State.count%3 == 0:
		return nil
	case f.Duplicate:
		again := *e
		again.Message = append(slices.Clone(e.Message[1:]), e.Message[0])
		return []*Event{e, &again}
	case f.Reorder && f.State.held == nil:
		f.State.held = e
		return nil
	case f.Reorder:
		first := f.State.held
		f.State.held = nil
		return []*Event{e, first}
	}
	return []*Event{e}
}

func (f Faults) declined(ctx context.Context, c *Client, request *connection.IncomingRequest) error {
	if !f.AnswerDecline {
		return nil
	}
	_, err := c.Accept(ctx, request.Recipient(), Ref(request.Ref()))
	return err
}
