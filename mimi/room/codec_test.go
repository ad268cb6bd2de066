package room_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// TestOctets pins encodings that were written by hand from the drafts.
func TestOctets(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("00", n) }
	for _, tc := range []struct {
		name string
		m    wire.Message
		want string
	}{
		{
			"ParticipantListData", &room.ParticipantList{Participants: []room.Participant{{User: user("a.b", "c"), Role: 2}}},
			"13" + "0e" + hex.EncodeToString([]byte("mimi://a.b/u/c")) + "00000002",
		},
		{
			"ParticipantListUpdate", &room.ParticipantListUpdate{Changed: []room.RoleAssignment{{Index: 1, Role: 2}}, Removed: []uint32{3}},
			"08" + "00000001" + "00000002" + "04" + "00000003" + "00",
		},
		{
			"RoleData", &room.RoleList{Roles: []room.Role{{
				Index: 2, Name: "x", Capabilities: []room.Capability{room.CanKick, room.CanSendMessage},
				MaxParticipants: ptr(7), Transitions: []room.Transition{{From: 0, To: []uint32{2}}},
			}}},
			"24" + "00000002" + "0178" + "00" + "04000c0100" + "00000000" + "0100000007" + "00000000" + "00" + "09" + "00000000" + "0400000002",
		},
		{
			"BaseRoomPolicy", &room.BasePolicy{MultiDevice: true, MaxUsers: ptr(2), Pseudonyms: true, Policies: []room.ComponentID{0x25}},
			"00" + "00" + "00" + "01" + "00" + "0100000002" + "01" + "00" + "00" + "020025",
		},
		{
			"BaseRoomPolicy with parent", &room.BasePolicy{ParentDependent: true, Parent: "x:y"},
			"00" + "01" + "04" + "03" + "783a79" + "00" + "00" + "00" + "00" + "00" + "00" + "00",
		},
		{"StatusNotificationPolicy", &room.StatusNotificationPolicy{DeliveryNotifications: room.Required, ReadReceipts: room.Forbidden}, "0102"},
		{"JoinLinkPolicy", &room.JoinLinkPolicy{OnRequest: true, Link: "x:y", Expiration: 60}, "01" + "03783a79" + "00" + "0000003c"},
		{"JoinLinksData", &room.JoinLinks{Links: [][]byte{{1, 2}}}, "03" + "02" + "0102"},
		{"LinkPreviewPolicy", &room.LinkPreviewPolicy{ProxyUse: room.Required, Proxy: "x:y"}, "00000001" + "0403783a79"},
		{"LinkPreviewPolicy without proxy", &room.LinkPreviewPolicy{ProxyUse: room.Forbidden}, "00000002"},
		{"LoggingPolicy", &room.LoggingPolicy{Logging: room.Required, Clients: []string{"x:y"}}, "01" + "0403783a79" + "00" + "00"},
		{"LoggingPolicy, forbidden", &room.LoggingPolicy{Logging: room.Forbidden}, "02"},
		{"HistoryPolicy", &room.HistoryPolicy{Roles: []uint32{2}, Automatic: true, MaxPeriod: 5}, "00" + "0400000002" + "01" + "00000005"},
		{"MessageExpiration", &room.MessageExpiration{Min: 1, Max: 3, Default: ptr(2)}, "00" + "00000001" + "00000003" + "0100000002"},
		{"BotPolicy", &room.BotPolicy{Bots: []room.Bot{{Name: "b", Role: 2, PerUser: true}}}, "0b" + "0162" + "00" + "00" + "00" + "00000002" + "00" + "01"},
		{"AssetPolicy", &room.AssetPolicy{PermittedMediaTypes: &[]room.MediaType{{Type: "a/b"}}}, "00" + "00" + "00" + "00" + "00" + zeros(32) + "00" + "01" + "05" + "03612f62" + "00"},
		{"RoomMetaData", &room.RoomMetadata{URI: "x:y", Name: "n"}, "03783a79" + "016e" + "00" + "00" + "00" + "00"},
		{"PreAuthData", &room.PreauthorizedUsers{Entries: []room.Preauthorization{{
			Claims: []room.Claim{{CredentialType: 2, ID: []byte{1}, Value: []byte{2}}}, Role: room.Role{Index: 2, Name: "x"},
		}}}, "1a" + "06" + "0002" + "0101" + "0102" + "00000002" + "0178" + "00" + "00" + "00000000" + "00" + "00000000" + "00" + "00"},
		{"OperationalParameters", &room.OperationalParameters{}, zeros(30) + "00" + "00" + "00" + "00" + zeros(24) + zeros(7) + zeros(24) + zeros(24) + zeros(4) + zeros(24) + zeros(4)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := hex.EncodeToString(encode(t, tc.m)); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}

// A breach is a component that must neither be encoded nor be decoded.
type breach struct {
	must string
	m    wire.Message
	want error
}

func role(edit func(*room.Role)) wire.Message {
	r := room.Role{Index: 2, Name: "x"}
	edit(&r)
	return &room.RoleList{Roles: []room.Role{r}}
}

func breaches() []breach {
	valid := room.Role{Index: 2, Name: "x"}
	long := strings.Repeat("x", room.MaxURI)
	return []breach{
		{"a user has exactly one role", &room.ParticipantList{Participants: []room.Participant{{User: alice, Role: 2}, {User: alice, Role: 3}}}, room.ErrDuplicate},
		{"role zero is no participant's", &room.ParticipantList{Participants: []room.Participant{{User: alice}}}, room.ErrRoleZero},
		{"a participant is a user", &room.ParticipantList{Participants: []room.Participant{{User: mimi.URI{Domain: "a.example", Kind: mimi.KindRoom, ID: "x"}, Role: 2}}}, room.ErrURIField},
		{"a participant has a URI", &room.ParticipantList{Participants: []room.Participant{{Role: 2}}}, mimi.ErrURI},
		{"nobody is changed to role zero", &room.ParticipantListUpdate{Changed: []room.RoleAssignment{{}}}, room.ErrRoleZero},
		{"nobody is added in role zero", &room.ParticipantListUpdate{Added: []room.Participant{{User: alice}}}, room.ErrRoleZero},
		{"too many removals", &room.ParticipantListUpdate{Removed: make([]uint32, room.MaxParticipants+1)}, room.ErrTooLarge},

		{"role_index is unique", &room.RoleList{Roles: []room.Role{valid, valid}}, room.ErrDuplicate},
		{"the banned role has index 1", role(func(r *room.Role) { r.Name = "banned" }), room.ErrBannedRole},
		{"a role has a name", role(func(r *room.Role) { r.Name = "" }), room.ErrText},
		{"a role name is UTF-8", role(func(r *room.Role) { r.Name = "\xff" }), room.ErrText},
		{"a role name has no nulls", role(func(r *room.Role) { r.Name = "a\x00" }), room.ErrText},
		{"a role name is short", role(func(r *room.Role) { r.Name = long }), room.ErrTooLarge},
		{"a description is short", role(func(r *room.Role) { r.Description = strings.Repeat("x", room.MaxText+1) }), room.ErrTooLarge},
		{"canOpenJoin MUST NOT appear in any non-zero role", role(func(r *room.Role) { r.Capabilities = []room.Capability{room.CanOpenJoin} }), room.ErrOpenJoinRole},
		{"capabilities are distinct", role(func(r *room.Role) { r.Capabilities = []room.Capability{room.CanKick, room.CanKick} }), room.ErrDuplicate},
		{"capabilities are limited", role(func(r *room.Role) {
			for c := range room.Capability(room.MaxCapabilities + 1) {
				r.Capabilities = append(r.Capabilities, 0xf000+c)
			}
		}), room.ErrTooLarge},
		{"minimum is not above maximum", role(func(r *room.Role) { r.MinParticipants, r.MaxParticipants = 2, ptr(1) }), room.ErrRange},
		{"active minimum is not above maximum", role(func(r *room.Role) { r.MinActive, r.MaxActive = 2, ptr(1) }), room.ErrRange},
		{"one entry per source role", role(func(r *room.Role) { r.Transitions = []room.Transition{{From: 2}, {From: 2}} }), room.ErrDuplicate},
		{"targets are distinct", role(func(r *room.Role) { r.Transitions = []room.Transition{{To: []uint32{2, 2}}} }), room.ErrDuplicate},
		{"source roles exist", role(func(r *room.Role) { r.Transitions = []room.Transition{{From: 9}} }), room.ErrUnknownRole},
		{"target roles exist", role(func(r *room.Role) { r.Transitions = []room.Transition{{To: []uint32{9}}} }), room.ErrUnknownRole},
		{"roles are limited", &room.RoleList{Roles: func() (l []room.Role) {
			for i := range uint32(room.MaxRoles + 1) {
				l = append(l, room.Role{Index: i + 2, Name: "x"})
			}
			return l
		}()}, room.ErrTooLarge},

		{"a preauthorization has claims", &room.PreauthorizedUsers{Entries: []room.Preauthorization{{Role: valid}}}, room.ErrConflict},
		{"nobody is preauthorized for role zero", &room.PreauthorizedUsers{Entries: []room.Preauthorization{{Claims: staff, Role: room.Role{Name: "x"}}}}, room.ErrRoleZero},

		{"parent_room MUST be set if parent_dependant", &room.BasePolicy{ParentDependent: true}, room.ErrConflict},
		{"parent_room is zero-length otherwise", &room.BasePolicy{Parent: "mimi://a.example/r/x"}, room.ErrConflict},
		{"parent_room is a URI", &room.BasePolicy{ParentDependent: true, Parent: "no uri"}, room.ErrURIField},
		{"policy ids are distinct", &room.BasePolicy{Policies: []room.ComponentID{0x25, 0x25}}, room.ErrDuplicate},
		{"the other policy components are listed", &room.BasePolicy{Policies: []room.ComponentID{0x27}}, room.ErrConflict},

		{"Optionality has three values", &room.StatusNotificationPolicy{ReadReceipts: 3}, room.ErrEnum},
		{"join_link is a URI", &room.JoinLinkPolicy{Link: "relative/path"}, room.ErrURIField},
		{"a URI is short", &room.JoinLinkPolicy{Link: "x:" + long}, room.ErrTooLarge},
		{"a join link is not empty", &room.JoinLinks{Links: [][]byte{{}}}, room.ErrText},
		{"join links are distinct", &room.JoinLinks{Links: [][]byte{{1}, {1}}}, room.ErrDuplicate},
		{"autodetect_hyperlinks_in_text MUST NOT be mandatory", &room.LinkPreviewPolicy{Autodetect: room.Required, ProxyUse: room.Forbidden}, room.ErrConflict},
		{"link_preview_proxy MUST include the URI if mandatory", &room.LinkPreviewPolicy{ProxyUse: room.Required}, room.ErrConflict},
		{"link_preview_proxy MUST include the URI if optional", &room.LinkPreviewPolicy{ProxyUse: room.Optional}, room.ErrConflict},
		{"only the hub is present in upload domains", &room.AssetPolicy{UploadLocation: room.UploadHub}, room.ErrConflict},
		{"providers are distinct", &room.AssetPolicy{UploadDomains: []room.ProviderUploadDomains{{Provider: "a.b"}, {Provider: "a.b"}}}, room.ErrDuplicate},
		{"upload domains are domains", &room.AssetPolicy{UploadDomains: []room.ProviderUploadDomains{{Provider: "A_B"}}}, room.ErrURIField},
		{"AssetUploadLocation has three values", &room.AssetPolicy{UploadLocation: 3}, room.ErrEnum},
		{"DownloadPrivacyType has three values", &room.AssetPolicy{Download: room.DownloadPrivacy{Default: 3}}, room.ErrEnum},
		{"the default download is not forbidden", &room.AssetPolicy{Download: room.DownloadPrivacy{Forbidden: []room.DownloadPrivacyType{0}}}, room.ErrConflict},
		{"no download type is allowed and forbidden", &room.AssetPolicy{Download: room.DownloadPrivacy{Allowed: []room.DownloadPrivacyType{1}, Forbidden: []room.DownloadPrivacyType{1}}}, room.ErrDuplicate},
		{"a media type has a subtype", &room.AssetPolicy{ForbiddenMediaTypes: []room.MediaType{{Type: "image"}}}, room.ErrText},
		{"a parameter has a name", &room.AssetPolicy{ForbiddenMediaTypes: []room.MediaType{{Type: "a/b", Parameters: []room.MediaParameter{{Value: "x"}}}}}, room.ErrText},
		{"required logging needs a logging client", &room.LoggingPolicy{Logging: room.Required}, room.ErrConflict},
		{"a logging client is a URI", &room.LoggingPolicy{Clients: []string{""}}, room.ErrURIField},
		{"roles 0 cannot share history", &room.HistoryPolicy{Roles: []uint32{0}}, room.ErrConflict},
		{"roles 1 cannot share history", &room.HistoryPolicy{Roles: []uint32{1}}, room.ErrConflict},
		{"a local bot has role zero", &room.BotPolicy{Bots: []room.Bot{{Local: true, Role: 2}}}, room.ErrConflict},
		{"minimum expiration is not above maximum", &room.MessageExpiration{Min: 2, Max: 1}, room.ErrRange},
		{"default expiration is in range", &room.MessageExpiration{Min: 1, Max: 2, Default: ptr(3)}, room.ErrRange},
		{"a room has a URI", &room.RoomMetadata{}, room.ErrURIField},
		{"room_avatar is an https URI", &room.RoomMetadata{URI: "x:y", Avatar: "http://a.example/"}, room.ErrURIField},
		{"a plain description is UTF-8", &room.RoomMetadata{URI: "x:y", Descriptions: []room.RichDescription{{Content: []byte{0xff}}}}, room.ErrText},
		{"times ascend", &room.OperationalParameters{LeafUpdateTime: room.MinDefaultMaxTime{Min: 1}}, room.ErrRange},
		{"PendingProposalStrategy has no extension", &room.OperationalParameters{PendingProposals: room.PendingProposalPolicy{Strategy: 3}}, room.ErrEnum},
		{"the random delay ascends", &room.OperationalParameters{PendingProposals: room.PendingProposalPolicy{Strategy: room.CommitRandomDelay, MinDelay: 1}}, room.ErrRange},
	}
}

func TestBreaches(t *testing.T) {
	for _, b := range breaches() {
		t.Run(b.must, func(t *testing.T) {
			data, err := room.Encode(b.m)
			if !errors.Is(err, b.want) || !errors.Is(err, room.ErrInvalid) || data != nil {
				t.Errorf("encode: got %v, want %v", err, b.want)
			}
			// What Wire has written of the invalid value is what a careless peer
			// would send.
			sent, _ := wire.Marshal(b.m)
			if err := unmarshalLike(b.m, sent); !errors.Is(err, b.want) {
				t.Errorf("decode %x: got %v, want %v", sent, err, b.want)
			}
		})
	}
}

// unmarshalLike decodes data as the type of m.
func unmarshalLike(m wire.Message, data []byte) error {
	for _, d := range decoders {
		if d.is(m) {
			return d.decode(data)
		}
	}
	return errors.New("no decoder")
}

// TestSpellings covers octets that no value of ours encodes to.
func TestSpellings(t *testing.T) {
	for _, tc := range []struct {
		name string
		m    wire.Message
		hex  string
		want error
	}{
		{"bool is 0 or 1", &room.JoinLinkPolicy{}, "02" + "00" + "00" + "00000000", room.ErrEnum},
		{"optional is 0 or 1", &room.MessageExpiration{}, "00" + "00000000" + "00000000" + "02", room.ErrInvalid},
		{"nothing is left over", &room.StatusNotificationPolicy{}, "000000", wire.ErrTrailing},
		{"nothing is missing", &room.StatusNotificationPolicy{}, "00", wire.ErrTruncated},
		{"forbidden logging has no fields", &room.LoggingPolicy{}, "02000000", wire.ErrTrailing},
		{"one parent", &room.BasePolicy{}, "00" + "01" + "08" + "03783a79" + "03783a79" + "00" + "00" + "00" + "00" + "00" + "00" + "00", room.ErrTooLarge},
		{"a parent is not empty", &room.BasePolicy{}, "00" + "01" + "01" + "00" + "00" + "00" + "00" + "00" + "00" + "00" + "00", room.ErrURIField},
		{"lengths are minimal", &room.JoinLinks{}, "4000", wire.ErrLength},
		{"canonical URIs", &room.ParticipantList{}, "13" + "0e" + hex.EncodeToString([]byte("MIMI://a.b/u/c")) + "00000002", mimi.ErrURI},
	} {
		t.Run(tc.name, func(t *testing.T) {
			data, err := hex.DecodeString(tc.hex)
			if err != nil {
				t.Fatal(err)
			}
			if err := unmarshalLike(tc.m, data); !errors.Is(err, tc.want) || !errors.Is(err, room.ErrInvalid) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func TestComponentSize(t *testing.T) {
	if err := unmarshalLike(&room.ParticipantList{}, make([]byte, room.MaxComponent+1)); !errors.Is(err, room.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	var full room.ParticipantList
	for range room.MaxParticipants {
		id, err := mimi.NewID("a-provider-with-a-long-name.example.org", mimi.KindUser, testRandom)
		if err != nil {
			t.Fatal(err)
		}
		full.Participants = append(full.Participants, room.Participant{User: id, Role: 2})
	}
	encode(t, &full) // fits MaxComponent
	full.Participants = append(full.Participants, room.Participant{User: alice, Role: 2})
	if _, err := room.Encode(&full); !errors.Is(err, room.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestMediaTypes(t *testing.T) {
	markdown := room.MediaType{Type: "text/markdown"}
	variant := room.MediaType{Type: "text/markdown", Parameters: []room.MediaParameter{{Name: "variant", Value: "GFM"}}}
	for _, tc := range []struct {
		name      string
		forbidden []room.MediaType
		permitted *[]room.MediaType
		m         room.MediaType
		want      bool
	}{
		{"no lists", nil, nil, markdown, true},
		{"forbidden", []room.MediaType{markdown}, nil, markdown, false},
		{"without parameters matches all", []room.MediaType{markdown}, nil, variant, false},
		{"with parameters matches itself", []room.MediaType{variant}, nil, markdown, true},
		{"exact parameters", []room.MediaType{variant}, nil, variant, false},
		{"permitted", nil, &[]room.MediaType{markdown}, variant, true},
		{"not permitted", nil, &[]room.MediaType{markdown}, room.MediaType{Type: "image/png"}, false},
		{"none permitted", nil, &[]room.MediaType{}, markdown, false},
		{"permitted and forbidden", []room.MediaType{variant}, &[]room.MediaType{markdown}, variant, false},
	} {
		p := room.AssetPolicy{ForbiddenMediaTypes: tc.forbidden, PermittedMediaTypes: tc.permitted}
		if got := p.Permits(tc.m); got != tc.want {
			t.Errorf("%s: %t", tc.name, got)
		}
	}
}

func TestLoggingActive(t *testing.T) {
	for _, tc := range []struct {
		p    room.LoggingPolicy
		want bool
	}{
		{room.LoggingPolicy{Logging: room.Required, Clients: []string{"x:y"}}, true},
		{room.LoggingPolicy{Logging: room.Optional, Clients: []string{"x:y"}}, true},
		{room.LoggingPolicy{Logging: room.Optional}, false},
		{room.LoggingPolicy{Logging: room.Forbidden}, false},
	} {
		if tc.p.Active() != tc.want {
			t.Errorf("%+v", tc.p)
		}
	}
}

// TestTruncated: no prefix of a component is one.
func TestTruncated(t *testing.T) {
	full := []wire.Message{
		&room.ParticipantList{Participants: []room.Participant{{User: alice, Role: 2}}},
		&room.RoleList{Roles: room.Cooperative().Roles.Roles},
		&room.BasePolicy{MaxUsers: ptr(1), Policies: []room.ComponentID{0x25}},
		&room.MessageExpiration{Min: 1, Max: 1, Default: ptr(1)},
		&room.OperationalParameters{},
		&room.AssetPolicy{PermittedMediaTypes: &[]room.MediaType{{Type: "a/b"}}},
	}
	for _, m := range full {
		data := encode(t, m)
		for n := range data {
			if err := unmarshalLike(m, data[:n]); !errors.Is(err, room.ErrInvalid) {
				t.Fatalf("%T: %d of %d octets: %v", m, n, len(data), err)
			}
		}
		if err := unmarshalLike(m, append(data, 0)); !errors.Is(err, wire.ErrTrailing) {
			t.Errorf("%T with a trailing octet: %v", m, err)
		}
	}
}
