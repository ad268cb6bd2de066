package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// lost waits until a gateway says that it has lost the group, and whether it asks
// contacts there.
func (c *couple) lost(g *gateway) {
	c.t.Helper()
	e, _ := g.await("lost", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonLost
	})
	if asks := e.Count > 0; asks != (g.limits.Helpers >= 0) {
		c.t.Errorf("%s: it is said that %d contacts are asked", g.domain, e.Count)
	}
}

// shut makes Bob's gateway lose the group for good: the removal of somebody else, and
// with it the wrapper key, does not come.
func (c *couple) shut(gone mimi.URI) {
	c.t.Helper()
	c.b.set(func(g *gateway) { g.lose = nextCommit() })
	if err := c.a.client.Kick(c.t.Context(), c.alice, c.group, gone); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.a.client.Send(c.t.Context(), c.alice, c.group, "$gap", content.Text(content.PlainPart("into the gap"))); err != nil {
		c.t.Fatal(err)
	}
	c.lost(c.b)
}

// alone starts gateways again that ask nobody for help.
func (w *world) alone(gateways ...*gateway) {
	w.t.Helper()
	for _, g := range gateways {
		g.stop()
		g.limits.Helpers = -1
		g.start()
	}
}

// link makes a link to the group.
func (c *couple) link(account mimi.URI) *client.Link {
	c.t.Helper()
	link, err := c.gateways[account.Domain].client.MakeLink(c.t.Context(), account, c.group, client.LinkOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return link
}

// third lets Carol at a third provider be in the group.
func (c *couple) third() mimi.URI {
	c.t.Helper()
	carol := c.carol()
	if err := c.b.client.Invite(c.t.Context(), c.bob, c.group, carol); err != nil {
		c.t.Fatal(err)
	}
	c.join(carol, c.group)
	c.say(carol, c.group, "hello", "a.example", "b.example")
	return carol
}

// TestLostMemberComesBackByLink: with the keys of a link all accounts of the gateway
// are back, as who they were, and the link is not needed by the second.
func TestLostMemberComesBackByLink(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol, ben := c.third(), c.guest("ben")
	_, user, pseudonym := c.a.leafOf(c.bob, c.group)
	c.alone(c.b)
	defer c.driveClock()()
	c.shut(carol)
	if err := c.b.client.Rename(t.Context(), c.bob, c.group, "Lost plans"); !errors.Is(err, client.ErrLost) {
		t.Errorf("renaming a room that is lost: %v, want ErrLost", err)
	}
	if err := c.enter(c.bob, c.link(c.alice), client.JoinOptions{}); err != nil {
		t.Fatalf("back by a link: %v", err)
	}
	c.b.await("resync", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonResync
	})
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(ben, c.group, "and I", "a.example")
	c.say(c.alice, c.group, "welcome back", "b.example")
	if _, again, fresh := c.a.leafOf(c.bob, c.group); again != user || fresh == pseudonym {
		t.Errorf("Bob was %s, %s and is %s, %s", user, pseudonym, again, fresh)
	}
	c.members(c.group, c.alice, c.bob, ben)
	if err := c.enter(c.bob, c.link(c.alice), client.JoinOptions{}); !errors.Is(err, client.ErrAlreadyMember) {
		t.Errorf("once more by a link: %v, want ErrAlreadyMember", err)
	}
	told := 0
	c.b.set(func(g *gateway) {
		for _, e := range g.events {
			if e.Kind == client.EventAlert && e.Reason == client.ReasonLost {
				told++
			}
		}
	})
	if told != 1 {
		t.Errorf("people were told %d times that the room is lost, want once", told)
	}
}

// TestLostMemberWithABadLink: a link that is dead, or is not one of this room, does
// not help, and the person is told which it is. The room stays as it was.
func TestLostMemberWithABadLink(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	early := c.link(c.alice) // dies with the removal
	other, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "Other"}, []mimi.URI{c.bob})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := c.a.client.MakeLink(t.Context(), c.alice, other, client.LinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.alone(c.b)
	defer c.driveClock()()
	c.shut(carol)
	good := c.link(c.alice)
	code, _, _ := strings.Cut(good.Text(), "&")
	_, key, _ := strings.Cut(foreign.Text(), "&")
	for what, test := range map[string]struct {
		text string
		want error
	}{
		"dead":            {early.Text(), client.ErrLinkDead},
		"of another room": {strings.Replace(foreign.Text(), other.ID, c.group.ID, 1), client.ErrLinkDead},
		"with its key":    {code + "&" + key, client.ErrLinkForm},
	} {
		if _, err := c.b.client.JoinLink(t.Context(), c.bob, test.text, client.JoinOptions{}); !errors.Is(err, test.want) {
			t.Errorf("a link that is %s: %v, want %v", what, err, test.want)
		}
	}
	if err := c.enter(c.bob, good, client.JoinOptions{}); err != nil {
		t.Fatalf("back by a link: %v", err)
	}
	c.say(c.bob, c.group, "back again", "a.example")
}

