package client_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// veiled is a room of Alice's in which members need not show who they are, or must not,
// and people elsewhere. All have names, which nobody must be told.
type veiled struct {
	*world
	a, b, c           *gateway
	alice, bob, carol mimi.URI
	direct, room      mimi.URI
}

func newVeiled(t *testing.T, requirement identity.LinkRequirement) *veiled {
	w := newWorld(t, "a.example", "b.example", "c.example")
	v := &veiled{world: w, a: w.gateways["a.example"], b: w.gateways["b.example"], c: w.gateways["c.example"]}
	v.alice, v.bob, v.carol = v.a.person("alice", "Alice"), v.b.person("bob", "Bob"), v.c.person("carol", "Carol")
	v.direct = w.connect(v.alice, v.bob)
	room, failed, err := v.a.client.CreateRoom(t.Context(), v.alice, client.RoomOptions{Name: "Ball", Requirement: requirement}, nil)
	if err != nil || len(failed) > 0 {
		t.Fatal(err, failed)
	}
	v.room = room
	return v
}

// enters lets somebody enter by a link of Alice's, and returns how she sees them.
func (v *veiled) enters(account mimi.URI, opts client.JoinOptions) client.Person {
	v.t.Helper()
	link, err := v.a.client.MakeLink(v.t.Context(), v.alice, v.room, client.LinkOptions{})
	if err != nil {
		v.t.Fatal(err)
	}
	_, from := v.a.await("anything", 0, func(*client.Event) bool { return true })
	v.a.set(func(g *gateway) { from = len(g.events) })
	if err := v.enter(account, link, opts); err != nil {
		v.t.Fatalf("%s enters: %v", account, err)
	}
	e, _ := v.a.await("a newcomer", from, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == v.room && len(e.Added) == 1
	})
	return e.Added[0]
}

// heard checks who a gateway thinks has written a text.
func (v *veiled) heard(g *gateway, account mimi.URI, text string, want func(client.Person) bool) {
	v.t.Helper()
	sources++
	sent, err := v.gateways[account.Domain].client.Send(v.t.Context(), account, v.room, "$veil"+text, content.Text(content.PlainPart(text)))
	if err != nil {
		v.t.Fatalf("%s says %q: %v", account, text, err)
	}
	e, _ := g.await("message "+text, 0, func(e *client.Event) bool {
		return e.Kind == client.EventMessage && e.Room == v.room && string(e.Message) == string(sent.ID[:])
	})
	if !want(e.Actor) {
		v.t.Errorf("%s heard %q from %+v", g.domain, text, e.Actor)
	}
}

// advanceUntil moves the clock on until something is so.
func (w *world) advanceUntil(what string, so func() bool) {
	w.t.Helper()
	limit := time.After(2 * time.Minute)
	for !so() {
		select {
		case <-limit:
			w.t.Fatalf("not so: %s", what)
		case <-time.After(time.Millisecond):
			w.clock.Advance(time.Second)
		}
	}
}

func hidden(p client.Person) bool { return p.Hidden && p.User.IsZero() && !p.Pseudonym.IsZero() }

// noNames checks that nobody was told a name in the room, or was sent one, and that
// nobody was alarmed.
func (v *veiled) noNames() {
	v.t.Helper()
	for _, account := range []mimi.URI{v.alice, v.bob, v.carol} {
		g := v.gateways[account.Domain]
		a, err := g.client.Account(v.t.Context(), account)
		if err != nil {
			v.t.Fatal(err)
		}
		source := fmt.Sprintf("profile/%s/%d", a.Client.ID, v.clock.Now().Unix()/(24*60*60))
		if _, err := g.stores.Client.Outgoing(v.t.Context(), v.room, source); !errors.Is(err, client.ErrNotFound) {
			v.t.Errorf("%s has told its name (%v)", account, err)
		}
	}
	for _, g := range v.gateways {
		g.set(func(g *gateway) {
			for _, e := range g.events {
				if e.Room == v.room && (e.Kind == client.EventName || e.Kind == client.EventAlert) {
					v.t.Errorf("%s: %s %s of %v", g.domain, e.Kind, e.Reason, e.Actor)
				}
			}
		})
	}
}

