package content

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// MaxLink is the longest text of a join link in a part of [LinkType], and MaxBundle its
// largest bundle, in octets.
const (
	MaxLink   = 1024
	MaxBundle = 64 << 10
)

// wireLost is the content of a [LostType] part.
type wireLost struct {
	Room string `cbor:"1,keyasint"`
}

// wireLink is the content of a [LinkType] part.
type wireLink struct {
	Link   string `cbor:"1,keyasint"`
	Bundle []byte `cbor:"2,keyasint"`
}

// LostMessage returns the message by which a person's gateway asks one of the person's
// contacts for the keys of a room that it has lost (mmr-profile.md, section 8). The
// content is a map {1: room URI}.
func LostMessage(room mimi.URI) (Message, error) {
	return private(LostType, wireLost{room.String()})
}

// DecodeLost returns the room that a message of [KindLost] asks about. It fails with
// [ErrMalformed].
func DecodeLost(m Message) (mimi.URI, error) {
	var w wireLost
	if err := readPrivate(m, KindLost, &w); err != nil {
		return mimi.URI{}, err
	}
	room, err := mimi.ParseURIKind(w.Room, mimi.KindRoom)
	if err != nil || room.String() != w.Room {
		return mimi.URI{}, fmt.Errorf("%w: it names no room", ErrMalformed)
	}
	return room, nil
}

// LinkMessage returns the message that answers one of [LostMessage] with the text of a
// join link, which is a secret, and its bundle. The content is a map {1: link, 2: bundle}.
func LinkMessage(link string, bundle []byte) (Message, error) {
	if err := checkLink(link, bundle); err != nil {
		return Message{}, err
	}
	return private(LinkType, wireLink{link, bundle})
}

// DecodeLink returns what is in a message of [KindLink]; whether it is a join link and a
// bundle is not checked. It fails with [ErrMalformed].
func DecodeLink(m Message) (link string, bundle []byte, err error) {
	var w wireLink
	if err := readPrivate(m, KindLink, &w); err != nil {
		return "", nil, err
	}
	return w.Link, w.Bundle, checkLink(w.Link, w.Bundle)
}

func checkLink(link string, bundle []byte) error {
	if len(bundle) == 0 || len(bundle) > MaxBundle {
		return fmt.Errorf("%w: a bundle of %d octets", ErrMalformed, len(bundle))
	}
	if link == "" || len(link) > MaxLink || strings.ContainsFunc(link, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%w: a join link of %d octets", ErrMalformed, len(link))
	}
	return nil
}

// private makes a message of a private media type.
func private(mediaType string, content any) (Message, error) {
	data, err := marshal(content)
	if err != nil {
		return Message{}, err
	}
	return Message{Part: Part{Disposition: ProfilePart, Body: &Single{mediaType, data}}}, nil
}

// readPrivate reads the content of a message of a private media type, which has one
// encoding.
func readPrivate[T any](m Message, kind Kind, content *T) error {
	single, ok := m.Part.Body.(*Single)
	if !ok || profileKind(m.Part) != kind {
		return fmt.Errorf("%w: it is no message of kind %s", ErrMalformed, kind)
	}
	if err := unmarshal(single.Content, content); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	again, err := marshal(*content)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, single.Content) {
		return fmt.Errorf("%w: %s has unknown fields, or is not in deterministic encoding", ErrMalformed, kind)
	}
	return nil
}
