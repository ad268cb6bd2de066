// Package wire reads and writes the TLS presentation language of RFC 9420,
// section 2.
//
// A message describes its fields once, in a Wire method. The same method
// serves both directions, so an encoder and a decoder cannot disagree.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unsafe"
)

// The ways in which bytes fail to be a message, whatever the message. Errors of
// a single field (an unknown enum value, a bad presence octet) are described by
// the message that refuses them.
var (
	// ErrTruncated reports that the input ends inside a field.
	ErrTruncated = errors.New("wire: truncated message")
	// ErrTrailing reports input left over behind a complete message.
	ErrTrailing = errors.New("wire: trailing bytes")
	// ErrLength reports a vector length that is longer than 30 bits, or that is
	// not in its shortest form (RFC 9420, section 2.1.2).
	ErrLength = errors.New("wire: invalid vector length")
)

// A Message is a structure with a TLS presentation language description.
type Message interface {
	// Wire visits every field in wire order. It must not change the message
	// while encoding.
	Wire(*Codec)
}

// A Codec carries one message in one direction. After the first failure all
// further operations do nothing, so that callers check the error once.
type Codec struct {
	decoding  bool
	comparing bool   // encoding, but into octets that are there already
	whole     []byte // decoding: the input from its first octet
	buf       []byte // encoding: output so far; otherwise: input left
	err       error
}

// Decoding reports whether c fills the message, rather than reads it.
func (c *Codec) Decoding() bool { return c.decoding }

// Fail makes the operation fail with err, unless it has already failed.
func (c *Codec) Fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// codecs are codecs at rest. A codec for encoding keeps its buffer, cleared: what
// is encoded may be secret.
var (
	codecs   = sync.Pool{New: func() any { return new(Codec) }}
	encoders = sync.Pool{New: func() any { return &Codec{buf: make([]byte, 0, 512)} }}
)

// mostKept is the largest buffer that is kept, in octets.
const mostKept = 1 << 16

// Marshal returns the encoding of m.
func Marshal(m Message) ([]byte, error) {
	c, _ := encoders.Get().(*Codec)
	m.Wire(c)
	b, err := slices.Clone(c.buf), c.err
	if cap(c.buf) <= mostKept {
		clear(c.buf)
		*c = Codec{buf: c.buf[:0]}
		encoders.Put(c)
	}
	return b, err
}

// Append appends the encoding of m to b.
func Append(b []byte, m Message) ([]byte, error) {
	c := borrow(Codec{buf: b})
	m.Wire(c)
	return c.giveBack()
}

func borrow(state Codec) *Codec {
	c, _ := codecs.Get().(*Codec)
	*c = state
	return c
}

func (c *Codec) giveBack() ([]byte, error) {
	b, err := c.buf, c.err
	*c = Codec{}
	codecs.Put(c)
	return b, err
}

// errOther says that a message has another encoding.
var errOther = errors.New("wire: another encoding")

// Encodes reports whether b is the encoding of m. It allocates nothing.
func Encodes(m Message, b []byte) bool {
	c := borrow(Codec{comparing: true, buf: b})
	m.Wire(c)
	rest, err := c.giveBack()
	return err == nil && len(rest) == 0
}

// Unmarshal fails with [ErrTrailing] if m does not consume all of b. It
// retains no part of b: all octet strings of m are parts of one copy of it. So
// whoever keeps a small part of a large message for long makes a copy of that.
func Unmarshal(b []byte, m Message) error { return UnmarshalShared(slices.Clone(b), m) }

// UnmarshalShared is [Unmarshal] for a caller who gives b away: the octet
// strings of m are parts of b itself.
func UnmarshalShared(b []byte, m Message) error {
	rest, err := unmarshal(b, m)
	if err == nil && len(rest) > 0 {
		return ErrTrailing
	}
	return err
}

// UnmarshalPrefix decodes m from the start of b and returns what is left of b.
// It is for containers that put other data behind a message: the padding of a
// PrivateMessageContent, or application data behind a SafeAAD. Octet strings of
// m are parts of b, as in [UnmarshalShared].
func UnmarshalPrefix(b []byte, m Message) (rest []byte, err error) { return unmarshal(b, m) }

func unmarshal(b []byte, m Message) (rest []byte, err error) {
	c := borrow(Codec{decoding: true, whole: b, buf: b})
	m.Wire(c)
	return c.giveBack()
}

