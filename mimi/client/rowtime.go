package client

import (
	"errors"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// lastMilli is the last millisecond of the year 9999: later times have no text form, and
// would overflow somewhere.
const lastMilli = 253402300799999

// wireTime codes a time of a row of a room: uint64, in milliseconds since 1970.
func wireTime(c *wire.Codec, t *time.Time) {
	milli := uint64(max(0, t.UnixMilli())) //nolint:gosec // not negative
	wire.Uint64(c, &milli)
	if milli > lastMilli {
		c.Fail(errors.New("client: a time after the year 9999"))
	}
	if c.Decoding() {
		*t = time.UnixMilli(int64(milli)).UTC() //nolint:gosec // checked
	}
}
