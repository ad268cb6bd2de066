package suite

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// redacted is what every way of printing a secret shows.
const redacted = "[redacted]"

// A Secret is key material. It cannot be printed, logged, turned into JSON or
// compared with ==; its octets leave it through [Secret.Bytes] alone. The zero
// value is an absent secret.
type Secret struct {
	// The octets are behind a function, since fmt prints the unexported fields of
	// a structure without asking their methods, and follows pointers with some
	// verbs. It also makes secrets incomparable: == would leak through timing.
	m func() *material
}

type material struct{ b []byte }

// NewSecret returns a secret with a copy of b.
func NewSecret(b []byte) Secret { return own(slices.Clone(b)) }

// own makes a secret of octets that nobody else has.
func own(b []byte) Secret {
	if len(b) == 0 {
		return Secret{}
	}
	m := &material{b}
	return Secret{m: func() *material { return m }}
}

// Bytes returns the octets of s. They are shared with s: whoever needs them
// longer than s makes a copy.
func (s Secret) Bytes() []byte {
	if s.m == nil {
		return nil
	}
	return s.m().b
}

// Len returns the length in octets.
func (s Secret) Len() int { return len(s.Bytes()) }

// IsZero reports whether s is absent, which is not the same as all zeros.
func (s Secret) IsZero() bool { return s.Len() == 0 }

// Clone returns a secret that survives the erasure of s.
func (s Secret) Clone() Secret { return NewSecret(s.Bytes()) }

// Erase overwrites the octets of s, and makes s and everything that shares them
// absent. The garbage collector never moves a slice on the heap, so that no
// other copy stays behind.
func (s *Secret) Erase() {
	if s.m != nil {
		m := s.m()
		clear(m.b)
		m.b = nil
		s.m = nil
	}
}

// Equal compares in constant time for equal lengths.
func (s Secret) Equal(o Secret) bool { return subtle.ConstantTimeCompare(s.Bytes(), o.Bytes()) == 1 }

// Wire codes an opaque<V>.
func (s *Secret) Wire(c *wire.Codec) {
	b := s.Bytes()
	wire.Opaque(c, &b)
	if c.Decoding() {
		*s = own(b)
	}
}

// String says that there is something, but not what.
func (s Secret) String() string { return redacted }

// GoString is String, for %#v.
func (s Secret) GoString() string { return redacted }

// Format is String for every verb and flag.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON is String in quotes: a secret in a structure never reaches JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }

// MarshalText is String, for encoders that prefer text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is String for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
