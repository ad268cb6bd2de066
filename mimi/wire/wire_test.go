package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// record has one of everything.
type record struct {
	A     uint8
	B     uint16
	C     uint32
	D     uint64
	Bytes []byte
	List  [][]byte
	Maybe *inner
}

type inner struct{ Fixed []byte }

func (i *inner) Wire(c *wire.Codec) { wire.Fixed(c, &i.Fixed, 3) }

func (r *record) Wire(c *wire.Codec) {
	wire.Uint8(c, &r.A)
	wire.Uint16(c, &r.B)
	wire.Uint32(c, &r.C)
	wire.Uint64(c, &r.D)
	wire.Opaque(c, &r.Bytes)
	wire.Vector(c, &r.List, wire.Opaque)
	wire.Optional(c, &r.Maybe, wire.Struct)
}

func sample() *record {
	return &record{1, 2, 3, 4, make([]byte, 100), [][]byte{{1}, {}, make([]byte, 70)}, &inner{[]byte("abc")}}
}

type opaque []byte

func (o *opaque) Wire(c *wire.Codec) { wire.Opaque(c, o) }

func TestTruncatedInputIsRefused(t *testing.T) {
	b, err := wire.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	for n := range b {
		if err := wire.Unmarshal(b[:n], new(record)); !errors.Is(err, wire.ErrTruncated) {
			t.Errorf("%d of %d octets: %v", n, len(b), err)
		}
	}
	if err := wire.Unmarshal(append(b, 0), new(record)); !errors.Is(err, wire.ErrTrailing) {
		t.Errorf("one octet more: %v", err)
	}
}

// TestSection2_1_2LengthMustBeMinimal is RFC 9420, section 2.1.2.
func TestSection2_1_2LengthMustBeMinimal(t *testing.T) {
	for name, b := range map[string][]byte{
		"63 in two octets":     append([]byte{0x40, 0x3f}, make([]byte, 63)...),
		"0 in four octets":     {0x80, 0, 0, 0},
		"16383 in four octets": append([]byte{0x80, 0, 0x3f, 0xff}, make([]byte, 16383)...),
		"eight octets":         {0xc0, 0, 0, 0, 0, 0, 0, 0},
	} {
		if err := wire.Unmarshal(b, new(opaque)); !errors.Is(err, wire.ErrLength) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, n := range []int{0, 63, 64, 16383, 16384, 70000} {
		o := opaque(make([]byte, n))
		b, err := wire.Marshal(&o)
		if err != nil {
			t.Fatal(err)
		}
		var got opaque
		if err := wire.Unmarshal(b, &got); err != nil || len(got) != n {
			t.Errorf("length %d: %d, %v", n, len(got), err)
		}
	}
}

func TestLengthIsCheckedBeforeAllocation(t *testing.T) {
	b := []byte{0xbf, 0xff, 0xff, 0xff} // 1 GiB announced, nothing there
	if n := testing.AllocsPerRun(10, func() {
		if err := wire.Unmarshal(b, new(opaque)); !errors.Is(err, wire.ErrTruncated) {
			t.Error(err)
		}
	}); n > 4 {
		t.Errorf("%v allocations", n)
	}
}

func TestOptionalPresenceIsZeroOrOne(t *testing.T) {
	b, err := wire.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-4] = 2
	if err := wire.Unmarshal(b, new(record)); err == nil {
		t.Error("presence octet 2 is accepted")
	}
}

type marked struct {
	a, b  uint16
	since []byte
}

func (m *marked) Wire(c *wire.Codec) {
	wire.Uint16(c, &m.a)
	mark := c.Mark()
	wire.Uint16(c, &m.b)
	m.since = c.Since(mark)
}

func TestSinceIsTheSameInBothDirections(t *testing.T) {
	var l []marked
	in := []byte{8, 0, 1, 0, 2, 0, 3, 0, 4}
	list := func(l *[]marked) wire.Message { return vector{l} }
	if err := wire.Unmarshal(in, list(&l)); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]byte{{0, 2}, {0, 4}} {
		if !bytes.Equal(l[i].since, want) {
			t.Errorf("decoding: element %d: %x", i, l[i].since)
		}
		l[i].since = nil
	}
	if _, err := wire.Marshal(list(&l)); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]byte{{0, 2}, {0, 4}} {
		if !bytes.Equal(l[i].since, want) {
			t.Errorf("encoding: element %d: %x", i, l[i].since)
		}
	}
}

