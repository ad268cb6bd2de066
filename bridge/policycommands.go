package bridge

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// requirements are the words for whose identity the members of a room see
// (docs/mmr-profile.md, section 6), which are types of groups as well.
var requirements = map[string]identity.LinkRequirement{
	"admins": identity.RequireAdmins, "optional": identity.RequireNone, "forbidden": identity.Forbidden,
}

// requirementText says what a requirement means to the people in a room.
func requirementText(r identity.LinkRequirement) string {
	switch r {
	case identity.RequireAdmins:
		return "Administrators show who they are here; other members need not."
	case identity.RequireNone:
		return "Nobody has to show here who they are."
	case identity.Forbidden:
		return "Nobody is verified here: members are known to each other by pseudonyms alone, and the gateway cannot tell who they are."
	default:
		return "All members show here who they are."
	}
}

// pseudonymTypes returns the types of groups in which members need not, or must not, show
// who they are.
func pseudonymTypes(like bridgev2.GroupTypeCapabilities) map[string]bridgev2.GroupTypeCapabilities {
	out := map[string]bridgev2.GroupTypeCapabilities{}
	for word, text := range map[string]string{
		"admins":    "a group in which administrators alone have to show who they are",
		"optional":  "a group in which nobody has to show who they are",
		"forbidden": "a group in which nobody can show who they are, entered by link alone",
	} {
		like.TypeDescription = text
		out[word] = like
	}
	return out
}

// addPolicyCommands adds the commands about who is seen in a room, and lets create-group
// make the usual one where nothing is said.
func (c *Connector) addPolicyCommands(proc *commands.Processor) {
	create := *commands.CommandCreateGroup
	create.Help.Args = "[group | admins | optional | forbidden]"
	create.Func = func(ce *commands.Event) {
		if len(ce.Args) == 0 && !c.opts.Config.PlainRooms {
			ce.Args = []string{groupType}
		}
		commands.CommandCreateGroup.Func(ce)
	}
	handler := func(name, args, description string, f func(ce *commands.Event, login *Client)) *commands.FullHandler {
		return &commands.FullHandler{
			Name: name, RequiresLogin: true, RequiresPortal: true,
			Help: commands.HelpMeta{Section: commands.HelpSectionChats, Description: description, Args: args},
			Func: func(ce *commands.Event) {
				if login, ok := ce.User.GetDefaultLogin().Client.(*Client); ok {
					f(ce, login)
				}
			},
		}
	}
	proc.AddHandlers(
		&create,
		handler("loosen", "<admins | optional>", "Let members of this room hide who they are. It cannot be taken back.", c.loosen),
		handler("identify", "", "Show the members of this room who you are.", c.identify),
	)
}

func (c *Connector) loosen(ce *commands.Event, login *Client) {
	requirement, ok := identity.RequireAll, false
	if len(ce.Args) == 1 {
		requirement, ok = requirements[strings.ToLower(ce.Args[0])]
	}
	if !ok || requirement == identity.Forbidden {
		ce.Reply("Usage: `$cmdprefix loosen admins` or `$cmdprefix loosen optional`. It cannot be taken back, and who was seen before is not forgotten.")
		return
	}
	room, err := roomOf(ce.Portal)
	if err == nil {
		err = c.backend.Engine.Loosen(ce.Ctx, login.account, room, requirement)
	}
	if err != nil {
		ce.Log.Err(err).Msg("Failed to loosen the policy of a room")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("Changed. Everybody in the room is told.")
}

func (c *Connector) identify(ce *commands.Event, login *Client) {
	room, err := roomOf(ce.Portal)
	if err == nil {
		err = c.backend.Engine.Identify(ce.Ctx, login.account, room)
	}
	if err != nil {
		ce.Log.Err(err).Msg("Failed to show an identity")
		ce.Reply("%s", explain(err))
		return
	}
	ce.Reply("The members of this room see your address and your name now.")
}

// policyChanged tells a room that its members are seen less.
func (c *Connector) policyChanged(ctx context.Context, e *client.Event) error {
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	return c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		return c.say(ctx, p.portal.MXID, cause(e), fmt.Sprintf(
			"%s has changed who is seen in this room. %s", c.nameOf(e.Actor), requirementText(e.Requirement)))
	})
}

// joinedByLink shows a person the room that they have entered.
func (c *Connector) joinedByLink(ctx context.Context, e *client.Event) error {
	info, err := c.room(ctx, e.Room)
	if info == nil || err != nil {
		return err
	}
	return c.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		return c.settle(ctx, p, client.Person{}, false, e.Account)
	})
}

// choiceText tells who is invited that they may hide who they are, and how. Where
// members have no such choice it is "".
func choiceText(e *client.Event) string {
	if e.Requirement != identity.RequireAdmins && e.Requirement != identity.RequireNone {
		return ""
	}
	name := e.Name
	if name == "" {
		name = "a room without a name"
	}
	return fmt.Sprintf("You have been added to “%s”. %s Join its Matrix room to show the members your address, or write `join %s %s` here to keep it from them. "+
		"People of this homeserver see you in either case.", name, requirementText(e.Requirement), invitationID(e.Room), wordPseudonymously)
}
