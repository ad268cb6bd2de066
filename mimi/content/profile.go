package content

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// Media types of the gateway's profile for rooms with minimal metadata
// (mmr-profile.md, sections 4 "Names" and 7). They stand in parts with the
// disposition [ProfilePart].
const (
	// ProfileType carries a [Profile].
	ProfileType = "application/mimi-gateway-profile+cbor"
	// ClosedType says that the sender's account is deleted. The content is an
	// empty map.
	ClosedType = "application/mimi-gateway-closed+cbor"
	// LostType asks a contact for the keys of a room; see [LostMessage].
	LostType = "application/mimi-gateway-lost+cbor"
	// LinkType answers that; see [LinkMessage].
	LinkType = "application/mimi-gateway-link+cbor"
)

// MaxName is the longest display name in octets of UTF-8.
const MaxName = 256

// A Profile is how a person wants to be shown to the members of a room. It
// travels end to end: hubs never see it. On the wire it is a map
// {1: name, 2: avatar, 3: sequence} in deterministic encoding; the avatar is a
// NestedPart and is left out if there is none.
type Profile struct {
	// Name of 1 to [MaxName] octets, without control characters and without
	// characters that change the direction of the text around them.
	Name string
	// Avatar is a [Single] or [External] part with an image; nil for none.
	Avatar *Part
	// Sequence grows with every change, so that a profile that arrives late
	// does not undo a newer one.
	Sequence uint64
}

type wireProfile struct {
	Name     string          `cbor:"1,keyasint"`
	Avatar   cbor.RawMessage `cbor:"2,keyasint,omitempty"`
	Sequence uint64          `cbor:"3,keyasint"`
}

// CleanName makes a display name out of what a person has set elsewhere: without
// the characters that [Profile] does not allow, without surrounding space, cut at
// [MaxName] octets. The result is empty if nothing is left.
func CleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return -1
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case !nameRune(r):
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	for len(s) > MaxName {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimSpace(s)
}

// nameRune refuses control characters, and the embeddings, overrides and
// isolates with which a name could change how its surroundings look.
func nameRune(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return false
	case '\u202a' <= r && r <= '\u202e', '\u2066' <= r && r <= '\u2069':
		return false
	}
	return true
}

func (p Profile) check(limits Limits) error {
	if p.Name == "" || len(p.Name) > MaxName || !utf8.ValidString(p.Name) {
		return fmt.Errorf("%w: display name of %d octets", ErrMalformed, len(p.Name))
	}
	for _, r := range p.Name {
		if !nameRune(r) {
			return fmt.Errorf("%w: display name with a control character", ErrMalformed)
		}
	}
	if p.Avatar == nil {
		return nil
	}
	switch p.Avatar.Body.(type) {
	case *Single, *External:
	default:
		return fmt.Errorf("%w: avatar is no single or external part", ErrMalformed)
	}
	budget := 1
	return checkPart(*p.Avatar, 1, &budget, limits)
}

// Encode returns the content of a [ProfileType] part. It fails with
// [ErrMalformed] or [ErrLimit].
func (p Profile) Encode(limits Limits) ([]byte, error) {
	if err := p.check(limits.withDefaults()); err != nil {
		return nil, err
	}
	w := wireProfile{Name: p.Name, Sequence: p.Sequence}
	if p.Avatar != nil {
		raw, err := encodePart(*p.Avatar)
		if err != nil {
			return nil, err
		}
		w.Avatar = raw
	}
	return marshal(w)
}

// ProfileMessage returns the message that tells p to a room. It fails like
// [Profile.Encode].
func ProfileMessage(p Profile, limits Limits) (Message, error) {
	data, err := p.Encode(limits)
	if err != nil {
		return Message{}, err
	}
	return Message{Part: Part{Disposition: ProfilePart, Body: &Single{ProfileType, data}}}, nil
}

// DecodeProfile reads the profile that a message of [KindProfile] carries. It
// fails with [ErrMalformed] or [ErrLimit].
func DecodeProfile(m Message, limits Limits) (Profile, error) {
	limits = limits.withDefaults()
	single, ok := m.Part.Body.(*Single)
	if !ok || profileKind(m.Part) != KindProfile {
		return Profile{}, fmt.Errorf("%w: it carries no profile", ErrMalformed)
	}
	if len(single.Content) > limits.MaxSize {
		return Profile{}, exceeds("size of a profile", len(single.Content), limits.MaxSize)
	}
	var w wireProfile
	if err := unmarshal(single.Content, &w); err != nil {
		return Profile{}, fmt.Errorf("profile: %w", err)
	}
	p := Profile{Name: w.Name, Sequence: w.Sequence}
	if w.Avatar != nil {
		budget := 1
		avatar, err := decodePart(w.Avatar, 1, &budget)
		if err != nil {
			return Profile{}, fmt.Errorf("avatar: %w", err)
		}
		p.Avatar = &avatar
	}
	again, err := p.Encode(limits)
	if err != nil {
		return Profile{}, err
	}
	if !bytes.Equal(again, single.Content) {
		return Profile{}, fmt.Errorf("%w: profile has unknown fields, or is not in deterministic encoding", ErrMalformed)
	}
	return p, nil
}

// Newer reports whether p was made after old, and is to take its place.
func (p Profile) Newer(old Profile) bool { return p.Sequence > old.Sequence }

// closedContent is the empty map.
const closedContent = "\xa0"

// Closed returns the message that a person's gateway sends to the person's
// connection rooms when the account is deleted (mmr-profile.md, section 7). The
// signature is that of the MLS message which carries it.
func Closed() Message {
	return Message{Part: Part{Disposition: ProfilePart, Body: &Single{ClosedType, []byte(closedContent)}}}
}
