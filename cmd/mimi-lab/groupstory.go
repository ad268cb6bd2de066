package main

import (
	"context"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/matrixclient"
)

// gatherAll lets Alice make a group with Bob, and both add colleagues.
func (d *demo) gatherAll(ctx context.Context) error {
	d.story.Chapter("Alice makes a group")
	alice, bob, anna, ben := d.alice, d.bob, d.anna, d.ben
	alice.says("makes a room %q, and turns it into a group", roomName)
	created, err := alice.matrix.Matrix.CreateRoom(ctx, &mautrix.ReqCreateRoom{
		Preset: "private_chat", Name: roomName, Invite: []id.UserID{alice.site.bot()},
		PowerLevelOverride: &event.PowerLevelsEventContent{Users: map[id.UserID]int{alice.site.bot(): 100}},
	})
	if err != nil {
		return err
	}
	alice.group = created.RoomID
	if err := alice.membership(ctx, alice.group, alice.site.bot(), event.MembershipJoin); err != nil {
		return err
	}
	if _, err := alice.matrix.SendText(ctx, alice.group, "!mimi create-group"); err != nil {
		return err
	}
	err = alice.matrix.Await(ctx, "the group", func(v *matrixclient.View) bool {
		_, ok := isPortal(v.Rooms[alice.group])
		return ok && botSaid(v.Rooms[alice.group], alice.site.bot(), "Successfully created group")
	})
	if err := d.expected.Check("Alice's room is a group", err); err != nil {
		return err
	}
	alice.says("invites Bob's ghost")
	if err := alice.matrix.Invite(ctx, alice.group, alice.ghostOf(alice.direct, bob)); err != nil {
		return err
	}
	if err := d.invitedTo(ctx, alice, bob); err != nil {
		return err
	}
	alice.says("invites her colleague Anna by her Matrix id")
	if err := alice.matrix.Invite(ctx, alice.group, anna.matrix.ID()); err != nil {
		return err
	}
	if err := d.invitedTo(ctx, alice, anna); err != nil {
		return err
	}
	for _, guest := range []*person{ben, d.dinah} {
		bob.says("invites his colleague %s by Matrix id", guest.first)
		if err := bob.matrix.Invite(ctx, bob.group, guest.matrix.ID()); err != nil {
			return err
		}
		if err := d.invitedTo(ctx, bob, guest); err != nil {
			return err
		}
	}
	return d.expected.That("colleagues share a room", alice.group == anna.group && bob.group == ben.group, "they have rooms of their own")
}

// invitedTo checks that a person is invited to the group by another one, and lets
// them join.
func (d *demo) invitedTo(ctx context.Context, host, guest *person) error {
	room, inviter, err := guest.invitation(ctx, roomName)
	// What somebody told in a direct chat is not shown to others: the name comes
	// when they tell the group.
	named := inviter == host.handle() || inviter == host.shown()
	if host.site == guest.site {
		named = inviter == host.name
	}
	if err == nil && !named {
		err = fmt.Errorf("it comes from %q", inviter)
	}
	if err := d.expected.Check(guest.first+" sees an invitation to the group that names who has added them", err); err != nil {
		return err
	}
	if err := d.notJoined(ctx, guest, room, "the gateway does not join for "+guest.first); err != nil {
		return err
	}
	guest.says("joins")
	if err := d.expected.Check(guest.first+" can join", guest.matrix.Join(ctx, room)); err != nil {
		return err
	}
	guest.group = room
	err = guest.matrix.Await(ctx, "the group", func(v *matrixclient.View) bool {
		_, ok := isPortal(v.Rooms[room])
		return ok && v.Rooms[room].Name() == roomName
	})
	return d.expected.Check(guest.first+" sees the group with its name", err)
}

// allTalk lets everybody in the group write, and everybody see it.
func (d *demo) allTalk(ctx context.Context) error {
	d.story.Chapter("Everyone talks")
	all := []*person{d.alice, d.bob, d.anna, d.ben, d.dinah}
	for i, text := range []string{
		"Shall we have the picnic by the river?", "I shall bring the boat and the oars",
		"I would rather come by train, if I may", "Is there any cheese left over?", "I am fond of mice, on the whole",
	} {
		from := all[i]
		if _, err := from.write(ctx, from.group, text); err != nil {
			return err
		}
		for _, to := range all {
			if to == from {
				continue
			}
			_, err := to.sees(ctx, to.group, from, text)
			if err := d.expected.Check(fmt.Sprintf("%s sees what %s wrote, by name", to.first, from.first), err); err != nil {
				return err
			}
		}
	}
	for _, p := range []*person{d.bob, d.ben} {
		if err := d.disclosed(ctx, p, p.group); err != nil {
			return err
		}
	}
	return d.rename(ctx)
}

