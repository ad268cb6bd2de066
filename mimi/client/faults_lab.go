//go:build lab

package client

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
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
	// PlaintextName puts a room's name where its hub and other providers can read
	// it.
	PlaintextName bool
	// ReusePseudonym gives an account the same user pseudonym in every room.
	ReusePseudonym bool
	// AnswerDecline lets the asker learn of a decline.
	AnswerDecline bool
	// UploadAtOnce replaces what is handed out at the very moment, and lets
	// KeyPackages say to the second when they were made: what a hub sees of a later
	// Add then tells when the fetch before it was.
	UploadAtOnce bool
	// LastResortTwice answers every fetch with the same set of last resort, so that
	// two rooms share a pseudonym and keys.
	LastResortTwice bool
	// BelieveHub compares neither table nor wrapper key of a room with what its members
	// have signed.
	BelieveHub bool
	// NoPadding sends messages as long as they are.
	NoPadding bool
	// MarkUser makes the messages of each account longer by a number that is its own.
	MarkUser bool
	// LeakWrapperKey puts the newest wrapper key in front of a message's ciphertext.
	LeakWrapperKey bool
	// ReuseQueue gives the leaves that an account makes for itself the same queue
	// reference in every room.
	ReuseQueue bool
	// LogKeyMaterial writes down whose KeyPackages are whose.
	LogKeyMaterial bool

	memory *faultMemory
}

// faultMemory is what the first three faults remember of the messages so far.
type faultMemory struct {
	mu    sync.Mutex
	count int
	held  *Event
	// leaves has the extensions of an account's first leaf.
	leaves map[mimi.URI]mls.Extensions
}

// NamedFaults returns the faults that a name stands for, and whether the name
// stands for any that a client has.
func NamedFaults(name string) (Faults, bool) {
	f := Faults{memory: &faultMemory{leaves: map[mimi.URI]mls.Extensions{}}}
	flag, ok := map[string]*bool{
		"drop": &f.Drop, "duplicate": &f.Duplicate, "reorder": &f.Reorder, "plaintext-name": &f.PlaintextName,
		"reuse-pseudonym": &f.ReusePseudonym, "answer-decline": &f.AnswerDecline,
		"upload-at-once": &f.UploadAtOnce, "last-resort-twice": &f.LastResortTwice,
		"believe-hub": &f.BelieveHub, "no-padding": &f.NoPadding, "mark-user": &f.MarkUser, "leak-wrapper-key": &f.LeakWrapperKey, "reuse-queue": &f.ReuseQueue,
		"log-key-material": &f.LogKeyMaterial,
	}[name]
	if ok {
		*flag = true
	}
	return f, ok
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

// aad puts in front of a message's ciphertext what must not be there.
func (f Faults) aad(r *room, account mimi.URI) mls.AuthenticatedData {
	switch {
	case f.PlaintextName:
		return mls.AuthenticatedData{Rest: []byte(r.shown().Name)}
	case f.LeakWrapperKey && !r.public().Plain():
		return mls.AuthenticatedData{Rest: r.ring.Newest().Key.Bytes()}
	case f.MarkUser:
		sum := sha256.Sum256([]byte(account.String()))
		return mls.AuthenticatedData{Rest: make([]byte, 1+binary.BigEndian.Uint16(sum[:])%1000)}
	}
	return mls.AuthenticatedData{}
}

// leaf returns the extensions of a leaf that an account makes for itself.
func (f Faults) leaf(account mimi.URI, extensions mls.Extensions) mls.Extensions {
	if !f.ReuseQueue {
		return extensions
	}
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	if first, ok := f.memory.leaves[account]; ok {
		return first
	}
	f.memory.leaves[account] = extensions
	return extensions
}

// made is told of KeyPackages for a contact of an account.
func (f Faults) made(ctx context.Context, log *slog.Logger, account mimi.URI, rows []keymaterial.Row) {
	if !f.LogKeyMaterial {
		return
	}
	for _, row := range rows {
		log.InfoContext(ctx, "made a set", "account", account, "set", row.Set)
	}
}

func (f Faults) believesHub() bool { return f.BelieveHub }

// padding is the unit of length of a message, instead of unit.
func (f Faults) padding(unit int) int {
	if f.NoPadding {
		return 1
	}
	return unit
}

func (f Faults) messages(e *Event) []*Event {
	if !f.Drop && !f.Duplicate && !f.Reorder {
		return []*Event{e}
	}
	f.memory.mu.Lock()
	defer f.memory.mu.Unlock()
	f.memory.count++
	switch {
	case f.Drop && f.memory.count%3 == 0:
		return nil
	case f.Duplicate:
		again := *e
		again.Message = append(slices.Clone(e.Message[1:]), e.Message[0])
		return []*Event{e, &again}
	case f.Reorder && f.memory.held == nil:
		f.memory.held = e
		return nil
	case f.Reorder:
		first := f.memory.held
		f.memory.held = nil
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

func (f Faults) uploadsAtOnce() bool { return f.UploadAtOnce }

// limit leaves a contact one set, of last resort.
func (f Faults) limit(l *Limits) {
	if f.LastResortTwice {
		l.Sets, l.LastResort = -1, 1
	}
}

// lifetime is one that tells when a KeyPackage was made.
func (f Faults) lifetime() func(time.Time) (notBefore, notAfter time.Time) {
	if !f.UploadAtOnce {
		return nil
	}
	return func(now time.Time) (notBefore, notAfter time.Time) {
		_, notAfter = identity.KeyPackageLifetime(now)
		return now.Truncate(time.Second), notAfter
	}
}

// checkLifetime takes any.
func (f Faults) checkLifetime() func(*mls.KeyPackage) (time.Time, error) {
	if !f.UploadAtOnce {
		return nil
	}
	return func(kp *mls.KeyPackage) (time.Time, error) {
		return time.Unix(int64(kp.LeafNode.NotAfter), 0).UTC(), nil
	}
}
