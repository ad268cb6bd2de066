package client_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// linked is a couple's group, a third gateway with Carol, whom nobody knows, and a link
// that Alice has made.
type linked struct {
	*couple
	c     *gateway
	carol mimi.URI
	link  *client.Link
}

func newLinked(t *testing.T, opts client.LinkOptions) *linked {
	l := &linked{couple: quietCouple(t, "c.example")}
	l.c = l.gateways["c.example"]
	l.carol = l.c.person("carol", "")
	l.link = l.make(opts)
	return l
}

// make makes a link to the group for Alice.
func (l *linked) make(opts client.LinkOptions) *client.Link {
	l.t.Helper()
	link, err := l.a.client.MakeLink(l.t.Context(), l.alice, l.group, opts)
	if err != nil {
		l.t.Fatal(err)
	}
	return link
}

// enter lets somebody enter with the link.
func (w *world) enter(account mimi.URI, link *client.Link, opts client.JoinOptions) error {
	room, err := w.gateways[account.Domain].client.JoinLink(w.t.Context(), account, link.Text(), opts)
	if err == nil && room != link.Room {
		err = fmt.Errorf("entered %s, want %s", room, link.Room)
	}
	return err
}

// enters is enter, and checks that the others learn of it, with the name.
func (l *linked) enters(account mimi.URI, link *client.Link) {
	l.t.Helper()
	if err := l.enter(account, link, client.JoinOptions{}); err != nil {
		l.t.Fatalf("%s enters by link: %v", account, err)
	}
	l.gateways[account.Domain].await("joined", 0, func(e *client.Event) bool {
		return e.Kind == client.EventJoined && e.Account == account && e.Room == l.group && e.Name == "Plans"
	})
	for _, g := range []*gateway{l.a, l.b} {
		if g.domain == account.Domain {
			continue
		}
		g.await("a newcomer", 0, func(e *client.Event) bool {
			return e.Kind == client.EventMembers && e.Room == l.group && len(e.Added) == 1 && e.Added[0].User == account && e.Actor.User == account
		})
	}
}

// refused checks that a link lets somebody in no more, and that they are in no room
// because of it.
func (l *linked) refused(account mimi.URI, link *client.Link, want error) {
	l.t.Helper()
	if err := l.enter(account, link, client.JoinOptions{}); !errors.Is(err, want) {
		l.t.Errorf("%s enters: %v, want %v", account, err, want)
	}
	if leaves, err := l.gateways[account.Domain].client.RoomsOf(l.t.Context(), account); err != nil || len(leaves) > 0 {
		l.t.Errorf("%s is in %d rooms, %v", account, len(leaves), err)
	}
}

func TestJoinLink(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.enters(l.carol, l.link)
	l.say(l.carol, l.group, "I have a link", "a.example", "b.example")
	l.say(l.bob, l.group, "welcome", "a.example", "c.example")
	info, err := l.c.client.Room(t.Context(), l.group)
	if err != nil || info.Name != "Plans" || len(info.Members) != 3 {
		t.Fatalf("Carol sees %+v, %v", info, err)
	}
	for _, m := range info.Members {
		if m.User.IsZero() {
			t.Errorf("Carol does not know who %s is", m.Pseudonym)
		}
	}
	if err := l.enter(l.carol, l.link, client.JoinOptions{}); !errors.Is(err, client.ErrAlreadyMember) {
		t.Errorf("entering twice: %v", err)
	}
}

// TestJoinLinkOfColleagues: a link of this gateway's own hub, for somebody whose
// colleague is in the room.
func TestJoinLinkOfColleagues(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 3})
	anna, ben := l.a.person("anna", ""), l.b.person("ben", "")
	l.enters(anna, l.link)
	l.enters(ben, l.link)
	l.say(anna, l.group, "at the hub", "b.example")
	l.say(ben, l.group, "elsewhere", "a.example")
	for _, g := range []*gateway{l.a, l.b} {
		if info, err := g.client.Room(t.Context(), l.group); err != nil || len(info.Members) != 4 {
			t.Errorf("%s sees %+v, %v", g.domain, info, err)
		}
	}
	// Who goes takes the others of their gateway nowhere.
	if err := l.b.client.Leave(t.Context(), ben, l.group); err != nil {
		t.Fatal(err)
	}
	l.gone(ben, l.group, ben)
	l.say(l.bob, l.group, "still here", "a.example")
}

