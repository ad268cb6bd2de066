package content

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// An Author makes the messages of one user in one room.
type Author struct {
	Origin
	// Random is a cryptographically secure source of randomness: "salt MUST be
	// cryptographically random" (section "Message Behavior Fields").
	Random io.Reader
	Limits Limits
}

// Composed is a message that is ready to be encrypted and sent. Sending it again
// means sending the same Data.
type Composed struct {
	ID      MessageID
	Data    []byte
	Message Message
}

// Format implements [fmt.Formatter] without the content.
func (c Composed) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v %s", c.Message, c.ID) }

// LogValue implements [slog.LogValuer].
func (c Composed) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// Compose gives m a fresh salt and the claims of sender and room, and encodes
// it. It fails with [ErrMalformed] or [ErrLimit] if receivers would refuse m, and
// with the error of the source of randomness.
func (a Author) Compose(m Message) (Composed, error) {
	if err := a.check(); err != nil {
		return Composed{}, err
	}
	if _, err := io.ReadFull(a.Random, m.Salt[:]); err != nil {
		return Composed{}, fmt.Errorf("content: read salt: %w", err)
	}
	m.SenderURI, m.RoomURI = a.Sender.String(), a.Room.String()
	data, err := Encode(m, a.Limits)
	if err != nil {
		return Composed{}, err
	}
	return Composed{a.Origin.MessageID(data, m.Salt), data, m}, nil
}

// Received is a message whose claims agree with where it came from.
type Received struct {
	ID MessageID
	Origin
	Message Message
}

// Format implements [fmt.Formatter] without the content and its origin.
func (r Received) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%v %s", r.Message, r.ID) }

// LogValue implements [slog.LogValuer].
func (r Received) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// Receive decodes a message that MLS has authenticated as coming from origin,
// and computes its id. It fails with [ErrMalformed] or [ErrLimit] if it is not
// acceptable, and with [ErrOrigin] if it claims another sender or room
// (draft-ietf-mimi-protocol-06, section 5.4.1.2 asks for the comparison in franked
// messages; a message that claims nothing passes).
func Receive(data []byte, origin Origin, limits Limits) (Received, error) {
	if err := origin.check(); err != nil {
		return Received{}, err
	}
	m, err := Decode(data, limits)
	if err != nil {
		return Received{}, err
	}
	if m.SenderURI != "" && m.SenderURI != origin.Sender.String() {
		return Received{}, mimi.Refuse("content-claimed-sender", fmt.Errorf("%w: extension 1, the sender", ErrOrigin))
	}
	if m.RoomURI != "" && m.RoomURI != origin.Room.String() {
		return Received{}, mimi.Refuse("content-claimed-room", fmt.Errorf("%w: extension 2, the room", ErrOrigin))
	}
	return Received{origin.MessageID(data, m.Salt), origin, m}, nil
}

// maxExpiration is the year in section "General handling", counted generously.
const maxExpiration = 366 * 24 * time.Hour

// Check refuses the dates that section "General handling" calls nonsensical:
// more than a year before or after accepted, the time at which the hub accepted
// the message. It fails with [ErrMalformed].
func (e *Expiration) Check(accepted time.Time) error {
	if e == nil {
		return nil
	}
	distance := time.Duration(e.Seconds) * time.Second
	if !e.Relative {
		distance = time.Unix(int64(e.Seconds), 0).Sub(accepted)
	}
	if distance.Abs() > maxExpiration {
		return fmt.Errorf("%w: it expires more than a year from now", ErrMalformed)
	}
	return nil
}

// Text returns a message of its own.
func Text(body Part) Message { return Message{Part: body} }

// Reply returns an answer to a message: the version of it that the person saw.
func Reply(to MessageID, body Part) Message { return Message{InReplyTo: to, Part: body} }

// Reaction returns a reaction to a message. reaction is one emoji, or what
// people use instead, of at most [MaxReaction] octets; otherwise it fails with
// [ErrMalformed].
func Reaction(to MessageID, reaction string) (Message, error) {
	if !validReaction(reaction) {
		return Message{}, fmt.Errorf("%w: reaction of %d octets", ErrMalformed, len(reaction))
	}
	return Message{InReplyTo: to, Part: Part{
		Disposition: ReactionPart,
		Body:        &Single{PlainType, []byte(reaction)},
	}}, nil
}

// Unreact takes back the reaction message with the id reaction, which was a
// reaction to the message to (section "Unlike").
func Unreact(reaction, to MessageID) Message {
	return Message{Replaces: reaction, InReplyTo: to, Part: Part{Disposition: ReactionPart}}
}

// Edit gives a message a new body. first is the first version of the message,
// and inReplyTo what it replied to, or zero (section "Edit").
func Edit(first, inReplyTo MessageID, body Part) Message {
	return Message{Replaces: first, InReplyTo: inReplyTo, Part: body}
}

// Delete takes back a message. first is the first version of the message, and
// inReplyTo what it replied to, or zero (section "Delete").
func Delete(first, inReplyTo MessageID) Message {
	return Message{Replaces: first, InReplyTo: inReplyTo, Part: Part{Disposition: Render}}
}
