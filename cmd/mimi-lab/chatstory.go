package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
)

// disclosureType is that of the state event which says what the gateway does.
var disclosureType = event.Type{Type: "io.github.mimi-gateway.disclosure", Class: event.StateEventType}

// connectTwo lets Alice ask Bob, who has never heard of the gateway.
func (d *demo) connectTwo(ctx context.Context) error {
	d.story.Chapter("Alice asks Bob")
	alice, bob := d.alice, d.bob
	err := alice.command(ctx, "start-chat "+bob.handle(), bob.handle(), "has been asked")
	if err := d.expected.Check("Alice is told that Bob has been asked", err); err != nil {
		return err
	}
	room, inviter, err := bob.invitation(ctx, alice.handle())
	if err := d.expected.Check("Bob sees an invitation that names who asks", err); err != nil {
		return err
	}
	if err := d.expected.That("it comes from Alice's ghost", inviter == alice.handle(), "it comes from %q", inviter); err != nil {
		return err
	}
	if err := d.notJoined(ctx, bob, room, "the gateway, which may act as Bob, does not accept for him"); err != nil {
		return err
	}
	bob.says("joins the room, which accepts")
	if err := bob.matrix.Join(ctx, room); err != nil {
		return err
	}
	bob.direct, err = bob.chatWith(ctx, alice)
	if err := d.expected.Check("Bob has a chat with Alice, under her name", err); err != nil {
		return err
	}
	if err := d.expected.That("it is the room that he has joined", bob.direct == room, "it is another one"); err != nil {
		return err
	}
	alice.direct, err = alice.chatWith(ctx, bob)
	if err := d.expected.Check("Alice has a chat with Bob, under his name", err); err != nil {
		return err
	}
	for _, p := range []*person{alice, bob} {
		if err := d.disclosed(ctx, p, p.direct); err != nil {
			return err
		}
	}
	return nil
}

// notJoined checks that a person is still only invited, after all that has
// happened so far has been seen.
func (d *demo) notJoined(ctx context.Context, p *person, room id.RoomID, name string) error {
	if err := p.matrix.Barrier(ctx); err != nil {
		return err
	}
	var membership event.Membership
	p.matrix.Look(func(v *matrixclient.View) { membership = v.Rooms[room].Membership })
	return d.expected.That(name, membership == event.MembershipInvite, "the membership is %s", membership)
}

// disclosed checks that a person was told what the gateway does before anything
// else was said in a room.
func (d *demo) disclosed(ctx context.Context, p *person, room id.RoomID) error {
	err := p.matrix.Await(ctx, "the disclosure", func(v *matrixclient.View) bool {
		return v.Rooms[room].State[disclosureType][""] != nil && len(v.Rooms[room].Messages("")) > 0
	})
	if err == nil {
		p.matrix.Look(func(v *matrixclient.View) {
			first := v.Rooms[room].Messages("")[0]
			if body := first.Content.AsMessage().Body; first.Sender != p.site.bot() || !strings.Contains(body, "End-to-end encryption ends at the gateway") {
				err = fmt.Errorf("the first message is %q", body)
			}
		})
	}
	return d.expected.Check(p.first+" is told first what the gateway can see and do, in a notice and a state event", err)
}

// exchange lets one person write and another one see it.
func (d *demo) exchange(ctx context.Context, from, to *person, fromRoom, toRoom id.RoomID, text string) (sent id.EventID, seen *event.Event, err error) {
	sent, err = from.write(ctx, fromRoom, text)
	if err != nil {
		return "", nil, err
	}
	seen, err = to.sees(ctx, toRoom, from, text)
	return sent, seen, d.expected.Check(fmt.Sprintf("%s sees what %s wrote, by name", to.first, from.first), err)
}

