package client

import (
	"errors"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// wireTime codes a time of a row of a room: uint64, in milliseconds since 1970.
func wireTime(c *wire.Codec, t *time.Time) {
	milli := uint64(max(0, t.UnixMilli())) //nolint:gosec // not negative
	wire.Uint64(c, &milli)
	if milli/1000 > mimi.LastSecond {
		c.Fail(errors.New("client: a time after the year 9999"))
	}
	if c.Decoding() {
		*t = time.UnixMilli(int64(milli)).UTC() //nolint:gosec // checked
	}
}
