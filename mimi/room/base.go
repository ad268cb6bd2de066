package room

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// BasePolicy is the component base_room_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 5).
type BasePolicy struct {
	// FixedMembership rooms keep the participants with whom they were created.
	FixedMembership bool
	// ParentDependent rooms have participants of their parent only.
	ParentDependent bool
	// Parent is the room ID of the parent, empty unless ParentDependent.
	Parent string
	// MultiDevice allows a user several clients.
	MultiDevice bool
	// MaxClients and MaxUsers are nil if there is no limit. Banned users do not
	// count.
	MaxClients, MaxUsers *uint32
	// Pseudonyms are allowed in credentials.
	Pseudonyms bool
	// Persistent rooms outlive their MLS group.
	Persistent bool
	// Discoverable rooms can be searched for.
	Discoverable bool
	// Policies are the other policy components that matter in this room.
	Policies []ComponentID
}

// Wire codes the policy as
//
//	struct {
//	    bool fixed_membership;
//	    bool parent_dependant;
//	    Uri parent_room<V>;
//	    bool multi_device;
//	    optional uint32 max_clients;
//	    optional uint32 max_users;
//	    bool pseudonyms_allowed;
//	    bool persistent_room;
//	    bool discoverable;
//	    Component policy_component_ids<V>;
//	} BaseRoomPolicy;
func (b *BasePolicy) Wire(c *wire.Codec) {
	boolean(c, &b.FixedMembership)
	boolean(c, &b.ParentDependent)
	uriList(c, &b.Parent)
	boolean(c, &b.MultiDevice)
	optionalUint32(c, &b.MaxClients)
	optionalUint32(c, &b.MaxUsers)
	boolean(c, &b.Pseudonyms)
	boolean(c, &b.Persistent)
	boolean(c, &b.Discoverable)
	uint16s(c, &b.Policies)
	check(c, atMost("policy components", b.Policies, MaxList), distinctValues("policy component", b.Policies))
	if b.ParentDependent != (b.Parent != "") {
		c.Fail(fmt.Errorf("%w: parent_room is set if and only if parent_dependant is", ErrConflict))
	}
	if slices.Contains(b.Policies, ComponentBasePolicy) {
		c.Fail(fmt.Errorf("%w: policy_component_ids lists the other components", ErrConflict))
	}
}

// uriList codes Uri name<V>, a vector, of which this project's reading is "no
// URI or one" (see the package documentation).
func uriList(c *wire.Codec, v *string) {
	var list []string
	if *v != "" {
		list = []string{*v}
	}
	wire.Vector(c, &list, uri)
	if len(list) > 1 {
		c.Fail(fmt.Errorf("%w: %d URIs where one is meant", ErrTooLarge, len(list)))
	}
	if c.Decoding() {
		*v = ""
		if len(list) > 0 {
			*v = list[0]
		}
	}
}
