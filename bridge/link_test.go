package bridge_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/bridgetest"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// bot returns what the bot has told somebody in their chat with it.
func (w *world) bot(who id.UserID) []string {
	w.t.Helper()
	u, err := w.bridge.GetUserByMXID(w.t.Context(), who)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.texts(u.ManagementRoom, bridgetest.BotID)
}

// TestLinkCommands: a link is told to who has asked for it and to nobody else, with who
// can use it and until when; it is listed and withdrawn by its id.
func TestLinkCommands(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	account, alice := w.account("alice")
	w.mx.Say(t.Context(), alice, portal, "!mimi links")
	answer(t, w.mx, portal, "You have no link")
	w.mx.Say(t.Context(), alice, portal, "!mimi link --uses 3 --expires=2d")
	answer(t, w.mx, portal, "in your chat with me", "until somebody leaves")
	if n := w.engine.calls("MakeLink", account, room, 3, 48*time.Hour); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	told := strings.Join(w.bot(alice), "\n")
	for _, want := range []string{"#c=", "3 people", "2027-01-17", "stops working earlier", "unlink 00000000", "Picnic"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %q", want, told)
		}
	}
	if all := strings.Join(w.texts(portal, bridgetest.BotID), "\n"); strings.Contains(all, "#c=") {
		t.Errorf("the room was told a link: %q", all)
	}
	w.mx.Say(t.Context(), alice, portal, "!mimi links")
	answer(t, w.mx, portal, "`00000000`", "for 3 at most", "unlink")
	w.mx.Say(t.Context(), alice, portal, "!mimi unlink 00000000")
	answer(t, w.mx, portal, "Withdrawn")
	w.mx.Say(t.Context(), alice, portal, "!mimi unlink 00000000")
	answer(t, w.mx, portal, "You have no such link")
	for _, args := range []string{"7", "--uses", "--uses 0", "--uses many", "--expires 7", "--expires 0d", "--for bob"} {
		before := len(w.texts(portal, bridgetest.BotID))
		w.mx.Say(t.Context(), alice, portal, "!mimi link "+args)
		if err := w.mx.Await(t.Context(), portal, func(bridgetest.Room) bool { return len(w.texts(portal, bridgetest.BotID)) > before }); err != nil {
			t.Fatal(err)
		}
		if all := w.texts(portal, bridgetest.BotID); !strings.HasPrefix(all[before], "Usage: ") {
			t.Errorf("link %s was answered %q", args, all[before:])
		}
	}
}

func TestJoinCommand(t *testing.T) {
	both(t, func(t *testing.T, w *world) {
		account, alice := w.account("alice")
		room, _ := w.engine.room(client.RoomGroup, "Picnic", user(t, betaDomain, "bob"))
		link := room.String() + "#c=AAAA&k=BBBB"
		w.command(alice, "join "+link, "You are in “Picnic”")
		if n := w.engine.calls("JoinLink", account, link, false); n != 1 {
			t.Errorf("the calls were %q", w.engine.log)
		}
		w.deliver(&client.Event{Kind: client.EventJoined, Account: account, Room: room, Name: "Picnic"})
		portal := w.portal(room)
		if portal == "" {
			t.Fatal("there is no portal")
		}
		want := event.MembershipInvite
		if w.puppets {
			want = event.MembershipJoin
		}
		w.wantMember(portal, alice, want)
	})
}

// TestJoinErrors: each has a sentence and a next step.
func TestJoinErrors(t *testing.T) {
	w := newWorld(t, options{})
	room, _, _ := w.group()
	_, carol := w.account("carol")
	for cause, want := range map[error]string{
		client.ErrLinkForm:          "not a whole join link",
		client.ErrLinkDead:          "it has expired, has been used as often as it may, or has ended because somebody left",
		client.ErrLinkRemoval:       "Somebody is being removed",
		client.ErrNotPseudonymous:   "see who is in it",
		client.ErrFull:              "as many people",
		client.ErrAlreadyMember:     "already",
		client.ErrUnreachable:       "cannot be reached",
		identity.ErrMetadataTooLong: "too long together",
	} {
		w.engine.failing("JoinLink", cause)
		w.command(carol, "join "+room.String()+"#c=A&k=B pseudonymously", want)
	}
	w.command(carol, "join", "Usage: `!mimi join <link>")
	w.command(carol, "join nonsense", "not a whole join link")
}

