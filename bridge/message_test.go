package bridge_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

func textOf(s string) content.Message { return content.Text(content.PlainPart(s)) }

func reaction(t *testing.T, to content.MessageID, emoji string) content.Message {
	t.Helper()
	m, err := content.Reaction(to, emoji)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// last returns the newest event of a timeline.
func (w *world) last(room id.RoomID) *event.Event {
	w.t.Helper()
	timeline := w.mx.Room(room).Timeline
	if len(timeline) == 0 {
		w.t.Fatal("the room is empty")
	}
	return timeline[len(timeline)-1]
}

func TestMessagesToMatrix(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	bob := people[1]
	ghost := w.ghosts(portal)["bob@mimi.beta.localhost"]

	first := w.says(room, bob, textOf("hello"))
	text := w.last(portal)
	if text.Sender != ghost || text.Content.AsMessage().Body != "hello" {
		t.Fatalf("got %q by %s", text.Content.AsMessage().Body, text.Sender)
	}
	second := w.says(room, bob, content.Edit(first, content.MessageID{}, content.PlainPart("hello all")))
	edit := w.last(portal).Content.AsMessage()
	if edit.RelatesTo.GetReplaceID() != text.ID || edit.NewContent == nil || edit.NewContent.Body != "hello all" {
		t.Errorf("the edit is %+v", edit)
	}
	w.says(room, bob, content.Reply(second, content.PlainPart("to the second version")))
	if reply := w.last(portal).Content.AsMessage(); reply.RelatesTo.GetReplyTo() != text.ID {
		t.Errorf("the reply is to %s, and should be to %s", reply.RelatesTo.GetReplyTo(), text.ID)
	}
	liked := w.says(room, bob, reaction(t, second, "👍"))
	react := w.last(portal)
	if r := react.Content.AsReaction().RelatesTo; r.EventID != text.ID || !strings.HasPrefix(r.Key, "👍") {
		t.Errorf("the reaction is %+v", r)
	}
	w.says(room, bob, content.Unreact(liked, second))
	if got := w.last(portal); got.Type != event.EventRedaction || got.Content.AsRedaction().Redacts != react.ID {
		t.Errorf("the reaction is not taken back: %s", got.Type.Type)
	}
	w.says(room, bob, content.Delete(first, content.MessageID{}))
	if got := w.last(portal); got.Type != event.EventRedaction || got.Content.AsRedaction().Redacts != text.ID {
		t.Errorf("the message is not deleted: %s", got.Type.Type)
	}
}

// TestOnlyTheSenderMayChange (draft-ietf-mimi-content-08, "Rendering and
// authorization of edits and deletes").
func TestOnlyTheSenderMayChange(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	bob := people[1]
	ben := w.engine.add(w.engine.rooms[room], user(t, betaDomain, "ben"), false, client.LeafJoined)
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: bob, Added: []client.Person{ben}})
	first := w.says(room, bob, textOf("mine"))
	liked := w.says(room, bob, reaction(t, first, "👍"))
	eventID, result := w.mx.Say(t.Context(), bridgetest.UserID("alice"), portal, "and mine")
	if !result.Success {
		t.Fatal(result.Error)
	}
	alices := w.engine.message(room, string(eventID)).id
	before := len(w.mx.Room(portal).Timeline)
	for name, m := range map[string]content.Message{
		"edit": content.Edit(first, content.MessageID{}, content.PlainPart("yours")), "delete": content.Delete(first, content.MessageID{}),
		"unreact": content.Unreact(liked, first), "edit of a local message": content.Edit(alices, content.MessageID{}, content.PlainPart("x")),
		"deletion of a local message": content.Delete(alices, content.MessageID{}),
		"edit of nothing":             content.Edit(content.MessageID{1}, content.MessageID{}, content.PlainPart("x")),
	} {
		w.says(room, ben, m)
		if after := len(w.mx.Room(portal).Timeline); after != before {
			t.Errorf("%s: %d events were shown", name, after-before)
		}
	}
}

