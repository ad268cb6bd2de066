package msgconv

import (
	"errors"
	"strings"
	"unicode/utf8"

	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// The reasons why an event makes no message, with texts that are fit to show.
var (
	// ErrEmpty reports a message without a visible character.
	ErrEmpty = errors.New("the message is empty, so nothing was sent")
	// ErrReaction reports a reaction that is no emoji or short text.
	ErrReaction = errors.New("this reaction can't be sent to this chat; use an emoji or a short text")
)

// maxMarkdown is the longest Markdown in octets that is sent. An event of Matrix
// has 65536 octets; only deep nesting makes more of them.
const maxMarkdown = 192 << 10

// Message makes the MIMI message for an m.room.message event. inReplyTo is the
// message that it answers, as the caller found it, or zero. It fails with an
// [*UnsupportedError] or [ErrEmpty].
func (c Converter) Message(ev *event.MessageEventContent, inReplyTo content.MessageID) (content.Message, error) {
	body, err := c.Body(ev)
	if err != nil {
		return content.Message{}, err
	}
	return content.Reply(inReplyTo, body), nil
}

// Edit makes the MIMI message for an edit. ev is the content of the edit event
// or its m.new_content, first the first version of the edited message, and
// inReplyTo what that replied to, or zero. It fails like [Converter.Message].
func (c Converter) Edit(ev *event.MessageEventContent, first, inReplyTo content.MessageID) (content.Message, error) {
	if ev.NewContent != nil {
		replacement := *ev.NewContent
		if replacement.MsgType == "" {
			replacement.MsgType = ev.MsgType
		}
		ev = &replacement
	}
	body, err := c.Body(ev)
	if err != nil {
		return content.Message{}, err
	}
	return content.Edit(first, inReplyTo, body), nil
}

// Reaction makes the MIMI message for an m.reaction event that reacts to the
// message to. It fails with [ErrReaction].
func Reaction(ev *event.ReactionEventContent, to content.MessageID) (content.Message, error) {
	key := ev.RelatesTo.Key
	if !validReaction(key) {
		return content.Message{}, ErrReaction
	}
	m, err := content.Reaction(to, key)
	if err != nil {
		return content.Message{}, ErrReaction
	}
	return m, nil
}

// validReaction refuses keys that are no text of one line, such as the mxc URI
// of a custom emoji, which nobody else can load.
func validReaction(key string) bool {
	return key != "" && len(key) <= content.MaxReaction && utf8.ValidString(key) &&
		printable(key) == key && !strings.ContainsAny(key, "\n\t") && strings.TrimSpace(key) != "" &&
		!strings.HasPrefix(key, "mxc://")
}

// Body makes the body of a MIMI message: Markdown if ev is formatted, otherwise
// plain text. It fails like [Converter.Message].
func (c Converter) Body(ev *event.MessageEventContent) (content.Part, error) {
	switch ev.MsgType {
	case event.MsgText, event.MsgNotice, event.MsgEmote:
	default:
		return content.Part{}, Unsupported(event.EventMessage, ev)
	}
	text, html := withoutReplyFallback(ev)
	// Matrix shows an emote after the sender's name; elsewhere the asterisk says
	// that the sentence is about its sender.
	plainPrefix, markdownPrefix := "", ""
	if ev.MsgType == event.MsgEmote {
		plainPrefix, markdownPrefix = "* ", "\\* "
	}
	if html != "" {
		// HTML that can't be read, shows nothing, or grows beyond reason in
		// Markdown, has a body beside it.
		if markdown, err := c.markdown(html); err == nil && markdown != "" && len(markdown) <= maxMarkdown {
			return content.MarkdownPart(markdownPrefix + markdown), nil
		}
	}
	text = strings.TrimSpace(printable(text))
	if text == "" {
		return content.Part{}, ErrEmpty
	}
	return content.PlainPart(plainPrefix + text), nil
}

// withoutReplyFallback returns the body and the HTML of an event, the latter
// empty if there is none, without the quotation that older clients put into
// replies. It names the Matrix id of the person who is quoted.
func withoutReplyFallback(ev *event.MessageEventContent) (text, html string) {
	text = ev.Body
	if ev.Format == event.FormatHTML {
		html = ev.FormattedBody
	}
	trimmed := event.TrimReplyFallbackHTML(html)
	if trimmed != html || ev.RelatesTo.GetReplyTo() != "" {
		text = event.TrimReplyFallbackText(text)
	}
	return text, trimmed
}
