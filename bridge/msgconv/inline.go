package msgconv

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A style is a set of ways to emphasise text.
type style uint8

const (
	strike style = 1 << iota
	strong
	em
)

// nesting is the order in which the delimiters of styles are nested, outermost
// first. It is fixed, so that no two delimiters that start with the same
// character touch each other: strong is never inside of em.
var nesting = [...]style{strike, strong, em}

// A run is a stretch of text with one look, or a line break.
type run struct {
	text  string
	style style
	link  string // destination; empty for none
	code  bool
	br    bool
}

func (r run) sameLook(o run) bool {
	return r.style == o.style && r.link == o.link && r.code == o.code && !r.br && !o.br
}

func (r run) space() bool {
	return !r.code && !r.br && strings.TrimSpace(r.text) == ""
}

const htmlSpace = " \t\n\r\f"

// normalise collapses white space like an HTML renderer does, joins runs that
// look the same, and takes the styles off white space at their borders, where
// Markdown can't have it.
func normalise(runs []run) []run {
	var out []run
	atSpace := true // the text so far ends with a space, a break, or not at all
	for _, r := range runs {
		// A bracket in code, where nothing can be escaped, could end the text of
		// the link early, or make a definition of it.
		r.code = r.code && (r.link == "" || !strings.ContainsAny(r.text, "[]"))
		switch {
		case r.br:
			out = trimLast(out)
			out = append(out, run{br: true})
			atSpace = true
			continue
		case r.code:
			r.text = strings.NewReplacer("\n", " ", "\t", " ").Replace(r.text)
			atSpace = atSpace && r.text == ""
		default:
			r.text, atSpace = collapse(r.text, atSpace)
		}
		if r.text == "" {
			continue
		}
		out = append(out, splitSpace(r)...)
	}
	out = trimLast(out)
	out = joinSpaces(out)
	for i := range out {
		if out[i].space() {
			out[i].settle(neighbour(out, i, -1), neighbour(out, i, +1))
		}
	}
	var joined []run
	for _, r := range out {
		if last := len(joined) - 1; last >= 0 && joined[last].sameLook(r) {
			joined[last].text += r.text
		} else {
			joined = append(joined, r)
		}
	}
	return joined
}

// joinSpaces makes one run of adjacent white space, with the looks that all of
// it has.
func joinSpaces(runs []run) []run {
	var out []run
	for _, r := range runs {
		last := len(out) - 1
		if last < 0 || !r.space() || !out[last].space() {
			out = append(out, r)
			continue
		}
		out[last].text += r.text
		out[last].style &= r.style
		if out[last].link != r.link {
			out[last].link = ""
		}
	}
	return out
}

// settle leaves white space the looks that the words on both sides have too, in
// the order of nesting: where one look ends, all inside of it end.
func (r *run) settle(before, after *run) {
	if before == nil || after == nil {
		r.style, r.link = 0, ""
		return
	}
	same := before.link == r.link && after.link == r.link
	if !same {
		r.link = ""
	}
	for _, s := range nesting {
		same = same && before.style&s == r.style&s && after.style&s == r.style&s
		if !same {
			r.style &^= s
		}
	}
}

// neighbour returns the next run before or after i that is no white space, nil
// at a border or line break.
func neighbour(runs []run, i, step int) *run {
	for i += step; 0 <= i && i < len(runs) && !runs[i].br; i += step {
		if !runs[i].space() {
			return &runs[i]
		}
	}
	return nil
}

func collapse(s string, atSpace bool) (string, bool) {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(htmlSpace, r) {
			if !atSpace {
				b.WriteByte(' ')
			}
			atSpace = true
			continue
		}
		b.WriteRune(r)
		atSpace = false
	}
	return b.String(), atSpace
}

// trimLast removes the space at the end of a line.
func trimLast(runs []run) []run {
	for len(runs) > 0 {
		last := &runs[len(runs)-1]
		if last.br || last.code {
			break
		}
		last.text = strings.TrimRight(last.text, htmlSpace)
		if last.text != "" {
			break
		}
		runs = runs[:len(runs)-1]
	}
	return runs
}

// splitSpace makes the white space at the borders of a run into runs of their
// own. It is Unicode's white space: a delimiter beside a no-break space is none.
func splitSpace(r run) []run {
	if r.code {
		return []run{r}
	}
	core := strings.TrimSpace(r.text)
	if core == "" {
		return []run{r}
	}
	start := strings.Index(r.text, core)
	var out []run
	for _, text := range []string{r.text[:start], core, r.text[start+len(core):]} {
		if text != "" {
			piece := r
			piece.text = text
			out = append(out, piece)
		}
	}
	return out
}

