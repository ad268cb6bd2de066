package client_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/hub"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// TestCornerHubRestart: a hub that ends between the acceptance of a Commit and a
// message and their delivery delivers both when it is there again, once.
func TestCornerHubRestart(t *testing.T) {
	c := quietCouple(t)
	c.b.set(func(g *gateway) { g.down = true })
	if err := c.a.client.Rename(t.Context(), c.alice, c.group, "Plans after the restart"); err != nil {
		t.Fatal(err)
	}
	said, err := c.a.client.Send(t.Context(), c.alice, c.group, "$before", content.Text(content.PlainPart("accepted before")))
	if err != nil {
		t.Fatal(err)
	}
	c.a.stop()
	for _, lane := range must[[]hub.Lane](t)(c.a.stores.Hub.Lanes(t.Context())) {
		if lane.Domain != "b.example" {
			t.Errorf("a delivery to %s is left", lane.Domain)
		}
	}
	c.b.set(func(g *gateway) { g.down = false })
	if n := c.b.count(said.ID); n != 0 {
		t.Fatal("the message was delivered before the restart")
	}
	c.a.start()
	c.b.await("name", 0, func(e *client.Event) bool { return e.Kind == client.EventRoom && e.Name == "Plans after the restart" })
	c.say(c.alice, c.group, "said after", "b.example")
	c.say(c.bob, c.group, "heard", "a.example")
	if n := c.b.count(said.ID); n != 1 {
		t.Errorf("what was said before the restart arrived %d times", n)
	}
}

// TestCornerDuplicateDelivery: everything that a hub delivers twice is taken once:
// proposal, Commit, Welcome and message; at once, later, and after a restart.
func TestCornerDuplicateDelivery(t *testing.T) {
	c := quietCouple(t, "c.example")
	carol, far := c.carol(), c.gateways["c.example"]
	var seen [][]byte
	record := func(body []byte) bool {
		seen = append(seen, body)
		return false
	}
	again := func(g *gateway) {
		t.Helper()
		var bodies [][]byte
		g.set(func(*gateway) { bodies = seen })
		for _, body := range bodies {
			if err := g.client.Notify(t.Context(), "a.example", c.group, body); err != nil {
				t.Fatal(err)
			}
		}
	}
	far.set(func(g *gateway) { g.lose = record })
	if err := c.b.client.Invite(t.Context(), c.bob, c.group, carol); err != nil {
		t.Fatal(err)
	}
	c.join(carol, c.group)
	ben := c.guest("ben")
	if err := c.b.client.Leave(t.Context(), ben, c.group); err != nil {
		t.Fatal(err)
	}
	c.gone(ben, c.group, ben)
	said, err := c.a.client.Send(t.Context(), c.alice, c.group, "$twice", content.Text(content.PlainPart("once")))
	if err != nil {
		t.Fatal(err)
	}
	far.await("message", 0, func(e *client.Event) bool { return string(e.Message) == string(said.ID[:]) })
	kinds := map[string]bool{}
	far.set(func(*gateway) {
		for _, body := range seen {
			for _, m := range must[[]*protocol.MinimalMetadataFanout](t)(protocol.ParseFanout(body)) {
				kinds[kindOf(&m.Message.Message)] = true
			}
		}
	})
	if len(kinds) != 4 {
		t.Fatalf("only %v was delivered", kinds)
	}
	before := far.count(content.MessageID{})
	again(far)
	c.say(carol, c.group, "still here", "a.example", "b.example")
	far.stop()
	far.start()
	again(far)
	c.say(c.alice, c.group, "and the last one", "c.example")
	if n := far.count(said.ID); n != 1 {
		t.Errorf("the message arrived %d times", n)
	}
	if after := far.count(content.MessageID{}); after != before+1 {
		t.Errorf("%d events before, %d after, want one more: the last message", before, after)
	}
	if info := must[*client.RoomInfo](t)(far.client.Room(t.Context(), c.group)); len(info.Members) != 3 {
		t.Errorf("Carol sees %d members", len(info.Members))
	}
}

// kindOf says what a message is.
func kindOf(m *mls.MLSMessage) string {
	switch {
	case m.Welcome != nil:
		return "Welcome"
	case m.PrivateMessage != nil:
		return "message"
	case m.PublicMessage != nil && m.PublicMessage.Content.Commit != nil:
		return "Commit"
	default:
		return "proposal"
	}
}

// count counts how often a message was delivered, or all events if there is none.
func (g *gateway) count(id content.MessageID) (n int) {
	g.set(func(g *gateway) {
		for _, e := range g.events {
			if id == (content.MessageID{}) || string(e.Message) == string(id[:]) {
				n++
			}
		}
	})
	return n
}
