package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Consent (docs/mmr-profile.md, section 11, "Consent") is for people of providers that
// have no connections: it lets one fetch the other's KeyPackages for plain rooms. What
// an account or a peer decides is stored in one transaction with the note that the
// peer's provider has yet to be told, and told afterwards, again after a crash.

// consentMemory is how long a request may stay unanswered, and how long somebody whose
// request was declined can't ask again: as long as a connection request lives.
const consentMemory = connection.RequestLifetime

// scope is what the consent is called between providers.
func (o *Consent) scope() protocol.ConsentScope {
	if o.Side == ConsentOfPeer {
		return protocol.ConsentScope{Requester: o.Account, Target: o.Peer, Room: o.Room}
	}
	return protocol.ConsentScope{Requester: o.Peer, Target: o.Account, Room: o.Room}
}

// pending reports whether the consent is a request that the account has to answer.
func (o *Consent) pending() bool { return o.Side == ConsentOfAccount && o.State == ConsentAsked }

// consentBetween returns the consent of a scope. If there is none, it is one without a
// state, which is not stored.
func (c *Client) consentBetween(ctx context.Context, account, peer, room mimi.URI, side ConsentSide) (*Consent, error) {
	o := &Consent{Account: account, Peer: peer, Room: room, Side: side}
	scope := o.scope()
	ref, err := scope.Ref()
	if err != nil {
		return nil, err
	}
	stored, err := c.cfg.Store.Consent(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		o.Ref = ref
		return o, nil
	}
	return stored, err
}

// setConsent stores a consent in another state.
func (c *Client) setConsent(ctx context.Context, o *Consent, state ConsentState, untold bool) error {
	o.State, o.Untold, o.Changed = state, untold, c.cfg.Clock.Now()
	return c.cfg.Store.PutConsent(ctx, o)
}

// consents returns those between an account and a person.
func (c *Client) consents(ctx context.Context, account, peer mimi.URI) ([]*Consent, error) {
	all, err := c.cfg.Store.Consents(ctx, account)
	var out []*Consent
	for _, o := range all {
		if o.Peer == peer {
			out = append(out, o)
		}
	}
	return out, err
}

// consented reports whether an account lets a person add it to a plain room.
func (c *Client) consented(ctx context.Context, account, peer, room mimi.URI) (bool, error) {
	if peer.IsZero() || peer == account {
		return false, nil
	}
	for _, room := range []mimi.URI{{}, room} {
		o, err := c.consentBetween(ctx, account, peer, room, ConsentOfAccount)
		if err != nil || o.State == ConsentGranted {
			return err == nil, err
		}
	}
	return false, nil
}

// Consents returns whom an account has asked for consent, or has it of, and to whom it
// has given its own, oldest first. Requests to it are those of [Client.Requests].
func (c *Client) Consents(ctx context.Context, account mimi.URI) ([]*Consent, error) {
	all, err := c.cfg.Store.Consents(ctx, account)
	var out []*Consent
	for _, o := range all {
		if o.State == ConsentGranted || o.Side == ConsentOfPeer && o.State == ConsentAsked {
			out = append(out, o)
		}
	}
	return out, err
}

// AskConsent asks a person of a provider without connections for consent to be added
// to plain rooms by an account, and gives them the same in turn. [EventGranted] tells
// of their consent. It fails with [protocol.ErrNoProfile] if their provider has
// connections: then [Client.Connect] is the way; with [ErrAlreadyAsked] and
// [ErrConsented]; with [ErrNotAsked] if their provider does not take the request: then
// they may add the account all the same. With [ErrQueued] the request is sent later.
func (c *Client) AskConsent(ctx context.Context, account, peer mimi.URI) error {
	if err := c.mayAskConsent(ctx, account, peer); err != nil {
		return err
	}
	var t told
	var asked, granted *Consent
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) (err error) {
		t = told{}
		if asked, err = c.consentBetween(ctx, account, peer, mimi.URI{}, ConsentOfPeer); err != nil {
			return err
		}
		switch asked.State {
		case ConsentAsked:
			return ErrAlreadyAsked
		case ConsentGranted:
		default:
			if err := c.setConsent(ctx, asked, ConsentAsked, true); err != nil {
				return err
			}
		}
		granted, err = c.grant(ctx, account, peer, &t)
		return err
	})
	if err != nil {
		return err
	}
	c.finish(&t)
	if asked.State == ConsentGranted {
		c.telling.wake(account)
		return ErrConsented
	}
	if err := c.tellConsent(ctx, asked, nil); err != nil {
		return c.queuedConsent(account, err)
	}
	return c.queuedConsent(account, c.tellConsent(ctx, granted, nil))
}

// queuedConsent lets what could not be told be told later.
func (c *Client) queuedConsent(account mimi.URI, err error) error {
	if err != nil {
		c.telling.wake(account)
	}
	if errors.Is(err, ErrUnreachable) {
		return ErrQueued
	}
	return err
}

// mayAskConsent fails unless an account may ask a person for consent.
func (c *Client) mayAskConsent(ctx context.Context, account, peer mimi.URI) error {
	switch {
	case !c.cfg.PlainRooms:
		return ErrPlainRooms
	case account == peer:
		return ErrSelf
	case peer.Domain == c.cfg.Domain:
		return ErrColleague
	}
	if closing, err := c.closing(ctx, account); err != nil {
		return err
	} else if closing {
		return ErrClosing
	}
	if blocked, err := c.blocked(ctx, account, peer); err != nil {
		return err
	} else if blocked {
		return ErrBlocked
	}
	directory, err := c.directory(ctx, peer.Domain)
	if err != nil {
		return err
	}
	if directory.Profile != nil {
		return protocol.ErrNoProfile
	}
	return nil
}

