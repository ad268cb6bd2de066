package msgconv

import (
	"encoding/json"
	"fmt"
	"html"
	"slices"
	"strings"
	"testing"
	"unicode"

	nethtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"maunium.net/go/mautrix/event"
	"pgregory.net/rapid"

	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// runsOf reads the first paragraph of HTML as the runs that a person sees.
func runsOf(t interface{ Fatal(...any) }, source string) []run {
	nodes, err := nethtml.ParseFragment(strings.NewReader(source), &nethtml.Node{
		Type: nethtml.ElementNode, Data: "body", DataAtom: atom.Body,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := builder{}
	for _, n := range nodes {
		b.inlineOnly(n, run{})
	}
	return normalise(b.runs)
}

// inlineOnly reads inline elements and sees through paragraphs.
func (b *builder) inlineOnly(n *nethtml.Node, look run) {
	if n.DataAtom == atom.P {
		for child := range n.ChildNodes() {
			b.node(child, look)
		}
		return
	}
	b.node(n, look)
}

// pieces of text that are hard to get through Markdown.
var pieces = []string{
	"a", "b c", " ", "\u00a0", "*", "_", "**", "__", "~", "~~", "`", "``", "\\", "[", "]", "(x)", "!", "|", "<", ">", "&", "&amp;", "&#98;",
	"#", "# ", "- ", "+ ", "1. ", "1) ", "===", "---", ":-:", "“q”", "…", "👍", "€", "é", "日本", ".", "!", "?", ":", "https://x.example/", "<b>", "</p>", "<!--", "\"", "'",
	"snake_case", "2*3*4", "$x$", "```", "[x]", "[a]: b", "\t",
}

func drawRuns(t *rapid.T) []run {
	var runs []run
	for range rapid.IntRange(1, 6).Draw(t, "runs") {
		if rapid.IntRange(0, 9).Draw(t, "kind") == 0 {
			runs = append(runs, run{br: true})
			continue
		}
		runs = append(runs, run{
			text:  strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 4).Draw(t, "text"), ""),
			style: style(rapid.IntRange(0, 7).Draw(t, "style")),
			code:  rapid.IntRange(0, 5).Draw(t, "code") == 0,
			link:  rapid.SampledFrom([]string{"", "", "", "https://x.example/a?b=c&copy;d_e", "mailto:a@x.example"}).Draw(t, "link"),
		})
	}
	return runs
}

// toHTML writes runs as a Matrix client might.
func toHTML(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		if r.br {
			b.WriteString("<br>")
			continue
		}
		s := html.EscapeString(r.text)
		if r.code {
			s = "<code>" + s + "</code>"
		}
		for bit, name := range map[style]string{strike: "del", strong: "b", em: "i"} {
			if r.style&bit != 0 {
				s = "<" + name + ">" + s + "</" + name + ">"
			}
		}
		if r.link != "" {
			s = `<a href="` + html.EscapeString(r.link) + `">` + s + "</a>"
		}
		b.WriteString(s)
	}
	return b.String()
}

func describe(runs []run) string {
	var b strings.Builder
	for _, r := range runs {
		fmt.Fprintf(&b, "%+v\n", r)
	}
	return b.String()
}

// TestInlineRoundTrip: what a person formats on Matrix looks the same after its
// way through Markdown, whatever characters stand beside whatever formatting.
func TestInlineRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runs := drawRuns(t)
		source := toHTML(runs)
		want := runsOf(t, source)
		for len(want) > 0 && want[0].br {
			want = want[1:]
		}
		for len(want) > 0 && want[len(want)-1].br {
			want = want[:len(want)-1]
		}
		for i := 1; i < len(want); i++ {
			if want[i].br && want[i-1].br {
				return // two breaks make a paragraph
			}
		}
		markdown, err := Converter{}.markdown(source)
		if err != nil {
			t.Fatal(err)
		}
		rendered := withoutTargets(Converter{}.render(markdown).html)
		if got := runsOf(t, rendered); describe(got) != describe(want) {
			t.Fatalf("HTML     %s\nMarkdown %s\nrendered %s\ngot\n%swant\n%s", source, markdown, rendered, describe(got), describe(want))
		}
	})
}

// withoutTargets removes the addresses that the renderer adds after links whose
// text looks like another address.
func withoutTargets(s string) string {
	for _, target := range []string{"https://x.example/a?b=c&amp;copy;d_e", "mailto:a@x.example"} {
		s = strings.ReplaceAll(s, "</a> ("+target+")", "</a>")
	}
	return s
}

