package bridge

import (
	"context"
	"errors"
	"sync"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
)

// pending watches messages that wait for a hub. The engine keeps and sends them,
// also after a restart; what is watched here is only what their senders are told.
type pending struct {
	main *Connector
	work sync.WaitGroup

	mu    sync.Mutex
	ended bool
	rooms map[mimi.URI]int // messages that wait, by room
}

// watch says that a message waits, and what became of it as soon as that is
// known.
func (p *pending) watch(c *Client, room mimi.URI, evt *event.Event, m content.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	first := p.rooms[room] == 0
	p.rooms[room]++
	ctx := p.main.bridge.BackgroundCtx
	status := bridgev2.WrapErrorInStatus(client.ErrQueued).WithStatus(event.MessageStatusPending).
		WithMessage(explain(client.ErrQueued).String()).WithIsCertain(true)
	p.main.bridge.Matrix.SendMessageStatus(ctx, &status, bridgev2.StatusEventInfoFromEvent(evt))
	p.work.Go(func() {
		if first {
			// Once for a room that is out of reach, not for each message.
			if err := p.main.say(ctx, evt.RoomID, NewCause(room.String(), "queued "+string(evt.ID)), explain(client.ErrQueued).String()); err != nil {
				p.main.log.WarnContext(ctx, "could not tell that a message waits", "err", err)
			}
		}
		p.follow(ctx, c, room, evt, m)
	})
}

// follow asks the engine until it knows what became of a message. Asking sends
// nothing twice: the message is known by its event.
func (p *pending) follow(ctx context.Context, c *Client, room mimi.URI, evt *event.Event, m content.Message) {
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.rooms[room]--; p.rooms[room] == 0 {
			delete(p.rooms, room)
		}
	}()
	for ctx.Err() == nil {
		_, err := p.main.backend.Engine.Send(ctx, c.account, room, string(evt.ID), m)
		switch {
		case errors.Is(err, client.ErrQueued):
			continue
		case err == nil:
			done := bridgev2.MessageStatus{Status: event.MessageStatusSuccess}
			p.main.bridge.Matrix.SendMessageStatus(ctx, &done, bridgev2.StatusEventInfoFromEvent(evt))
		case ctx.Err() == nil && !errors.Is(err, client.ErrStopped):
			status := bridgev2.WrapErrorInStatus(explain(err).status())
			p.main.bridge.Matrix.SendMessageStatus(ctx, &status, bridgev2.StatusEventInfoFromEvent(evt))
		}
		return
	}
}

// stop waits for those who still watch. bridgev2's context has ended by then.
func (p *pending) stop() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.work.Wait()
}
