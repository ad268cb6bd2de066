package bridge

import (
	"context"
	"fmt"
	"time"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// The power levels of portals. Everybody may add people and change the name, and
// administrators of the MIMI room may remove people, as the room's policy has it.
// Nobody may ban, or take back others' messages: MIMI would not follow.
const (
	powerMember = 0
	powerAdmin  = 50
	powerNobody = 100
)

// chatInfo returns what bridgev2 is told of a room. The list of members is empty:
// see [Client.GetChatInfo].
func (c *Connector) chatInfo(ctx context.Context, info *client.RoomInfo) (*bridgev2.ChatInfo, error) {
	kind := database.RoomTypeDefault
	name := info.Name
	list := &bridgev2.ChatMemberList{MemberMap: bridgev2.ChatMemberMap{}, PowerLevels: powerOverrides()}
	if info.Kind == client.RoomConnection {
		kind = database.RoomTypeDM
		var account, peer client.Person
		for _, m := range info.Members {
			if m.Local {
				account = m.Person
			} else {
				peer = m.Person
			}
		}
		contact, err := c.contactIn(ctx, account.User, info.Room)
		if err != nil {
			return nil, err
		}
		if contact != nil {
			peer = client.Person{User: contact.Peer}
			name = shownName(contact.Peer, contact.Name)
		}
		if !peer.User.IsZero() || !peer.Pseudonym.IsZero() {
			if list.OtherUserID, err = c.ghostID(ctx, info.Room, peer); err != nil {
				return nil, err
			}
		}
	}
	return &bridgev2.ChatInfo{Name: &name, Type: &kind, Members: list}, nil
}

// contactIn returns the contact of an account whose connection room this is, or
// nil.
func (c *Connector) contactIn(ctx context.Context, account, room mimi.URI) (*client.Contact, error) {
	if account.IsZero() {
		return nil, nil
	}
	contacts, err := c.backend.Engine.Contacts(ctx, account)
	if err != nil {
		return nil, err
	}
	for _, contact := range contacts {
		if contact.Room == room {
			return contact, nil
		}
	}
	return nil, nil
}

func powerOverrides() *bridgev2.PowerLevelOverrides {
	level := func(n int) *int { return &n }
	return &bridgev2.PowerLevelOverrides{
		Events: map[event.Type]int{
			event.StateRoomName: powerMember, event.StateTopic: powerMember, event.StateRoomAvatar: powerMember,
			event.StatePowerLevels: powerAdmin,
		},
		UsersDefault: level(powerMember), EventsDefault: level(powerMember), StateDefault: level(powerAdmin),
		Kick: level(powerAdmin), Ban: level(powerNobody), Redact: level(powerNobody),
		Custom: func(power *event.PowerLevelsEventContent) bool {
			// It is the default of Matrix, and so left out by bridgev2; homeservers
			// have another one for new rooms.
			if power.InvitePtr != nil && *power.InvitePtr == powerMember {
				return false
			}
			power.InvitePtr = level(powerMember)
			return true
		},
	}
}

// setPower gives administrators of a MIMI room their power in its portal, and nobody
// else, and everything else the level that it has in all portals. In a room that was
// there before, its people decide. It reports whether something was another way.
func (c *Connector) setPower(ctx context.Context, portal *bridgev2.Portal, info *client.RoomInfo) (changed bool, err error) {
	if isPlumbed(portal) {
		return false, nil
	}
	power, err := c.bridge.Matrix.GetPowerLevels(ctx, portal.MXID)
	if err != nil {
		return false, fmt.Errorf("bridge: failed to read the power levels: %w", err)
	}
	bot := c.bridge.Bot.GetMXID()
	changed = powerOverrides().Apply(bot, power)
	wanted := map[id.UserID]int{}
	for user := range power.Users {
		wanted[user] = powerMember // who is not in the MIMI room has no power over it
	}
	for _, m := range info.Members {
		user, err := c.appears(ctx, info.Room, m.Person)
		if err != nil {
			return false, err
		}
		wanted[user] = powerMember
		if m.Admin && info.Kind == client.RoomGroup {
			wanted[user] = powerAdmin
		}
	}
	delete(wanted, bot)
	for user, level := range wanted {
		changed = power.EnsureUserLevelAs(bot, user, level) || changed
	}
	if !changed {
		return false, nil
	}
	_, err = c.bridge.Bot.SendState(ctx, portal.MXID, event.StatePowerLevels, "", &event.Content{Parsed: power}, time.Time{})
	if err != nil {
		return false, fmt.Errorf("bridge: failed to set the power levels: %w", err)
	}
	return true, nil
}

// isPlumbed reports whether a portal is a Matrix room that was there before.
func isPlumbed(portal *bridgev2.Portal) bool {
	meta, ok := portal.Metadata.(*mimiid.PortalMetadata)
	return ok && meta.Plumbed
}