// TestLongMessages: a message of many events is shown whole, once, although each
// request to the homeserver fails in turn.
func TestLongMessages(t *testing.T) {
	long := strings.Repeat("a long story. ", 2000)
	for n := 1; ; n++ {
		w := newWorld(t, options{})
		room, people, portal := w.group()
		ghost := w.ghosts(portal)["bob@mimi.beta.localhost"]
		author := content.Author{Origin: content.Origin{Sender: people[1].Pseudonym, Room: room}, Random: rand.Reader}
		composed, err := author.Compose(textOf(long))
		if err != nil {
			t.Fatal(err)
		}
		e := &client.Event{Kind: client.EventMessage, Room: room, Actor: people[1], Message: composed.ID[:], Content: composed.Data, Seq: 99}
		w.mx.FailAt(n)
		err = w.connector.Deliver(t.Context(), e)
		failed := w.mx.Failed()
		if failed && err == nil {
			t.Errorf("request %d failed, and the message is forgotten", n)
		}
		if err := w.connector.Deliver(t.Context(), e); err != nil {
			t.Fatalf("after failure %d: %v", n, err)
		}
		texts := w.texts(portal, ghost)
		if len(texts) < 2 || strings.ReplaceAll(strings.Join(texts, ""), " ", "") != strings.ReplaceAll(long, " ", "") {
			t.Errorf("after failure %d there are %d events, with %d octets", n, len(texts), len(strings.Join(texts, "")))
		}
		if !failed {
			return
		}
	}
}

func TestMessagesToMIMI(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	theirs := w.says(room, people[1], textOf("hello"))
	bobs := w.last(portal).ID
	send := func(kind event.Type, c any) (id.EventID, content.Action) {
		t.Helper()
		eventID, result := w.mx.Send(t.Context(), alice, portal, kind, c)
		if !result.Success || result.Ignored {
			t.Fatalf("%s: %+v", kind.Type, result)
		}
		s := w.engine.message(room, string(eventID))
		if s == nil || s.account != account {
			t.Fatalf("%s: sent %+v", kind.Type, s)
		}
		return eventID, content.Classify(s.message)
	}
	first, action := send(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: "hi", RelatesTo: (&event.RelatesTo{}).SetReplyTo(bobs)})
	if action.Kind != content.KindReply || action.Target != theirs {
		t.Errorf("the reply is %+v", action)
	}
	firstID := w.engine.message(room, string(first)).id
	edited := &event.MessageEventContent{MsgType: event.MsgText, Body: "hi there"}
	edited.SetEdit(first)
	edit, action := send(event.EventMessage, edited)
	if action.Kind != content.KindEdit || action.Target != firstID {
		t.Errorf("the edit is %+v", action)
	}
	// A reply from elsewhere to the version that they see is one to this message.
	w.says(room, people[1], content.Reply(w.engine.message(room, string(edit)).id, content.PlainPart("welcome")))
	if got := w.last(portal).Content.AsMessage().RelatesTo.GetReplyTo(); got != first {
		t.Errorf("the reply is to %s", got)
	}
	like, action := send(event.EventReaction, &event.ReactionEventContent{RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: bobs, Key: "👍"}})
	if action.Kind != content.KindReaction || action.Target != theirs || action.Reactions[0] != "👍" {
		t.Errorf("the reaction is %+v", action)
	}
	_, action = send(event.EventRedaction, &event.RedactionEventContent{Redacts: like})
	if action.Kind != content.KindUnreact || action.Target != w.engine.message(room, string(like)).id {
		t.Errorf("the removal of the reaction is %+v", action)
	}
	_, action = send(event.EventRedaction, &event.RedactionEventContent{Redacts: first})
	if action.Kind != content.KindDelete || action.Target != firstID {
		t.Errorf("the deletion is %+v", action)
	}
}

// TestColleaguesReactAlike: two people here may have the same reaction.
func TestColleaguesReactAlike(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	annasAccount, anna := w.account("anna")
	w.mx.Invite(t.Context(), bridgetest.UserID("alice"), anna, portal)
	w.mx.Join(t.Context(), anna, portal)
	w.engine.state(room, annasAccount, client.LeafJoined)
	w.says(room, people[1], textOf("hello"))
	target := w.last(portal).ID
	for _, who := range []id.UserID{bridgetest.UserID("alice"), anna} {
		eventID, result := w.mx.Send(t.Context(), who, portal, event.EventReaction, &event.ReactionEventContent{
			RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: target, Key: "👍"},
		})
		if !result.Success || w.engine.message(room, string(eventID)) == nil {
			t.Errorf("the reaction of %s was not sent: %+v", who, result)
		}
	}
}