func TestJoinLinkSingleUse(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.enters(l.carol, l.link)
	l.refused(l.c.person("chris", ""), l.link, client.ErrLinkDead)
}

func TestJoinLinkManyUses(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 3})
	for _, name := range []string{"carol", "chris", "cora"} {
		l.enters(l.c.person(name, ""), l.link)
	}
	l.refused(l.c.person("clara", ""), l.link, client.ErrLinkDead)
}

func TestJoinLinkExpires(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Lifetime: time.Hour})
	if want := l.clock.Now().Add(time.Hour); !l.link.NotAfter.Equal(want) {
		t.Errorf("it is valid until %v, want %v", l.link.NotAfter, want)
	}
	l.clock.Advance(time.Hour + time.Second)
	l.refused(l.carol, l.link, client.ErrLinkDead)
	if links, err := l.a.client.Links(t.Context(), l.alice, l.group); err != nil || len(links) > 0 {
		t.Errorf("Alice still has %v, %v", links, err)
	}
}

// TestJoinLinkDiesAtRotation: nobody enters with a link from before a removal, and who
// made it is told.
func TestJoinLinkDiesAtRotation(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 9})
	l.enters(l.carol, l.link)
	if err := l.a.client.Kick(t.Context(), l.alice, l.group, l.carol); err != nil {
		t.Fatal(err)
	}
	l.a.await("the link's death", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Reason == client.ReasonLinkDied && e.Account == l.alice && e.Room == l.group && e.Name == "Plans"
	})
	l.refused(l.c.person("chris", ""), l.link, client.ErrLinkDead)
	if links, err := l.a.client.Links(t.Context(), l.alice, l.group); err != nil || len(links) > 0 {
		t.Errorf("Alice still has %v, %v", links, err)
	}
	l.enters(l.c.person("cora", ""), l.make(client.LinkOptions{}))
}

// TestJoinLinkOfAnOldGeneration: a link that was registered while a removal was on its
// way has keys that do not fit the room any more.
func TestJoinLinkOfAnOldGeneration(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 9})
	l.enters(l.carol, l.link)
	var kept [][]byte
	arrived := make(chan struct{}, 9)
	l.b.set(func(g *gateway) {
		g.lose = func(body []byte) bool { arrived <- struct{}{}; return keep(&kept)(body) }
	})
	if err := l.a.client.Kick(t.Context(), l.alice, l.group, l.carol); err != nil {
		t.Fatal(err)
	}
	old, err := l.b.client.MakeLink(t.Context(), l.bob, l.group, client.LinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.refused(l.c.person("chris", ""), old, client.ErrLinkDead)
	await(t, "removal", arrived)
	l.b.hears("a.example", l.group, &kept)
	l.b.await("the link's death", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Reason == client.ReasonLinkDied && e.Account == l.bob
	})
}

// TestJoinLinkWhileARemovalIsPending: nobody enters then, and the joiner is told why
// waiting is of no use.
func TestJoinLinkWhileARemovalIsPending(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 9})
	lose, lost := next(mls.ContentProposal)
	l.a.set(func(g *gateway) { g.lose = lose })
	if err := l.b.client.Leave(t.Context(), l.bob, l.group); err != nil {
		t.Fatal(err)
	}
	await(t, "proposal to lose", lost)
	l.refused(l.carol, l.link, client.ErrLinkRemoval)
}

// TestJoinLinkLosesARace: the joiner comes back with the same credential, since the
// hub would count another one as another joiner, and with another nonce.
func TestJoinLinkLosesARace(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	var once sync.Once
	l.c.set(func(g *gateway) {
		g.informed = func() {
			once.Do(func() {
				if err := l.a.client.Rename(t.Context(), l.alice, l.group, "Plans"); err != nil {
					t.Error(err)
				}
				if err := l.a.client.SetTopic(t.Context(), l.alice, l.group, "first"); err != nil {
					t.Error(err)
				}
			})
		}
	})
	l.enters(l.carol, l.link)
	info, err := l.c.client.Room(t.Context(), l.group)
	if err != nil || info.Topic != "first" {
		t.Errorf("Carol sees %+v, %v", info, err)
	}
	l.say(l.carol, l.group, "second", "a.example", "b.example")
}

