package room_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The people of the tests.
var (
	alice = user("a.example", "alice")
	bob   = user("b.example", "bob")
	cathy = user("c.example", "cathy")
	dave  = user("d.example", "dave")
	erin  = user("e.example", "erin")
	hub   = mimi.ProviderURI("hub.example")
)

func user(domain, name string) mimi.URI {
	return mimi.URI{Domain: domain, Kind: mimi.KindUser, ID: name}
}

func ptr(n uint32) *uint32 { return &n }

func encode(t testing.TB, m wire.Message) []byte {
	t.Helper()
	data, err := room.Encode(m)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return data
}

// A setting is a room to be built for a test.
type setting struct {
	roles   []room.Role
	base    room.BasePolicy
	people  []room.Participant
	clients map[mimi.URI]int
	preauth []room.Preauthorization
	more    map[room.ComponentID]wire.Message
}

func (s setting) components(t testing.TB) room.Components {
	t.Helper()
	s.base.Policies = []room.ComponentID{room.ComponentRolesList}
	data := room.Components{
		room.ComponentParticipantList: encode(t, &room.ParticipantList{Participants: s.people}),
		room.ComponentRolesList:       encode(t, &room.RoleList{Roles: s.roles}),
	}
	if s.preauth != nil {
		s.base.Policies = append(s.base.Policies, room.ComponentPreauthList)
		data[room.ComponentPreauthList] = encode(t, &room.PreauthorizedUsers{Entries: s.preauth})
	}
	data[room.ComponentBasePolicy] = encode(t, &s.base)
	for id, m := range s.more {
		data[id] = encode(t, m)
	}
	return data
}

func (s setting) open(t testing.TB) *room.State {
	t.Helper()
	state, err := room.Open(s.components(t), s.clients)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return state
}

// by returns actions of a member.
func by(u mimi.URI, ops ...room.Operation) []room.Action {
	return from(room.Actor{User: u}, ops...)
}

func from(a room.Actor, ops ...room.Operation) []room.Action {
	var actions []room.Action
	for _, op := range ops {
		actions = append(actions, room.Action{Actor: a, Operation: op})
	}
	return actions
}

// list returns an update of the participant list.
func list(t testing.TB, u room.ParticipantListUpdate) room.UpdateComponent {
	t.Helper()
	return room.UpdateComponent{ID: room.ComponentParticipantList, Data: encode(t, &u)}
}

func added(t testing.TB, u mimi.URI, role uint32) room.UpdateComponent {
	t.Helper()
	return list(t, room.ParticipantListUpdate{Added: []room.Participant{{User: u, Role: role}}})
}

func removed(t testing.TB, s *room.State, u mimi.URI) room.UpdateComponent {
	t.Helper()
	return list(t, room.ParticipantListUpdate{Removed: []uint32{position(t, s, u)}})
}

func changed(t testing.TB, s *room.State, u mimi.URI, role uint32) room.UpdateComponent {
	t.Helper()
	return list(t, room.ParticipantListUpdate{Changed: []room.RoleAssignment{{Index: position(t, s, u), Role: role}}})
}

func position(t testing.TB, s *room.State, u mimi.URI) uint32 {
	t.Helper()
	i, ok := s.Find(u)
	if !ok {
		t.Fatalf("%s is no participant", u)
	}
	return i
}

func update(t testing.TB, id room.ComponentID, m wire.Message) room.UpdateComponent {
	t.Helper()
	return room.UpdateComponent{ID: id, Data: encode(t, m)}
}

// accept decides and demands success. It checks what every accepted change has in
// common: the result is a room that opens, and the old room is as it was.
func accept(t testing.TB, s *room.State, ch room.Change) *room.State {
	t.Helper()
	before := s.Components()
	next, err := room.Decide(s, ch)
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	unchanged(t, s, before)
	reopens(t, next)
	return next
}

// refuse decides and demands an error that is want, and an unchanged room.
func refuse(t testing.TB, s *room.State, ch room.Change, want error) {
	t.Helper()
	before := s.Components()
	next, err := room.Decide(s, ch)
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	if errors.Is(err, room.ErrInvalid) == errors.Is(err, room.ErrDenied) {
		t.Errorf("error is neither invalid nor denied, or both: %v", err)
	}
	if next != nil {
		t.Error("refused, but there is a new state")
	}
	unchanged(t, s, before)
}

func unchanged(t testing.TB, s *room.State, before room.Components) {
	t.Helper()
	if !maps.EqualFunc(s.Components(), before, slices.Equal[[]byte]) {
		t.Fatal("the state was modified")
	}
}

func reopens(t testing.TB, s *room.State) {
	t.Helper()
	clients := map[mimi.URI]int{}
	for _, p := range s.Participants() {
		clients[p.User] = s.Clients(p.User)
	}
	again, err := room.Open(s.Components(), clients)
	if err != nil {
		t.Fatalf("accepted state does not open: %v", err)
	}
	if !slices.Equal(again.Participants(), s.Participants()) {
		t.Fatal("accepted state reopens with other participants")
	}
	for _, p := range s.Participants() {
		if again.Role(p.User) != s.Role(p.User) || again.Clients(p.User) != s.Clients(p.User) {
			t.Fatal("accepted state reopens with other roles or clients")
		}
	}
}

// registry returns the draft's registry of capabilities.
func registry(t testing.TB) map[room.Capability]string {
	t.Helper()
	data, err := os.ReadFile("testdata/draft-ietf-mimi-room-policy-03/capabilities.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[room.Capability]string{}
	for line := range strings.Lines(string(data)) {
		value, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 0, 16)
		if err != nil || !ok {
			t.Fatalf("line %q: %v", line, err)
		}
		names[room.Capability(n)] = name
	}
	if len(names) != 77 {
		t.Fatalf("%d capabilities", len(names))
	}
	return names
}

func TestCapabilityNames(t *testing.T) {
	for c, name := range registry(t) {
		if c.String() != name {
			t.Errorf("%#04x is %s, want %s", uint16(c), c, name)
		}
	}
	if got := room.Capability(0xf00d).String(); got != "capability 0xf00d" {
		t.Errorf("private capability is %s", got)
	}
}

func TestComponentNumbers(t *testing.T) {
	want := map[room.ComponentID]string{
		0x22: "participant_list", 0x23: "room_metadata", 0x24: "mls_operational_policy", 0x25: "roles_list",
		0x26: "preauth_list", 0x27: "base_room_policy", 0x28: "status_notification_policy", 0x29: "join_link_policy",
		0x2a: "join_links", 0x2b: "link_preview_policy", 0x2c: "asset_policy", 0x2d: "logging_policy",
		0x2e: "chat_history_policy", 0x2f: "bot_policy", 0x30: "message_expiration_policy",
		0x8d44: "minimal_metadata_policy", 0x8d46: "encrypted_room_metadata",
	}
	for id, name := range want {
		if id.String() != name {
			t.Errorf("%#04x is %s, want %s", uint16(id), id, name)
		}
	}
	if got := room.KnownComponents(); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Errorf("known components %v", got)
	}
}
