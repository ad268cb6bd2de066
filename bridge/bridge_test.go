package bridge_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	_ "go.mau.fi/util/dbutil/litestream" // registers sqlite3-fk-wal-fullsync
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// engine counts how often it was started and stopped.
type engine struct{ started, stopped int }

func (e *engine) Start(context.Context) error { e.started++; return nil }

func (e *engine) Stop() { e.stopped++ }

// startBridge runs a bridge against the fake homeserver until the test ends.
func startBridge(t *testing.T, mx *bridgetest.Matrix) (*bridgev2.Bridge, *engine) {
	t.Helper()
	db, err := dbutil.NewWithDialect("file:"+filepath.Join(t.TempDir(), "test.db")+"?_txlock=immediate", "sqlite3-fk-wal-fullsync")
	if err != nil {
		t.Fatal(err)
	}
	network := config.Default()
	network.Domain = "mimi.alpha.localhost"
	e := &engine{}
	connector := bridge.NewConnector(bridge.Options{
		Config: &network,
		Open: func(context.Context, *dbutil.Database, *slog.Logger) (*bridge.Backend, error) {
			return &bridge.Backend{Engine: e, Intake: bridge.NewMemoryIntake()}, nil
		},
		Clock:   mimi.SystemClock{},
		Version: "test",
	})
	br := bridgev2.NewBridge("", db, zerolog.Nop(), &bridgeconfig.BridgeConfig{
		CommandPrefix:             "!mimi",
		BridgeMatrixLeave:         true,
		DeduplicateMatrixMessages: true,
		Permissions:               bridgeconfig.PermissionConfig{bridgetest.Server: &bridgeconfig.PermissionLevelUser},
	}, mx, connector, commands.NewProcessor)
	if err := br.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		br.Stop()
		if e.started != 1 || e.stopped != 1 {
			t.Errorf("the engine was started %d times and stopped %d times", e.started, e.stopped)
		}
	})
	return br, e
}

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
	mx := bridgetest.NewMatrix(false)
	startBridge(t, mx)
	alice := bridgetest.UserID("alice")
	room := managementRoom(t, mx, alice)
	answer(t, mx, room, "management room")
	mx.Say(t.Context(), alice, room, "help")
	answer(t, mx, room, "**login**", "**version**", "**help**")
	mx.Say(t.Context(), alice, room, "version")
	answer(t, mx, room, "test")
}

func TestLoginNeedsNoInput(t *testing.T) {
	mx := bridgetest.NewMatrix(true)
	br, _ := startBridge(t, mx)
	alice := bridgetest.UserID("alice")
	room := managementRoom(t, mx, alice)
	mx.Say(t.Context(), alice, room, "login")
	answer(t, mx, room, "reached over MIMI at mimi.alpha.localhost")
	user, err := br.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	login := user.GetDefaultLogin()
	if login == nil || login.ID != mimiid.MakeUserLoginID(alice) {
		t.Fatalf("the login is %v", login)
	}
	if meta, ok := login.Metadata.(*mimiid.UserLoginMetadata); !ok || meta.AutoProvisioned {
		t.Errorf("metadata %+v does not say that the person asked for the login", login.Metadata)
	}
}

func TestStrangersGetNoAnswer(t *testing.T) {
	mx := bridgetest.NewMatrix(false)
	startBridge(t, mx)
	mallory := id.UserID("@mallory:elsewhere.example")
	room := managementRoom(t, mx, mallory)
	if membership := mx.Room(room).Members[bridgetest.BotID]; membership != event.MembershipLeave {
		t.Errorf("the bot's membership in a stranger's room is %q, not leave", membership)
	}
}