// A cell is the smallest unit of Markdown source that is written: a character,
// escaped if need be, a delimiter, or something raw such as a code span.
type cell struct {
	src   string
	text  rune // the character, 0 if it is no character
	delim int  // +1 opens, -1 closes an emphasis
	em    bool // the delimiter of em, of which there are two
	deep  bool // within strong
}

// inlineMarkdown writes normalised runs as lines of Markdown.
func inlineMarkdown(runs []run) []string {
	var lines []string
	for len(runs) > 0 {
		end := 0
		for end < len(runs) && !runs[end].br {
			end++
		}
		lines = append(lines, lineMarkdown(runs[:end]))
		runs = runs[min(end+1, len(runs)):]
	}
	return lines
}

func lineMarkdown(runs []run) string {
	var cells []cell
	for len(runs) > 0 {
		end := 1
		for end < len(runs) && runs[end].link == runs[0].link {
			end++
		}
		if link := runs[0].link; link != "" {
			cells = append(cells, cell{src: "["})
			cells = styled(cells, runs[:end], 0)
			cells = append(cells, cell{src: "](" + destination(link) + ")"})
		} else {
			cells = styled(cells, runs[:end], 0)
		}
		runs = runs[end:]
	}
	flank(cells)
	var b strings.Builder
	for _, c := range cells {
		b.WriteString(c.src)
	}
	return escapeLineStart(b.String())
}

// styled appends runs, with delimiters for the styles from nesting[level] on.
func styled(cells []cell, runs []run, level int) []cell {
	if level == len(nesting) {
		for _, r := range runs {
			if r.code {
				cells = append(cells, cell{src: codeSpan(r.text)})
			} else {
				cells = appendText(cells, r.text)
			}
		}
		return cells
	}
	s := nesting[level]
	for len(runs) > 0 {
		end := 1
		for end < len(runs) && runs[end].style&s == runs[0].style&s {
			end++
		}
		if runs[0].style&s == 0 {
			cells = styled(cells, runs[:end], level+1)
		} else {
			mark := cell{src: map[style]string{strike: "~~", strong: "**", em: "_"}[s], em: s == em, deep: runs[0].style&strong != 0}
			mark.delim = +1
			cells = append(cells, mark)
			cells = styled(cells, runs[:end], level+1)
			mark.delim = -1
			cells = append(cells, mark)
		}
		runs = runs[end:]
	}
	return cells
}

// appendText escapes what could be markup anywhere in a line.
func appendText(cells []cell, s string) []cell {
	for i, r := range s {
		src := string(r)
		switch r {
		case '\\', '`', '*', '[', ']', '~', '|':
			src = "\\" + src
		case '_':
			// Between letters and digits an underscore is none.
			before, _ := utf8.DecodeLastRuneInString(s[:i])
			after, _ := utf8.DecodeRuneInString(s[i+1:])
			if !isWord(before) || !isWord(after) {
				src = "\\_"
			}
		case '<':
			src = "&lt;" // section "Specifics of Github Flavored Markdown in MIMI"
		case '&':
			if entityLike(s[i+1:]) {
				src = "&amp;"
			}
		case '!':
			if i == len(s)-1 {
				src = "\\!" // a link may follow, which would become a picture
			}
		case '\n', '\t':
			src = " "
		}
		cells = append(cells, cell{src: src, text: r})
	}
	return cells
}

func isWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r))
}

// entityLike reports whether s, which follows an ampersand, could make a
// character reference of it.
func entityLike(s string) bool {
	const longest = 40 // more than any name or number of a character has
	end := strings.IndexByte(s[:min(len(s), longest)], ';')
	if end <= 0 {
		return false
	}
	return strings.IndexFunc(s[:end], func(r rune) bool {
		return r != '#' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) < 0
}

// flank makes every delimiter one that opens or closes by the rules for
// left-flanking and right-flanking runs (GFM, section 6.4). They depend on the
// characters on both sides; where those don't fit, the character outside is
// written as a reference, which begins and ends with punctuation.
func flank(cells []cell) {
	for i := range cells {
		if cells[i].em && cells[i].delim > 0 {
			if end := closing(cells, i); !cells[i].deep && wantsAsterisk(cells, i, end) {
				cells[i].src, cells[end].src = "*", "*"
			}
		}
	}
	var todo []int
	for i, c := range cells {
		if c.delim != 0 {
			todo = append(todo, i)
		}
	}
	// A reference changes what another delimiter has beside it. Each character
	// becomes one at most once, so this ends.
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, at := range unfit(cells, i) {
			cells[at].src = reference(cells[at].text)
			for _, beside := range []int{at - 1, at + 1} {
				if 0 <= beside && beside < len(cells) && cells[beside].delim != 0 {
					todo = append(todo, beside)
				}
			}
		}
	}
}

