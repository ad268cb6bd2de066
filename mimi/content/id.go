package content

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// MessageIDSize is the length of a [MessageID] in octets.
const MessageIDSize = 32

// hashSHA256 is SHA-256 in the IANA "Named Information Hash Algorithm" registry.
const hashSHA256 = 0x01

// A MessageID names a message (draft-ietf-mimi-content-08, section "Message
// ID"). The zero value names none; it is no valid id, for 0 is a reserved hash
// algorithm.
type MessageID [MessageIDSize]byte

// ParseMessageID is the inverse of [MessageID.String].
func ParseMessageID(s string) (MessageID, error) {
	var id MessageID
	if len(s) != hex.EncodedLen(len(id)) {
		return MessageID{}, fmt.Errorf("%w: message id of %d characters", ErrMalformed, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return MessageID{}, fmt.Errorf("%w: message id is not hexadecimal", ErrMalformed)
	}
	if err := id.check(); err != nil {
		return MessageID{}, err
	}
	if id.String() != s {
		return MessageID{}, fmt.Errorf("%w: message id in upper case", ErrMalformed)
	}
	return id, nil
}

// IsZero reports whether id names no message.
func (id MessageID) IsZero() bool { return id == MessageID{} }

// String returns the id in lower-case hexadecimal.
func (id MessageID) String() string { return hex.EncodeToString(id[:]) }

// check refuses the nonsense that section "General handling" lists: a first
// octet that is no known hash algorithm.
func (id MessageID) check() error {
	if id[0] != hashSHA256 {
		return fmt.Errorf("%w: message id with unknown hash algorithm %d", ErrMalformed, id[0])
	}
	return nil
}

// Origin is where a message comes from: known to a sender, and told to a
// receiver by MLS, never by the message.
type Origin struct {
	// Sender is the user that sent the message; a pseudonym in rooms where the
	// hub must not know more.
	Sender mimi.URI
	// Room that the message was sent to.
	Room mimi.URI
}

func (o Origin) check() error {
	if o.Sender.Kind != mimi.KindUser || o.Room.Kind != mimi.KindRoom {
		return fmt.Errorf("%w: origin needs a user and a room, not kinds %q and %q", ErrMalformed, o.Sender.Kind, o.Room.Kind)
	}
	return nil
}

// MessageID returns the id of an encoded message with the given salt. From
// section "Message ID":
//
//	hash_output = hash( senderUriLength || senderUri ||
//	                    roomUriLength   || roomUri   ||
//	                    message         || salt )
//	messageId = hashAlg || hash_output[0..30]
//
// The lengths are 16-bit integers in network order; the hash is SHA-256 whatever
// the room's cipher suite.
func (o Origin) MessageID(data []byte, salt [SaltSize]byte) MessageID {
	h := sha256.New()
	for _, uri := range []mimi.URI{o.Sender, o.Room} {
		text := uri.String() // bounded far below 65536 octets by package mimi
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(text))))
		h.Write([]byte(text))
	}
	h.Write(data)
	h.Write(salt[:])
	var id MessageID
	id[0] = hashSHA256
	copy(id[1:], h.Sum(nil))
	return id
}
