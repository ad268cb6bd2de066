package bridge_test

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.mau.fi/util/dbutil"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/bridgeconfig"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mapping"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// A world is a bridge between a fake homeserver and a fake engine, on a real
// database.
type world struct {
	t         *testing.T
	mx        *bridgetest.Matrix
	engine    *engine
	bridge    *bridgev2.Bridge
	connector *bridge.Connector
	seq       uint64
	puppets   bool
	// once turns off that every event is delivered twice.
	once bool
}

// options say how a world differs from the usual one.
type options struct {
	puppets   bool
	provision config.AutoProvision
	plain     bool // plain rooms are allowed
}

// newWorld runs a bridge until the test ends.
func newWorld(t *testing.T, opts options) *world {
	t.Helper()
	w := &world{t: t, mx: bridgetest.NewMatrix(opts.puppets), engine: newEngine(t), puppets: opts.puppets}
	dir := t.TempDir()
	db, err := dbutil.NewWithDialect("file:"+filepath.Join(dir, "test.db")+"?_txlock=immediate", "sqlite3-fk-wal-fullsync")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := mapping.LoadKeyFile(filepath.Join(dir, "test.key"))
	if err != nil {
		t.Fatal(err)
	}
	network := config.Default()
	network.Domain, network.PlainRooms = alphaDomain, opts.plain
	if opts.provision != "" {
		network.AutoProvision = opts.provision
	}
	w.connector = bridge.NewConnector(bridge.Options{
		Config: &network,
		Open: func(ctx context.Context, db *dbutil.Database, _ *slog.Logger, _ bridge.Matrix) (*bridge.Backend, error) {
			store, err := mapping.Open(ctx, db, keys)
			if err != nil {
				return nil, err
			}
			return &bridge.Backend{Node: w.engine, Engine: w.engine, Intake: bridge.NewMemoryIntake(), Store: store.Bridge()}, nil
		},
		Clock:   mimi.SystemClock{},
		Version: "test",
	})
	w.bridge = bridgev2.NewBridge("", db, zerolog.Nop(), &bridgeconfig.BridgeConfig{
		CommandPrefix:             "!mimi",
		BridgeMatrixLeave:         true,
		DeduplicateMatrixMessages: true,
		RevertFailedStateChanges:  true,
		Permissions:               bridgeconfig.PermissionConfig{bridgetest.Server: &bridgeconfig.PermissionLevelUser},
	}, w.mx, w.connector, commands.NewProcessor)
	if err := w.bridge.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- w.connector.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		w.bridge.Stop()
		if w.engine.started != 1 || w.engine.stopped != 1 {
			t.Errorf("the engine was started %d times and stopped %d times", w.engine.started, w.engine.stopped)
		}
	})
	for _, name := range []string{"alice", "anna", "carol"} {
		w.mx.Register(bridgetest.UserID(name), strings.ToUpper(name[:1])+name[1:])
	}
	return w
}

// account returns the address of a local person, whose Matrix id is mxid.
func (w *world) account(localpart string) (account mimi.URI, mxid id.UserID) {
	return user(w.t, alphaDomain, localpart), bridgetest.UserID(localpart)
}

// deliver delivers an event, twice: a crash may come between showing it and
// forgetting it.
func (w *world) deliver(e *client.Event) {
	w.t.Helper()
	w.seq++
	e.Seq = w.seq
	if e.Time.IsZero() {
		e.Time = time.UnixMilli(1_700_000_000_000 + int64(w.seq))
	}
	for range 2 {
		if err := w.connector.Deliver(w.t.Context(), e); err != nil {
			w.t.Fatalf("%s: %v", e.Kind, err)
		}
		if w.once {
			return
		}
	}
}

// says delivers a message of somebody elsewhere.
func (w *world) says(room mimi.URI, from client.Person, m content.Message) content.MessageID {
	w.t.Helper()
	author := content.Author{Origin: content.Origin{Sender: from.Pseudonym, Room: room}, Random: rand.Reader}
	composed, err := author.Compose(m)
	if err != nil {
		w.t.Fatal(err)
	}
	w.deliver(&client.Event{Kind: client.EventMessage, Room: room, Actor: from, Message: composed.ID[:], Content: composed.Data})
	return composed.ID
}

// portal returns the Matrix room of a MIMI room.
func (w *world) portal(room mimi.URI) id.RoomID {
	w.t.Helper()
	portals, err := w.bridge.GetAllPortalsWithMXID(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var found id.RoomID
	for _, p := range portals {
		if string(p.ID) == room.String() {
			if found != "" {
				w.t.Fatalf("room %s has two portals", room)
			}
			found = p.MXID
		}
	}
	return found
}

// groupIn returns the MIMI room of a Matrix room, which is to be a portal.
func (w *world) groupIn(room id.RoomID) mimi.URI {
	w.t.Helper()
	portal, err := w.bridge.GetPortalByMXID(w.t.Context(), room)
	if err != nil || portal == nil {
		w.t.Fatalf("the room is no portal (%v)", err)
	}
	group, err := mimi.ParseURI(string(portal.ID))
	if err != nil {
		w.t.Fatal(err)
	}
	return group
}

// texts returns the bodies of what a user has said in a Matrix room.
func (w *world) texts(room id.RoomID, who id.UserID) (out []string) {
	for _, evt := range w.mx.Room(room).Timeline {
		if evt.Type == event.EventMessage && evt.Sender == who {
			out = append(out, evt.Content.AsMessage().Body)
		}
	}
	return out
}

// ghosts returns the ghosts in a Matrix room by their shown names.
func (w *world) ghosts(room id.RoomID) map[string]id.UserID {
	w.t.Helper()
	members, err := w.mx.GetMembers(w.t.Context(), room)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]id.UserID{}
	for user, m := range members {
		if w.bridge.IsGhostMXID(user) {
			out[m.Displayname] = user
		}
	}
	return out
}

// wantMember checks a membership.
func (w *world) wantMember(room id.RoomID, who id.UserID, want event.Membership) {
	w.t.Helper()
	if got := w.mx.Room(room).Members[who]; got != want {
		w.t.Errorf("%s is %q in the room, and should be %q", who, got, want)
	}
}

// command says something to the bot and waits for an answer with all parts.
func (w *world) command(who id.UserID, text string, parts ...string) {
	w.t.Helper()
	room := managementRoom(w.t, w.mx, who)
	w.mx.Say(w.t.Context(), who, room, "!mimi "+text)
	answer(w.t, w.mx, room, parts...)
}

// group makes a group of Alice, here, and Bob, elsewhere, and its portal, which
// Alice has joined.
func (w *world) group() (room mimi.URI, people []client.Person, portal id.RoomID) {
	w.t.Helper()
	account, alice := w.account("alice")
	room, people = w.engine.room(client.RoomGroup, "Picnic", account, user(w.t, betaDomain, "bob"))
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room, Actor: people[0], Added: people[1:]})
	portal = w.portal(room)
	if portal == "" {
		w.t.Fatal("the group has no portal")
	}
	w.deliver(&client.Event{Kind: client.EventInvited, Room: room, Account: account, Actor: people[1]})
	w.mx.Join(w.t.Context(), alice, portal)
	return room, people, portal
}
