package content_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// The fields of a minimal message as hexadecimal CBOR.
var minimal = []string{
	"50" + strings.Repeat("5a", 16), // salt
	"f6",                            // replaces
	"40",                            // topicId
	"f6",                            // expires
	"f6",                            // inReplyTo
	"a0",                            // mimiExtensions
	"83016000",                      // nestedPart
}

const (
	salt = iota
	replaces
	topicID
	expires
	inReplyTo
	extensions
	nestedPart
)

// with returns the minimal message with another value in one field.
func with(field int, value string) string {
	fields := slices.Clone(minimal)
	fields[field] = value
	return "87" + strings.Join(fields, "")
}

// id is a message id as CBOR, with the given first octet.
func id(algorithm string) string { return "5820" + algorithm + strings.Repeat("11", 31) }

// nested returns a part that is nested to the given level.
func nested(levels int) string {
	if levels == 1 {
		return "83016000"
	}
	return "850160030282" + nested(levels-1) + "83016000"
}

// arrays returns n arrays in each other.
func arrays(n int) string { return strings.Repeat("81", n) + "00" }

// manyKeys returns n pairs of a map.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "19%04x00", 0x100+i)
	}
	return b.String()
}

// external returns an ExternalPart with the given encAlg, key, hashAlg.
func external(encAlg, key, hashAlg string) string {
	return "8f016002" + "60" + "60" + "00" + "00" + encAlg + key + "40" + "40" + hashAlg + "40" + "60" + "60"
}

