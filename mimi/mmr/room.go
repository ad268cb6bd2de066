package mmr

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// A Creation is what a client gives the hub of its own provider to make a room
// (docs/mmr-profile.md, section 10). There is no endpoint for it: rooms are hosted
// where their creators are.
type Creation struct {
	GroupInfo *mls.GroupInfo
	Tree      *mls.RatchetTree
	// Table has one entry; it is nil for a plain room.
	Table *identity.IdentityLinkTable
}

// A Room is what everyone, the hub included, knows of a room at one epoch. It is
// immutable: [Room.Next] returns the room after a Commit.
type Room struct {
	// plain says that the room is a plain one: policy, newest, table and metadata
	// are zero then, and the roster has real addresses.
	plain   bool
	suite   *suite.Suite
	uri     mimi.URI
	groupID []byte
	epoch   uint64

	policy   identity.MinimalMetadataPolicy
	state    *room.State
	roster   roster
	newest   identity.Generation
	table    *identity.IdentityLinkTable
	metadata *identity.EncryptedRoomMetadata
}

// Open reads the room of a group with this public state, and checks every leaf
// (docs/mmr-profile.md, section 8, what a joiner can): for a group that comes from
// others. newest is the newest generation of its wrapper key, and table its
// identity link table, which is checked against the leaves; a plain room has
// neither. It fails with
// [ErrNotMinimal], [ErrGroup], [ErrLeaf] or an error of the packages identity and
// room.
func Open(s *suite.Suite, view mls.View, newest identity.Generation, table *identity.IdentityLinkTable) (*Room, error) {
	plain, err := IsPlain(view.Context())
	if err != nil {
		return nil, err
	}
	return open(s, view, newest, table, func(leaf *mls.LeafNode) (*identity.PseudonymousCredentialTBS, error) {
		return parseLeaf(s, leaf, plain)
	})
}

func open(s *suite.Suite, view mls.View, newest identity.Generation, table *identity.IdentityLinkTable, read func(*mls.LeafNode) (*identity.PseudonymousCredentialTBS, error)) (*Room, error) {
	context := view.Context()
	plain, err := IsPlain(context)
	if err != nil {
		return nil, err
	}
	if (table == nil) != plain {
		return nil, fmt.Errorf("%w: minimal-metadata rooms have one, and plain rooms none", identity.ErrTable)
	}
	uri, err := identity.RoomOf(context.GroupID)
	if err != nil {
		return nil, err
	}
	r := &Room{plain: plain, suite: s, uri: uri, groupID: context.GroupID, newest: newest, table: table}
	if err := r.loadContext(context); err != nil {
		return nil, err
	}
	if r.roster, err = readRoster(view, read); err != nil {
		return nil, err
	}
	components, err := componentsOf(context.Extensions)
	if err != nil {
		return nil, err
	}
	if r.state, err = room.Open(components, r.roster.clients()); err != nil {
		return nil, err
	}
	if plain {
		return r, nil
	}
	return r, table.CheckLeaves(r.groupID, r.epoch, r.Leaves())
}

// loadContext reads what the GroupContext says beside the components of package
// room.
func (r *Room) loadContext(context *mls.GroupContext) error {
	r.epoch = context.Epoch
	if r.plain {
		return checkPlainContext(context)
	}
	if err := checkContext(context); err != nil {
		return err
	}
	policy, err := identity.PolicyFrom(context.Extensions)
	if err != nil {
		return err
	}
	if policy == nil {
		return mimi.Refuse("policy-missing", ErrNotMinimal)
	}
	r.policy = *policy
	r.metadata, err = identity.MetadataFrom(context.Extensions)
	return err
}

// checkContext checks what the profile fixes for every room: who has to support
// what, and that the hub can send (docs/mmr-profile.md, section 2;
// draft-ietf-mimi-protocol-06, section "Authenticating proposals").
func checkContext(context *mls.GroupContext) error {
	required, err := context.Extensions.RequiredCapabilities()
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(required, identity.RequiredCapabilities()) {
		return mimi.Refuse("context-capabilities", fmt.Errorf("%w: other required_capabilities", ErrGroup))
	}
	for id, want := range map[mls.ComponentID]mls.ComponentsList{
		mls.ComponentAppComponents: identity.AppComponents(),
		mls.ComponentSafeAAD:       identity.SafeAADComponents(),
	} {
		got, _, err := context.Extensions.ComponentsList(id)
		if err != nil {
			return err
		}
		if !slices.Equal(got, want) {
			return mimi.Refuse("context-components", fmt.Errorf("%w: other components in 0x%04x", ErrGroup, uint16(id)))
		}
	}
	return checkExternalSenders(context)
}

