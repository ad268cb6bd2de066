package msgconv

import (
	"bufio"
	"html"
	"slices"
	"strconv"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	goldmarkhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// gfmMIMI reads GitHub Flavored Markdown with the extensions that section
// "Specifics of Github Flavored Markdown in MIMI" lists, and no other. It is
// immutable. What it makes of HTML is up to the renderer below.
var gfmMIMI = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough, extension.TaskList)).Parser()

// A rendering is Markdown as Matrix shows it.
type rendering struct {
	html, plain string
	mentions    []id.UserID
}

// render translates GFM-MIMI Markdown. Tags come from this file only: what is in
// the source, HTML tags included, is escaped text or the checked destination of a
// link.
func (c Converter) render(source string) rendering {
	r := renderer{converter: c, source: []byte(source)}
	r.blocks(gfmMIMI.Parse(text.NewReader(r.source)), false)
	out := rendering{strings.TrimRight(r.html.String(), "\n"), strings.Trim(r.plain.String(), "\n"), r.mentions}
	if rest, ok := strings.CutPrefix(out.html, "<p>"); ok {
		if rest, ok = strings.CutSuffix(rest, "</p>"); ok && !strings.Contains(rest, "<p>") {
			out.html = rest // a single paragraph is no block
		}
	}
	return out
}

type renderer struct {
	converter Converter
	source    []byte
	html      strings.Builder
	plain     strings.Builder
	prefixes  []string // of each line in plain
	midLine   bool     // in plain
	depth     int
	linked    bool // inside of a link
	mentions  []id.UserID
}

// tag writes to the HTML alone.
func (r *renderer) tag(s string) { r.html.WriteString(s) }

// mark writes to the plain text alone.
func (r *renderer) mark(s string) {
	for line := range strings.SplitAfterSeq(s, "\n") {
		if line == "" {
			continue
		}
		if !r.midLine {
			prefix := strings.Join(r.prefixes, "")
			if line == "\n" {
				prefix = strings.TrimRight(prefix, " ")
			}
			r.plain.WriteString(prefix)
		}
		r.plain.WriteString(line)
		r.midLine = !strings.HasSuffix(line, "\n")
	}
}

// text writes text to both.
func (r *renderer) text(s string) {
	r.html.WriteString(html.EscapeString(s))
	r.mark(s)
}

// blocks writes the children of n, each in its lines.
func (r *renderer) blocks(n ast.Node, tight bool) {
	r.depth++
	defer func() { r.depth-- }()
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if r.midLine {
			r.mark("\n")
			if !tight {
				r.mark("\n")
			}
		}
		r.block(child)
	}
}

// element writes a container with its children. Beyond a depth that no person
// writes, only the children are left.
func (r *renderer) element(name, prefix string, n ast.Node, tight bool) {
	if r.depth > maxNesting {
		r.blocks(n, tight)
		return
	}
	r.tag("<" + name + ">")
	r.prefixes = append(r.prefixes, prefix)
	r.blocks(n, tight)
	r.prefixes = r.prefixes[:len(r.prefixes)-1]
	name, _, _ = strings.Cut(name, " ")
	r.tag("</" + name + ">")
}

func (r *renderer) block(n ast.Node) {
	switch n := n.(type) {
	case *ast.Heading:
		r.wrapped("h"+strconv.Itoa(n.Level), n)
	case *ast.Paragraph:
		r.wrapped("p", n)
	case *ast.TextBlock:
		r.inlines(n)
	case *ast.Blockquote:
		r.element("blockquote", "> ", n, false)
	case *ast.List:
		name := "ul"
		if n.IsOrdered() {
			name = "ol"
			if n.Start != 1 {
				name += ` start="` + strconv.Itoa(n.Start) + `"`
			}
		}
		r.element(name, "", n, n.IsTight)
	case *ast.ListItem:
		marker := "- "
		if list, ok := n.Parent().(*ast.List); ok && list.IsOrdered() {
			marker = strconv.Itoa(list.Start+position(n)) + ". "
		}
		r.mark(marker)
		r.item(n, strings.Repeat(" ", len(marker)))
	case *ast.FencedCodeBlock:
		r.code(n, string(n.Language(r.source)))
	case *ast.CodeBlock:
		r.code(n, "")
	case *ast.HTMLBlock:
		r.htmlBlock(n)
	case *ast.ThematicBreak:
		r.tag("<hr>")
		r.mark("---")
	case *extast.Table:
		r.table(n)
	default:
		r.blocks(n, false)
	}
}

