package content

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf8"
)

// Major types of CBOR (RFC 8949, section 3.1).
const (
	majorUint = iota
	majorNint
	majorBytes
	majorText
	majorArray
	majorMap
	majorTag
	majorOther
)

// maxIntKey is the greatest magnitude of an integer map key: "representable as a
// double float without loss of precision" (section "Data model restrictions").
const maxIntKey = 1<<53 - 1

// head is the first part of an item: major type, argument, and where it stands.
type head struct {
	major byte
	info  byte
	arg   uint64
}

// readHead reads the head of the item at the start of b, and refuses indefinite
// lengths and arguments that are not in their shortest form (RFC 8949, section
// 4.2.1).
func readHead(b []byte) (h head, rest []byte, err error) {
	if len(b) == 0 {
		return head{}, nil, fmt.Errorf("%w: item is cut off", ErrMalformed)
	}
	h.major, h.info = b[0]>>5, b[0]&0x1f
	b = b[1:]
	if h.info < 24 {
		h.arg = uint64(h.info)
		return h, b, nil
	}
	if h.info > 27 {
		return head{}, nil, fmt.Errorf("%w: indefinite length", ErrMalformed)
	}
	size := 1 << (h.info - 24)
	if len(b) < size {
		return head{}, nil, fmt.Errorf("%w: item is cut off", ErrMalformed)
	}
	var full [8]byte
	copy(full[8-size:], b)
	h.arg = binary.BigEndian.Uint64(full[:])
	if h.major != majorOther && h.arg <= longestShorter(size) {
		return head{}, nil, fmt.Errorf("%w: integer is not in its shortest form", ErrMalformed)
	}
	return h, b[size:], nil
}

// longestShorter returns the greatest argument that fits in fewer than size
// octets.
func longestShorter(size int) uint64 {
	if size == 1 {
		return 23
	}
	return 1<<(8*size/2) - 1
}

// checkValue reads one item inside an extension and returns what follows it. It
// applies section "CBOR Data Model and Encoding Restrictions" to it; level is
// the level that a map, array or tag would have there. Nothing is allocated, and
// the depth of the recursion is bounded by [MaxExtensionDepth].
func checkValue(b []byte, level int) (rest []byte, err error) {
	h, rest, err := readHead(b)
	if err != nil {
		return nil, err
	}
	switch h.major {
	case majorUint, majorNint:
		return rest, nil
	case majorBytes, majorText:
		if h.arg > uint64(len(rest)) {
			return nil, fmt.Errorf("%w: string is cut off", ErrMalformed)
		}
		if h.major == majorText && !utf8.Valid(rest[:h.arg]) {
			return nil, fmt.Errorf("%w: text is not UTF-8", ErrMalformed)
		}
		return rest[h.arg:], nil
	case majorOther:
		return rest, checkOther(h, b[:len(b)-len(rest)])
	}
	if level > MaxExtensionDepth {
		return nil, exceeds("depth of an extension", level, MaxExtensionDepth)
	}
	switch h.major {
	case majorTag:
		if err := checkBignum(h.arg, rest); err != nil {
			return nil, err
		}
		return checkValue(rest, level+1)
	case majorArray:
		for range h.arg { // ends at the first missing item
			if rest, err = checkValue(rest, level+1); err != nil {
				return nil, err
			}
		}
		return rest, nil
	default:
		return checkMap(h.arg, rest, level)
	}
}

// checkMap reads the pairs of a map at the given level: keys are integers, texts
// or byte strings, ascending by their encoding, and so without duplicates.
func checkMap(pairs uint64, b []byte, level int) (rest []byte, err error) {
	var last []byte
	rest = b
	for range pairs {
		h, _, err := readHead(rest)
		if err != nil {
			return nil, err
		}
		if h.major > majorText {
			return nil, fmt.Errorf("%w: map key is neither integer nor text nor byte string", ErrMalformed)
		}
		if h.major <= majorNint && h.arg > maxKeyArgument(h.major) {
			return nil, fmt.Errorf("%w: map key is beyond 2^53", ErrMalformed)
		}
		after, err := checkValue(rest, level+1)
		if err != nil {
			return nil, err
		}
		key := rest[:len(rest)-len(after)]
		if last != nil && bytes.Compare(last, key) >= 0 {
			return nil, fmt.Errorf("%w: map keys are not in ascending order, or duplicate", ErrMalformed)
		}
		last = key
		if rest, err = checkValue(after, level+1); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// maxKeyArgument returns the greatest argument of an integer key: the argument
// of a negative integer n is -1-n.
func maxKeyArgument(major byte) uint64 {
	if major == majorNint {
		return maxIntKey - 1
	}
	return maxIntKey
}

// checkOther refuses floating-point numbers that are not in their shortest form,
// with them every NaN but the half-width quiet one, and simple values that are
// not well-formed.
func checkOther(h head, encoded []byte) error {
	var f float64
	switch h.info {
	case 24:
		if h.arg < 32 {
			return fmt.Errorf("%w: simple value is not in its shortest form", ErrMalformed)
		}
		return nil
	case 25:
		// No shorter form exists; only a NaN can be wrong.
		const exponent, quiet = 0x7c00, 0x7e00
		if h.arg&exponent == exponent && h.arg&^(exponent|0x8000) != 0 && h.arg != quiet {
			return fmt.Errorf("%w: not-a-number other than 0xf97e00", ErrMalformed)
		}
		return nil
	case 26:
		f = float64(math.Float32frombits(uint32(h.arg)))
	case 27:
		f = math.Float64frombits(h.arg)
	default:
		return nil
	}
	shortest, err := modes.enc.Marshal(f)
	if err != nil || !bytes.Equal(shortest, encoded) {
		return fmt.Errorf("%w: floating-point number is not in its shortest form", ErrMalformed)
	}
	return nil
}

// checkBignum refuses big integers that have a shorter form ("representing
// bigints as regular integers when they fit").
func checkBignum(tag uint64, b []byte) error {
	if tag != 2 && tag != 3 {
		return nil
	}
	h, rest, err := readHead(b)
	if err != nil {
		return err
	}
	if h.major != majorBytes || h.arg <= 8 || len(rest) == 0 || rest[0] == 0 {
		return fmt.Errorf("%w: big integer is not in its shortest form", ErrMalformed)
	}
	return nil
}
