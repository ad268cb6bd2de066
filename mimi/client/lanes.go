package client

import (
	"context"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// lanes work off queues that are in the store: one goroutine for each lane that
// has something in it, so that lanes do not wait for each other.
type lanes struct {
	client *Client
	// work does what is at the head of a lane. It returns false if the lane is
	// empty. After an error it is called again, later.
	work func(ctx context.Context, lane mimi.URI) (more bool, err error)

	mu   sync.Mutex
	live map[mimi.URI]*laneState
}

// laneState is guarded by the lock of lanes. again says that something was added
// since the goroutine last looked.
type laneState struct {
	again bool
	// nudge ends a pause early.
	nudge chan struct{}
}

func newLanes(c *Client, work func(context.Context, mimi.URI) (bool, error)) *lanes {
	return &lanes{client: c, work: work, live: map[mimi.URI]*laneState{}}
}

// wake makes sure that somebody looks at a lane.
func (l *lanes) wake(lane mimi.URI) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.live[lane]; ok {
		s.again = true
		select {
		case s.nudge <- struct{}{}:
		default:
		}
		return
	}
	s := &laneState{nudge: make(chan struct{}, 1)}
	l.live[lane] = s
	l.client.spawn(func(ctx context.Context) { l.run(ctx, lane, s) })
}

func (l *lanes) run(ctx context.Context, lane mimi.URI, s *laneState) {
	pause := l.client.cfg.Limits.Backoff
	for ctx.Err() == nil {
		more, err := l.work(ctx, lane)
		switch {
		case err != nil && ctx.Err() != nil:
		case err != nil:
			l.client.cfg.Log.WarnContext(ctx, "work failed, will try again", "lane", lane, "pause", pause, "err", err)
			l.client.pause(ctx, pause, s.nudge)
			pause = min(2*pause, l.client.cfg.Limits.MaxBackoff)
		case more:
			pause = l.client.cfg.Limits.Backoff
		case l.leave(lane, s):
			return
		}
	}
}

// leave ends the work on a lane, unless something was added meanwhile.
func (l *lanes) leave(lane mimi.URI, s *laneState) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.again {
		s.again = false
		return false
	}
	delete(l.live, lane)
	return true
}

// pause waits on the client's clock, until ctx ends or somebody nudges.
func (c *Client) pause(ctx context.Context, d time.Duration, nudge <-chan struct{}) {
	done := make(chan struct{})
	stop := c.cfg.Clock.AfterFunc(d, func() { close(done) })
	defer stop()
	select {
	case <-done:
	case <-nudge:
	case <-ctx.Done():
	}
}

// timers are what rooms want to do later: at most one thing each.
type timers struct {
	mu      sync.Mutex
	stopped bool
	stops   map[mimi.URI]func() bool
}

// later runs f for a room once d has passed. It replaces what the room had
// planned.
func (c *Client) later(room mimi.URI, d time.Duration, f func(ctx context.Context, room mimi.URI)) {
	run := func() { c.spawn(func(ctx context.Context) { f(ctx, room) }) }
	if d <= 0 {
		run()
		return
	}
	c.timers.at(room, func() func() bool { return c.cfg.Clock.AfterFunc(d, run) })
}

// at starts a timer in place of the one that key has.
func (t *timers) at(key mimi.URI, start func() (stop func() bool)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return
	}
	if stop, ok := t.stops[key]; ok {
		stop()
	}
	if t.stops == nil {
		t.stops = map[mimi.URI]func() bool{}
	}
	t.stops[key] = start()
}

func (t *timers) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	for _, stop := range t.stops {
		stop()
	}
}
