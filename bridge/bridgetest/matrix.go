// Package bridgetest is the Matrix side of bridge tests: a homeserver that is a
// few maps in the process of the test. It keeps rooms, members, state and
// timelines, so that a test can read back what the gateway did from the place
// where people would see it.
package bridgetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
)

// Server is the name of the homeserver.
const Server = "alpha.localhost"

// Matrix is the homeserver and its connection to the bridge. Methods that are
// not implemented panic: a test that needs one adds it.
type Matrix struct {
	bridgev2.MatrixConnector // nil

	bridge *bridgev2.Bridge

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change
	rooms    map[id.RoomID]*Room
	names    map[id.UserID]string
	media    map[id.ContentURIString][]byte
	statuses []bridgev2.MessageStatus
	sent     map[string]id.EventID // by user, room and transaction id
	next     int
	puppets  bool
	fail     int // requests until one fails
	failed   bool
	actions  []Action
}

// An Action is a change of somebody's membership by somebody else.
type Action struct {
	Room       id.RoomID
	By, Who    id.UserID
	Membership event.Membership
	Reason     string
}

// Actions returns what the gateway's accounts did to the membership of others.
func (m *Matrix) Actions() []Action {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Action(nil), m.actions...)
}

func (m *Matrix) note(roomID id.RoomID, by, who id.UserID, member *event.MemberEventContent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actions = append(m.actions, Action{roomID, by, who, member.Membership, member.Reason})
}

// errFailure is what a homeserver that is out of order answers.
var errFailure = errors.New("bridgetest: the homeserver is out of order")

// FailAt lets the nth request that writes fail, counted from 1.
func (m *Matrix) FailAt(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail, m.failed = n, false
}

// Failed reports whether the request of FailAt has come, and cancels it.
func (m *Matrix) Failed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = 0
	return m.failed
}

func (m *Matrix) failure() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail > 0 {
		if m.fail--; m.fail == 0 {
			m.failed = true
			return errFailure
		}
	}
	return nil
}

// A Room is what the homeserver knows of a room. Tests get copies.
type Room struct {
	// Members holds everybody's membership.
	Members map[id.UserID]event.Membership
	// State holds the content of state events by type and key.
	State map[string]map[string]*event.Content
	// Timeline holds messages, reactions and redactions in their order.
	Timeline []*event.Event
}

// NewMatrix returns a homeserver without rooms. With puppets, the gateway may
// act as every local person (double puppeting).
func NewMatrix(puppets bool) *Matrix {
	return &Matrix{
		changed: make(chan struct{}),
		rooms:   map[id.RoomID]*Room{},
		names:   map[id.UserID]string{},
		media:   map[id.ContentURIString][]byte{},
		sent:    map[string]id.EventID{},
		puppets: puppets,
	}
}

// UserID returns the Matrix id of a local person.
func UserID(localpart string) id.UserID { return id.NewUserID(localpart, Server) }

// Room returns a copy of a room; it is empty if there is none.
func (m *Matrix) Room(roomID id.RoomID) Room {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := Room{Members: map[id.UserID]event.Membership{}, State: map[string]map[string]*event.Content{}}
	if room := m.rooms[roomID]; room != nil {
		for user, membership := range room.Members {
			out.Members[user] = membership
		}
		for kind, byKey := range room.State {
			out.State[kind] = map[string]*event.Content{}
			for key, content := range byKey {
				out.State[kind][key] = content
			}
		}
		out.Timeline = append(out.Timeline, room.Timeline...)
	}
	return out
}

