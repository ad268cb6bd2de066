package mls

import (
	"errors"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrModified reports a received object whose fields were changed after it was
// decoded: its signature speaks of other octets.
var ErrModified = errors.New("mls: a received object was modified")

// received is the encoding of an object as it came from the wire. Signatures,
// hashes and references of a received object are computed from it, and never
// from a second encoding that could have lost something.
type received []byte

// keep records what the decoder has read since mark.
func (r *received) keep(c *wire.Codec, mark int) {
	if c.Decoding() {
		*r = c.Since(mark)
	}
}

// bytes returns the encoding of m: as it was received, or fresh for an object
// that was made here.
func (r received) bytes(m wire.Message) ([]byte, error) {
	if r == nil {
		return wire.Marshal(m)
	}
	// RFC 9420, section 7.2: 6
	if !wire.Encodes(m, r) {
		return nil, ErrModified
	}
	return r, nil
}
