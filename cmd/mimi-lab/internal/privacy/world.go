//go:build lab

package privacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/attack"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// patience is how long something that must happen may take.
const patience = 2 * time.Minute

// A Side is a provider that runs, with a tap in front of it.
type Side struct {
	*attack.Side
	// Dir has the database, with its WAL, and the log.
	Dir string
	// Matrix is set for the gateway alone.
	Matrix Matrix
}

// A Matrix is the homeserver of the gateway, as far as the proof needs it.
type Matrix interface {
	// UserID is the Matrix id of a person there, Server the homeserver's name.
	UserID(localpart string) id.UserID
	Server() string
	// Accept lets a person join the room of a connection request.
	Accept(ctx context.Context, localpart string) error
	// Portals says of each portal what was sent there, in order: "disclosure", or
	// "message".
	Portals(ctx context.Context) (map[string][]string, error)
}

// A World is a hub and its providers. All run.
type World struct {
	Hub *Side
	// Providers have users and no groups.
	Providers []*Side
	Log       *wiretap.Log
	Close     func()
}

// A Setup says how a world is wrong, if it is.
type Setup struct {
	// Fault is the name of a fault, or empty.
	Fault string
	// Gateway asks for a world whose last provider has a Matrix side.
	Gateway bool
}

// An Open starts a world.
type Open func(ctx context.Context, setup Setup) (*World, error)

// An OpenPair returns how to start a victim, with a fault, and an attacker.
type OpenPair func(fault string) attack.Open

// failure ends a part of the proof that cannot be played.
type failure struct{ error }

// must stops the part under way unless there is no error.
func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

// attempt runs f, and returns the error that check or must have stopped it with.
func attempt(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			f, ok := p.(failure)
			if !ok {
				panic(p)
			}
			err = f.error
		}
	}()
	f()
	return nil
}

// A person has an account at one of the providers.
type person struct {
	side *Side
	// localpart and name are made up.
	localpart, name string
	user            mimi.URI
}

// client acts for the person.
func (p *person) client() *client.Client { return p.side.Node.Client() }

// A stage is a world in which people act.
type stage struct {
	ctx   context.Context //nolint:containedctx // that of the part under way
	world *World
	suite *suite.Suite
	names *names
	// people are all of them, and texts what was written, room names included.
	people []*person
	texts  []string
	seq    int
}

// newStage starts a world.
func newStage(ctx context.Context, open Open, setup Setup, names *names) *stage {
	w := must(open(ctx, setup))
	return &stage{ctx: ctx, world: w, suite: must(suite.Lookup(suite.X25519AES128)), names: names}
}

// join makes a person known at a provider.
func (s *stage) person(side *Side) *person {
	return s.personAs(side, s.names.localpart(), s.names.full())
}

func (s *stage) personAs(side *Side, localpart, name string) *person {
	p := &person{side: side, localpart: localpart, name: name}
	side.Introduce(localpart, name)
	p.user = must(side.Node.Client().Provision(s.ctx, localpart, name))
	s.people = append(s.people, p)
	return p
}

// provider is one of those with users.
func (s *stage) provider(i int) *Side { return s.world.Providers[i] }

// connect lets somebody ask somebody else, who accepts.
func (s *stage) connect(asker, asked *person) {
	must(asker.client().Connect(s.ctx, asker.user, asked.user))
	e := must(asked.side.Await(s.ctx, "a request", func(e *client.Event) bool {
		return e.Kind == client.EventAsked && e.Account == asked.user && e.Peer == asker.user
	}))
	if asked.side.Matrix != nil {
		check(asked.side.Matrix.Accept(s.ctx, asked.localpart))
	} else {
		must(asked.client().Accept(s.ctx, asked.user, e.Request))
	}
	must(asker.side.Await(s.ctx, "a connection", func(e *client.Event) bool {
		return e.Kind == client.EventConnected && e.Account == asker.user && e.Peer == asked.user
	}))
	s.within("the request's room", func() bool {
		contacts := must(asker.client().Contacts(s.ctx, asker.user))
		for _, c := range contacts {
			if c.Peer == asked.user {
				return c.State == client.ContactConnected
			}
		}
		return false
	})
}

// group makes a group at the hub. Everybody joins.
func (s *stage) group(opts client.RoomOptions, creator *person, others ...*person) mimi.URI {
	if opts.Name == "" {
		opts.Name = s.names.room()
	}
	s.texts = append(s.texts, opts.Name)
	var users []mimi.URI
	for _, p := range others {
		users = append(users, p.user)
	}
	room, failed, err := creator.client().CreateRoom(s.ctx, creator.user, opts, users)
	check(err)
	for user, err := range failed {
		check(fmt.Errorf("add %s: %w", user, err))
	}
	for _, p := range others {
		s.enter(room, p)
	}
	return room
}

// add adds somebody to a group, who joins.
func (s *stage) add(room mimi.URI, by, who *person) {
	check(by.client().Invite(s.ctx, by.user, room, who.user))
	s.enter(room, who)
}

// enter accepts the invitation to a room.
func (s *stage) enter(room mimi.URI, who *person) {
	must(who.side.Await(s.ctx, "an invitation", func(e *client.Event) bool {
		return e.Kind == client.EventInvited && e.Account == who.user && e.Room == room
	}))
	check(who.client().Join(s.ctx, who.user, room))
	s.settle(room)
}

// say sends a text of that many letters, and waits until all others have it.
func (s *stage) say(room mimi.URI, from *person) {
	text := s.names.text()
	s.texts = append(s.texts, text)
	s.sayText(room, from, text)
}

func (s *stage) sayText(room mimi.URI, from *person, text string) {
	s.seq++
	sent := must(from.client().Send(s.ctx, from.user, room, fmt.Sprintf("privacy-%d", s.seq), content.Text(content.PlainPart(text))))
	for _, side := range s.sides(room) {
		if side == from.side {
			continue
		}
		must(side.Await(s.ctx, "a text", func(e *client.Event) bool {
			return e.Kind == client.EventMessage && e.Room == room && string(e.Message) == string(sent.ID[:])
		}))
	}
}

// sides are those who are in a room.
func (s *stage) sides(room mimi.URI) (out []*Side) {
	for _, side := range s.world.Providers {
		if _, err := side.Node.Client().Room(s.ctx, room); err == nil {
			out = append(out, side)
		}
	}
	return out
}

// settle waits until all who are in a room are at the same epoch, and nothing is
// pending.
func (s *stage) settle(room mimi.URI) {
	s.within("one epoch for all", func() bool {
		want := s.epoch(room)
		for _, side := range s.sides(room) {
			info, err := side.Node.Client().Room(s.ctx, room)
			if err != nil || info.Epoch != want {
				return false
			}
		}
		return true
	})
}

// epoch is the one that the hub is at.
func (s *stage) epoch(room mimi.URI) uint64 { return must(s.dump(room)).group.Epoch() }

// within waits until ok says so.
func (s *stage) within(what string, ok func() bool) {
	late := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			panic(failure{fmt.Errorf("nobody saw %s", what)})
		case <-s.ctx.Done():
			panic(failure{context.Cause(s.ctx)})
		}
	}
}

// errNothing reports a search that had nothing to search.
var errNothing = errors.New("there was nothing to search")
