package room

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrAvatar reports a picture of a room that is none, or that is too large to stand in
// its metadata.
var ErrAvatar = invalid("the room's picture is no small JPEG or PNG")

// MaxAvatar is how large the picture of a room may be, in octets: with base64 and
// name and topic beside it, it fits into 64 blocks of 1024 octets
// (docs/mmr-profile.md, section 3).
const MaxAvatar = 40 << 10

// An Avatar is the picture of a room. It stands in the encrypted metadata itself, as a
// data URI in room_avatar (docs/mmr-profile.md, section 11): whoever had to fetch it
// from an https URI would show its host that they are in the room.
type Avatar struct {
	// MediaType is image/jpeg or image/png.
	MediaType string
	// Data is at most [MaxAvatar] octets.
	Data []byte
}

// URI returns the picture as a data URI (RFC 2397). It fails with [ErrAvatar].
func (a *Avatar) URI() (string, error) {
	if err := a.check(); err != nil {
		return "", err
	}
	return "data:" + a.MediaType + ";base64," + base64.StdEncoding.EncodeToString(a.Data), nil
}

func (a *Avatar) check() error {
	if a.MediaType != "image/jpeg" && a.MediaType != "image/png" {
		return fmt.Errorf("%w: media type", ErrAvatar)
	}
	if len(a.Data) == 0 || len(a.Data) > MaxAvatar {
		return fmt.Errorf("%w: %d octets", ErrAvatar, len(a.Data))
	}
	return nil
}

// maxAvatarURI is the longest data URI of an [Avatar] in octets.
const maxAvatarURI = len("data:image/jpeg;base64,") + (MaxAvatar+2)/3*4

// avatar codes room_avatar: an https URI, or the data URI of a small picture.
func avatar(c *wire.Codec, v *string) {
	text(c, v, maxAvatarURI)
	if !strings.HasPrefix(*v, "data:") {
		if len(*v) > MaxURI {
			c.Fail(fmt.Errorf("%w: text of %d octets, at most %d", ErrTooLarge, len(*v), MaxURI))
		}
		check(c, checkURI(*v), scheme(*v, "https"))
		return
	}
	if _, err := ParseAvatar(*v); err != nil {
		c.Fail(err)
	}
}

// ParseAvatar reads a data URI of the form that [Avatar.URI] writes; there is one
// encoding of a picture. It fails with [ErrAvatar], also for URIs that would have to
// be fetched.
func ParseAvatar(uri string) (*Avatar, error) {
	rest, ok := strings.CutPrefix(uri, "data:")
	mediaType, encoded, found := strings.Cut(rest, ";base64,")
	if !ok || !found || len(encoded) > base64.StdEncoding.EncodedLen(MaxAvatar) {
		return nil, fmt.Errorf("%w: not a data URI of a picture", ErrAvatar)
	}
	data, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: base64", ErrAvatar)
	}
	a := &Avatar{mediaType, data}
	if again, err := a.URI(); err != nil || again != uri { // DecodeString skips line breaks
		return nil, fmt.Errorf("%w: not its one encoding", ErrAvatar)
	}
	return a, nil
}
