package client_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// alerted waits for the n-th alert of a kind about the group.
func (c *couple) alerted(g *gateway, reason client.Reason, n int) (alert *client.Event) {
	c.t.Helper()
	from := 0
	for range n {
		alert, from = g.await("alert", from, func(e *client.Event) bool {
			return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == reason
		})
	}
	return alert
}

// send sends a text to the group.
func (c *couple) send(account mimi.URI, source string) error {
	_, err := c.gateways[account.Domain].client.Send(c.t.Context(), account, c.group, source, content.Text(content.PlainPart(source)))
	return err
}

// unverified returns the members of the group who are unverified for an account.
func (c *couple) unverified(account mimi.URI) []client.UnverifiedMember {
	c.t.Helper()
	return must[[]client.UnverifiedMember](c.t)(c.gateways[account.Domain].client.Unverified(c.t.Context(), account, c.group))
}

// unmask gives Bob's leaf a credential that opens for nobody.
func (c *couple) unmask(account mimi.URI) {
	c.t.Helper()
	g := c.gateways[account.Domain]
	leaf, _, _ := g.leafOf(account, c.group)
	if err := g.rogue(c.group).renew(leaf); err != nil {
		c.t.Fatal(err)
	}
}

// three is a couple with Carol in their group, whom Bob has added.
func three(t *testing.T) (c *couple, carol mimi.URI) {
	c = quietCouple(t, "c.example")
	carol = c.carol()
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	c.say(carol, c.group, "hello", "a.example", "b.example")
	return c, carol
}

// TestSendAnywayIsForTheseLeaves: who has seen how many members are unverified can
// send to them all the same, also after a restart, and to no others that come.
func TestSendAnywayIsForTheseLeaves(t *testing.T) {
	c, carol := three(t)
	c.gateways["c.example"].set(func(g *gateway) { g.lose = everything })
	c.unmask(carol)
	c.alerted(c.a, client.ReasonQuarantine, 1)
	stopped := c.send(c.alice, "$1")
	if e, ok := errors.AsType[*client.QuarantineError](stopped); !ok || e.Leaves != 1 || !errors.Is(stopped, client.ErrQuarantine) {
		t.Fatalf("sending to an unverified member: %v", stopped)
	}
	members := c.unverified(c.alice)
	if len(members) != 1 || !members[0].User.IsZero() || members[0].Pseudonym.Domain != "c.example" || members[0].Accepted {
		t.Fatalf("unverified are %+v", members)
	}
	for _, wrong := range []int{0, 2} {
		if err := c.a.client.SendAnyway(t.Context(), c.alice, c.group, wrong); !errors.Is(err, client.ErrQuarantine) {
			t.Errorf("accepted %d of 1: %v", wrong, err)
		}
	}
	if err := c.send(c.alice, "$1"); !errors.Is(err, client.ErrQuarantine) {
		t.Fatalf("sent without being accepted: %v", err)
	}
	if err := c.a.client.SendAnyway(t.Context(), c.alice, c.group, 1); err != nil {
		t.Fatal(err)
	}
	if err := c.send(c.alice, "$1"); err != nil {
		t.Errorf("sending all the same: %v", err)
	}
	c.restart(c.a, client.Limits{})
	if err := c.send(c.alice, "$2"); err != nil {
		t.Errorf("sending all the same, after a restart: %v", err)
	}
	if err := c.send(c.bob, "$3"); !errors.Is(err, client.ErrQuarantine) {
		t.Errorf("what Alice has accepted counts for Bob: %v", err)
	}
	c.b.set(func(g *gateway) { g.lose = everything })
	c.unmask(c.bob)
	c.alerted(c.a, client.ReasonQuarantine, 2)
	if e, ok := errors.AsType[*client.QuarantineError](c.send(c.alice, "$4")); !ok || e.Leaves != 1 {
		t.Errorf("sending to another unverified member: %+v", e)
	}
}

