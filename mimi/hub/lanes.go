package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// lanes deliver what is in the queue: a goroutine for each lane that is not
// empty, so that a provider that does not answer holds up nobody else.
type lanes struct {
	hub *Hub
	wg  sync.WaitGroup

	mu   sync.Mutex // guards what follows
	live map[Lane]*lane
	// ctx ends with stop; end is nil unless the lanes are started.
	ctx context.Context //nolint:containedctx // the life of the goroutines, not of a call
	end context.CancelFunc
}

// A lane is one that a goroutine works on. again says that something was added
// since it last looked; it is guarded by the lock of lanes. nudge ends a pause after a
// failure early.
type lane struct {
	again bool
	nudge chan struct{}
}

func newLanes(h *Hub) *lanes { return &lanes{hub: h, live: map[Lane]*lane{}} }

// start works on all lanes that are not empty, and from then on on those that are
// woken. Both, in this order, so that none is missed in between.
func (l *lanes) start(ctx context.Context) error {
	l.mu.Lock()
	if l.end != nil {
		l.mu.Unlock()
		return errors.New("hub: it is started already")
	}
	l.ctx, l.end = context.WithCancel(context.WithoutCancel(ctx))
	l.wg.Go(func() { l.housekeeping(l.ctx) })
	l.mu.Unlock()
	left, err := l.hub.cfg.Queue.Lanes(ctx)
	if err != nil {
		l.stop()
		return fmt.Errorf("hub: read the queue: %w", err)
	}
	for _, id := range left {
		l.wake(id)
	}
	return nil
}

func (l *lanes) stop() {
	l.mu.Lock()
	if l.end != nil {
		l.end()
		l.end = nil
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// housekeeping forgets old answers from time to time.
func (l *lanes) housekeeping(ctx context.Context) {
	for sleep(ctx, l.hub.cfg.Clock, forgetPeriod) {
		if err := l.hub.forget(ctx); err != nil && ctx.Err() == nil {
			l.hub.cfg.Log.WarnContext(ctx, "could not forget old answers, will try again", "err", err)
		}
	}
}

// wake makes sure that somebody looks at a lane. Unless started it does nothing:
// start looks at all.
func (l *lanes) wake(id Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end == nil {
		return
	}
	if at, ok := l.live[id]; ok {
		at.again = true
		return
	}
	at := &lane{nudge: make(chan struct{}, 1)}
	l.live[id] = at
	ctx := l.ctx
	l.wg.Go(func() { l.run(ctx, id, at.nudge) })
}

// back notes that a provider has just asked something about a room: it can be
// reached again, if it could not, and must not wait for what it has missed until a
// long pause is over. What it asks for now may be refused for want of that.
func (l *lanes) back(id Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.live[id]; ok {
		select {
		case at.nudge <- struct{}{}:
		default:
		}
	}
}

// run delivers until the lane is empty.
func (l *lanes) run(ctx context.Context, id Lane, nudge <-chan struct{}) {
	first := l.hub.cfg.Limits.Backoff
	pause := first
	for {
		n, wait, err := l.hub.deliverHead(ctx, id)
		if n > 0 {
			pause = first
		}
		switch {
		case ctx.Err() != nil:
			l.drop(id)
			return
		case err != nil:
			early := nudge
			if wait == 0 {
				wait, pause = pause, min(2*pause, l.hub.cfg.Limits.MaxBackoff)
			} else {
				early = nil // the provider has said when
			}
			l.hub.cfg.Log.WarnContext(ctx, "delivery failed, will try again", "room", id.Room, "peer", id.Domain, "pause", wait, "err", err)
			if !sleepUntil(ctx, l.hub.cfg.Clock, wait, early) {
				l.drop(id)
				return
			}
		case n == 0 && l.leave(id):
			return
		}
	}
}

// drop ends the work on a lane because of stop.
func (l *lanes) drop(id Lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, id)
}

// leave ends the work on a lane, unless something was added meanwhile.
func (l *lanes) leave(id Lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := l.live[id]; at.again {
		at.again = false
		return false
	}
	delete(l.live, id)
	return true
}

// sleep waits on a clock. It returns false if ctx ended first.
func sleep(ctx context.Context, clock mimi.Clock, d time.Duration) bool {
	return sleepUntil(ctx, clock, d, nil)
}

// sleepUntil is sleep that a nudge ends.
func sleepUntil(ctx context.Context, clock mimi.Clock, d time.Duration, nudge <-chan struct{}) bool {
	done := make(chan struct{})
	stop := clock.AfterFunc(d, func() { close(done) })
	select {
	case <-done:
		return true
	case <-nudge:
		stop()
		return true
	case <-ctx.Done():
		stop()
		return false
	}
}

// batch is how many deliveries are read from the queue at a time.
const batch = 16

// deliverHead makes the first deliveries of a lane and returns how many. If one
// fails, wait is how long the provider asks to be left alone, or zero.
func (h *Hub) deliverHead(ctx context.Context, id Lane) (n int, wait time.Duration, err error) {
	head, err := h.cfg.Queue.Head(ctx, id, batch)
	if err != nil {
		return 0, 0, err
	}
	for _, d := range head {
		if err := h.deliver(ctx, id, d); err != nil {
			if later, ok := errors.AsType[*protocol.RetryLaterError](err); ok {
				wait = later.After
			}
			return n, wait, err
		}
		n++
	}
	return n, 0, nil
}

func (h *Hub) deliver(ctx context.Context, id Lane, d Delivery) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer h.cfg.Clock.AfterFunc(h.cfg.Limits.Delivery, cancel)()
	if err := h.cfg.Notifier.Notify(ctx, id.Domain, id.Room, d.Body); err != nil {
		return err
	}
	return h.cfg.Queue.Done(ctx, id, d.Seq)
}
