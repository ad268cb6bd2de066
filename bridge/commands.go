package bridge

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// The words that answer a connection request, as commands and in its room.
const (
	commandAccept  = "accept"
	commandDecline = "decline"
)

// addCommands adds the bot's commands to those of bridgev2, and replaces those
// that do not know that the other person has to be asked.
func (c *Connector) addCommands(proc *commands.Processor) {
	chats := func(name, args, description string, f func(ce *commands.Event, login *Client)) *commands.FullHandler {
		return &commands.FullHandler{
			Name: name, RequiresLogin: true,
			Help: commands.HelpMeta{Section: commands.HelpSectionChats, Description: description, Args: args},
			Func: func(ce *commands.Event) {
				if login, ok := ce.User.GetDefaultLogin().Client.(*Client); ok {
					f(ce, login)
				}
			},
		}
	}
	startChat := chats("start-chat", "<_address_>", "Ask somebody at another provider to talk to you, like bob@example.org.", c.startChat)
	startChat.Aliases = []string{"pm"}
	proc.AddHandlers(
		&commands.FullHandler{
			Name: "version",
			Help: commands.HelpMeta{Section: commands.HelpSectionGeneral, Description: "Get the version of the gateway."},
			Func: func(ce *commands.Event) { ce.Reply("%s", c.opts.Version) },
		},
		&commands.FullHandler{
			Name: "anonymity",
			Help: commands.HelpMeta{Section: commands.HelpSectionGeneral, Description: "Get how many people share the domain of your pseudonyms."},
			Func: c.anonymity,
		},
		startChat,
		chats("requests", "", "List who asks to talk to you.", c.listRequests),
		chats("connections", "", "List whom you are connected with, and whom you have asked.", c.listConnections),
		chats(commandAccept, "[_address_]", "Accept a request to talk to you.", c.acceptCommand),
		chats(commandDecline, "[_address_]", "Decline a request to talk to you. Nobody is told.", c.declineCommand),
		chats(commandSendAnyway, "[_number_]", "In a room: see which members could not be verified, and send to it all the same.", c.sendAnyway),
	)
	c.addLinkCommands(proc)
	c.addPeopleCommands(proc)
	c.addSafetyCommands(proc)
	c.addDeletionCommands(proc)
	c.addAuthorityCommands(proc)
	c.addPolicyCommands(proc)
	c.addRoleCommands(proc)
}

func (c *Connector) startChat(ce *commands.Event, login *Client) {
	if len(ce.Args) != 1 {
		ce.Reply("Usage: `$cmdprefix start-chat <address>`, with an address like bob@example.org.")
		return
	}
	peer, err := c.parsePerson(ce.Ctx, ce.Args[0])
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	contact, asked, err := login.connect(ce.Ctx, peer)
	switch {
	case err != nil:
		ce.Log.Err(err).Msg("Failed to start a chat")
		ce.Reply("%s", explain(err))
	case asked != "":
		ce.Reply("%s", asked)
	default:
		c.replyWithChat(ce, login, contact)
	}
}

