package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// generations returns those that the table of a room names, as its hub keeps it.
func (g *gateway) generations(room mimi.URI) []identity.Generation {
	g.w.t.Helper()
	rows, _, err := g.stores.Hub.Load(g.w.t.Context(), room)
	if err != nil {
		g.w.t.Fatal(err)
	}
	table := &identity.IdentityLinkTable{}
	for _, row := range rows {
		if !strings.HasPrefix(row.Key, "mmr/link/") {
			continue
		}
		var e identity.IdentityLinkEntry
		if err := mls.Unmarshal(row.Value, &e); err != nil {
			g.w.t.Fatal(err)
		}
		table.Entries = append(table.Entries, e)
	}
	if len(table.Entries) == 0 {
		g.w.t.Fatal("the hub has no table")
	}
	return table.Generations()
}

// limited restarts gateways with limits of their own.
func limited(limits client.Limits, gateways ...*gateway) {
	for _, g := range gateways {
		g.stop()
		g.limits = limits
		g.start()
	}
}

// churn lets somebody enter the group by link and stay, and somebody else enter and be
// removed: the entries of those who stay are each of another generation.
func (l *linked) churn(i int) {
	l.t.Helper()
	stays, goes := l.c.person(fmt.Sprintf("stays%d", i), ""), l.c.person(fmt.Sprintf("goes%d", i), "")
	link := l.make(client.LinkOptions{Uses: 2})
	l.enters(stays, link)
	l.enters(goes, link)
	if err := l.a.client.Kick(l.t.Context(), l.alice, l.group, goes); err != nil {
		l.t.Fatal(err)
	}
	l.gone(goes, l.group, l.alice)
}

// TestOldestEntriesAreRenewed: a room that people come to and go from never has more
// live generations than it may, since the owners of the oldest entries renew theirs.
func TestOldestEntriesAreRenewed(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	const limit = 4
	limited(client.Limits{Generations: limit}, l.a, l.b, l.c)
	defer l.driveClock()()
	for i := range 2 * limit {
		l.churn(i)
		if live := l.a.generations(l.group); len(live) > limit {
			t.Fatalf("after %d removals %v are live", i+1, live)
		}
	}
	if live := l.a.generations(l.group); live[0] == 0 {
		t.Errorf("the first generation is still live: %v", live)
	}
	l.say(l.alice, l.group, "we all go on", "b.example", "c.example")
	l.say(l.bob, l.group, "so we do", "a.example", "c.example")
}

// TestManyGenerationsWithoutALimit is the control of the test above.
func TestManyGenerationsWithoutALimit(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	for i := range 6 {
		l.churn(i)
	}
	if live := l.a.generations(l.group); len(live) < 6 || live[0] != 0 {
		t.Errorf("without a limit %v are live", live)
	}
}

// TestLeavingWaitsForRenewals: who leaves at the limit is removed when the oldest entry
// is renewed, although its owner's commit passes over the proposal.
func TestLeavingWaitsForRenewals(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.churn(0)
	l.churn(1)
	limited(client.Limits{Generations: 2}, l.a, l.c)
	// Bob's gateway has another limit: Alice's is the one that has to ask itself.
	if err := l.b.client.Leave(t.Context(), l.bob, l.group); err != nil {
		t.Fatal(err)
	}
	defer l.driveClock()()
	l.gone(l.bob, l.group, l.bob)
	if live := l.a.generations(l.group); live[0] == 0 {
		t.Errorf("the first generation is still live: %v", live)
	}
	l.say(l.alice, l.group, "Bob is gone", "c.example")
}

// TestFirstCommitAfterARemovalReseals: whatever the first commit after a removal is
// for, it encrypts the room's metadata anew, and all of it.
func TestFirstCommitAfterARemovalReseals(t *testing.T) {
	for name, act := range map[string]func(l *linked) error{
		"invitation": func(l *linked) error {
			return l.a.client.Invite(t.Context(), l.alice, l.group, l.a.person("anna", ""))
		},
		"policy":  func(l *linked) error { return l.a.client.Loosen(t.Context(), l.alice, l.group, identity.RequireNone) },
		"role":    func(l *linked) error { return l.a.client.SetRole(t.Context(), l.alice, l.group, l.bob, true) },
		"topic":   func(l *linked) error { return l.a.client.SetTopic(t.Context(), l.alice, l.group, "After") },
		"message": func(l *linked) error { l.say(l.alice, l.group, "After", "b.example"); return errNotResealed },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLinked(t, client.LinkOptions{})
			picture := &picture
			if err := errors.Join(
				l.a.client.SetTopic(t.Context(), l.alice, l.group, "Before"),
				l.a.client.SetAvatar(t.Context(), l.alice, l.group, picture),
			); err != nil {
				t.Fatal(err)
			}
			l.enters(l.carol, l.link)
			if err := l.a.client.Kick(t.Context(), l.alice, l.group, l.carol); err != nil {
				t.Fatal(err)
			}
			l.gone(l.carol, l.group, l.alice)
			l.b.await("the removal", 0, func(e *client.Event) bool {
				return e.Kind == client.EventMembers && len(e.Removed) == 1 && e.Removed[0].User == l.carol
			})
			err := act(l)
			if err != nil && !errors.Is(err, errNotResealed) {
				t.Fatalf("the first commit after a removal: %v", err)
			}
			info, err := l.b.client.Room(t.Context(), l.group)
			if err != nil || info.Name != "Plans" || info.Avatar == nil || string(info.Avatar.Data) != string(picture.Data) {
				t.Errorf("Bob sees %+v, %v", info, err)
			}
		})
	}
}

// errNotResealed says that an act needs no commit.
var errNotResealed = errors.New("no commit")

// TestPendingProposalAfterARemovalReseals: a message that has to commit first what is
// pending, with a commit that removes nobody, encrypts the metadata anew as well.
func TestPendingProposalAfterARemovalReseals(t *testing.T) {
	l := newLinked(t, client.LinkOptions{})
	l.enters(l.carol, l.link)
	if err := l.a.client.Kick(t.Context(), l.alice, l.group, l.carol); err != nil {
		t.Fatal(err)
	}
	l.gone(l.carol, l.group, l.alice)
	if err := l.a.client.ProposeRole(t.Context(), l.alice, l.group, l.bob, rules.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	l.say(l.alice, l.group, "Bob may decide as well", "b.example")
	if err := l.b.client.Kick(t.Context(), l.bob, l.group, l.alice); err != nil {
		t.Errorf("Bob, who is an administrator now: %v", err)
	}
}
