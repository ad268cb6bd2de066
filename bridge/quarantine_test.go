package bridge_test

import (
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// TestSendAnyway: who wants to send to a room with unverified members is shown how
// many there are, and says that number.
func TestSendAnyway(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	say := func(text string, want ...string) {
		t.Helper()
		w.mx.Say(t.Context(), alice, portal, text)
		answer(t, w.mx, portal, want...)
	}
	say("!mimi send-anyway", "Everybody in this room is verified")
	stranger := client.Person{Pseudonym: user(t, betaDomain, "5f7a7c3e-7a8a-4f0e-8a30-0d3b51a4a6a1")}
	w.engine.unverified = []client.UnverifiedMember{
		{Person: stranger, By: people[1], Since: time.UnixMilli(0)},
		{Person: stranger, Since: time.UnixMilli(0), Unreachable: true},
	}
	say("!mimi send-anyway", "identity of 2 members could not be verified", "brought by bob@mimi.beta.localhost", "may pass by itself", "send-anyway 2")
	say("!mimi send-anyway all", "Usage", "2")
	say("!mimi send-anyway 1", "identity of 2 members could not be verified")
	if n := w.engine.calls("SendAnyway", account, room, 2); n != 0 {
		t.Error("accepted before the number was said")
	}
	say("!mimi send-anyway 2", "is sent to this room from now on")
	if n := w.engine.calls("SendAnyway", account, room, 2); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	say("!mimi send-anyway", "You send to this room already")
}

// TestQuarantineIsTold: the alerts about unverified members name who has to do
// something, and what to do.
func TestQuarantineIsTold(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	for _, test := range []struct {
		event client.Event
		want  []string
	}{
		{client.Event{Reason: client.ReasonQuarantine, Actor: people[1]}, []string{"whom bob@mimi.beta.localhost brought", "`send-anyway`"}},
		{client.Event{Reason: client.ReasonQuarantine, Count: 3}, []string{"identity of 3 members could not be verified", "`send-anyway`"}},
		{client.Event{Reason: client.ReasonRemoveUnverified, Count: 1, Actor: people[1]}, []string{"one member", "Ask bob@mimi.beta.localhost to do it"}},
		{client.Event{Reason: client.ReasonRemoveUnverified, Count: 2}, []string{"2 members", "Ask one of its administrators"}},
	} {
		e := test.event
		e.Kind, e.Room = client.EventAlert, room
		w.deliver(&e)
		answer(t, w.mx, portal, test.want...)
	}
}

// TestNamesComeLater: who had no name yet is shown when their link has been opened.
func TestNamesComeLater(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	carl := user(t, betaDomain, "carl")
	before := len(w.ghosts(portal))
	person := client.Person{User: carl, Pseudonym: user(t, betaDomain, "6f7a7c3e-7a8a-4f0e-8a30-0d3b51a4a6a2")}
	w.engine.mu.Lock()
	info := w.engine.rooms[room]
	info.Closed = 0
	info.Members = append(info.Members, client.RoomMember{Person: person})
	w.engine.mu.Unlock()
	w.deliver(&client.Event{Kind: client.EventOpened, Room: room, Added: []client.Person{person}})
	if ghosts := w.ghosts(portal); len(ghosts) != before+1 || ghosts["carl@mimi.beta.localhost"] == "" {
		t.Errorf("the ghosts are %v", ghosts)
	}
}
