package client

import "errors"

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
	// ErrNotConnected reports an invitation of somebody who is no contact.
	ErrNotConnected = errors.New("client: not connected with this person")
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
	// ErrUnreachable reports another provider that does not answer.
	ErrUnreachable = errors.New("client: the other provider cannot be reached at the moment")
	// ErrDenied reports what the room's policy does not allow to this person.
	ErrDenied = errors.New("client: the room does not allow this")
	// ErrBusy reports a room that changes too fast, or waits for something that
	// does not come.
	ErrBusy = errors.New("client: the room is busy; try again")
	// ErrLost reports a room whose state was lost; a member has to add the person
	// again.
	ErrLost = errors.New("client: the room is lost")
	// ErrQuarantine reports a room with unverified members, to which nothing is
	// sent before the person says so.
	ErrQuarantine = errors.New("client: the room has members whose identity could not be verified")
	// ErrTooManyRooms reports an account that is in as many rooms as it may be.
	ErrTooManyRooms = errors.New("client: you are in too many rooms; leave one first")
	// ErrStopped reports a client that is stopping.
	ErrStopped = errors.New("client: stopping")
)
