package bridge

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// addPeopleCommands adds the commands about people one knows.
func (c *Connector) addPeopleCommands(proc *commands.Processor) {
	connect := c.aboutPerson("connect", "Ask somebody whom you share a room with to talk to you alone.", c.connectCommand)
	connect.Help.Args = "<_participant_>"
	proc.AddHandlers(
		c.aboutPerson("disconnect", "End the connection with somebody, and leave your chat with them.", c.disconnectCommand),
		c.aboutPerson("block", "End the connection with somebody, and see nothing that they send you.", c.blockCommand),
		c.aboutPerson("unblock", "Let somebody ask you again.", c.unblockCommand),
		connect,
	)
}

// aboutPerson returns a command about a person whom one knows, or could.
func (c *Connector) aboutPerson(name, description string, f func(ce *commands.Event, login *Client, peer mimi.URI)) *commands.FullHandler {
	return &commands.FullHandler{
		Name: name, RequiresLogin: true,
		Help: commands.HelpMeta{Section: commands.HelpSectionChats, Description: description, Args: "<_address_>"},
		Func: func(ce *commands.Event) {
			login, ok := ce.User.GetDefaultLogin().Client.(*Client)
			if !ok {
				return
			}
			if peer, ok := c.personMeant(ce, login); ok {
				f(ce, login, peer)
			}
		},
	}
}

// personMeant returns the person that a command is about: the one that it names, or in
// a direct chat the other one. Then the arguments begin with that person.
func (c *Connector) personMeant(ce *commands.Event, login *Client) (mimi.URI, bool) {
	var peer mimi.URI
	var err error
	direct := ce.Portal != nil && ce.Portal.Receiver != ""
	switch {
	case direct && (len(ce.Args) == 0 || strings.Trim(ce.Args[0], "0123456789") == ""):
		peer, err = c.peerIn(ce.Ctx, login, ce.Portal.PortalKey.ID)
		ce.Args = append([]string{peer.Handle()}, ce.Args...)
	case len(ce.Args) > 0:
		peer, err = c.participant(ce.Ctx, ce.Args[0])
	default:
		ce.Reply("Usage: `$cmdprefix %s <address>`, with an address like bob@example.org.", ce.Command)
		return peer, false
	}
	if err != nil {
		ce.Reply("%s", explain(err))
		return peer, false
	}
	return peer, true
}

// participant reads an address, the Matrix id of a ghost, or a link to one, as clients
// make it of a mention.
func (c *Connector) participant(ctx context.Context, s string) (mimi.URI, error) {
	s = mentioned(s)
	ghost, ok := c.bridge.Matrix.ParseGhostMXID(id.UserID(s))
	if !ok {
		return c.parsePerson(ctx, s)
	}
	user, err := c.ghostUser(ctx, ghost)
	if err == nil && user.IsZero() {
		err = errNoAddress
	}
	return user, err
}

// mentioned returns what a link of Matrix is to, and everything else as it is.
func mentioned(s string) string {
	if _, link, ok := strings.Cut(s, "](https://matrix.to/#/"); ok {
		s = strings.TrimSuffix(link, ")")
	}
	return strings.TrimPrefix(s, "https://matrix.to/#/")
}

// peerIn returns the other one of a direct chat.
func (c *Connector) peerIn(ctx context.Context, login *Client, portal networkid.PortalID) (mimi.URI, error) {
	contacts, err := c.backend.Engine.Contacts(ctx, login.account)
	if err != nil {
		return mimi.URI{}, err
	}
	for _, contact := range contacts {
		if !contact.Room.IsZero() && mimiid.MakePortalKey(contact.Room, login.login.ID).ID == portal {
			return contact.Peer, nil
		}
	}
	return mimi.URI{}, client.ErrNotConnected
}

func (c *Connector) disconnectCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	c.answerAfter(ce, c.backend.Engine.RemoveContact(ce.Ctx, login.account, peer), fmt.Sprintf(
		"You are not connected with %s any more, and leave your chat, if you had one. They see that you have left it, and can't add you to groups. "+
			"What they have stays with them.", peer.Handle()))
}

func (c *Connector) blockCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	c.answerAfter(ce, c.backend.Engine.Block(ce.Ctx, login.account, peer), fmt.Sprintf(
		"%s is blocked: requests and invitations of theirs are dropped, and they are not told. If you had a chat, you leave it, which they see. "+
			"In groups that you share you still see each other. `unblock` takes it back.", peer.Handle()))
}

func (c *Connector) unblockCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	c.answerAfter(ce, c.backend.Engine.Unblock(ce.Ctx, login.account, peer), fmt.Sprintf(
		"%s is not blocked any more. You are not connected: either of you can ask the other with `start-chat`.", peer.Handle()))
}

// answerAfter answers a command with what came of it.
func (c *Connector) answerAfter(ce *commands.Event, err error, done string) {
	if err != nil {
		ce.Log.Err(err).Str("command", ce.Command).Msg("Failed to do what was asked")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("%s", done)
}

// connectCommand asks somebody whom one shares a room with. The request is the same as
// every other one, and goes to the person's provider, not to the hub of the room: that
// does not see who asks whom, nor that it comes of its room (docs/mmr-profile.md,
// section 11, "Requests through a shared room").
func (c *Connector) connectCommand(ce *commands.Event, login *Client, peer mimi.URI) {
	if peer.Domain == c.opts.Config.Domain {
		ce.Reply("%s", explain(client.ErrColleague))
		return
	}
	ce.Args = []string{peer.Handle()}
	c.startChat(ce, login)
}

// direct returns the Matrix room of the chat of an account with a person, or nothing.
func (c *Connector) direct(ctx context.Context, account, peer, room mimi.URI) (id.RoomID, error) {
	login, err := c.loginOf(ctx, account)
	if err != nil || login == nil {
		return "", err
	}
	if room.IsZero() {
		contacts, err := c.backend.Engine.Contacts(ctx, account)
		if err != nil {
			return "", err
		}
		for _, contact := range contacts {
			if contact.Peer == peer {
				room = contact.Room
			}
		}
	}
	if room.IsZero() {
		return "", nil
	}
	key := mimiid.MakePortalKey(room, login.ID)
	portal, err := c.bridge.GetExistingPortalByKey(ctx, key)
	if err != nil || portal == nil || portal.PortalKey != key {
		return "", err
	}
	return portal.MXID, nil
}

// alertAbout tells a person of something about somebody whom they know: in the chat with
// the bot, and where they talk to each other.
func (c *Connector) alertAbout(ctx context.Context, e *client.Event) error {
	text := alertText(e)
	room, err := c.direct(ctx, e.Account, e.Peer, e.Room)
	if err != nil {
		return err
	}
	if room != "" {
		if err := c.say(ctx, room, NewCause(e.Room.String(), fmt.Sprintf("event %d in the direct chat", e.Seq)), text); err != nil {
			return err
		}
	}
	return c.tell(ctx, e, e.Account, text)
}
