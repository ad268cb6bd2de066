package client

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

// An EventKind says what an [Event] reports.
type EventKind string

// The kinds of events, with the fields of [Event] that each one uses besides
// Kind and Time.
const (
	// EventAsked: Peer asks Account for a connection, or with Plain for consent to add it
	// to plain rooms. Request names the request for [Client.Accept] and [Client.Decline].
	EventAsked EventKind = "asked"
	// EventWithdrawn: Request of Peer does not wait for Account any more: nobody has
	// answered it in time, Peer has taken it back, Account has blocked Peer, or is being
	// deleted.
	EventWithdrawn EventKind = "withdrawn"
	// EventConnected: Account and Peer are connected, by Account's acceptance or
	// by Peer's. Room is their connection room.
	EventConnected EventKind = "connected"
	// EventRefused: what Account had started with Peer failed for good, for
	// Reason. A declined request is never reported: it looks like an unanswered
	// one.
	EventRefused EventKind = "refused"
	// EventConsented: Account has consented to be added to plain rooms by Peer, who had
	// asked for it: Request.
	EventConsented EventKind = "consented"
	// EventGranted: Peer, whom Account had asked, has consented to be added to plain
	// rooms by Account.
	EventGranted EventKind = "granted"
	// EventInvited: Actor added Account to Room. Nothing is sent for Account
	// before [Client.Join]; [Client.Leave] declines.
	EventInvited EventKind = "invited"
	// EventJoined: Account has entered Room by a link of its own accord. The truth is
	// in [Client.Room].
	EventJoined EventKind = "joined"
	// EventMembers: Actor added Added to, or removed Removed from Room, or has given
	// members other roles: Changed. Who left by themselves is Actor too. The truth is in
	// [Client.Room].
	EventMembers EventKind = "members"
	// EventOpened: it is known now who Added are, who were in Room before: their
	// identity links have been opened.
	EventOpened EventKind = "opened"
	// EventGone: Account is not a member of Room any more. Actor removed it, or
	// is Account if it left.
	EventGone EventKind = "gone"
	// EventRoom: the name of Room is Name now.
	EventRoom EventKind = "room"
	// EventPolicy: Requirement says now whose identity the members of Room see. Actor
	// has changed it.
	EventPolicy EventKind = "policy"
	// EventMessage: Actor sent Content, whose message id is Message, in Room.
	EventMessage EventKind = "message"
	// EventName: Peer has told the members of Room that its display name is
	// Name.
	EventName EventKind = "name"
	// EventDeleting: the account, which is being deleted, is out of Count of the Total
	// rooms that it was in.
	EventDeleting EventKind = "deleting"
	// EventDeleted: nothing is left of Account.
	EventDeleted EventKind = "deleted"
	// EventAlert: something in Room, or about Peer, needs a person's attention.
	// Reason says what.
	EventAlert EventKind = "alert"
)

// A Person is somebody in a room.
type Person struct {
	// User is the real address, or zero if the identity link did not open: then
	// the person is unverified, and only Pseudonym is known.
	User mimi.URI `json:"user,omitzero"`
	// Pseudonym is the user pseudonym in the room of the event.
	Pseudonym mimi.URI `json:"pseudonym,omitzero"`
	// Local says that the person has an account here.
	Local bool `json:"local,omitzero"`
	// Hidden says that the person does not show who they are, as the room allows.
	Hidden bool `json:"hidden,omitzero"`
}

// A Reason is a code for something that went wrong. The Matrix side has a
// sentence and a next step for each.
type Reason string

