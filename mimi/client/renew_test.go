package client_test

import (
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// TestCornerCertificateRenewal: a room that lives longer than certificates never shows a
// member as expired, and pseudonyms of clients change with the credentials.
func TestCornerCertificateRenewal(t *testing.T) {
	c := newCouple(t)
	pseudonyms := map[mimi.URI]bool{}
	for range 5 {
		for _, g := range c.gateways {
			info, err := g.client.Room(t.Context(), c.group)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range info.Members {
				pseudonyms[m.Pseudonym] = true
				if m.Expired || m.User.IsZero() {
					t.Errorf("%v: %s sees %s as expired or unknown", c.clock.Now(), g.domain, m.Pseudonym)
				}
			}
		}
		for range 16 {
			c.clock.Advance(24 * time.Hour)
		}
		// Both sides renew both leaves of theirs; whatever is said then comes after.
		c.settled()
		c.say(c.alice, c.group, "still here "+c.clock.Now().Format(time.DateOnly), "b.example")
		c.say(c.bob, c.group, "so am I "+c.clock.Now().Format(time.DateOnly), "a.example")
	}
	if len(pseudonyms) != 2 {
		t.Errorf("%d user pseudonyms, want the two from the beginning", len(pseudonyms))
	}
}

// settled waits until no certificate in the rooms of a couple is about to end.
func (c *couple) settled() {
	c.t.Helper()
	c.renewed(c.direct, c.group)
}

// renewed waits until no certificate in these rooms is about to end.
func (w *world) renewed(rooms ...mimi.URI) {
	w.t.Helper()
	w.daysUntil("the credentials are renewed", func() bool {
		for _, g := range w.gateways {
			for _, room := range rooms {
				members, err := g.stores.Client.Members(w.t.Context(), room)
				if err != nil {
					w.t.Fatal(err)
				}
				for _, m := range members {
					if m.NotAfter.Sub(w.clock.Now()) <= 14*24*time.Hour {
						return false
					}
				}
			}
		}
		return true
	})
}

// daysUntil moves the clock on until something is so that maintenance brings about, and
// what it sends. The round of today may have come before there was anything to do, and a
// delivery that a jump of the clock cuts off is repeated later.
func (w *world) daysUntil(what string, so func() bool) {
	w.t.Helper()
	n := 0
	w.advanceUntil(what, func() bool {
		if so() {
			return true
		}
		if n++; n%2000 == 0 {
			w.clock.Advance(12 * time.Hour)
		}
		return false
	})
}