// Await returns when condition holds for the room, and fails when ctx is done
// before that.
func (m *Matrix) Await(ctx context.Context, roomID id.RoomID, condition func(Room) bool) error {
	for {
		m.mu.Lock()
		changed := m.changed
		m.mu.Unlock()
		if condition(m.Room(roomID)) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// CreateRoomAs makes a room of a person, who joins it, and tells nobody.
func (m *Matrix) CreateRoomAs(user id.UserID) id.RoomID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	roomID := id.RoomID(fmt.Sprintf("!%d:%s", m.next, Server))
	create := delivered(event.StateCreate, &event.Content{Parsed: &event.CreateEventContent{RoomVersion: id.RoomV11}})
	m.rooms[roomID] = &Room{
		Members: map[id.UserID]event.Membership{user: event.MembershipJoin},
		State:   map[string]map[string]*event.Content{event.StateCreate.Type: {"": &create}},
	}
	m.notify()
	return roomID
}

// Register makes an account with a display name, which may be empty.
func (m *Matrix) Register(user id.UserID, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names[user] = name
}

// Displayname implements [bridge.Profiler].
func (m *Matrix) Displayname(_ context.Context, user id.UserID) (name string, exists bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, exists = m.names[user]
	return name, exists, nil
}

// Rooms returns the rooms in which a user has a membership.
func (m *Matrix) Rooms(user id.UserID, membership event.Membership) (rooms []id.RoomID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for roomID, room := range m.rooms {
		if room.Members[user] == membership {
			rooms = append(rooms, roomID)
		}
	}
	return rooms
}

// Invite is a person inviting somebody, which the bridge learns.
func (m *Matrix) Invite(ctx context.Context, by, who id.UserID, roomID id.RoomID) {
	m.member(ctx, by, who, roomID, event.MembershipInvite)
}

// Kick is a person removing somebody, which the bridge learns.
func (m *Matrix) Kick(ctx context.Context, by, who id.UserID, roomID id.RoomID) {
	m.member(ctx, by, who, roomID, event.MembershipLeave)
}

// Join is a person joining, which the bridge learns.
func (m *Matrix) Join(ctx context.Context, who id.UserID, roomID id.RoomID) {
	m.member(ctx, who, who, roomID, event.MembershipJoin)
}

// Leave is a person leaving or declining, which the bridge learns.
func (m *Matrix) Leave(ctx context.Context, who id.UserID, roomID id.RoomID) {
	m.member(ctx, who, who, roomID, event.MembershipLeave)
}

// Say is a person writing text, which the bridge learns. The result is what
// bridgev2 says of the handling: with portal_event_buffer 0 it is over by then.
func (m *Matrix) Say(ctx context.Context, who id.UserID, roomID id.RoomID, text string) (id.EventID, bridgev2.EventHandlingResult) {
	return m.Send(ctx, who, roomID, event.EventMessage, &event.MessageEventContent{MsgType: event.MsgText, Body: text})
}

// Send is a person sending an event, which the bridge learns.
func (m *Matrix) Send(ctx context.Context, who id.UserID, roomID id.RoomID, kind event.Type, content any) (id.EventID, bridgev2.EventHandlingResult) {
	evt := m.append(roomID, who, kind, &event.Content{Parsed: content})
	return evt.ID, m.Repeat(ctx, evt)
}

// Repeat lets the bridge learn of an event, perhaps for the second time, as it
// happens after a crash.
func (m *Matrix) Repeat(ctx context.Context, evt *event.Event) bridgev2.EventHandlingResult {
	copied := *evt
	copied.Content = delivered(evt.Type, &evt.Content)
	m.before(ctx, &copied)
	return m.bridge.QueueMatrixEvent(ctx, &copied)
}

// Rename is a person naming a room, which the bridge learns.
func (m *Matrix) Rename(ctx context.Context, who id.UserID, roomID id.RoomID, name string) bridgev2.EventHandlingResult {
	return m.Describe(ctx, who, roomID, event.StateRoomName, &event.RoomNameEventContent{Name: name})
}

// Describe is a person changing what a room is called, or about, which the bridge
// learns.
func (m *Matrix) Describe(ctx context.Context, who id.UserID, roomID id.RoomID, kind event.Type, parsed any) bridgev2.EventHandlingResult {
	content := &event.Content{Parsed: parsed}
	m.setState(roomID, kind, "", content, time.Time{})
	key := ""
	return m.Repeat(ctx, &event.Event{
		ID: m.eventID(), RoomID: roomID, Sender: who, Type: kind, StateKey: &key, Content: *content,
	})
}

// SetLevels is a person changing the power levels of a room, which the bridge learns.
func (m *Matrix) SetLevels(ctx context.Context, who id.UserID, roomID id.RoomID, change func(*event.PowerLevelsEventContent)) {
	before, after := m.levels(roomID), m.levels(roomID)
	change(after)
	content, prev := event.Content{Parsed: after}, delivered(event.StatePowerLevels, &event.Content{Parsed: before})
	m.setState(roomID, event.StatePowerLevels, "", &content, time.Time{})
	key := ""
	evt := &event.Event{ID: m.eventID(), RoomID: roomID, Sender: who, Type: event.StatePowerLevels, StateKey: &key, Content: content}
	evt.Unsigned.PrevContent = &prev
	m.Repeat(ctx, evt)
}

// levels returns a copy of the power levels of a room.
func (m *Matrix) levels(roomID id.RoomID) *event.PowerLevelsEventContent {
	content := m.Room(roomID).State[event.StatePowerLevels.Type][""]
	if content == nil {
		content = &event.Content{Parsed: &event.PowerLevelsEventContent{}}
	}
	copied := delivered(event.StatePowerLevels, content)
	return copied.AsPowerLevels()
}

// Upload stores a file, as a person or the bridge does.
func (m *Matrix) Upload(data []byte) id.ContentURIString {
	m.mu.Lock()
	defer m.mu.Unlock()
	uri := id.ContentURIString(fmt.Sprintf("mxc://%s/%d", Server, len(m.media)))
	m.media[uri] = append([]byte(nil), data...)
	return uri
}

// Media returns a file that was stored.
func (m *Matrix) Media(uri id.ContentURIString) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.media[uri]
	return data, ok
}

