package bridge

import (
	"errors"

	"maunium.net/go/mautrix/bridgev2"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// plainType is the type of groups that are plain rooms, in the place where bridgev2
// lets people choose: `create-group plain`. It is there where the operator allows
// plain rooms.
const plainType = "plain"

// groupTypes returns the types of groups that people can make.
func (c *Connector) groupTypes() map[string]bridgev2.GroupTypeCapabilities {
	group := bridgev2.GroupTypeCapabilities{
		TypeDescription: "a group",
		Name:            bridgev2.GroupFieldCapability{Allowed: true, MaxLength: 255},
		Topic:           bridgev2.GroupFieldCapability{Allowed: true, MaxLength: maxTopic},
		Avatar:          bridgev2.GroupFieldCapability{Allowed: true},
		Participants:    bridgev2.GroupFieldCapability{Allowed: true},
	}
	types := pseudonymTypes(group)
	types[groupType] = group
	if c.opts.Config.PlainRooms {
		group.TypeDescription = "a plain group, whose providers see who is in it"
		types[plainType] = group
	}
	return types
}

// plainDisclosure says what people must know of a plain room before their first
// message (docs/mmr-profile.md, section 11, "Plain rooms").
func plainDisclosure(domain string) string {
	return "This is a plain room, connected with people of other providers by the MIMI gateway " + domain + ".\n\n" +
		"* Nobody is hidden here: the provider that hosts the room, and the provider of every member, see the real address " +
		"of everybody who is in it, who adds and removes whom, who writes when, and the name of the room. " +
		"They do not see what is written.\n" +
		"* Whoever operates the gateway can read what is written here, and could write in your name. " +
		"End-to-end encryption ends at the gateway.\n" +
		"* The others in this room, wherever they are, can read the messages, and see your MIMI address and your display name.\n" +
		"* Deleting or editing a message here asks the others to do the same. It does not delete the copies that they have."
}

// invitationText is what people read before they join a group: for a plain room, that
// it is one.
func invitationText(info *client.RoomInfo) string {
	if !info.Plain {
		return ""
	}
	return "This is a plain room: the providers of all members see your address, and who else is in it."
}

// explainKeyMaterial says why another provider has not let a person be added.
func explainKeyMaterial(err error) (explanation, bool) {
	refused, ok := errors.AsType[*protocol.KeyMaterialError](err)
	if !ok {
		return explanation{}, false
	}
	switch refused.Code {
	case protocol.KeyMaterialNoConsent, protocol.KeyMaterialNoConsentForThisRoom:
		return explanation{
			cause: err, what: "This person can't be added: they are not connected with you any more, or their provider does not allow this kind of room.",
			next: "Ask them, or send `start-chat` with their address.",
		}, true
	case protocol.KeyMaterialNoCompatibleMaterial, protocol.KeyMaterialIncompatibleProtocol:
		return explanation{
			cause: err, what: "This person can't be added at the moment: their provider has nothing ready with which they could join.",
			next: "Try again in an hour.", retry: true,
		}, true
	default:
		return explanation{cause: err, what: "There is nobody with this address any more.", next: "Ask the person for their new address."}, true
	}
}
