package content_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

var (
	alice  = mimi.URI{Domain: "alpha.example", Kind: mimi.KindUser, ID: "alice"}
	bob    = mimi.URI{Domain: "beta.example", Kind: mimi.KindUser, ID: "bob"}
	room   = mimi.URI{Domain: "alpha.example", Kind: mimi.KindRoom, ID: "r1"}
	first  = content.MessageID{1, 0xaa}
	second = content.MessageID{1, 0xbb}
)

func author() content.Author {
	return content.Author{Origin: content.Origin{Sender: alice, Room: room}, Random: rand.Reader}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCompose(t *testing.T) {
	null := content.MessageID{}
	for name, c := range map[string]struct {
		message content.Message
		want    content.Action
	}{
		"text":     {content.Text(content.MarkdownPart("*hi*")), content.Action{Kind: content.KindText}},
		"plain":    {content.Text(content.PlainPart("hi")), content.Action{Kind: content.KindText}},
		"reply":    {content.Reply(first, content.PlainPart("hi")), content.Action{Kind: content.KindReply, Target: first}},
		"reaction": {must(content.Reaction(first, "👍")), content.Action{Kind: content.KindReaction, Target: first, Reactions: []string{"👍"}}},
		"unreact":  {content.Unreact(second, first), content.Action{Kind: content.KindUnreact, Target: second}},
		"edit":     {content.Edit(second, first, content.PlainPart("ho")), content.Action{Kind: content.KindEdit, Target: second}},
		"edit of no reply": {
			content.Edit(second, null, content.PlainPart("ho")), content.Action{Kind: content.KindEdit, Target: second},
		},
		"delete":  {content.Delete(second, first), content.Action{Kind: content.KindDelete, Target: second}},
		"profile": {must(content.ProfileMessage(profiles[2], content.Limits{})), content.Action{Kind: content.KindProfile}},
		"closed":  {content.Closed(), content.Action{Kind: content.KindClosed}},
	} {
		t.Run(name, func(t *testing.T) {
			sent, err := author().Compose(c.message)
			if err != nil {
				t.Fatal(err)
			}
			got, err := content.Receive(sent.Data, author().Origin, content.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != sent.ID || got.ID.IsZero() || !cmp.Equal(got.Message, sent.Message, cmpopts.EquateEmpty()) {
				t.Errorf("received another message than was sent")
			}
			if action := content.Classify(got.Message); !cmp.Equal(action, c.want) {
				t.Errorf("action %v, want %v", action, c.want)
			}
		})
	}
}

// TestSaltMakesIDsUnique: equal messages have different ids.
func TestSaltMakesIDsUnique(t *testing.T) {
	seen := map[content.MessageID]bool{}
	for range 100 {
		sent, err := author().Compose(content.Text(content.PlainPart("hi")))
		if err != nil {
			t.Fatal(err)
		}
		seen[sent.ID] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d ids of 100 messages", len(seen))
	}
}

func TestComposeFails(t *testing.T) {
	short := author()
	short.Random = strings.NewReader("too short")
	if _, err := short.Compose(content.Text(content.PlainPart("hi"))); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no randomness: %v", err)
	}
	wrong := author()
	wrong.Sender.Kind = mimi.KindClient
	if _, err := wrong.Compose(content.Text(content.PlainPart("hi"))); !errors.Is(err, content.ErrMalformed) {
		t.Errorf("client as sender: %v", err)
	}
	for name, m := range map[string]content.Message{
		"text not UTF-8":         {Part: content.Part{Language: "\xff"}},
		"unknown hash":           {Replaces: content.MessageID{2}},
		"one part":               {Part: content.Part{Body: &content.Multi{Parts: make([]content.Part, 1)}}},
		"unknown semantics":      {Part: content.Part{Body: &content.Multi{Semantics: 3, Parts: make([]content.Part, 2)}}},
		"key of a claim":         {Extensions: map[content.ExtensionKey]content.RawValue{{Int: 1}: {0x61, 0x61}}},
		"no value":               {Extensions: map[content.ExtensionKey]content.RawValue{{Int: 3}: nil}},
		"two values":             {Extensions: map[content.ExtensionKey]content.RawValue{{Int: 3}: {0, 0}}},
		"key of two types":       {Extensions: map[content.ExtensionKey]content.RawValue{{Int: 3, Text: "x"}: {0}}},
		"key without encAlg":     {Part: content.Part{Body: &content.External{Key: content.ContentKey{1}}}},
		"value not the shortest": {Extensions: map[content.ExtensionKey]content.RawValue{{Int: 3}: {0x18, 0}}},
	} {
		if _, err := author().Compose(m); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("a", content.MaxReaction+1), "\xff"} {
		if _, err := content.Reaction(first, bad); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("reaction %q: %v", bad, err)
		}
	}
}

