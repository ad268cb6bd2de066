package bridge

import (
	"errors"
	"net/http"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge/msgconv"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// An explanation is what a person is told when something did not work: what
// happened, and what to do next. It is the only form in which errors of the
// engine reach people.
type explanation struct {
	cause error
	// what and next are sentences; next may be empty.
	what, next string
	// retry says that the same may work later.
	retry bool
}

// String returns both sentences.
func (e explanation) String() string {
	if e.next == "" {
		return e.what
	}
	return e.what + " " + e.next
}

// Error implements error.
func (e explanation) Error() string { return e.String() }

// Unwrap returns what is explained.
func (e explanation) Unwrap() error { return e.cause }

// explanations has a line for each error that people can be told about.
var explanations = []explanation{
	{client.ErrSelf, "This is your own address.", "", false},
	{client.ErrColleague, "This person has an account on your own homeserver.", "No connection is needed: invite them by their Matrix id.", false},
	{client.ErrAlreadyAsked, "You have asked this person already, and they have not answered yet.", "You will see a chat with them when they accept. Nobody is told if they don't.", false},
	{client.ErrAlreadyConnected, "You are connected with this person already.", "", false},
	{client.ErrNotConnected, "You are not connected with this person.", "Ask them first: `start-chat` with their address.", false},
	{client.ErrBlocked, "You have blocked this person.", "`unblock` with their address takes that back.", false},
	{client.ErrNotBlocked, "You have not blocked this person.", "`connections` lists whom you have.", false},
	{client.ErrKeyChanged, "The keys of this person have changed since you compared safety codes, so nothing was done.", "Compare again: `verify` with their address, then `verified`. `unverify` goes on without.", false},
	{client.ErrNoKey, "This person has not answered yet, so there is no safety code.", "Try again when you are connected.", false},
	{identity.ErrSafetyCode, "This is no safety code: it has 64 digits.", "Copy all of it.", false},
	{client.ErrPeerLeft, "The other person has left this chat, so nothing was sent.", "Ask them again: `start-chat` with their address.", false},
	{client.ErrPeerClosed, "The other person has closed their account, so nothing was sent.", "Ask them in another way where you can reach them now.", false},
	{errNoAddress, "This participant does not show who they are, so there is no address to ask.", "Ask them in the room for their address, then say `start-chat` with it.", false},
	{client.ErrNoAccount, "There is no such account.", "`login` makes one.", false},
	{client.ErrClosing, "The account is being deleted.", "Wait until it is, then say `login` for a new one.", false},
	{errNotAdmin, "Only administrators of this gateway may do that.", "", false},
	{identity.ErrNoPin, "This provider has no other identity CA with that fingerprint.", "`identity-cas` lists those that have changed theirs.", false},
	{errFingerprint, "This is no fingerprint: it has 64 digits and letters.", "Copy all of it.", false},
	{client.ErrNoPerson, "Nobody can be reached at this address.", "Check how it is written, and whether the person uses MIMI.", false},
	{client.ErrNoRequest, "There is no such request, or not any more.", "`requests` lists those that wait for you.", false},
	{client.ErrNotMember, "You, or the person, are not in this room.", "Somebody who is in it has to add you again.", false},
	{client.ErrAlreadyMember, "This person is in the room already.", "", false},
	{client.ErrInvited, "You have not yet accepted the invitation to this room.", "Join it, then try again.", false},
	{client.ErrConnectionRoom, "A direct chat is for two people.", "Make a group to talk to more: `create-group`.", false},
	{client.ErrQueued, "The room's provider cannot be reached at the moment.", "What you sent is kept, and sent as soon as it can be.", true},
	{
		client.ErrLeaving, "The provider of the room you have left cannot be reached at the moment.",
		"The others see you leave as soon as it can be. You don't have to do anything.", false,
	},
	{client.ErrUnreachable, "The other provider cannot be reached at the moment.", "Try again later.", true},
	{client.ErrBusy, "The room is changing at the moment.", "Try again.", true},
	{client.ErrLost, "The gateway has lost track of this room.", "Ask a member for a link (`link` in the room), and say `join <link>` to me. Or an administrator removes you and adds you again.", false},
	{client.ErrQuarantine, "This room has members whose identity could not be verified, so nothing is sent to it.", "Say `send-anyway` in the room to see who it is, and to send all the same.", false},
	{
		protocol.ErrNoProfile, "The other provider does not offer chats under pseudonyms.",
		"Only a plain group can be shared with its people, where your administrator allows those: `create-group plain`.", false,
	},
	{client.ErrConsented, "This person has agreed already that you add them to plain groups.", "Make one with `create-group plain`, and invite them there.", false},
	{
		client.ErrNotAsked, "The provider of this person has no chats under pseudonyms, and does not take requests to add them to plain groups.",
		"They can add you to plain groups now. Whether you can add them, their provider decides: `create-group plain`, and invite them.", false,
	},
	{client.ErrPlainRooms, "Plain groups, in which providers see who takes part, are not allowed here.", "Ask your administrator, or make another group: `create-group group`.", false},
	{client.ErrPlainRoom, "A plain room does not have this: everybody in it is seen by all providers.", "Make another group: `create-group group`.", false},
	{identity.ErrPinChanged, "The other provider uses other keys for the identities of its people than before.", "Ask the person in another way whether that is right, and tell your administrator.", false},
	{client.ErrNoMaterial, "This person's provider can't let them be added to another room at the moment.", "Try again tomorrow.", true},
	{client.ErrNoConsent, "This person does not accept being added by you any more.", "Ask them again: `start-chat` with their address.", false},
	{client.ErrUnverified, "What the other provider sent for this person does not prove that it is them, so they were not added.", "Ask the person in another way, and tell your administrator.", false},
	{client.ErrLinkForm, "This is not a whole join link.", "Copy it again, from `mimi://` to its end.", false},
	{client.ErrLinkDead, "This link does not work any more: it has expired, has been used as often as it may, or has ended because somebody left the room or was removed from it.", "Ask who gave it to you for a new one.", false},
	{client.ErrLinkRemoval, "Somebody is being removed from the room at the moment, and the link ends with that.", "Ask who gave it to you for a new one.", false},
	{client.ErrLinkOptions, "A link can't work for so long, or for so many people.", "90 days and 1000 people are the most.", false},
	{client.ErrTooManyLinks, "You have as many links to this room as you may have.", "Withdraw one that is not needed: `links` lists them, `unlink` withdraws one.", false},
	{client.ErrNoLink, "You have no such link to this room, or not any more.", "`links` lists them.", false},
	{client.ErrLinkStays, "The provider that hosts this room can't withdraw links, so this one goes on working.", "It ends when it expires, or when somebody leaves the room or is removed.", false},
	{client.ErrLinksOnly, "Nobody can be added to this room: people enter it by link alone.", "Make one with `link`, and give it to them.", false},
	{client.ErrNotPseudonymous, "The members of this room see who is in it.", "Enter without `pseudonymously`, or stay away.", false},
	{client.ErrPseudonymous, "You can't add people while you do not show who you are: they could not know who adds them.", "Show yourself with `identify`, or make a link with `link`.", false},
	{client.ErrFull, "The room has as many people as it may have.", "", false},
	{identity.ErrPolicyChange, "Who is seen in a room can only be loosened, from all to admins to optional, and never taken back.", "", false},
	{identity.ErrMetadataTooLong, "Name, topic and picture of the room are too long together.", "Make the topic shorter.", false},
	{rules.ErrTooLarge, "The name or the topic is too long.", "A name has at most 256 octets, a topic 4096.", false},
	{rules.ErrAvatar, "The picture is too large.", "Use a smaller one.", false},
	{errPicture, "This picture can't be the picture of the room in MIMI: it stands in the room's encrypted description, as a small JPEG.", "Use a JPEG, PNG or GIF of at most 8 MiB and 16 megapixels.", false},
	{client.ErrStopped, "The gateway is about to stop.", "Try again in a minute.", true},
	{mimi.ErrAddress, "This is not a MIMI address.", "Write it like bob@example.org.", false},
	{errElsewhere, "Only accounts of this homeserver have a MIMI address here.", "Ask for a gateway at your own homeserver.", false},
	{errNotSender, "Only who wrote a message can change or delete it.", "", false},
	{errUnknownMessage, "The message that this refers to was not sent through the gateway.", "", false},
	{errNoRoom, "This room is not connected to a MIMI room.", "", false},
	{content.ErrNotSender, "Only who wrote a message can change or delete it.", "", false},
	{msgconv.ErrEmpty, "The message is empty, so nothing was sent.", "", false},
	{msgconv.ErrReaction, "This reaction can't be sent to this chat.", "Use an emoji or a short text.", false},
	{client.ErrOwnRole, "Nobody can change their own role in MIMI.", "Ask another administrator of the room to do it.", false},
	{client.ErrAdminHides, "Administrators of this room have to show who they are, and this member does not.", "They can show themselves with `identify`; then try again.", false},
	// Behind what says more: a hub refuses for many reasons.
	{client.ErrDenied, "The rules of this room do not allow it to you.", "Ask one of its administrators.", false},
}

var (
	// errNoRoom reports a portal that is none of a MIMI room.
	errNoRoom = errors.New("bridge: this room is not connected to a MIMI room")
	// errNotSender reports a change of somebody else's message.
	errNotSender = errors.New("bridge: not the sender of the message")
	// errNoAddress reports a participant of whom only the pseudonym is known.
	errNoAddress = errors.New("bridge: the participant is not verified")
	// errUnknownMessage reports a message that has no MIMI message id.
	errUnknownMessage = errors.New("bridge: the message has no MIMI message id")
)

// explain returns what a person is told about err.
func explain(err error) explanation {
	if e, ok := errors.AsType[explanation](err); ok {
		return e
	}
	if e, ok := errors.AsType[*msgconv.UnsupportedError](err); ok {
		return explanation{cause: err, what: e.Notice()}
	}
	if errors.Is(err, mimi.ErrHandle) {
		return explanation{
			cause: err, what: "Your Matrix name can't be a MIMI address: it must be in lower case, and not longer than 128 characters.",
			next: "Use an account with another name.",
		}
	}
	if e, ok := explainKeyMaterial(err); ok {
		return e
	}
	if e, ok := explainQuarantine(err); ok {
		return e
	}
	for _, e := range explanations {
		if errors.Is(err, e.cause) {
			e.cause = err
			return e
		}
	}
	return explanation{
		cause: err, what: "Something went wrong in the gateway.", next: "Try again later; the administrator finds details in the log.", retry: true,
	}
}

// status returns the explanation as bridgev2 shows it under the event that
// failed.
func (e explanation) status() error {
	fate := event.MessageStatusFail
	if e.retry {
		fate = event.MessageStatusRetriable
	}
	return bridgev2.WrapErrorInStatus(e.cause).WithStatus(fate).WithMessage(e.String()).WithIsCertain(true).WithSendNotice(true)
}

// response returns the explanation as commands and the provisioning API show it.
func (e explanation) response() error {
	code := http.StatusBadRequest
	if e.retry {
		code = http.StatusServiceUnavailable
	}
	return bridgev2.RespError(mautrix.RespError{
		ErrCode: "IO.GITHUB.MIMI-GATEWAY.REFUSED", Err: e.String(), StatusCode: code,
	}).WithInternalError(e.cause)
}

// providerReasons are reasons that concern the provider, %[1]s, of several contacts, %[2]d.
var providerReasons = map[client.Reason]string{
	client.ReasonIdentityCA:         "The provider %[1]s, where %[2]d of your contacts are, uses other keys for the identities of its people than before. They are not believed until your administrator has asked about them and accepted them. Ask one of these contacts in another way whether that is right; `verify` with their address shows what you can compare.",
	client.ReasonIdentityCAAccepted: "Your administrator has accepted the other keys of the provider %[1]s, where %[2]d of your contacts are. If you have compared safety codes with some of them, compare them again: `verify` with their address. Until then nothing is sent to your chats with those whom you had verified.",
}

// lostAlone is what is said in place of [client.ReasonLost] where nobody is asked for help.
const lostAlone = "The gateway lost track of this room, and nobody in it whom it could ask for help is connected with you. Nothing that is written here arrives, in either direction. Ask a member in another way for a link (`link` in the room), and say `join <link>` to me. Or an administrator removes you and adds you again."

// reasons has a sentence and a next step for each reason of an event.
var reasons = map[client.Reason]string{
	client.ReasonWrongPerson:     "Somebody else answered your request to %s, and was removed. Ask them in another way what happened, then send `start-chat` again.",
	client.ReasonExpired:         "Your request to %s was not answered in 30 days, and has ended. You can send `start-chat` again.",
	client.ReasonLinkDied:        "Your links to %s do not work any more: somebody has left it, or was removed. `link` makes a new one, in its room.",
	client.ReasonLinkFailed:      "You are not in the room that you wanted to enter with a link: its provider did not answer in time, and the room has changed since. Say `join` with the link again.",
	client.ReasonKeyChanged:      "%s uses another key than before. That happens when they begin anew, on another device or gateway; and when somebody passes for them. Compare safety codes to see which: `verify` with their address.",
	client.ReasonVerifiedChanged: "**%s uses another key than the one that you have compared.** Nothing is sent to your chat with them until you compare safety codes again (`verify` with their address, then `verified`), or say `unverify` with it.",
	client.ReasonNotAsked: "The provider of %s does not take requests to add them to plain groups, or does not know them. " +
		"Check how the address is written. Whether you can add them to a plain group, their provider decides.",
	client.ReasonConsentRefused: "%s does not want to be added to plain groups by you.",
	client.ReasonConsentRevoked: "%s does not want to be added to plain groups by you any more. In groups that you share nothing changes.",
	client.ReasonPeerLeft:       "%s has ended the connection with you, and left your chat. You can't add them to rooms any more. `start-chat` asks them again.",
	client.ReasonPeerClosed:     "%s has closed their account. Nothing that you write reaches them; what you have of this chat stays.",
	client.ReasonRoomGone:       "The room of your request to %s does not exist any more. You can send `start-chat` again.",
	client.ReasonQuarantine:     "The identity of a member whom %s brought could not be verified. Ask them what happened. Nothing is sent to this room until that member is removed, or you say `send-anyway`.",
	client.ReasonSharedPseudonym: "In this room %s has the same pseudonym as in another room that members here are, or were, in. Most likely their provider had run out of new keys, which is harmless, except that providers can tell that it is the same person. " +
		"But somebody may also have added them without their knowing: ask them in another way whether they are in this room, and remove them if they are not.",
	client.ReasonLastResort: "Your keys for rooms that %s adds you to had run out, and one was given to them again: two of these rooms may show you under the same pseudonym, so that providers can tell that you are in both. " +
		"New keys are made within hours; you don't have to do anything. If nobody should know, leave one of the rooms and ask to be added again tomorrow.",
	client.ReasonIdentityCA:         "The provider of %s uses other keys for the identities of its people than before. They are not believed until your administrator has asked about them and accepted them. Ask %s in another way whether that is right; `verify` shows what you can compare.",
	client.ReasonIdentityCAAccepted: "Your administrator has accepted the other keys of the provider of %s. If you have compared safety codes, compare them again: `verify` with their address. Until then nothing is sent to your chat with somebody whom you had verified.",
	client.ReasonResync:             "The gateway lost track of this room, and joined it anew. Messages may be missing.",
	client.ReasonLost:               "The gateway lost track of this room, and asks your contacts in it for help. If nobody helps, ask a member for a link (`link` in the room), and say `join <link>` to me. Or an administrator removes you and adds you again.",
	client.ReasonPoisoned:           "%s sent a change of this room that is invalid for everybody. It was ignored; tell them.",
}