// item writes the children of a list item after its marker.
func (r *renderer) item(n *ast.ListItem, indent string) {
	list, _ := n.Parent().(*ast.List)
	tight := list != nil && list.IsTight
	r.tag("<li>")
	r.prefixes = append(r.prefixes, indent)
	first := true
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if !first {
			r.mark("\n")
			if !tight {
				r.mark("\n")
			}
		}
		first = false
		r.depth++
		r.block(child)
		r.depth--
	}
	r.prefixes = r.prefixes[:len(r.prefixes)-1]
	r.tag("</li>")
}

func position(n ast.Node) (i int) {
	for n = n.PreviousSibling(); n != nil; n = n.PreviousSibling() {
		i++
	}
	return i
}

func (r *renderer) wrapped(name string, n ast.Node) {
	r.tag("<" + name + ">")
	r.inlines(n)
	r.tag("</" + name + ">")
}

func (r *renderer) code(n ast.Node, language string) {
	r.tag("<pre><code")
	if validLanguage(language) {
		r.tag(` class="language-` + language + `"`)
	}
	r.tag(">")
	r.text(strings.TrimSuffix(r.lines(n), "\n"))
	r.tag("\n</code></pre>")
}

func (r *renderer) lines(n ast.Node) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(r.source))
	}
	return b.String()
}

// htmlBlock: "Any HTML tag in a received message is rendered as plain text".
func (r *renderer) htmlBlock(n *ast.HTMLBlock) {
	block := r.lines(n)
	if n.HasClosure() {
		block += string(n.ClosureLine.Value(r.source))
	}
	r.tag("<p>")
	for i, line := range strings.Split(strings.Trim(block, "\n"), "\n") {
		if i > 0 {
			r.lineBreak()
		}
		r.text(line)
	}
	r.tag("</p>")
}

func (r *renderer) lineBreak() {
	r.tag("<br>")
	r.mark("\n")
}

func (r *renderer) table(n *extast.Table) {
	r.tag("<table>")
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		if r.midLine {
			r.mark("\n")
		}
		name := "td"
		switch {
		case row.Kind() == extast.KindTableHeader:
			name = "th"
			r.tag("<thead>")
		case row.PreviousSibling() != nil && row.PreviousSibling().Kind() == extast.KindTableHeader:
			r.tag("<tbody>")
		}
		r.tag("<tr>")
		for entry := row.FirstChild(); entry != nil; entry = entry.NextSibling() {
			if entry.PreviousSibling() != nil {
				r.mark(" | ")
			}
			r.wrapped(name, entry)
		}
		r.tag("</tr>")
		if name == "th" {
			r.tag("</thead>")
		} else if row.NextSibling() == nil {
			r.tag("</tbody>")
		}
	}
	r.tag("</table>")
}

func (r *renderer) inlines(n ast.Node) {
	r.depth++
	defer func() { r.depth-- }()
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		r.inline(child)
	}
}

// maxInline is how deeply emphasis is nested at most.
const maxInline = 32

func (r *renderer) emphasis(name string, n ast.Node) {
	if r.depth > maxInline {
		r.inlines(n)
		return
	}
	r.wrapped(name, n)
}

