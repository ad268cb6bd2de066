// Package msgconv translates between Matrix events and MIMI content
// (draft-ietf-mimi-content-08). Its functions are pure: they look nothing up,
// and whoever calls them has already found the ids of the messages that an event
// refers to.
//
// From Matrix, [Converter.Message], [Converter.Edit] and [Reaction] make
// [content.Message] values to compose. Formatted text becomes GFM-MIMI Markdown,
// text without formatting stays text/plain, so that nothing in it can be taken
// for markup. What MIMI rooms can't carry yet gives an [UnsupportedError], whose
// notice tells the person what to do instead.
//
// To Matrix, [Converter.ToMatrix] makes the contents of the events to send. HTML
// in them is written by this package alone, tag by tag; nothing that a peer wrote
// gets there but as escaped text, or as a link with a harmless scheme.
package msgconv

import (
	"strings"

	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Converter translates messages of one room. The zero value works; it knows
// nobody, so that mentions arrive as plain names.
type Converter struct {
	// MIMIUser returns the URI under which the members of the room know a
	// Matrix user, if they do: the pseudonym in rooms with minimal metadata.
	// Others are mentioned by their display name alone: a Matrix id never leaves
	// with a mention. May be nil.
	MIMIUser func(id.UserID) (mimi.URI, bool)
	// MatrixUser returns the Matrix user that stands for a member of the room,
	// and the name to show. The name that a peer's mention suggests is not used:
	// it could be someone else's. May be nil.
	MatrixUser func(mimi.URI) (user id.UserID, name string, ok bool)
}

// printable removes control characters, which no homeserver, database or
// terminal on the way should have to deal with. Line breaks become \n.
func printable(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\r' || r == '\u2028' || r == '\u2029' || r == '\u0085':
			return '\n'
		case r == '\n' || r == '\t':
			return r
		case r < 0x20 || (0x7f <= r && r < 0xa0):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