// TestForbiddenRoom: nobody is added, everybody enters by link, and nobody learns who
// anybody is; people talk all the same.
func TestForbiddenRoom(t *testing.T) {
	v := newVeiled(t, identity.Forbidden)
	if err := v.a.client.Invite(t.Context(), v.alice, v.room, v.bob); !errors.Is(err, client.ErrLinksOnly) {
		t.Errorf("Bob is added: %v, want ErrLinksOnly", err)
	}
	if p := v.enters(v.bob, client.JoinOptions{}); !hidden(p) {
		t.Errorf("Alice sees %+v", p)
	}
	if p := v.enters(v.carol, client.JoinOptions{Pseudonymous: true}); !hidden(p) {
		t.Errorf("Alice sees %+v", p)
	}
	v.heard(v.a, v.bob, "who are you?", hidden)
	v.heard(v.c, v.bob, "and you?", hidden)
	v.heard(v.b, v.alice, "nobody", hidden)
	info, err := v.c.client.Room(t.Context(), v.room)
	if err != nil || info.Requirement != identity.Forbidden || info.Name != "Ball" {
		t.Fatalf("Carol sees %+v, %v", info, err)
	}
	for _, m := range info.Members {
		if (m.User == v.carol) != m.Local || !m.Local && !hidden(m.Person) {
			t.Errorf("Carol's gateway sees %+v", m)
		}
	}
	if err := v.b.client.Identify(t.Context(), v.bob, v.room); !errors.Is(err, client.ErrDenied) {
		t.Errorf("Bob shows who he is: %v", err)
	}
	for _, r := range []identity.LinkRequirement{identity.RequireNone, identity.RequireAdmins, identity.RequireAll} {
		if err := v.a.client.Loosen(t.Context(), v.alice, v.room, r); !errors.Is(err, identity.ErrPolicyChange) {
			t.Errorf("from forbidden to %d: %v", r, err)
		}
	}
	v.noNames()
}

