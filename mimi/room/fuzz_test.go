package room_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// testRandom makes the same pseudonyms in every run.
var testRandom = rand.NewChaCha8([32]byte{})

// A decoder decodes one type, whichever it is.
type decoder struct {
	is     func(wire.Message) bool
	decode func([]byte) error
}

func decoderOf[T any, P interface {
	*T
	wire.Message
}]() decoder {
	return decoder{
		func(m wire.Message) bool { _, ok := m.(P); return ok },
		func(data []byte) error { _, err := room.Decode[T, P](data); return err },
	}
}

var decoders = []decoder{
	decoderOf[room.ParticipantList](), decoderOf[room.ParticipantListUpdate](), decoderOf[room.RoomMetadata](),
	decoderOf[room.RoleList](), decoderOf[room.PreauthorizedUsers](), decoderOf[room.BasePolicy](),
	decoderOf[room.StatusNotificationPolicy](), decoderOf[room.JoinLinkPolicy](), decoderOf[room.JoinLinks](),
	decoderOf[room.JoinLinksUpdate](), decoderOf[room.LinkPreviewPolicy](), decoderOf[room.AssetPolicy](),
	decoderOf[room.LoggingPolicy](), decoderOf[room.HistoryPolicy](), decoderOf[room.BotPolicy](),
	decoderOf[room.MessageExpiration](), decoderOf[room.OperationalParameters](),
}

// fuzzDecoder checks that what decodes encodes to the same octets: there is one
// encoding per value. Every seed must be accepted, and refused with an octet
// behind it.
func fuzzDecoder[T any, P interface {
	*T
	wire.Message
}](f *testing.F, seeds ...T) {
	f.Helper()
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for i := range seeds {
		data := encode(f, P(&seeds[i]))
		if _, err := room.Decode[T, P](data); err != nil {
			f.Fatalf("seed %d: %v", i, err)
		}
		f.Add(data)
		data = append(data, 0)
		if _, err := room.Decode[T, P](data); err == nil {
			f.Fatalf("seed %d is accepted with an octet behind it", i)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := room.Decode[T, P](data)
		if err != nil {
			t.Skip(err)
		}
		if again := encode(t, P(&v)); !bytes.Equal(again, data) {
			t.Errorf("%x encodes again as %x", data, again)
		}
	})
}

func FuzzParticipantList(f *testing.F) {
	fuzzDecoder(f, room.ParticipantList{}, room.ParticipantList{Participants: []room.Participant{{User: alice, Role: 2}, {User: hub, Role: 5}}})
}

func FuzzParticipantListUpdate(f *testing.F) {
	fuzzDecoder(f, room.ParticipantListUpdate{
		Changed: []room.RoleAssignment{{Index: 1, Role: 2}}, Removed: []uint32{0, 2}, Added: []room.Participant{{User: bob, Role: 3}},
	})
}

func FuzzRoomMetadata(f *testing.F) {
	fuzzDecoder(f, room.RoomMetadata{
		URI: "mimi://hub.example/r/x", Name: "Name", Avatar: "https://x.example/a", Subject: "s", Mood: "m",
		Descriptions: []room.RichDescription{{Content: []byte("words")}, {MediaType: "image/png", Language: "en", Content: []byte{0xff}}},
	})
}

func FuzzRoleList(f *testing.F) {
	fuzzDecoder(f, room.Cooperative().Roles, room.ConnectionRoom().Roles, room.RoleList{})
}

func FuzzPreauthorizedUsers(f *testing.F) {
	fuzzDecoder(f, room.PreauthorizedUsers{Entries: []room.Preauthorization{{Claims: staff, Role: room.Cooperative().Roles.Roles[2]}}})
}

func FuzzBasePolicy(f *testing.F) {
	fuzzDecoder(f, room.Cooperative().Base, room.ConnectionRoom().Base, room.BasePolicy{ParentDependent: true, Parent: "mimi://hub.example/r/x", MaxClients: ptr(9)})
}

func FuzzStatusNotificationPolicy(f *testing.F) {
	fuzzDecoder(f, room.StatusNotificationPolicy{ReadReceipts: room.Forbidden})
}

