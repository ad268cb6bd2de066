package msgconv

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// maxNesting is how deeply quotes and lists are nested in each other at most.
// What is deeper is shown at this level.
const maxNesting = 16

// maxColumns is how many columns a table has at most.
const maxColumns = 32

// markdown translates the HTML of a Matrix message to GFM-MIMI Markdown. Only the reading is done by a library:
// mautrix/format writes Markdown for people to read, without escaping what is
// text in it. It fails if the HTML is nested too deeply.
func (c Converter) markdown(source string) (string, error) {
	nodes, err := html.ParseFragment(strings.NewReader(printable(source)), &html.Node{
		Type: html.ElementNode, Data: "body", DataAtom: atom.Body,
	})
	if err != nil {
		return "", fmt.Errorf("msgconv: parse HTML: %w", err)
	}
	b := builder{converter: c}
	for _, n := range nodes {
		b.node(n, run{})
	}
	b.flush()
	return b.join("\n\n"), nil
}

// A block is a paragraph, list, quotation and so on in Markdown.
type block struct {
	text   string
	marker byte // of a list: - * . )
}

// A builder collects the blocks of one container.
type builder struct {
	converter Converter
	blocks    []block
	runs      []run // of the paragraph that is being read
	depth     int
}

func (b *builder) join(separator string) string {
	texts := make([]string, len(b.blocks))
	for i, block := range b.blocks {
		texts[i] = block.text
	}
	return strings.Join(texts, separator)
}

// inner returns a builder for a container inside of b.
func (b *builder) inner() *builder {
	return &builder{converter: b.converter, depth: b.depth + 1}
}

// flush ends the paragraph.
func (b *builder) flush() {
	runs := normalise(b.runs)
	b.runs = nil
	var lines []string
	end := func() {
		if len(lines) > 0 {
			b.add(strings.Join(lines, "  \n")) // hard line breaks
		}
		lines = nil
	}
	for _, line := range inlineMarkdown(runs) {
		if line == "" { // two breaks end a paragraph
			end()
			continue
		}
		lines = append(lines, line)
	}
	end()
}

func (b *builder) add(text string) {
	if text != "" {
		b.blocks = append(b.blocks, block{text: text})
	}
}

// node reads a node; look is how text in it looks.
func (b *builder) node(n *html.Node, look run) {
	switch n.Type {
	case html.TextNode:
		look.text = n.Data
		b.runs = append(b.runs, look)
	case html.ElementNode:
		if !b.block(n, look) {
			b.inline(n, look)
		}
	}
}

func (b *builder) children(n *html.Node, look run) {
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		b.node(child, look)
	}
}

// block reads an element that is a block, and reports whether it was one.
func (b *builder) block(n *html.Node, look run) bool {
	switch n.DataAtom {
	case atom.P, atom.Div, atom.Details, atom.Summary, atom.Section, atom.Article, atom.Caption,
		atom.Header, atom.Footer, atom.Dl, atom.Dt, atom.Dd, atom.Li, atom.Tr:
		b.flush()
		b.children(n, look)
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		b.flush()
		if text := b.oneLine(n, look); text != "" {
			if strings.HasSuffix(text, "#") {
				text = text[:len(text)-1] + "\\#"
			}
			b.add(strings.Repeat("#", int(n.Data[1]-'0')) + " " + text)
		}
	case atom.Blockquote:
		b.flush()
		b.container(n, look, func(inner *builder) { b.add(prefixed(inner.join("\n\n"), "> ", "> ")) })
	case atom.Ul, atom.Ol, atom.Menu:
		b.flush()
		b.list(n, look)
	case atom.Pre:
		b.flush()
		b.add(fenced(n))
	case atom.Hr:
		b.flush()
		b.add("___") // in a list item, the other rules would join its marker
	case atom.Table:
		b.flush()
		b.table(n, look)
	default:
		return false
	}
	b.flush()
	return true
}

// container reads the children of n into a builder of their own, unless the
// nesting is deep enough already.
func (b *builder) container(n *html.Node, look run, done func(*builder)) {
	if b.depth >= maxNesting {
		b.children(n, look)
		return
	}
	inner := b.inner()
	inner.children(n, look)
	inner.flush()
	if len(inner.blocks) > 0 {
		done(inner)
	}
}