// grant lets a person add an account to any plain room, and answers their requests. It
// is called in a transaction.
func (c *Client) grant(ctx context.Context, account, peer mimi.URI, t *told) (*Consent, error) {
	all, err := c.consents(ctx, account, peer)
	if err != nil {
		return nil, err
	}
	for _, o := range all {
		if !o.pending() {
			continue
		}
		if err := c.acceptConsent(ctx, o, t); err != nil {
			return nil, err
		}
	}
	o, err := c.consentBetween(ctx, account, peer, mimi.URI{}, ConsentOfAccount)
	if err != nil || o.State == ConsentGranted {
		return o, err
	}
	return o, c.setConsent(ctx, o, ConsentGranted, true)
}

// pendingConsent reads a request for consent that an account has to answer. It fails
// with [ErrNoRequest].
func (c *Client) pendingConsent(ctx context.Context, account mimi.URI, ref Ref) (*Consent, error) {
	o, err := c.cfg.Store.Consent(ctx, ref)
	if errors.Is(err, ErrNotFound) || err == nil && (o.Account != account || !o.pending()) {
		return nil, ErrNoRequest
	}
	return o, err
}

// acceptConsent grants what was asked for. It is called in a transaction.
func (c *Client) acceptConsent(ctx context.Context, o *Consent, t *told) error {
	if err := c.setConsent(ctx, o, ConsentGranted, true); err != nil {
		return err
	}
	return c.tell(ctx, t, &Event{
		Kind: EventConsented, Time: o.Changed, Account: o.Account, Peer: o.Peer, Request: o.Ref, OneRoom: !o.Room.IsZero(),
	})
}

// answerConsent answers a request for consent.
func (c *Client) answerConsent(ctx context.Context, account mimi.URI, ref Ref, accept bool) error {
	var t told
	if err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		o, err := c.pendingConsent(ctx, account, ref)
		if err != nil {
			return err
		}
		if !accept {
			return c.setConsent(ctx, o, ConsentDeclined, false)
		}
		if closing, err := c.closing(ctx, account); err != nil {
			return err
		} else if closing {
			return ErrClosing
		}
		return c.acceptConsent(ctx, o, &t)
	}); err != nil {
		return err
	}
	c.finish(&t)
	c.telling.wake(account)
	return nil
}

// endConsents takes back what an account and a person have asked and granted each other,
// and reports whether there was anything. If announce is false, the person's provider
// does not learn of it, and nothing is remembered. It is called in a transaction; the
// account's lane of telling is woken afterwards.
func (c *Client) endConsents(ctx context.Context, account, peer mimi.URI, announce bool, t *told) (ended bool, err error) {
	all, err := c.consents(ctx, account, peer)
	if err != nil {
		return false, err
	}
	for _, o := range all {
		live := o.State == ConsentGranted || o.Side == ConsentOfPeer && o.State == ConsentAsked
		ended = ended || live
		if err := c.endConsent(ctx, o, announce, t); err != nil {
			return false, err
		}
	}
	return ended, nil
}

// endConsent ends one consent, whatever its state. What the peer's provider knows of is
// kept until it has been told, if it is to be.
func (c *Client) endConsent(ctx context.Context, o *Consent, announce bool, t *told) error {
	switch {
	case o.pending():
		if err := c.tell(ctx, t, &Event{
			Kind: EventWithdrawn, Time: c.cfg.Clock.Now(), Account: o.Account, Peer: o.Peer, Request: o.Ref,
		}); err != nil {
			return err
		}
	case !announce:
	case o.State == ConsentEnded, o.State == ConsentDeclined:
		return nil // it is about to be forgotten
	case o.Side == ConsentOfAccount || o.State == ConsentAsked:
		return c.setConsent(ctx, o, ConsentEnded, true)
	}
	return c.cfg.Store.DeleteConsent(ctx, o.Ref)
}

// expireConsents ends requests of an account, and to it, that were not answered in
// time, and forgets what it has declined.
func (c *Client) expireConsents(ctx context.Context, account mimi.URI) error {
	all, err := c.cfg.Store.Consents(ctx, account)
	if err != nil {
		return err
	}
	now := c.cfg.Clock.Now()
	for _, o := range all {
		if o.State == ConsentGranted || now.Sub(o.Changed) < consentMemory {
			continue
		}
		if err := c.expireConsent(ctx, o); err != nil {
			return fmt.Errorf("client: end a request for consent: %w", err)
		}
	}
	return nil
}

func (c *Client) expireConsent(ctx context.Context, old *Consent) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		o, err := c.cfg.Store.Consent(ctx, old.Ref)
		if errors.Is(err, ErrNotFound) || err == nil && (o.State != old.State || !o.Changed.Equal(old.Changed)) {
			return nil // answered meanwhile
		} else if err != nil {
			return err
		}
		if o.Side != ConsentOfPeer || o.State != ConsentAsked {
			return c.endConsent(ctx, o, false, &t)
		}
		// What the account has offered in turn ends with the request.
		if _, err := c.endConsents(ctx, o.Account, o.Peer, true, &t); err != nil {
			return err
		}
		return c.tell(ctx, &t, &Event{
			Kind: EventRefused, Time: c.cfg.Clock.Now(), Account: o.Account, Peer: o.Peer, Reason: ReasonExpired,
		})
	})
	if err == nil {
		c.finish(&t)
		c.telling.wake(old.Account)
	}
	return err
}
