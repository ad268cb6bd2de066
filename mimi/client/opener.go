package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// The links of a large room are not opened when an account joins it, but as they are
// needed, and else in the background (docs/mmr-profile.md, section 11, "Links are
// opened later"). A leaf is closed as long as there is no member for it in the store:
// so a restart goes on where a batch has ended, and no link is opened twice.

// errClosed reports links that have to be opened before something can be done.
var errClosed = errors.New("client: links of the room are not open yet")

// closed counts the leaves whose links nobody here has tried to open.
func (r *room) closed() int { return r.public().Size() - len(r.members) }

// closedLeaves returns the first leaves that are closed, at most that many.
func (r *room) closedLeaves(most int) []mls.LeafIndex {
	if r.closed() == 0 {
		return nil
	}
	var out []mls.LeafIndex
	for _, i := range r.public().Leaves() {
		if r.members[i] == nil && len(out) < most {
			out = append(out, i)
		}
	}
	return out
}

// openAll opens what is closed in a room, batch by batch. In between others may use
// the room.
func (c *Client) openAll(ctx context.Context, uri mimi.URI) error {
	for {
		if more, err := c.openSome(ctx, uri); err != nil || !more {
			return err
		}
	}
}

// openSome opens a batch of what is closed in a room, in one transaction, and reports
// whether there is more.
func (c *Client) openSome(ctx context.Context, uri mimi.URI) (more bool, err error) {
	var domains []string
	if err := c.withRoom(ctx, uri, func(r *room) error {
		domains = r.domains(r.closedLeaves(c.cfg.Limits.LinkBatch))
		return nil
	}); err != nil || len(domains) == 0 {
		return false, ignore(err, ErrNotMember)
	}
	c.prepareAgain(ctx, domains...)
	err = c.withRoom(ctx, uri, func(r *room) error {
		if err := c.inRoom(ctx, r, func(ctx context.Context, t *told) error {
			return c.openBatch(ctx, r, r.closedLeaves(c.cfg.Limits.LinkBatch), t)
		}); err != nil {
			return err
		}
		if more = r.closed() > 0; !more {
			c.outbox.wake(uri)
		}
		return nil
	})
	return more, ignore(err, ErrNotMember)
}

// domains returns the providers of leaves.
func (r *room) domains(leaves []mls.LeafIndex) []string {
	var out []string
	for _, i := range leaves {
		if tbs, ok := r.public().Leaf(i); ok && !slices.Contains(out, tbs.Domain()) {
			out = append(out, tbs.Domain())
		}
	}
	return out
}

// openBatch opens leaves that were in the room when it was joined, and tells who they
// are: once for all of them.
func (c *Client) openBatch(ctx context.Context, r *room, leaves []mls.LeafIndex, t *told) error {
	opened, err := c.look(ctx, r, leaves, t)
	if err != nil {
		return err
	}
	return c.tellOpened(ctx, r, opened, t)
}

// look opens leaves that were in the room when it was joined, and returns who they
// are. It tells of those in quarantine, once for all of them.
func (c *Client) look(ctx context.Context, r *room, leaves []mls.LeafIndex, t *told) (opened []Person, err error) {
	now := c.cfg.Clock.Now()
	failed := false
	for _, i := range leaves {
		s, err := c.openLeaf(ctx, r, i, identity.LeafInTree(now))
		if err != nil {
			return nil, err
		}
		if err := c.see(ctx, r, s, arrival{}, t); err != nil {
			return nil, err
		}
		if s.failure != nil {
			failed = true
		} else {
			opened = append(opened, c.personOf(r, s.member))
		}
	}
	if failed {
		err = c.tellQuarantine(ctx, r, Person{}, now, t)
	}
	return opened, err
}

// openClosed opens one leaf that somebody looks at, if it is closed, or waits for the
// identity CA of its provider. It fails with
// errNoCA if the identity CA of its provider has to be fetched first.
func (c *Client) openClosed(ctx context.Context, r *room, i mls.LeafIndex, t *told) error {
	_, ok := r.public().Leaf(i)
	waits := r.quarantined[i] != nil && r.quarantined[i].marks&markNoCA != 0
	if !ok || r.members[i] != nil && !waits {
		return nil
	}
	if err := c.mayFetch(ctx, r, []mls.LeafIndex{i}); err != nil {
		return err
	}
	if !waits {
		return c.openBatch(ctx, r, []mls.LeafIndex{i}, t)
	}
	opened, err := c.reopen(ctx, r, false, t)
	if err != nil {
		return err
	}
	return c.tellOpened(ctx, r, opened, t)
}

// needed returns the leaves whose links a room that was just joined needs at once:
// some, and all of a room that is no larger than a batch. In a larger one the others
// wait for somebody who looks.
func (c *Client) needed(r *room, some ...mls.LeafIndex) []mls.LeafIndex {
	if r.public().Size() <= c.cfg.Limits.LinkBatch {
		return r.closedLeaves(c.cfg.Limits.LinkBatch)
	}
	return slices.DeleteFunc(some, func(i mls.LeafIndex) bool { return r.members[i] != nil })
}

// mayFetch fails with errNoCA if the identity CAs of some leaves are not known and can
// perhaps be fetched.
func (c *Client) mayFetch(ctx context.Context, r *room, leaves []mls.LeafIndex) error {
	var missing []string
	for _, domain := range r.domains(leaves) {
		if _, err := c.known(ctx, domain); errors.Is(err, identity.ErrNoPin) && c.tries.may(domain, c.cfg.Clock.Now()) {
			missing = append(missing, domain)
		}
	}
	if len(missing) > 0 {
		return &errNoCA{missing}
	}
	return nil
}

// prepareFew fetches the identity CAs that opening a small room will need.
func (c *Client) prepareFew(ctx context.Context, r *room) {
	if r.public().Size() <= c.cfg.Limits.LinkBatch {
		c.prepare(ctx, r.domains(r.public().Leaves())...)
	}
}

// errNoCA reports that the identity CAs of domains are needed, and can perhaps be
// fetched.
type errNoCA struct{ domains []string }

// Error implements error.
func (e *errNoCA) Error() string {
	return "client: identity CAs are not known: " + strings.Join(e.domains, ", ")
}

// tellOpened tells who has got a name.
func (c *Client) tellOpened(ctx context.Context, r *room, people []Person, t *told) error {
	people = slices.DeleteFunc(people, func(p Person) bool { return p.User.IsZero() })
	if len(people) == 0 {
		return nil
	}
	return c.tell(ctx, t, &Event{Kind: EventOpened, Time: c.cfg.Clock.Now(), Room: r.uri(), Added: people})
}

// openInBackground opens what is closed in a room, if an account takes part in it:
// where nobody looks, nothing is opened.
func (c *Client) openInBackground(r *room) {
	if r.closed() == 0 {
		return
	}
	for _, l := range r.own {
		if l.State == LeafJoined {
			c.opener.wake(r.uri())
			return
		}
	}
}

// tries remembers the providers whose identity CA could not be fetched, so that a
// room full of their users asks once and not for each.
type tries struct {
	mu     sync.Mutex
	failed map[string]time.Time
}

// triesApart is how far two questions for an identity CA are apart at least.
const triesApart = time.Minute

// may reports whether a domain may be asked.
func (t *tries) may(domain string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	last, ok := t.failed[domain]
	return !ok || now.Sub(last) >= triesApart
}

// note says what came of asking.
func (t *tries) note(domain string, now time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failed == nil || len(t.failed) > 1000 {
		t.failed = map[string]time.Time{}
	}
	if delete(t.failed, domain); err != nil {
		t.failed[domain] = now
	}
}
