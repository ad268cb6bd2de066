package content_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

var lostRoom = mimi.URI{Domain: "a.example", Kind: mimi.KindRoom, ID: "6f1c2d3e-4b5a-4968-8776-655443322110"}

func privateMessage(mediaType string, data []byte) content.Message {
	return content.Message{Part: content.Part{Disposition: content.ProfilePart, Body: &content.Single{ContentType: mediaType, Content: data}}}
}

func TestLostAndLink(t *testing.T) {
	lost, err := content.LostMessage(lostRoom)
	if err != nil || content.Classify(lost).Kind != content.KindLost {
		t.Fatalf("%v, %v", content.Classify(lost).Kind, err)
	}
	if room, err := content.DecodeLost(lost); err != nil || room != lostRoom {
		t.Errorf("%s, %v", room, err)
	}
	text := lostRoom.String() + "#c=a&k=b"
	bundle := []byte{1, 2}
	link, err := content.LinkMessage(text, bundle)
	if err != nil || content.Classify(link).Kind != content.KindLink {
		t.Fatalf("%v, %v", content.Classify(link).Kind, err)
	}
	if got, sealed, err := content.DecodeLink(link); err != nil || got != text || !bytes.Equal(sealed, bundle) {
		t.Errorf("%q %x, %v", got, sealed, err)
	}
	if _, _, err := content.DecodeLink(lost); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("no link: %v", err)
	}
	for _, bad := range []string{"", "a b", "a\nb", "ä", strings.Repeat("x", content.MaxLink+1)} {
		if _, err := content.LinkMessage(bad, bundle); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("%q is a link: %v", bad, err)
		}
	}
	for _, bad := range [][]byte{nil, {}, make([]byte, content.MaxBundle+1)} {
		if _, err := content.LinkMessage(text, bad); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("a bundle of %d octets: %v", len(bad), err)
		}
	}
	for what, data := range map[string]string{
		"nothing": "", "an empty map": "\xa0", "no room": "\xa1\x01\x61x", "another field": "\xa2\x01\x61x\x02\x00",
		"a person":    "\xa1\x01\x78\x18mimi://a.example/u/alice",
		"a long form": "\xa1\x18\x01\x61x", "rest": "\xa1\x01\x61x\x00", "bytes": "\xa1\x01\x41x",
	} {
		if _, err := content.DecodeLost(privateMessage(content.LostType, []byte(data))); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, data := range map[string]string{
		"an empty link": "\xa2\x01\x60\x02\x41x", "no bundle": "\xa1\x01\x61x", "an empty bundle": "\xa2\x01\x61x\x02\x40",
		"a text for a bundle": "\xa2\x01\x61x\x02\x61x", "another field": "\xa3\x01\x61x\x02\x41x\x03\x00", "a long form": "\xa2\x18\x01\x61x\x02\x41x",
	} {
		if _, _, err := content.DecodeLink(privateMessage(content.LinkType, []byte(data))); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzDecodeLost(f *testing.F) {
	lost, err := content.LostMessage(lostRoom)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(lost.Part.Body.(*content.Single).Content)
	f.Add([]byte("\xa2\x01\x61x\x02\x41x"))
	f.Add([]byte("\xa2\x01\x61x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		room, lostErr := content.DecodeLost(privateMessage(content.LostType, data))
		if lostErr == nil {
			again, err := content.LostMessage(room)
			if err != nil || !bytes.Equal(again.Part.Body.(*content.Single).Content, data) {
				t.Fatalf("accepted %x (%v)", data, err)
			}
		}
		text, bundle, linkErr := content.DecodeLink(privateMessage(content.LinkType, data))
		if linkErr == nil {
			again, err := content.LinkMessage(text, bundle)
			if err != nil || !bytes.Equal(again.Part.Body.(*content.Single).Content, data) {
				t.Fatalf("accepted %x (%v)", data, err)
			}
		}
		if lostErr != nil && linkErr != nil {
			t.Skip("refused")
		}
	})
}