// chat is what two people do in their direct chat.
func (d *demo) chat(ctx context.Context) error {
	d.story.Chapter("They talk")
	alice, bob := d.alice, d.bob
	first, atBob, err := d.exchange(ctx, alice, bob, alice.direct, bob.direct, "Curiouser and curiouser!")
	if err != nil {
		return err
	}
	const answer = "Indeed it is, said the Cheshire cat"
	d.said = append(d.said, answer)
	bob.says("replies %q", answer)
	reply, err := bob.matrix.Reply(ctx, bob.direct, atBob.ID, answer)
	if err != nil {
		return err
	}
	atAlice, err := alice.sees(ctx, alice.direct, bob, answer)
	if err == nil && atAlice.Content.AsMessage().RelatesTo.GetReplyTo() != first {
		err = errors.New("it is no reply to her message")
	}
	if err := d.expected.Check("Alice sees the reply at her message", err); err != nil {
		return err
	}
	once := bob.count(bob.direct, "Curiouser and curiouser!")
	if err := d.expected.That("Bob has seen Alice's message once", once == 1, "he has seen it %d times", once); err != nil {
		return err
	}
	if err := d.edits(ctx, first, atBob.ID); err != nil {
		return err
	}
	if err := d.reacts(ctx, first, atBob.ID); err != nil {
		return err
	}
	bob.says("deletes his reply")
	if _, err := bob.matrix.Redact(ctx, bob.direct, reply); err != nil {
		return err
	}
	err = alice.matrix.Await(ctx, "the deletion", func(v *matrixclient.View) bool {
		return redacted(v.Rooms[alice.direct], atAlice.ID)
	})
	return d.expected.Check("Alice sees that the reply is deleted", err)
}

// redacted reports whether a redaction of an event was seen.
func redacted(r *matrixclient.Room, target id.EventID) bool {
	for _, evt := range r.Timeline {
		if evt.Type == event.EventRedaction && (evt.Redacts == target || evt.Content.AsRedaction().Redacts == target) {
			return true
		}
	}
	return false
}

// edits lets Alice edit the message that Bob has as atBob, and Bob reply to the new
// version.
func (d *demo) edits(ctx context.Context, first, atBob id.EventID) error {
	const better = "Curiouser and curiouser, indeed!"
	d.said = append(d.said, better)
	d.alice.says("edits her message to %q", better)
	if _, err := d.alice.matrix.Edit(ctx, d.alice.direct, first, better); err != nil {
		return err
	}
	err := d.bob.matrix.Await(ctx, "the edit", func(v *matrixclient.View) bool {
		for _, evt := range v.Rooms[d.bob.direct].Messages("") {
			content := evt.Content.AsMessage()
			if content.RelatesTo.GetReplaceID() == atBob && content.NewContent != nil && content.NewContent.Body == better {
				return d.alice.appears(v.Rooms[d.bob.direct], evt.Sender, d.bob.site)
			}
		}
		return false
	})
	if err := d.expected.Check("Bob sees the edit of the message that he has", err); err != nil {
		return err
	}
	const answer = "That is better English, I grant"
	d.said = append(d.said, answer)
	d.bob.says("replies %q to the edited message", answer)
	if _, err := d.bob.matrix.Reply(ctx, d.bob.direct, atBob, answer); err != nil {
		return err
	}
	evt, err := d.alice.sees(ctx, d.alice.direct, d.bob, answer)
	if err == nil && evt.Content.AsMessage().RelatesTo.GetReplyTo() != first {
		err = errors.New("it is no reply to her message")
	}
	return d.expected.Check("Alice sees a reply to what she has edited at her message", err)
}

// reacts lets Bob react to the message that he has as atBob, and take it back.
func (d *demo) reacts(ctx context.Context, first, atBob id.EventID) error {
	d.bob.says("reacts with a hat, and takes it back")
	reaction, err := d.bob.matrix.React(ctx, d.bob.direct, atBob, "🎩")
	if err != nil {
		return err
	}
	var seen id.EventID
	err = d.alice.matrix.Await(ctx, "the reaction", func(v *matrixclient.View) bool {
		for _, evt := range v.Rooms[d.alice.direct].Timeline {
			if evt.Type == event.EventReaction && evt.Content.AsReaction().RelatesTo.EventID == first && evt.Content.AsReaction().RelatesTo.Key == "🎩" {
				seen = evt.ID
				return d.bob.appears(v.Rooms[d.alice.direct], evt.Sender, d.alice.site)
			}
		}
		return false
	})
	if err := d.expected.Check("Alice sees the reaction at her message", err); err != nil {
		return err
	}
	if _, err := d.bob.matrix.Redact(ctx, d.bob.direct, reaction); err != nil {
		return err
	}
	err = d.alice.matrix.Await(ctx, "the removal of the reaction", func(v *matrixclient.View) bool {
		return redacted(v.Rooms[d.alice.direct], seen)
	})
	return d.expected.Check("Alice sees that the reaction is taken back", err)
}