// inline reads an element inside of a paragraph.
func (b *builder) inline(n *html.Node, look run) {
	switch n.DataAtom {
	case atom.B, atom.Strong:
		look.style |= strong
	case atom.I, atom.Em, atom.Cite, atom.Var, atom.Dfn:
		look.style |= em
	case atom.S, atom.Strike, atom.Del:
		look.style |= strike
	case atom.Code, atom.Tt, atom.Kbd, atom.Samp:
		look.code, look.text = true, strings.Trim(textOf(n), "\n")
		b.runs = append(b.runs, look)
		return
	case atom.Br:
		b.runs = append(b.runs, run{br: true})
		return
	case atom.Img:
		look.text = attribute(n, "alt")
		b.runs = append(b.runs, look)
		return
	case atom.A:
		b.link(n, look)
		return
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Iframe, atom.Object, atom.Noscript, atom.Svg, atom.Math:
		return
	}
	if n.Data == "mx-reply" {
		return
	}
	b.children(n, look)
}

// link reads an a element. Users are mentioned by the URI that the room knows;
// other places on Matrix mean nothing to its members.
func (b *builder) link(n *html.Node, look run) {
	href := attribute(n, "href")
	if look.link != "" || href == "" {
		b.children(n, look)
		return
	}
	text := strings.TrimSpace(textOf(n))
	if target, err := id.ParseMatrixURIOrMatrixToURL(href); err == nil && target != nil {
		b.mention(n, look, text, target)
		return
	}
	if _, err := mimi.ParseURIKind(href, mimi.KindUser); err != nil && !safeLink(href) {
		b.children(n, look)
		return
	}
	if text != "" { // what shows nothing can't be followed either
		look.link = href
	}
	b.children(n, look)
}

func (b *builder) mention(n *html.Node, look run, text string, target *id.MatrixURI) {
	user := target.UserID()
	if user == "" {
		if _, err := id.ParseMatrixURIOrMatrixToURL(text); text == "" || err == nil {
			text = "(a place on Matrix)"
		}
		look.text = text
		b.runs = append(b.runs, look)
		return
	}
	if b.converter.MIMIUser != nil {
		if uri, ok := b.converter.MIMIUser(user); ok {
			look.link = uri.String()
		}
	}
	// Who can't be mentioned is named; an id of Matrix is no name.
	if strings.Contains(text, user.String()) || strings.Contains(text, "matrix.to/") || text == "" {
		look.text = "@" + user.Localpart()
		b.runs = append(b.runs, look)
		return
	}
	b.children(n, look)
}

// oneLine reads what must not have line breaks.
func (b *builder) oneLine(n *html.Node, look run) string {
	if b.depth >= maxNesting {
		return ""
	}
	inner := b.inner()
	inner.children(n, look)
	for i := range inner.runs {
		if inner.runs[i].br {
			inner.runs[i] = run{text: " "}
		}
	}
	inner.flush()
	return strings.NewReplacer("  \n", " ", "\n", " ").Replace(inner.join(" "))
}

func (b *builder) list(n *html.Node, look run) {
	if b.depth >= maxNesting {
		b.children(n, look)
		return
	}
	marker, other := byte('-'), byte('*')
	number := 1
	ordered := n.DataAtom == atom.Ol
	if ordered {
		marker, other = '.', ')'
		if start, err := strconv.Atoi(attribute(n, "start")); err == nil && 0 <= start && start < 1e8 {
			number = start
		}
	}
	if last := len(b.blocks) - 1; last >= 0 && b.blocks[last].marker == marker {
		marker = other // or the two lists would be one
	}
	var items []string
	tight := true
	for child := n.FirstChild; child != nil; child = child.NextSibling {
		if child.Type != html.ElementNode {
			continue
		}
		inner := b.inner()
		inner.node(child, look)
		inner.flush()
		bullet := string(marker) + " "
		if ordered {
			bullet = strconv.Itoa(number) + string(marker) + " "
			number++
		}
		if len(inner.blocks) == 0 {
			continue // an empty item ends lists around it
		}
		separator := "\n\n"
		if inner.tight() {
			separator = "\n"
		} else {
			tight = false
		}
		items = append(items, prefixed(inner.join(separator), bullet, strings.Repeat(" ", len(bullet))))
	}
	if len(items) == 0 {
		return
	}
	separator := "\n"
	if !tight {
		separator = "\n\n"
	}
	b.blocks = append(b.blocks, block{strings.Join(items, separator), marker})
}

