package connection

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A State says how far a connection has come. Zero is no state.
type State uint8

// The states of a contact.
const (
	// Requested: our request is out and unanswered, perhaps declined.
	Requested State = iota + 1
	// Incoming: the other's request waits for our user's decision.
	Incoming
	// Connected: both sides have each other's keys.
	Connected
	// Blocked: requests and Welcomes of this person are dropped unseen.
	Blocked
	// Ended: there was a connection, or a request for one.
	Ended
)

// A Contact is what one local user has to keep about one other person. Ours,
// Theirs and Asked are secret; [Contact.Wire] is for storing it sealed.
type Contact struct {
	Peer  mimi.URI
	State State
	// Room is the connection room, or zero.
	Room mimi.URI
	// Ours is what we gave this contact: KeyPackages for it are made with it.
	Ours *Keys
	// Theirs is what this contact gave us: leaves are opened and KeyPackages
	// fetched with it.
	Theirs *Keys
	// Asked is our own unanswered request.
	Asked *OutgoingRequest
}

// Wire codes the structure; this is no wire format of the profile.
func (x *Contact) Wire(c *wire.Codec) {
	x.Peer.Wire(c)
	wire.Uint8(c, &x.State)
	x.Room.WireOptional(c)
	wire.Optional(c, &x.Ours, wire.Struct)
	wire.Optional(c, &x.Theirs, wire.Struct)
	wire.Optional(c, &x.Asked, wire.Struct)
	if err := x.check(); err != nil {
		c.Fail(err)
	}
}

// check refuses contacts whose keys do not fit their state.
func (x *Contact) check() error {
	ok := false
	switch x.State {
	case Requested:
		ok = x.Ours != nil && x.Theirs == nil && x.Asked != nil
	case Incoming:
		ok = x.Asked == nil
	case Connected:
		ok = x.Ours != nil && x.Theirs != nil && x.Asked == nil
	case Blocked, Ended:
		ok = x.Ours == nil && x.Theirs == nil && x.Asked == nil
	}
	if !ok {
		return fmt.Errorf("connection: a contact in state %d with keys that do not fit", x.State)
	}
	return nil
}

// Format shows neither name nor key, whatever the verb.
func (x *Contact) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "[redacted contact in state %d]", x.State)
}
