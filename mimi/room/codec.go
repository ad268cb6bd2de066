package room

import (
	"fmt"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Limits on what a room's components may hold. They bound what one commit can
// make every member and the hub keep, compare and search.
const (
	// MaxComponent is the largest encoding of a component, in octets. It leaves
	// room for a participant list of MaxParticipants pseudonyms.
	MaxComponent = 1 << 20
	// MaxParticipants bounds the participant list, banned users included.
	MaxParticipants = 8192
	// MaxRoles bounds roles_list. The largest example of the draft has ten.
	MaxRoles = 64
	// MaxCapabilities bounds the capabilities of a role; the registry has 77.
	MaxCapabilities = 256
	// MaxName is the longest name (of a role, a room, a bot) in octets.
	MaxName = 256
	// MaxText is the longest description, subject or claim in octets.
	MaxText = 4096
	// MaxURI is the longest URI in octets.
	MaxURI = 2048
	// MaxList bounds every other list: preauthorized entries, claims, links,
	// bots, media types, domains.
	MaxList = 256
)

// Decode decodes a component of type T. It fails with an error that wraps
// [ErrInvalid] if data is larger than [MaxComponent], is not exactly one
// encoding of T, or breaks a constraint that T alone can break.
func Decode[T any, P interface {
	*T
	wire.Message
}](data []byte) (T, error) {
	var v T
	if len(data) > MaxComponent {
		return v, fmt.Errorf("%w: component of %d octets", ErrTooLarge, len(data))
	}
	if err := wire.Unmarshal(data, P(&v)); err != nil {
		var zero T
		return zero, fmt.Errorf("%w: %T: %w", ErrMalformed, zero, err)
	}
	return v, nil
}

// Encode encodes a component. It fails as [Decode] would for the result.
func Encode(m wire.Message) ([]byte, error) {
	data, err := wire.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrMalformed, m, err)
	}
	if len(data) > MaxComponent {
		return nil, fmt.Errorf("%w: component of %d octets", ErrTooLarge, len(data))
	}
	return data, nil
}

// check fails c with the first error. The Wire methods of this package end with
// it, so that an invalid value neither decodes nor encodes.
func check(c *wire.Codec, errs ...error) {
	for _, err := range errs {
		if err != nil {
			c.Fail(err)
			return
		}
	}
}

// boolean codes enum { false(0), true(1) } bool: one octet.
func boolean(c *wire.Codec, v *bool) {
	var b uint8
	if *v {
		b = 1
	}
	wire.Uint8(c, &b)
	if b > 1 {
		c.Fail(fmt.Errorf("%w: bool %d", ErrEnum, b))
	}
	if c.Decoding() {
		*v = b == 1
	}
}

// enum codes an enum of one octet whose values run from zero to last.
func enum[T ~uint8](c *wire.Codec, v *T, last T) {
	wire.Uint8(c, v)
	if *v > last {
		c.Fail(fmt.Errorf("%w: %T %d", ErrEnum, *v, uint8(*v)))
	}
}

// optionalUint32 codes optional uint32.
func optionalUint32(c *wire.Codec, v **uint32) {
	wire.Optional(c, v, func(c *wire.Codec, n *uint32) { wire.Uint32(c, n) })
}

func uint32s(c *wire.Codec, v *[]uint32) {
	wire.Vector(c, v, func(c *wire.Codec, n *uint32) { wire.Uint32(c, n) })
}

func uint16s[T ~uint16](c *wire.Codec, v *[]T) {
	wire.Vector(c, v, func(c *wire.Codec, n *T) { wire.Uint16(c, n) })
}

// text codes a UTF8String, an opaque<V> of valid UTF-8 without zero characters
// (draft-ietf-mimi-protocol-06, section 7.6), of at most limit octets.
func text(c *wire.Codec, v *string, limit int) {
	b := []byte(*v)
	wire.Opaque(c, &b)
	if len(b) > limit {
		c.Fail(fmt.Errorf("%w: text of %d octets, at most %d", ErrTooLarge, len(b), limit))
		return
	}
	s := string(b)
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		c.Fail(ErrText)
	}
	if c.Decoding() {
		*v = s
	}
}

// octets codes an opaque<V> of at most limit octets.
func octets(c *wire.Codec, v *[]byte, limit int) {
	wire.Opaque(c, v)
	if len(*v) > limit {
		c.Fail(fmt.Errorf("%w: %d octets, at most %d", ErrTooLarge, len(*v), limit))
	}
}

// uri codes a Uri that must be present, and optionalURI one that may be empty.
func uri(c *wire.Codec, v *string) {
	optionalURI(c, v)
	if *v == "" {
		c.Fail(fmt.Errorf("%w: it is empty", ErrURIField))
	}
}

func optionalURI(c *wire.Codec, v *string) {
	text(c, v, MaxURI)
	check(c, checkURI(*v))
}

// checkURI accepts the empty string and an absolute URI (RFC 3986): printable
// ASCII with a scheme.
func checkURI(s string) error {
	if s == "" {
		return nil
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return fmt.Errorf("%w: character %#x", ErrURIField, s[i])
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return fmt.Errorf("%w: want an absolute URI", ErrURIField)
	}
	return nil
}

// scheme fails unless s is empty or has the given scheme.
func scheme(s, want string) error {
	if got, _, _ := strings.Cut(s, ":"); s != "" && !strings.EqualFold(got, want) {
		return fmt.Errorf("%w: want an %s URI", ErrURIField, want)
	}
	return nil
}

// domain codes a DomainName.
func domain(c *wire.Codec, v *string) {
	text(c, v, mimi.MaxDomain)
	if err := mimi.CheckDomain(*v); err != nil {
		c.Fail(fmt.Errorf("%w: %w", ErrURIField, err))
	}
}

// atMost fails if a list is longer than its limit.
func atMost[T any](what string, list []T, limit int) error {
	if len(list) > limit {
		return fmt.Errorf("%w: %d %s, at most %d", ErrTooLarge, len(list), what, limit)
	}
	return nil
}

// distinct fails if two elements of a list have the same key. It says where, not
// which: keys can be names of people.
func distinct[T any, K comparable](what string, list []T, key func(*T) K) error {
	seen := make(map[K]struct{}, len(list))
	for i := range list {
		k := key(&list[i])
		if _, ok := seen[k]; ok {
			return fmt.Errorf("%w: %s at %d", ErrDuplicate, what, i)
		}
		seen[k] = struct{}{}
	}
	return nil
}

// distinctValues is [distinct] for elements that are their own keys.
func distinctValues[T comparable](what string, list []T) error {
	return distinct(what, list, func(v *T) T { return *v })
}

// notAbove fails if there is a maximum and it is below the minimum.
func notAbove(what string, minimum uint32, maximum *uint32) error {
	if maximum != nil && minimum > *maximum {
		return fmt.Errorf("%w: minimum %s %d, maximum %d", ErrRange, what, minimum, *maximum)
	}
	return nil
}
