package bridge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const (
	commandJoin = "join"
	// wordPseudonymously is said behind a link, or an invitation, by who does not
	// want to be seen.
	wordPseudonymously = "pseudonymously"
	// linkPrefix begins every join link.
	linkPrefix = "mimi://"
)

const linkUsage = "Usage: `$cmdprefix link [--uses N] [--expires 7d]`: a link for N people, 1 if you don't say, which works for so many minutes (`m`), hours (`h`), days (`d`) or weeks (`w`)."

// errLinkUsage reports a command that cannot be read.
var errLinkUsage = errors.New("bridge: the command is not understood")

// addLinkCommands adds the commands about join links.
func (c *Connector) addLinkCommands(proc *commands.Processor) {
	handler := func(name, args, description string, portal bool, f func(ce *commands.Event, login *Client)) *commands.FullHandler {
		return &commands.FullHandler{
			Name: name, RequiresLogin: true, RequiresPortal: portal,
			Help: commands.HelpMeta{Section: commands.HelpSectionChats, Description: description, Args: args},
			Func: func(ce *commands.Event) {
				if login, ok := ce.User.GetDefaultLogin().Client.(*Client); ok {
					f(ce, login)
				}
			},
		}
	}
	proc.AddHandlers(
		handler("link", "[--uses _N_] [--expires _7d_]", "Make a link with which people can enter this room.", true, c.makeLink),
		handler("links", "", "List your links to this room.", true, c.listLinks),
		handler("unlink", "<_id_>", "Withdraw a link of yours to this room.", true, c.revokeLink),
		handler(commandJoin, "<_link_> ["+wordPseudonymously+"]", "Enter a room with a link.", false, c.joinCommand),
	)
}

// parseLinkOptions reads the arguments of link.
func parseLinkOptions(args []string) (opts client.LinkOptions, err error) {
	for len(args) > 0 {
		name, value, joined := strings.Cut(args[0], "=")
		args = args[1:]
		if !joined {
			if len(args) == 0 {
				return opts, errLinkUsage
			}
			value, args = args[0], args[1:]
		}
		switch name {
		case "--uses":
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return opts, errLinkUsage
			}
			opts.Uses = uint32(n)
		case "--expires":
			if opts.Lifetime, err = parseLifetime(value); err != nil {
				return opts, err
			}
		default:
			return opts, errLinkUsage
		}
	}
	return opts, nil
}

// parseLifetime reads a number with its unit: m, h, d, w.
func parseLifetime(s string) (time.Duration, error) {
	units := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}
	for suffix, unit := range units {
		number, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 16)
		if err != nil || n == 0 {
			return 0, errLinkUsage
		}
		return time.Duration(n) * unit, nil //nolint:gosec // at most 16 bits
	}
	return 0, errLinkUsage
}

// linkText is what people are told with a link.
func linkText(l *client.Link, room string) string {
	who := "One person can enter with it"
	if l.Uses > 1 {
		who = fmt.Sprintf("%d people can enter with it, one after the other", l.Uses)
	}
	return fmt.Sprintf("A link to %s:\n\n`%s`\n\n%s, until %s: whoever has it, whether you have given it to them or not. "+
		"It stops working earlier when anybody leaves the room or is removed. Withdraw it by writing `unlink %s` there. "+
		"Who gets it says `join` and the link to their gateway.",
		room, l.Text(), who, moment(l.NotAfter), l.ID)
}

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }

