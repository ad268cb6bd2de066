//go:build lab

package privacy

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// opaque is the length from which a field counts, and distinct how many different
// octets such a piece has at least: fewer are counters, lengths and padding. Twelve
// random octets have fewer in one of some 30 000 cases; an identifier is longer.
const (
	opaque   = 12
	distinct = 8
)

// A gram is a piece of something that was recorded.
type gram [opaque]byte

func (g gram) telling() bool {
	var seen [256]bool
	n := 0
	for _, b := range g {
		if !seen[b] {
			seen[b] = true
			n++
		}
	}
	return n >= distinct
}

// grams are all pieces of what the hub received about a room.
func (s *stage) grams(room mimi.URI, into map[gram]string) (octets int) {
	for _, x := range s.seen() {
		if !x.about(room) {
			continue
		}
		data := s.received(x)
		octets += len(data)
		for i := 0; i+opaque <= len(data); i++ {
			if g := gram(data[i : i+opaque]); g.telling() {
				if _, ok := into[g]; !ok {
					into[g] = fmt.Sprintf("%s, octet %d", recorded(x.number, "request"), i)
				}
			}
		}
	}
	return octets
}

// sharedFields is T2. What is allowed to be the same is what is the same in a room of
// other people of the same providers too: the forms of the protocol, names of
// providers, and their keys. A hit is a row of octets that the other room of the same
// users has as well, and of which none belongs to such a piece.
func sharedFields(s *story) *finding {
	allowed, first := map[gram]string{}, map[gram]string{}
	f := &finding{}
	s.grams(s.others, allowed)
	octets := s.grams(s.first, first)
	for _, x := range s.seen() {
		if !x.about(s.second) {
			continue
		}
		data := s.received(x)
		octets += len(data)
		s.shared(f, data, recorded(x.number, "request"), first, allowed)
	}
	if len(first) == 0 || len(allowed) == 0 {
		check(errNothing)
	}
	f.figures = fmt.Sprintf("%d octets of two rooms, %d pieces of %d octets compared, %d of them allowed: other people's rooms have them too",
		octets, len(first), opaque, len(allowed))
	return f
}

// shared notes rows of octets in data that first has and that are not allowed.
func (s *stage) shared(f *finding, data []byte, name string, first, allowed map[gram]string) {
	const is, may = 1, 2
	marks := make([]byte, len(data))
	where := make([]string, len(data))
	for i := 0; i+opaque <= len(data); i++ {
		g := gram(data[i : i+opaque])
		at, ok := first[g]
		_, form := allowed[g]
		for k := i; k < i+opaque; k++ {
			if ok {
				marks[k] |= is
				where[k] = at
			}
			if form {
				marks[k] |= may
			}
		}
	}
	run := 0
	for i, m := range append(marks, 0) {
		if m == is {
			run++
			continue
		}
		if run >= opaque {
			f.hit("%s at octet %d of %s is at %s too", hex.EncodeToString(data[i-run:i]), i-run, name, where[i-1])
		}
		run = 0
	}
}

// A trace is what a hub sees of a room without what is random: the sizes of requests
// and answers, in the order of epochs for Commits and proposals, and without order or
// number for the rest, which overtakes. Requests that were too late for their epoch,
// and which deliveries share a body, are matters of chance and left out.
type trace struct {
	updates []string
	others  []string
}

// traceOf is the trace of a room at the hub.
func (s *stage) traceOf(room mimi.URI) (t trace) {
	kinds := map[string]bool{}
	var updates []update
	for _, x := range s.seen() {
		if !x.about(room) {
			continue
		}
		switch x.endpoint() {
		case string(protocol.EndpointUpdate):
			var answer protocol.UpdateRoomResponse
			check(wire.Unmarshal(x.Response, &answer))
			if answer.Code != protocol.UpdateWrongEpoch {
				updates = append(updates, updateOf(x))
			}
		case string(protocol.EndpointSubmitMessage):
			var answer protocol.SubmitMessageResponse
			check(wire.Unmarshal(x.Response, &answer))
			kinds[x.sizes()] = answer.Code == protocol.SubmitAccepted || kinds[x.sizes()]
		case string(protocol.EndpointNotify):
			for _, m := range must(protocol.ParseFanout(x.Request)) {
				kinds[fmt.Sprintf("%s -> %s notify with a message of %d", x.From, x.To, len(must(wire.Marshal(m))))] = true
			}
		default:
			kinds[x.sizes()] = true
		}
	}
	for line, counts := range kinds {
		if counts {
			t.others = append(t.others, line)
		}
	}
	slices.Sort(t.others)
	// The recording is in the order of the answers: a Commit may be answered before the
	// proposal that it commits.
	slices.SortStableFunc(updates, update.compare)
	for _, u := range updates {
		t.updates = append(t.updates, u.sizes)
	}
	if len(t.updates) == 0 || len(t.others) == 0 {
		check(errNothing)
	}
	return t
}

// An update is a Commit, or proposals, as a hub sees it.
type update struct {
	epoch  uint64
	commit bool
	sizes  string
}