// unfit returns the characters beside the delimiter at i that must be written as
// references.
func unfit(cells []cell, i int) (list []int) {
	c := cells[i]
	outside, inside := i-c.delim, i+c.delim
	for _, at := range []int{outside, inside} {
		// Some read even an escaped character as part of the delimiter.
		if 0 <= at && at < len(cells) && cells[at].text == rune(c.src[0]) && !cells[at].referenced() {
			list = append(list, at)
		}
	}
	if outside < 0 || outside == len(cells) || slices.Contains(list, outside) {
		return list
	}
	out := cells[outside]
	if !out.bare() || class(out.text) == classSpace || out.text < utf8.RuneSelf && class(out.text) == classPunct {
		return list
	}
	if in := cells[inside]; c.src == "_" || !in.bare() || class(in.text) != classWord || slices.Contains(list, inside) {
		list = append(list, outside)
	}
	return list
}

// bare reports whether the source of a cell is the character itself. What else
// there is begins and ends with ASCII punctuation.
func (c cell) bare() bool { return c.text != 0 && c.src == string(c.text) }

func (c cell) referenced() bool { return strings.HasPrefix(c.src, "&") && c.text != '&' }

func reference(r rune) string { return fmt.Sprintf("&#%d;", r) }

// closing returns where the em that opens at i is closed; em is innermost.
func closing(cells []cell, i int) int {
	for i++; !cells[i].em; i++ {
	}
	return i
}

// wantsAsterisk reports whether the em from start to end is better written with
// an asterisk: beside a letter, where an underscore does not work, but not
// beside another delimiter.
func wantsAsterisk(cells []cell, start, end int) bool {
	word := false
	for _, at := range []int{start - 1, end + 1} {
		if at < 0 || at >= len(cells) {
			continue
		}
		if cells[at].delim != 0 {
			return false
		}
		word = word || cells[at].text != 0 && class(cells[at].text) == classWord
	}
	return word
}

type charClass uint8

const (
	classWord  charClass = iota
	classSpace           // as the border of a line
	classPunct           // by some versions of the rules, if not ASCII
)

func class(r rune) charClass {
	switch {
	case unicode.IsSpace(r):
		return classSpace
	case unicode.IsPunct(r), unicode.IsSymbol(r):
		return classPunct
	default:
		return classWord
	}
}

// codeSpan writes text as code.
func codeSpan(text string) string {
	fence := strings.Repeat("`", longestTicks(text)+1)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") ||
		strings.HasPrefix(text, " ") && strings.HasSuffix(text, " ") && strings.Trim(text, " ") != "" {
		text = " " + text + " "
	}
	return fence + text + fence
}

// destination writes the destination of a link, without characters that mean
// something in Markdown.
func destination(link string) string {
	var b strings.Builder
	for i := range len(link) {
		switch c := link[i]; {
		case c <= ' ', c == 0x7f, strings.IndexByte("\\`<>()[]|\"*_~", c) >= 0 && c != '_' && c != '~':
			fmt.Fprintf(&b, "%%%02X", c)
		case c == '&' && entityLike(link[i+1:]):
			b.WriteString("&amp;")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// longestTicks returns the length of the longest row of backticks.
func longestTicks(s string) int {
	longest, current := 0, 0
	for i := range len(s) {
		if s[i] != '`' {
			current = 0
			continue
		}
		current++
		longest = max(longest, current)
	}
	return longest
}

// escapeLineStart escapes what would make a line of text the start of a block.
func escapeLineStart(line string) string {
	if line == "" {
		return line
	}
	word, _, _ := strings.Cut(line, " ")
	digits := len(word) - len(strings.TrimLeft(word, "0123456789"))
	switch {
	case line[0] == '>',
		word == "-", word == "+",
		strings.Trim(word, "#") == "" && len(word) <= 6,
		strings.Trim(line, "= ") == "",
		strings.Trim(line, "-: ") == "":
		return "\\" + line
	case 0 < digits && digits <= 9 && (word[digits:] == "." || word[digits:] == ")"):
		return line[:digits] + "\\" + line[digits:]
	}
	return line
}
