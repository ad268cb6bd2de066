package main

import (
	"context"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
)

// A person has a Matrix account at one site, and speaks through it alone.
type person struct {
	demo          *demo
	site          *site
	first, name   string // "Alice", "Alice Liddell"
	localpart     string
	matrix        *matrixclient.Client
	direct, group id.RoomID
}

// handle is the person's MIMI address.
func (p *person) handle() string { return p.localpart + "@" + p.site.domain() }

// shown is what others see of the person, once the person has told their name.
func (p *person) shown() string { return p.name + " (" + p.handle() + ")" }

// who is what the story calls the person.
func (p *person) who() string { return strings.ToLower(p.first) + " (" + p.site.name + ")" }

// says tells the story of what the person does.
func (p *person) says(format string, args ...any) { p.demo.story.Says(p.who(), format, args...) }

// bot returns the person's chat with the bot, which is made at the first call.
func (p *person) bot(ctx context.Context) (id.RoomID, error) {
	if room := managementRoom(p.site, p.matrix); room != "" {
		return room, nil
	}
	room, err := p.matrix.DirectRoom(ctx, p.site.bot())
	if err != nil {
		return "", err
	}
	return room, p.matrix.Await(ctx, "the bot", func(v *matrixclient.View) bool {
		return v.Rooms[room].Member(p.site.bot()).Membership == event.MembershipJoin
	})
}

// command says something to the bot, and returns its next answer that contains
// all parts.
func (p *person) command(ctx context.Context, text string, parts ...string) error {
	return p.tell(ctx, text, text, parts...)
}

// tell is command with a text that the story does not show: it shows shown.
func (p *person) tell(ctx context.Context, shown, text string, parts ...string) error {
	room, err := p.bot(ctx)
	if err != nil {
		return err
	}
	sent, err := p.matrix.SendText(ctx, room, text)
	if err != nil {
		return err
	}
	p.says("tells the bot %q", shown)
	last := ""
	err = p.matrix.Await(ctx, fmt.Sprintf("an answer to %q", shown), func(v *matrixclient.View) bool {
		asked := false
		for _, evt := range v.Rooms[room].Messages("") {
			asked = asked || evt.ID == sent
			if !asked || evt.Sender != p.site.bot() {
				continue
			}
			if last = evt.Content.AsMessage().Body; containsAll(last, parts) {
				return true
			}
		}
		return false
	})
	if err != nil && last != "" {
		err = fmt.Errorf("%w; the bot said %q", err, last)
	}
	return err
}

func containsAll(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// invitation waits for an invitation to a room with that name, and returns the
// room and who has sent it.
func (p *person) invitation(ctx context.Context, name string) (room id.RoomID, inviter string, err error) {
	err = p.matrix.Await(ctx, "an invitation to "+name, func(v *matrixclient.View) bool {
		for _, r := range v.Rooms {
			me := r.State[event.StateMember][string(p.matrix.ID())]
			if r.Membership == event.MembershipInvite && r.Name() == name && me != nil {
				room, inviter = r.ID, r.Member(me.Sender).Displayname
				return true
			}
		}
		return false
	})
	return room, inviter, err
}

// isPortal reports whether a room is one that the gateway shows a MIMI room in,
// and returns the URI of that.
func isPortal(r *matrixclient.Room) (uri string, ok bool) {
	for _, evt := range r.State[event.StateBridge] {
		content, ok := evt.Content.Parsed.(*event.BridgeEventContent)
		if ok && strings.HasPrefix(content.Channel.ID, "mimi://") {
			return content.Channel.ID, true
		}
	}
	return "", false
}

// chatWith waits for the person's direct chat with another one.
func (p *person) chatWith(ctx context.Context, other *person) (room id.RoomID, err error) {
	err = p.matrix.Await(ctx, "a direct chat with "+other.shown(), func(v *matrixclient.View) bool {
		for _, r := range v.Rooms {
			if _, ok := isPortal(r); ok && r.Membership == event.MembershipJoin && r.Name() == other.shown() {
				room = r.ID
				return true
			}
		}
		return false
	})
	return room, err
}

// write sends text to a room.
func (p *person) write(ctx context.Context, room id.RoomID, text string) (id.EventID, error) {
	p.demo.said = append(p.demo.said, text)
	p.says("writes %q", text)
	return p.matrix.SendText(ctx, room, text)
}

// appears reports whether the sender of an event is who it should be: themselves
// at their own site, otherwise a ghost with their name and address.
func (p *person) appears(r *matrixclient.Room, sender id.UserID, at *site) bool {
	if at == p.site {
		return sender == p.matrix.ID()
	}
	return r.Member(sender).Displayname == p.shown()
}

// sees waits until the person sees a message of another one, under that one's
// name.
func (p *person) sees(ctx context.Context, room id.RoomID, from *person, text string) (found *event.Event, err error) {
	err = p.matrix.Await(ctx, fmt.Sprintf("%q from %s", text, from.shown()), func(v *matrixclient.View) bool {
		for _, evt := range v.Rooms[room].Messages("") {
			if evt.Content.Parsed != nil && evt.Content.AsMessage().Body == text && from.appears(v.Rooms[room], evt.Sender, p.site) {
				found = evt
				return true
			}
		}
		return false
	})
	return found, err
}

// count returns how often the person has seen a text in a room.
func (p *person) count(room id.RoomID, text string) (n int) {
	p.matrix.Look(func(v *matrixclient.View) {
		for _, evt := range v.Rooms[room].Messages("") {
			if evt.Content.Parsed != nil && evt.Content.AsMessage().Body == text {
				n++
			}
		}
	})
	return n
}

// ghostOf returns the Matrix user that stands for another person in a room.
func (p *person) ghostOf(room id.RoomID, other *person) (ghost id.UserID) {
	p.matrix.Look(func(v *matrixclient.View) {
		for key, evt := range v.Rooms[room].State[event.StateMember] {
			if strings.HasSuffix(evt.Content.AsMember().Displayname, other.handle()+")") || evt.Content.AsMember().Displayname == other.handle() {
				ghost = id.UserID(key)
			}
		}
	})
	return ghost
}

// membership waits until somebody has a membership in a room, as the person sees
// it.
func (p *person) membership(ctx context.Context, room id.RoomID, who id.UserID, want event.Membership) error {
	return p.matrix.Await(ctx, fmt.Sprintf("%s to %s", who, want), func(v *matrixclient.View) bool {
		return v.Rooms[room].Member(who).Membership == want
	})
}