// Mark returns the current position of c, to be handed to [Codec.Since] of the
// same c.
func (c *Codec) Mark() int {
	if c.decoding {
		return len(c.whole) - len(c.buf)
	}
	return len(c.buf)
}

// Since returns the octets between mark and the current position, in either
// direction: what a signature over the fields visited since then covers. In
// decoding it is a part of the input, like all octet strings. In [Encodes] there
// are none.
func (c *Codec) Since(mark int) []byte {
	switch {
	case c.decoding:
		end := len(c.whole) - len(c.buf)
		return c.whole[mark:end:end]
	case c.comparing:
		return nil
	}
	return slices.Clone(c.buf[mark:])
}

// Raw codes octets that are a complete encoding already. It is for encoding
// alone.
func (c *Codec) Raw(b []byte) {
	if !c.comparing {
		c.buf = append(c.buf, b...)
		return
	}
	if c.err != nil || len(b) > len(c.buf) || string(c.buf[:len(b)]) != string(b) {
		c.Fail(errOther)
		return
	}
	c.buf = c.buf[len(b):]
}

// take returns the next n bytes of the input, or nil after a failure. Nobody
// can append to them in place.
func (c *Codec) take(n int) []byte {
	if c.err != nil || n > len(c.buf) {
		c.Fail(ErrTruncated)
		return nil
	}
	b := c.buf[:n:n]
	c.buf = c.buf[n:]
	return b
}

// put and get code an unsigned number of size octets, most significant first.
func (c *Codec) put(size int, v uint64) {
	if size == 1 && !c.comparing {
		c.buf = append(c.buf, byte(v))
		return
	}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v)
	c.Raw(b[8-size:])
}

func (c *Codec) get(size int) (v uint64) {
	for _, b := range c.take(size) {
		v = v<<8 | uint64(b)
	}
	return v
}

func number[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *Codec, size int, v *T) {
	if c.decoding {
		*v = T(c.get(size))
	} else {
		c.put(size, uint64(*v))
	}
}

// Uint8 codes a uint8, or an enum of one octet.
func Uint8[T ~uint8](c *Codec, v *T) { number(c, 1, v) }

// Uint16 codes a uint16 in network byte order.
func Uint16[T ~uint16](c *Codec, v *T) { number(c, 2, v) }

// Uint32 codes a uint32 in network byte order.
func Uint32[T ~uint32](c *Codec, v *T) { number(c, 4, v) }

// Uint64 codes a uint64 in network byte order.
func Uint64[T ~uint64](c *Codec, v *T) { number(c, 8, v) }

// putLength and getLength code the variable-size length of RFC 9420, section
// 2.1.2: at most 30 bits, and never longer than needed.
func (c *Codec) putLength(n int) {
	switch {
	case n < 1<<6:
		c.put(1, uint64(n))
	case n < 1<<14:
		c.put(2, 1<<14|uint64(n))
	case n < 1<<30:
		c.put(4, 2<<30|uint64(n))
	default:
		c.Fail(ErrLength)
	}
}

// insertLength puts the length of what was encoded since start before it.
func (c *Codec) insertLength(start int) {
	n := len(c.buf) - start
	c.putLength(n)
	var header [4]byte
	size := copy(header[:], c.buf[start+n:])
	copy(c.buf[start+size:], c.buf[start:start+n])
	copy(c.buf[start:], header[:size])
}

func (c *Codec) getLength() int {
	// Most lengths take one octet.
	if c.err == nil && len(c.buf) > 0 && c.buf[0] < 1<<6 {
		n := int(c.buf[0])
		c.buf = c.buf[1:]
		return n
	}
	first := c.get(1)
	size := 1 << (first >> 6)
	if size == 8 {
		c.Fail(ErrLength)
		return 0
	}
	v := first & 0x3f
	for _, b := range c.take(size - 1) {
		v = v<<8 | uint64(b)
	}
	if size > 1 && v < 1<<(4*size-2) {
		c.Fail(ErrLength)
	}
	return int(v)
}

// Length codes the length of a vector alone (RFC 9420, section 2.1.2). The other
// functions code it with their content.
func Length(c *Codec, n *int) {
	if c.decoding {
		*n = c.getLength()
	} else {
		c.putLength(*n)
	}
}

