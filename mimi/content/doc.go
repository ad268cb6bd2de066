// Package content makes and reads MIMI messages: the CBOR container that travels
// inside an MLS application message (draft-ietf-mimi-content-08).
//
// A sender describes what it wants to say with a constructor ([Text], [Reply],
// [Reaction], [Unreact], [Edit], [Delete], [ProfileMessage], [Closed]) and hands
// the result to [Author.Compose], which adds the salt and the sender's claims and
// returns the octets to encrypt together with their [MessageID].
//
// A receiver calls [Receive] with the octets and with what MLS and the room have
// told it about their origin, then [Classify] to learn what the message wants to
// do, and [Action.Authorize] to learn whether its sender may.
//
// Nothing here stores, sends or shows anything, and nothing here reads a clock.
// Decoding is strict: of all encodings of a message exactly one is accepted, so
// that encoding what was decoded gives the same octets, and the same message id.
package content

import "errors"

// Draft names the specification that this package implements.
const Draft = "draft-ietf-mimi-content-08"

// Media types.
const (
	// MediaType of the container itself, as the content advertisement in MLS
	// names it (draft-ietf-mimi-content-08, section "MIMI Required and
	// Recommended media types").
	MediaType = "application/mimi-content"
	// PlainType is the type of text without markup.
	PlainType = "text/plain;charset=utf-8"
	// MarkdownType is the type of rich text: GitHub Flavored Markdown without
	// autolinks and without HTML (section "Specifics of Github Flavored Markdown
	// in MIMI").
	MarkdownType = "text/markdown;variant=GFM-MIMI"
)

// The ways in which a message can fail to be read or made. Errors of this
// package wrap one of them, and never contain what a message says.
var (
	// ErrMalformed reports octets that are no MIMI content, or not in the one
	// encoding that the draft asks for, or a [Message] that has no encoding.
	ErrMalformed = errors.New("content: malformed message")
	// ErrLimit reports a message that exceeds one of the [Limits] or a bound of
	// the draft.
	ErrLimit = errors.New("content: message exceeds a limit")
	// ErrOrigin reports a message that claims another sender or room than the
	// one it came from.
	ErrOrigin = errors.New("content: message claims another origin")
)
