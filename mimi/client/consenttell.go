package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// operation is what the peer's provider is told of an untold consent; false if its state
// is nothing to be told.
func (o *Consent) operation() (operation protocol.ConsentOperation, ok bool) {
	switch {
	case o.Side == ConsentOfPeer && o.State == ConsentAsked:
		return protocol.ConsentRequest, true
	case o.Side == ConsentOfPeer && o.State == ConsentEnded:
		return protocol.ConsentCancel, true
	case o.Side == ConsentOfAccount && o.State == ConsentGranted:
		return protocol.ConsentGrant, true
	case o.Side == ConsentOfAccount && o.State == ConsentEnded:
		return protocol.ConsentRevoke, true
	default:
		return 0, false
	}
}

// workTelling tells peers' providers what an account has decided.
func (c *Client) workTelling(ctx context.Context, account mimi.URI) (more bool, err error) {
	all, err := c.cfg.Store.Consents(ctx, account)
	if err != nil {
		return false, err
	}
	var failed error
	for _, o := range all {
		if !o.Untold {
			continue
		}
		// One provider that does not answer holds up no other.
		var t told
		failed = errors.Join(failed, c.tellConsent(ctx, o, &t))
		c.finish(&t)
	}
	return false, failed
}

// tellConsent tells a peer's provider of a consent, and notes that it was told. A
// refusal for good ends a request: it is told to the person where t is not nil, and
// returned otherwise. With [ErrUnreachable] it is to be told again.
func (c *Client) tellConsent(ctx context.Context, o *Consent, t *told) error {
	operation, ok := o.operation()
	if !o.Untold || !ok {
		return nil
	}
	call, cancel := c.call(ctx)
	defer cancel()
	// No KeyPackages: the hub of the room has to see who hands them out.
	err := c.cfg.Peers.Consent(call, &protocol.ConsentEntry{Operation: operation, ConsentScope: o.scope()})
	if err != nil && !finalConsent(err) && c.cfg.Clock.Now().Sub(o.Changed) < consentMemory {
		return unreachable(err)
	}
	if stored := c.consentTold(ctx, o, err, t); stored != nil {
		return stored
	}
	switch {
	case t != nil || operation != protocol.ConsentRequest:
		return nil
	case errors.Is(err, protocol.ErrNoSuchUser):
		return ErrNoPerson
	case err != nil:
		return fmt.Errorf("%w: %w", ErrNotAsked, err)
	default:
		return nil
	}
}

// finalConsent reports whether telling it again would be answered likewise.
func finalConsent(err error) bool {
	if _, ok := errors.AsType[*protocol.NotAllowedError](err); ok {
		return true
	}
	return errors.Is(err, protocol.ErrNoSuchUser) || errors.Is(err, protocol.ErrNotOffered) || errors.Is(err, protocol.ErrMalformed)
}

// consentTold notes what a peer's provider has said to a consent.
func (c *Client) consentTold(ctx context.Context, told *Consent, refusal error, t *told) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		o, err := c.cfg.Store.Consent(ctx, told.Ref)
		if errors.Is(err, ErrNotFound) || err == nil && (o.State != told.State || !o.Changed.Equal(told.Changed)) {
			return nil // another decision came meanwhile, and is told next
		} else if err != nil {
			return err
		}
		switch asked := o.Side == ConsentOfPeer && o.State == ConsentAsked; {
		case o.State == ConsentEnded:
			return c.cfg.Store.DeleteConsent(ctx, o.Ref)
		case !asked || refusal == nil:
			o.Untold = false
			return c.cfg.Store.PutConsent(ctx, o)
		}
		return c.requestRefused(ctx, o, refusal, t)
	})
}

// requestRefused ends a request that the peer's provider has refused for good. What the
// account has offered in turn stays, unless there is nobody to have it.
func (c *Client) requestRefused(ctx context.Context, o *Consent, refusal error, t *told) error {
	if err := c.cfg.Store.DeleteConsent(ctx, o.Ref); err != nil {
		return err
	}
	if errors.Is(refusal, protocol.ErrNoSuchUser) {
		offered, err := c.consentBetween(ctx, o.Account, o.Peer, mimi.URI{}, ConsentOfAccount)
		if err != nil {
			return err
		}
		if err := c.cfg.Store.DeleteConsent(ctx, offered.Ref); err != nil {
			return err
		}
	}
	if t == nil {
		return nil
	}
	return c.tell(ctx, t, &Event{
		Kind: EventRefused, Time: c.cfg.Clock.Now(), Account: o.Account, Peer: o.Peer, Reason: ReasonNotAsked,
	})
}

// resumeTelling goes on with what is untold.
func (c *Client) resumeTelling(ctx context.Context) error {
	untold, err := c.cfg.Store.UntoldConsents(ctx)
	for _, o := range untold {
		c.telling.wake(o.Account)
	}
	return err
}

// endAllConsents takes back all that an account that is being deleted has asked and
// granted, and tells the providers. It fails as long as one of them does not answer.
func (c *Client) endAllConsents(ctx context.Context, account mimi.URI) error {
	var t told
	err := c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		t = told{}
		all, err := c.cfg.Store.Consents(ctx, account)
		for _, o := range all {
			err = errors.Join(err, c.endConsent(ctx, o, true, &t))
		}
		return err
	})
	if err != nil {
		return err
	}
	c.finish(&t)
	_, err = c.workTelling(ctx, account)
	return err
}
