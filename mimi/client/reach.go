package client

import (
	"context"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A link also stays closed because the identity CA of its provider is not known, and the
// provider does not answer. Where everybody's link has to open, that keeps people from
// writing. So the provider is asked again soon, and ever less often as long as it does not
// answer.

// reachMost is how far two questions for an identity CA that is missing are apart at
// most.
const reachMost = time.Hour

// reachLater asks for the identity CAs that a room waits for once pause has passed.
func (c *Client) reachLater(uri mimi.URI, pause time.Duration) {
	c.reaching.at(uri, func() func() bool {
		return c.cfg.Clock.AfterFunc(pause, func() {
			c.spawn(func(ctx context.Context) { c.reach(ctx, uri, min(2*pause, reachMost)) })
		})
	})
}

// reach asks for the identity CAs that a room waits for, and opens the links. It asks
// again after pause if one is still missing.
func (c *Client) reach(ctx context.Context, uri mimi.URI, pause time.Duration) {
	waiting, err := c.reopenRoom(ctx, uri, false)
	if err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not try identity links again, will try later", "room", uri, "err", err)
	}
	if waiting || err != nil {
		c.reachLater(uri, pause)
	}
}

// reopenRoom tries links of a room again that did not open, after asking for the
// identity CAs that are missing: all links, or those alone that wait for one. It reports
// whether some still do.
func (c *Client) reopenRoom(ctx context.Context, uri mimi.URI, all bool) (waiting bool, err error) {
	var domains []string
	err = c.withRoom(ctx, uri, func(r *room) error {
		var leaves []mls.LeafIndex
		for _, q := range r.unknown() {
			if all || q.marks&markNoCA != 0 {
				leaves = append(leaves, q.leaf)
			}
		}
		domains = r.domains(leaves)
		return nil
	})
	if err != nil || len(domains) == 0 {
		return false, ignore(err, ErrNotMember)
	}
	if all {
		c.prepare(ctx, domains...)
	} else {
		c.prepareAgain(ctx, domains...)
	}
	err = c.withRoom(ctx, uri, func(r *room) error {
		err := c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
			opened, err := c.reopen(ctx, r, all, t)
			if err != nil {
				return err
			}
			t.then(func(ctx context.Context) { c.planEvictions(ctx, uri); c.outbox.wake(uri) })
			return c.tellOpened(ctx, r, opened, t)
		})
		waiting = r.waiting()
		return err
	})
	return waiting, ignore(err, ErrNotMember)
}

// waiting reports whether links of the room wait for an identity CA.
func (r *room) waiting() bool {
	for _, q := range r.unknown() {
		if q.marks&markNoCA != 0 {
			return true
		}
	}
	return false
}