func updateOf(x seen) update {
	var req protocol.UpdateRequest
	check(wire.Unmarshal(x.Request, &req))
	content := &req.ProposalOrCommit.PublicMessage.Content
	return update{content.Epoch, content.Commit != nil, x.sizes()}
}

// compare orders updates as the hub has applied them: an epoch ends with its Commit.
func (u update) compare(other update) int {
	if c := cmp.Compare(u.epoch, other.epoch); c != 0 || u.commit == other.commit {
		return c
	}
	if u.commit {
		return 1
	}
	return -1
}

// sizes are those of an exchange.
func (x seen) sizes() string {
	return fmt.Sprintf("%s -> %s %s %d, answer %d, head %d", x.From, x.To, x.endpoint(), len(x.Request), len(x.Response), len(head(x)))
}

// differ notes where two traces differ.
func (f *finding) differ(a, b trace) {
	for _, line := range diff(a.updates, b.updates) {
		f.hit("%s", line)
	}
	for _, line := range diff(a.others, b.others) {
		f.hit("%s", line)
	}
}

// diff lists lines that one side has more often than the other, and, if there are
// none, the first that stand at another place.
func diff(a, b []string) (out []string) {
	count := map[string]int{}
	for _, line := range a {
		count[line]++
	}
	for _, line := range b {
		count[line]--
	}
	for line, n := range count {
		switch {
		case n > 0:
			out = append(out, "only with the one: "+line)
		case n < 0:
			out = append(out, "only with the other: "+line)
		}
	}
	slices.Sort(out)
	if len(out) == 0 && !slices.Equal(a, b) {
		out = append(out, "the same requests in another order")
	}
	return out
}

// userSizes is T3: what two users do looks the same, however long their names are.
func userSizes(p *proof, setup Setup) *finding {
	s := newStage(p.ctx, p.open, setup, newNames(p.seed))
	defer s.world.Close()
	alice, other := s.person(s.provider(0)), s.person(s.provider(2))
	s.connect(alice, other)
	var traces []trace
	users := []*person{
		s.personAs(s.provider(1), s.names.word(3), s.names.word(2)),
		s.personAs(s.provider(1), s.names.word(60), title(s.names.word(100))+" "+title(s.names.word(100))),
	}
	for _, user := range users {
		s.connect(alice, user)
		room := s.group(client.RoomOptions{Name: "same"}, alice, user, other)
		s.sayText(room, user, strings.Repeat("x", 40))
		check(user.client().Renew(s.ctx, user.user, room))
		s.settle(room)
		s.wrote(room, user.side, 2)
		s.wrote(room, alice.side, 1)
		s.wrote(room, other.side, 1)
		s.leave(room, user, alice)
		traces = append(traces, s.traceOf(room))
	}
	f := &finding{}
	f.differ(traces[0], traces[1])
	f.figures = fmt.Sprintf("%d updates and %d kinds of other requests of a user with 5 letters and of one with 262", len(traces[0].updates), len(traces[0].others))
	return f
}

// wrote waits until a side has sent that many messages to a room: texts, and what
// tells names, which goes out by itself.
func (s *stage) wrote(room mimi.URI, side *Side, messages int) {
	s.within("all messages", func() bool {
		n := 0
		for _, x := range s.seen() {
			if x.From == side.Domain && x.endpoint() == string(protocol.EndpointSubmitMessage) && x.about(room) {
				n++
			}
		}
		return n >= messages
	})
	s.calm()
}

// leave lets somebody leave, and waits until somebody else has committed it.
func (s *stage) leave(room mimi.URI, who, stays *person) {
	before := s.epoch(room)
	check(who.client().Leave(s.ctx, who.user, room))
	s.within("that somebody is gone", func() bool { return s.epoch(room) > before })
	s.settle(room)
	must(stays.side.Await(s.ctx, "that somebody is gone", func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) > 0
	}))
	s.calm()
}

// swappedUsers is T4: two users of one provider do the same things in two rooms, the
// other way round.
func swappedUsers(p *proof, setup Setup) *finding {
	s := newStage(p.ctx, p.open, setup, newNames(p.seed))
	defer s.world.Close()
	alice, bob, ben := s.person(s.provider(0)), s.person(s.provider(1)), s.person(s.provider(1))
	s.connect(alice, bob)
	s.connect(alice, ben)
	var traces []trace
	for _, users := range [][2]*person{{bob, ben}, {ben, bob}} {
		room := s.group(client.RoomOptions{Name: "same"}, alice, users[0], users[1])
		s.sayText(room, users[0], strings.Repeat("x", 40))
		check(users[0].client().Renew(s.ctx, users[0].user, room))
		s.settle(room)
		s.sayText(room, users[1], strings.Repeat("y", 300))
		s.wrote(room, users[0].side, 4)
		s.wrote(room, alice.side, 1)
		s.leave(room, users[1], alice)
		traces = append(traces, s.traceOf(room))
	}
	f := &finding{}
	f.differ(traces[0], traces[1])
	f.figures = fmt.Sprintf("%d updates and %d kinds of other requests, twice", len(traces[0].updates), len(traces[0].others))
	return f
}