func TestDecode(t *testing.T) {
	malformed, limit := content.ErrMalformed, content.ErrLimit
	for _, c := range []struct {
		name, hex string
		want      error
	}{
		{"minimal message", with(0, minimal[0]), nil},

		// Section "Message Behavior Fields".
		{"salt is 16 octets, not 15", with(salt, "4f"+strings.Repeat("5a", 15)), malformed},
		{"salt is 16 octets, not 17", with(salt, "51"+strings.Repeat("5a", 17)), malformed},
		{"salt is not null", with(salt, "f6"), malformed},
		{"message is an array of 7, not 6", "86" + strings.Join(minimal[:6], ""), malformed},
		{"message is an array of 7, not 8", "88" + strings.Join(minimal, "") + "f6", malformed},
		{"message is an array, not a map", "a0", malformed},
		{"message is not tagged", "c1" + with(0, minimal[0]), malformed},
		{"replaces is a message id", with(replaces, id("01")), nil},
		{"inReplyTo is a message id", with(inReplyTo, id("01")), nil},
		{"message id is 32 octets, not 31", with(replaces, "581f01"+strings.Repeat("11", 30)), malformed},
		{"message id is not empty", with(inReplyTo, "40"), malformed},
		{"message id has a known hash algorithm", with(inReplyTo, id("02")), malformed},
		{"message id has no reserved hash algorithm", with(replaces, id("00")), malformed},
		{"message id is null, not undefined", with(replaces, "f7"), malformed},
		{"topicId is not null", with(topicID, "f6"), malformed},
		{"topicId is bytes, not text", with(topicID, "60"), malformed},
		{"topicId of 4096 octets", with(topicID, "591000"+strings.Repeat("00", 4096)), nil},
		{"topicId is not longer than 4096 octets", with(topicID, "591001"+strings.Repeat("00", 4097)), limit},
		{"relative expiration", with(expires, "82f50a"), nil},
		{"expiration is a boolean and a number", with(expires, "82000a"), malformed},
		{"expiration has two items", with(expires, "81f5"), malformed},
		{"expiration has 32 bits", with(expires, "82f51b0000000100000000"), malformed},
		{"expiration is not negative", with(expires, "82f520"), malformed},
		{"expiration is no float", with(expires, "82f5f93c00"), malformed},

		// Section "Extension Fields" and "Data model restrictions".
		{"claims", with(extensions, "a2016161026162"), nil},
		{"private keys", with(extensions, "a32000390100f561786163"), nil},
		{"MUST NOT include more than one extension with the same key", with(extensions, "a218640018640"+"0"), malformed},
		{"MUST NOT include senderUri twice", with(extensions, "a2016161016162"), malformed},
		{"extension key 0 is reserved", with(extensions, "a10000"), malformed},
		{"extension key is at least one octet", with(extensions, "a16000"), malformed},
		{"extension key of 255 octets", with(extensions, "a178ff"+strings.Repeat("61", 255)+"00"), nil},
		{"extension key MUST be up to 255 octets", with(extensions, "a1790100"+strings.Repeat("61", 256)+"00"), limit},
		{"extension key MUST be integer or text, not bytes", with(extensions, "a1416100"), malformed},
		{"extension key MUST be integer or text, not a float", with(extensions, "a1f93e0000"), malformed},
		{"extension key MUST be integer or text, not an array", with(extensions, "a18000"), malformed},
		{"extension key 2^53-1", with(extensions, "a11b001fffffffffffff00"), nil},
		{"extension key MUST be below 2^53", with(extensions, "a11b002000000000000000"), malformed},
		{"extension key -2^53+1", with(extensions, "a13b001ffffffffffffe00"), nil},
		{"extension key MUST be above -2^53", with(extensions, "a13b001fffffffffffff00"), malformed},
		{"senderUri is text", with(extensions, "a1014161"), malformed},
		{"senderUri is not empty", with(extensions, "a10160"), malformed},
		{"nested map key MUST be integer, text or bytes", with(extensions, "a11864a1f500"), malformed},
		{"nested map with byte string key", with(extensions, "a11864a1410000"), nil},
		{"nested map key MUST be below 2^53", with(extensions, "a11864a11b002000000000000000"), malformed},
		{"nested map keys are not duplicate", with(extensions, "a11864a201000100"), malformed},
		{"text MUST be UTF-8 in an extension", with(extensions, "a1186461ff"), malformed},
		{"text MUST be UTF-8 in a claim", with(extensions, "a10161ff"), malformed},
		{"text MUST be UTF-8 in a part", with(nestedPart, "830161ff00"), malformed},
		{"not-a-number 0xf97e00", with(extensions, "a11864f97e00"), nil},
		{"not-a-number MUST be 0xf97e00, no other half", with(extensions, "a11864f97e01"), malformed},
		{"not-a-number MUST be 0xf97e00, no signed half", with(extensions, "a11864f9fe00"), malformed},
		{"not-a-number MUST be 0xf97e00, no single", with(extensions, "a11864fa7fc00000"), malformed},
		{"infinity", with(extensions, "a11864f97c00"), nil},
		{"extension is complete", with(extensions, "a1186482"), malformed},
		{"undefined and simple values are any CBOR", with(extensions, "a1186482f7f8ff"), nil},

		// Section "Encoding restrictions".
		{"MUST be deterministic: shortest integer", with(expires, "82f5180a"), malformed},
		{"MUST be deterministic: shortest length", with(topicID, "5800"), malformed},
		{"MUST be deterministic: no indefinite bytes", with(topicID, "5fff"), malformed},
		{"MUST be deterministic: no indefinite array", "9f" + strings.Join(minimal, "") + "ff", malformed},
		{"MUST be deterministic: no indefinite map", with(extensions, "bfff"), malformed},
		{"MUST be deterministic: map keys ascend", with(extensions, "a2026162016161"), malformed},
		{"MUST NOT be sent in canonical order of RFC 7049", with(extensions, "a22000186400"), malformed},
		{"MUST be deterministic in extensions: shortest integer", with(extensions, "a118641800"), malformed},
		{"MUST be deterministic in extensions: shortest length", with(extensions, "a118645800"), malformed},
		{"MUST be deterministic in extensions: shortest float", with(extensions, "a11864fb3ff0000000000000"), malformed},
		{"MUST be deterministic in extensions: float that needs 64 bits", with(extensions, "a11864fb3fb999999999999a"), nil},
		{"MUST be deterministic in extensions: float that needs 32 bits", with(extensions, "a11864fa3f800001"), nil},
		{"MUST be deterministic in extensions: no indefinite array", with(extensions, "a118649fff"), malformed},
		{"MUST be deterministic in extensions: map keys ascend", with(extensions, "a11864a202000100"), malformed},
		{"MUST be deterministic in extensions: shortest simple value", with(extensions, "a11864f814"), malformed},
		{"big integer that fits an integer", with(extensions, "a11864c24100"), malformed},
		{"big integer that fits an integer of 8 octets", with(extensions, "a11864c248"+strings.Repeat("ff", 8)), malformed},
		{"big integer with leading zero", with(extensions, "a11864c24900"+strings.Repeat("ff", 8)), malformed},
		{"big integer", with(extensions, "a11864c24901"+strings.Repeat("00", 8)), nil},
		{"nothing follows the message", with(0, minimal[0]) + "00", malformed},
		{"no octets are no message", "", malformed},

		// Section "Depth restrictions".
		{"parts 4 levels deep", with(nestedPart, nested(4)), nil},
		{"parts MUST NOT be nested 5 levels deep", with(nestedPart, nested(5)), limit},
		{"extensions 4 levels deep", with(extensions, "a11864"+arrays(3)), nil},
		{"extensions MUST NOT be 5 levels deep", with(extensions, "a11864"+arrays(4)), limit},
		{"extensions MUST NOT be 5 levels deep by a tag", with(extensions, "a11864"+strings.Repeat("81", 3)+"d82000"), limit},
		{"the draft's example of depth", with(extensions, "a1190100"+"82"+"82421234d82061"+"61"+"82423456"+"19168b"), nil},
		{"extensions are not thousands deep", with(extensions, "a11864"+arrays(5000)), limit},
		{"parts are not thousands deep", with(nestedPart, nested(3000)), limit},

		// Section "Message Bodies".
		{"single part", with(nestedPart, "8501600160"+"40"), nil},
		{"unknown disposition is accepted", with(nestedPart, "8318ff6000"), nil},
		{"disposition is at most 255", with(nestedPart, "831901006000"), malformed},
		{"disposition is not negative", with(nestedPart, "83206000"), malformed},
		{"unknown cardinality", with(nestedPart, "83016004"), malformed},
		{"cardinality is no text", with(nestedPart, "83016060"), malformed},
		{"null part has three items", with(nestedPart, "84016000f6"), malformed},
		{"single part has five items", with(nestedPart, "8401600160"), malformed},
		{"single part has bytes", with(nestedPart, "850160016060"), malformed},
		{"body is not null", with(nestedPart, "f6"), malformed},
		{"body is not empty", with(nestedPart, "80"), malformed},
		{"array of a billion items", with(nestedPart, "9a3fffffff"), malformed},
		{"mimiExtensions is a map", with(extensions, "80"), malformed},
		{"mimiExtensions is not null", with(extensions, "f6"), malformed},
		{"100 extensions", with(extensions, "b864"+manyKeys(100)), limit},
		{"map of a billion pairs", with(extensions, "ba3fffffff"), malformed},
		{"byte string of a billion octets", with(topicID, "5a3fffffff"), malformed},
		{"unknown PartSemantics", with(nestedPart, "85016003038283016000"+"83016000"), malformed},
		{"multi part has two parts or more", with(nestedPart, "850160030281"+"83016000"), malformed},
		{"multi part is not empty", with(nestedPart, "850160030280"), malformed},
		{"external part", with(nestedPart, external("01", "41aa", "01")), nil},
		{"encAlg has 16 bits", with(nestedPart, external("1a00010000", "40", "01")), malformed},
		{"hashAlg has 8 bits", with(nestedPart, external("01", "40", "190100")), malformed},
		{"external part without encryption has no key", with(nestedPart, external("00", "41aa", "01")), malformed},
		{"external part has 15 items", with(nestedPart, "8e"+external("00", "40", "00")[2:26]), malformed},
		{"1024 parts", with(nestedPart, "850160030299"+"03ff"+strings.Repeat("83016000", 1023)), nil},
		{"body has more than 1024 parts", with(nestedPart, "850160030299"+"0400"+strings.Repeat("83016000", 1024)), limit},
		{"media type is not longer than MaxString", with(nestedPart, "8501600179"+"1001"+strings.Repeat("61", 4097)+"40"), limit},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := hex.DecodeString(c.hex)
			if err != nil {
				t.Fatal(err)
			}
			m, err := content.Decode(data, content.Limits{})
			if c.want != nil {
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if again, err := content.Encode(m, content.Limits{}); err != nil || !bytes.Equal(again, data) {
				t.Fatalf("encoded again: %x (%v)", again, err)
			}
		})
	}
}

