// Package scan looks for identifiers in recorded traffic and database files, in
// every encoding in which a program may have written them without meaning to
// (docs/mmr-profile.md, section 9, T1).
package scan

import (
	"bytes"
	"crypto/md5"  //nolint:gosec // what is looked for, not what protects
	"crypto/sha1" //nolint:gosec // likewise
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode/utf16"
)

// A Needle is something that must not be found.
type Needle struct {
	// Name says what it is, such as "Bob's Matrix id".
	Name string
	Text string
}

// A Hit is a needle that was found.
type Hit struct {
	Needle   Needle
	Encoding string
	// Offset of the encoded needle.
	Offset int
}

// String says what was found and how.
func (h Hit) String() string {
	return fmt.Sprintf("%s as %s at octet %d", h.Needle.Name, h.Encoding, h.Offset)
}

// MinNeedle is the shortest text that can be looked for: shorter ones turn up in
// random octets.
const MinNeedle = 5

// An encoding is one way to write a needle.
type encoding struct {
	name  string
	bytes []byte
}

// Find returns the needles that occur in data, each once for each encoding. It
// ignores the case of letters where the encoding is text.
func Find(data []byte, needles ...Needle) []Hit {
	lower := bytes.ToLower(data)
	var hits []Hit
	for _, n := range needles {
		if len(n.Text) < MinNeedle {
			continue
		}
		for _, e := range encodings(n.Text) {
			at := bytes.Index(data, e.bytes)
			if at < 0 && text(e.name) {
				at = bytes.Index(lower, bytes.ToLower(e.bytes))
			}
			if at >= 0 {
				hits = append(hits, Hit{n, e.name, at})
			}
		}
	}
	return hits
}

// Encodings is in how many encodings a needle is looked for.
func Encodings() int { return len(encodings("a needle")) }

// A Form is a needle as something may have written it.
type Form struct {
	// Name is that of the encoding.
	Name   string
	Octets []byte
}

// Forms returns all ways to write a text that are looked for; their order is the same
// for every text.
func Forms(text string) (out []Form) {
	for _, e := range encodings(text) {
		out = append(out, Form{e.name, e.bytes})
	}
	return out
}

// text reports whether an encoding keeps letters, so that their case may vary.
func text(name string) bool {
	return !strings.HasPrefix(name, "base64") && !strings.HasPrefix(name, "octets of")
}

// encodings lists all ways to write a text, without repetition.
func encodings(s string) []encoding {
	all := []encoding{
		{"text", []byte(s)},
		{"hexadecimal", []byte(hex.EncodeToString([]byte(s)))},
		{"percent encoding", []byte(url.QueryEscape(s))},
		{"percent encoding of a path", []byte(url.PathEscape(s))},
		{"percent encoding of every octet", percent(s)},
		{"JSON", jsonText(s)},
		{"JSON of UTF-16", jsonUTF16(s)},
		{"UTF-16 (little-endian)", utf16Bytes(s, false)},
		{"UTF-16 (big-endian)", utf16Bytes(s, true)},
	}
	for offset := range 3 {
		for name, enc := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			all = append(all, encoding{fmt.Sprintf("%s at alignment %d", name, offset), aligned(enc, s, offset)})
		}
	}
	md, sh1, sh256, sh512 := md5.Sum([]byte(s)), sha1.Sum([]byte(s)), sha256.Sum256([]byte(s)), sha512.Sum512([]byte(s)) //nolint:gosec // see above
	for name, sum := range map[string][]byte{"MD5": md[:], "SHA-1": sh1[:], "SHA-256": sh256[:], "SHA-512": sh512[:]} {
		all = append(all,
			encoding{"octets of " + name, sum},
			encoding{"hexadecimal of " + name, []byte(hex.EncodeToString(sum))},
			encoding{"base64 of " + name, []byte(base64.RawStdEncoding.EncodeToString(sum))})
	}
	slices.SortFunc(all, func(a, b encoding) int { return strings.Compare(a.name, b.name) })
	return all
}

// aligned is the part of the base64 of a longer text that the needle alone
// decides, where it stands offset octets behind a multiple of three.
func aligned(enc *base64.Encoding, s string, offset int) []byte {
	padded := append(make([]byte, offset), s...)
	encoded := enc.EncodeToString(padded)
	first := (offset*8 + 5) / 6
	last := len(padded) * 8 / 6
	return []byte(encoded[first:last])
}

func percent(s string) []byte {
	var b bytes.Buffer
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.Bytes()
}

func jsonText(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(s)
	}
	return b[1 : len(b)-1]
}

func jsonUTF16(s string) []byte {
	var b bytes.Buffer
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "\\u%04x", u)
	}
	return b.Bytes()
}

func utf16Bytes(s string, big bool) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		if big {
			b = append(b, byte(u>>8), byte(u))
		} else {
			b = append(b, byte(u), byte(u>>8))
		}
	}
	return b
}