// replyWithChat says where the chat with a contact is, and makes its room if that
// is gone.
func (c *Connector) replyWithChat(ce *commands.Event, login *Client, contact *client.Contact) {
	info, err := c.backend.Engine.Room(ce.Ctx, contact.Room)
	var room id.RoomID
	if err == nil {
		err = c.inPortal(ce.Ctx, info, func(ctx context.Context, p *place) error {
			room = p.portal.MXID
			return c.settle(ctx, p, client.Person{User: login.account, Local: true}, true)
		})
	}
	if err != nil {
		ce.Log.Err(err).Msg("Failed to open a chat")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("You are connected with %s already: [your chat](%s).", contact.Peer.Handle(), room.URI().MatrixToURL())
}

// parsePerson reads an address, or the Matrix id of a ghost.
func (c *Connector) parsePerson(ctx context.Context, s string) (mimi.URI, error) {
	ghost, ok := c.bridge.Matrix.ParseGhostMXID(id.UserID(s))
	if !ok {
		return mimi.ParseAddress(s)
	}
	user, err := c.ghostUser(ctx, ghost)
	if err == nil && user.IsZero() {
		err = client.ErrNoPerson
	}
	return user, err
}

func (c *Connector) listRequests(ce *commands.Event, login *Client) {
	requests, err := c.backend.Engine.Requests(ce.Ctx, login.account)
	switch {
	case err != nil:
		ce.Reply("%s", explain(err))
	case len(requests) == 0:
		ce.Reply("Nobody waits for an answer of yours.")
	default:
		var b strings.Builder
		for _, r := range requests {
			what := ""
			if r.Plain {
				what = ", to add you to plain groups"
			}
			fmt.Fprintf(&b, "* %s%s, since %s (`%s`)\n", r.Peer.Handle(), what, r.Received.Format("2006-01-02 15:04 MST"), client.Ref(r.Ref))
		}
		ce.Reply("%s\nJoin the room of a request, or say `accept <address>` or `decline <address>`.", b.String())
	}
}

func (c *Connector) listConnections(ce *commands.Event, login *Client) {
	contacts, err := c.backend.Engine.Contacts(ce.Ctx, login.account)
	var consents []string
	if err == nil {
		consents, err = c.consentWords(ce.Ctx, login.account)
	}
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	words := map[client.ContactState]string{
		client.ContactAsked: "asked, has not answered", client.ContactConnected: "connected", client.ContactBlocked: "blocked",
		client.ContactExpired: "asked, has not answered in 30 days", client.ContactLeft: "has ended the connection",
		client.ContactClosed: "has closed their account",
	}
	var b strings.Builder
	for _, contact := range contacts {
		if word, ok := words[contact.State]; ok {
			switch {
			case contact.Verified:
				word += ", verified"
			case contact.KeyChanged:
				word += ", keys changed since you compared them"
			}
			fmt.Fprintf(&b, "* %s: %s\n", shownName(contact.Peer, contact.Name), word)
		}
	}
	for _, line := range consents {
		fmt.Fprintf(&b, "* %s\n", line)
	}
	if b.Len() == 0 {
		ce.Reply("You are not connected with anybody yet: `start-chat <address>` asks somebody.")
		return
	}
	ce.Reply("%s", b.String())
}

// chosenRequest returns the request that a command is about: the one that it
// names, or the only one.
func (c *Connector) chosenRequest(ce *commands.Event, login *Client) (*client.Request, bool) {
	requests, err := c.backend.Engine.Requests(ce.Ctx, login.account)
	if err != nil {
		ce.Reply("%s", explain(err))
		return nil, false
	}
	var chosen []*client.Request
	for _, r := range requests {
		mentioned := len(ce.Args) > 0 && strings.EqualFold(ce.Args[0], client.Ref(r.Ref).String())
		if len(ce.Args) > 0 && !mentioned {
			peer, err := c.parsePerson(ce.Ctx, ce.Args[0])
			mentioned = err == nil && peer == r.Peer
		}
		if len(ce.Args) == 0 || mentioned {
			chosen = append(chosen, r)
		}
	}
	switch {
	case len(chosen) == 0:
		ce.Reply("%s", explain(client.ErrNoRequest))
	case len(chosen) > 1 && len(ce.Args) == 0:
		ce.Reply("More than one person has asked. Say whom you mean: `%s <address>`.", ce.Command)
	default:
		return chosen[len(chosen)-1], true
	}
	return nil, false
}

func (c *Connector) acceptCommand(ce *commands.Event, login *Client) {
	request, ok := c.chosenRequest(ce, login)
	if !ok {
		return
	}
	if _, err := c.backend.Engine.Accept(ce.Ctx, login.account, request.Ref); err != nil {
		ce.Log.Err(err).Msg("Failed to accept a request")
		ce.Reply("%s", explain(err))
		return
	}
	if request.Plain {
		ce.Reply("You have agreed. `disconnect` with their address takes that back.")
		return
	}
	ce.Reply("You are connected with %s. Your chat is among your rooms, or your invitations.", request.Peer.Handle())
}

func (c *Connector) declineCommand(ce *commands.Event, login *Client) {
	request, ok := c.chosenRequest(ce, login)
	if !ok {
		return
	}
	room, err := c.backend.Store.RequestRoom(ce.Ctx, request.Ref)
	if err == nil && room != "" {
		err = c.declineIn(ce.Ctx, login.account, request.Ref, id.RoomID(room))
	} else if err == nil {
		err = c.backend.Engine.Decline(ce.Ctx, login.account, request.Ref)
	}
	if err != nil {
		ce.Log.Err(err).Msg("Failed to decline a request")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("Declined. %s is not told.", request.Peer.Handle())
}
