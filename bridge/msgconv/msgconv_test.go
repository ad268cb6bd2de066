package msgconv

import (
	"errors"
	"strings"
	"testing"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

var (
	first  = content.MessageID{1, 0xaa}
	second = content.MessageID{1, 0xbb}

	bobURI = mimi.URI{Domain: "beta.example", Kind: mimi.KindUser, ID: "bob"}
	bobID  = id.UserID("@mimi_x7:alpha.example")
)

// room knows Bob.
var room = Converter{
	MIMIUser: func(u id.UserID) (mimi.URI, bool) { return bobURI, u == bobID },
	MatrixUser: func(u mimi.URI) (id.UserID, string, bool) {
		return bobID, "Bob", u == bobURI
	},
}

func htmlEvent(body, html string) *event.MessageEventContent {
	return &event.MessageEventContent{MsgType: event.MsgText, Body: body, Format: event.FormatHTML, FormattedBody: html}
}

func TestMarkdown(t *testing.T) {
	const matrixTo = "https://matrix.to/#/"
	for _, c := range []struct{ name, html, want string }{
		{"text", "hello", "hello"},
		{"bold", "a <b>b</b> <strong>c</strong>", "a **b** **c**"},
		{"italic", "<i>a</i> <em>b</em>", "_a_ _b_"},
		{"strike", "<del>a</del> <s>b</s>", "~~a~~ ~~b~~"},
		{"equal styles join", "<b>a</b><b>b</b>", "**ab**"},
		{"nested", "<i>a<b>b</b></i>", "_a_**_b_**"},
		{"space moves out", "<b> a </b>b", "**a** b"},
		{"inside a word", "foo<i>bar</i>baz", "foo*bar*baz"},
		{"beside a letter, with punctuation", "<b>“a”</b>b", "**“a”**&#98;"},
		{"code", "<code>a*b`c</code>", "``a*b`c``"},
		{"markup in text", "*a* _b_ [c](d) `e` ~f~ \\ a|b", `\*a\* \_b\_ \[c\](d) \` + "`e\\`" + ` \~f\~ \\ a\|b`},
		{"snake case", "snake_case_name", "snake_case_name"},
		{"HTML in text", "&lt;b&gt;&amp;lt; & c", "&lt;b>&amp;lt; & c"},
		{"paragraphs", "<p>a</p><p>b</p>", "a\n\nb"},
		{"break", "a<br>b", "a  \nb"},
		{"two breaks", "a<br><br>b", "a\n\nb"},
		{"white space", "a\n  b", "a b"},
		{"link", `<a href="https://x.example/a_b">c</a>`, "[c](https://x.example/a_b)"},
		{"link without text", `a<a href="https://x.example/"> </a>b`, "a b"},
		{"link with parentheses", `<a href="https://x.example/a_(b)">c</a>`, "[c](https://x.example/a_%28b%29)"},
		{"link with a hostile scheme", `<a href="javascript:alert(1)">c</a>`, "c"},
		{"exclamation before link", `wow!<a href="https://x.example/">c</a>`, `wow\![c](https://x.example/)`},
		{"bracket in code in a link", `<a href="https://x.example/"><code>a]: b</code></a>`, `[a\]: b](https://x.example/)`},
		{"heading", "<h2>a <b>b</b></h2>c", "## a **b**\n\nc"},
		{"heading that ends in a hash", "<h1>C#</h1>", "# C\\#"},
		{"quote", "<blockquote><p>a</p><p>b</p></blockquote>c", "> a\n>\n> b\n\nc"},
		{"list", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c"},
		{"ordered list", `<ol start="9"><li>a</li><li>b</li></ol>`, "9. a\n10. b"},
		{"two lists", "<ul><li>a</li></ul><ul><li>b</li></ul>", "- a\n\n* b"},
		{"loose list", "<ul><li><p>a</p><p>b</p></li></ul>", "- a\n\n  b"},
		{"code block", "<pre><code class=\"language-go\">a\n\n  b\n</code></pre>", "```go\na\n\n  b\n```"},
		{"code block with fence", "<pre>```\n</pre>", "````\n```\n````"},
		{"rule", "a<hr>b", "a\n\n___\n\nb"},
		{"rule in a list", "<ul><li><hr></li><li></li><li>a</li></ul>", "- ___\n- a"},
		{"table", "<table><tr><th>a</th><th>b</th></tr><tr><td>c|d</td></tr></table>", "| a | b |\n| --- | --- |\n| c\\|d |  |"},
		{"table without header", "<table><tr><td>a</td></tr></table>", "|  |\n| --- |\n| a |"},
		{"line starts", "# a<br>- b<br>1. c<br>> d<br>===<br>---<br>+ e", "\\# a  \n\\- b  \n1\\. c  \n\\> d  \n\\===  \n\\---  \n\\+ e"},
		{"reply fallback", "<mx-reply><blockquote>In reply to @a:b</blockquote></mx-reply>yes", "yes"},
		{"script", "a<script>alert(1)</script><style>x</style>", "a"},
		{"picture", `<img src="mxc://a/b" alt=":cat:">`, ":cat:"},
		{"mention of a member", `<a href="` + matrixTo + string(bobID) + `">Bob</a>: hi`, "[Bob](mimi://beta.example/u/bob): hi"},
		{"mention of a stranger", `<a href="` + matrixTo + `@carol:alpha.example">Carol</a>`, "Carol"},
		{"mention by Matrix id", `<a href="` + matrixTo + `@carol:alpha.example">@carol:alpha.example</a>`, "@carol"},
		{"mention by matrix URI", `<a href="matrix:u/carol:alpha.example">Carol</a>`, "Carol"},
		{"link to a room", `<a href="` + matrixTo + `%23lunch:alpha.example">` + matrixTo + `%23lunch:alpha.example</a>`, "(a place on Matrix)"},
		{"control characters", "a\x00\x1b[31mb", "a\\[31mb"},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, err := room.Body(htmlEvent("", c.html))
			if err != nil {
				t.Fatal(err)
			}
			if got, format := part.Body.(*content.Single).Text(); got != c.want || format != content.Markdown {
				t.Errorf("got  %q (format %d)\nwant %q", got, format, c.want)
			}
		})
	}
}

func TestBody(t *testing.T) {
	reply := &event.RelatesTo{InReplyTo: &event.InReplyTo{EventID: "$x"}}
	for _, c := range []struct {
		name, want string
		ev         event.MessageEventContent
	}{
		{"plain text stays what it is", "*a* <b> [c](d)\n# e", event.MessageEventContent{MsgType: event.MsgText, Body: " *a* <b> [c](d)\n# e\n"}},
		{"notice", "a", event.MessageEventContent{MsgType: event.MsgNotice, Body: "a"}},
		{"emote", "* waves", event.MessageEventContent{MsgType: event.MsgEmote, Body: "waves"}},
		{"formatted emote", "\\* **waves**", event.MessageEventContent{
			MsgType: event.MsgEmote, Body: "waves", Format: event.FormatHTML, FormattedBody: "<b>waves</b>",
		}},
		{"unknown format", "a", event.MessageEventContent{MsgType: event.MsgText, Body: "a", Format: "x.y", FormattedBody: "<b>b</b>"}},
		{"reply fallback in text", "yes", event.MessageEventContent{
			MsgType: event.MsgText, Body: "> <@carol:alpha.example> ok?\n\nyes", RelatesTo: reply,
		}},
		{"quotation that is no fallback", "> <a> b\nyes", event.MessageEventContent{MsgType: event.MsgText, Body: "> <a> b\nyes"}},
		{"HTML that shows nothing", "a", event.MessageEventContent{
			MsgType: event.MsgText, Body: "a", Format: event.FormatHTML, FormattedBody: "<script>b</script>",
		}},
		{"HTML that is too deep", "a", event.MessageEventContent{
			MsgType: event.MsgText, Body: "a", Format: event.FormatHTML, FormattedBody: strings.Repeat("<div>", 2000) + "b",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			part, err := room.Body(&c.ev)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := part.Body.(*content.Single).Text(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, body := range []string{"", " \n", "\x00"} {
		if _, err := room.Body(&event.MessageEventContent{MsgType: event.MsgText, Body: body}); !errors.Is(err, ErrEmpty) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// TestBodyLeavesEventAlone: bridgev2 keeps the event.
func TestBodyLeavesEventAlone(t *testing.T) {
	ev := htmlEvent("> <@a:b> x\n\nyes", "<mx-reply>x</mx-reply>yes")
	before := *ev
	if _, err := room.Body(ev); err != nil {
		t.Fatal(err)
	}
	if ev.Body != before.Body || ev.FormattedBody != before.FormattedBody {
		t.Error("the event has changed")
	}
}

func TestActions(t *testing.T) {
	text := &event.MessageEventContent{MsgType: event.MsgText, Body: "a"}
	edit := &event.MessageEventContent{MsgType: event.MsgText, Body: "* b", NewContent: &event.MessageEventContent{Body: "b"}}
	edit.RelatesTo = (&event.RelatesTo{}).SetReplace("$x")
	check := func(name string, m content.Message, err error, kind content.Kind, target content.MessageID, body string) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, _ := m.Part.Body.(*content.Single).Text()
		if action := content.Classify(m); action.Kind != kind || action.Target != target || got != body {
			t.Errorf("%s: %v, %q", name, action, got)
		}
	}
	m, err := room.Message(text, content.MessageID{})
	check("text", m, err, content.KindText, content.MessageID{}, "a")
	m, err = room.Message(text, first)
	check("reply", m, err, content.KindReply, first, "a")
	m, err = room.Edit(edit, first, second)
	check("edit", m, err, content.KindEdit, first, "b")
	if m.InReplyTo != second {
		t.Error("an edit forgets what the message replied to")
	}
	m, err = room.Edit(edit.NewContent, first, second)
	if _, ok := errors.AsType[*UnsupportedError](err); !ok {
		t.Errorf("edit without msgtype: %v, %v", m, err)
	}
	react := &event.ReactionEventContent{RelatesTo: event.RelatesTo{Key: "👍️"}}
	m, err = Reaction(react, first)
	check("reaction", m, err, content.KindReaction, first, "👍️")
	for _, key := range []string{"", " ", "a\nb", "mxc://a/b", strings.Repeat("a", 200), "\xff", "a\x00"} {
		react.RelatesTo.Key = key
		if _, err := Reaction(react, first); !errors.Is(err, ErrReaction) {
			t.Errorf("reaction %q: %v", key, err)
		}
	}
}

func TestUnsupported(t *testing.T) {
	voice := &event.MessageEventContent{MsgType: event.MsgAudio, MSC3245Voice: &event.MSC3245Voice{}}
	for want, got := range map[string]*UnsupportedError{
		"Pictures can't":                     Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgImage}),
		"Videos can't":                       Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgVideo}),
		"Files can't":                        Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgFile}),
		"Sound files can't":                  Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgAudio}),
		"Voice messages can't":               Unsupported(event.EventMessage, voice),
		"Locations can't":                    Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgLocation}),
		"Messages of this type can't":        Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: "x.y"}),
		"Stickers can't":                     Unsupported(event.EventSticker, nil),
		"Polls can't":                        Unsupported(event.EventUnstablePollStart, nil),
		"Answers to polls can't":             Unsupported(event.EventUnstablePollResponse, nil),
		"Requests to verify a session can't": Unsupported(event.EventMessage, &event.MessageEventContent{MsgType: event.MsgVerificationRequest}),
		"Events of this type can't":          Unsupported(event.Type{Type: "x.y"}, nil),
	} {
		notice := got.Notice()
		if !strings.HasPrefix(notice, want) || strings.Count(notice, ". ") != 1 || !strings.HasSuffix(notice, ".") {
			t.Errorf("want %s: %q", want, notice)
		}
	}
	_, err := room.Message(&event.MessageEventContent{MsgType: event.MsgImage, Body: "secret.png"}, first)
	if e, ok := errors.AsType[*UnsupportedError](err); !ok || strings.Contains(e.Error()+e.Notice(), "secret") {
		t.Errorf("picture: %v", err)
	}
}