// checkExternalSenders checks that the hub can send proposals, and nobody else
// from outside.
func checkExternalSenders(context *mls.GroupContext) error {
	senders, err := context.Extensions.ExternalSenders()
	if err != nil {
		return err
	}
	if len(senders) != 1 {
		return mimi.Refuse("context-senders", fmt.Errorf("%w: %d external senders, want the hub alone", ErrGroup, len(senders)))
	}
	return nil
}

// componentsOf returns the components of a GroupContext that package room knows.
func componentsOf(extensions mls.Extensions) (room.Components, error) {
	dictionary, err := extensions.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	known := room.KnownComponents()
	out := room.Components{}
	for _, c := range dictionary {
		if id := room.ComponentID(c.ID); slices.Contains(known, id) {
			out[id] = c.Data
		}
	}
	return out, nil
}

// URI returns the room's.
func (r *Room) URI() mimi.URI { return r.uri }

// GroupID returns the group_id: the octets of the group's URI.
func (r *Room) GroupID() []byte { return r.groupID }

// Epoch returns the epoch that r describes.
func (r *Room) Epoch() uint64 { return r.epoch }

// Policy returns the profile's policy of the room; zero in a plain room.
func (r *Room) Policy() identity.MinimalMetadataPolicy { return r.policy }

// State returns participants, roles and policies.
func (r *Room) State() *room.State { return r.state }

// Newest returns the newest generation of the room's wrapper key.
func (r *Room) Newest() identity.Generation { return r.newest }

// Table returns the identity link table, nil in a plain room. The caller does not
// change it.
func (r *Room) Table() *identity.IdentityLinkTable { return r.table }

// Metadata returns the room's encrypted metadata, or nil.
func (r *Room) Metadata() *identity.EncryptedRoomMetadata { return r.metadata }

// Leaf returns the credential of a leaf without its link. In a plain room it is
// what the leaf's certificate says: real addresses for pseudonyms.
func (r *Room) Leaf(i mls.LeafIndex) (*identity.PseudonymousCredentialTBS, bool) {
	tbs, ok := r.roster.byLeaf[i]
	return tbs, ok
}

// LeavesOf returns the leaves of a user pseudonym, ascending.
func (r *Room) LeavesOf(user mimi.URI) []mls.LeafIndex { return slices.Clone(r.roster.byUser[user]) }

// Leaves returns all leaves, ascending.
func (r *Room) Leaves() []mls.LeafIndex { return slices.Sorted(maps.Keys(r.roster.byLeaf)) }

// Size counts the leaves.
func (r *Room) Size() int { return len(r.roster.byLeaf) }

// CheckNew fails unless r is a room as it begins: epoch 0, one leaf, one
// participant, the policy that the profile gives that kind of room
// (docs/mmr-profile.md, sections 6 and 10), whose creator is of that domain.
func (r *Room) CheckNew(creator string) error {
	if r.plain {
		return r.checkNewPlain(creator)
	}
	want := room.Cooperative()
	if r.policy.ConnectionRoom {
		want = room.ConnectionRoom()
	}
	participants := r.state.Participants()
	switch tbs := r.roster.byLeaf[0]; {
	case r.epoch != 0 || r.newest != 0 || len(r.roster.byLeaf) != 1 || tbs == nil:
		return fmt.Errorf("%w: a new room has one leaf at epoch 0", ErrGroup)
	case tbs.Domain() != creator:
		return fmt.Errorf("%w: its creator is of another provider", ErrGroup)
	case r.policy.ConnectionRoom && creator != r.uri.Domain:
		return fmt.Errorf("%w: a connection room is hosted where its creator is", ErrGroup)
	case len(participants) != 1 || participants[0].User != tbs.UserPseudonym:
		return fmt.Errorf("%w: a new room has its creator for its only participant", ErrGroup)
	case r.policy.RequiresEntry(true) && r.table.Entries[0].Key == nil:
		return identity.ErrEntryRequired
	case r.table.Entries[0].Key != nil && r.policy.Requirement == identity.Forbidden:
		return identity.ErrEntryForbidden
	case r.table.Entries[0].Key != nil && r.table.Entries[0].Key.Generation != 0,
		r.metadata != nil && r.metadata.Generation != 0:
		return fmt.Errorf("%w: a new room has generation 0", identity.ErrNotNewest)
	}
	return want.Check(r.state)
}