// TestRepeatedMatrixEvents: after a crash, events of the homeserver are handled
// again; nothing is sent again.
func TestRepeatedMatrixEvents(t *testing.T) {
	w := newWorld(t, options{})
	_, _, portal := w.group()
	alice := bridgetest.UserID("alice")
	first, _ := w.mx.Say(t.Context(), alice, portal, "hello")
	w.mx.Send(t.Context(), alice, portal, event.EventReaction, &event.ReactionEventContent{
		RelatesTo: event.RelatesTo{Type: event.RelAnnotation, EventID: first, Key: "👍"},
	})
	timeline := w.mx.Room(portal).Timeline
	before := len(w.engine.sent)
	for _, evt := range timeline {
		if evt.Sender == alice {
			w.mx.Repeat(t.Context(), evt)
		}
	}
	if after := len(w.engine.sent); after != before || before != 2 {
		t.Errorf("%d messages were sent, and %d after the repetition", before, after)
	}
}

// TestErrorsAreAnswered: whatever keeps a message from being sent, its sender is
// told why, and what to do.
func TestErrorsAreAnswered(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{client.ErrDenied, "Ask one of its administrators"},
		{client.ErrNotMember, "add you again"},
		{client.ErrInvited, "Join it"},
		{client.ErrLost, "lost track"},
		{client.ErrQuarantine, "could not be verified"},
		{client.ErrStopped, "Try again in a minute"},
		{client.ErrBusy, "Try again"},
		{errUnknown, "administrator finds details"},
	} {
		t.Run(test.err.Error(), func(t *testing.T) {
			w := newWorld(t, options{})
			_, _, portal := w.group()
			w.engine.failing("Send", test.err)
			_, result := w.mx.Say(t.Context(), bridgetest.UserID("alice"), portal, "hello")
			if result.Success {
				t.Error("the message counts as sent")
			}
			status := w.status()
			if !status.SendNotice || !strings.Contains(status.Message, test.want) || strings.Contains(status.Message, "client:") {
				t.Errorf("the person is told %q", status.Message)
			}
		})
	}
}

var errUnknown = errorString("a secret of the engine")

type errorString string

func (e errorString) Error() string { return string(e) }

// status returns what was last said of a message.
func (w *world) status() bridgev2.MessageStatus {
	w.t.Helper()
	statuses := w.mx.Statuses()
	if len(statuses) == 0 {
		w.t.Fatal("nothing was said")
	}
	return statuses[len(statuses)-1]
}

// TestUnsupportedEvents are refused with what to do instead.
func TestUnsupportedEvents(t *testing.T) {
	w := newWorld(t, options{})
	_, _, portal := w.group()
	alice := bridgetest.UserID("alice")
	for _, c := range []*event.MessageEventContent{
		{MsgType: event.MsgImage, Body: "x.png", Info: &event.FileInfo{MimeType: "image/png"}},
		{MsgType: event.MsgLocation, Body: "here"},
	} {
		w.mx.Send(t.Context(), alice, portal, event.EventMessage, c)
		if status := w.status(); !status.SendNotice || !strings.Contains(status.Message, "nobody there has received yours") {
			t.Errorf("%s: the person is told %q", c.MsgType, status.Message)
		}
	}
}

// TestQueuedMessages are never lost, and never sent twice; the person learns that
// they wait, and when they do not any more.
func TestQueuedMessages(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	w.engine.failing("Send", client.ErrQueued)
	before := len(w.mx.Statuses())
	eventID, result := w.mx.Say(t.Context(), bridgetest.UserID("alice"), portal, "hello")
	if !result.Success || w.engine.message(room, string(eventID)) == nil {
		t.Fatalf("the message was not taken: %+v", result)
	}
	answer(t, w.mx, portal, "is kept, and sent as soon as it can be")
	for _, s := range w.mx.Statuses()[before:] {
		if s.Status == event.MessageStatusSuccess {
			t.Error("the message counts as sent")
		}
	}
	if row, err := w.bridge.DB.Message.GetPartByMXID(t.Context(), eventID); err != nil || row == nil {
		t.Errorf("others could not reply to the message (%v)", err)
	}
	w.engine.failing("Send", nil)
	err := w.mx.Await(t.Context(), portal, func(bridgetest.Room) bool {
		pending, done := false, false
		for _, s := range w.mx.Statuses()[before:] {
			pending = pending || s.Status == event.MessageStatusPending
			done = pending && s.Status == event.MessageStatusSuccess
		}
		return done
	})
	if err != nil {
		t.Error(err)
	}
	if len(w.engine.sent) != 1 {
		t.Errorf("%d messages were sent", len(w.engine.sent))
	}
}