func (c *Connector) makeLink(ce *commands.Event, login *Client) {
	opts, err := parseLinkOptions(ce.Args)
	if err != nil {
		ce.Reply(linkUsage)
		return
	}
	room, err := roomOf(ce.Portal)
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	l, err := c.backend.Engine.MakeLink(ce.Ctx, login.account, room, opts)
	if err != nil {
		ce.Log.Err(err).Msg("Failed to make a join link")
		ce.Reply("%s", explain(err))
		return
	}
	// A link is for who has asked for it, not for everybody in the Matrix room.
	chat, err := ce.User.GetManagementRoom(ce.Ctx)
	if err == nil {
		err = c.say(ce.Ctx, chat, nil, linkText(l, c.roomName(ce.Ctx, room)))
	}
	if err != nil {
		ce.Log.Err(err).Msg("Failed to tell a join link")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("The link is in your chat with me. It works until %s, or until somebody leaves this room or is removed.", moment(l.NotAfter))
}

// roomName returns how a room is called in notices.
func (c *Connector) roomName(ctx context.Context, room mimi.URI) string {
	info, err := c.backend.Engine.Room(ctx, room)
	if err != nil || info.Name == "" {
		return "a room without a name"
	}
	return "“" + info.Name + "”"
}

func (c *Connector) listLinks(ce *commands.Event, login *Client) {
	room, err := roomOf(ce.Portal)
	var links []*client.Link
	if err == nil {
		links, err = c.backend.Engine.Links(ce.Ctx, login.account, room)
	}
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	if len(links) == 0 {
		ce.Reply("You have no link to this room that works. `link` makes one.")
		return
	}
	var b strings.Builder
	for _, l := range links {
		fmt.Fprintf(&b, "* `%s`, made %s, for %d at most, until %s\n", l.ID, moment(l.Made), l.Uses, moment(l.NotAfter))
	}
	ce.Reply("%s\nOnly the room's provider knows how many have been used. `unlink <id>` withdraws one.", b.String())
}

func (c *Connector) revokeLink(ce *commands.Event, login *Client) {
	if len(ce.Args) != 1 {
		ce.Reply("Usage: `$cmdprefix unlink <id>`; `links` lists the ids.")
		return
	}
	room, err := roomOf(ce.Portal)
	if err == nil {
		err = c.backend.Engine.RevokeLink(ce.Ctx, login.account, room, ce.Args[0])
	}
	if err != nil {
		ce.Log.Err(err).Msg("Failed to withdraw a join link")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("Withdrawn: nobody enters with this link any more. Who has entered stays.")
}

func (c *Connector) joinCommand(ce *commands.Event, login *Client) {
	hidden := len(ce.Args) == 2 && strings.EqualFold(ce.Args[1], wordPseudonymously)
	if len(ce.Args) != 1 && !hidden {
		ce.Reply("Usage: `$cmdprefix join <link> [" + wordPseudonymously + "]`, or with the id of an invitation in place of a link.")
		return
	}
	if !strings.HasPrefix(ce.Args[0], linkPrefix) {
		c.joinInvited(ce, login, ce.Args[0], hidden)
		return
	}
	room, err := c.backend.Engine.JoinLink(ce.Ctx, login.account, ce.Args[0], client.JoinOptions{Pseudonymous: hidden})
	if err != nil {
		ce.Log.Err(err).Msg("Failed to enter a room by a link")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("You are in %s. It is among your rooms, or your invitations.", c.roomName(ce.Ctx, room))
}

// invitationID is the short form of a room in which people name an invitation.
func invitationID(room mimi.URI) string { return room.ID[:min(8, len(room.ID))] }

// joinInvited says yes to an invitation in place of joining its Matrix room, which
// would show who the person is.
func (c *Connector) joinInvited(ce *commands.Event, login *Client, name string, hidden bool) {
	leaves, err := c.backend.Engine.RoomsOf(ce.Ctx, login.account)
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	for _, l := range leaves {
		if l.State != client.LeafInvited || !strings.EqualFold(invitationID(l.Room), name) {
			continue
		}
		join := c.backend.Engine.Join
		if hidden {
			join = c.backend.Engine.JoinPseudonymously
		}
		if err := join(ce.Ctx, login.account, l.Room); err != nil {
			ce.Log.Err(err).Msg("Failed to accept an invitation")
			ce.Reply("%s", explain(err))
			return
		}
		ce.Reply("You are in %s. Its room is among your invitations: joining that shows nobody anything now.", c.roomName(ce.Ctx, l.Room))
		return
	}
	ce.Reply("%s", explain(client.ErrLinkForm))
}

// asJoin makes a join link that somebody has said to the bot, as if it were a command, the
// command that it is for. bridgev2 would take it for an unknown one, and write it into the
// log. management is the person's chat with the bot, where commands need no prefix.
func (c *Connector) asJoin(evt *event.Event, management id.RoomID) {
	m := evt.Content.AsMessage()
	prefix := c.bridge.Config.CommandPrefix
	text, prefixed := strings.CutPrefix(strings.TrimSpace(m.Body), prefix)
	text = strings.TrimSpace(text)
	if !prefixed && evt.RoomID != management || !strings.HasPrefix(strings.ToLower(text), linkPrefix) {
		return
	}
	m.Body = prefix + " " + commandJoin + " " + text
}