// drawBlock makes the HTML of a block.
func drawBlock(t *rapid.T, depth int) string {
	kinds := 9
	if depth == 0 {
		kinds = 6
	}
	inline := func() string { return toHTML(drawRuns(t)) }
	blocks := func() string {
		var b strings.Builder
		for range rapid.IntRange(1, 3).Draw(t, "blocks") {
			b.WriteString(drawBlock(t, depth-1))
		}
		return b.String()
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "block") {
	case 0:
		return inline() + "<br><br>"
	case 1:
		return "<p>" + inline() + "</p>"
	case 2:
		return "<h3>" + inline() + "</h3>"
	case 3:
		code := strings.Join(rapid.SliceOfN(rapid.SampledFrom(append(pieces, "\n", "\n\n", "    ")), 1, 6).Draw(t, "code"), "")
		return "<pre><code class=\"language-x\">" + html.EscapeString(code) + "</code></pre>"
	case 4:
		return "<hr>"
	case 5:
		return "<table><tr><th>" + inline() + "</th><th>" + inline() + "</th></tr><tr><td>" + inline() + "</td></tr></table>"
	case 6:
		return "<blockquote>" + blocks() + "</blockquote>"
	case 7:
		return "<ul><li>" + blocks() + "</li><li>" + inline() + "</li></ul>"
	default:
		return `<ol start="8"><li>` + inline() + "</li><li>" + blocks() + "</li></ol>"
	}
}

// outline lists the elements and the letters of HTML, without the white space
// that makes no difference.
func outline(t interface{ Fatal(...any) }, source string, tags bool) string {
	node, err := nethtml.Parse(strings.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range node.Descendants() {
		switch {
		case n.Type == nethtml.ElementNode && !tags:
		case n.Type == nethtml.TextNode:
			b.WriteString(strings.Map(func(r rune) rune {
				if unicode.IsSpace(r) {
					return -1
				}
				return r
			}, n.Data))
		case n.DataAtom == atom.Ul, n.DataAtom == atom.Ol, n.DataAtom == atom.Li, n.DataAtom == atom.Blockquote,
			n.DataAtom == atom.Pre, n.DataAtom == atom.Hr, n.DataAtom == atom.Table, n.DataAtom == atom.Td, n.DataAtom == atom.H3:
			b.WriteString("<" + n.Data + ">")
		}
	}
	return b.String()
}

// TestBlocksSettle: Markdown that was made once comes out of another way through
// Matrix as it went in.
func TestBlocksSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var source strings.Builder
		for range rapid.IntRange(1, 3).Draw(t, "blocks") {
			source.WriteString(drawBlock(t, 2))
		}
		markdown, err := Converter{}.markdown(source.String())
		if err != nil {
			t.Fatal(err)
		}
		rendered := withoutTargets(Converter{}.render(markdown).html)
		again, err := Converter{}.markdown(rendered)
		if err != nil {
			t.Fatal(err)
		}
		second := withoutTargets(Converter{}.render(again).html)
		if outline(t, second, true) != outline(t, rendered, true) {
			t.Fatalf("HTML %s\nMarkdown\n%s\nrendered %s\nagain\n%s\nrendered %s", source.String(), markdown, rendered, again, second)
		}
		if letters(outline(t, rendered, false)) != letters(outline(t, source.String(), false)) {
			t.Fatalf("HTML %s\nMarkdown\n%s\nrendered %s", source.String(), markdown, rendered)
		}
	})
}

// letters keeps letters and digits.
func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// allowed is every tag that may reach Matrix, with its attributes.
var allowed = map[string][]string{
	"p": nil, "br": nil, "hr": nil, "strong": nil, "em": nil, "del": nil, "blockquote": nil, "ul": nil, "li": nil, "pre": nil,
	"h1": nil, "h2": nil, "h3": nil, "h4": nil, "h5": nil, "h6": nil,
	"table": nil, "thead": nil, "tbody": nil, "tr": nil, "th": nil, "td": nil,
	"ol": {"start"}, "code": {"class"}, "a": {"href"},
}

