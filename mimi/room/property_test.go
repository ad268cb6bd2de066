package room_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

var everyone = []mimi.URI{alice, bob, cathy, dave, erin}

// drawRoom draws a room of a few people with arbitrary roles, capabilities and
// constraints.
func drawRoom(t *rapid.T) setting {
	indexes := []uint32{0, 1, 2, 3}
	s := setting{base: room.BasePolicy{
		MultiDevice:     rapid.Bool().Draw(t, "multi_device"),
		FixedMembership: rapid.IntRange(0, 9).Draw(t, "fixed") == 0,
	}, clients: map[mimi.URI]int{}}
	if rapid.Bool().Draw(t, "limited") {
		s.base.MaxUsers = ptr(rapid.Uint32Range(1, 5).Draw(t, "max_users"))
	}
	for _, index := range indexes {
		r := room.Role{Index: index, Name: "role"}
		for c := room.CanAddParticipant; c <= room.CanChangeOwnRole; c++ {
			skip := c == room.CanOpenJoin && index != 0 || c == room.CanAddParticipant && s.base.FixedMembership
			if !skip && rapid.Bool().Draw(t, c.String()) {
				r.Capabilities = append(r.Capabilities, c)
			}
		}
		if index == room.RoleBanned {
			r.Name = "banned"
		}
		if rapid.Bool().Draw(t, "constrained") {
			r.MinActive = rapid.Uint32Range(0, 2).Draw(t, "min_active")
			r.MaxParticipants = ptr(rapid.Uint32Range(0, 3).Draw(t, "max"))
		}
		for _, from := range indexes {
			r.Transitions = append(r.Transitions, room.Transition{From: from, To: rapid.SliceOfDistinct(rapid.SampledFrom(indexes), rapid.ID).Draw(t, "to")})
		}
		s.roles = append(s.roles, r)
	}
	for _, u := range everyone {
		index := rapid.SampledFrom(indexes).Draw(t, "role")
		if index == room.RoleNone {
			continue
		}
		s.people = append(s.people, room.Participant{User: u, Role: index})
		if index != room.RoleBanned {
			s.clients[u] = rapid.IntRange(0, 2).Draw(t, "clients")
		}
	}
	return s
}

// drawChange draws a change that is often valid.
func drawChange(t *rapid.T, tb testing.TB, s *room.State) room.Change {
	person := rapid.SampledFrom(everyone)
	index := rapid.Uint32Range(1, 3)
	var ch room.Change
	for range rapid.IntRange(1, 4).Draw(t, "actions") {
		actor := room.Actor{
			User:     person.Draw(t, "actor"),
			Kind:     rapid.SampledFrom([]room.ActorKind{room.Member, room.Joiner, room.ExternalSender}).Draw(t, "kind"),
			JoinCode: rapid.Bool().Draw(t, "code"),
		}
		target := person.Draw(t, "target")
		position, listed := s.Find(target)
		var op room.Operation
		switch kind := rapid.IntRange(0, 4).Draw(t, "operation"); {
		case kind == 0:
			op = room.AddClient{User: target}
		case kind == 1:
			op = room.RemoveClient{User: target}
		case kind == 2 && listed:
			op = list(tb, room.ParticipantListUpdate{Removed: []uint32{position}})
		case kind == 3 && listed:
			op = list(tb, room.ParticipantListUpdate{Changed: []room.RoleAssignment{{Index: position, Role: index.Draw(t, "to")}}})
		default:
			op = added(tb, target, index.Draw(t, "as"))
		}
		ch.Actions = append(ch.Actions, room.Action{Actor: actor, Operation: op})
	}
	return ch
}

// TestDecideProperties: whatever is proposed, a refusal changes nothing and has a
// class, an acceptance leaves a room in which the invariants hold, and whoever
// decides decides the same.
func TestDecideProperties(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		s := drawRoom(r).open(t)
		for range 50 { // few are accepted
			ch := drawChange(r, t, s)
			before := s.Components()
			next, err := room.Decide(s, ch)
			unchanged(t, s, before)

			// A member opens the same room from the same components.
			clients := map[mimi.URI]int{}
			for _, u := range everyone {
				clients[u] = s.Clients(u)
			}
			member, openErr := room.Open(before, clients)
			if openErr != nil {
				r.Fatal(openErr)
			}
			theirs, theirErr := room.Decide(member, ch)
			if (err == nil) != (theirErr == nil) || err != nil && err.Error() != theirErr.Error() {
				r.Fatalf("hub says %v, member says %v", err, theirErr)
			}
			if err != nil {
				refused++
				if next != nil || errors.Is(err, room.ErrInvalid) == errors.Is(err, room.ErrDenied) {
					r.Fatalf("refusal %v with %v", err, next)
				}
				continue
			}
			accepted++
			if !maps.EqualFunc(next.Components(), theirs.Components(), slices.Equal[[]byte]) {
				r.Fatal("hub and member have different rooms")
			}
			reopens(t, next)
			invariants(r, next)
			s = next
		}
	})
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused: the test tests nothing", accepted, refused)
	}
}