// SetDisplayname is a person changing their name, which the bridge learns in one
// of their rooms.
func (m *Matrix) SetDisplayname(ctx context.Context, who id.UserID, roomID id.RoomID, name string) {
	m.mu.Lock()
	m.names[who] = name
	m.mu.Unlock()
	m.member(ctx, who, who, roomID, event.MembershipJoin)
}

// before does what a real homeserver's event processor does first.
func (m *Matrix) before(ctx context.Context, evt *event.Event) {
	if connector, ok := m.bridge.Network.(*bridge.Connector); ok {
		connector.Before(ctx, evt)
	}
}

// Statuses returns what the bridge said of the fate of messages.
func (m *Matrix) Statuses() []bridgev2.MessageStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]bridgev2.MessageStatus(nil), m.statuses...)
}

func (m *Matrix) member(ctx context.Context, by, who id.UserID, roomID id.RoomID, membership event.Membership) {
	m.mu.Lock()
	before, name := m.room(roomID).Members[who], m.names[who]
	m.mu.Unlock()
	m.setMember(roomID, who, membership)
	key := string(who)
	evt := &event.Event{
		ID: m.eventID(), RoomID: roomID, Sender: by, Type: event.StateMember, StateKey: &key,
		Content: event.Content{Parsed: &event.MemberEventContent{Membership: membership, IsDirect: true, Displayname: name}},
	}
	if before != "" {
		evt.Unsigned.PrevContent = &event.Content{Parsed: &event.MemberEventContent{Membership: before}}
		prev := delivered(event.StateMember, evt.Unsigned.PrevContent)
		evt.Unsigned.PrevContent = &prev
	}
	m.Repeat(ctx, evt)
}

func (m *Matrix) setMember(roomID id.RoomID, who id.UserID, membership event.Membership) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room(roomID).Members[who] = membership
	m.notify()
}