// checkHarmless fails if HTML has anything in it but allowed tags, attributes and
// links, or is not balanced.
func checkHarmless(t interface{ Fatalf(string, ...any) }, source, rendered string) {
	var open []string
	z := nethtml.NewTokenizer(strings.NewReader(rendered))
	for {
		switch z.Next() {
		case nethtml.ErrorToken:
			if len(open) > 0 {
				t.Fatalf("%q: %q leaves %v open", source, rendered, open)
			}
			return
		case nethtml.TextToken:
		case nethtml.StartTagToken:
			token := z.Token()
			attributes, ok := allowed[token.Data]
			if !ok {
				t.Fatalf("%q: tag %s in %q", source, token.Data, rendered)
			}
			for _, a := range token.Attr {
				if !slices.Contains(attributes, a.Key) {
					t.Fatalf("%q: attribute %s of %s in %q", source, a.Key, token.Data, rendered)
				}
				if a.Key == "href" && !strings.HasPrefix(a.Val, "http://") && !strings.HasPrefix(a.Val, "https://") && !strings.HasPrefix(a.Val, "mailto:") {
					if lower := strings.ToLower(a.Val); !strings.HasPrefix(lower, "http://") && !strings.HasPrefix(lower, "https://") && !strings.HasPrefix(lower, "mailto:") {
						t.Fatalf("%q: link to %q", source, a.Val)
					}
				}
			}
			if token.Data != "br" && token.Data != "hr" {
				open = append(open, token.Data)
			}
		case nethtml.EndTagToken:
			token := z.Token()
			if len(open) == 0 || open[len(open)-1] != token.Data {
				t.Fatalf("%q: %s closes %v in %q", source, token.Data, open, rendered)
			}
			open = open[:len(open)-1]
		default:
			t.Fatalf("%q: %q in %q", source, z.Token(), rendered)
		}
	}
}

var hostile = []string{
	"<script>alert(1)</script>", "a <img src=x onerror=alert(1)> b", "<a href=\"javascript:alert(1)\">x</a>",
	"[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](java\tscript:alert(1))", "[x](&#106;avascript:alert(1))", "[x](<javascript:alert(1)>)",
	"[x](data:text/html,<script>)", "[x](vbscript:x)", "[x](file:///etc/passwd)", "[x](//evil.example)", "[x](mxc://a/b)", "![x](data:image/svg+xml,a)",
	"<javascript:alert(1)>", "[x](https://x.example/\"onclick=\"alert(1))", "[x](https://x.example/ 'a\" onclick=\"b')", "[x]: javascript:a\n\n[x]",
	"```\"><script>\nx\n```", "```a\" onclick=\"x\nx\n```", "<!-- -->", "<?php ?>", "<![CDATA[x]]>", "</p></div><b>", "&lt;script&gt;", "\\<b>",
	"| <b> | `<i>` |\n|---|---|\n| </td> | [x](javascript:a) |", "- [ ] <b>", "1000000000. x", "999999999. x", "[a](https://x.example \"<b>\")",
	"<div\n<p>", "> <b>\n</b>", "# <i>", "[<b>](https://x.example/)", "<https://x.example/\"onclick=x>", "\u202ex", "\x00<b>", "<b\x00>", "[x](https://\x00x.example)",
	strings.Repeat("> ", 400) + "x", strings.Repeat("- ", 400) + "x", strings.Repeat("*", 3000) + "a" + strings.Repeat("*", 3000),
	strings.Repeat("[", 3000), strings.Repeat("[a](", 2000), strings.Repeat("![", 3000) + "](x)", strings.Repeat("`", 999) + " " + strings.Repeat("a`", 999),
	strings.Repeat("<", 3000), strings.Repeat("&#", 3000), strings.Repeat("a|", 2000) + "\n" + strings.Repeat("-|", 2000), strings.Repeat("_a ", 2000), strings.Repeat("~~a ", 2000),
}

// TestHostileMarkdown: whatever a peer writes, no markup of its own arrives.
func TestHostileMarkdown(t *testing.T) {
	for _, source := range hostile {
		for _, ev := range room.markdownContents(printable(source)) {
			checkHarmless(t, source, ev.FormattedBody)
		}
	}
	for _, link := range hostile[3:14] {
		if got := room.render(link).html; strings.Contains(got, "<a ") {
			t.Errorf("%q became a link: %q", link, got)
		}
	}
}

