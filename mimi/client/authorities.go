package client

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// The identity CA of another provider is the one that was seen first, until an
// administrator accepts another (docs/mmr-profile.md, section 2). That there is another
// one is noticed when somebody asks for a connection, when a certificate is not of the
// pinned one, and once a day.

// alertPin tells every account that has a contact at a domain that the domain shows
// another identity CA than before. It is called in a transaction.
func (c *Client) alertPin(ctx context.Context, change identity.PinChange) error {
	return c.tellAbout(ctx, change.Domain, ReasonIdentityCA, func(*contactSecret) bool { return false }, &told{})
}

// tellAbout tells those who know people of a domain of something that concerns them: once,
// however many they know. change is what it changes in what they know, and reports whether
// it does.
func (c *Client) tellAbout(ctx context.Context, domain string, reason Reason, change func(*contactSecret) bool, t *told) error {
	contacts, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return err
	}
	known := map[mimi.URI][]mimi.URI{} // by account
	for _, contact := range contacts {
		if contact.Peer.Domain != domain || contact.State == ContactColleague || contact.State.ended() {
			continue
		}
		known[contact.Account] = append(known[contact.Account], contact.Peer)
		secret, err := openContact(contact)
		if err != nil {
			return err
		}
		if change(secret) {
			if err := c.putContact(ctx, contact, secret); err != nil {
				return err
			}
		}
	}
	byURI := func(a, b mimi.URI) int { return strings.Compare(a.String(), b.String()) }
	for _, account := range slices.SortedFunc(maps.Keys(known), byURI) {
		if err := c.tell(ctx, t, &Event{
			Kind: EventAlert, Time: c.cfg.Clock.Now(), Account: account, Peer: slices.MinFunc(known[account], byURI),
			Reason: reason, Count: len(known[account]),
		}); err != nil {
			return err
		}
	}
	return nil
}

// wakeEvents delivers all events that wait.
func (c *Client) wakeEvents(ctx context.Context) {
	lanes, err := c.cfg.Store.EventLanes(ctx)
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "could not look for events", "err", err)
	}
	for _, lane := range lanes {
		c.events.wake(lane)
	}
}

// IdentityCAChanges returns the providers that publish another identity CA than the
// pinned one.
func (c *Client) IdentityCAChanges(ctx context.Context) ([]identity.PinChange, error) {
	return c.pinner.Changes(ctx)
}

// AcceptIdentityCA makes the other identity CA that a provider publishes, whose
// fingerprint is given, the one that is believed: an administrator's decision. People who
// know somebody there are told, and those who had compared safety codes have to do it
// again. Links that were closed for it are opened. It fails with [identity.ErrNoPin] if
// there is no such identity CA to accept.
func (c *Client) AcceptIdentityCA(ctx context.Context, domain string, fingerprint [32]byte) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		if err := c.pinner.Accept(ctx, domain, fingerprint); err != nil {
			return err
		}
		return c.tellAbout(ctx, domain, ReasonIdentityCAAccepted, func(s *contactSecret) bool { return s.fall() }, &t)
	})
	if err != nil {
		return err
	}
	t.then(func(ctx context.Context) {
		if err := c.reopenRooms(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.WarnContext(ctx, "could not try identity links again", "err", err)
		}
	})
	c.finish(&t)
	return nil
}

// suspect asks a provider for its identity CA if a certificate was not of the one that is
// pinned.
func (c *Client) suspect(failure error, domain string, t *told) {
	if !errors.Is(failure, identity.ErrIssuer) || domain == c.cfg.Domain {
		return
	}
	t.then(func(ctx context.Context) { c.recheck(ctx, domain) })
}

// recheck looks whether a provider publishes another identity CA than the pinned one.
func (c *Client) recheck(ctx context.Context, domain string) {
	key := domain + " again" // no domain
	if !c.tries.may(key, c.cfg.Clock.Now()) {
		return
	}
	_, err := c.observe(ctx, domain)
	c.tries.note(key, c.cfg.Clock.Now(), errors.Join(err, errAsked))
	if err != nil && !errors.Is(err, identity.ErrPinChanged) && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not ask for an identity CA", "peer", domain, "err", err)
	}
}

// errAsked keeps a domain from being asked again at once.
var errAsked = errors.New("client: asked just now")

// watchAuthorities asks the providers of all contacts whether their identity CA is still
// the pinned one.
func (c *Client) watchAuthorities(ctx context.Context) {
	contacts, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		c.cfg.Log.WarnContext(ctx, "could not look after identity CAs", "err", err)
		return
	}
	domains := map[string]bool{}
	for _, contact := range contacts {
		if contact.Peer.Domain != c.cfg.Domain && !contact.State.ended() {
			domains[contact.Peer.Domain] = true
		}
	}
	for domain := range domains {
		c.recheck(ctx, domain)
	}
}
