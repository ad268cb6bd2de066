package bridge_test

import (
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// TestMentions: who is mentioned in Matrix is mentioned by pseudonym in MIMI, and the
// other way round: a ghost, a local person, and a member who could not be verified.
func TestMentions(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	bob := people[1]
	stranger := client.Person{Pseudonym: user(t, betaDomain, "7f7a7c3e-7a8a-4f0e-8a30-0d3b51a4a6a3")}
	w.engine.mu.Lock()
	info := w.engine.rooms[room]
	info.Members = append(info.Members, client.RoomMember{Person: stranger})
	var own client.Person
	for _, m := range info.Members {
		if m.User == account {
			own = m.Person
		}
	}
	w.engine.mu.Unlock()
	before := w.ghosts(portal)
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: bob, Added: []client.Person{stranger}})
	var unknown id.UserID
	for name, ghost := range w.ghosts(portal) {
		if before[name] != ghost {
			unknown = ghost
		}
	}
	for who, want := range map[id.UserID]client.Person{w.ghosts(portal)["bob@mimi.beta.localhost"]: bob, unknown: stranger, alice: own} {
		html := `hello <a href="` + who.URI().MatrixToURL() + `">you</a>`
		evt, result := w.mx.Send(t.Context(), alice, portal, event.EventMessage, &event.MessageEventContent{
			MsgType: event.MsgText, Body: "hello you", Format: event.FormatHTML, FormattedBody: html, Mentions: &event.Mentions{UserIDs: []id.UserID{who}},
		})
		if !result.Success {
			t.Fatal(result.Error)
		}
		sent := w.engine.message(room, string(evt)).message
		text, ok := sent.Part.Body.(*content.Single)
		if !ok || !strings.Contains(string(text.Content), want.Pseudonym.String()) {
			t.Errorf("a mention of %s is sent as %+v, want %s", who, sent.Part.Body, want.Pseudonym)
		}
		w.says(room, bob, content.Text(sent.Part))
		if shown := w.last(portal).Content.AsMessage(); !strings.Contains(shown.FormattedBody, who.URI().MatrixToURL()) {
			t.Errorf("a mention of %s is shown as %q", who, shown.FormattedBody)
		}
	}
}