func TestRender(t *testing.T) {
	for _, c := range []struct{ name, markdown, html, plain string }{
		{"text", "hello", "hello", "hello"},
		{"styles", "**a** _b_ ~~c~~ `d`", "<strong>a</strong> <em>b</em> <del>c</del> <code>d</code>", "a b c d"},
		{"paragraphs", "a\n\nb", "<p>a</p><p>b</p>", "a\n\nb"},
		{"soft break", "a\nb", "a b", "a b"},
		{"hard break", "a  \nb", "a<br>b", "a\nb"},
		{"heading", "## a", "<h2>a</h2>", "a"},
		{"quote", "> a\n>\n> b", "<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b"},
		{"list", "- a\n- b\n  - c", "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul>", "- a\n- b\n  - c"},
		{"ordered list", "3. a\n4. b", `<ol start="3"><li>a</li><li>b</li></ol>`, "3. a\n4. b"},
		{"loose list", "- a\n\n  b", "<ul><li><p>a</p><p>b</p></li></ul>", "- a\n\n  b"},
		{"tasks", "- [ ] a\n- [x] b", "<ul><li>☐ a</li><li>☑ b</li></ul>", "- ☐ a\n- ☑ b"},
		{"code block", "```go\na <b>\n```", "<pre><code class=\"language-go\">a &lt;b&gt;\n</code></pre>", "a <b>"},
		{"table", "| a | b |\n|---|---|\n| c | d |", "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody><tr><td>c</td><td>d</td></tr></tbody></table>", "a | b\nc | d"},
		{"rule", "a\n\n***", "<p>a</p><hr>", "a\n\n---"},
		{"references and escapes", `&copy; \* \&amp; &#98;`, "© * &amp;amp; b", "© * &amp; b"},
		{"link", "[a](https://x.example/)", `<a href="https://x.example/">a</a>`, "a (https://x.example/)"},
		{"link that shows itself", "[x.example/a](https://x.example/a)", `<a href="https://x.example/a">x.example/a</a>`, "x.example/a (https://x.example/a)"},
		{"link by angle brackets", "<https://x.example/>", `<a href="https://x.example/">https://x.example/</a>`, "https://x.example/"},
		{"no autolink", "https://x.example/ www.x.example", "https://x.example/ www.x.example", "https://x.example/ www.x.example"},
		{"picture", "![a](https://x.example/p.png)", `<a href="https://x.example/p.png">a</a>`, "a (https://x.example/p.png)"},
		{
			"misleading link", "[https://x.example](https://y.example/)",
			`<a href="https://y.example/">https://x.example</a> (https://y.example/)`, "https://x.example (https://y.example/)",
		},
		{
			"downgraded link", "[https://x.example/a](http://x.example/a)",
			`<a href="http://x.example/a">https://x.example/a</a> (http://x.example/a)`, "https://x.example/a (http://x.example/a)",
		},
		{
			"mention has the name that we know", "[Alice](mimi://beta.example/u/bob)",
			`<a href="https://matrix.to/#/@mimi_x7:alpha.example">Bob</a>`, "Bob",
		},
		{"mention by URI", "<mimi://beta.example/u/bob>", `<a href="https://matrix.to/#/@mimi_x7:alpha.example">Bob</a>`, "Bob"},
		{"mention of a stranger", "[Carol](mimi://beta.example/u/carol)", "Carol", "Carol"},
		{"HTML is text", "a <b onclick=x>c</b> <!-- d -->", "a &lt;b onclick=x&gt;c&lt;/b&gt; &lt;!-- d --&gt;", "a <b onclick=x>c</b> <!-- d -->"},
		{"block of HTML is text", "<script>\nalert(1)\n</script>", "<p>&lt;script&gt;<br>alert(1)<br>&lt;/script&gt;</p>", "<script>\nalert(1)\n</script>"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := room.render(c.markdown)
			html := got.html
			if c.name == "block of HTML is text" {
				html = "<p>" + html + "</p>"
			}
			if html != c.html || got.plain != c.plain {
				t.Errorf("got  %s\nwant %s\ngot  %q\nwant %q", html, c.html, got.plain, c.plain)
			}
		})
	}
	if got := room.render("[x](mimi://beta.example/u/bob) [y](mimi://beta.example/u/bob)").mentions; len(got) != 1 || got[0] != bobID {
		t.Errorf("mentions %v", got)
	}
}

func single(contentType, text string) content.Part {
	return content.Part{Disposition: content.Render, Body: &content.Single{ContentType: contentType, Content: []byte(text)}}
}

func multi(s content.Semantics, parts ...content.Part) content.Part {
	return content.Part{Disposition: content.Render, Body: &content.Multi{Semantics: s, Parts: parts}}
}

func TestToMatrix(t *testing.T) {
	heart := single(content.PlainType, "❤")
	heart.Disposition = content.ReactionPart
	long := single(content.PlainType, strings.Repeat("no emoji ", 40))
	long.Disposition = content.ReactionPart
	film := content.Part{Disposition: content.Attachment, Body: &content.External{
		ContentType: "video/mp4", URL: "https://x.example/v", Filename: "a\nb.mp4", Description: "my film",
	}}
	preview := film
	preview.Disposition = content.Preview
	call := content.Part{Disposition: content.Session, Body: &content.External{URL: "https://x.example/join", Description: "Join"}}
	plain, markdown := single(content.PlainType, "*plain*"), single(content.MarkdownType, "*rich*")
	html := single("text/html;charset=utf-8", `<p>Kudos to <a href="mimi://beta.example/u/bob" onclick="x">@B</a><script>x</script></p>`)
	odd := single("application/x-odd", "?")
	type shown struct{ id, body string }
	for _, c := range []struct {
		name string
		m    content.Message
		kind content.Kind
		want []shown
	}{
		{"plain text", content.Text(plain), content.KindText, []shown{{"", "*plain*"}}},
		{"Markdown", content.Text(markdown), content.KindText, []shown{{"", "rich"}}},
		{"HTML", content.Text(html), content.KindText, []shown{{"", "Kudos to Bob"}}},
		{"reply", content.Reply(first, plain), content.KindReply, []shown{{"", "*plain*"}}},
		{"edit", content.Edit(first, second, plain), content.KindEdit, []shown{{"", "*plain*"}}},
		{"delete", content.Delete(first, second), content.KindDelete, nil},
		{"unreact", content.Unreact(first, second), content.KindUnreact, nil},
		{"reaction", content.Message{InReplyTo: first, Part: heart}, content.KindReaction, nil},
		{"reaction that is none", content.Message{InReplyTo: first, Part: long}, content.KindReply, []shown{{"", "Reaction: no emoji"}}},
		{"closed", content.Closed(), content.KindClosed, nil},
		{"nonsense", content.Message{}, content.KindUnknown, []shown{{"", "This message can't be shown"}}},
		{"unknown disposition", content.Text(content.Part{Disposition: 77, Body: plain.Body}), content.KindText, []shown{{"", "*plain*"}}},
		{"unknown media type", content.Text(odd), content.KindText, []shown{{"", "A part of this message can't be shown here yet (application/x-odd)"}}},
		{"bad media type", content.Text(single("<b>", "?")), content.KindText, []shown{{"", "A part of this message can't be shown here yet (of an unknown type)"}}},
		{"attachment", content.Text(film), content.KindText, []shown{{"", "A part of this message can't be shown here yet (video/mp4, “a b.mp4”, “my film”)"}}},
		{"conference", content.Text(call), content.KindText, []shown{{"", "Join: https://x.example/join"}}},
		{"choice", content.Text(multi(content.ChooseOne, odd, plain, markdown)), content.KindText, []shown{{"", "rich"}}},
		{"all", content.Text(multi(content.ProcessAll, plain, film, markdown)), content.KindText, []shown{
			{"", "*plain*"}, {"2", "A part of this message"}, {"3", "rich"},
		}},
		{"preview of something shown", content.Text(multi(content.ProcessAll, plain, preview)), content.KindText, []shown{{"", "*plain*"}}},
		{"unit with an unknown part", content.Text(multi(content.SingleUnit, plain, odd)), content.KindText, []shown{{"", "A part of this message"}}},
		{"unit", content.Text(multi(content.SingleUnit, plain, markdown)), content.KindText, []shown{{"", "*plain*"}, {"2", "rich"}}},
		{"text that is not UTF-8", content.Text(single(content.PlainType, "\xff")), content.KindText, []shown{{"", "A part of this message"}}},
		{"no parts", content.Text(multi(content.ProcessAll, content.Part{}, content.Part{})), content.KindText, []shown{{"", "This message has no content."}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := room.ToMatrix(c.m)
			if got.Kind != c.kind || len(got.Parts) != len(c.want) {
				t.Fatalf("%s with %d parts", got.Kind, len(got.Parts))
			}
			for i, want := range c.want {
				part := got.Parts[i]
				if part.ID != want.id || !strings.HasPrefix(part.Content.Body, want.body) || part.Content.Mentions == nil {
					t.Errorf("part %q: %q", part.ID, part.Content.Body)
				}
			}
		})
	}
	// The mention in HTML arrives as one, and nothing else of its markup.
	got := room.ToMatrix(content.Text(html)).Parts[0].Content
	if got.FormattedBody != `Kudos to <a href="https://matrix.to/#/@mimi_x7:alpha.example">Bob</a>` || !got.Mentions.Has(bobID) {
		t.Errorf("%q, %v", got.FormattedBody, got.Mentions)
	}
}

// TestManyParts: one message can't fill a room.
func TestManyParts(t *testing.T) {
	var list []content.Part
	for range 500 {
		list = append(list, single(content.PlainType, "a"))
	}
	parts := room.Parts(multi(content.ProcessAll, list...))
	if len(parts) != maxEvents || parts[maxEvents-1].Content.Body != "The rest of this message is too long to be shown here." {
		t.Errorf("%d parts, the last %q", len(parts), parts[len(parts)-1].Content.Body)
	}
}