func TestDecodeTruncated(t *testing.T) {
	for name := range kinds {
		data := example(t, name)
		for n := range data {
			if _, err := content.Decode(data[:n], content.Limits{}); !errors.Is(err, content.ErrMalformed) {
				t.Fatalf("%s cut to %d octets: %v", name, n, err)
			}
		}
	}
}

func TestLimits(t *testing.T) {
	data := example(t, "multipart-3")
	for name, limits := range map[string]content.Limits{
		"MaxSize":   {MaxSize: len(data) - 1},
		"MaxParts":  {MaxParts: 10},
		"MaxString": {MaxString: 20},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := content.Decode(data, limits); !errors.Is(err, content.ErrLimit) {
				t.Errorf("decode: %v", err)
			}
			m, err := content.Decode(data, content.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := content.Encode(m, limits); !errors.Is(err, content.ErrLimit) {
				t.Errorf("encode: %v", err)
			}
		})
	}
	if _, err := content.Decode(data, content.Limits{MaxSize: len(data), MaxParts: 11, MaxString: 64}); err != nil {
		t.Errorf("within the limits: %v", err)
	}
	two := content.Message{Extensions: map[content.ExtensionKey]content.RawValue{{Int: 3}: {0}, {Int: 4}: {0}}}
	if _, err := content.Encode(two, content.Limits{MaxExtensions: 1}); !errors.Is(err, content.ErrLimit) {
		t.Errorf("encode 2 extensions of 1: %v", err)
	}
	data = must(content.Encode(two, content.Limits{}))
	if _, err := content.Decode(data, content.Limits{MaxExtensions: 1}); !errors.Is(err, content.ErrLimit) {
		t.Errorf("decode 2 extensions of 1: %v", err)
	}
}

