package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"maunium.net/go/mautrix/bridgev2/commands"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// commandSendAnyway lets a person send to a room although not everybody in it could be
// verified.
const commandSendAnyway = "send-anyway"

// maxListed bounds the members that an answer lists one by one.
const maxListed = 20

// sendAnyway says which members of a room could not be verified, and with their number
// lets the person send to the room all the same. The number is asked for so that
// nobody accepts more of them than they have seen.
func (c *Connector) sendAnyway(ce *commands.Event, login *Client) {
	if ce.Portal == nil {
		ce.Reply("%s", explain(errNoRoom))
		return
	}
	room, err := roomOf(ce.Portal)
	var members []client.UnverifiedMember
	if err == nil {
		members, err = c.backend.Engine.Unverified(ce.Ctx, login.account, room)
	}
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	open := slices.DeleteFunc(slices.Clone(members), func(m client.UnverifiedMember) bool { return m.Accepted })
	switch {
	case len(members) == 0:
		ce.Reply("Everybody in this room is verified. Nothing keeps you from sending.")
	case len(open) == 0:
		ce.Reply("You send to this room already, although %s.\n\n%s", notVerified(len(members)), c.listUnverified(members))
	case len(ce.Args) == 0:
		ce.Reply(
			"Nothing of yours is sent to this room, because %s:\n\n%s\nThey may be anybody. If you want to send to this room all the same, say `$cmdprefix %s %d`. If another such member comes, sending stops again.",
			notVerified(len(open)), c.listUnverified(open), commandSendAnyway, len(open),
		)
	default:
		c.acceptUnverified(ce, login, len(open))
	}
}

// acceptUnverified is sendAnyway with a number.
func (c *Connector) acceptUnverified(ce *commands.Event, login *Client, open int) {
	seen, err := strconv.Atoi(ce.Args[0])
	if err != nil || len(ce.Args) > 1 || seen < 1 {
		ce.Reply("Usage: `$cmdprefix %s <number>`, with the number of members who could not be verified: %d.", commandSendAnyway, open)
		return
	}
	room, err := roomOf(ce.Portal)
	if err == nil {
		err = c.backend.Engine.SendAnyway(ce.Ctx, login.account, room, seen)
	}
	if err != nil {
		if !errors.Is(err, client.ErrQuarantine) {
			ce.Log.Err(err).Msg("Failed to let somebody send to a room with unverified members")
		}
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("What you write is sent to this room from now on, and what has waited as well, although %s. If another such member comes, sending stops again.", notVerified(seen))
}

// notVerified says how many members could not be verified.
func notVerified(n int) string {
	if n == 1 {
		return "the identity of one member could not be verified"
	}
	return fmt.Sprintf("the identity of %d members could not be verified", n)
}

func (c *Connector) listUnverified(members []client.UnverifiedMember) string {
	var b strings.Builder
	for i, m := range members {
		if i == maxListed {
			fmt.Fprintf(&b, "* and %d more\n", len(members)-i)
			break
		}
		how := "in the room before you"
		if !m.By.Pseudonym.IsZero() {
			how = "brought by " + c.nameOf(m.By)
		}
		fmt.Fprintf(&b, "* one of %s, %s, noticed %s", m.Pseudonym.Domain, how, m.Since.Format("2006-01-02 15:04 MST"))
		if m.Unreachable {
			b.WriteString(" (their provider does not answer; this may pass by itself)")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// explainQuarantine explains a room with unverified members, with their number.
func explainQuarantine(err error) (explanation, bool) {
	e, ok := errors.AsType[*client.QuarantineError](err)
	if !ok {
		return explanation{}, false
	}
	if e.Leaves == 0 {
		return explanation{cause: err, what: "There is nobody in this room any more who could not be verified.", next: "Nothing keeps you from sending."}, true
	}
	return explanation{
		cause: err,
		what:  fmt.Sprintf("Nothing is sent to this room, because %s.", notVerified(e.Leaves)),
		next:  "An administrator can remove them. To see who it is, and to send all the same, say `" + commandSendAnyway + "` in this room.",
	}, true
}

// concernsProvider reports whether an event is about the provider of several contacts.
func concernsProvider(e *client.Event) bool { return e.Count > 1 && providerReasons[e.Reason] != "" }

// alertText returns the sentences for an alert.
func alertText(e *client.Event) string {
	switch {
	case e.Reason == client.ReasonQuarantine && e.Actor.User.IsZero():
		return fmt.Sprintf("In this room %s. Nothing is sent to it until they are removed, or you say `%s`.", notVerified(max(1, e.Count)), commandSendAnyway)
	case concernsProvider(e):
		return fmt.Sprintf(providerReasons[e.Reason], e.Peer.Domain, e.Count)
	case e.Reason == client.ReasonLost && e.Count == 0:
		return lostAlone
	case e.Reason == client.ReasonRemoveUnverified:
		who := "one of its administrators"
		if !e.Actor.User.IsZero() {
			who = e.Actor.User.Handle()
		}
		return fmt.Sprintf("In this room %s, and only an administrator can remove them. Ask %s to do it.", notVerified(max(1, e.Count)), who)
	}
	about := e.Peer
	if about.IsZero() {
		about = e.Actor.User
	}
	return reason(e.Reason, about)
}