// The reasons of EventRefused and EventAlert.
const (
	// ReasonWrongPerson: somebody else than the person asked has answered a
	// connection request, and was removed.
	ReasonWrongPerson Reason = "wrong-person"
	// ReasonExpired: a request was not answered in time.
	ReasonExpired Reason = "expired"
	// ReasonKeyChanged: Peer, with whom Account is connected, uses another client or
	// another key than before.
	ReasonKeyChanged Reason = "key-changed"
	// ReasonVerifiedChanged is ReasonKeyChanged about somebody with whom Account had
	// compared safety codes.
	ReasonVerifiedChanged Reason = "verified-key-changed"
	// ReasonNotAsked: Peer's provider has not taken Account's request for consent.
	ReasonNotAsked Reason = "not-asked"
	// ReasonConsentRefused: Peer does not consent to be added by Account.
	ReasonConsentRefused Reason = "consent-refused"
	// ReasonConsentRevoked: Peer, who had consented to be added by Account, does so no
	// more.
	ReasonConsentRevoked Reason = "consent-revoked"
	// ReasonPeerLeft: Peer has ended the connection with Account.
	ReasonPeerLeft Reason = "peer-left"
	// ReasonPeerClosed: Peer, with whom Account is connected, has closed their account.
	ReasonPeerClosed Reason = "peer-closed"
	// ReasonLinkDied: the join links of Account to Room, which is called Name, do not
	// work any more, because somebody was removed from it.
	ReasonLinkDied Reason = "link-died"
	// ReasonLinkFailed: Account did not get into a room by a link, when the answer of
	// its hub was late.
	ReasonLinkFailed Reason = "link-failed"
	// ReasonRoomGone: the room that a request or invitation was for is gone.
	ReasonRoomGone Reason = "room-gone"
	// ReasonQuarantine: the identity links of members of the room do not open: of
	// Count in all. Actor is the member who brought the last one, or that one itself;
	// zero if it was there when the room was joined.
	ReasonQuarantine Reason = "quarantine"
	// ReasonRemoveUnverified: Count members of the room have been unverified for so
	// long that an administrator has to remove them, and none is here.
	ReasonRemoveUnverified Reason = "remove-unverified"
	// ReasonSharedPseudonym: Actor has the same pseudonym in another room that accounts
	// here are in, which hears the same, or that they or Actor have left. Somebody may
	// have added them to one of the two without their knowing.
	ReasonSharedPseudonym Reason = "shared-pseudonym"
	// ReasonLastResort: Peer was given a set of Account's KeyPackages that it had been
	// given before: rooms that it adds the account to share a pseudonym.
	ReasonLastResort Reason = "last-resort"
	// ReasonIdentityCA: Peer's provider uses another identity CA than before. Count
	// contacts of the account are there, Peer among them.
	ReasonIdentityCA Reason = "identity-ca"
	// ReasonIdentityCAAccepted: an administrator has accepted the other identity CA of
	// Peer's provider.
	ReasonIdentityCAAccepted Reason = "identity-ca-accepted"
	// ReasonResync: the gateway lost track of the room and joined it anew;
	// messages may be missing.
	ReasonResync Reason = "resync"
	// ReasonLost: the gateway lost track of the room and cannot come back by
	// itself. A contact or a link helps, or somebody who adds the person again.
	// Count contacts are asked for help.
	ReasonLost Reason = "lost"
	// ReasonPoisoned: a member's commit was invalid for everybody.
	ReasonPoisoned Reason = "poisoned"
)

// An Event is something that the Matrix side has to show.
type Event struct {
	Kind EventKind `json:"kind"`
	// Seq is a number that no other event has; a repeat of an event has the same.
	Seq uint64 `json:"-"`
	// Time is the hub's for what happened in a room, and ours otherwise.
	Time time.Time `json:"time"`
	// Account that the event is for; zero if it is for all in Room.
	Account mimi.URI `json:"account,omitzero"`
	Room    mimi.URI `json:"room,omitzero"`
	Peer    mimi.URI `json:"peer,omitzero"`
	Actor   Person   `json:"actor,omitzero"`
	Added   []Person `json:"added,omitempty"`
	Removed []Person `json:"removed,omitempty"`
	Changed []Person `json:"changed,omitempty"`
	Request Ref      `json:"request,omitzero"`
	Message []byte   `json:"message,omitempty"`
	Content []byte   `json:"content,omitempty"`
	Name    string   `json:"name,omitempty"`
	Reason  Reason   `json:"reason,omitempty"`
	Count   int      `json:"count,omitempty"`
	Total   int      `json:"total,omitempty"`

	Requirement identity.LinkRequirement `json:"requirement,omitempty"`
	// Plain says with EventInvited that Room is a plain room, and with EventAsked that
	// the request is about plain rooms.
	Plain bool `json:"plain,omitempty"`
	// OneRoom says of a consent that it is about one room alone.
	OneRoom bool `json:"one_room,omitempty"`
}

// A Ref names a request: a connection request by its request_ref (mmr-profile.md,
// section 4), one for consent by that of its scope.
type Ref [32]byte

// String returns the form that people type: the first octets in hexadecimal.
func (r Ref) String() string { return fmt.Sprintf("%x", r[:4]) }

// A Sink is told what has happened.
type Sink interface {
	// Deliver shows an event. Events of one room, and those of one account that
	// belong to no room, are delivered one after another in order; others at the
	// same time. When Deliver returns nil, the event is forgotten; otherwise, or
	// after a crash, it is delivered again, so showing an event twice must have
	// the effect of showing it once.
	Deliver(ctx context.Context, event *Event) error
}

// lane returns what the event is in order with.
func (e *Event) lane() mimi.URI {
	if e.Room.IsZero() {
		return e.Account
	}
	return e.Room
}

// store writes the event for delivery. It is called in a transaction, and
// delivery starts once that is done: see [Client.wake].
func (e *Event) store(ctx context.Context, store Events) error {
	secret, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("client: encode %s event: %w", e.Kind, err)
	}
	return store.AddEvent(ctx, &StoredEvent{Lane: e.lane(), Secret: secret})
}

func loadEvent(stored *StoredEvent) (*Event, error) {
	e := &Event{Seq: stored.Seq}
	if err := json.Unmarshal(stored.Secret, e); err != nil {
		return nil, fmt.Errorf("client: decode event %d: %w", stored.Seq, err)
	}
	return e, nil
}