func invariants(t *rapid.T, s *room.State) {
	seen := map[mimi.URI]bool{}
	for _, p := range s.Participants() {
		if seen[p.User] || p.Role == room.RoleNone {
			t.Fatalf("participants %v", s.Participants())
		}
		seen[p.User] = true
	}
	for _, u := range everyone {
		if s.Active(u) && (s.Role(u) == room.RoleNone || s.Banned(u)) {
			t.Fatalf("%s has %d clients in role %d", u, s.Clients(u), s.Role(u))
		}
	}
}

// TestWithoutCapabilitiesNothing: in a room where no role has a capability nobody
// changes anything.
func TestWithoutCapabilitiesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		drawn := drawRoom(r)
		for i := range drawn.roles {
			drawn.roles[i].Capabilities = nil
		}
		s := drawn.open(t)
		if _, err := room.Decide(s, drawChange(r, t, s)); err == nil {
			r.Fatal("accepted")
		}
	})
}

// TestMoreCapabilitiesMore: what a role may do it may still do with every
// capability, except where a room forbids to have one.
func TestMoreCapabilitiesMore(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		drawn := drawRoom(r)
		drawn.base.FixedMembership = false
		s := drawn.open(t)
		ch := drawChange(r, t, s)
		if _, err := room.Decide(s, ch); err != nil {
			return
		}
		for i := range drawn.roles {
			drawn.roles[i].Capabilities = allBut(t)
			if i == 0 {
				drawn.roles[i].Capabilities = append(drawn.roles[i].Capabilities, room.CanOpenJoin)
			}
		}
		if _, err := room.Decide(drawn.open(t), ch); err != nil {
			r.Fatalf("refused with more capabilities: %v", err)
		}
	})
}

// TestParticipantUpdates compares Apply with a model that follows the draft's
// words.
func TestParticipantUpdates(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(0, 8).Draw(r, "n")
		var before room.ParticipantList
		for range n {
			before.Participants = append(before.Participants, room.Participant{
				User: user("a.example", rapid.StringMatching(`[a-z]{12}`).Draw(r, "name")), Role: rapid.Uint32Range(1, 3).Draw(r, "role"),
			})
		}
		var u room.ParticipantListUpdate
		model := map[mimi.URI]uint32{}
		var order []mimi.URI
		for i, p := range before.Participants {
			if _, twice := model[p.User]; twice {
				r.Skip("the same name twice")
			}
			role := p.Role
			switch rapid.IntRange(0, 2).Draw(r, "fate") {
			case 0:
				u.Removed = append(u.Removed, uint32(i))
				role = 0
			case 1:
				role = p.Role%3 + 1
				u.Changed = append(u.Changed, room.RoleAssignment{Index: uint32(i), Role: role})
			}
			model[p.User] = role
			if role != 0 {
				order = append(order, p.User)
			}
		}
		u.Removed = rapid.Permutation(u.Removed).Draw(r, "order of removals")
		if rapid.Bool().Draw(r, "add") {
			u.Added = []room.Participant{{User: erin, Role: 2}}
			model[erin], order = 2, append(order, erin)
		}
		data := encode(t, &u)
		decoded, err := room.Decode[room.ParticipantListUpdate](data)
		if err != nil {
			r.Fatal(err)
		}
		after, err := before.Apply(decoded)
		if err != nil {
			r.Fatal(err)
		}
		var got []mimi.URI
		for _, p := range after.Participants {
			got = append(got, p.User)
			if p.Role != model[p.User] {
				r.Fatalf("%s has role %d, want %d", p.User, p.Role, model[p.User])
			}
		}
		if !slices.Equal(got, order) {
			r.Fatalf("got %v, want %v", got, order)
		}
	})
}