// TestPastedLink: a link without a command is one, and does not reach bridgev2 as the
// name of a command, which it would log.
func TestPastedLink(t *testing.T) {
	w := newWorld(t, options{})
	account, alice := w.account("alice")
	room, _ := w.engine.room(client.RoomGroup, "Picnic", user(t, betaDomain, "bob"))
	w.command(alice, "version", "test")
	u, err := w.bridge.GetUserByMXID(t.Context(), alice)
	if err != nil {
		t.Fatal(err)
	}
	link := room.String() + "#c=AAAA&k=BBBB"
	w.mx.Say(t.Context(), alice, u.ManagementRoom, " "+link)
	answer(t, w.mx, u.ManagementRoom, "You are in “Picnic”")
	if n := w.engine.calls("JoinLink", account, link, false); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	// With the prefix it is said to the bot in any room; without, it is said to people.
	_, _, portal := w.group()
	other, _ := w.engine.room(client.RoomGroup, "Tea", user(t, betaDomain, "bob"))
	w.mx.Say(t.Context(), alice, portal, "!mimi "+other.String()+"#c=AAAA&k=BBBB")
	answer(t, w.mx, portal, "You are in “Tea”")
	source, _ := w.mx.Say(t.Context(), alice, portal, link)
	if n := len(w.texts(portal, bridgetest.BotID)); w.engine.message(mustRoom(t, w, portal), string(source)) == nil {
		t.Errorf("the link was not sent to the room; the bot has said %d things", n)
	}
}

// mustRoom returns the MIMI room of a portal.
func mustRoom(t *testing.T, w *world, portal id.RoomID) mimi.URI {
	t.Helper()
	p, err := w.bridge.GetPortalByMXID(t.Context(), portal)
	if err != nil || p == nil {
		t.Fatal(err)
	}
	room, err := mimi.ParseURI(string(p.ID))
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// TestChoiceOfInvited: who is added to a room where nobody has to show who they are is
// told so, and can join without.
func TestChoiceOfInvited(t *testing.T) {
	w := newWorld(t, options{})
	account, alice := w.account("alice")
	room, people := w.engine.room(client.RoomGroup, "Ball", user(t, betaDomain, "bob"), account)
	w.engine.rooms[room].Requirement = identity.RequireNone
	w.engine.state(room, account, client.LeafInvited)
	w.deliver(&client.Event{
		Kind: client.EventInvited, Room: room, Account: account, Actor: people[0], Name: "Ball", Requirement: identity.RequireNone,
	})
	said := "join " + room.ID[:8] + " pseudonymously"
	if told := strings.Join(w.bot(alice), "\n"); !strings.Contains(told, said) || !strings.Contains(told, "Nobody has to show") {
		t.Fatalf("Alice was told %q", told)
	}
	w.command(alice, said, "You are in “Ball”")
	if n := w.engine.calls("JoinPseudonymously", account, room); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	if all := strings.Join(w.texts(w.portal(room), bridgetest.BotID), "\n"); !strings.Contains(all, "Nobody has to show here who they are") {
		t.Errorf("the disclosure is %q", all)
	}
}

// TestTypesOfGroups: the type says whose identity is seen, and is the usual one if
// nothing is said.
func TestTypesOfGroups(t *testing.T) {
	for args, want := range map[string]identity.LinkRequirement{
		"": identity.RequireAll, " group": identity.RequireAll, " admins": identity.RequireAdmins,
		" optional": identity.RequireNone, " forbidden": identity.Forbidden,
	} {
		w := newWorld(t, options{})
		_, alice := w.account("alice")
		room := w.mx.CreateRoomAs(alice)
		w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 100})
		w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
		w.mx.Rename(t.Context(), alice, room, "Ball")
		w.mx.Say(t.Context(), alice, room, "!mimi create-group"+args)
		answer(t, w.mx, room, "Successfully created group")
		for _, info := range w.engine.rooms {
			if info.Requirement != want {
				t.Errorf("create-group%s makes a room with the requirement %d", args, info.Requirement)
			}
		}
		if want == identity.Forbidden {
			answer(t, w.mx, room, "Nobody is verified here")
		}
	}
}

func TestLoosenAndIdentify(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.mx.Say(t.Context(), alice, portal, "!mimi loosen all")
	answer(t, w.mx, portal, "Usage: `!mimi loosen admins`")
	w.mx.Say(t.Context(), alice, portal, "!mimi loosen optional")
	answer(t, w.mx, portal, "Everybody in the room is told")
	if n := w.engine.calls("Loosen", account, room, identity.RequireNone); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	w.deliver(&client.Event{Kind: client.EventPolicy, Room: room, Actor: people[1], Requirement: identity.RequireNone})
	answer(t, w.mx, portal, "bob@mimi.beta.localhost has changed who is seen", "Nobody has to show here who they are")
	w.engine.failing("Loosen", identity.ErrPolicyChange)
	w.mx.Say(t.Context(), alice, portal, "!mimi loosen admins")
	answer(t, w.mx, portal, "can only be loosened")
	w.mx.Say(t.Context(), alice, portal, "!mimi identify")
	answer(t, w.mx, portal, "see your address and your name now")
	if n := w.engine.calls("Identify", account, room); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
}

