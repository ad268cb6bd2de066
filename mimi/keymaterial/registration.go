package keymaterial

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MaxClients is the most clients that a user may have: a set has at most so many
// KeyPackages.
const MaxClients = 16

// A Registration is what a provider knows of a token under which something was
// uploaded. It names no account.
//
//	struct {
//	    CipherSuite cipher_suite;
//	    opaque upload_key<V>;
//	    uint64 sequence;
//	    uint32 client_slots<V>;
//	} Registration;
type Registration struct {
	// Suite of the key.
	Suite mls.CipherSuite
	// UploadKey is the public key that the first upload came with. No other one
	// may change what is stored under the token.
	UploadKey []byte
	// Sequence is that of the last upload; the next one has a higher one.
	Sequence uint64
	// Slots are the clients of the user, ascending: a set has a row for each.
	Slots []uint32
}

// Wire implements [wire.Message].
func (r *Registration) Wire(c *wire.Codec) {
	wire.Uint16(c, &r.Suite)
	wire.Opaque(c, &r.UploadKey)
	wire.Uint64(c, &r.Sequence)
	wireSlots(c, &r.Slots)
}

// wireSlots codes client slots, and refuses them if they do not ascend or are
// more than [MaxClients].
func wireSlots(c *wire.Codec, slots *[]uint32) {
	wire.Vector(c, slots, wire.Uint32)
	if len(*slots) > MaxClients || !slices.IsSorted(*slots) || len(slices.Compact(slices.Clone(*slots))) != len(*slots) {
		c.Fail(fmt.Errorf("%w: client slots", ErrUpload))
	}
}