// TestQueuedMessagesWaitForQuarantine: what was queued before a leaf came into
// quarantine is not sent to it, unless the sender says so.
func TestQueuedMessagesWaitForQuarantine(t *testing.T) {
	c, carol := three(t)
	far := c.gateways["c.example"]
	x := far.rogue(c.group)
	leaf, _, _ := far.leafOf(carol, c.group)
	var kept [][]byte
	c.b.set(func(g *gateway) { g.lose = keep(&kept) })
	far.set(func(g *gateway) { g.lose = everything })
	if err := x.renew(leaf); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.send(c.bob, "$queued") }() // at an epoch that is over
	c.until("queued message", func() bool {
		out, err := c.b.stores.Client.Unaccepted(t.Context())
		return err == nil && len(out) == 1 && c.b.holds(&kept, 1)
	})
	c.b.hears("a.example", c.group, &kept)
	c.alerted(c.b, client.ReasonQuarantine, 1)
	c.until("held message", func() bool { return len(c.unverified(c.bob)) == 1 })
	defer c.driveClock()()
	if err := await(t, "answer", sent); !errors.Is(err, client.ErrQueued) {
		t.Errorf("the sender is told %v", err)
	}
	if err := c.b.client.SendAnyway(t.Context(), c.bob, c.group, 1); err != nil {
		t.Fatal(err)
	}
	c.a.await("message", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMessage && e.Room == c.group && e.Actor.User == c.bob
	})
}

// TestQuarantineForWantOfACA: a member whose provider does not show its identity CA
// is unverified, is not removed for that, and has a name as soon as the CA is known.
func TestQuarantineForWantOfACA(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol, far := c.carol(), c.gateways["c.example"]
	far.set(func(g *gateway) { g.withheld = "a.example" })
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	alert := c.alerted(far, client.ReasonQuarantine, 1)
	if alert.Count != 1 || !alert.Actor.User.IsZero() {
		t.Errorf("the alert is %+v", alert)
	}
	members := c.unverified(carol)
	if len(members) != 1 || !members[0].Unreachable || members[0].Pseudonym.Domain != "a.example" {
		t.Fatalf("unverified are %+v", members)
	}
	if err := c.send(carol, "$1"); !errors.Is(err, client.ErrQuarantine) {
		t.Errorf("sending to an unverified member: %v", err)
	}
	// What the member says is shown, without a name.
	if err := c.send(c.alice, "$2"); err != nil {
		t.Fatal(err)
	}
	said, _ := far.await("message", 0, func(e *client.Event) bool { return e.Kind == client.EventMessage && e.Room == c.group })
	if !said.Actor.User.IsZero() || said.Actor.Pseudonym != members[0].Pseudonym {
		t.Errorf("said by %+v", said.Actor)
	}
	c.clock.Advance(25 * time.Hour) // with maintenance, which asks in vain
	if n := len(c.unverified(carol)); n != 1 {
		t.Errorf("%d unverified after a day", n)
	}
	far.set(func(g *gateway) { g.withheld = "" })
	c.clock.Advance(25 * time.Hour)
	named, _ := far.await("name", 0, func(e *client.Event) bool { return e.Kind == client.EventOpened && e.Room == c.group })
	if len(named.Added) != 1 || named.Added[0].User != c.alice || named.Added[0].Pseudonym != members[0].Pseudonym {
		t.Errorf("named %+v", named.Added)
	}
	if err := c.send(carol, "$3"); err != nil {
		t.Errorf("sending to those who are verified: %v", err)
	}
	for _, e := range far.all() {
		if e.Reason == client.ReasonRemoveUnverified {
			t.Error("somebody is to be removed of whom nothing is known to be wrong")
		}
	}
}

// all returns the events so far.
func (g *gateway) all() (events []*client.Event) {
	g.set(func(g *gateway) { events = append(events, g.events...) })
	return events
}

// removalsSent counts the Commits with a Remove that a gateway has sent.
func (g *gateway) removalsSent() (n int) {
	g.set(func(g *gateway) {
		for _, req := range g.sent {
			if m := req.ProposalOrCommit.PublicMessage; m != nil && m.Content.Commit != nil {
				for _, p := range m.Content.Commit.Proposals {
					if p.Proposal != nil && p.Proposal.Type() == mls.ProposalRemove {
						n++
					}
				}
			}
		}
	})
	return n
}