// append adds a message event to a timeline.
func (m *Matrix) append(roomID id.RoomID, who id.UserID, kind event.Type, content *event.Content) *event.Event {
	evt := &event.Event{ID: m.eventID(), RoomID: roomID, Sender: who, Type: kind, Content: delivered(kind, content)}
	m.mu.Lock()
	defer m.mu.Unlock()
	room := m.room(roomID)
	room.Timeline = append(room.Timeline, evt)
	m.notify()
	return evt
}

func (m *Matrix) eventID() id.EventID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	return id.EventID(fmt.Sprintf("$%d", m.next))
}

// delivered returns content as a homeserver hands it on: written and read.
func delivered(kind event.Type, content *event.Content) event.Content {
	var out event.Content
	data, err := json.Marshal(content)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err == nil {
		err = out.ParseRaw(kind)
	}
	if err != nil && !errors.Is(err, event.ErrUnsupportedContentType) {
		panic(fmt.Sprintf("bridgetest: %s: %v", kind.Type, err))
	}
	return out
}

// room must be called with the lock held.
func (m *Matrix) room(roomID id.RoomID) *Room {
	room := m.rooms[roomID]
	if room == nil {
		room = &Room{Members: map[id.UserID]event.Membership{}, State: map[string]map[string]*event.Content{}}
		m.rooms[roomID] = room
	}
	return room
}

// notify must be called with the lock held.
func (m *Matrix) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Init implements [bridgev2.MatrixConnector].
func (m *Matrix) Init(bridge *bridgev2.Bridge) { m.bridge = bridge }

// Start implements [bridgev2.MatrixConnector].
func (m *Matrix) Start(context.Context) error { return nil }

// PreStop implements [bridgev2.MatrixConnector].
func (m *Matrix) PreStop() {}

// Stop implements [bridgev2.MatrixConnector].
func (m *Matrix) Stop() {}

// GetCapabilities implements [bridgev2.MatrixConnector].
func (m *Matrix) GetCapabilities() *bridgev2.MatrixCapabilities {
	return &bridgev2.MatrixCapabilities{}
}

// ServerName implements [bridgev2.MatrixConnector].
func (m *Matrix) ServerName() string { return Server }

// BotID is the Matrix id of the bot.
var BotID = UserID("mimibot")

const ghostPrefix = "@mimi_"

// ParseGhostMXID implements [bridgev2.MatrixConnector].
func (m *Matrix) ParseGhostMXID(userID id.UserID) (networkid.UserID, bool) {
	ghost, ok := strings.CutPrefix(string(userID), ghostPrefix)
	ghost, local := strings.CutSuffix(ghost, ":"+Server)
	return networkid.UserID(ghost), ok && local
}

// FormatGhostMXID implements [bridgev2.MatrixConnector].
func (m *Matrix) FormatGhostMXID(ghost networkid.UserID) id.UserID {
	return id.UserID(ghostPrefix + string(ghost) + ":" + Server)
}

// GhostIntent implements [bridgev2.MatrixConnector].
func (m *Matrix) GhostIntent(ghost networkid.UserID) bridgev2.MatrixAPI {
	return &intent{matrix: m, user: m.FormatGhostMXID(ghost)}
}

// BotIntent implements [bridgev2.MatrixConnector].
func (m *Matrix) BotIntent() bridgev2.MatrixAPI { return &intent{matrix: m, user: BotID} }

// NewUserIntent implements [bridgev2.MatrixConnector].
func (m *Matrix) NewUserIntent(_ context.Context, user id.UserID, token string) (bridgev2.MatrixAPI, string, error) {
	if !m.puppets {
		return nil, token, nil
	}
	return &intent{matrix: m, user: user, puppet: true}, "token", nil
}

// SendBridgeStatus implements [bridgev2.MatrixConnector].
func (m *Matrix) SendBridgeStatus(context.Context, *status.BridgeState) error { return nil }

