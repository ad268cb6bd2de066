package mimi

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/google/uuid"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Limits of identifiers. A longer one is refused before anything else is done
// with it.
const (
	// MaxDomain is the longest domain name in octets (RFC 1035, section 2.3.4,
	// without the root's).
	MaxDomain = 253
	// MaxHandle is the longest last path segment of a URI in octets, percent
	// encoding included. It keeps every URI of a domain in one length class.
	MaxHandle = 128
)

// ErrURI reports text that is no MIMI URI in the one form that this project
// writes and accepts: lower case, no user information, port, query or fragment,
// percent encoding only where RFC 3986 needs it and then with upper-case digits.
var ErrURI = errors.New("mimi: malformed URI")

// A Kind says what a URI names. Its value is the first path segment of the URI.
type Kind string

// The kinds of draft-ietf-mimi-protocol-06, section 3.
const (
	KindProvider Kind = ""
	KindUser     Kind = "u"
	KindClient   Kind = "d"
	KindRoom     Kind = "r"
	KindGroup    Kind = "g"
)

// A URI names a provider, user, client, room or MLS group
// (draft-ietf-mimi-protocol-06, section 3). URIs are comparable; equal URIs name
// the same thing. The zero URI names nothing.
type URI struct {
	// Domain of the provider that gave the name; lower case.
	Domain string
	// Kind of the thing that is named.
	Kind Kind
	// ID is the last path segment as it stands in the URI: percent-encoded.
	// It is empty for a provider.
	ID string
}

// ProviderURI returns the URI of the provider at domain.
func ProviderURI(domain string) URI { return URI{Domain: domain} }

// ParseURI fails with [ErrURI] if s is not a URI in canonical form.
func ParseURI(s string) (URI, error) {
	rest, ok := strings.CutPrefix(s, "mimi://")
	if !ok || len(s) > len("mimi://")+MaxDomain+len("/u/")+MaxHandle {
		return URI{}, fmt.Errorf("%w: want mimi://domain/kind/name", ErrURI)
	}
	domain, path, hasPath := strings.Cut(rest, "/")
	if err := CheckDomain(domain); err != nil {
		return URI{}, err
	}
	u := URI{Domain: domain}
	if !hasPath {
		return u, nil
	}
	kind, id, _ := strings.Cut(path, "/")
	u.Kind, u.ID = Kind(kind), id
	switch u.Kind {
	case KindUser, KindClient, KindRoom, KindGroup:
	default:
		return URI{}, fmt.Errorf("%w: unknown kind", ErrURI)
	}
	if err := checkID(id); err != nil {
		return URI{}, err
	}
	return u, nil
}

// ParseURIKind is [ParseURI] that also fails with [ErrURI] if the URI is of
// another kind.
func ParseURIKind(s string, kind Kind) (URI, error) {
	u, err := ParseURI(s)
	if err == nil && u.Kind != kind {
		err = fmt.Errorf("%w: kind %q where %q is needed", ErrURI, u.Kind, kind)
	}
	if err != nil {
		return URI{}, err
	}
	return u, nil
}

// String returns the canonical form, or the empty string for the zero URI.
func (u URI) String() string {
	switch {
	case u == URI{}:
		return ""
	case u.Kind == KindProvider:
		return "mimi://" + u.Domain
	default:
		return "mimi://" + u.Domain + "/" + string(u.Kind) + "/" + u.ID
	}
}

// IsZero reports whether u names nothing.
func (u URI) IsZero() bool { return u == URI{} }

// Group returns the MLS group of a room: the room URI with /r/ replaced by /g/
// (mmr-profile.md, section 1). Its octets are the group_id.
func (u URI) Group() URI { return URI{u.Domain, KindGroup, u.ID} }

// Room is the inverse of [URI.Group].
func (u URI) Room() URI { return URI{u.Domain, KindRoom, u.ID} }

// Provider returns the URI of the provider that gave the name.
func (u URI) Provider() URI { return URI{Domain: u.Domain} }

// Wire codes the URI as an IdentifierUri: struct { opaque uri<V>; }
// (draft-ietf-mimi-protocol-06, section 5.2). Only a canonical URI decodes.
func (u *URI) Wire(c *wire.Codec) {
	u.wire(c, false)
}

// WireOptional is [URI.Wire] for fields that may be empty; the zero URI stands
// for the empty field.
func (u *URI) WireOptional(c *wire.Codec) {
	u.wire(c, true)
}

func (u *URI) wire(c *wire.Codec, mayBeEmpty bool) {
	text := []byte(u.String())
	wire.Opaque(c, &text)
	if mayBeEmpty && len(text) == 0 {
		*u = URI{}
		return
	}
	parsed, err := ParseURI(string(text))
	if err != nil {
		c.Fail(err)
	}
	if c.Decoding() {
		*u = parsed
	}
}

// MarshalText implements [encoding.TextMarshaler].
func (u URI) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. The empty text is the
// zero URI.
func (u *URI) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*u = URI{}
		return nil
	}
	parsed, err := ParseURI(string(text))
	if err != nil {
		return err
	}
	*u = parsed
	return nil
}

// CheckDomain fails with [ErrURI] unless domain is a lower-case host name of
// letters, digits and hyphens. Internationalised names are given as A-labels.
func CheckDomain(domain string) error {
	if domain == "" || len(domain) > MaxDomain {
		return fmt.Errorf("%w: domain of %d octets", ErrURI, len(domain))
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%w: malformed domain", ErrURI)
		}
		for i := range len(label) {
			if c := label[i]; c != '-' && !isDigit(c) && !isLower(c) {
				return fmt.Errorf("%w: malformed domain", ErrURI)
			}
		}
	}
	return nil
}

// checkID refuses every spelling of a name but one, so that comparing octets
// compares names.
func checkID(id string) error {
	if id == "" || len(id) > MaxHandle {
		return fmt.Errorf("%w: name of %d octets", ErrURI, len(id))
	}
	name, err := url.PathUnescape(id)
	if err != nil || escape(name) != id {
		return fmt.Errorf("%w: name is not canonically percent-encoded", ErrURI)
	}
	return nil
}

// escape percent-encodes everything but the unreserved characters of RFC 3986,
// section 2.3, with upper-case digits as section 2.1 asks for.
func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		if isLower(c) || isDigit(c) || 'A' <= c && c <= 'Z' || strings.IndexByte("-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// NewID returns a URI with a random version 4 UUID for its name: a pseudonym, a
// room (mmr-profile.md, section 1). It fails only if random does.
func NewID(domain string, kind Kind, random io.Reader) (URI, error) {
	id, err := uuid.NewRandomFromReader(random)
	if err != nil {
		return URI{}, fmt.Errorf("mimi: make a %s id: %w", kind, err)
	}
	return URI{domain, kind, id.String()}, nil
}

// HasRandomID reports whether the name of u is a lower-case version 4 UUID, as
// every pseudonym's must be (mmr-profile.md, section 1).
func (u URI) HasRandomID() bool {
	id, err := uuid.Parse(u.ID)
	return err == nil && id.Version() == 4 && id.Variant() == uuid.RFC4122 && id.String() == u.ID
}
