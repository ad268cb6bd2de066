package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A kind says why a sentence is a row.
type kind string

const (
	// must is a sentence with the word MUST in it.
	must kind = "must"
	// step is a check in a list: an item that asks to verify something, or one
	// of a list of what makes something valid or invalid.
	step kind = "step"
)

// A sentence is one demand of the RFC.
type sentence struct {
	section string
	ordinal int // from 1, in its section
	kind    kind
	text    string
}

func (s *sentence) id() string { return fmt.Sprintf("%s:%d", s.section, s.ordinal) }

func (s *sentence) head() string { return fmt.Sprintf("%s %s %s", s.id(), s.kind, s.sum()) }

// sum is the hash of the normalised sentence.
func (s *sentence) sum() string {
	h := sha256.Sum256([]byte(normalise(s.text)))
	return hex.EncodeToString(h[:])
}

// references are rendered differently in the published text and its source.
var references = regexp.MustCompile(`\{\{[^}]*\}\}|\[RFC\d+\]|\(?\bSection\s[\d.]*\d(\sof\s\[\w+\])?|\[I-D[^\]]*\]|\[MLS-ARCH\]`)

// normalise keeps the letters and digits of a sentence, without references to
// other places.
func normalise(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}, references.ReplaceAllString(tags.ReplaceAllString(s, ""), ""))
}

// A block is a paragraph, or one of a list item.
type block struct {
	section string
	item    bool // of a list
	first   bool // begins an item of the outermost list
	text    string
}

var (
	textHeading = regexp.MustCompile(`^(\d+(?:\.\d+)*)\.\s+\S`)
	bullet      = regexp.MustCompile(`^\s*([*o-]|\d\.)\s+`)
	tags        = regexp.MustCompile(`</?sup>`)
	asks        = regexp.MustCompile(`\b[Vv]erify\b|\breturn an error\b`)
	judges      = regexp.MustCompile(`\b(in)?valid\b|\bby checking\b|\bdeleted?\b|\border\b`)
	mustWord    = regexp.MustCompile(`\bMUST\b`)
	sentenceEnd = regexp.MustCompile("([.:])\\)?\\s+[(`]*[A-Z(`]")
)

// extract returns the demands of sections 5 to 13.
func extract(rfc string) []sentence {
	blocks := textBlocks(rfc)
	if strings.HasPrefix(rfc, "---\n") {
		blocks = markdownBlocks(rfc)
	}
	var out []sentence
	ordinals := map[string]int{}
	judged := false // the list below the last paragraph says what is (in)valid
	for _, b := range blocks {
		if top, _, _ := strings.Cut(b.section, "."); !between(top, 5, 13) {
			continue
		}
		parts := split(b.text)
		if !b.item && len(parts) > 0 {
			last := parts[len(parts)-1]
			judged = strings.HasSuffix(last, ":") && judges.MatchString(last)
		}
		for i, p := range parts {
			s := sentence{section: b.section, text: p}
			switch {
			case mustWord.MatchString(p):
				s.kind = must
			case b.item && asks.MatchString(p), b.first && judged && i == 0 && !strings.HasSuffix(p, ":"):
				s.kind = step
			default:
				continue
			}
			ordinals[s.section]++
			s.ordinal = ordinals[s.section]
			out = append(out, s)
		}
	}
	return out
}

func between(number string, from, to int) bool {
	n, err := strconv.Atoi(number)
	return err == nil && n >= from && n <= to
}

// split cuts a paragraph into sentences.
func split(text string) []string {
	var out []string
	start := 0
	for _, m := range sentenceEnd.FindAllStringIndex(text, -1) {
		end := m[0] + 1
		if text[end] == ')' {
			end++
		}
		s := text[start:end]
		if strings.HasSuffix(s, "i.e.") || strings.HasSuffix(s, "e.g.") || strings.HasSuffix(s, "vs.") {
			continue
		}
		out = append(out, s)
		start = end
	}
	if rest := strings.TrimSpace(text[start:]); rest != "" {
		out = append(out, rest)
	}
	for i := range out {
		out[i] = strings.TrimSpace(out[i])
	}
	return out
}

// A collector joins lines to blocks.
type collector struct {
	section string
	indent  int // of plain paragraphs
	blocks  []block
	open    bool // the last block may go on
	list    bool
	outer   int // indent of the outermost items of the list
}

func (c *collector) line(l string) {
	trimmed := strings.TrimSpace(l)
	starts := bullet.MatchString(l)
	if starts {
		trimmed = strings.TrimSpace(bullet.ReplaceAllString(l, ""))
	}
	switch {
	case trimmed == "":
		c.open = false
	case c.open && !starts:
		b := &c.blocks[len(c.blocks)-1]
		b.text += " " + trimmed
	default:
		indent := len(l) - len(strings.TrimLeft(l, " "))
		if starts && !c.list {
			c.outer = indent
		}
		c.list = starts || (c.list && indent > c.indent)
		c.blocks = append(c.blocks, block{section: c.section, item: c.list, first: starts && indent == c.outer, text: trimmed})
		c.open = true
	}
}

// textBlocks reads the RFC as it is published.
func textBlocks(rfc string) []block {
	c := collector{indent: 3}
	for l := range strings.Lines(rfc) {
		l = strings.TrimRight(l, "\r\n\f ")
		if m := textHeading.FindStringSubmatch(l); m != nil {
			c.section, c.open, c.list = m[1], false, false
			continue
		}
		if strings.HasPrefix(strings.TrimSpace(l), "# ") {
			continue // a comment in code
		}
		c.line(l)
	}
	return c.blocks
}

// markdownBlocks reads the source of the RFC: headings count, and what stands
// between fences is code.
func markdownBlocks(rfc string) []block {
	c := collector{}
	var numbers []int
	code := false
	for l := range strings.Lines(rfc) {
		l = strings.TrimRight(l, "\r\n ")
		level := len(l) - len(strings.TrimLeft(l, "#"))
		switch {
		case strings.HasPrefix(strings.TrimSpace(l), "~~~"):
			code, c.open = !code, false
		case code, strings.HasPrefix(l, "{:"), strings.HasPrefix(l, "|"):
		case level > 0 && strings.HasPrefix(l[level:], " "):
			for len(numbers) < level {
				numbers = append(numbers, 0)
			}
			numbers = numbers[:level]
			numbers[level-1]++
			c.section, c.open, c.list = join(numbers), false, false
		default:
			c.line(l)
		}
	}
	return c.blocks
}

func join(numbers []int) string {
	parts := make([]string, len(numbers))
	for i, n := range numbers {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, ".")
}
