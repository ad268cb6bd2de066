package client_test

import (
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// The tests of this file are those of the rows of docs/mmr-profile.md, section 8,
// that need more than the rules of a room: links that open, people who are connected,
// and what a joiner is shown.

// joinersLies lets the hub show a joiner of a connection room something else than
// there is, once for each lie. The joiner does not enter, and can when it is told the
// truth.
func joinersLies(t *testing.T, want map[string]error, lies map[string]func(*protocol.GroupInfoRatchetTreeTBE)) {
	t.Helper()
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, "a.example", "b.example")
			a, b := w.gateways["a.example"], w.gateways["b.example"]
			alice, bob := a.person("alice", ""), b.person("bob", "")
			if _, err := a.client.Connect(t.Context(), alice, bob); err != nil {
				t.Fatal(err)
			}
			asked, _ := b.await("asked", 0, func(e *client.Event) bool { return e.Kind == client.EventAsked })
			b.set(func(g *gateway) { g.lie, g.sent = lie, nil })
			if _, err := b.client.Accept(t.Context(), bob, asked.Request); !errors.Is(err, want[name]) {
				t.Errorf("the joiner says %v, want %v", err, want[name])
			}
			b.set(func(g *gateway) {
				if len(g.sent) > 0 {
					t.Error("the joiner has sent a Commit")
				}
				g.lie = nil
			})
			if _, err := b.client.Accept(t.Context(), bob, asked.Request); err != nil {
				t.Errorf("with the true GroupInfo: %v", err)
			}
		})
	}
}

// withState changes the identity_link_state of a GroupInfo.
func withState(t *testing.T, change func(*identity.IdentityLinkState)) func(*protocol.GroupInfoRatchetTreeTBE) {
	return func(info *protocol.GroupInfoRatchetTreeTBE) {
		state, err := identity.LinkStateFrom(info.GroupInfo.Extensions)
		if err != nil {
			t.Error(err)
			return
		}
		change(state)
		components, err := state.PublicComponents()
		if err != nil {
			t.Error(err)
			return
		}
		extension, err := components.Extension()
		if err != nil {
			t.Error(err)
		}
		for i := range info.GroupInfo.Extensions {
			if info.GroupInfo.Extensions[i].Type == extension.Type {
				info.GroupInfo.Extensions[i] = extension
			}
		}
	}
}

// TestRowGroupInfoJoiner: a joiner takes no wrapper keys from a public GroupInfo, and
// no other table than the one that was signed for.
func TestRowGroupInfoJoiner(t *testing.T) {
	joinersLies(t, map[string]error{
		"wrapper keys in public": identity.ErrLeakedKeys, "another table": identity.ErrLinkState,
		"an old table": identity.ErrLinkState, "no state": identity.ErrLinkState,
	}, map[string]func(*protocol.GroupInfoRatchetTreeTBE){
		"wrapper keys in public": func(info *protocol.GroupInfoRatchetTreeTBE) {
			info.GroupInfo.Extensions, _ = info.GroupInfo.Extensions.WithComponents(mls.ComponentData{ID: identity.ComponentWrapperKeys, Data: []byte("keys")})
		},
		"another table": func(info *protocol.GroupInfoRatchetTreeTBE) { info.Table.Entries[0].Key.Nonce[0] ^= 1 },
		"an old table":  func(info *protocol.GroupInfoRatchetTreeTBE) { info.Table.Epoch++ },
		"no state": func(info *protocol.GroupInfoRatchetTreeTBE) {
			var extensions mls.Extensions
			for _, e := range info.GroupInfo.Extensions {
				if e.Type != mls.ExtensionAppDataDictionary {
					extensions = append(extensions, e)
				}
			}
			info.GroupInfo.Extensions = extensions
		},
	})
}

// TestRowKeyCommitmentJoiner: a joiner uses no other wrapper key than the one that
// the committer has committed to, under its generation.
func TestRowKeyCommitmentJoiner(t *testing.T) {
	joinersLies(t, map[string]error{"another key": identity.ErrLinkState, "another generation": identity.ErrLinkState}, map[string]func(*protocol.GroupInfoRatchetTreeTBE){
		"another key":        withState(t, func(s *identity.IdentityLinkState) { s.NewestKeyCommitment[0] ^= 1 }),
		"another generation": withState(t, func(s *identity.IdentityLinkState) { s.NewestGeneration++ }),
	})
}

