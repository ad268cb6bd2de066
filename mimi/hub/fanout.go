package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// targets sorts leaves by the providers of their queues.
func targets(view mls.View, room *mmr.Room, leaves []mls.LeafIndex) (map[string][]protocol.FanoutTarget, error) {
	out := map[string][]protocol.FanoutTarget{}
	for _, i := range leaves {
		m, ok := view.Member(i)
		tbs, known := room.Leaf(i)
		if !ok || !known {
			return nil, fmt.Errorf("hub: internal error: leaf %d is not in the room", i)
		}
		queue, err := identity.QueueFrom(m.Leaf.Extensions, tbs)
		if err != nil {
			return nil, err
		}
		out[queue.Domain] = append(out[queue.Domain], protocol.FanoutTarget{Queue: *queue, TBS: *tbs})
	}
	return out, nil
}

// deliveries sends one message to all who are in the room.
func (r *hosted) deliveries(from string, message *protocol.FanoutMessage) ([]Delivery, error) {
	all, err := targets(r.group.View(), r.room(), r.room().Leaves())
	if err != nil {
		return nil, err
	}
	messages := map[string][]*protocol.MinimalMetadataFanout{}
	for domain, t := range all {
		messages[domain] = []*protocol.MinimalMetadataFanout{{Message: *message, Targets: t}}
	}
	return bodies(from, messages)
}

// commitDeliveries sends a Commit to those who were there before, the removed
// ones included, and in the same request the Welcome to those who are new: a
// provider that has both kinds processes them as one.
func commitDeliveries(from string, before, after *mmr.Room, view *mls.CommitView, req *protocol.UpdateRequest, at time.Time) ([]Delivery, error) {
	var added []mls.LeafIndex
	if !view.External {
		for _, m := range view.Added {
			added = append(added, m.Index)
		}
	}
	commits, err := targets(view.Before, before, before.Leaves())
	if err != nil {
		return nil, err
	}
	welcomes, err := targets(view.After, after, added)
	if err != nil {
		return nil, err
	}
	messages := map[string][]*protocol.MinimalMetadataFanout{}
	for domain, t := range commits {
		messages[domain] = append(messages[domain], &protocol.MinimalMetadataFanout{
			Message: protocol.FanoutMessage{Accepted: at, Message: req.ProposalOrCommit}, Targets: t,
		})
	}
	for domain, t := range welcomes {
		messages[domain] = append(messages[domain], &protocol.MinimalMetadataFanout{
			Message: protocol.FanoutMessage{
				Accepted: at, Message: mls.MLSMessage{Welcome: req.Welcome}, RatchetTree: protocol.FullTree(*view.After.RatchetTree()),
			},
			Targets: t,
		})
	}
	return bodies(from, messages)
}

// bodies encodes what goes to each provider but the sender's: that one has it
// already, and is responsible for all its own clients, which share one group
// state.
func bodies(from string, messages map[string][]*protocol.MinimalMetadataFanout) ([]Delivery, error) {
	var out []Delivery
	for _, domain := range slices.Sorted(maps.Keys(messages)) {
		if domain == from {
			continue
		}
		body, err := protocol.MarshalFanout(messages[domain]...)
		if err != nil {
			return nil, err
		}
		out = append(out, Delivery{Domain: domain, Body: body})
	}
	return out, nil
}

// lanes deliver what is in the queue: a goroutine for each lane that is not
// empty, so that a provider that does not answer holds up nobody else.
type lanes struct {
	hub  *Hub
	mu   sync.Mutex
	live map[Lane]*lane
	ctx  context.Context //nolint:containedctx // ends with stop: the life of the goroutines, not of a call
	end  context.CancelFunc
	wg   sync.WaitGroup
}

// A lane is one that a goroutine works on. again says that something was added
// since it last looked; it is guarded by the lock of lanes.
type lane struct{ again bool }

func newLanes(h *Hub) *lanes { return &lanes{hub: h, live: map[Lane]*lane{}} }

func (l *lanes) start(ctx context.Context) error {
	left, err := l.hub.cfg.Queue.Lanes(ctx)
	if err != nil {
		return fmt.Errorf("hub: read the queue: %w", err)
	}
	l.mu.Lock()
	l.ctx, l.end = context.WithCancel(context.WithoutCancel(ctx))
	l.mu.Unlock()
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

// wake makes sure that somebody looks at a lane. Before start it does nothing:
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
	l.live[id] = &lane{}
	l.wg.Go(func() { l.run(l.ctx, id) })
}

// run delivers until the lane is empty.
func (l *lanes) run(ctx context.Context, id Lane) {
	pause := l.hub.cfg.Limits.Backoff
	for {
		n, wait, err := l.hub.deliverHead(ctx, id)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if wait == 0 {
				wait, pause = pause, min(2*pause, l.hub.cfg.Limits.MaxBackoff)
			}
			l.hub.cfg.Log.WarnContext(ctx, "delivery failed, will try again", "room", id.Room, "peer", id.Domain, "pause", wait, "err", err)
			if !sleep(ctx, l.hub.cfg.Clock.AfterFunc, wait) {
				return
			}
		case n == 0 && l.leave(id):
			return
		default:
			pause = l.hub.cfg.Limits.Backoff
		}
	}
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
func sleep(ctx context.Context, after func(time.Duration, func()) func() bool, d time.Duration) bool {
	done := make(chan struct{})
	stop := after(d, func() { close(done) })
	select {
	case <-done:
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
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Limits.Delivery)
	defer cancel()
	if err := h.cfg.Notifier.Notify(ctx, id.Domain, id.Room, d.Body); err != nil {
		return err
	}
	return h.cfg.Queue.Done(ctx, id, d.Seq)
}
