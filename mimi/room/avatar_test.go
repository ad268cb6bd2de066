package room_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

func avatarURI(t testing.TB, mediaType string, size int) string {
	t.Helper()
	a := room.Avatar{MediaType: mediaType, Data: bytes.Repeat([]byte{0xff}, size)}
	uri, err := a.URI()
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// TestAvatar: a picture has one encoding, small ones alone stand in metadata, and
// nothing else does in their place.
func TestAvatar(t *testing.T) {
	for _, size := range []int{1, 2, 3, room.MaxAvatar} {
		uri := avatarURI(t, "image/png", size)
		a, err := room.ParseAvatar(uri)
		if err != nil || a.MediaType != "image/png" || len(a.Data) != size {
			t.Errorf("%d octets: %v", size, err)
		}
		m := room.RoomMetadata{URI: "mimi://a.example/r/1", Avatar: uri}
		data, err := room.Encode(&m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := room.Decode[room.RoomMetadata](data); err != nil || again.Avatar != uri {
			t.Errorf("%d octets: %v", size, err)
		}
	}
	good := avatarURI(t, "image/jpeg", 3)
	for what, uri := range map[string]string{
		"nothing":            "",
		"to be fetched":      "https://a.example/picture.png",
		"another scheme":     "http://a.example/picture.png",
		"another type":       strings.Replace(good, "jpeg", "svg+xml", 1),
		"a parameter":        strings.Replace(good, ";base64", ";x=y;base64", 1),
		"no base64":          strings.Replace(good, ";base64", "", 1),
		"upper case":         strings.Replace(good, "data:", "DATA:", 1),
		"no octets":          "data:image/png;base64,",
		"other letters":      good + "*",
		"a line break":       good[:len(good)-2] + "\n" + good[len(good)-2:],
		"without padding":    strings.TrimRight(avatarURI(t, "image/png", 1), "="),
		"bits in no octet":   strings.Replace(avatarURI(t, "image/png", 1), "/w==", "/x==", 1),
		"an octet too many":  avatarURI(t, "image/jpeg", room.MaxAvatar) + "AAAA",
		"something in front": " " + good,
	} {
		if a, err := room.ParseAvatar(uri); !errors.Is(err, room.ErrAvatar) {
			t.Errorf("%s: %v, %v", what, a, err)
		}
		if uri == "" || strings.HasPrefix(uri, "https:") {
			continue
		}
		m := room.RoomMetadata{URI: "mimi://a.example/r/1", Avatar: uri}
		if _, err := room.Encode(&m); !errors.Is(err, room.ErrInvalid) {
			t.Errorf("%s in metadata: %v", what, err)
		}
	}
}

// FuzzAvatar: what is a picture is written as it was read.
func FuzzAvatar(f *testing.F) {
	for _, size := range []int{1, 2, 3, 100} {
		f.Add(avatarURI(f, "image/png", size))
		f.Add(avatarURI(f, "image/jpeg", size))
	}
	f.Add("https://a.example/picture.png")
	f.Fuzz(func(t *testing.T, uri string) {
		a, err := room.ParseAvatar(uri)
		if err != nil {
			if !errors.Is(err, room.ErrAvatar) {
				t.Errorf("refused by %v", err)
			}
			t.Skip("refused")
		}
		if again, err := a.URI(); err != nil || again != uri {
			t.Errorf("%q becomes %q, %v", uri, again, err)
		}
	})
}