// TestErrorsQuoteNothing: what a message says stays out of errors, and so out of
// logs.
func TestErrorsQuoteNothing(t *testing.T) {
	const secret = "s3cr3t" // 73336372337 4
	text := "66" + hex.EncodeToString([]byte(secret))
	for _, bad := range []string{
		with(extensions, "a2"+text+"00"+text+"00"),
		with(extensions, "a2677a7a7a7a7a7a7a00"+text+"f5"),
		with(nestedPart, "84"+"01"+"60"+"01"+text),
		with(salt, text),
	} {
		data, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := content.Decode(data, content.Limits{}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for name := range kinds {
		data := example(f, name)
		f.Add(data)
		f.Add(data[:len(data)-1]) // refused
	}
	for _, seed := range []string{
		with(0, minimal[0]), with(nestedPart, nested(4)), with(extensions, "a1190100"+"82"+"82421234d8206161"+"82423456"+"19168b"),
		with(extensions, "a32000390100f561786163"), with(nestedPart, external("01", "41aa", "01")), with(extensions, "a11864fa3f800001"),
	} {
		data, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := content.Decode(data, content.Limits{})
		if err != nil {
			if !errors.Is(err, content.ErrMalformed) && !errors.Is(err, content.ErrLimit) {
				t.Fatalf("error without identity: %v", err)
			}
			t.Skip(err)
		}
		again, err := content.Encode(m, content.Limits{})
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted %x, encoded %x (%v)", data, again, err)
		}
		content.Classify(m)
		content.Choose(m.Part, func(content.Part) int { return 1 })
	})
}

func FuzzDecodeProfile(f *testing.F) {
	for _, p := range profiles {
		data, err := p.Encode(content.Limits{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[1:]) // refused
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := content.DecodeProfile(profileMessage(data), content.Limits{})
		if err != nil {
			t.Skip(err)
		}
		again, err := p.Encode(content.Limits{})
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("accepted %x, encoded %x (%v)", data, again, err)
		}
	})
}
