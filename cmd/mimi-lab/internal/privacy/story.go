//go:build lab

package privacy

import (
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// A story is what most properties are searched in. Everything in it happens between
// providers and a hub that is none of theirs.
type story struct {
	*stage
	alice, anna *person // north
	bob, ben    *person // south
	carol, cora *person // west
	dora, dina  *person // at the gateway; what they know is in Matrix

	// first and second have the same users, others has different ones of the same
	// providers; masked forbids links.
	first, second, others, masked mimi.URI
	// carol was removed from first, before ben and cora came: ben was added, cora used
	// a link. These are the wrapper keys that she took with her.
	carolKeys []identity.WrapperKey
	// links are join links, which are secret.
	links []string
	// queues are the queue references that bob had in first, one after the other.
	queues []*identity.QueueReference
	// keys are all wrapper keys that anybody had at any time, by room.
	keys map[mimi.URI][]identity.WrapperKey
}

// story plays it in a world without faults.
func (p *proof) story() *story { return p.storyIn(Setup{Gateway: true}) }

func (p *proof) storyIn(setup Setup) *story {
	s := &story{stage: newStage(p.ctx, p.open, setup, newNames(p.seed)), keys: map[mimi.URI][]identity.WrapperKey{}}
	if err := attempt(s.play); err != nil {
		s.world.Close()
		panic(failure{err})
	}
	return s
}

func (s *story) play() {
	s.meet()
	s.gather()
	s.part()
	s.link()
	s.renew()
	s.mask()
	s.noteKeys()
	s.calm()
}

// meet lets people connect. Their connection rooms are not the hub's.
func (s *story) meet() {
	north, south, west, gateway := s.provider(0), s.provider(1), s.provider(2), s.provider(3)
	s.alice, s.anna = s.person(north), s.person(north)
	s.bob, s.ben = s.person(south), s.person(south)
	s.carol, s.cora = s.person(west), s.person(west)
	s.dora, s.dina = s.person(gateway), s.person(gateway)
	for _, p := range []*person{s.bob, s.carol, s.dora, s.ben} {
		s.connect(s.alice, p)
	}
	s.connect(s.anna, s.ben)
	s.connect(s.anna, s.cora)
	s.connect(s.anna, s.dina)
}

// gather makes three rooms, in which everybody writes.
func (s *story) gather() {
	s.first = s.group(client.RoomOptions{}, s.alice, s.bob, s.carol, s.dora)
	s.second = s.group(client.RoomOptions{}, s.alice, s.bob, s.carol, s.dora)
	s.others = s.group(client.RoomOptions{}, s.anna, s.ben, s.cora, s.dina)
	for _, room := range []mimi.URI{s.first, s.second} {
		for _, p := range []*person{s.alice, s.bob, s.carol, s.dora} {
			s.say(room, p)
		}
	}
	for _, p := range []*person{s.anna, s.ben, s.cora, s.dina} {
		s.say(s.others, p)
	}
	s.noteKeys()
}

// part removes carol from the first room, to which ben comes afterwards.
func (s *story) part() {
	s.carolKeys = must(s.carol.client().WrapperKeys(s.ctx, s.first))
	check(s.alice.client().Kick(s.ctx, s.alice.user, s.first, s.carol.user))
	must(s.carol.side.Await(s.ctx, "the end of her membership", func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == s.carol.user && e.Room == s.first
	}))
	s.settle(s.first)
	s.add(s.first, s.alice, s.ben)
	s.say(s.first, s.ben)
	s.say(s.first, s.dora)
}

// link lets cora enter the first room by a link.
func (s *story) link() {
	s.joinLink(s.first, s.alice, s.cora, client.JoinOptions{})
	s.say(s.first, s.cora)
}

func (s *story) joinLink(room mimi.URI, by, who *person, opts client.JoinOptions) {
	link := must(by.client().MakeLink(s.ctx, by.user, room, client.LinkOptions{Uses: 1, Lifetime: time.Hour}))
	s.links = append(s.links, link.Text())
	must(who.client().JoinLink(s.ctx, who.user, link.Text(), opts))
	s.settle(room)
}

// renew gives bob a new credential, and so a new queue reference.
func (s *story) renew() {
	s.queues = append(s.queues, s.leafOf(s.first, s.bob).queue)
	check(s.bob.client().Renew(s.ctx, s.bob.user, s.first))
	s.settle(s.first)
	s.queues = append(s.queues, s.leafOf(s.first, s.bob).queue)
	s.say(s.first, s.bob)
}

// mask makes a room in which nobody knows who is who.
func (s *story) mask() {
	s.masked = s.group(client.RoomOptions{Requirement: identity.Forbidden}, s.alice)
	s.joinLink(s.masked, s.alice, s.bob, client.JoinOptions{})
	s.joinLink(s.masked, s.alice, s.cora, client.JoinOptions{})
	s.say(s.masked, s.bob)
	s.say(s.masked, s.cora)
}

// noteKeys collects the wrapper keys that somebody has.
func (s *story) noteKeys() {
	for _, side := range s.world.Providers {
		for _, l := range must(side.Store.Client().Rooms(s.ctx)) {
			keys, err := side.Node.Client().WrapperKeys(s.ctx, l.URI)
			if err == nil {
				s.keys[l.URI] = append(s.keys[l.URI], keys...)
			}
		}
	}
}

// calm waits until nothing is on its way any more.
func (s *stage) calm() {
	s.within("the end of all deliveries", func() bool {
		for _, side := range append([]*Side{s.world.Hub}, s.world.Providers...) {
			if len(must(side.Store.Hub().Lanes(s.ctx))) > 0 || len(must(side.Store.Client().Unaccepted(s.ctx))) > 0 ||
				len(must(side.Store.Client().RoomsWithIncoming(s.ctx))) > 0 || len(must(side.Store.Client().EventLanes(s.ctx))) > 0 {
				return false
			}
		}
		return true
	})
}
