package bridge

import (
	"context"
	"fmt"
	"time"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// DisclosureEvent is the type of the state event that says what the gateway does
// in a room. Its key is empty.
var DisclosureEvent = event.Type{Type: "io.github.mimi-gateway.disclosure", Class: event.StateEventType}

// Disclosure is the content of a [DisclosureEvent].
type Disclosure struct {
	// Provider is the domain of the MIMI provider that this gateway is.
	Provider string `json:"provider"`
	// OperatorCanRead says that the gateway has the messages in the clear.
	OperatorCanRead bool `json:"operator_can_read"`
	// EndToEndEncryption says how far Matrix's own encryption reaches.
	EndToEndEncryption string `json:"end_to_end_encryption"`
	// Plain says that the room is a plain one: providers see who is in it.
	Plain bool `json:"plain,omitempty"`
	// Body is the text of the notice.
	Body string `json:"body"`
}

// disclosureText says what people must know before their first message
// (docs/mmr-profile.md, section 9).
func disclosureText(domain string, direct bool) string {
	others := "The others in this room, wherever they are,"
	if direct {
		others = "The person whom you talk to"
	}
	return "This room is connected with people of other providers by the MIMI gateway " + domain + ".\n\n" +
		"* Whoever operates the gateway can read what is written here, and could write in your name. " +
		"End-to-end encryption ends at the gateway.\n" +
		"* " + others + " can read the messages, and see your MIMI address and your display name. " +
		"A provider that hosts the room, and is nobody's in it, sees neither: it sees a pseudonym at " + domain +
		", and when something is sent.\n" +
		"* Deleting or editing a message here asks the others to do the same. It does not delete the copies that they have."
}

// disclose puts notice and state event into a portal, once, before anything else
// is shown there.
func (c *Connector) disclose(ctx context.Context, p *place) error {
	meta, ok := p.portal.Metadata.(*mimiid.PortalMetadata)
	if !ok || meta.Disclosed {
		return nil
	}
	text := disclosureText(c.opts.Config.Domain, p.info.Kind == client.RoomConnection)
	if p.info.Plain {
		text = plainDisclosure(c.opts.Config.Domain)
	}
	notice := format.RenderMarkdown(text, true, false)
	notice.MsgType = event.MsgNotice
	if c.opts.Config.Disclosure.StateEvent {
		_, err := c.bridge.Bot.SendState(ctx, p.portal.MXID, DisclosureEvent, "", &event.Content{Parsed: &Disclosure{
			Provider: c.opts.Config.Domain, OperatorCanRead: true, EndToEndEncryption: "to-gateway", Plain: p.info.Plain, Body: notice.Body,
		}}, time.Time{})
		if err != nil {
			return fmt.Errorf("bridge: failed to write the disclosure: %w", err)
		}
	}
	if c.opts.Config.Disclosure.Notice {
		ctx := WithCause(ctx, NewCause(p.info.Room.String(), "disclosure "+string(p.portal.MXID)))
		if _, err := c.bridge.Bot.SendMessage(ctx, p.portal.MXID, event.EventMessage, &event.Content{Parsed: &notice}, nil); err != nil {
			return fmt.Errorf("bridge: failed to send the disclosure: %w", err)
		}
	}
	meta.Disclosed = true
	if err := p.portal.Save(ctx); err != nil {
		return fmt.Errorf("bridge: failed to save the portal: %w", err)
	}
	return nil
}