// TestExcessiveNesting: what would take long to read is shown as it came.
func TestExcessiveNesting(t *testing.T) {
	for source, want := range map[string]bool{
		strings.Repeat(">", 61):              true,
		"a\n" + strings.Repeat("> ", 61):     true,
		strings.Repeat("- ", 61):             true,
		strings.Repeat("1. ", 61):            true,
		strings.Repeat("[", 401):             true,
		strings.Repeat(">", 20) + " a":       false,
		strings.Repeat("a > b - c\n", 500):   false,
		strings.Repeat("[a](b) ", 400):       false,
		strings.Repeat("    ", 30) + "- a\n": false,
	} {
		if excessive(source) != want {
			t.Errorf("%.20q: %t", source, !want)
		}
		if got := room.markdownContents(source)[0]; want && (got.Body != strings.Trim(source, "\n") || got.Format != "") {
			t.Errorf("%.20q became %.20q", source, got.Body)
		}
	}
}

// TestEventSize: an event fits into 65536 octets, also as an edit.
func TestEventSize(t *testing.T) {
	for _, source := range append(slices.Clone(hostile), strings.Repeat("<&\"'>", 30000), strings.Repeat("**a** ", 30000),
		strings.Repeat("日本語", 20000), strings.Repeat("a\n\n", 40000), strings.Repeat("[a](https://x.example/) ", 6000)) {
		for _, contentType := range []string{content.MarkdownType, content.PlainType} {
			for _, part := range room.Parts(single(contentType, source)) {
				edit := *part.Content
				edit.SetEdit("$" + "0123456789012345678901234567890123456789012")
				data, err := json.Marshal(edit)
				if err != nil {
					t.Fatal(err)
				}
				unescaped := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(data))
				if len(unescaped) > 60000 {
					t.Errorf("%.40q: event of %d octets", source, len(unescaped))
				}
			}
		}
	}
}

// TestNothingIsLost: long text arrives in several events, with every letter.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var source strings.Builder
		for i := range rapid.IntRange(0, 6000).Draw(t, "words") {
			fmt.Fprintf(&source, "%d%s", i, rapid.SampledFrom([]string{" ", "\n", "\n\n", "é", "-"}).Draw(t, "gap"))
		}
		var got strings.Builder
		seen := map[string]bool{}
		for _, part := range room.Parts(single(content.PlainType, "x"+source.String())) {
			if seen[part.ID] || len(part.Content.Body) > maxSource {
				t.Fatalf("part %q of %d octets", part.ID, len(part.Content.Body))
			}
			seen[part.ID] = true
			got.WriteString(part.Content.Body)
		}
		if letters(got.String()) != letters("x"+source.String()) {
			t.Fatal("text is lost")
		}
	})
}

func FuzzRender(f *testing.F) {
	for _, source := range hostile {
		f.Add(source)
	}
	f.Add("# a\n\n- **b** _c_\n\n> [d](https://x.example/) `e`\n\n| f |\n|---|\n| g |")
	f.Fuzz(func(t *testing.T, source string) {
		for _, part := range room.Parts(single(content.MarkdownType, source)) {
			checkHarmless(t, source, part.Content.FormattedBody)
		}
	})
}

func FuzzMarkdown(f *testing.F) {
	for _, source := range hostile {
		f.Add(source, source)
	}
	f.Add("a", `<h1>a</h1><ul><li><p>b</p><pre>c</pre></li></ul><table><tr><td>d</td></tr></table>`)
	f.Fuzz(func(t *testing.T, body, formatted string) {
		part, err := room.Body(htmlEvent(body, formatted))
		if err != nil {
			return
		}
		if _, err := content.Encode(content.Text(part), content.Limits{MaxSize: 1 << 24}); err != nil {
			t.Fatalf("%q: %v", formatted, err)
		}
		text, format := part.Body.(*content.Single).Text()
		if format == content.Markdown {
			checkHarmless(t, formatted, room.render(text).html)
		}
	})
}

// TestEventFields pins the fields of the event that bridgev2 sends.
func TestEventFields(t *testing.T) {
	ev := room.Parts(single(content.MarkdownType, "**a** [B](mimi://beta.example/u/bob)"))[0].Content
	data, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"msgtype": string(event.MsgText), "body": "a Bob", "format": string(event.FormatHTML),
		"formatted_body": `<strong>a</strong> <a href="https://matrix.to/#/@mimi_x7:alpha.example">Bob</a>`,
	} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	if users := got["m.mentions"].(map[string]any)["user_ids"].([]any); len(users) != 1 || users[0] != string(bobID) {
		t.Errorf("mentions %v", users)
	}
}
