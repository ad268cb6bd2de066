package identity

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The multiples to which plaintexts are padded (docs/mmr-profile.md), so that
// sizes do not tell users apart.
const (
	// PadLink is for IdentityLinkTBE and RoomMetaData. A padded TBE is exactly
	// this long.
	PadLink = 1024
	// PadQueue is for QueueId.
	PadQueue = 64
)

// ErrPadding reports a padded plaintext whose padding is not all zeros, or that
// is longer or shorter than the profile's multiple asks for.
var ErrPadding = errors.New("identity: malformed padding")

type padded []byte

func (p *padded) Wire(c *wire.Codec) { wire.Opaque(c, (*[]byte)(p)) }

// Pad is padN of the profile: x as opaque<V>, and zeros up to the next multiple
// of n octets.
func Pad(x []byte, n int) ([]byte, error) {
	b, err := wire.Marshal((*padded)(&x))
	if err != nil {
		return nil, fmt.Errorf("pad %d octets: %w", len(x), err)
	}
	out := make([]byte, (len(b)+n-1)/n*n)
	copy(out, b)
	return out, nil
}

// Unpad is the inverse of [Pad]. It fails with [ErrPadding] for everything that
// Pad does not make.
func Unpad(b []byte, n int) ([]byte, error) {
	var x padded
	rest, err := wire.UnmarshalPrefix(b, &x)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPadding, err)
	}
	if len(b)%n != 0 || len(rest) >= n {
		return nil, fmt.Errorf("%w: %d octets where a multiple of %d is due", ErrPadding, len(b), n)
	}
	for _, z := range rest {
		if z != 0 {
			return nil, fmt.Errorf("%w: not all zeros", ErrPadding)
		}
	}
	return x, nil
}
