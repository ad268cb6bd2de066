package protocol

import (
	"fmt"
	"unicode/utf8"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MediaType is the Content-Type of every request and response body that is a
// struct of this package. The draft names none; a request without one is taken
// to be of this type.
const MediaType = "application/octet-stream"

// MaxDescription bounds an errorDescription in octets: it is for people and for
// logs, and is never longer than a screen's line or two.
const MaxDescription = 512

// A Protocol says which end-to-end encryption a message is about
// (draft-ietf-mimi-protocol-06, section 5).
//
//	enum { reserved(0), mls10(1), (255) } Protocol;
type Protocol uint8

// MLS10 is Messaging Layer Security 1.0 (RFC 9420), the only Protocol there is.
const MLS10 Protocol = 1

// Wire implements [wire.Message]. Every other value than [MLS10] is refused: what
// follows it could not be read.
func (p *Protocol) Wire(c *wire.Codec) {
	if *p == 0 && !c.Decoding() {
		mls10 := MLS10
		wire.Uint8(c, &mls10)
		return
	}
	wire.Uint8(c, p)
	if *p != MLS10 {
		c.Fail(fmt.Errorf("%w: protocol %d is unknown", ErrMalformed, *p))
	}
}

// enum codes an enum of one octet and refuses values outside [first, last].
func enum[T ~uint8](c *wire.Codec, v *T, first, last T) {
	wire.Uint8(c, v)
	if *v < first || *v > last {
		c.Fail(fmt.Errorf("%w: %T %d is unknown", ErrMalformed, *v, *v))
	}
}

// text codes a string as the opaque<V> that the draft calls "string": UTF-8, at
// most limit octets.
func text(c *wire.Codec, s *string, limit int) {
	b := []byte(*s)
	wire.Opaque(c, &b)
	if len(b) > limit || !utf8.Valid(b) {
		c.Fail(fmt.Errorf("%w: a text of %d octets is too long or not UTF-8", ErrMalformed, len(b)))
	}
	if c.Decoding() {
		*s = string(b)
	}
}

// exactly codes an opaque<V> that must hold n octets.
func exactly(c *wire.Codec, b *[]byte, n int, what string) {
	wire.Opaque(c, b)
	if len(*b) != n {
		c.Fail(fmt.Errorf("%w: %s has %d octets instead of %d", ErrMalformed, what, len(*b), n))
	}
}

// present codes an opaque<V> that must not be empty nor longer than limit.
func present(c *wire.Codec, b *[]byte, limit int, what string) {
	wire.Opaque(c, b)
	if len(*b) == 0 || len(*b) > limit {
		c.Fail(fmt.Errorf("%w: %s has %d octets, want 1 to %d", ErrMalformed, what, len(*b), limit))
	}
}

// fields makes a message of a function, for the TBS forms: the fields of a
// signed struct without its signature.
type fields func(*wire.Codec)

// Wire implements [wire.Message].
func (f fields) Wire(c *wire.Codec) { f(c) }
