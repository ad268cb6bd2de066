package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// newCA gives a gateway another identity CA, and starts it anew.
func (g *gateway) newCA() {
	g.w.t.Helper()
	if err := g.client.ReplaceCA(g.w.t.Context()); err != nil {
		g.w.t.Fatal(err)
	}
	g.stop()
	g.start()
}

// caAlerts counts what an account was told about the identity CA of a contact.
func (w *world) caAlerts(account, peer mimi.URI, reason client.Reason) int {
	return w.gateways[account.Domain].countEvents(func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Account == account && e.Peer == peer && e.Reason == reason
	})
}

// TestChangedIdentityCA: another identity CA is noticed where it is used, told once, also
// over restarts, and not believed before an administrator accepts it; then the links that
// it had closed are opened, and whoever was verified is not any more.
func TestChangedIdentityCA(t *testing.T) {
	c := quietCouple(t)
	old := c.safety(c.alice, c.bob).Code
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, old.Digest()); err != nil {
		t.Fatal(err)
	}
	c.b.newCA()
	if changes, err := c.a.client.IdentityCAChanges(t.Context()); err != nil || len(changes) != 0 {
		t.Fatalf("%+v, %v", changes, err)
	}
	// Bob's leaves get certificates of the new one when the old ones are to be renewed.
	for range 17 {
		c.clock.Advance(24 * time.Hour)
	}
	c.daysUntil("two leaves are in quarantine", func() bool { return c.knownIn(c.alice, c.bob) == 0 })
	c.alertedAbout(c.alice, c.bob, client.ReasonIdentityCA)
	c.a.stop()
	c.a.start()
	changes, err := c.a.client.IdentityCAChanges(t.Context())
	if err != nil || len(changes) != 1 || changes[0].Domain != "b.example" || changes[0].Pinned == changes[0].Candidate {
		t.Fatalf("%+v, %v", changes, err)
	}
	published, _, err := c.b.client.IdentityCA()
	if err != nil || published.Fingerprint() != changes[0].Candidate {
		t.Errorf("the candidate is not what the provider publishes: %v", err)
	}
	if err := c.a.client.AcceptIdentityCA(t.Context(), "b.example", changes[0].Pinned); !errors.Is(err, identity.ErrNoPin) {
		t.Errorf("accepted what is pinned: %v", err)
	}
	if err := c.a.client.AcceptIdentityCA(t.Context(), "b.example", changes[0].Candidate); err != nil {
		t.Fatal(err)
	}
	c.alertedAbout(c.alice, c.bob, client.ReasonIdentityCAAccepted)
	c.daysUntil("the links are open", func() bool { return c.knownIn(c.alice, c.bob) == 2 })
	for _, reason := range []client.Reason{client.ReasonIdentityCA, client.ReasonIdentityCAAccepted} {
		if n := c.caAlerts(c.alice, c.bob, reason); n != 1 {
			t.Errorf("%s was told %d times", reason, n)
		}
	}
	if err := c.a.client.AcceptIdentityCA(t.Context(), "b.example", changes[0].Candidate); !errors.Is(err, identity.ErrNoPin) {
		t.Errorf("accepted twice: %v", err)
	}
	s := c.safety(c.alice, c.bob)
	if s.Verified || !s.KeyChanged || s.Code == old {
		t.Errorf("verified %t, changed %t", s.Verified, s.KeyChanged)
	}
	if err := sends(c.world, c.alice, c.direct, "held back"); !errors.Is(err, client.ErrKeyChanged) {
		t.Errorf("sent before it was compared again: %v", err)
	}
	if err := c.a.client.Verify(t.Context(), c.alice, c.bob, s.Code.Digest()); err != nil {
		t.Fatal(err)
	}
	if n := c.alerts(c.alice, c.bob); n != 0 {
		t.Errorf("told of a changed key %d times: it is the same", n)
	}
	c.say(c.alice, c.direct, "compared again", "b.example")
}

// knownIn counts the rooms of the couple in which the links of somebody's leaves are open
// to an account.
func (c *couple) knownIn(account, peer mimi.URI) (n int) {
	c.t.Helper()
	for _, room := range []mimi.URI{c.direct, c.group} {
		if c.sees(account, room, peer) {
			n++
		}
	}
	return n
}

// TestIdentityCAIsWatched: another identity CA is noticed within a day, although nobody
// uses it.
func TestIdentityCAIsWatched(t *testing.T) {
	c := quietCouple(t)
	c.b.newCA()
	c.clock.Advance(25 * time.Hour)
	c.alertedAbout(c.alice, c.bob, client.ReasonIdentityCA)
	if c.knownIn(c.alice, c.bob) != 2 {
		t.Error("links that were open have closed")
	}
	c.say(c.alice, c.direct, "what was there goes on", "b.example")
}

// TestCrashWhileNoticingACA ends the gateway at every point at which it writes that there
// is another identity CA: who has to be told is told all the same.
func TestCrashWhileNoticingACA(t *testing.T) {
	crashed := true
	for n := 1; crashed && n < 20; n++ {
		c := quietCouple(t)
		c.b.newCA()
		c.a.stores.Faults.Crash(n)
		s := &crashStory{world: c.world, victim: c.a}
		stop := c.driveClock()
		s.do("ask", func() error {
			_, err := c.a.client.Connect(t.Context(), c.alice, mimi.URI{Domain: "b.example", Kind: mimi.KindUser, ID: "ben"})
			return except(err, identity.ErrPinChanged)
		})
		s.await(c.a, "alert", func(e *client.Event) bool { return e.Reason == client.ReasonIdentityCA && e.Account == c.alice })
		stop()
		crashed = s.crashed || c.a.stores.Faults.Restart()
	}
}

// TestIdentityCAIsNoticedWhereItIsUsed: in KeyPackages, and in the leaf of somebody who
// enters a room.
func TestIdentityCAIsNoticedWhereItIsUsed(t *testing.T) {
	for name, use := range map[string]func(c *couple){
		"KeyPackage": func(c *couple) {
			room, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Other"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.a.client.Invite(t.Context(), c.alice, room, c.bob); !errors.Is(err, client.ErrUnverified) {
				t.Errorf("added by a certificate of another CA: %v", err)
			}
		},
		"leaf": func(c *couple) {
			room, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Other"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			link, err := c.a.client.MakeLink(t.Context(), c.alice, room, client.LinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.b.client.JoinLink(t.Context(), c.bob, link.Text(), client.JoinOptions{}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := quietCouple(t)
			c.b.newCA()
			use(c)
			c.alertedAbout(c.alice, c.bob, client.ReasonIdentityCA)
		})
	}
}

// TestIdentityCAIsToldOnce: who knows several people at a provider is told once of its other
// identity CA, and once that it was accepted.
func TestIdentityCAIsToldOnce(t *testing.T) {
	c := quietCouple(t)
	anna, ben := c.a.person("anna", ""), c.b.person("ben", "")
	c.connect(c.alice, ben)
	c.connect(anna, c.bob)
	c.b.newCA()
	told := func(reason client.Reason) {
		t.Helper()
		for account, people := range map[mimi.URI]int{c.alice: 2, anna: 1} {
			about := func(e *client.Event) bool {
				return e.Kind == client.EventAlert && e.Account == account && e.Reason == reason
			}
			e, _ := c.a.await(string(reason), 0, about)
			if e.Count != people || people == 2 && e.Peer != ben || people == 1 && e.Peer != c.bob {
				t.Errorf("%s is told %s about %s and %d in all", account.ID, reason, e.Peer, e.Count)
			}
			c.say(c.alice, c.group, "and now", "b.example")
			if n := c.a.countEvents(about); n != 1 {
				t.Errorf("%s is told %s %d times", account.ID, reason, n)
			}
		}
	}
	c.clock.Advance(24 * time.Hour)
	told(client.ReasonIdentityCA)
	changes, err := c.a.client.IdentityCAChanges(t.Context())
	if err != nil || len(changes) != 1 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if err := c.a.client.AcceptIdentityCA(t.Context(), "b.example", changes[0].Candidate); err != nil {
		t.Fatal(err)
	}
	told(client.ReasonIdentityCAAccepted)
}
