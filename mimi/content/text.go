package content

import (
	"mime"
	"strings"
	"unicode/utf8"
)

// A Format is a way of writing text.
type Format uint8

// The formats that [Single.Text] recognises.
const (
	// NoText: the part is no text, or in a format that is not known here.
	NoText Format = iota
	// Plain is text/plain.
	Plain
	// Markdown is text/markdown; every variant is read as GFM-MIMI.
	Markdown
	// HTML is text/html.
	HTML
)

// Text returns the text of a part and its format, or [NoText] if it isn't text
// in UTF-8 of a known format.
func (s *Single) Text() (string, Format) {
	if s == nil || !utf8.Valid(s.Content) {
		return "", NoText
	}
	mediaType, params, err := mime.ParseMediaType(s.ContentType)
	if err != nil {
		return "", NoText
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii") {
		return "", NoText
	}
	switch mediaType {
	case "text/plain":
		return string(s.Content), Plain
	case "text/markdown":
		return string(s.Content), Markdown
	case "text/html":
		return string(s.Content), HTML
	}
	return "", NoText
}

// MarkdownPart returns a body in GFM-MIMI Markdown. The text must already follow
// the rules of that variant: no HTML tags outside of code.
func MarkdownPart(text string) Part {
	return Part{Disposition: Render, Body: &Single{MarkdownType, []byte(text)}}
}

// PlainPart returns a body without markup.
func PlainPart(text string) Part {
	return Part{Disposition: Render, Body: &Single{PlainType, []byte(text)}}
}

// A Leaf is a part that is no container, with its part index: zero-based, depth
// first, counting the containers (section "Message Bodies").
type Leaf struct {
	Index int
	Part  Part
	// Rank is what the caller of [Choose] made of the part; 0 if it can't be
	// shown.
	Rank int
}

// Choose applies the semantics of all [Multi] parts to a body and returns what
// is left to process, in order. rank says how well the receiver can process a
// part that is no container: 0 not at all, otherwise the higher the better; of
// equals in a choice the first wins. Parts with rank 0 are returned too, at least
// one for each unit of which nothing can be processed, so that the receiver can
// say that something is missing. NullParts are left out.
func Choose(body Part, rank func(Part) int) []Leaf {
	index := 0
	return choose(body, rank, &index).leaves
}

// choice is a part with all choices below it made.
type choice struct {
	leaves []Leaf
	rank   int
}

func choose(p Part, rank func(Part) int, index *int) choice {
	own := *index
	*index++
	multi, ok := p.Body.(*Multi)
	switch {
	case p.Body == nil:
		return choice{}
	case !ok:
		leaf := Leaf{own, p, rank(p)}
		return choice{[]Leaf{leaf}, leaf.Rank}
	}
	// Every part is visited, also those that are not chosen: they count.
	var parts []choice
	for _, part := range multi.Parts {
		if c := choose(part, rank, index); len(c.leaves) > 0 {
			parts = append(parts, c)
		}
	}
	if len(parts) == 0 {
		return choice{}
	}
	switch multi.Semantics {
	case ChooseOne:
		best := parts[0]
		for _, c := range parts[1:] {
			if c.rank > best.rank {
				best = c
			}
		}
		return best
	case SingleUnit:
		return unit(parts)
	default:
		all := choice{}
		for _, c := range parts {
			all.leaves = append(all.leaves, c.leaves...)
			all.rank = max(all.rank, c.rank)
		}
		return all
	}
}

// unit joins parts of which all or none are processed.
func unit(parts []choice) choice {
	all := choice{rank: parts[0].rank}
	for _, c := range parts {
		if c.rank == 0 {
			return choice{leaves: c.leaves[:1]}
		}
		all.leaves = append(all.leaves, c.leaves...)
		all.rank = min(all.rank, c.rank)
	}
	return all
}