// TestRowOpensMembers: a link that does not open is no reason to leave the group.
// Members apply the Commit, name its committer in an alert, show the leaf without a
// name, and send nothing more.
func TestRowOpensMembers(t *testing.T) {
	c := quietCouple(t)
	leaf, _, _ := c.b.leafOf(c.bob, c.group)
	if err := c.b.rogue(c.group).renew(leaf); err != nil {
		t.Fatalf("the hub cannot know: %v", err)
	}
	alert, _ := c.a.await("alert", 0, func(e *client.Event) bool {
		return e.Kind == client.EventAlert && e.Room == c.group && e.Reason == client.ReasonQuarantine
	})
	if alert.Actor.User != c.bob {
		t.Errorf("the alert names %q, want the committer", alert.Actor.User)
	}
	info := must[*client.RoomInfo](t)(c.a.client.Room(t.Context(), c.group))
	unknown := 0
	for _, m := range info.Members {
		if m.User.IsZero() {
			unknown++
		}
	}
	if len(info.Members) != 2 || unknown != 1 {
		t.Errorf("of %d members %d are unknown, want one of two", len(info.Members), unknown)
	}
	if _, err := c.a.client.Send(t.Context(), c.alice, c.group, "$secret", content.Text(content.PlainPart("for Bob"))); !errors.Is(err, client.ErrQuarantine) {
		t.Errorf("sending to an unknown member: %v", err)
	}
}

// TestRowOpensJoiner: whoever is added opens all links, and shows those without a
// name that do not open: here for want of the true identity CA.
func TestRowOpensJoiner(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol, far := c.carol(), c.gateways["c.example"]
	far.set(func(g *gateway) {
		g.cas = map[string]*identity.Authority{"a.example": identitytest.NewProvider(t, lookup(t), "a.example").Authority}
	})
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	names := map[mimi.URI]bool{}
	for _, m := range must[*client.RoomInfo](t)(far.client.Room(t.Context(), c.group)).Members {
		names[m.User] = true
	}
	if len(names) != 3 || !names[c.bob] || !names[carol] || !names[mimi.URI{}] {
		t.Errorf("Carol sees %v, want Bob, herself, and somebody unknown", names)
	}
	if _, err := far.client.Send(t.Context(), carol, c.group, "$secret", content.Text(content.PlainPart("who is it"))); !errors.Is(err, client.ErrQuarantine) {
		t.Errorf("sending to an unknown member: %v", err)
	}
}

// TestRowConnectedAdder: nobody is added without being connected with the adder, and
// the hub learns nothing of the attempt.
func TestRowConnectedAdder(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol := c.carol() // Bob's contact
	c.a.set(func(g *gateway) { g.sent, g.fetchings = nil, 0 })
	if err := c.a.client.Invite(t.Context(), c.alice, c.group, carol); !errors.Is(err, client.ErrNotConnected) {
		t.Errorf("Alice adds somebody whom she does not know: %v", err)
	}
	c.a.set(func(g *gateway) {
		if len(g.sent) > 0 || g.fetchings > 0 {
			t.Errorf("the hub got %d updates and %d requests for key material", len(g.sent), g.fetchings)
		}
	})
}

// TestRowConnectedJoiner: who is added by somebody that is no contact (any more)
// leaves at once, and the person is told nothing.
func TestRowConnectedJoiner(t *testing.T) {
	c := quietCouple(t)
	room, _, err := c.a.client.CreateRoom(t.Context(), c.alice, client.RoomOptions{Name: "A trap"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.a.set(func(g *gateway) {
		g.fetched = func() {
			if err := c.b.client.Leave(t.Context(), c.bob, c.direct); err != nil { // ends the connection
				t.Error(err)
			}
			c.b.await("gone", 0, func(e *client.Event) bool { return e.Kind == client.EventGone && e.Room == c.direct })
		}
	})
	if err := c.a.client.Invite(t.Context(), c.alice, room, c.bob); err != nil {
		t.Fatal(err)
	}
	c.a.await("Bob leaves", 0, func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) == 1 && e.Removed[0].User == c.bob
	})
	c.b.set(func(g *gateway) {
		for _, e := range g.events {
			if e.Room == room && e.Kind != client.EventGone {
				t.Errorf("Bob is told of %s in the room", e.Kind)
			}
		}
	})
}
