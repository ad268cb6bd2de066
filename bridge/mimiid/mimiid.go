// Package mimiid makes and parses the identifiers that bridgev2 stores for
// MIMI, and holds the metadata it keeps beside them. Logic elsewhere never
// converts between strings and these types itself.
package mimiid

import (
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"

	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// ghostBytes is the entropy of a ghost's id.
const ghostBytes = 16

// MessageIDBytes is the length of a MIMI message id
// (draft-ietf-mimi-content-08, section 3.3).
const MessageIDBytes = 32

var ghostEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewGhostID mints the id of a ghost, which becomes part of a Matrix user id.
// It is random: neither a person's identity, which may be unknown at first and
// must not show, nor a pseudonym, which differs from room to room.
func NewGhostID(random io.Reader) (networkid.UserID, error) {
	var b [ghostBytes]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("mimiid: %w", err)
	}
	return networkid.UserID(ghostEncoding.EncodeToString(b[:])), nil
}

// IsGhostID reports whether id has the form that [NewGhostID] gives it.
func IsGhostID(id networkid.UserID) bool {
	b, err := ghostEncoding.DecodeString(string(id))
	return err == nil && len(b) == ghostBytes && ghostEncoding.EncodeToString(b) == string(id)
}

// MakeUserLoginID returns the id of a person's login. Each person has one, and
// it is named after their Matrix id.
func MakeUserLoginID(user id.UserID) networkid.UserLoginID {
	return networkid.UserLoginID(user)
}

// ParseUserLoginID is the inverse of [MakeUserLoginID].
func ParseUserLoginID(login networkid.UserLoginID) (id.UserID, error) {
	user := id.UserID(login)
	if _, _, err := user.Parse(); err != nil {
		return "", fmt.Errorf("mimiid: login id: %w", err)
	}
	return user, nil
}

// MakePortalKey returns the key of the portal of a room. Groups have one
// portal for all local members. A connection is between two people, so its
// portal belongs to the receiver's login alone; receiver is empty for groups.
func MakePortalKey(room mimi.URI, receiver networkid.UserLoginID) networkid.PortalKey {
	return networkid.PortalKey{ID: networkid.PortalID(room.String()), Receiver: receiver}
}

// ParsePortalID returns the room of a portal.
func ParsePortalID(portal networkid.PortalID) (mimi.URI, error) {
	room, err := mimi.ParseURIKind(string(portal), mimi.KindRoom)
	if err != nil {
		return mimi.URI{}, fmt.Errorf("mimiid: portal id: %w", err)
	}
	return room, nil
}

// MakeMessageID returns the id of a message as bridgev2 stores it.
func MakeMessageID(message [MessageIDBytes]byte) networkid.MessageID {
	return networkid.MessageID(hex.EncodeToString(message[:]))
}

// ParseMessageID is the inverse of [MakeMessageID].
func ParseMessageID(message networkid.MessageID) (out [MessageIDBytes]byte, err error) {
	b, err := hex.DecodeString(string(message))
	if err != nil || len(b) != MessageIDBytes {
		return out, fmt.Errorf("mimiid: message id is not %d bytes in hexadecimal", MessageIDBytes)
	}
	return [MessageIDBytes]byte(b), nil
}
