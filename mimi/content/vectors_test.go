package content_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

const examples = "testdata/" + content.Draft

// derived is the file that holds no message.
const derived = "implied-original"

// kinds of the examples, by file.
var kinds = map[string]content.Kind{
	"attachment":   content.KindText,
	"conferencing": content.KindText,
	"delete":       content.KindDelete,
	"edit":         content.KindEdit,
	"expiring":     content.KindText,
	"mention":      content.KindReply,
	"mention-html": content.KindReply,
	"multipart-1":  content.KindText,
	"multipart-2":  content.KindUnknown, // reactions to nothing: inReplyTo is null
	"multipart-3":  content.KindText,
	"original":     content.KindText,
	"reaction":     content.KindReaction,
	"reply":        content.KindReply,
	"unlike":       content.KindUnreact,
}

func example(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(examples, name+".cbor"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// claims reads message id, sender and room from an example's diagnostic notation.
func claims(t *testing.T, name string) (id string, origin content.Origin) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examples, name+".edn"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s.edn has no %s", name, pattern)
		}
		return string(bytes.Join(m[1:], nil))
	}
	id = find(`message ID = h'([0-9a-f]{32})\n#\s+([0-9a-f]{32})'`)
	for field, uri := range map[string]*mimi.URI{"1": &origin.Sender, "2": &origin.Room} {
		if *uri, err = mimi.ParseURI(find(field + `: "(mimi://[^"]+)"`)); err != nil {
			t.Fatal(err)
		}
	}
	return id, origin
}

func TestExamples(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(examples, "*.cbor"))
	if err != nil || len(files) != len(kinds)+1 {
		t.Fatalf("%d examples, want %d (%v)", len(files), len(kinds)+1, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".cbor")
		if name == derived {
			continue
		}
		t.Run(name, func(t *testing.T) {
			data := example(t, name)
			id, origin := claims(t, name)
			got, err := content.Receive(data, origin, content.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got.ID.String() != id {
				t.Errorf("message id %s, want %s", got.ID, id)
			}
			again, err := content.Encode(got.Message, content.Limits{})
			if err != nil || !bytes.Equal(again, data) {
				t.Errorf("encoded again: %x (%v), want %x", again, err, data)
			}
			if kind := content.Classify(got.Message).Kind; kind != kinds[name] {
				t.Errorf("kind %s, want %s", kind, kinds[name])
			}
		})
	}
}

func TestDerivedValuesAreNoMessage(t *testing.T) {
	if _, err := content.Decode(example(t, derived), content.Limits{}); !errors.Is(err, content.ErrMalformed) {
		t.Fatalf("got %v", err)
	}
}

// TestExampleMembers looks into each variant of a part once.
func TestExampleMembers(t *testing.T) {
	decode := func(name string) content.Message {
		m, err := content.Decode(example(t, name), content.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if text, format := decode("original").Part.Body.(*content.Single).Text(); format != content.Markdown ||
		text != "Hi everyone, we just shipped release 2.0. __Good  work__!" {
		t.Errorf("original: %q, format %d", text, format)
	}
	e := decode("attachment").Part.Body.(*content.External)
	if e.URL != "https://example.com/storage/8ksB4bSrrRE.mp4" || e.Size != 708234961 || e.EncAlg != 1 || len(e.Key) != 16 ||
		len(e.Nonce) != 12 || len(e.AAD) != 0 || e.HashAlg != 1 || len(e.ContentHash) != 32 ||
		e.Description != "2 hours of key signing video" || e.Filename != "bigfile.mp4" || e.ContentType != "video/mp4" {
		t.Errorf("attachment: %#v", e)
	}
	if x := decode("expiring").Expires; x == nil || x.Relative || x.Seconds != 1644390004 {
		t.Errorf("expiring: %v", x)
	}
	if topic := decode("conferencing").TopicID; string(topic) != "Foo 118" {
		t.Errorf("conferencing: topic %q", topic)
	}
	action := content.Classify(decode("reaction"))
	if len(action.Reactions) != 1 || action.Reactions[0] != "❤" || action.Target.IsZero() {
		t.Errorf("reaction: %v", action)
	}
	several := decode("multipart-2")
	several.InReplyTo = action.Target
	if got := content.Classify(several).Reactions; strings.Join(got, " ") != "❤ 🥳 🤞" {
		t.Errorf("multipart-2: %q", got)
	}
}

// TestPartIndex is section "Complicated Nested Example": a receiver of HTML and
// PNG takes the parts 8 and 10 or 9 and 10, one of GIF 3 and 5 or 4 and 5.
func TestPartIndex(t *testing.T) {
	m, err := content.Decode(example(t, "multipart-3"), content.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	indices := func(types map[string]int, language string) []int {
		leaves := content.Choose(m.Part, func(p content.Part) int {
			single := p.Body.(*content.Single)
			rank := types[strings.Split(single.ContentType, ";")[0]]
			if rank > 0 && p.Language == language {
				rank++
			}
			return rank
		})
		var list []int
		for _, leaf := range leaves {
			list = append(list, leaf.Index)
		}
		return list
	}
	for _, c := range []struct {
		types    map[string]int
		language string
		want     [2]int
	}{
		{map[string]int{"text/html": 1, "image/gif": 1}, "en", [2]int{3, 5}},
		{map[string]int{"text/html": 1, "image/gif": 1}, "fr", [2]int{4, 5}},
		{map[string]int{"text/html": 1, "image/gif": 1, "image/png": 3}, "en", [2]int{8, 10}},
		{map[string]int{"text/html": 1, "image/gif": 1, "image/png": 3}, "fr", [2]int{9, 10}},
	} {
		if got := indices(c.types, c.language); len(got) != 2 || [2]int(got) != c.want {
			t.Errorf("%v %s: parts %v, want %v", c.types, c.language, got, c.want)
		}
	}
}
