package attack

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/internal/node"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// A Side is one of the two providers.
type Side struct {
	Name, Domain string
	Node         *node.Node
	Store        *mapping.Store
	// Tap stands in front of the provider.
	Tap *wiretap.Tap
	Log *slog.Logger
	// Introduce makes somebody known at the homeserver.
	Introduce func(localpart, name string)
	// Await waits for an event, from the first one on; Count counts those so far.
	Await func(ctx context.Context, what string, ok func(*client.Event) bool) (*client.Event, error)
	Count func(ok func(*client.Event) bool) int
	// Refusals is mimi_refused_total, by check.
	Refusals func() map[string]int
	// Logged returns what was logged.
	Logged func() string
}

// A Pair is the victim and the attacker. Both run.
type Pair struct {
	Victim, Evil *Side
	Close        func()
}

// An Open starts a pair.
type Open func(ctx context.Context) (*Pair, error)

// world is a pair in which people know each other and share rooms.
type world struct {
	ctx          context.Context //nolint:containedctx // that of the attack under way
	pair         *Pair
	victim, evil *Side
	suite        *suite.Suite
	random       io.Reader
	// alice and anna are the victim's; mallory and eve the attacker's.
	alice, anna, mallory, eve mimi.URI
	// room is hosted by the victim and lair by the attacker. Alice, Mallory and Eve
	// are in both.
	room, lair mimi.URI
	texts      int
	// stopped is why the attack under way got no further, if its author was told.
	stopped error
}

// failure ends an attack that cannot be played.
type failure struct{ error }

func (w *world) check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// must fails the attack unless there is no error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(failure{err})
	}
	return v
}

// newWorld starts a pair and lets people meet.
func newWorld(ctx context.Context, open Open) (w *world, err error) {
	pair, err := open(ctx)
	if err != nil {
		return nil, err
	}
	w = &world{ctx: ctx, pair: pair, victim: pair.Victim, evil: pair.Evil, random: rand.Reader}
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				panic(p)
			}
			pair.Close()
			w, err = nil, fmt.Errorf("set the stage: %w", f.error)
		}
	}()
	w.suite = must(suite.Lookup(suite.X25519AES128))
	w.alice = w.person(w.victim, "alice.liddell")
	w.anna = w.person(w.victim, "anna.karenina")
	w.mallory = w.person(w.evil, "mallory")
	w.eve = w.person(w.evil, "eve")
	w.connect(w.alice, w.mallory)
	w.connect(w.alice, w.eve)
	w.room = w.gather(w.victim, w.alice, w.mallory, w.eve)
	w.lair = w.gather(w.evil, w.mallory, w.alice, w.eve)
	return w, nil
}

func (w *world) person(s *Side, localpart string) mimi.URI {
	s.Introduce(localpart, localpart)
	return must(s.Node.Client().Provision(w.ctx, localpart, localpart))
}

// side returns where somebody has an account.
func (w *world) side(user mimi.URI) *Side {
	if user.Domain == w.victim.Domain {
		return w.victim
	}
	return w.evil
}

// connect lets somebody ask somebody else, who accepts.
func (w *world) connect(asker, asked mimi.URI) {
	must(w.side(asker).Node.Client().Connect(w.ctx, asker, asked))
	w.accept(asker, asked)
}

func (w *world) accept(asker, asked mimi.URI) {
	e := must(w.side(asked).Await(w.ctx, "a request", func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == asked && e.Peer == asker
	}))
	must(w.side(asked).Node.Client().Accept(w.ctx, asked, e.Request))
	must(w.side(asker).Await(w.ctx, "a connection", func(e *client.Event) bool {
		return e.Kind == client.EventConnected && e.Account == asker && e.Peer == asked
	}))
}

// gather makes a room with people in it, who have all joined.
func (w *world) gather(host *Side, creator mimi.URI, others ...mimi.URI) mimi.URI {
	return w.gatherWith(client.RoomOptions{Name: "a room"}, host, creator, others...)
}

func (w *world) gatherWith(opts client.RoomOptions, host *Side, creator mimi.URI, others ...mimi.URI) mimi.URI {
	room, failed, err := host.Node.Client().CreateRoom(w.ctx, creator, opts, others)
	w.check(err)
	for user, err := range failed {
		w.check(fmt.Errorf("add %s: %w", user, err))
	}
	for _, user := range others {
		s := w.side(user)
		must(s.Await(w.ctx, "an invitation", func(e *client.Event) bool {
			return e.Kind == client.EventInvited && e.Account == user && e.Room == room
		}))
		w.check(s.Node.Client().Join(w.ctx, user, room))
	}
	w.settle(room)
	return room
}

// epoch is that of a room as a side sees it, or 0.
func (w *world) epoch(s *Side, room mimi.URI) uint64 {
	info, err := s.Node.Client().Room(w.ctx, room)
	if err != nil {
		return 0
	}
	return info.Epoch
}

// settle waits until both sides are at the same epoch.
func (w *world) settle(room mimi.URI) {
	if !w.until(patience, func() bool {
		a, b := w.epoch(w.victim, room), w.epoch(w.evil, room)
		return a > 0 && a == b
	}) {
		panic(failure{errors.New("the two sides do not agree about the epoch")})
	}
}

// until calls ok until it says so.
func (w *world) until(limit time.Duration, ok func() bool) bool {
	late := time.After(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return true
		}
		select {
		case <-tick.C:
		case <-late:
			return ok()
		case <-w.ctx.Done():
			return ok()
		}
	}
}

// say sends a text and waits until the other side has it, by name.
func (w *world) say(from mimi.URI, room mimi.URI) error {
	w.texts++
	text := fmt.Sprintf("still here, %d", w.texts)
	s := w.side(from)
	other := w.victim
	if s == w.victim {
		other = w.evil
	}
	sent, err := s.Node.Client().Send(w.ctx, from, room, fmt.Sprintf("$alive-%d", w.texts), content.Text(content.PlainPart(text)))
	if err != nil {
		return fmt.Errorf("%s cannot write any more: %w", s.Name, err)
	}
	got, err := other.Await(w.ctx, "a message", func(e *client.Event) bool {
		return e.Kind == client.EventMessage && string(e.Message) == string(sent.ID[:])
	})
	if err == nil && got.Actor.User != from {
		err = errors.New("the message is said to be somebody else's")
	}
	return err
}

// alive fails unless both rooms still carry messages in both directions, and nothing
// has panicked.
func (w *world) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w.ctx = ctx
	for _, room := range []mimi.URI{w.room, w.lair} {
		for _, from := range []mimi.URI{w.alice, w.mallory} {
			if err := w.say(from, room); err != nil {
				return err
			}
		}
	}
	if strings.Contains(w.victim.Logged(), "panic") {
		return errors.New("the gateway's log tells of a panic")
	}
	return nil
}