// TestForbiddenRoomRemovesByPseudonym: who is not known can be removed.
func TestForbiddenRoomRemovesByPseudonym(t *testing.T) {
	v := newVeiled(t, identity.Forbidden)
	bob := v.enters(v.bob, client.JoinOptions{})
	if err := v.a.client.Kick(t.Context(), v.alice, v.room, bob.Pseudonym); err != nil {
		t.Fatal(err)
	}
	v.b.await("gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Account == v.bob })
	v.enters(v.carol, client.JoinOptions{})
	v.heard(v.a, v.carol, "hello", hidden)
}

// TestOptionalRoom: who is added shows themselves, or does not, when they join; who
// enters by link likewise.
func TestOptionalRoom(t *testing.T) {
	v := newVeiled(t, identity.RequireNone)
	ben := v.b.person("ben", "Ben")
	v.connect(v.alice, ben)
	for _, who := range []mimi.URI{v.bob, ben} {
		if err := v.a.client.Invite(t.Context(), v.alice, v.room, who); err != nil {
			t.Fatal(err)
		}
		e, _ := v.b.await("invited", 0, func(e *client.Event) bool { return e.Kind == client.EventInvited && e.Account == who })
		if e.Actor.User != v.alice || e.Requirement != identity.RequireNone {
			t.Errorf("%s is invited by %+v", who, e)
		}
	}
	if err := v.b.client.JoinPseudonymously(t.Context(), v.bob, v.room); err != nil {
		t.Fatal(err)
	}
	if err := v.b.client.Join(t.Context(), ben, v.room); err != nil {
		t.Fatal(err)
	}
	v.heard(v.a, v.bob, "it is nobody", hidden)
	v.heard(v.a, ben, "it is I", func(p client.Person) bool { return p.User == ben && !p.Hidden })
	if p := v.enters(v.carol, client.JoinOptions{Pseudonymous: true}); !hidden(p) {
		t.Errorf("Alice sees %+v", p)
	}
	if err := v.c.client.Invite(t.Context(), v.carol, v.room, v.bob); !errors.Is(err, client.ErrPseudonymous) {
		t.Errorf("somebody adds without showing themselves: %v", err)
	}
	if err := v.c.client.Identify(t.Context(), v.carol, v.room); err != nil {
		t.Fatal(err)
	}
	v.heard(v.a, v.carol, "so it is I, too", func(p client.Person) bool { return p.User == v.carol && !p.Hidden })
}

// TestHiddenMembersStayHidden: neither a renewed credential nor joining anew shows who
// somebody is.
func TestHiddenMembersStayHidden(t *testing.T) {
	v := newVeiled(t, identity.RequireNone)
	if p := v.enters(v.bob, client.JoinOptions{Pseudonymous: true}); !hidden(p) {
		t.Errorf("Alice sees %+v", p)
	}
	before := map[mimi.URI]uint64{}
	for _, room := range []mimi.URI{v.room, v.direct} {
		info, err := v.a.client.Room(t.Context(), room)
		if err != nil {
			t.Fatal(err)
		}
		before[room] = info.Epoch
	}
	for range 16 { // half of a certificate's life
		v.clock.Advance(24 * time.Hour)
	}
	v.advanceUntil("both have renewed their credentials, and heard of it", func() bool {
		for room, epoch := range before {
			for _, g := range []*gateway{v.a, v.b} {
				if info, err := g.client.Room(t.Context(), room); err != nil || info.Epoch < epoch+2 {
					return false
				}
			}
		}
		return true
	})
	v.heard(v.a, v.bob, "renewed", hidden)
	v.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := v.a.client.Rename(t.Context(), v.alice, v.room, "Masked ball"); err != nil {
		t.Fatal(err)
	}
	defer v.driveClock()()
	if err := v.b.client.SetTopic(t.Context(), v.bob, v.room, "anew"); err != nil {
		t.Fatal(err)
	}
	v.b.await("resync", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == v.room && e.Reason == client.ReasonResync
	})
	v.heard(v.a, v.bob, "anew", hidden)
	if info, err := v.b.client.Room(t.Context(), v.room); err != nil || info.Name != "Masked ball" {
		t.Errorf("Bob sees %+v, %v", info, err)
	}
}

// TestAdminsShowWhoTheyAre: with the requirement admins, nobody becomes one without.
func TestAdminsShowWhoTheyAre(t *testing.T) {
	v := newVeiled(t, identity.RequireAdmins)
	bob := v.enters(v.bob, client.JoinOptions{Pseudonymous: true})
	if !hidden(bob) {
		t.Fatalf("Alice sees %+v", bob)
	}
	if err := v.a.client.SetRole(t.Context(), v.alice, v.room, bob.Pseudonym, true); !errors.Is(err, client.ErrAdminHides) || !errors.Is(err, client.ErrDenied) {
		t.Errorf("a hidden member becomes an administrator: %v", err)
	}
	if err := v.b.client.Identify(t.Context(), v.bob, v.room); err != nil {
		t.Fatal(err)
	}
	v.heard(v.a, v.bob, "here I am", func(p client.Person) bool { return p.User == v.bob })
	if err := v.a.client.SetRole(t.Context(), v.alice, v.room, v.bob, true); err != nil {
		t.Errorf("a member who shows himself becomes an administrator: %v", err)
	}
	v.b.await("the new role", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == v.room && len(e.Added)+len(e.Removed) == 0 && len(e.Changed) == 1 && e.Changed[0].User == v.bob && e.Actor.User == v.alice
	})
	if err := v.b.client.SetRole(t.Context(), v.bob, v.room, v.alice, false); err != nil {
		t.Errorf("the new administrator acts: %v", err)
	}
	v.a.await("the end of the own role", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == v.room && len(e.Added)+len(e.Removed) == 0 && len(e.Changed) == 1 && e.Changed[0].User == v.alice && e.Actor.User == v.bob
	})
	if err := v.a.client.SetRole(t.Context(), v.alice, v.room, v.bob, false); !errors.Is(err, client.ErrDenied) {
		t.Errorf("who is no administrator any more acts: %v", err)
	}
}

