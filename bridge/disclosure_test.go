package bridge_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// TestDisclosureIsFirst: notice and state event are there before anything else.
func TestDisclosureIsFirst(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	w.says(room, people[1], textOf("hello"))
	timeline := w.mx.Room(portal).Timeline
	if first := timeline[0]; first.Sender != bridgetest.BotID || !strings.Contains(first.Content.AsMessage().Body, "End-to-end encryption ends at the gateway") {
		t.Errorf("the first event is %q by %s", first.Content.AsMessage().Body, first.Sender)
	}
	if len(timeline) != 2 {
		t.Errorf("there are %d events in the room", len(timeline))
	}
	w.disclosed(portal)
}

// TestDisclosure says who can read, what others see, how many people there are, and
// what deletion does not do; as text, and in fields.
func TestDisclosure(t *testing.T) {
	for name, test := range map[string]struct {
		crowd client.Crowd
		want  []string
		not   string
	}{
		"a crowd":         {client.Crowd{Day: 20, Month: 90, Want: 20}, []string{"20 people of " + alphaDomain}, "may guess that it was you"},
		"too few":         {client.Crowd{Day: 19, Month: 90, Want: 20}, []string{"19 people of", "fewer than 20: whoever sees when something is sent may guess that it was you"}, "20 people"},
		"the user is one": {client.Crowd{Day: 1, Month: 1, Want: 20}, []string{"one person of", "may guess that it was you"}, "1 people"},
		"nobody":          {client.Crowd{Want: 20}, []string{"nobody of", "may guess that it was you"}, "0 people"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{})
			w.engine.crowd = test.crowd
			_, _, portal := w.group()
			text := w.mx.Room(portal).Timeline[0].Content.AsMessage().Body
			for _, part := range append(test.want,
				"Whoever operates the gateway can read what is written here",
				"The others in this room, wherever they are, can read the messages",
				"A provider that hosts the room, and is nobody's in it, sees neither",
				"It does not delete the copies that they have",
			) {
				if !strings.Contains(text, part) {
					t.Errorf("the notice does not say %q:\n%s", part, text)
				}
			}
			if strings.Contains(text, test.not) {
				t.Errorf("the notice says %q", test.not)
			}
			d := w.disclosed(portal)
			if d.ActiveUsers != test.crowd.Day || d.FewUsers != (test.crowd.Day < 20) || !slices.Equal(d.CanRead, []string{"operator", "members"}) || d.DeletesCopies || !d.OperatorCanRead {
				t.Errorf("the state event is %+v", d)
			}
		})
	}
}

// TestAnonymityCommand: everybody can ask how many people there are.
func TestAnonymityCommand(t *testing.T) {
	w := newWorld(t, options{})
	_, alice := w.account("alice")
	w.engine.crowd = client.Crowd{Day: 3, Month: 45, Want: 20}
	w.command(alice, "anonymity", "3 people of "+alphaDomain, "fewer than 20", "In the last 30 days there were 45")
	w.engine.crowd = client.Crowd{Day: 30, Month: 45, Want: 20}
	w.command(alice, "anonymity", "30 people of "+alphaDomain, "among these at most. In the last 30 days there were 45")
	w.engine.fail = map[string]error{"Crowd": errors.New("disk full")}
	w.command(alice, "anonymity", "Something went wrong")
}
