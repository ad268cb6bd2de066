package schedule

import (
	"errors"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ErrTooManyPSKs reports more pre-shared keys than can be counted.
var ErrTooManyPSKs = errors.New("schedule: more than 65535 pre-shared keys")

// ConfirmedTranscriptHash continues the transcript with an encoded
// ConfirmedTranscriptHashInput, in any number of parts (RFC 9420, section 8.2).
func ConfirmedTranscriptHash(s *suite.Suite, interim []byte, input ...[]byte) []byte {
	return s.Hash(append([][]byte{interim}, input...)...)
}

// InterimTranscriptHash continues the transcript with a confirmation tag (RFC
// 9420, section 8.2). For epoch 0 the tag is that of section 11.
func InterimTranscriptHash(s *suite.Suite, confirmed, tag []byte) ([]byte, error) {
	input, err := wire.Marshal((*interimInput)(&tag))
	if err != nil {
		return nil, err
	}
	return s.Hash(confirmed, input), nil
}

// interimInput is
//
//	struct { MAC confirmation_tag; } InterimTranscriptHashInput;
type interimInput []byte

func (i *interimInput) Wire(c *wire.Codec) { wire.Opaque(c, (*[]byte)(i)) }
