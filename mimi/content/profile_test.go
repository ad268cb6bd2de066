package content_test

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

var profiles = []content.Profile{
	{Name: "Bob", Sequence: 0},
	{Name: "Zoë 🥳", Sequence: 1 << 40},
	{Name: "Bob", Sequence: 7, Avatar: &content.Part{
		Disposition: content.Icon, Body: &content.Single{ContentType: "image/png", Content: []byte{1, 2, 3}},
	}},
	{Name: "Bob", Sequence: 8, Avatar: &content.Part{
		Disposition: content.Icon, Body: &content.External{ContentType: "image/png", URL: "https://beta.example/x"},
	}},
}

func profileMessage(data []byte) content.Message {
	return content.Message{Part: content.Part{
		Disposition: content.ProfilePart, Body: &content.Single{ContentType: content.ProfileType, Content: data},
	}}
}

func TestProfile(t *testing.T) {
	for _, p := range profiles {
		m, err := content.ProfileMessage(p, content.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if kind := content.Classify(m).Kind; kind != content.KindProfile {
			t.Errorf("kind %s", kind)
		}
		got, err := content.DecodeProfile(m, content.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Name != p.Name || got.Sequence != p.Sequence || !cmp.Equal(got.Avatar, p.Avatar, cmpopts.EquateEmpty()) {
			t.Errorf("profile changed on its way")
		}
	}
	if !profiles[1].Newer(profiles[0]) || profiles[0].Newer(profiles[0]) {
		t.Error("Newer")
	}
}

// TestProfileEncoding pins the octets: map {1: name, 2: avatar part, 3: sequence}.
func TestProfileEncoding(t *testing.T) {
	for i, want := range []string{
		0: "a20163426f620300",
		2: "a30163426f6202850560016969" + "6d6167652f706e6743010203" + "0307",
	} {
		if want == "" {
			continue
		}
		got, err := profiles[i].Encode(content.Limits{})
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("got %x (%v), want %s", got, err, want)
		}
	}
}

func TestProfileRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no sequence":                "a10163426f62",
		"no name":                    "a10300",
		"empty name":                 "a201600300",
		"unknown field":              "a30163426f6203000400",
		"duplicate field":            "a30163426f620163426f620300",
		"name with control":          "a201620a610300",
		"name that turns direction":  "a20163e280ae0300",
		"name of 257 octets":         "a201790101" + strings.Repeat("61", 257) + "0300",
		"name not UTF-8":             "a20161ff0300",
		"avatar is a null part":      "a30163426f6202830560000300",
		"avatar is a multi part":     "a30163426f62028505600302" + "82" + "83056000" + "83056000" + "0300",
		"sequence not shortest":      "a20163426f62031800",
		"sequence negative":          "a20163426f620320",
		"fields not ascending":       "a203000163426f62",
		"octets after the end":       "a20163426f62030000",
		"not a map":                  "80",
		"nothing":                    "",
		"avatar null instead of out": "a30163426f6202f60300",
	} {
		data, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := content.DecodeProfile(profileMessage(data), content.Limits{}); !errors.Is(err, content.ErrMalformed) && !errors.Is(err, content.ErrLimit) {
			t.Errorf("%s: %q, %v", name, p.Name, err)
		}
	}
	if _, err := content.DecodeProfile(content.Text(content.PlainPart("x")), content.Limits{}); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("no profile: %v", err)
	}
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		" Bob\n":                       "Bob",
		"a\u202eb\u2066c":              "abc",
		"Zo\x00ë\tX":                   "Zoë X",
		"\xff\xfe":                     "",
		strings.Repeat("é", 200):       strings.Repeat("é", 128),
		strings.Repeat("a", 255) + "é": strings.Repeat("a", 255),
	} {
		if got := content.CleanName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := content.CleanName(rapid.String().Draw(t, "name"))
		if name == "" {
			return
		}
		if !utf8.ValidString(name) {
			t.Fatal("not UTF-8")
		}
		if _, err := (content.Profile{Name: name}).Encode(content.Limits{}); err != nil {
			t.Fatalf("clean name is refused: %v", err)
		}
	})
}

func TestClosed(t *testing.T) {
	if kind := content.Classify(content.Closed()).Kind; kind != content.KindClosed {
		t.Errorf("kind %s", kind)
	}
	other := content.Closed()
	other.Part.Body.(*content.Single).Content = []byte{0xa1, 1, 1}
	if kind := content.Classify(other).Kind; kind != content.KindUnknown {
		t.Errorf("with content: kind %s", kind)
	}
}
