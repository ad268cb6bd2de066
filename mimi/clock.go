package mimi

import (
	"sync"
	"time"
)

// A Clock tells the time and starts timers. Everything in the gateway that
// depends on time takes one, so that tests and the lab move it by hand.
type Clock interface {
	// Now returns the time in UTC.
	Now() time.Time
	// AfterFunc calls f in its own goroutine once d has passed. The function
	// that it returns prevents the call, and reports whether it did.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// LastSecond is the last one of the year 9999, in seconds since 1970. Later times have no
// text form and would overflow somewhere; they are refused where they are read
// (docs/mmr-profile.md, "Notation").
const LastSecond = 253402300799

// SystemClock is the [Clock] of the machine.
type SystemClock struct{}

// Now implements [Clock].
func (SystemClock) Now() time.Time { return time.Now().UTC() }

// AfterFunc implements [Clock].
func (SystemClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// A ManualClock stands still until [ManualClock.Advance] moves it.
type ManualClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*manualTimer]struct{}
}

type manualTimer struct {
	due time.Time
	f   func()
}

// NewManualClock returns a clock that stands at start.
func NewManualClock(start time.Time) *ManualClock {
	return &ManualClock{now: start.UTC(), timers: map[*manualTimer]struct{}{}}
}

// Now implements [Clock].
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements [Clock].
func (c *ManualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d <= 0 {
		go f()
		return func() bool { return false }
	}
	t := &manualTimer{c.now.Add(d), f}
	c.timers[t] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, pending := c.timers[t]
		delete(c.timers, t)
		return pending
	}
}

// Advance moves the clock by d and starts what has come due.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	for t := range c.timers {
		if !t.due.After(c.now) {
			delete(c.timers, t)
			go t.f()
		}
	}
}
