package room

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// RoomMetadata is the component room_metadata, and its own update
// (draft-ietf-mimi-protocol-06, section 7.6). In a minimal-metadata room the hub
// may not read it: there it is the plaintext of encrypted_room_metadata instead
// (mmr-profile.md, section 3), and room_metadata is absent or names nothing.
type RoomMetadata struct {
	// URI of the room.
	URI string
	// Name of the room, at most [MaxName] octets.
	Name string
	// Descriptions of the room in several languages or media types.
	Descriptions []RichDescription
	// Avatar is an https URI of an image, the data URI of an [Avatar], or empty.
	Avatar string
	// Subject and Mood are short texts.
	Subject, Mood string
}

// A RichDescription is one description of a room.
type RichDescription struct {
	// MediaType of Content. Empty means text/plain;charset=utf-8.
	MediaType string
	// Language is a language tag, or empty.
	Language string
	// Content of the description.
	Content []byte
}

// Wire codes the description as
//
//	struct {
//	  /* an empty media_type is equivalent to text/plain;charset=utf-8 */
//	  opaque media_type<V>;
//	  opaque language_tag<V>;
//	  opaque description_content<V>;
//	} RichDescription;
func (d *RichDescription) Wire(c *wire.Codec) {
	text(c, &d.MediaType, MaxName)
	text(c, &d.Language, MaxName)
	octets(c, &d.Content, MaxText)
	if d.MediaType == "" && !utf8.Valid(d.Content) {
		c.Fail(fmt.Errorf("%w: description without media type is not UTF-8", ErrText))
	}
}

// Wire codes the metadata as
//
//	struct {
//	  Uri room_uri;
//	  UTF8String room_name;
//	  RichDescription room_descriptions<V>;
//	  /* an https URI resolving to an avatar image, or the image in a data URI */
//	  Uri room_avatar;
//	  UTF8String room_subject;
//	  UTF8String room_mood;
//	} RoomMetaData;
func (m *RoomMetadata) Wire(c *wire.Codec) {
	uri(c, &m.URI)
	text(c, &m.Name, MaxName)
	wire.Vector(c, &m.Descriptions, wire.Struct[RichDescription])
	avatar(c, &m.Avatar)
	text(c, &m.Subject, MaxText)
	text(c, &m.Mood, MaxText)
	check(c, atMost("descriptions", m.Descriptions, MaxList))
}

// namesNothing reports whether the metadata tell a reader no more than which
// room this is.
func (m *RoomMetadata) namesNothing() bool {
	return m.Name == "" && len(m.Descriptions) == 0 && m.Avatar == "" && m.Subject == "" && m.Mood == ""
}

// Changed returns the capabilities that a change from m to next needs, one per
// changed field (draft-ietf-mimi-room-policy-03, section 8.2). It fails with
// [ErrImmutable] if room_uri changes, which no capability covers.
func (m *RoomMetadata) Changed(next *RoomMetadata) ([]Capability, error) {
	if m.URI != next.URI {
		return nil, fmt.Errorf("%w: room_uri", ErrImmutable)
	}
	sameDescription := func(a, b RichDescription) bool {
		return a.MediaType == b.MediaType && a.Language == b.Language && string(a.Content) == string(b.Content)
	}
	var needs []Capability
	for _, field := range []struct {
		changed bool
		need    Capability
	}{
		{m.Name != next.Name, CanChangeRoomName},
		{!slices.EqualFunc(m.Descriptions, next.Descriptions, sameDescription), CanChangeRoomDescription},
		{m.Avatar != next.Avatar, CanChangeRoomAvatar},
		{m.Subject != next.Subject, CanChangeRoomSubject},
		{m.Mood != next.Mood, CanChangeRoomMood},
	} {
		if field.changed {
			needs = append(needs, field.need)
		}
	}
	return needs, nil
}

// metadataCapabilities are those that allow a change of some part of a room's
// metadata.
var metadataCapabilities = []Capability{
	CanChangeRoomName, CanChangeRoomDescription, CanChangeRoomAvatar, CanChangeRoomSubject, CanChangeRoomMood,
}
