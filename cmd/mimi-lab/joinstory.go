package main

import (
	"context"
	"regexp"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
)

// joinLink is how a join link looks in what the bot says.
var joinLink = regexp.MustCompile(`mimi://[^\s"'<>` + "`" + `]+#c=[A-Za-z0-9_-]+&(amp;)?k=[A-Za-z0-9_-]+`)

// byLink lets Dinah come back by a link of Alice's, and Carol find out that it is
// dead after a removal.
func (d *demo) byLink(ctx context.Context) error {
	d.story.Chapter("A link lets Dinah in")
	alice, dinah, carol := d.alice, d.dinah, d.carol
	link, err := alice.makeLink(ctx, "link --uses 5 --expires 1d")
	if err := d.expected.Check("Alice gets a link from the bot, in her own chat with it", err); err != nil {
		return err
	}
	err = dinah.tell(ctx, "join <link>", "join "+link, "You are in", roomName)
	if err := d.expected.Check("Dinah enters with the link", err); err != nil {
		return err
	}
	if dinah.group, err = dinah.enters(ctx, roomName); err != nil {
		return err
	}
	if _, _, err := d.exchange(ctx, dinah, alice, dinah.group, alice.group, "I found the way by myself"); err != nil {
		return err
	}
	dinah.says("leaves")
	if err := dinah.matrix.Leave(ctx, dinah.group); err != nil {
		return err
	}
	err = alice.membership(ctx, alice.group, alice.ghostOf(alice.group, dinah), event.MembershipLeave)
	if err := d.expected.Check("Alice sees that Dinah has left", err); err != nil {
		return err
	}
	err = carol.tell(ctx, "join <link>", "join "+link, "does not work any more")
	return d.expected.Check("the link died with that, and Carol is told so", err)
}

// makeLink says a command in the person's group, and returns the link that the bot
// sends to the person alone.
func (p *person) makeLink(ctx context.Context, command string) (link string, err error) {
	room, err := p.bot(ctx)
	if err != nil {
		return "", err
	}
	if _, err := p.matrix.SendText(ctx, p.group, "!mimi "+command); err != nil {
		return "", err
	}
	p.says("tells the bot %q, in the group", command)
	return link, p.matrix.Await(ctx, "a link", func(v *matrixclient.View) bool {
		for _, evt := range v.Rooms[room].Messages("") {
			if found := joinLink.FindString(evt.Content.AsMessage().Body); evt.Sender == p.site.bot() && found != "" {
				link = found
			}
		}
		return link != ""
	})
}

// enters waits until the gateway has let a person into a room with that name, or
// joins it by its invitation.
func (p *person) enters(ctx context.Context, name string) (room id.RoomID, err error) {
	joined := false
	err = p.matrix.Await(ctx, "the room "+name, func(v *matrixclient.View) bool {
		for _, r := range v.Rooms {
			if r.Name() != name {
				continue
			}
			room, joined = r.ID, r.Membership == event.MembershipJoin
			if joined || r.Membership == event.MembershipInvite {
				return true
			}
		}
		return false
	})
	if err == nil && !joined {
		p.says("joins")
		err = p.matrix.Join(ctx, room)
	}
	return room, err
}