func TestLinkAlerts(t *testing.T) {
	w := newWorld(t, options{})
	room, _, portal := w.group()
	account, alice := w.account("alice")
	w.deliver(&client.Event{Kind: client.EventAlert, Account: account, Room: room, Name: "Picnic", Reason: client.ReasonLinkDied})
	w.deliver(&client.Event{Kind: client.EventRefused, Account: account, Reason: client.ReasonLinkFailed})
	told := w.bot(alice)
	if len(told) != 2 || !strings.Contains(told[0], "Your links to “Picnic” do not work") || !strings.Contains(told[1], "`join`") && !strings.Contains(told[1], "Say join") {
		t.Errorf("Alice was told %q", told)
	}
	if all := strings.Join(w.texts(portal, bridgetest.BotID), "\n"); strings.Contains(all, "links") {
		t.Errorf("the room was told %q", all)
	}
}

// TestRemovingTheUnverified: who is known by a pseudonym alone is removed by it.
func TestRemovingTheUnverified(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	members := w.engine.rooms[room].Members
	members[1].User, members[1].Hidden = mimi.URI{}, true
	w.deliver(&client.Event{Kind: client.EventMembers, Room: room})
	pseudonym := people[1].Pseudonym
	ghost, ok := w.ghosts(portal)[pseudonym.Handle()+" (unverified)"]
	if !ok {
		t.Fatalf("the ghosts are %v", w.ghosts(portal))
	}
	w.mx.Kick(t.Context(), alice, ghost, portal)
	if n := w.engine.calls("Kick", account, room, pseudonym); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
}

func topicOf(w *world, portal id.RoomID) string {
	content, ok := w.mx.Room(portal).State[event.StateTopic.Type][""]
	if !ok {
		return ""
	}
	return content.AsTopic().Topic
}

func TestTopicOfTheRoom(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	w.mx.Describe(t.Context(), alice, portal, event.StateTopic, &event.TopicEventContent{Topic: "Cakes"})
	if n := w.engine.calls("SetTopic", account, room, "Cakes"); n != 1 {
		t.Errorf("the calls were %q", w.engine.log)
	}
	w.engine.rooms[room].Topic = "Tea"
	w.deliver(&client.Event{Kind: client.EventRoom, Room: room, Actor: people[1], Name: "Picnic"})
	if topic := topicOf(w, portal); topic != "Tea" {
		t.Errorf("the topic is %q", topic)
	}
	w.engine.failing("SetTopic", client.ErrDenied)
	w.mx.Describe(t.Context(), alice, portal, event.StateTopic, &event.TopicEventContent{Topic: "Nonsense"})
	if topic := topicOf(w, portal); topic != "Tea" {
		t.Errorf("a topic that was refused stays: %q", topic)
	}
	w.engine.failing("SetTopic", nil)
	w.engine.rooms[room].Topic = ""
	w.deliver(&client.Event{Kind: client.EventRoom, Room: room, Actor: people[1], Name: "Picnic"})
	if topic := topicOf(w, portal); topic != "" {
		t.Errorf("a topic that was taken away stays: %q", topic)
	}
}

// photograph returns a picture with something in its file that nobody is to see.
func photograph(t *testing.T, width, height int, encode func(*bytes.Buffer, image.Image) error) []byte {
	t.Helper()
	p := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			p.SetRGBA(x, y, color.RGBA{uint8(x * 7), uint8(y * 13), uint8(x * y), 0xff})
		}
	}
	var b bytes.Buffer
	if err := encode(&b, p); err != nil {
		t.Fatal(err)
	}
	return append(b.Bytes(), "taken at 51.75 N, 1.26 W"...)
}