// tight reports whether the blocks of a list item can stand without empty lines
// between them: text, perhaps with a bulleted list below.
func (b *builder) tight() bool {
	switch len(b.blocks) {
	case 0, 1:
		return true
	case 2:
		marker := b.blocks[1].marker
		return b.blocks[0].marker == 0 && (marker == '-' || marker == '*')
	default:
		return false
	}
}

// table writes a table with one line for each row.
func (b *builder) table(n *html.Node, look run) {
	var rows [][]string
	header := false
	var visit func(*html.Node)
	visit = func(n *html.Node) {
		for child := n.FirstChild; child != nil; child = child.NextSibling {
			switch child.DataAtom {
			case atom.Thead, atom.Tbody, atom.Tfoot:
				visit(child)
			case atom.Caption:
				b.children(child, look)
				b.flush()
			case atom.Tr:
				row, isHeader := b.row(child, look)
				header = header || len(rows) == 0 && isHeader
				rows = append(rows, row)
			}
		}
	}
	visit(n)
	columns := 0
	for _, row := range rows {
		columns = max(columns, len(row))
	}
	if columns == 0 {
		return
	}
	if !header { // GFM has no tables without
		rows = append([][]string{nil}, rows...)
	}
	var text strings.Builder
	for i, row := range rows {
		text.WriteString("|")
		for column := range columns {
			entry := ""
			if column < len(row) {
				entry = row[column]
			}
			text.WriteString(" " + entry + " |")
		}
		if i == 0 {
			text.WriteString("\n|" + strings.Repeat(" --- |", columns))
		}
		if i < len(rows)-1 {
			text.WriteString("\n")
		}
	}
	b.add(text.String())
}

func (b *builder) row(n *html.Node, look run) (entries []string, header bool) {
	for child := n.FirstChild; child != nil && len(entries) < maxColumns; child = child.NextSibling {
		if child.DataAtom == atom.Th || child.DataAtom == atom.Td {
			header = header || child.DataAtom == atom.Th
			entries = append(entries, escapePipes(b.oneLine(child, look)))
		}
	}
	return entries, header
}

// escapePipes escapes the pipes that are not escaped yet: those in code.
func escapePipes(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\\|", "|"), "|", "\\|")
}

// fenced writes a pre element as a fenced code block.
func fenced(n *html.Node) string {
	language := ""
	if code := n.FirstChild; code != nil && code.DataAtom == atom.Code {
		for _, class := range strings.Fields(attribute(code, "class")) {
			if name, ok := strings.CutPrefix(class, "language-"); ok && validLanguage(name) {
				language = name
			}
		}
	}
	text := strings.TrimSuffix(textOf(n), "\n")
	fence := strings.Repeat("`", max(3, longestTicks(text)+1))
	return fence + language + "\n" + text + "\n" + fence
}

func validLanguage(name string) bool {
	return name != "" && len(name) <= 32 && strings.IndexFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("+-_#.", r))
	}) < 0
}

// prefixed puts first before the first line of text, and rest before the
// others.
func prefixed(text, first, rest string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		prefix := rest
		if i == 0 {
			prefix = first
		}
		if line == "" {
			prefix = strings.TrimRight(prefix, " ")
		}
		lines[i] = prefix + line
	}
	return strings.Join(lines, "\n")
}

// textOf returns the text in a node, with line breaks.
func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		switch {
		case d.Type == html.TextNode:
			b.WriteString(d.Data)
		case d.DataAtom == atom.Br:
			b.WriteByte('\n')
		case d.DataAtom == atom.Img:
			b.WriteString(attribute(d, "alt"))
		}
	}
	return b.String()
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Namespace == "" && a.Key == key {
			return a.Val
		}
	}
	return ""
}