// TestQuarantineEndsAfterADay: a leaf that was brought by a member is removed a day
// after it was noticed, once, by an administrator's gateway, which may have been
// restarted; others ask their administrator.
func TestQuarantineEndsAfterADay(t *testing.T) {
	c, carol := three(t)
	far := c.gateways["c.example"]
	far.set(func(g *gateway) { g.lose = everything })
	c.unmask(carol)
	c.alerted(c.a, client.ReasonQuarantine, 1)
	c.alerted(c.b, client.ReasonQuarantine, 1)
	pseudonym := c.unverified(c.alice)[0].Pseudonym
	c.delivered("b.example")
	c.clock.Advance(23 * time.Hour)
	c.restart(c.a, client.Limits{})
	c.say(c.alice, c.direct, "still here", "b.example")
	if n := c.a.removalsSent(); n != 0 {
		t.Fatalf("%d removals after 23 hours", n)
	}
	c.delivered("b.example")
	c.clock.Advance(time.Hour)
	out, _ := c.b.await("removal", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1
	})
	if out.Removed[0].Pseudonym != pseudonym || out.Actor.User != c.alice {
		t.Errorf("%+v was removed by %+v", out.Removed, out.Actor)
	}
	c.delivered("b.example")
	c.clock.Advance(25 * time.Hour)
	c.say(c.alice, c.group, "among us", "b.example")
	c.say(c.bob, c.group, "at last", "a.example")
	if n := c.a.removalsSent(); n != 1 {
		t.Errorf("%d removals, want one", n)
	}
	c.members(c.group, c.alice, c.bob)
}

// TestIntruderIsRemovedAtOnce: a leaf that came by itself, with a link that does not
// open, is removed at once; the other leaf of its user stays.
func TestIntruderIsRemovedAtOnce(t *testing.T) {
	c, carol := three(t)
	far := c.gateways["c.example"]
	leaf, _, _ := far.leafOf(carol, c.group)
	if err := far.rogue(c.group).intrude(leaf); err != nil {
		t.Fatal(err)
	}
	c.alerted(c.b, client.ReasonQuarantine, 1)
	out, _ := c.b.await("removal", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == c.group && len(e.Removed) == 1
	})
	if out.Actor.User != c.alice || !out.Removed[0].User.IsZero() {
		t.Errorf("%+v was removed by %+v", out.Removed, out.Actor)
	}
	c.say(c.bob, c.group, "that was quick", "a.example")
	c.members(c.group, c.alice, c.bob, carol)
}