// Opaque codes an opaque<V>.
func Opaque[T ~[]byte](c *Codec, v *T) {
	// A commit of a large group has thousands of short ones.
	if c.decoding && c.err == nil && len(c.buf) > 0 {
		if n := int(c.buf[0]); n < 1<<6 && n < len(c.buf) {
			*v, c.buf = T(c.buf[1:1+n:1+n]), c.buf[1+n:]
			return
		}
	}
	if c.comparing && c.err == nil {
		if n := len(*v); n < 1<<6 && n < len(c.buf) && int(c.buf[0]) == n && string(c.buf[1:1+n]) == string(*v) {
			c.buf = c.buf[1+n:]
			return
		}
	}
	if c.decoding {
		*v = T(c.take(c.getLength()))
		return
	}
	c.putLength(len(*v))
	c.Raw(*v)
}

// Fixed codes an opaque[n]: exactly n octets without a length. Encoding any
// other number of octets fails with [ErrLength].
func Fixed[T ~[]byte](c *Codec, v *T, n int) {
	if c.decoding {
		*v = T(c.take(n))
		return
	}
	if len(*v) != n {
		c.Fail(ErrLength)
	}
	c.Raw(*v)
}

// Vector codes a vector of elements, each described by elem.
func Vector[T any](c *Codec, v *[]T, elem func(*Codec, *T)) {
	if c.comparing {
		// The length is known when the elements are: it is read first here.
		n := c.getLength()
		end := len(c.buf) - n
		for i := range *v {
			elem(c, &(*v)[i])
		}
		if len(c.buf) != end {
			c.Fail(errOther)
		}
		return
	}
	if !c.decoding {
		start := len(c.buf)
		for i := range *v {
			elem(c, &(*v)[i])
		}
		c.insertLength(start)
		return
	}
	*v = nil
	body := c.take(c.getLength())
	// Elements are decoded by c itself and in their place: a codec or an element
	// of their own would be further allocations.
	whole, rest := c.whole, c.buf
	c.whole, c.buf = body, body
	var full chunks[T]
	var last []T
	for len(c.buf) > 0 && c.err == nil {
		if len(last) == cap(last) {
			last = full.next(last, len(body)-len(c.buf), len(c.buf))
		}
		last = last[:len(last)+1]
		left := len(c.buf)
		elem(c, &last[len(last)-1])
		if len(c.buf) == left {
			c.Fail(fmt.Errorf("wire: empty element in vector of %T", last[0]))
		}
	}
	c.whole, c.buf = whole, rest
	if c.err == nil {
		*v = full.join(last)
	}
}

// chunks are the full parts of a vector that is being decoded. Nobody knows how
// many elements follow, and a peer may send the smallest ones there are: a slice
// that doubles whenever it is full would take, in all, four times the memory of
// its elements. With chunks of an eighth of what is there it is 2 1/8 times.
type chunks[T any] struct {
	parts [][]T
	total int
}

// next puts a full part away, and returns an empty one, after read octets of the
// vector and before left. Most vectors have elements of about one length, so that
// four say how many will follow; this guess is worth a few octets of memory for
// each octet that is left, and no more.
func (c *chunks[T]) next(last []T, read, left int) []T {
	if read == 0 {
		return make([]T, 0, 4)
	}
	c.parts = append(c.parts, last)
	c.total += len(last)
	more := max(16, c.total/8)
	if len(c.parts) == 1 {
		more = max(more, min(left*c.total/read+1, 4*left/int(max(1, unsafe.Sizeof(last[0])))))
	}
	return make([]T, 0, more)
}

// join returns all elements.
func (c *chunks[T]) join(last []T) []T {
	switch {
	case len(c.parts) == 0:
		return last
	// The guess was right: what came before it fits behind.
	case len(c.parts) == 1 && cap(last)-len(last) >= c.total:
		return slices.Insert(last, 0, c.parts[0]...)
	}
	return slices.Concat(append(c.parts, last)...)
}

// Optional codes an optional<T>.
func Optional[T any](c *Codec, v **T, elem func(*Codec, *T)) {
	var present uint8
	if *v != nil {
		present = 1
	}
	Uint8(c, &present)
	switch {
	case present > 1:
		c.Fail(fmt.Errorf("wire: optional presence octet is %d", present))
	case present == 1:
		if c.decoding {
			*v = new(T)
		}
		elem(c, *v)
	case c.decoding:
		*v = nil
	}
}

// Struct adapts a [Message] to an element of [Vector] or [Optional].
func Struct[T any, P interface {
	*T
	Message
}](c *Codec, v *T) {
	P(v).Wire(c)
}
