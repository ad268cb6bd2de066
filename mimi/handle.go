package mimi

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The reasons why a person's name can't be a MIMI address. Their texts are fit
// for showing to that person.
var (
	// ErrHandle reports a name that is empty, has upper-case letters, or is
	// longer than [MaxHandle] octets once percent-encoded.
	ErrHandle = errors.New("this name can't be a MIMI address")
	// ErrAddress reports text that is not an address in any of the forms that
	// people write.
	ErrAddress = errors.New("this is not a MIMI address; write it like bob@example.org")
)

// UserURI returns the URI of the user whose account at the domain's homeserver
// has the given localpart. It fails with [ErrHandle].
func UserURI(domain, localpart string) (URI, error) {
	if err := CheckDomain(domain); err != nil {
		return URI{}, err
	}
	switch id := escape(localpart); {
	case localpart == "":
		return URI{}, fmt.Errorf("%w: it is empty", ErrHandle)
	case strings.ToLower(localpart) != localpart:
		return URI{}, fmt.Errorf("%w: it has upper-case letters", ErrHandle)
	case len(id) > MaxHandle:
		return URI{}, fmt.Errorf("%w: it is longer than %d octets", ErrHandle, MaxHandle)
	default:
		return URI{domain, KindUser, id}, nil
	}
}

// Localpart is the inverse of [UserURI]: the name of a user without percent
// encoding.
func (u URI) Localpart() string {
	name, err := url.PathUnescape(u.ID)
	if err != nil {
		return u.ID // not canonical; ParseURI makes no such URI
	}
	return name
}

// Handle returns the address of a user in the form that people write and read:
// bob@example.org.
func (u URI) Handle() string {
	return u.Localpart() + "@" + u.Domain
}

// ParseAddress reads the address of a user as people write it:
// bob@example.org, im:bob@example.org (RFC 3860), mimi:bob@example.org or
// mimi://example.org/u/bob. Surrounding space and the case of the scheme and of
// the domain do not matter. It fails with [ErrAddress] or [ErrHandle].
func ParseAddress(s string) (URI, error) {
	s = strings.TrimSpace(s)
	if len(s) > len("mimi:")+3*MaxHandle+1+MaxDomain {
		return URI{}, ErrAddress
	}
	if scheme, rest, ok := strings.Cut(s, ":"); ok {
		switch {
		case strings.EqualFold(scheme, "mimi") && strings.HasPrefix(rest, "//"):
			u, err := ParseURIKind(strings.ToLower(scheme)+":"+rest, KindUser)
			if err != nil {
				return URI{}, ErrAddress
			}
			return u, nil
		case strings.EqualFold(scheme, "im"), strings.EqualFold(scheme, "mimi"):
			name, err := url.PathUnescape(rest)
			if err != nil {
				return URI{}, ErrAddress
			}
			s = name
		default:
			return URI{}, ErrAddress
		}
	}
	at := strings.LastIndexByte(s, '@')
	if at <= 0 || strings.HasPrefix(s, "@") {
		return URI{}, ErrAddress
	}
	domain := strings.ToLower(s[at+1:])
	if CheckDomain(domain) != nil {
		return URI{}, ErrAddress
	}
	return UserURI(domain, s[:at])
}