// isJoin reports whether an update is an external Commit.
func isJoin(req *protocol.UpdateRequest) bool {
	return req.ProposalOrCommit.PublicMessage.Content.Sender.Type == mls.SenderNewMemberCommit
}

// TestJoinLinkSurvivesARestart: the hub's answer is lost, and the gateway stops. The
// account is in the room all the same.
func TestJoinLinkSurvivesARestart(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.c.set(func(g *gateway) { g.mute = isJoin })
	if err := l.enter(l.carol, l.link, client.JoinOptions{}); !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("entering without an answer: %v", err)
	}
	l.c.stop()
	l.c.set(func(g *gateway) { g.mute = nil })
	l.c.start()
	l.c.await("joined", 0, func(e *client.Event) bool { return e.Kind == client.EventJoined && e.Account == l.carol })
	// Who has heard of it while her gateway was stopped asks for its identity CA again.
	l.advanceUntil("they know Carol", func() bool { return l.sees(l.alice, l.group, l.carol) && l.sees(l.bob, l.group, l.carol) })
	l.say(l.carol, l.group, "here after all", "a.example", "b.example")
}

// TestJoinLinkIsRepeated: whoever is not sure whether it worked says it again.
func TestJoinLinkIsRepeated(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.c.set(func(g *gateway) { g.mute = isJoin })
	if err := l.enter(l.carol, l.link, client.JoinOptions{}); !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("entering without an answer: %v", err)
	}
	l.c.set(func(g *gateway) { g.mute = nil })
	if err := l.enter(l.carol, l.link, client.JoinOptions{}); err != nil {
		t.Errorf("entering again: %v", err)
	}
}

// TestJoinLinkRefusedAfterARestart: the account is told that it is not in the room.
func TestJoinLinkRefusedAfterARestart(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.a.set(func(g *gateway) { g.down = true })
	_ = l.enter(l.carol, l.link, client.JoinOptions{})
	l.a.set(func(g *gateway) { g.down = false })
	l.c.set(func(g *gateway) {
		g.informed = func() { l.a.set(func(a *gateway) { a.down = true }) }
	})
	if err := l.enter(l.carol, l.link, client.JoinOptions{}); !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("entering without a hub: %v", err)
	}
	l.c.stop()
	l.a.set(func(g *gateway) { g.down = false })
	if err := l.a.client.SetTopic(t.Context(), l.alice, l.group, "moved on"); err != nil {
		t.Fatal(err)
	}
	l.c.set(func(g *gateway) { g.informed = nil })
	l.c.start()
	l.c.await("that it did not work", 0, func(e *client.Event) bool {
		return e.Kind == client.EventRefused && e.Account == l.carol && e.Reason == client.ReasonLinkFailed
	})
	l.enters(l.carol, l.link)
}

// TestJoinLinkRevoked: a link is withdrawn at the hub, and a repeat of its
// registration does not bring it back.
func TestJoinLinkRevoked(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 9})
	other := l.make(client.LinkOptions{})
	links, err := l.a.client.Links(t.Context(), l.alice, l.group)
	if err != nil || len(links) != 2 || links[0].ID == links[1].ID || links[0].Text() == links[1].Text() {
		t.Fatalf("Alice has %v, %v", links, err)
	}
	if bobs, err := l.b.client.Links(t.Context(), l.bob, l.group); err != nil || len(bobs) > 0 {
		t.Errorf("Bob sees links of Alice: %v, %v", bobs, err)
	}
	if err := l.b.client.RevokeLink(t.Context(), l.bob, l.group, l.link.ID); !errors.Is(err, client.ErrNoLink) {
		t.Errorf("Bob revokes a link of Alice: %v", err)
	}
	if err := l.a.client.RevokeLink(t.Context(), l.alice, l.group, l.link.ID); err != nil {
		t.Fatal(err)
	}
	if err := l.a.client.RevokeLink(t.Context(), l.alice, l.group, l.link.ID); !errors.Is(err, client.ErrNoLink) {
		t.Errorf("revoked twice: %v", err)
	}
	l.refused(l.carol, l.link, client.ErrLinkDead)
	l.enters(l.carol, other)
}