// TestLostMemberWasRemoved: whose leaf is gone as well enters as anybody does.
func TestLostMemberWasRemoved(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	c.alone(c.b)
	defer c.driveClock()()
	c.shut(carol)
	c.b.set(func(g *gateway) { g.lose = everything })
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, c.bob); err != nil {
		t.Fatal(err)
	}
	c.until("removal", func() bool { return c.a.public(c.group).Size() == 1 })
	c.b.set(func(g *gateway) { g.lose = nil })
	if err := c.enter(c.bob, c.link(c.alice), client.JoinOptions{}); err != nil {
		t.Fatalf("entering by a link: %v", err)
	}
	c.b.await("gone", 0, func(e *client.Event) bool {
		return e.Kind == client.EventGone && e.Account == c.bob && e.Room == c.group
	})
	c.b.await("joined", 0, func(e *client.Event) bool {
		return e.Kind == client.EventJoined && e.Account == c.bob && e.Room == c.group
	})
	c.say(c.bob, c.group, "here again", "a.example")
	c.members(c.group, c.alice, c.bob)
}

// TestLostMemberSurvivesARestart: the hub's answer to the return is lost, and the
// gateway stops. The account is back all the same.
func TestLostMemberSurvivesARestart(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	c.alone(c.b)
	defer c.driveClock()()
	c.shut(carol)
	c.b.stop()
	c.b.start()
	c.b.set(func(g *gateway) { g.mute = isJoin })
	if err := c.enter(c.bob, c.link(c.alice), client.JoinOptions{}); !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("coming back without an answer: %v", err)
	}
	c.b.stop()
	c.b.set(func(g *gateway) { g.mute = nil })
	c.b.start()
	c.b.await("resync", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonResync
	})
	c.say(c.bob, c.group, "back after all", "a.example")
}

