package bridge

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/format"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
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
	// CanRead are who can read the messages: the operator, and the members of the
	// room, each at a provider of their own.
	CanRead []string `json:"can_read"`
	// ActiveUsers are the people of the provider who were active in the last day,
	// when the room was connected: a pseudonym hides a person among these at most.
	// FewUsers says that these are too few to hide anybody.
	ActiveUsers int  `json:"active_users"`
	FewUsers    bool `json:"few_users"`
	// DeletesCopies says that deleting a message deletes the copies of others: it
	// does not.
	DeletesCopies bool `json:"deletes_copies"`
	// Plain says that the room is a plain one: providers see who is in it.
	Plain bool `json:"plain,omitempty"`
	// Body is the text of the notice.
	Body string `json:"body"`
}

// disclosureText says what people must know before their first message
// (docs/mmr-profile.md, section 9).
func disclosureText(domain string, direct bool, crowd client.Crowd) string {
	others := "The others in this room, wherever they are,"
	if direct {
		others = "The person whom you talk to"
	}
	return "This room is connected with people of other providers by the MIMI gateway " + domain + ".\n\n" +
		"* Whoever operates the gateway can read what is written here, and could write in your name. " +
		"End-to-end encryption ends at the gateway.\n" +
		"* " + others + " can read the messages, and see your MIMI address and your display name. " +
		"A provider that hosts the room, and is nobody's in it, sees neither: it sees a pseudonym at " + domain +
		", and when something is sent. So do the providers of the others.\n" +
		"* " + crowdText(domain, crowd) + "\n" +
		"* Deleting or editing a message here asks the others to do the same. It does not delete the copies that they have."
}

// crowdText says among how many people a pseudonym hides somebody, and what that
// means.
func crowdText(domain string, crowd client.Crowd) string {
	text := "In the last day " + people(crowd.Day) + " of " + domain + " used this gateway. " +
		"The domain of a pseudonym is visible, so it hides you among these at most."
	if crowd.Small() {
		text += " That is fewer than " + strconv.Itoa(crowd.Want) + ": whoever sees when something is sent may guess that it was you."
	}
	return text
}

func people(n int) string {
	switch n {
	case 0:
		return "nobody"
	case 1:
		return "one person"
	default:
		return strconv.Itoa(n) + " people"
	}
}

// anonymity says how many people share the domain of the provider: for everybody.
func (c *Connector) anonymity(ce *commands.Event) {
	crowd, err := c.backend.Engine.Crowd(ce.Ctx)
	if err != nil {
		ce.Log.Err(err).Msg("Failed to count people")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("%s In the last 30 days there were %d.", crowdText(c.opts.Config.Domain, crowd), crowd.Month)
}

// disclose puts notice and state event into a portal, once, before anything else
// is shown there.
func (c *Connector) disclose(ctx context.Context, p *place) error {
	meta, ok := p.portal.Metadata.(*mimiid.PortalMetadata)
	if !ok || meta.Disclosed || c.opts.Faults.undisclosed() {
		return nil
	}
	crowd, err := c.backend.Engine.Crowd(ctx)
	if err != nil {
		return fmt.Errorf("bridge: failed to count people for the disclosure: %w", err)
	}
	text := disclosureText(c.opts.Config.Domain, p.info.Kind == client.RoomConnection, crowd)
	if p.info.Plain {
		text = plainDisclosure(c.opts.Config.Domain)
	} else if p.info.Requirement != identity.RequireAll {
		text += "\n* " + requirementText(p.info.Requirement) + " Who does not show it to the others is seen by the people of this homeserver all the same."
	}
	notice := format.RenderMarkdown(text, true, false)
	notice.MsgType = event.MsgNotice
	if c.opts.Config.Disclosure.StateEvent {
		_, err := c.bridge.Bot.SendState(ctx, p.portal.MXID, DisclosureEvent, "", &event.Content{Parsed: &Disclosure{
			Provider: c.opts.Config.Domain, OperatorCanRead: true, EndToEndEncryption: "to-gateway", Plain: p.info.Plain, Body: notice.Body,
			CanRead: []string{"operator", "members"}, ActiveUsers: crowd.Day, FewUsers: crowd.Small(),
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
