package content

import (
	"fmt"
	"log/slog"
	"strings"
)

// A Message is the MIMI content container. From draft-ietf-mimi-content-08,
// section "Message Behavior Fields":
//
//	mimiContent = [
//	  salt: bstr .size 16,
//	  replaces: null / MessageId,
//	  topicId: bstr,
//	  expires: null / Expiration,
//	  inReplyTo: null / MessageId,
//	  mimiExtensions: extensions,
//	  nestedPart: NestedPart
//	]
//
// It prints without its content.
type Message struct {
	// Salt makes the message id unpredictable. [Author.Compose] fills it.
	Salt [SaltSize]byte
	// Replaces is the message that this one edits or deletes: always the first
	// version of it. Zero for none.
	Replaces MessageID
	// TopicID groups messages; empty for none.
	TopicID []byte
	// Expires asks receivers to forget the message; nil for never.
	Expires *Expiration
	// InReplyTo is the message that this one replies or reacts to: the very
	// version that its sender saw. Zero for none.
	InReplyTo MessageID
	// SenderURI and RoomURI (extensions 1 and 2) are what the sender claims and
	// can't deny later; empty if absent. [Receive] compares them to the truth.
	SenderURI, RoomURI string
	// Extensions are all others. Unknown ones are kept as they came.
	Extensions map[ExtensionKey]RawValue
	// Part is the body: nestedPart.
	Part Part
}

// Expiration of a message (section "Message Behavior Fields").
type Expiration struct {
	// Relative: Seconds counts from the moment that the receiver reads the
	// message, not from the start of the UNIX epoch.
	Relative bool
	// Seconds until, or date when, the message is to be deleted.
	Seconds uint32
}

// An ExtensionKey is the key of an extension: a text if Text is not empty, and
// otherwise Int. Positive integers are registered with IANA; negative integers
// and texts are for private use (section "MIMI Content Extension Keys registry").
type ExtensionKey struct {
	Int  int64
	Text string
}

// Keys of extensions that the draft registers.
const (
	extensionSenderURI = 1
	extensionRoomURI   = 2
)

// A RawValue is one item of CBOR in deterministic encoding.
type RawValue []byte

// A Part is a body, or one of the parts of a body (section "Message Bodies").
type Part struct {
	// Disposition is the meaning of the part. Unknown ones are kept; treat them
	// as [Render], which [Disposition.Effective] does.
	Disposition Disposition
	// Language is a list of RFC 5646 tags, separated by commas; empty if unsaid.
	Language string
	// Body is a [*Single], an [*External] or a [*Multi]; nil is the NullPart of
	// deletions.
	Body Body
}

// A Body is the content of a [Part]: *[Single], *[External] or *[Multi].
type Body interface{ body() }

func (*Single) body()   {}
func (*External) body() {}
func (*Multi) body()    {}

// Single is content inside the message.
type Single struct {
	// ContentType is an IANA media type with parameters.
	ContentType string
	Content     []byte
}

// External refers to content outside of the message (section "External
// content").
type External struct {
	// ContentType is an IANA media type with parameters; may be empty.
	ContentType string
	URL         string
	// Expires is a date in seconds since the UNIX epoch, 0 for never.
	Expires uint32
	// Size of the content in octets, 0 if unsaid.
	Size uint64
	// EncAlg is an IANA AEAD algorithm; 0 means that the content is not
	// encrypted, and that Key, Nonce and AAD are empty.
	EncAlg     uint16
	Key        ContentKey
	Nonce, AAD []byte
	// HashAlg is an IANA Named Information hash algorithm, 0 for none.
	HashAlg     uint8
	ContentHash []byte
	// Description and Filename are the sender's words; may be empty.
	Description, Filename string
}

// A ContentKey decrypts external content. It never prints.
type ContentKey []byte

// String implements [fmt.Stringer].
func (ContentKey) String() string { return "[redacted]" }

// Format implements [fmt.Formatter] for all verbs.
func (k ContentKey) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.String()) }

// LogValue implements [slog.LogValuer].
func (k ContentKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText implements [encoding.TextMarshaler], so that no encoder of logs
// writes the key.
func (k ContentKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Multi is a list of parts.
type Multi struct {
	Semantics Semantics
	// Parts has two elements or more.
	Parts []Part
}

// Semantics says how the parts of a [Multi] belong together.
type Semantics uint8

// The semantics of section "Message Bodies".
const (
	ChooseOne  Semantics = 0 // the receiver picks exactly one part
	SingleUnit Semantics = 1 // all parts together, or none
	ProcessAll Semantics = 2 // each part for itself
)

// A Disposition is what a part is meant for.
type Disposition uint8

// The dispositions of section "MIMI Content Disposition registry". 9 to 255 are
// unknown to the draft.
const (
	Unspecified  Disposition = 0
	Render       Disposition = 1
	ReactionPart Disposition = 2
	ProfilePart  Disposition = 3
	Inline       Disposition = 4
	Icon         Disposition = 5
	Attachment   Disposition = 6
	Session      Disposition = 7
	Preview      Disposition = 8
)

// Effective returns the disposition to act upon: an unrecognised one "should be
// treated as if it were render" (section "General handling").
func (d Disposition) Effective() Disposition {
	if d > Preview {
		return Render
	}
	return d
}

// String returns the name in the registry.
func (d Disposition) String() string {
	names := [...]string{"unspecified", "render", "reaction", "profile", "inline", "icon", "attachment", "session", "preview"}
	if d > Preview {
		return "unknown"
	}
	return names[d]
}

// Languages returns the tags of the part's language list.
func (p Part) Languages() []string {
	return strings.FieldsFunc(p.Language, func(r rune) bool { return r == ',' || r == ' ' })
}

// Format implements [fmt.Formatter]: a message prints as what it does, without
// what it says.
func (m Message) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "MIMI message (%s)", Classify(m).Kind) }

// LogValue implements [slog.LogValuer].
func (m Message) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }

// Format implements [fmt.Formatter] without the content.
func (p Part) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "MIMI part (%s)", p.Disposition) }

// LogValue implements [slog.LogValuer].
func (p Part) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(p)) }

// Format implements [fmt.Formatter] without the content.
func (s Single) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "single part of %d octets", len(s.Content))
}

// LogValue implements [slog.LogValuer].
func (s Single) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Format implements [fmt.Formatter] without address and key.
func (e External) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "external part of %d octets", e.Size) }

// LogValue implements [slog.LogValuer].
func (e External) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(e)) }

// Format implements [fmt.Formatter] without the content.
func (m Multi) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "multi part of %d parts", len(m.Parts)) }

// LogValue implements [slog.LogValuer].
func (m Multi) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }
