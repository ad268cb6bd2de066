package identity

import (
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Errors of encrypted room metadata.
var (
	// ErrMetadata reports room metadata of the wrong form, or that does not open.
	ErrMetadata = errors.New("identity: encrypted room metadata")
	// ErrMetadataTooLong reports room metadata for which there is no room.
	ErrMetadataTooLong = errors.New("identity: name, topic and picture of the room are too long")
)

// maxMetadata bounds the ciphertext: 64 blocks of padding.
const maxMetadata = 64*PadLink + linkTag

// An EncryptedRoomMetadata hides name, topic and picture of a room from its hub
// (docs/mmr-profile.md, section 3).
//
//	struct {
//	    uint64 wrapper_epoch;
//	    opaque nonce<V>;
//	    opaque ciphertext<V>;
//	}
type EncryptedRoomMetadata struct {
	Generation Generation
	Nonce      []byte
	Ciphertext []byte
}

// Wire codes the structure and refuses other sizes with [ErrMetadata].
func (m *EncryptedRoomMetadata) Wire(c *wire.Codec) {
	wire.Uint64(c, &m.Generation)
	wire.Opaque(c, &m.Nonce)
	wire.Opaque(c, &m.Ciphertext)
	n := len(m.Ciphertext)
	if len(m.Nonce) != linkNonce || n < PadLink+linkTag || n > maxMetadata || (n-linkTag)%PadLink != 0 {
		c.Fail(fmt.Errorf("%w: sizes %d, %d", ErrMetadata, len(m.Nonce), n))
	}
}

func (k WrapperKey) metadataKey(s *suite.Suite, groupID []byte) (key suite.Secret, aad []byte, err error) {
	aad, err = scope{groupID, k.Generation}.encode()
	return s.ExpandWithLabel(k.Key, "RoomMetadata", nil, s.Nk()), aad, err
}

// SealMetadata encrypts an encoded RoomMetaData (draft-ietf-mimi-protocol-06,
// section "Room Metadata"). It fails with [ErrMetadataTooLong].
func (k WrapperKey) SealMetadata(s *suite.Suite, groupID, roomMetaData []byte, random io.Reader) (*EncryptedRoomMetadata, error) {
	plaintext, err := Pad(roomMetaData, PadLink)
	if err != nil {
		return nil, err
	}
	if len(plaintext)+linkTag > maxMetadata {
		return nil, fmt.Errorf("%w: %d octets", ErrMetadataTooLong, len(roomMetaData))
	}
	key, aad, err := k.metadataKey(s, groupID)
	if err != nil {
		return nil, err
	}
	defer key.Erase()
	nonce, err := randomBytes(random, s.Nn())
	if err != nil {
		return nil, err
	}
	ciphertext, err := s.Seal(key, nonce, aad, plaintext)
	if err != nil {
		return nil, fmt.Errorf("seal room metadata: %w", err)
	}
	return &EncryptedRoomMetadata{k.Generation, nonce, ciphertext}, nil
}

// OpenMetadata returns the encoded RoomMetaData. It fails with [ErrGeneration],
// [ErrMetadata] or [ErrPadding].
func (r KeyRing) OpenMetadata(s *suite.Suite, groupID []byte, m *EncryptedRoomMetadata) ([]byte, error) {
	k, ok := r.Key(m.Generation)
	if !ok {
		return nil, fmt.Errorf("%w: %d is unknown", ErrGeneration, m.Generation)
	}
	key, aad, err := k.metadataKey(s, groupID)
	if err != nil {
		return nil, err
	}
	defer key.Erase()
	plaintext, err := s.Open(key, m.Nonce, aad, m.Ciphertext)
	if err != nil {
		return nil, fmt.Errorf("%w: it does not open under generation %d", ErrMetadata, m.Generation)
	}
	return Unpad(plaintext, PadLink)
}

// MetadataFrom returns the encrypted metadata in a GroupContext with these
// extensions, or nil if there is none.
func MetadataFrom(groupContext mls.Extensions) (*EncryptedRoomMetadata, error) {
	data, ok, err := groupContext.Component(ComponentRoomMetadata)
	if !ok || err != nil {
		return nil, err
	}
	var m EncryptedRoomMetadata
	if err := wire.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("component encrypted_room_metadata: %w", err)
	}
	return &m, nil
}