// rename lets both sides rename the group.
func (d *demo) rename(ctx context.Context) error {
	for _, step := range []struct {
		from, to *person
		name     string
	}{{d.alice, d.bob, "Plans for the Looking-Glass Picnic"}, {d.bob, d.alice, roomName}} {
		step.from.says("renames the group %q", step.name)
		d.said = append(d.said, step.name)
		_, err := step.from.matrix.Matrix.SendStateEvent(ctx, step.from.group, event.StateRoomName, "", &event.RoomNameEventContent{Name: step.name})
		if err != nil {
			return err
		}
		err = step.to.matrix.Await(ctx, "the new name", func(v *matrixclient.View) bool {
			return v.Rooms[step.to.group].Name() == step.name
		})
		if err := d.expected.Check(step.to.first+" sees the new name of the group", err); err != nil {
			return err
		}
	}
	return nil
}

// someLead lets Alice make Bob an administrator by a power level, and takes that back by
// a command.
func (d *demo) someLead(ctx context.Context) error {
	d.story.Chapter("Bob is an administrator for a while")
	alice, bob := d.alice, d.bob
	ghost := alice.ghostOf(alice.group, bob)
	var power event.PowerLevelsEventContent
	if err := alice.matrix.Matrix.StateEvent(ctx, alice.group, event.StatePowerLevels, "", &power); err != nil {
		return err
	}
	alice.says("gives Bob's ghost the power level 50")
	power.SetUserLevel(ghost, 50)
	if _, err := alice.matrix.Matrix.SendStateEvent(ctx, alice.group, event.StatePowerLevels, "", &power); err != nil {
		return err
	}
	level := func(want int) error {
		return bob.matrix.Await(ctx, fmt.Sprintf("level %d", want), func(v *matrixclient.View) bool {
			return v.Rooms[bob.group].Level(bob.matrix.ID()) == want
		})
	}
	if err := d.expected.Check("Bob has the level 50 at his homeserver", level(50)); err != nil {
		return err
	}
	alice.says("tells the bot in the group \"demote %s\"", bob.handle())
	if _, err := alice.matrix.SendText(ctx, alice.group, "!mimi demote "+bob.handle()); err != nil {
		return err
	}
	return d.expected.Check("Bob has the level 0 again", level(0))
}

// someLeave lets Ben leave, and people of both homeservers be removed.
func (d *demo) someLeave(ctx context.Context) error {
	d.story.Chapter("Ben leaves, Anna and Dinah are removed")
	alice, bob, anna, ben, dinah := d.alice, d.bob, d.anna, d.ben, d.dinah
	ben.says("leaves")
	if err := ben.matrix.Leave(ctx, ben.group); err != nil {
		return err
	}
	err := alice.membership(ctx, alice.group, alice.ghostOf(alice.group, ben), event.MembershipLeave)
	if err := d.expected.Check("Alice sees that Ben has left", err); err != nil {
		return err
	}
	alice.says("removes Anna, who is of her homeserver")
	if err := alice.matrix.Kick(ctx, alice.group, anna.matrix.ID()); err != nil {
		return err
	}
	err = bob.membership(ctx, bob.group, bob.ghostOf(bob.group, anna), event.MembershipLeave)
	if err := d.expected.Check("Bob sees that Anna is removed", err); err != nil {
		return err
	}
	alice.says("removes Dinah, who is of the other one")
	if err := alice.matrix.Kick(ctx, alice.group, alice.ghostOf(alice.group, dinah)); err != nil {
		return err
	}
	err = bob.membership(ctx, bob.group, dinah.matrix.ID(), event.MembershipLeave)
	if err := d.expected.Check("Dinah is out of the Matrix room that she shares with Bob", err); err != nil {
		return err
	}
	return d.quiet(ctx)
}

// quiet checks that those who are out of the group see nothing that follows.
func (d *demo) quiet(ctx context.Context) error {
	secrets := []string{"It is quieter now, is it not?", "So it is; now we can talk"}
	if _, _, err := d.exchange(ctx, d.bob, d.alice, d.bob.group, d.alice.group, secrets[0]); err != nil {
		return err
	}
	if _, _, err := d.exchange(ctx, d.alice, d.bob, d.alice.group, d.bob.group, secrets[1]); err != nil {
		return err
	}
	for _, p := range []*person{d.anna, d.ben, d.dinah} {
		if err := p.matrix.Barrier(ctx); err != nil {
			return err
		}
		seen := p.count(p.group, secrets[0]) + p.count(p.group, secrets[1])
		if err := d.expected.That(p.first+" sees nothing that follows", seen == 0, "%d messages were seen", seen); err != nil {
			return err
		}
	}
	return nil
}