func FuzzJoinLinkPolicy(f *testing.F) {
	fuzzDecoder(f, room.JoinLinkPolicy{OnRequest: true, Link: "https://x.example/", Expiration: 1})
}

func FuzzJoinLinks(f *testing.F) {
	fuzzDecoder(f, room.JoinLinks{Links: [][]byte{{1}, {2, 3}}})
}

func FuzzJoinLinksUpdate(f *testing.F) {
	fuzzDecoder(f, room.JoinLinksUpdate{Removed: []uint32{1}, Added: [][]byte{{2, 3}}})
}

func FuzzLinkPreviewPolicy(f *testing.F) {
	fuzzDecoder(f, room.LinkPreviewPolicy{ProxyUse: room.Forbidden}, room.LinkPreviewPolicy{Proxy: "https://x.example/"})
}

func FuzzAssetPolicy(f *testing.F) {
	fuzzDecoder(f, room.AssetPolicy{
		UploadLocation:      room.UploadHub,
		UploadDomains:       []room.ProviderUploadDomains{{Provider: "hub.example", Destinations: []string{"a.example", "b.example"}}},
		Download:            room.DownloadPrivacy{Allowed: []room.DownloadPrivacyType{room.DownloadOHTTP}, Default: room.DownloadOHTTP},
		MaxImage:            1 << 20,
		ForbiddenMediaTypes: []room.MediaType{{Type: "text/html", Parameters: []room.MediaParameter{{Name: "charset", Value: "UTF-8"}}}},
		PermittedMediaTypes: &[]room.MediaType{{Type: "image/png"}},
	})
}

func FuzzLoggingPolicy(f *testing.F) {
	fuzzDecoder(f, room.LoggingPolicy{Logging: room.Forbidden}, room.LoggingPolicy{Logging: room.Required, Clients: []string{"mimi://a.example/d/log"}})
}

func FuzzHistoryPolicy(f *testing.F) {
	fuzzDecoder(f, room.HistoryPolicy{Sharing: room.Forbidden}, room.HistoryPolicy{Roles: []uint32{2}, Automatic: true, MaxPeriod: 60})
}

func FuzzBotPolicy(f *testing.F) {
	fuzzDecoder(f, room.BotPolicy{Bots: []room.Bot{{Name: "poker", Homepage: "https://x.example/", Role: 2, PerUser: true}, {Local: true}}})
}

func FuzzMessageExpiration(f *testing.F) {
	fuzzDecoder(f, room.MessageExpiration{Expiring: room.Forbidden}, room.MessageExpiration{Min: 1, Max: 9, Default: ptr(3)})
}

func FuzzOperationalParameters(f *testing.F) {
	fuzzDecoder(f, room.OperationalParameters{
		Mandatory:        room.ExtendedCapabilities{Versions: []uint16{1}, Components: []room.ComponentID{0x22}, ContentTypes: []uint8{1}},
		Forbidden:        room.ExtendedCapabilities{MediaTypes: []room.MediaType{{Type: "text/html"}}},
		PendingProposals: room.PendingProposalPolicy{Strategy: room.CommitRandomDelay, MinDelay: 1, MaxDelay: 2},
	})
}

// FuzzOpen opens rooms whose three required components are arbitrary.
func FuzzOpen(f *testing.F) {
	for _, in := range []room.Instance{room.Cooperative(), room.ConnectionRoom()} {
		data, err := room.InitialComponents(alice, in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[room.ComponentParticipantList], data[room.ComponentRolesList], data[room.ComponentBasePolicy], []byte{0, 0, 0})
		f.Add(data[room.ComponentParticipantList], data[room.ComponentRolesList], []byte{}, []byte{0, 0, 0}) // refused
	}
	f.Fuzz(func(t *testing.T, participants, roles, base, update []byte) {
		s, err := room.Open(room.Components{
			room.ComponentParticipantList: participants, room.ComponentRolesList: roles, room.ComponentBasePolicy: base,
		}, nil)
		if err != nil {
			t.Skip(err)
		}
		before := s.Components()
		next, err := s.Apply(room.Change{Actions: from(room.Actor{Kind: room.ExternalSender}, room.UpdateComponent{ID: room.ComponentParticipantList, Data: update})})
		if err == nil {
			reopens(t, next)
		}
		unchanged(t, s, before)
	})
}
