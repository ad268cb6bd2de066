package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// Consent takes in what the provider at from says about consent. It speaks for its own
// users, to users here: all else is a [*protocol.NotAllowedError]. Whatever becomes of
// the rest, the answer is the same; an error says that nothing was stored and that
// sending it again makes sense.
func (c *Client) Consent(ctx context.Context, from string, e *protocol.ConsentEntry) error {
	done, err := c.serve()
	if err != nil {
		return err
	}
	defer done()
	switch {
	case e.Sender().Domain != from:
		return mimi.Refuse("consent-sender", &protocol.NotAllowedError{Reason: "the sender is of another provider"})
	case e.Receiver().Domain != c.cfg.Domain:
		return mimi.Refuse("consent-receiver", &protocol.NotAllowedError{Reason: "the receiver is of another provider"})
	case !c.cfg.PlainRooms:
		return nil // there is nothing to consent to
	}
	var t told
	switch e.Operation {
	case protocol.ConsentRequest:
		err = c.asksConsent(ctx, e, &t)
	case protocol.ConsentCancel:
		err = c.cancelsConsent(ctx, e, &t)
	default:
		err = c.answersConsent(ctx, e, &t)
	}
	if err != nil {
		return fmt.Errorf("client: consent: %w", err)
	}
	c.finish(&t)
	return nil
}

// asksConsent shows an account a request. A repeated one is shown once; who has consent
// already is told so again.
func (c *Client) asksConsent(ctx context.Context, e *protocol.ConsentEntry, t *told) error {
	account, peer := e.Target, e.Requester
	if reachable, err := c.reachable(ctx, account); err != nil || !reachable {
		return err
	}
	if blocked, err := c.blocked(ctx, account, peer); err != nil {
		return err
	} else if blocked {
		c.refused(ctx, "dropped a request for consent", mimi.Refuse("consent-blocked", ErrBlocked))
		return nil
	}
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		*t = told{}
		if again, err := c.grantedBefore(ctx, account, peer, e.Room, t); err != nil || again {
			return err
		}
		o, err := c.consentBetween(ctx, account, peer, e.Room, ConsentOfAccount)
		if err != nil {
			return err
		}
		declined := o.State == ConsentDeclined && c.cfg.Clock.Now().Sub(o.Changed) < consentMemory
		if o.pending() || declined {
			return nil
		}
		waiting, err := c.Requests(ctx, account)
		if err != nil {
			return err
		}
		if len(waiting) >= c.cfg.Limits.Requests {
			return errTooManyRequests
		}
		if err := c.setConsent(ctx, o, ConsentAsked, false); err != nil {
			return err
		}
		return c.tell(ctx, t, &Event{
			Kind: EventAsked, Time: o.Changed, Account: account, Peer: peer, Request: o.Ref, Plain: true, OneRoom: !o.Room.IsZero(),
		})
	})
	if errors.Is(err, errTooManyRequests) {
		c.refused(ctx, "dropped a request for consent", mimi.Refuse("consent-limit", err))
		return nil
	}
	return err
}

// grantedBefore tells a peer's provider again that it has consent, if it has.
func (c *Client) grantedBefore(ctx context.Context, account, peer, room mimi.URI, t *told) (bool, error) {
	for _, room := range []mimi.URI{{}, room} {
		o, err := c.consentBetween(ctx, account, peer, room, ConsentOfAccount)
		if err != nil {
			return false, err
		}
		if o.State == ConsentGranted {
			o.Untold = true
			t.then(func(context.Context) { c.telling.wake(account) })
			return true, c.cfg.Store.PutConsent(ctx, o)
		}
	}
	return false, nil
}

// cancelsConsent takes back a request that the account has not answered.
func (c *Client) cancelsConsent(ctx context.Context, e *protocol.ConsentEntry, t *told) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		*t = told{}
		o, err := c.consentBetween(ctx, e.Target, e.Requester, e.Room, ConsentOfAccount)
		if err != nil || !o.pending() {
			return err
		}
		return c.endConsent(ctx, o, false, t)
	})
}

// answersConsent notes what a peer thinks of a request. A consent that nobody has asked
// for is not noted: whether an account may add somebody, their provider decides when
// it is asked for KeyPackages.
func (c *Client) answersConsent(ctx context.Context, e *protocol.ConsentEntry, t *told) error {
	account, peer := e.Requester, e.Target
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		*t = told{}
		o, err := c.consentBetween(ctx, account, peer, mimi.URI{}, ConsentOfPeer)
		if err != nil {
			return err
		}
		event := &Event{Time: c.cfg.Clock.Now(), Account: account, Peer: peer}
		switch granted := e.Operation == protocol.ConsentGrant; {
		case granted && o.State == ConsentAsked:
			event.Kind, event.OneRoom = EventGranted, !e.Room.IsZero()
			err = c.setConsent(ctx, o, ConsentGranted, false)
		case granted, !e.Room.IsZero(): // known, or about one room of several
			return nil
		case o.State == ConsentAsked:
			event.Kind, event.Reason = EventRefused, ReasonConsentRefused
			err = c.cfg.Store.DeleteConsent(ctx, o.Ref)
		case o.State == ConsentGranted:
			event.Kind, event.Reason = EventAlert, ReasonConsentRevoked
			err = c.cfg.Store.DeleteConsent(ctx, o.Ref)
		default:
			return nil
		}
		if err != nil {
			return err
		}
		return c.tell(ctx, t, event)
	})
}