// TestLinksAreKept: they are there after a restart, sealed.
func TestLinksAreKept(t *testing.T) {
	l := newLinked(t, client.LinkOptions{Uses: 7})
	l.a.stop()
	l.a.start()
	links, err := l.a.client.Links(t.Context(), l.alice, l.group)
	if err != nil || len(links) != 1 || links[0].Text() != l.link.Text() || links[0].Uses != 7 || !links[0].Made.Equal(l.link.Made) {
		t.Fatalf("Alice has %v, %v", links, err)
	}
	rows, err := l.a.stores.Client.Rows(t.Context(), l.group)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, row := range rows {
		if strings.HasPrefix(row.Key, "client/link/") {
			found = true
			if !row.Secret {
				t.Error("the row of a link is not sealed")
			}
		}
	}
	if !found {
		t.Error("no row has a link")
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		_, secret, _ := strings.Cut(l.link.Text(), "#")
		if s := fmt.Sprintf(verb, l.link); strings.Contains(s, secret[2:20]) {
			t.Errorf("%s prints the secret", verb)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	for _, opts := range []client.LinkOptions{{Uses: 1001}, {Lifetime: 91 * 24 * time.Hour}, {Lifetime: -time.Second}} {
		if _, err := l.a.client.MakeLink(t.Context(), l.alice, l.group, opts); !errors.Is(err, client.ErrLinkOptions) {
			t.Errorf("%+v: %v", opts, err)
		}
	}
	if _, err := l.a.client.MakeLink(t.Context(), l.alice, l.direct, client.LinkOptions{}); !errors.Is(err, client.ErrConnectionRoom) {
		t.Errorf("a link to a direct chat: %v", err)
	}
	if _, err := l.c.client.MakeLink(t.Context(), l.carol, l.group, client.LinkOptions{}); !errors.Is(err, client.ErrNotMember) {
		t.Errorf("a link by nobody: %v", err)
	}
	text := l.link.Text()
	other, err := identity.NewJoinLink(l.group, zeros{})
	if err != nil {
		t.Fatal(err)
	}
	code, _, _ := strings.Cut(text, "&")
	_, key, _ := strings.Cut(other.Text(), "&")
	for what, test := range map[string]struct {
		text string
		want error
	}{
		"nothing":         {"", client.ErrLinkForm},
		"an address":      {"carol@c.example", client.ErrLinkForm},
		"half a link":     {code, client.ErrLinkForm},
		"another key":     {code + "&" + key, client.ErrLinkForm},
		"another code":    {other.Text(), client.ErrLinkDead},
		"another room":    {strings.Replace(text, l.group.ID, l.direct.ID, 1), client.ErrLinkDead},
		"no such room":    {strings.Replace(text, l.group.ID, "6f1c2d3e-4b5a-4968-8776-655443322110", 1), client.ErrLinkDead},
		"no such gateway": {strings.Replace(text, "a.example", "d.example", 1), client.ErrUnreachable},
	} {
		if _, err := l.c.client.JoinLink(t.Context(), l.carol, test.text, client.JoinOptions{}); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
	if _, err := l.c.client.JoinLink(t.Context(), l.carol, text, client.JoinOptions{Pseudonymous: true}); !errors.Is(err, client.ErrNotPseudonymous) {
		t.Errorf("hidden where everybody shows who they are: %v", err)
	}
	l.enters(l.carol, l.link) // none of that has used it up
}

// zeros is randomness that is none.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestTooManyLinks(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	for range client.DefaultLimits().Links - 1 {
		l.make(client.LinkOptions{})
	}
	if _, err := l.a.client.MakeLink(t.Context(), l.alice, l.group, client.LinkOptions{}); !errors.Is(err, client.ErrTooManyLinks) {
		t.Errorf("one too many: %v", err)
	}
}
