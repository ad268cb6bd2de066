package client

import (
	"errors"
	"fmt"
)

// What a person can be told about. The Matrix side has a sentence and a next step
// for each.
var (
	// ErrSelf reports an account that wants to connect with itself.
	ErrSelf = errors.New("client: this is your own address")
	// ErrColleague reports a connection with another account here: none is needed.
	ErrColleague = errors.New("client: this person has an account here; no connection is needed")
	// ErrAlreadyAsked reports a request that is out already.
	ErrAlreadyAsked = errors.New("client: already asked, not yet answered")
	// ErrAlreadyConnected reports a connection that exists.
	ErrAlreadyConnected = errors.New("client: already connected")
	// ErrBlocked reports a person whom the account has blocked.
	ErrBlocked = errors.New("client: you have blocked this person")
	// ErrNotBlocked reports a person who is not blocked.
	ErrNotBlocked = errors.New("client: this person is not blocked")
	// ErrPeerLeft reports a direct chat that the other person has left.
	ErrPeerLeft = errors.New("client: the other person has left the direct chat")
	// ErrPeerClosed reports a person who has closed their account.
	ErrPeerClosed = errors.New("client: the other person has closed their account")
	// ErrKeyChanged reports a person whose keys are others than those that the account
	// has compared.
	ErrKeyChanged = errors.New("client: the keys of this person have changed since they were compared")
	// ErrNoKey reports a person of whom no key was seen yet.
	ErrNoKey = errors.New("client: no key of this person was seen yet")
	// ErrNotConnected reports an invitation of somebody who is no contact.
	ErrNotConnected = errors.New("client: not connected with this person")
	// ErrNoAccount reports an account that is not there.
	ErrNoAccount = errors.New("client: there is no such account here")
	// ErrClosing reports an account that is being deleted.
	ErrClosing = errors.New("client: the account is being deleted")
	// ErrNoPerson reports an address that nobody has, as far as its provider says.
	ErrNoPerson = errors.New("client: nobody can be reached at this address")
	// ErrNoRequest reports a request that is not there, or not any more.
	ErrNoRequest = errors.New("client: no such request")
	// ErrNotMember reports somebody who is not in the room.
	ErrNotMember = errors.New("client: not a member of the room")
	// ErrAlreadyMember reports somebody who is in the room already.
	ErrAlreadyMember = errors.New("client: already a member of the room")
	// ErrInvited reports an account that has not yet said yes to an invitation:
	// nothing is sent for it.
	ErrInvited = errors.New("client: the invitation to the room is not accepted")
	// ErrConnectionRoom reports an operation that connection rooms do not have.
	ErrConnectionRoom = errors.New("client: a direct chat is for two people")
	// ErrQueued reports that a message is stored and will be sent, but that the hub
	// has not accepted it yet.
	ErrQueued = errors.New("client: the message is queued; the room cannot be reached at the moment")
	// ErrLeaving reports a room that an account leaves as soon as its hub can be
	// reached. That is stored, and nothing has to be done for it.
	ErrLeaving = errors.New("client: you leave the room as soon as its provider can be reached")
	// ErrUnreachable reports another provider that does not answer.
	ErrUnreachable = errors.New("client: the other provider cannot be reached at the moment")
	// ErrDenied reports what the room's policy does not allow to this person.
	ErrDenied = errors.New("client: the room does not allow this")
	// ErrOwnRole reports somebody who would change their own role, which is an
	// [ErrDenied].
	ErrOwnRole = fmt.Errorf("%w: nobody changes their own role", ErrDenied)
	// ErrAdminHides reports somebody who does not show the members who they are, and can
	// so be no administrator of the room. It is an [ErrDenied].
	ErrAdminHides = fmt.Errorf("%w: administrators of this room show who they are", ErrDenied)
	// ErrBusy reports a room that changes too fast, or waits for something that
	// does not come.
	ErrBusy = errors.New("client: the room is busy; try again")
	// ErrLost reports a room whose newest wrapper key is not known here: a join link
	// helps ([Client.JoinLink]), or an administrator removes the person and adds them
	// again.
	ErrLost = errors.New("client: the room is lost")
	// ErrQuarantine reports a room with unverified members, to which nothing is
	// sent before the person says so.
	ErrQuarantine = errors.New("client: the room has members whose identity could not be verified")
	// ErrTooManyRooms reports an account that is in as many rooms as it may be.
	ErrTooManyRooms = errors.New("client: you are in too many rooms; leave one first")
	// ErrLinkForm reports a text that is no join link, or a link that was not made for
	// the room that it names.
	ErrLinkForm = errors.New("client: this is not a join link, or not a whole one")
	// ErrLinkDead reports a join link that has expired, is used up, or has died because
	// somebody was removed. The hub does not say which.
	ErrLinkDead = errors.New("client: the join link does not work any more")
	// ErrLinkRemoval reports a join link that is about to die: somebody is being
	// removed.
	ErrLinkRemoval = errors.New("client: somebody is being removed from the room, and the join link dies with that")
	// ErrLinkOptions reports a join link that is to live too long, or to be used too
	// often.
	ErrLinkOptions = errors.New("client: a join link can't live so long, or be used so often")
	// ErrTooManyLinks reports an account that has made as many links to a room as it
	// may.
	ErrTooManyLinks = errors.New("client: you have too many join links to this room; revoke one first")
	// ErrNoLink reports a link of one's own that is not there, or not any more.
	ErrNoLink = errors.New("client: no such join link")
	// ErrLinkStays reports a link that its hub does not withdraw.
	ErrLinkStays = errors.New("client: the hub of the room does not withdraw join links")
	// ErrLinksOnly reports an invitation to a room that people enter by link alone.
	ErrLinksOnly = errors.New("client: people enter this room by link alone")
	// ErrNotPseudonymous reports a room that wants to know who is in it.
	ErrNotPseudonymous = errors.New("client: the members of this room see who is in it")
	// ErrPseudonymous reports what an account cannot do while its identity is not
	// shown to the room.
	ErrPseudonymous = errors.New("client: your identity is not shown in this room")
	// ErrFull reports a room that has as many participants as it may have.
	ErrFull = errors.New("client: the room is full")
	// ErrPlainRooms reports a plain room where this gateway's operator has not allowed
	// them.
	ErrPlainRooms = errors.New("client: plain rooms are not allowed here")
	// ErrPlainRoom reports an operation that plain rooms do not have.
	ErrPlainRoom = errors.New("client: not in a plain room")
	// ErrNoMaterial reports a person whose provider has no KeyPackages left to add
	// them with.
	ErrNoMaterial = errors.New("client: there are no KeyPackages of this person at the moment")
	// ErrNoConsent reports a person who does not know this account as a contact (any
	// more).
	ErrNoConsent = errors.New("client: this person does not accept being added by you")
	// ErrNotAsked reports a person whose provider does not take a request for consent.
	ErrNotAsked = errors.New("client: the other provider does not take the request")
	// ErrConsented reports a person who has consented already.
	ErrConsented = errors.New("client: this person has consented already")
	// ErrUnverified reports KeyPackages that do not prove to be the person's.
	ErrUnverified = errors.New("client: the KeyPackages are not verifiably this person's")
	// ErrStopped reports a client that is stopping.
	ErrStopped = errors.New("client: stopping")
)
