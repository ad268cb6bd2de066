package msgconv

import (
	"maunium.net/go/mautrix/event"
)

// An UnsupportedError reports a Matrix event that can't be sent to a MIMI room.
type UnsupportedError struct {
	what string // what can't be sent, in the plural
	next string // what to do instead, a sentence
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return e.what + " can't be sent to this chat yet"
}

// Notice is a text for the person who sent the event: what did not happen, and
// what to do next.
func (e *UnsupportedError) Notice() string {
	return capitalise(e.what) + " can't be sent to this chat yet, so nobody there has received yours. " + e.next
}

func capitalise(s string) string {
	return string(s[0]-'a'+'A') + s[1:]
}

// The kinds of events that are told apart.
const (
	sendLink = "Put it somewhere that the others can reach, and send a link to it."
	sendText = "Say it in a text message instead."
)

// Unsupported returns the error for an event that is neither text nor reaction
// nor redaction. c may be nil if the type is not m.room.message.
func Unsupported(t event.Type, c *event.MessageEventContent) *UnsupportedError {
	switch t.Type {
	case event.EventSticker.Type:
		return &UnsupportedError{"stickers", "Send an emoji or a text message instead."}
	case event.EventUnstablePollStart.Type, "m.poll.start":
		return &UnsupportedError{"polls", "Ask the question in a text message instead."}
	case event.EventUnstablePollResponse.Type, "m.poll.response", "m.poll.end", "org.matrix.msc3381.poll.end":
		return &UnsupportedError{"answers to polls", sendText}
	}
	if c == nil {
		return &UnsupportedError{"events of this type", sendText}
	}
	switch c.MsgType {
	case event.MsgImage:
		return &UnsupportedError{"pictures", sendLink}
	case event.MsgVideo:
		return &UnsupportedError{"videos", sendLink}
	case event.MsgAudio:
		if c.MSC3245Voice != nil {
			return &UnsupportedError{"voice messages", sendText}
		}
		return &UnsupportedError{"sound files", sendLink}
	case event.MsgFile:
		return &UnsupportedError{"files", sendLink}
	case event.MsgLocation:
		return &UnsupportedError{"locations", "Send the address, or a link to a map, in a text message instead."}
	case event.MsgVerificationRequest:
		return &UnsupportedError{"requests to verify a session", "Verify the other person outside of this chat."}
	}
	return &UnsupportedError{"messages of this type", sendText}
}