// TestPictureOfTheRoom: it is made small, without what else its file says; what comes
// from elsewhere is shown; what is none is refused with a reason.
func TestPictureOfTheRoom(t *testing.T) {
	w := newWorld(t, options{})
	room, people, portal := w.group()
	account, alice := w.account("alice")
	set := func(data []byte) {
		t.Helper()
		w.mx.Describe(t.Context(), alice, portal, event.StateRoomAvatar, &event.RoomAvatarEventContent{URL: w.mx.Upload(data)})
	}
	for what, data := range map[string][]byte{
		"a large PNG": photograph(t, 1200, 700, func(b *bytes.Buffer, p image.Image) error { return png.Encode(b, p) }),
		"a JPEG":      photograph(t, 90, 300, func(b *bytes.Buffer, p image.Image) error { return jpeg.Encode(b, p, nil) }),
	} {
		set(data)
		a := w.engine.rooms[room].Avatar
		if a == nil {
			t.Fatalf("%s: the room has no picture; the bot says %q", what, w.texts(portal, bridgetest.BotID))
		}
		if _, err := a.URI(); err != nil || bytes.Contains(a.Data, []byte("taken at")) {
			t.Errorf("%s: it is sent as it was, or too large (%v)", what, err)
		}
		small, _, err := image.Decode(bytes.NewReader(a.Data))
		if err != nil || small.Bounds().Dx() > 256 || small.Bounds().Dy() > 256 {
			t.Errorf("%s: it is sent as %v, %v", what, small.Bounds(), err)
		}
		w.engine.rooms[room].Avatar = nil
	}
	for what, data := range map[string][]byte{
		"a text":          []byte("this is no picture"),
		"too many pixels": header(t, 1<<15, 1<<15),
		"nothing":         {},
	} {
		before := len(w.mx.Statuses())
		set(data)
		if w.engine.rooms[room].Avatar != nil {
			t.Errorf("%s is the room's picture", what)
		}
		statuses := w.mx.Statuses()
		if len(statuses) == before || !strings.Contains(fmt.Sprint(statuses[len(statuses)-1].Message), "picture of the room in MIMI") {
			t.Errorf("%s: the person was told %+v", what, statuses[before:])
		}
	}
	theirs := rules.Avatar{MediaType: "image/png", Data: []byte("a picture from elsewhere")}
	w.engine.rooms[room].Avatar = &theirs
	w.deliver(&client.Event{Kind: client.EventRoom, Room: room, Actor: people[1], Name: "Picnic"})
	shown := w.mx.Room(portal).State[event.StateRoomAvatar.Type][""].AsRoomAvatar().URL
	if data, ok := w.mx.Media(shown); !ok || !bytes.Equal(data, theirs.Data) {
		t.Errorf("the room shows %s", shown)
	}
	w.mx.Describe(t.Context(), alice, portal, event.StateRoomAvatar, &event.RoomAvatarEventContent{})
	if n := w.engine.calls("SetAvatar", account, room, false); n != 1 || w.engine.rooms[room].Avatar != nil {
		t.Errorf("a picture that was taken away is still there")
	}
}

// TestPictureOfANewGroup: a group begins with the topic and the picture of its Matrix
// room, and keeps that as it is.
func TestPictureOfANewGroup(t *testing.T) {
	for what, data := range map[string][]byte{
		"a picture": photograph(t, 400, 400, func(b *bytes.Buffer, p image.Image) error { return jpeg.Encode(b, p, nil) }),
		"a text":    []byte("this is no picture"),
	} {
		w := newWorld(t, options{})
		_, alice := w.account("alice")
		room := w.mx.CreateRoomAs(alice)
		w.mx.Power(room, map[id.UserID]int{alice: 100, bridgetest.BotID: 100})
		w.mx.Invite(t.Context(), alice, bridgetest.BotID, room)
		original := w.mx.Upload(data)
		w.mx.Describe(t.Context(), alice, room, event.StateTopic, &event.TopicEventContent{Topic: "Cakes"})
		w.mx.Describe(t.Context(), alice, room, event.StateRoomAvatar, &event.RoomAvatarEventContent{URL: original})
		w.mx.Say(t.Context(), alice, room, "!mimi create-group")
		answer(t, w.mx, room, "Successfully created group")
		for uri, info := range w.engine.rooms {
			if info.Topic != "Cakes" || (info.Avatar != nil) != (what == "a picture") {
				t.Errorf("%s: the group is %+v", what, info)
			}
			w.deliver(&client.Event{Kind: client.EventRoom, Room: uri, Name: info.Name})
		}
		if what == "a text" {
			answer(t, w.mx, room, "can't be the picture of the room")
		}
		if shown := w.mx.Room(room).State[event.StateRoomAvatar.Type][""].AsRoomAvatar().URL; shown != original {
			t.Errorf("%s: the Matrix room shows %s, and had %s", what, shown, original)
		}
	}
}

// header is the beginning of a PNG that says how large it is, and ends.
func header(t *testing.T, width, height uint32) []byte {
	t.Helper()
	data := photograph(t, 1, 1, func(b *bytes.Buffer, p image.Image) error { return png.Encode(b, p) })
	for i := range 4 {
		data[16+i], data[20+i] = byte(width>>(24-8*i)), byte(height>>(24-8*i))
	}
	return data[:33]
}