func TestReceiveComparesClaims(t *testing.T) {
	sent := must(author().Compose(content.Text(content.PlainPart("hi"))))
	for name, origin := range map[string]content.Origin{
		"another sender": {Sender: bob, Room: room},
		"another room":   {Sender: alice, Room: mimi.URI{Domain: "alpha.example", Kind: mimi.KindRoom, ID: "r2"}},
	} {
		if _, err := content.Receive(sent.Data, origin, content.Limits{}); !errors.Is(err, content.ErrOrigin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Who claims nothing is who MLS says.
	data := must(content.Encode(content.Text(content.PlainPart("hi")), content.Limits{}))
	a := must(content.Receive(data, content.Origin{Sender: alice, Room: room}, content.Limits{}))
	b := must(content.Receive(data, content.Origin{Sender: bob, Room: room}, content.Limits{}))
	if a.ID == b.ID {
		t.Error("the id does not depend on the sender")
	}
}

func TestExpirationCheck(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	year := 366 * 24 * time.Hour
	at := func(d time.Duration) *content.Expiration {
		return &content.Expiration{Seconds: uint32(now.Add(d).Unix())}
	}
	for _, c := range []struct {
		e  *content.Expiration
		ok bool
	}{
		{nil, true},
		{at(0), true},
		{at(year), true},
		{at(-year), true},
		{at(year + time.Second), false},
		{at(-year - time.Second), false},
		{&content.Expiration{Relative: true, Seconds: 0}, true},
		{&content.Expiration{Relative: true, Seconds: 366 * 86400}, true},
		{&content.Expiration{Relative: true, Seconds: 366*86400 + 1}, false},
		{&content.Expiration{Relative: true, Seconds: 1<<32 - 1}, false},
	} {
		if err := c.e.Check(now); (err == nil) != c.ok {
			t.Errorf("%v: %v", c.e, err)
		}
	}
}

func TestMessageIDText(t *testing.T) {
	got, err := content.ParseMessageID(first.String())
	if err != nil || got != first {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "01", first.String() + "00", "02" + first.String()[2:], strings.ToUpper(first.String()), "zz" + first.String()[2:]} {
		if _, err := content.ParseMessageID(bad); !errors.Is(err, content.ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestAuthorize: "Receiving clients MUST NOT allow parties other than the
// original sender of a message to edit or delete that message".
func TestAuthorize(t *testing.T) {
	text := content.Original{Sender: alice, Kind: content.KindText}
	reply := content.Original{Sender: alice, Kind: content.KindReply}
	reaction := content.Original{Sender: alice, Kind: content.KindReaction}
	edit := content.Action{Kind: content.KindEdit, Target: first}
	remove := content.Action{Kind: content.KindDelete, Target: first}
	unreact := content.Action{Kind: content.KindUnreact, Target: first}
	react := content.Action{Kind: content.KindReaction, Target: first}
	change := content.Action{Kind: content.KindReaction, Target: first, Replaces: second}
	for _, c := range []struct {
		name     string
		action   content.Action
		actor    mimi.URI
		original content.Original
		want     content.Kind
		err      error
	}{
		{"own text, edit", edit, alice, text, content.KindEdit, nil},
		{"own reply, edit", edit, alice, reply, content.KindEdit, nil},
		{"own text, delete", remove, alice, text, content.KindDelete, nil},
		{"own text, null part with disposition reaction", unreact, alice, text, content.KindDelete, nil},
		{"own reaction, unreact", unreact, alice, reaction, content.KindUnreact, nil},
		{"own reaction, null part with disposition render", remove, alice, reaction, content.KindUnreact, nil},
		{"own reaction, change", change, alice, reaction, content.KindReaction, nil},
		{"another's text, react", react, bob, text, content.KindReaction, nil},
		{"another's text, edit", edit, bob, text, content.KindUnknown, content.ErrNotSender},
		{"another's text, delete", remove, bob, text, content.KindUnknown, content.ErrNotSender},
		{"another's reaction, unreact", unreact, bob, reaction, content.KindUnknown, content.ErrNotSender},
		{"another's reaction, change", change, bob, reaction, content.KindUnknown, content.ErrNotSender},
		{"nobody's text, edit by nobody", edit, mimi.URI{}, content.Original{Kind: content.KindText}, content.KindUnknown, content.ErrNotSender},
		{"own reaction, edit", edit, alice, reaction, content.KindUnknown, content.ErrWrongTarget},
		{"own text, change of reaction", change, alice, text, content.KindUnknown, content.ErrWrongTarget},
		{"own edit, edit", edit, alice, content.Original{Sender: alice, Kind: content.KindEdit}, content.KindUnknown, content.ErrWrongTarget},
		{"own profile, delete", remove, alice, content.Original{Sender: alice, Kind: content.KindProfile}, content.KindUnknown, content.ErrWrongTarget},
	} {
		got, err := c.action.Authorize(c.actor, c.original)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %s, %v", c.name, got, err)
		}
	}
	for _, c := range []struct {
		action content.Action
		id     content.MessageID
		ok     bool
	}{{edit, first, true}, {remove, first, true}, {unreact, first, true}, {react, content.MessageID{}, false}, {change, second, true}} {
		if id, ok := c.action.Changes(); id != c.id || ok != c.ok {
			t.Errorf("%s changes %s, %t", c.action.Kind, id, ok)
		}
	}
}

// TestClassifyNonsense: what asks for nothing sensible is KindUnknown.
func TestClassifyNonsense(t *testing.T) {
	heart := content.Part{Disposition: content.ReactionPart, Body: &content.Single{ContentType: content.PlainType, Content: []byte("❤")}}
	picture := content.Part{Disposition: content.ReactionPart, Body: &content.Single{ContentType: "image/gif", Content: []byte("x")}}
	empty := content.Part{Disposition: content.ReactionPart, Body: &content.Single{ContentType: content.PlainType}}
	for name, m := range map[string]content.Message{
		"null part that replaces nothing": {InReplyTo: first},
		"reaction to nothing":             {Part: heart},
		"reaction that is a picture":      {InReplyTo: first, Part: picture},
		"empty reaction":                  {InReplyTo: first, Part: empty},
		"profile of another type":         {Part: content.Part{Disposition: content.ProfilePart, Body: &content.Single{ContentType: "text/vcard"}}},
	} {
		if action := content.Classify(m); !cmp.Equal(action, content.Action{}) {
			t.Errorf("%s: %v", name, action)
		}
	}
	// An unknown disposition is treated as render.
	if action := content.Classify(content.Message{Part: content.Part{Disposition: 200, Body: &content.Single{}}}); action.Kind != content.KindText {
		t.Errorf("unknown disposition: %v", action)
	}
}

func TestNothingPrintsContent(t *testing.T) {
	const secret = "s3cr3t"
	body := content.PlainPart(secret)
	external := content.External{URL: secret, Key: content.ContentKey(secret), Filename: secret, EncAlg: 1}
	sent := must(author().Compose(content.Text(body)))
	received := must(content.Receive(sent.Data, author().Origin, content.Limits{}))
	for _, v := range []any{
		sent, received, sent.Message, &sent, &received, body, body.Body, external, &external, external.Key,
		content.Multi{Parts: []content.Part{body, body}},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, secret) || strings.Contains(text, "733363723374") || strings.Contains(text, "115 51 99") {
				t.Errorf("%T prints with %s: %s", v, verb, text)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		if strings.Contains(log.String(), secret) || strings.Contains(log.String(), "czNjcjN0") {
			t.Errorf("%T logs %s", v, log.String())
		}
	}
}

func drawPart(t *rapid.T, level int) content.Part {
	p := content.Part{
		Disposition: content.Disposition(rapid.Byte().Draw(t, "disposition")),
		Language:    rapid.SampledFrom([]string{"", "en", "de-CH,fr"}).Draw(t, "language"),
	}
	cardinalities := 4
	if level == content.MaxPartDepth {
		cardinalities = 3
	}
	bytes := rapid.SliceOfN(rapid.Byte(), 0, 20)
	switch rapid.IntRange(0, cardinalities-1).Draw(t, "cardinality") {
	case 1:
		p.Body = &content.Single{ContentType: rapid.String().Draw(t, "type"), Content: bytes.Draw(t, "content")}
	case 2:
		e := &content.External{
			ContentType: rapid.String().Draw(t, "type"), URL: rapid.String().Draw(t, "url"),
			Expires: rapid.Uint32().Draw(t, "expires"), Size: rapid.Uint64().Draw(t, "size"),
			EncAlg:  rapid.Uint16().Draw(t, "encAlg"),
			HashAlg: rapid.Byte().Draw(t, "hashAlg"), ContentHash: bytes.Draw(t, "hash"),
			Description: rapid.String().Draw(t, "description"), Filename: rapid.String().Draw(t, "filename"),
		}
		if e.EncAlg != 0 {
			e.Key, e.Nonce, e.AAD = bytes.Draw(t, "key"), bytes.Draw(t, "nonce"), bytes.Draw(t, "aad")
		}
		p.Body = e
	case 3:
		multi := &content.Multi{Semantics: content.Semantics(rapid.IntRange(0, 2).Draw(t, "semantics"))}
		for range rapid.IntRange(2, 4).Draw(t, "parts") {
			multi.Parts = append(multi.Parts, drawPart(t, level+1))
		}
		p.Body = multi
	}
	return p
}

func drawMessage(t *rapid.T) content.Message {
	id := rapid.Custom(func(t *rapid.T) content.MessageID {
		if rapid.Bool().Draw(t, "null") {
			return content.MessageID{}
		}
		return content.MessageID{1, rapid.Byte().Draw(t, "id")}
	})
	m := content.Message{
		Replaces:  id.Draw(t, "replaces"),
		InReplyTo: id.Draw(t, "inReplyTo"),
		TopicID:   rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "topic"),
		Part:      drawPart(t, 1),
	}
	if rapid.Bool().Draw(t, "expires") {
		m.Expires = &content.Expiration{Relative: rapid.Bool().Draw(t, "relative"), Seconds: rapid.Uint32().Draw(t, "seconds")}
	}
	values := rapid.SampledFrom([]content.RawValue{{0}, {0xf6}, {0x81, 0x40}, {0xa1, 1, 2}, {0xf9, 0x7e, 0}, {0xd8, 0x20, 0x60}})
	key := rapid.Custom(func(t *rapid.T) content.ExtensionKey {
		if rapid.Bool().Draw(t, "private") {
			return content.ExtensionKey{Text: rapid.StringN(1, 10, 255).Draw(t, "key")}
		}
		n := rapid.Int64Range(-(1<<53)+1, 1<<53-1).Draw(t, "key")
		if 0 <= n && n <= 2 {
			n = 3
		}
		return content.ExtensionKey{Int: n}
	})
	m.Extensions = rapid.MapOfN(key, values, 0, 8).Draw(t, "extensions")
	return m
}

// TestRoundTrip: every message that can be made is received as it was made.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent, err := author().Compose(drawMessage(t))
		if err != nil {
			t.Fatal(err)
		}
		got, err := content.Receive(sent.Data, author().Origin, content.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		same := cmp.Equal(got.Message, sent.Message, cmpopts.EquateEmpty())
		if !same || got.ID != sent.ID {
			t.Fatal("received another message than was sent")
		}
	})
}

// TestEveryOctetCounts: a change of any octet is refused or gives another id.
func TestEveryOctetCounts(t *testing.T) {
	origin := author().Origin
	sent := must(author().Compose(content.Reply(first, content.MarkdownPart("**hi**"))))
	for i := range sent.Data {
		for bit := range 8 {
			data := bytes.Clone(sent.Data)
			data[i] ^= 1 << bit
			got, err := content.Receive(data, origin, content.Limits{})
			if err == nil && got.ID == sent.ID {
				t.Fatalf("octet %d, bit %d: same id", i, bit)
			}
		}
	}
}