// TestLostMemberLosesARace: another rotation was first, so the link is dead; the next
// one helps.
func TestLostMemberLosesARace(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol, anna := c.third(), c.a.person("anna", "")
	if err := c.enter(anna, c.link(c.alice), client.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	c.say(anna, c.group, "hello", "b.example")
	c.alone(c.b)
	defer c.driveClock()()
	c.shut(carol)
	link, raced := c.link(c.alice), false
	c.b.set(func(g *gateway) {
		g.sending = func(req *protocol.UpdateRequest) {
			if !raced && isJoin(req) {
				raced = true
				if err := c.a.client.Kick(t.Context(), c.alice, c.group, anna); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if err := c.enter(c.bob, link, client.JoinOptions{}); !errors.Is(err, client.ErrLinkDead) {
		t.Fatalf("a link that died on the way: %v, want ErrLinkDead", err)
	}
	if err := c.enter(c.bob, c.link(c.alice), client.JoinOptions{}); err != nil {
		t.Fatalf("back by another link: %v", err)
	}
	c.say(c.bob, c.group, "back again", "a.example")
	c.members(c.group, c.alice, c.bob)
}

// TestCornerPoisonedCommitWithoutTheAdministrator: after a poisoned external Commit
// somebody else than the administrator is the first one back, and helps the others
// with links. Who poisoned the room is removed then.
func TestCornerPoisonedCommitWithoutTheAdministrator(t *testing.T) {
	c := quietCouple(t, "c.example", "d.example")
	carol, far := c.third(), c.gateways["d.example"]
	dave := far.person("dave", "")
	if err := c.enter(dave, c.link(c.alice), client.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	c.say(dave, c.group, "hello all", "a.example", "b.example", "c.example")
	c.alone(c.a, c.gateways["c.example"])
	leaf, _, _ := far.leafOf(dave, c.group)
	poisoner := far.rogue(c.group)
	far.set(func(g *gateway) { g.lose = everything })
	var atA, atC [][]byte
	c.a.set(func(g *gateway) { g.lose = keep(&atA) })
	c.gateways["c.example"].set(func(g *gateway) { g.lose = keep(&atC) })
	if err := poisoner.poison(leaf); err != nil {
		t.Fatalf("the hub refuses what it cannot know: %v", err)
	}
	defer c.driveClock()()
	c.resynced(c.b)
	c.until("delivery", func() bool { return c.a.holds(&atA, 2) && c.gateways["c.example"].holds(&atC, 2) })
	for _, next := range []struct {
		account mimi.URI
		kept    *[][]byte
	}{{carol, &atC}, {c.alice, &atA}} {
		g := c.gateways[next.account.Domain]
		g.hears("a.example", c.group, next.kept)
		c.lost(g)
		if err := c.enter(next.account, c.link(c.bob), client.JoinOptions{}); err != nil {
			t.Fatalf("%s comes back: %v", next.account, err)
		}
		// It rotated the wrapper key, and the next link has to have the new one.
		c.until("the new key at Bob's gateway", func() bool { return c.b.public(c.group).Newest() == g.public(c.group).Newest() })
	}
	// The administrator is back, and the leaf that came with the poison goes.
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, dave); err != nil {
		t.Fatal(err)
	}
	c.until("a room without the poison", func() bool {
		return c.a.public(c.group).Size() == 3 && c.b.public(c.group).Size() == 3 && c.gateways["c.example"].public(c.group).Size() == 3
	})
	c.say(c.alice, c.group, "we are among ourselves", "b.example", "c.example")
	c.say(c.bob, c.group, "good", "a.example", "c.example")
	c.say(carol, c.group, "very good", "a.example", "b.example")
	c.members(c.group, c.alice, c.bob, carol)
}

// backFrom waits until a gateway has joined a room anew.
func (g *gateway) backFrom(room mimi.URI) {
	g.w.t.Helper()
	g.await("resync", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == room && e.Reason == client.ReasonResync
	})
}

// TestContactsHelpLostMembers: who has lost a room asks its contacts there, and is back
// without anybody doing anything. Nobody sees messages or links of that.
func TestContactsHelpLostMembers(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	defer c.driveClock()()
	c.shut(carol)
	c.b.backFrom(c.group)
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(c.alice, c.group, "welcome back", "b.example")
	c.members(c.group, c.alice, c.bob)
	if links, err := c.a.client.Links(t.Context(), c.alice, c.group); err != nil || len(links) > 0 {
		t.Errorf("Alice has %v, %v", links, err)
	}
	for _, g := range []*gateway{c.a, c.b} {
		g.set(func(g *gateway) {
			for _, e := range g.events {
				if e.Room == c.direct && e.Kind == client.EventMessage || e.Reason == client.ReasonLinkDied {
					t.Errorf("%s: people are told of %s %s", g.domain, e.Kind, e.Reason)
				}
			}
		})
	}
}

// TestHelpAfterARestart: a request for help without an answer is repeated, also by a
// gateway that was stopped.
func TestHelpAfterARestart(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	defer c.driveClock()()
	c.a.set(func(g *gateway) { g.lose = everything })
	c.shut(carol)
	c.b.stop()
	c.a.set(func(g *gateway) { g.lose = nil })
	c.b.start()
	c.b.backFrom(c.group)
	c.say(c.bob, c.group, "back again", "a.example")
}

// TestContactsHelpAfterAPoisonedCommit: with several lost gateways each return ends the
// links of the others, who ask again. The administrator is not the first one back.
func TestContactsHelpAfterAPoisonedCommit(t *testing.T) {
	c := quietCouple(t, "c.example", "d.example")
	carol, far := c.third(), c.gateways["d.example"]
	dave := far.person("dave", "")
	if err := c.enter(dave, c.link(c.alice), client.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	c.say(dave, c.group, "hello all", "a.example", "b.example", "c.example")
	leaf, _, _ := far.leafOf(dave, c.group)
	poisoner := far.rogue(c.group)
	far.set(func(g *gateway) { g.lose = everything })
	var atA, atC [][]byte
	third := c.gateways["c.example"]
	c.a.set(func(g *gateway) { g.lose = keep(&atA) })
	third.set(func(g *gateway) { g.lose = keep(&atC) })
	if err := poisoner.poison(leaf); err != nil {
		t.Fatalf("the hub refuses what it cannot know: %v", err)
	}
	defer c.driveClock()()
	c.resynced(c.b)
	c.until("delivery", func() bool { return c.a.holds(&atA, 2) && third.holds(&atC, 2) })
	third.hears("a.example", c.group, &atC)
	c.a.hears("a.example", c.group, &atA)
	third.backFrom(c.group)
	c.a.backFrom(c.group)
	if err := c.a.client.Kick(t.Context(), c.alice, c.group, dave); err != nil {
		t.Fatal(err)
	}
	c.until("a room without the poison", func() bool {
		return c.a.public(c.group).Size() == 3 && c.b.public(c.group).Size() == 3 && third.public(c.group).Size() == 3
	})
	c.say(c.alice, c.group, "we are among ourselves", "b.example", "c.example")
	c.say(carol, c.group, "very good", "a.example", "b.example")
	c.members(c.group, c.alice, c.bob, carol)
}

// ask lets a contact say that it has lost a room.
func (c *couple) ask(from, direct, lost mimi.URI, source string) {
	c.t.Helper()
	message, err := content.LostMessage(lost)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.gateways[from.Domain].client.Send(c.t.Context(), from, direct, source, message); err != nil {
		c.t.Fatal(err)
	}
}

// TestHelpNeedsNoRight: who may not let anybody in gets and gives the keys of a lost room
// all the same: they let nobody in.
func TestHelpNeedsNoRight(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	if err := c.a.client.ProposeNoAdding(t.Context(), c.alice, c.group); err != nil {
		t.Fatal(err)
	}
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Among ourselves"); err != nil {
		t.Fatal(err)
	}
	for account, g := range map[mimi.URI]*gateway{c.alice: c.a, c.bob: c.b} {
		c.until("other rules", func() bool {
			_, err := g.client.MakeLink(t.Context(), account, c.group, client.LinkOptions{})
			return errors.Is(err, client.ErrDenied)
		})
	}
	defer c.driveClock()()
	c.shut(carol)
	c.b.backFrom(c.group)
	c.say(c.bob, c.group, "back again", "a.example")
	c.say(c.alice, c.group, "welcome back", "b.example")
	c.members(c.group, c.alice, c.bob)
}

// TestHelpIsForMembers: an answer is given to contacts who are in the room, once in a while, and to nobody who asks in another room.
func TestHelpIsForMembers(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.gateways["c.example"].person("carol", "")
	outside := c.connect(c.alice, carol)
	// Answers are named after the minute: in each there is one for each of them at most.
	first := c.clock.Now().UnixNano() / int64(time.Minute)
	answers := func(room mimi.URI) (n int) {
		for minute := first; minute <= c.clock.Now().UnixNano()/int64(time.Minute); minute++ {
			if _, err := c.a.stores.Client.Outgoing(t.Context(), room, fmt.Sprintf("link/%s/%d", c.group.ID, minute)); err == nil {
				n++
			}
		}
		return n
	}
	var codes int
	c.a.set(func(g *gateway) { codes = g.codes })
	c.ask(carol, outside, c.group, "$outside")
	c.ask(c.bob, c.group, c.group, "$in the room")
	c.ask(c.bob, c.direct, c.direct, "$direct")
	c.say(carol, outside, "and", "a.example")
	c.say(c.bob, c.group, "and", "a.example")
	c.ask(c.bob, c.direct, c.group, "$1st")
	c.until("an answer", func() bool { return answers(c.direct) > 0 })
	c.say(c.alice, c.direct, "that was the link", "b.example")
	for _, source := range []string{"$2nd", "$3rd"} {
		c.ask(c.bob, c.direct, c.group, source)
		c.say(c.bob, c.direct, "and another", "a.example")
		c.say(c.alice, c.direct, "no", "b.example")
	}
	if direct, others := answers(c.direct), answers(outside)+answers(c.group); direct != 1 || others != 0 {
		t.Errorf("%d answers, and %d to strangers, want one", direct, others)
	}
	c.a.set(func(g *gateway) {
		if g.codes != codes {
			t.Errorf("hubs were told of %d codes", g.codes-codes)
		}
	})
	c.clock.Advance(time.Minute)
	c.ask(c.bob, c.direct, c.group, "$later")
	c.until("an answer a minute later", func() bool { return answers(c.direct) > 1 })
}

// TestLinksOfThoseWhoWereNotAskedDoNothing: a link that a contact sends by itself is not
// used, and not shown.
func TestLinksOfThoseWhoWereNotAskedDoNothing(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.third()
	c.alone(c.b)
	defer c.driveClock()()
	c.shut(carol)
	message, err := c.a.client.HelpMessage(t.Context(), c.group)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.a.client.Send(t.Context(), c.alice, c.direct, "$unasked", message); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.say(c.alice, c.direct, "did you get it", "b.example")
		c.say(c.bob, c.direct, "what", "a.example")
	}
	if err := c.b.client.Rename(t.Context(), c.bob, c.group, "Back"); !errors.Is(err, client.ErrLost) {
		t.Errorf("with a link that nobody asked for, renaming: %v, want ErrLost", err)
	}
}
