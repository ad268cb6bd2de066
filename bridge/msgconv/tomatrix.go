package msgconv

import (
	"fmt"
	"html"
	"mime"
	"strconv"
	"strings"
	"unicode/utf8"

	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// Matrix events are at most 65536 octets long, and an edit holds its text twice.
const (
	maxSource = 9000  // octets of text or Markdown in one event
	maxPlain  = 12000 // octets of the body that is made of them
	maxHTML   = 18000 // octets of the formatted body that is made of them
)

// maxEvents is how many events a message becomes at most. It is more than the
// longest text takes that [content.Limits] allow; what is cut off are the parts
// of messages with hundreds of them.
const maxEvents = 40

// A Part is one event of a message that is shown on Matrix.
type Part struct {
	// ID tells the parts of a message from each other, and is the same in each
	// version of the message: empty for the first, otherwise a part index of
	// draft-ietf-mimi-content-08, and a number where one part takes more events.
	ID      string
	Content *event.MessageEventContent
}

// Converted is a MIMI message as Matrix needs it.
type Converted struct {
	// Action is what to do. It is that of [content.Classify], but that a
	// reaction which Matrix could not show is a reply.
	content.Action
	// Parts of a text, reply or edit, and the notice of an unknown message: one
	// or more. Replies and edits get their relation from the caller.
	Parts []Part
}

// ToMatrix translates a message. It does not fail: what can't be shown gives a
// notice that says so. Whether the sender may do what the message does is for
// [content.Action.Authorize] to say.
func (c Converter) ToMatrix(m content.Message) Converted {
	out := Converted{Action: content.Classify(m)}
	switch out.Kind {
	case content.KindText, content.KindReply, content.KindEdit:
		out.Parts = c.Parts(m.Part)
	case content.KindReaction:
		c.reaction(&out)
	case content.KindUnknown:
		out.Parts = []Part{{Content: notice("This message can't be shown here: it is of a kind that this bridge does not know. Ask its sender to write it as text.")}}
	}
	return out
}

// reaction: "an implementation which receives a reaction character string it
// does not recognize could render the reaction as a reply" (section "Reaction").
func (c Converter) reaction(out *Converted) {
	for _, reaction := range out.Reactions {
		if validReaction(reaction) {
			continue
		}
		text := "Reaction: " + strings.Join(out.Reactions, " ")
		out.Action = content.Action{Kind: content.KindReply, Target: out.Target}
		out.Parts = number(plainContents(text), 0, nil)
		return
	}
}

// Parts translates the body of a message: one event or more.
func (c Converter) Parts(body content.Part) []Part {
	var (
		parts  []Part
		shown  bool
		leaves = content.Choose(body, rank)
	)
	for _, leaf := range leaves {
		shown = shown || leaf.Rank > 0
	}
	for _, leaf := range leaves {
		if len(parts) > maxEvents {
			break
		}
		switch d := leaf.Part.Disposition; {
		case leaf.Rank > 0:
			parts = number(c.leaf(leaf.Part), leaf.Index, parts)
		case shown && (d == content.Preview || d == content.Icon):
			// An ornament of something that is shown.
		default:
			parts = number([]*event.MessageEventContent{missing(leaf.Part)}, leaf.Index, parts)
		}
	}
	switch {
	case len(parts) == 0:
		return []Part{{Content: notice("This message has no content.")}}
	case len(parts) > maxEvents:
		parts[maxEvents-1].Content = notice("The rest of this message is too long to be shown here.")
		parts = parts[:maxEvents]
	}
	return parts
}

// number appends events with their ids.
func number(events []*event.MessageEventContent, index int, parts []Part) []Part {
	for i, ev := range events {
		id := strconv.Itoa(index)
		switch {
		case len(parts) == 0:
			id = ""
		case i > 0:
			id += "." + strconv.Itoa(i)
		}
		parts = append(parts, Part{id, ev})
	}
	return parts
}

// rank says what to prefer of alternatives.
func rank(p content.Part) int {
	switch b := p.Body.(type) {
	case *content.Single:
		switch _, format := b.Text(); format {
		case content.Markdown:
			return 3
		case content.HTML:
			return 2
		case content.Plain:
			return 1
		}
	case *content.External:
		if p.Disposition == content.Session && b.EncAlg == 0 && safeLink(b.URL) {
			return 1
		}
	}
	return 0
}

// leaf translates a part of which the rank is not 0.
func (c Converter) leaf(p content.Part) []*event.MessageEventContent {
	if external, ok := p.Body.(*content.External); ok {
		text := external.URL
		if external.Description != "" {
			text = printable(external.Description) + ": " + external.URL
		}
		return plainContents(text)
	}
	single, _ := p.Body.(*content.Single)
	text, format := single.Text()
	switch format {
	case content.HTML:
		// Through Markdown, which leaves of HTML what is harmless.
		markdown, err := Converter{}.markdown(text)
		if err != nil {
			return []*event.MessageEventContent{missing(p)}
		}
		return c.markdownContents(markdown)
	case content.Markdown:
		return c.markdownContents(printable(text))
	default:
		return plainContents(printable(text))
	}
}

func (c Converter) markdownContents(source string) []*event.MessageEventContent {
	var out []*event.MessageEventContent
	for _, chunk := range split(source, maxSource) {
		if len(out) > maxEvents {
			break
		}
		if excessive(chunk) {
			out = append(out, plainContents(chunk)...)
			continue
		}
		r := c.render(chunk)
		if len(r.plain) > maxPlain || len(r.html) > maxHTML {
			out = append(out, plainContents(chunk)...)
			continue
		}
		ev := plain(r.plain)
		if r.html != html.EscapeString(r.plain) {
			ev.Format, ev.FormattedBody = event.FormatHTML, r.html
		}
		ev.Mentions.UserIDs = r.mentions
		out = append(out, ev)
	}
	return out
}

// excessive reports whether Markdown has more nesting than a person writes, for
// which reading it would take far more work than sending it did.
func excessive(source string) bool {
	const maxBrackets, maxMarkers = 400, 60
	if strings.Count(source, "[") > maxBrackets {
		return true
	}
	for line := range strings.SplitSeq(source, "\n") {
		text := strings.TrimLeft(line, "> \t-+*0123456789.)")
		markers := line[:len(line)-len(text)]
		if strings.Count(markers, ">")+len(strings.Fields(markers)) > maxMarkers {
			return true
		}
	}
	return false
}

func plainContents(text string) []*event.MessageEventContent {
	var out []*event.MessageEventContent
	for _, chunk := range split(text, maxSource) {
		out = append(out, plain(chunk))
	}
	return out
}

// plain returns a text event. Its mentions are empty and not absent, so that
// clients do not look for names in the text.
func plain(body string) *event.MessageEventContent {
	return &event.MessageEventContent{MsgType: event.MsgText, Body: body, Mentions: &event.Mentions{}}
}

func notice(body string) *event.MessageEventContent {
	ev := plain(body)
	ev.MsgType = event.MsgNotice
	return ev
}

// missing is shown in the place of a part that can't be.
func missing(p content.Part) *event.MessageEventContent {
	what, name, description := "", "", ""
	switch b := p.Body.(type) {
	case *content.Single:
		what = b.ContentType
	case *content.External:
		what, name, description = b.ContentType, b.Filename, b.Description
	}
	mediaType, _, err := mime.ParseMediaType(what)
	if err != nil || len(mediaType) > 80 {
		mediaType = "of an unknown type"
	}
	text := fmt.Sprintf("A part of this message can't be shown here yet (%s", mediaType)
	for _, s := range []string{name, description} {
		if s = oneLine(s); s != "" {
			text += ", “" + s + "”"
		}
	}
	return notice(text + "). Ask its sender for another way to get it.")
}

// oneLine returns the start of a text that a peer gave, for use in a sentence.
func oneLine(s string) string {
	const limit = 100
	s = strings.Join(strings.Fields(printable(s)), " ")
	if len(s) <= limit {
		return s
	}
	return cut(s, limit) + "…"
}

// cut returns the longest start of s that is no longer than limit octets and
// ends with a whole character.
func cut(s string, limit int) string {
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// split cuts text into pieces of at most limit octets, where possible between
// paragraphs, or else lines, or else words. Nothing of it is lost but white space
// at the cuts.
func split(text string, limit int) []string {
	text = strings.Trim(text, "\n")
	var out []string
	for len(text) > limit {
		piece := cut(text, limit)
		for _, separator := range []string{"\n\n", "\n", " "} {
			if at := strings.LastIndex(piece, separator); at > limit/2 {
				piece = piece[:at]
				break
			}
		}
		out = append(out, piece)
		text = strings.TrimLeft(text[len(piece):], "\n ")
	}
	if text != "" || len(out) == 0 {
		out = append(out, text)
	}
	return out
}