type vector struct{ l *[]marked }

func (v vector) Wire(c *wire.Codec) { wire.Vector(c, v.l, wire.Struct) }

func TestUnmarshalPrefixLeavesTheRest(t *testing.T) {
	var o opaque
	rest, err := wire.UnmarshalPrefix([]byte{1, 7, 8, 9}, &o)
	if err != nil || !bytes.Equal(o, []byte{7}) || !bytes.Equal(rest, []byte{8, 9}) {
		t.Errorf("%x, rest %x, %v", o, rest, err)
	}
}

func FuzzRecord(f *testing.F) {
	b, err := wire.Marshal(sample())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:len(b)-1]) // refused
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		if err := wire.Unmarshal(b, &r); err != nil {
			t.Skip(err)
		}
		out, err := wire.Marshal(&r)
		if err != nil || !bytes.Equal(out, b) {
			t.Errorf("%x encodes to %x, %v", b, out, err)
		}
		if !wire.Encodes(&r, b) {
			t.Errorf("%x is not its encoding", b)
		}
	})
}

// maybe is nothing but an optional element.
type maybe struct{ v *inner }

func (m *maybe) Wire(c *wire.Codec) { wire.Optional(c, &m.v, wire.Struct) }

// TestEachRuleAlone: inputs that nothing else than one check refuses.
func TestEachRuleAlone(t *testing.T) {
	for _, octet := range []byte{2, 0xff} {
		if err := wire.Unmarshal([]byte{octet}, new(maybe)); err == nil {
			t.Errorf("presence octet %d is accepted", octet)
		}
	}
	if err := wire.Unmarshal([]byte{0xc0, 0, 0, 0, 0, 0, 0, 0}, new(opaque)); !errors.Is(err, wire.ErrLength) {
		t.Errorf("a length of eight octets: %v", err)
	}
	for _, b := range [][]byte{{1}, []byte("four")} {
		if _, err := wire.Marshal(&inner{b}); !errors.Is(err, wire.ErrLength) {
			t.Errorf("%d octets in a field of three: %v", len(b), err)
		}
	}
	if err := wire.Unmarshal([]byte{1, 7}, new(empties)); err == nil || errors.Is(err, wire.ErrTrailing) {
		t.Errorf("elements without octets: %v", err)
	}
	if _, err := wire.Marshal(&fixed{[]inner{{[]byte("abc")}, {nil}}}); !errors.Is(err, wire.ErrLength) {
		t.Errorf("a vector with a wrong element: %v", err)
	}
}

// empties is a vector whose elements have no octets.
type empties struct{ l []struct{} }

func (e *empties) Wire(c *wire.Codec) { wire.Vector(c, &e.l, func(*wire.Codec, *struct{}) {}) }

// fixed is a vector of elements of three octets.
type fixed struct{ l []inner }

func (f *fixed) Wire(c *wire.Codec) { wire.Vector(c, &f.l, wire.Struct) }

// TestEncodes: every octet that differs, is missing or is too many, and every
// field that differs, makes another encoding.
func TestEncodes(t *testing.T) {
	b, err := wire.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	if !wire.Encodes(sample(), b) {
		t.Error("an encoding is not recognised")
	}
	if n := testing.AllocsPerRun(10, func() { wire.Encodes(sample(), b) }); n > 8 { // of the sample
		t.Errorf("%v allocations", n)
	}
	for i := range b {
		other := bytes.Clone(b)
		other[i] ^= 1
		if wire.Encodes(sample(), other) {
			t.Errorf("octet %d is not compared", i)
		}
		if wire.Encodes(sample(), b[:i]) {
			t.Errorf("%d octets of %d are enough", i, len(b))
		}
	}
	if wire.Encodes(sample(), append(b, 0)) {
		t.Error("one more octet is accepted")
	}
	for name, change := range map[string]func(*record){
		"an element less":   func(r *record) { r.List = r.List[:2] },
		"an element more":   func(r *record) { r.List = append(r.List, []byte{}) },
		"another element":   func(r *record) { r.List[0] = []byte{2} },
		"nothing optional":  func(r *record) { r.Maybe = nil },
		"a shorter string":  func(r *record) { r.Bytes = r.Bytes[1:] },
		"a wrong fixed one": func(r *record) { r.Maybe = &inner{[]byte("ab")} },
	} {
		r := sample()
		change(r)
		if wire.Encodes(r, b) {
			t.Errorf("%s is not noticed", name)
		}
	}
}
