package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

const (
	// crowdHour is how exactly it is noted when an account was active last, and how
	// often people are counted.
	crowdHour  = time.Hour
	crowdDay   = 24 * time.Hour
	crowdMonth = 30 * crowdDay
)

// A Crowd is how many people of this provider others have to choose among who see a
// pseudonym and when it sends: k of docs/mmr-profile.md, section 9. The domain of a
// pseudonym is visible, so nobody is hidden better than among these.
//
// An account is active when it sends a message, and when somebody's message comes to
// a room that it is in.
type Crowd struct {
	// Day and Month are the accounts that were active in the last 24 hours and in
	// the last 30 days, in whole hours.
	Day, Month int
	// Want is how many there should be a day: [Limits.Crowd].
	Want int
}

// Small reports whether timing tells more than it should.
func (c Crowd) Small() bool { return c.Day < c.Want }

// Crowd counts the people of this provider.
func (c *Client) Crowd(ctx context.Context) (Crowd, error) {
	crowd := Crowd{Want: c.cfg.Limits.Crowd}
	now := c.cfg.Clock.Now()
	for _, window := range []struct {
		n    *int
		long time.Duration
	}{{&crowd.Day, crowdDay}, {&crowd.Month, crowdMonth}} {
		var err error
		if *window.n, err = c.cfg.Store.CountActive(ctx, now.Add(-window.long).Truncate(crowdHour)); err != nil {
			return Crowd{}, fmt.Errorf("client: count people: %w", err)
		}
	}
	return crowd, nil
}

// presence spares the store what it knows already.
type presence struct {
	mu   sync.Mutex
	last map[mimi.URI]time.Time // the hour that is stored
	// warned is when the operator was told last that the crowd is small.
	warned time.Time
}

// due reports whether a time has to be stored.
func (p *presence) due(account mimi.URI, hour time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last[account].Before(hour)
}

// noted says that it is stored.
func (p *presence) noted(account mimi.URI, hour time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[mimi.URI]time.Time{}
	}
	p.last[account] = hour
}

// active notes that accounts are. It is no part of a transaction: who is missed for
// an hour is counted with the next message.
func (c *Client) active(ctx context.Context, accounts ...mimi.URI) {
	hour := c.cfg.Clock.Now().Truncate(crowdHour)
	for _, account := range accounts {
		if !c.presence.due(account, hour) {
			continue
		}
		if err := c.cfg.Store.SetActive(ctx, account, hour); err != nil {
			c.cfg.Log.WarnContext(ctx, "could not note that an account is active", "err", err)
			continue
		}
		c.presence.noted(account, hour)
	}
}

// heard notes that the accounts of a room are active, once the transaction is done.
func (c *Client) heard(r *room, t *told) {
	hour := c.cfg.Clock.Now().Truncate(crowdHour)
	var accounts []mimi.URI
	for account, l := range r.own {
		if l.State == LeafJoined && c.presence.due(account, hour) {
			accounts = append(accounts, account)
		}
	}
	if len(accounts) > 0 {
		t.then(func(ctx context.Context) { c.active(ctx, accounts...) })
	}
}

// countCrowd tells the metrics how many people there are, and the operator once a
// day if they are few. It comes back in an hour.
func (c *Client) countCrowd(ctx context.Context) {
	crowd, err := c.Crowd(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		c.cfg.Log.WarnContext(ctx, "could not count people", "err", err)
	case err == nil:
		c.cfg.Metrics.Active(crowd)
		if crowd.Small() && c.presence.warn(c.cfg.Clock.Now()) {
			c.cfg.Log.WarnContext(ctx, "few people of this provider were active in the last day: whoever sees a pseudonym and when it sends can guess who it is",
				"active", crowd.Day, "want", crowd.Want)
		}
	}
	c.timers.at(mimi.URI{Domain: c.cfg.Domain, Kind: mimi.KindClient, ID: "crowd"}, func() func() bool {
		return c.cfg.Clock.AfterFunc(crowdHour, func() { c.spawn(c.countCrowd) })
	})
}

// warn reports whether it is time for a warning.
func (p *presence) warn(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.warned.IsZero() && now.Sub(p.warned) < crowdDay {
		return false
	}
	p.warned = now
	return true
}
