package identitytest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// FuzzDecoder fuzzes the decoder of a message with seeds that it accepts, and
// with a truncated one that it refuses. What decodes encodes to the same octets:
// there is one encoding per value.
func FuzzDecoder[T any, P interface {
	*T
	wire.Message
}](f *testing.F, seeds ...[]byte) {
	f.Helper()
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for i, seed := range seeds {
		if err := checkSeed[T, P](seed); err != nil {
			f.Fatalf("seed %d: %v", i, err)
		}
		f.Add(seed)
	}
	f.Add(seeds[0][:len(seeds[0])-1])
	f.Fuzz(func(t *testing.T, data []byte) {
		m := P(new(T))
		if wire.Unmarshal(data, m) != nil {
			t.Skip("refused")
		}
		again, err := wire.Marshal(m)
		if err != nil {
			t.Fatalf("%x decodes and does not encode: %v", data, err)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%x encodes again as %x", data, again)
		}
	})
}

// checkSeed wants the seed to be accepted, and none of its prefixes, nor the seed
// with something behind.
func checkSeed[T any, P interface {
	*T
	wire.Message
}](seed []byte) error {
	if err := wire.Unmarshal(seed, P(new(T))); err != nil {
		return err
	}
	for n := range seed {
		if wire.Unmarshal(seed[:n], P(new(T))) == nil {
			return errors.New("a prefix is accepted")
		}
	}
	if err := wire.Unmarshal(append(bytes.Clone(seed), 0), P(new(T))); !errors.Is(err, wire.ErrTrailing) {
		return errors.New("a trailing octet is accepted")
	}
	return nil
}