// TestMembersAskTheirAdministrator: where no administrator is, people are told, once,
// whom to ask to remove a leaf that is in quarantine for a day.
func TestMembersAskTheirAdministrator(t *testing.T) {
	c, carol := three(t)
	c.gateways["c.example"].set(func(g *gateway) { g.lose = everything })
	c.a.set(func(g *gateway) { g.lose = everything }) // Alice does not learn of it
	c.unmask(carol)
	c.alerted(c.b, client.ReasonQuarantine, 1)
	c.clock.Advance(24 * time.Hour)
	alert := c.alerted(c.b, client.ReasonRemoveUnverified, 1)
	if alert.Count != 1 || alert.Actor.User != c.alice {
		t.Errorf("the alert is %+v", alert)
	}
	c.restart(c.b, client.Limits{})
	c.clock.Advance(24 * time.Hour)
	c.a.set(func(g *gateway) { g.lose = nil })
	c.say(c.bob, c.direct, "done", "a.example")
	if told := c.b.countEvents(func(e *client.Event) bool { return e.Reason == client.ReasonRemoveUnverified }); told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestBadOwnEntryIsRenewed: who was added with an entry that nobody can open shows
// with its first Commit who it is, and that lifts the quarantine at the others.
func TestBadOwnEntryIsRenewed(t *testing.T) {
	c := quietCouple(t)
	ben := c.b.person("ben", "")
	c.connect(c.alice, ben)
	if err := c.a.client.InviteBadly(t.Context(), c.alice, c.group, ben); err != nil {
		t.Fatal(err)
	}
	alert := c.alerted(c.a, client.ReasonQuarantine, 1)
	if alert.Actor.User != c.alice {
		t.Errorf("the alert names %v, want the committer", alert.Actor)
	}
	if err := c.send(c.alice, "$1"); !errors.Is(err, client.ErrQuarantine) {
		t.Errorf("sending to an unverified member: %v", err)
	}
	c.join(ben, c.group)
	named, _ := c.a.await("name", 0, func(e *client.Event) bool { return e.Kind == client.EventOpened && e.Room == c.group })
	if len(named.Added) != 1 || named.Added[0].User != ben {
		t.Errorf("named %+v", named.Added)
	}
	c.say(c.alice, c.group, "there you are", "b.example")
	c.say(ben, c.group, "here I am", "a.example")
	c.members(c.group, c.alice, c.bob, ben)
}

// TestBadOwnEntryOfTheFirst: the same, where the account is the first of its gateway in
// the room. Its own people are not warned of it, but of somebody whose provider does
// not answer; that member has a name when it writes, and the provider does.
func TestBadOwnEntryOfTheFirst(t *testing.T) {
	c := quietCouple(t, "c.example")
	far := c.gateways["c.example"]
	carol := far.person("carol", "")
	c.connect(c.alice, carol)
	far.set(func(g *gateway) { g.withheld = "b.example" })
	if err := c.a.client.InviteBadly(t.Context(), c.alice, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.alerted(c.b, client.ReasonQuarantine, 1)
	if alert := c.alerted(far, client.ReasonQuarantine, 1); alert.Count != 1 {
		t.Errorf("Carol is warned of %d members", alert.Count)
	}
	c.join(carol, c.group)
	for _, g := range []*gateway{c.a, c.b} {
		named, _ := g.await("name", 0, func(e *client.Event) bool { return e.Kind == client.EventOpened && e.Room == c.group })
		if len(named.Added) != 1 || named.Added[0].User != carol {
			t.Errorf("%s: named %+v", g.domain, named.Added)
		}
	}
	far.set(func(g *gateway) { g.withheld = "" })
	c.clock.Advance(2 * time.Minute) // it is asked once a minute
	c.say(c.bob, c.group, "there you are", "a.example", "c.example")
	c.say(carol, c.group, "here I am", "a.example", "b.example")
}

// TestContradictionIsFoundLate: two leaves of one person under two pseudonyms are
// found whenever both are opened, also if that is long after they came.
func TestContradictionIsFoundLate(t *testing.T) {
	c := newCrowd(t, 5)
	ben := c.b.person("ben", "")
	c.connect(c.alice, ben)
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, ben); err != nil {
		t.Fatal(err)
	}
	c.join(ben, c.group)
	if err := c.a.client.InviteAgain(t.Context(), c.alice, c.group, ben); err != nil {
		t.Fatal(err)
	}
	c.alerted(c.a, client.ReasonQuarantine, 1)
	c.opened() // at Ben's own gateway
	// Whoever comes later sees both at once, or one after the other.
	w := c.world
	far := w.more("c.example")
	w.restart(far, client.Limits{LinkBatch: 1})
	carol := far.person("carol", "")
	w.connect(c.alice, carol)
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, carol); err != nil {
		t.Fatal(err)
	}
	w.join(carol, c.group)
	c.until("end of opening", func() bool {
		info, err := far.client.Room(t.Context(), c.group)
		return err == nil && info.Closed == 0
	})
	if members := c.unverified(carol); len(members) != 1 || members[0].Pseudonym.Domain != "b.example" {
		t.Errorf("unverified are %+v", members)
	}
	alert := c.alerted(far, client.ReasonQuarantine, 1)
	if alert.Count != 1 {
		t.Errorf("the alert is %+v", alert)
	}
}
