package bridge_test

import (
	"errors"
	"strings"
	"testing"

	_ "go.mau.fi/util/dbutil/litestream" // registers sqlite3-fk-wal-fullsync
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// managementRoom lets user open a direct chat with the bot.
func managementRoom(t *testing.T, mx *bridgetest.Matrix, user id.UserID) id.RoomID {
	t.Helper()
	room := mx.CreateRoomAs(user)
	mx.Invite(t.Context(), user, bridgetest.BotID, room)
	return room
}

// answer waits for a message of the bot that contains all parts.
func answer(t *testing.T, mx *bridgetest.Matrix, room id.RoomID, parts ...string) {
	t.Helper()
	err := mx.Await(t.Context(), room, func(r bridgetest.Room) bool {
		for _, evt := range r.Timeline {
			all := evt.Sender == bridgetest.BotID
			for _, part := range parts {
				all = all && strings.Contains(evt.Content.AsMessage().Body, part)
			}
			if all {
				return true
			}
		}
		return false
	})
	if err != nil {
		t.Fatalf("no message of the bot contains %q: %v", parts, err)
	}
}

func TestBotAnswersHelp(t *testing.T) {
	w := newWorld(t, options{})
	alice := bridgetest.UserID("alice")
	room := managementRoom(t, w.mx, alice)
	answer(t, w.mx, room, "management room")
	w.mx.Say(t.Context(), alice, room, "help")
	answer(t, w.mx, room, "**login**", "**version**", "**help**", "**start-chat**", "**accept**", "**create-group**")
	w.mx.Say(t.Context(), alice, room, "version")
	answer(t, w.mx, room, "test")
}

func TestLoginNeedsNoInput(t *testing.T) {
	w := newWorld(t, options{puppets: true})
	alice := bridgetest.UserID("alice")
	room := managementRoom(t, w.mx, alice)
	w.mx.Say(t.Context(), alice, room, "login")
	answer(t, w.mx, room, "reached over MIMI at alice@mimi.alpha.localhost")
	u, err := w.bridge.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	login := u.GetDefaultLogin()
	if login == nil || login.ID != mimiid.MakeUserLoginID(alice) {
		t.Fatalf("the login is %v", login)
	}
	if meta, ok := login.Metadata.(*mimiid.UserLoginMetadata); !ok || meta.AutoProvisioned {
		t.Errorf("metadata %+v does not say that the person asked for the login", login.Metadata)
	}
	if name := w.engine.accounts[user(t, alphaDomain, "alice")]; name != "Alice" {
		t.Errorf("the account has the name %q", name)
	}
}

func TestStrangersGetNoAnswer(t *testing.T) {
	w := newWorld(t, options{})
	mallory := id.UserID("@mallory:elsewhere.example")
	room := managementRoom(t, w.mx, mallory)
	w.wantMember(room, bridgetest.BotID, event.MembershipLeave)
}

// TestLookup: who is reachable without having asked for it is configuration.
func TestLookup(t *testing.T) {
	for name, test := range map[string]struct {
		mode      config.AutoProvision
		login     bool
		localpart string
		want      string
		err       error
	}{
		"local":              {config.AutoProvisionLocal, false, "anna", "Anna", nil},
		"local, nobody":      {config.AutoProvisionLocal, false, "nobody", "", client.ErrNoPerson},
		"local, the bot":     {config.AutoProvisionLocal, false, "mimibot", "", client.ErrNoPerson},
		"local, a ghost":     {config.AutoProvisionLocal, false, "mimi_x", "", client.ErrNoPerson},
		"allowed":            {config.AutoProvisionAllowed, false, "anna", "Anna", nil},
		"off":                {config.AutoProvisionOff, false, "anna", "", client.ErrNoPerson},
		"off, with a login":  {config.AutoProvisionOff, true, "alice", "Alice", nil},
		"off, after another": {config.AutoProvisionOff, true, "anna", "", client.ErrNoPerson},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, options{provision: test.mode})
			if test.login {
				w.command(bridgetest.UserID("alice"), "login", "reached over MIMI")
			}
			got, err := w.connector.Lookup(t.Context(), test.localpart)
			if got != test.want || !errors.Is(err, test.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestBadHandles: a name that can't be an address is refused in words.
func TestBadHandles(t *testing.T) {
	w := newWorld(t, options{})
	w.mx.Register(bridgetest.UserID("Old"), "Old")
	w.command(bridgetest.UserID("Old"), "login", "must be in lower case")
}
