package bridge

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// People of providers without chats under pseudonyms are asked for consent to be added
// to plain groups, and ask for it: where all others are asked for a connection, and in
// the same way. There is no chat when they agree; they make a plain group.

// seenInPlain is what everybody must know before they agree to plain groups.
const seenInPlain = "in such a group the providers of all members see everybody's address, and the name of the group"

// consentAskedText is the answer to somebody who asked for consent.
func consentAskedText(peer mimi.URI) string {
	return fmt.Sprintf("The provider of %s has no chats under pseudonyms, only plain groups: %s. "+
		"So they have been asked whether you may add them to plain groups, which their provider sees, and they may add you. "+
		"You are told when they agree. Nobody is told if they don't. `disconnect` with their address takes it back.", peer.Handle(), seenInPlain)
}

// consentRequestText explains a request for consent, in the places that an invitation
// shows.
func consentRequestText(e *client.Event) string {
	what := "plain groups"
	if e.OneRoom {
		what = "one plain group"
	}
	return fmt.Sprintf("%s wants to add you to %s: %s. Join to allow it; you still choose which group you join. "+
		"Leave to decline: they are not told.", e.Peer.Handle(), what, seenInPlain)
}

// consented ends the room of a request to whose sender a person has given consent. There
// is nothing to say in it.
func (c *Connector) consented(ctx context.Context, e *client.Event) error {
	what := "plain groups"
	if e.OneRoom {
		what = "the one plain group that they have asked for"
	}
	if err := c.tell(ctx, e, e.Account, fmt.Sprintf(
		"%s can add you to %s now. You are invited each time, and choose. `disconnect` with their address takes that back.", e.Peer.Handle(), what)); err != nil {
		return err
	}
	room, err := c.backend.Store.RequestRoom(ctx, e.Request)
	if err != nil || room == "" {
		return err
	}
	return c.closeRequest(ctx, e.Account, e.Request, id.RoomID(room))
}

// granted tells a person that somebody whom they have asked has agreed.
func (c *Connector) granted(ctx context.Context, e *client.Event) error {
	what := "to plain groups"
	if e.OneRoom {
		what = "to one group, and not to others"
	}
	return c.tell(ctx, e, e.Account, fmt.Sprintf(
		"%s has agreed that you add them %s. Make one with `create-group plain`, and invite them there: %s.", e.Peer.Handle(), what, seenInPlain))
}

// consentWords says for a list what an account and each person have agreed, beside their
// connections.
func (c *Connector) consentWords(ctx context.Context, account mimi.URI) ([]string, error) {
	consents, err := c.backend.Engine.Consents(ctx, account)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, o := range consents {
		word := "can add you to plain groups"
		switch {
		case o.Side == client.ConsentOfPeer && o.State == client.ConsentAsked:
			word = "asked whether you may add them to plain groups, has not answered"
		case o.Side == client.ConsentOfPeer:
			word = "has agreed that you add them to plain groups"
		case !o.Room.IsZero():
			word = "can add you to one plain group"
		}
		lines = append(lines, o.Peer.Handle()+": "+word)
	}
	return lines, nil
}
