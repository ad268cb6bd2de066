package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// A MIMI room of this gateway has administrators and ordinary members; in a portal they
// have the levels powerAdmin and powerMember (docs/mmr-profile.md, section 11, "Roles"). What MIMI
// says is what counts: [Connector.setPower].

// addRoleCommands adds the commands about roles.
func (c *Connector) addRoleCommands(proc *commands.Processor) {
	handler := func(name, description string, admin bool) *commands.FullHandler {
		return &commands.FullHandler{
			Name: name, RequiresLogin: true, RequiresPortal: true,
			Help: commands.HelpMeta{Section: commands.HelpSectionChats, Description: description, Args: "<_participant_>"},
			Func: func(ce *commands.Event) {
				if login, ok := ce.User.GetDefaultLogin().Client.(*Client); ok {
					c.roleCommand(ce, login, admin)
				}
			},
		}
	}
	proc.AddHandlers(
		handler("promote", "Make a member of this room an administrator.", true),
		handler("demote", "Make an administrator of this room an ordinary member.", false),
	)
}

func (c *Connector) roleCommand(ce *commands.Event, login *Client, admin bool) {
	if len(ce.Args) != 1 {
		ce.Reply("Usage: `$cmdprefix %s <participant>`, with an address like bob@example.org, a Matrix id, or a mention.", ce.Command)
		return
	}
	room, err := roomOf(ce.Portal)
	if err != nil {
		ce.Reply("%s", explain(err))
		return
	}
	user, err := login.roleHolder(ce.Ctx, room, ce.Args[0])
	if err == nil {
		err = c.backend.Engine.SetRole(ce.Ctx, login.account, room, user, admin)
	}
	done := "They are an administrator of this room now."
	if !admin {
		done = "They are an ordinary member of this room now."
	}
	c.answerAfter(ce, err, done)
}

// roleHolder reads who is meant by the argument of a command, also if only a pseudonym is
// known of them.
func (c *Client) roleHolder(ctx context.Context, room mimi.URI, s string) (mimi.URI, error) {
	s = mentioned(s)
	if !strings.HasPrefix(s, "@") {
		return c.main.parsePerson(ctx, s)
	}
	user, err := c.targetIn(ctx, room, id.UserID(s))
	if err == nil && user.IsZero() {
		err = client.ErrNotMember
	}
	return user, err
}

// HandleMatrixPowerLevels implements [bridgev2.PowerLevelHandlingNetworkAPI]. Who is
// given the level of administrators becomes one in MIMI, and the other way round. The
// levels have changed already; where MIMI does not follow the room is told why, and they
// are put back, unless it is a room that was there before.
func (c *Client) HandleMatrixPowerLevels(ctx context.Context, msg *bridgev2.MatrixPowerLevelChange) (bool, error) {
	room, err := roomOf(msg.Portal)
	if err != nil {
		return false, explain(err).status()
	}
	refused := c.setRoles(ctx, room, msg.PrevContent, msg.Content)
	info, err := c.main.room(ctx, room)
	if info == nil || err != nil {
		return false, err
	}
	restored, err := c.main.setPower(ctx, msg.Portal, info)
	if err != nil {
		return false, err
	}
	if len(refused) == 0 && restored {
		refused = []string{"Levels of this room are those of the MIMI room: administrators have 50, and others 0. The rest was put back."}
	}
	if len(refused) > 0 {
		err = c.main.say(ctx, msg.Portal.MXID, NewCause(room.String(), string(msg.Event.ID)), strings.Join(refused, "\n\n"))
	}
	return true, err
}

// setRoles gives people the roles that their new levels are, and returns what people are
// told of those who do not get them. bridgev2's own list of changes leaves people out
// whose login is not in the portal.
func (c *Client) setRoles(ctx context.Context, room mimi.URI, before, after *event.PowerLevelsEventContent) (refused []string) {
	people := maps.Clone(before.Users)
	maps.Copy(people, after.Users)
	for _, target := range slices.Sorted(maps.Keys(people)) {
		admin := after.GetUserLevel(target) >= powerAdmin
		if admin == (before.GetUserLevel(target) >= powerAdmin) {
			continue
		}
		user, err := c.targetIn(ctx, room, target)
		if err != nil || user.IsZero() {
			continue // nobody whom MIMI knows
		}
		err = c.main.backend.Engine.SetRole(ctx, c.account, room, user, admin)
		if err != nil && !errors.Is(err, client.ErrNotMember) {
			c.main.log.InfoContext(ctx, "a role in Matrix is none in MIMI", "err", err)
			refused = append(refused, fmt.Sprintf("%s has the same role in MIMI as before. %s", user.Handle(), explain(err)))
		}
	}
	return refused
}

// tellRoles says who has another role now in a room that was there before: its levels do
// not show it.
func (c *Connector) tellRoles(ctx context.Context, p *place, e *client.Event) error {
	if !isPlumbed(p.portal) || len(e.Changed) == 0 {
		return nil
	}
	var lines []string
	for _, changed := range e.Changed {
		role := "an ordinary member"
		if slices.ContainsFunc(p.info.Members, func(m client.RoomMember) bool { return m.Pseudonym == changed.Pseudonym && m.Admin }) {
			role = "an administrator"
		}
		lines = append(lines, fmt.Sprintf("%s is %s of the MIMI room now.", c.nameOf(changed), role))
	}
	return c.say(ctx, p.portal.MXID, cause(e), strings.Join(lines, "\n\n"))
}