// SendMessageStatus implements [bridgev2.MatrixConnector].
func (m *Matrix) SendMessageStatus(_ context.Context, ms *bridgev2.MessageStatus, _ *bridgev2.MessageStatusEventInfo) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.statuses = append(m.statuses, *ms)
	m.notify()
}

// GetMembers implements [bridgev2.MatrixConnector].
func (m *Matrix) GetMembers(_ context.Context, roomID id.RoomID) (map[id.UserID]*event.MemberEventContent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := map[id.UserID]*event.MemberEventContent{}
	for user, membership := range m.room(roomID).Members {
		if membership == event.MembershipJoin || membership == event.MembershipInvite {
			name := m.names[user]
			if content := m.room(roomID).State[event.StateMember.Type][string(user)]; content != nil && content.AsMember().Displayname != "" {
				name = content.AsMember().Displayname
			}
			out[user] = &event.MemberEventContent{Membership: membership, Displayname: name}
		}
	}
	return out, nil
}

// GetMemberInfo implements [bridgev2.MatrixConnector].
func (m *Matrix) GetMemberInfo(ctx context.Context, roomID id.RoomID, user id.UserID) (*event.MemberEventContent, error) {
	members, err := m.GetMembers(ctx, roomID)
	return members[user], err
}

// GetPowerLevels implements [bridgev2.MatrixConnector].
func (m *Matrix) GetPowerLevels(_ context.Context, roomID id.RoomID) (*event.PowerLevelsEventContent, error) {
	return m.levels(roomID), nil
}

// GetStateEvent implements [bridgev2.MatrixConnectorWithArbitraryRoomState].
func (m *Matrix) GetStateEvent(_ context.Context, roomID id.RoomID, kind event.Type, key string) (*event.Event, error) {
	content := m.Room(roomID).State[kind.Type][key]
	if content == nil {
		return nil, mautrix.MNotFound
	}
	return &event.Event{Type: kind, StateKey: &key, RoomID: roomID, Content: *content}, nil
}

// GenerateDeterministicRoomID implements [bridgev2.MatrixConnector].
func (m *Matrix) GenerateDeterministicRoomID(networkid.PortalKey) id.RoomID { return "" }

var (
	_ bridgev2.MatrixConnector                       = (*Matrix)(nil)
	_ bridgev2.MatrixConnectorWithArbitraryRoomState = (*Matrix)(nil)
	_ bridge.Profiler                                = (*Matrix)(nil)
)

// send adds an event, unless the same user sent it before under the same
// transaction id: then it answers with the first one's id.
func (m *Matrix) send(roomID id.RoomID, who id.UserID, kind event.Type, content *event.Content, txn string) *mautrix.RespSendEvent {
	key := strings.Join([]string{string(who), string(roomID), txn}, "\x00")
	m.mu.Lock()
	first, repeated := m.sent[key]
	m.mu.Unlock()
	if txn != "" && repeated {
		return &mautrix.RespSendEvent{EventID: first}
	}
	evt := m.append(roomID, who, kind, content)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent[key] = evt.ID
	return &mautrix.RespSendEvent{EventID: evt.ID}
}

func (m *Matrix) setState(roomID id.RoomID, kind event.Type, key string, content *event.Content, _ time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	room := m.room(roomID)
	if room.State[kind.Type] == nil {
		room.State[kind.Type] = map[string]*event.Content{}
	}
	got := delivered(kind, content)
	room.State[kind.Type][key] = &got
	if kind == event.StateMember {
		room.Members[id.UserID(key)] = got.AsMember().Membership
	}
	m.notify()
}

// Power gives people their power levels in a room.
func (m *Matrix) Power(roomID id.RoomID, levels map[id.UserID]int) {
	m.setState(roomID, event.StatePowerLevels, "", &event.Content{Parsed: &event.PowerLevelsEventContent{Users: levels}}, time.Time{})
}