func (r *renderer) inline(n ast.Node) {
	switch n := n.(type) {
	case *ast.Text:
		r.text(r.value(n))
		switch {
		case n.HardLineBreak():
			r.lineBreak()
		case n.SoftLineBreak():
			r.text(" ")
		}
	case *ast.String:
		r.text(string(n.Value))
	case *ast.CodeSpan:
		r.tag("<code>")
		r.text(r.codeText(n))
		r.tag("</code>")
	case *ast.Emphasis:
		name := "em"
		if n.Level == 2 {
			name = "strong"
		}
		r.emphasis(name, n)
	case *extast.Strikethrough:
		r.emphasis("del", n)
	case *ast.Link:
		r.link(n, string(util.URLEscape(n.Destination, true)))
	case *ast.Image:
		r.link(n, string(util.URLEscape(n.Destination, true)))
	case *ast.AutoLink:
		r.autoLink(n)
	case *ast.RawHTML:
		for i := range n.Segments.Len() {
			segment := n.Segments.At(i)
			r.text(string(segment.Value(r.source)))
		}
	case *extast.TaskCheckBox:
		box := "☐ "
		if n.IsChecked {
			box = "☑ "
		}
		r.text(box)
	default:
		r.inlines(n)
	}
}

// value returns the text of a node with escapes and character references
// resolved. The library resolves both in one pass, and only on the way to HTML.
func (r *renderer) value(n *ast.Text) string {
	raw := n.Segment.Value(r.source)
	if n.IsRaw() {
		return string(raw)
	}
	var b strings.Builder
	w := bufio.NewWriter(&b)
	goldmarkhtml.DefaultWriter.Write(w, raw)
	_ = w.Flush() // a strings.Builder does not fail
	return printable(html.UnescapeString(b.String()))
}

func (r *renderer) codeText(n *ast.CodeSpan) string {
	var b strings.Builder
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		if t, ok := child.(*ast.Text); ok {
			b.Write(t.Segment.Value(r.source))
		}
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}

func (r *renderer) autoLink(n *ast.AutoLink) {
	target, label := string(n.URL(r.source)), string(n.Label(r.source))
	if n.AutoLinkType == ast.AutoLinkEmail && !strings.HasPrefix(target, "mailto:") {
		target = "mailto:" + target
	}
	if user, name, ok := r.user(target); ok && !r.linked {
		r.mention(user, name)
		return
	}
	if r.linked || !safeLink(target) {
		r.text(label)
		return
	}
	r.tag(`<a href="` + html.EscapeString(target) + `">`)
	r.text(label)
	r.tag("</a>")
}

// link writes a link or, as pictures from elsewhere are not shown, a link to a
// picture.
func (r *renderer) link(n ast.Node, target string) {
	if r.linked {
		r.inlines(n)
		return
	}
	if user, name, ok := r.user(target); ok {
		r.mention(user, name)
		return
	}
	if !safeLink(target) {
		r.inlines(n)
		return
	}
	start := r.plain.Len()
	r.linked = true
	r.tag(`<a href="` + html.EscapeString(target) + `">`)
	r.inlines(n)
	shown := strings.TrimSpace(r.plain.String()[start:])
	if shown == "" {
		r.text(target)
	}
	r.tag("</a>")
	r.linked = false
	switch {
	case shown == "" || shown == target:
	case misleading(shown, target):
		r.text(" (" + target + ")") // where it leads is seen before it is followed
	default:
		r.mark(" (" + target + ")")
	}
}

// user returns the Matrix user that a link mentions.
func (r *renderer) user(target string) (id.UserID, string, bool) {
	if r.converter.MatrixUser == nil {
		return "", "", false
	}
	uri, err := mimi.ParseURIKind(target, mimi.KindUser)
	if err != nil {
		return "", "", false
	}
	return r.converter.MatrixUser(uri)
}

func (r *renderer) mention(user id.UserID, name string) {
	if !slices.Contains(r.mentions, user) {
		r.mentions = append(r.mentions, user)
	}
	r.tag(`<a href="` + html.EscapeString(user.URI().MatrixToURL()) + `">`)
	r.text(printable(name))
	r.tag("</a>")
}