// TestSetRole: a role that somebody has already costs no Commit; nobody changes their
// own, and nobody who is not in the room has one.
func TestSetRole(t *testing.T) {
	c := quietCouple(t)
	epoch := func() uint64 {
		info, err := c.a.client.Room(t.Context(), c.group)
		if err != nil {
			t.Fatal(err)
		}
		return info.Epoch
	}
	before := epoch()
	carol := mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "carol"}
	for _, test := range []struct {
		account, room, user mimi.URI
		admin               bool
		want                error
	}{
		{c.alice, c.group, c.alice, true, nil},
		{c.alice, c.group, c.bob, false, nil},
		{c.alice, c.group, c.alice, false, client.ErrOwnRole},
		{c.bob, c.group, c.bob, true, client.ErrOwnRole},
		{c.bob, c.group, c.alice, false, client.ErrDenied},
		{c.alice, c.group, carol, true, client.ErrNotMember},
		{c.alice, c.direct, c.bob, true, client.ErrConnectionRoom},
	} {
		g := c.gateways[test.account.Domain]
		if err := g.client.SetRole(t.Context(), test.account, test.room, test.user, test.admin); !errors.Is(err, test.want) {
			t.Errorf("%s makes %s an administrator (%t): %v, want %v", test.account, test.user, test.admin, err, test.want)
		}
	}
	if after := epoch(); after != before {
		t.Errorf("%d Commits for nothing", after-before)
	}
	if err := c.a.client.SetRole(t.Context(), c.alice, c.group, c.bob, true); err != nil {
		t.Fatal(err)
	}
	c.until("two administrators at Bob's", func() bool {
		info, err := c.b.client.Room(t.Context(), c.group)
		if err != nil {
			t.Fatal(err)
		}
		admins := 0
		for _, m := range info.Members {
			if m.Admin {
				admins++
			}
		}
		return admins == 2
	})
}

// TestLooseningOnly: from all to admins to optional, by administrators, and everybody
// is told.
func TestLooseningOnly(t *testing.T) {
	c := quietCouple(t)
	loosen := func(g *gateway, account mimi.URI, r identity.LinkRequirement, want error) {
		t.Helper()
		if err := g.client.Loosen(t.Context(), account, c.group, r); !errors.Is(err, want) {
			t.Errorf("to %d: %v, want %v", r, err, want)
		}
	}
	loosen(c.b, c.bob, identity.RequireAdmins, client.ErrDenied)
	loosen(c.a, c.alice, identity.Forbidden, identity.ErrPolicyChange)
	loosen(c.a, c.alice, identity.RequireAll, identity.ErrPolicyChange)
	if err := c.a.client.Loosen(t.Context(), c.alice, c.direct, identity.RequireNone); !errors.Is(err, client.ErrConnectionRoom) {
		t.Errorf("a direct chat: %v", err)
	}
	for _, r := range []identity.LinkRequirement{identity.RequireAdmins, identity.RequireNone} {
		loosen(c.a, c.alice, r, nil)
		for _, g := range []*gateway{c.a, c.b} {
			g.await("the new policy", 0, func(e *client.Event) bool {
				return e.Kind == client.EventPolicy && e.Room == c.group && e.Requirement == r && e.Actor.User == c.alice
			})
			if info, err := g.client.Room(t.Context(), c.group); err != nil || info.Requirement != r {
				t.Errorf("%s sees %+v, %v", g.domain, info, err)
			}
		}
	}
	loosen(c.a, c.alice, identity.RequireAdmins, identity.ErrPolicyChange)
	loosen(c.a, c.alice, identity.RequireAll, identity.ErrPolicyChange)
}
