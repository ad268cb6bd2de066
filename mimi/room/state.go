package room

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Components are the entries of an app_data_dictionary that a room has, by
// component. Entries that this package does not know are kept.
type Components map[ComponentID][]byte

// A State is a room at one epoch: its components, decoded, and how many clients
// each user has in the group. It is immutable and may be used concurrently.
type State struct {
	data    Components
	clients map[mimi.URI]int // never zero
	total   int              // of clients

	participants ParticipantList
	roleOf       map[mimi.URI]uint32
	roles        RoleList
	base         BasePolicy
	preauth      PreauthorizedUsers
	metadata     RoomMetadata
	links        JoinLinks
	linkPolicy   JoinLinkPolicy
	history      HistoryPolicy
	bots         BotPolicy
}

// Open checks the components of a room and what they say of each other. clients
// is the number of leaves of each user in the ratchet tree. Open fails with an
// error that wraps [ErrInvalid], or with [ErrBanned].
//
// A room that breaks a limit of its own, say max_users, can be opened: the limit
// then refuses what would make it worse.
func Open(data Components, clients map[mimi.URI]int) (*State, error) {
	s := &State{data: make(Components, len(data)), clients: make(map[mimi.URI]int, len(clients))}
	for id, value := range data {
		s.data[id] = slices.Clone(value)
	}
	for user, n := range clients {
		if n < 0 {
			return nil, fmt.Errorf("%w: %d clients", ErrNoClient, n)
		}
		if n > 0 {
			s.clients[user] = n
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.data)) {
		if err := s.load(id); err != nil {
			return nil, err
		}
	}
	return s, s.finish()
}

// load decodes one component, present or not, into its field. Components that
// no rule refers to are only checked.
func (s *State) load(id ComponentID) error {
	data, ok := s.data[id]
	var err error
	switch id {
	case ComponentParticipantList:
		s.participants, err = decodePresent[ParticipantList](data, ok)
	case ComponentRolesList:
		s.roles, err = decodePresent[RoleList](data, ok)
	case ComponentBasePolicy:
		s.base, err = decodePresent[BasePolicy](data, ok)
	case ComponentPreauthList:
		s.preauth, err = decodePresent[PreauthorizedUsers](data, ok)
	case ComponentRoomMetadata:
		s.metadata, err = decodePresent[RoomMetadata](data, ok)
	case ComponentJoinLinks:
		s.links, err = decodePresent[JoinLinks](data, ok)
	case ComponentJoinLinkPolicy:
		s.linkPolicy, err = decodePresent[JoinLinkPolicy](data, ok)
	case ComponentHistoryPolicy:
		s.history, err = decodePresent[HistoryPolicy](data, ok)
	case ComponentBotPolicy:
		s.bots, err = decodePresent[BotPolicy](data, ok)
	default:
		if comp, known := components[id]; known && ok {
			err = comp.check(data)
		}
	}
	if err != nil {
		return fmt.Errorf("%v: %w", id, err)
	}
	return nil
}

// finish derives what depends on several components, and checks it.
func (s *State) finish() error {
	for _, id := range []ComponentID{ComponentParticipantList, ComponentRolesList, ComponentBasePolicy} {
		if _, ok := s.data[id]; !ok {
			return fmt.Errorf("%w: %v", ErrMissingComponent, id)
		}
	}
	s.roleOf = make(map[mimi.URI]uint32, len(s.participants.Participants))
	active := 0
	s.total = 0
	for i, p := range s.participants.Participants {
		n := s.clients[p.User]
		switch {
		case s.roles.Role(p.Role) == nil:
			return fmt.Errorf("%w: participant %d has role %d", ErrUnknownRole, i, p.Role)
		case n > 0 && s.roles.Banned(p.Role):
			return fmt.Errorf("%w: participant %d has %d clients", ErrBanned, i, n)
		case n > 0:
			active++
		}
		s.roleOf[p.User] = p.Role
		s.total += n
	}
	if others := len(s.clients) - active; others > 0 {
		return fmt.Errorf("%w: %d users of clients are not", ErrNotParticipant, others)
	}
	for _, err := range []error{
		s.checkPolicyList(), s.checkPreauth(), s.checkFixed(), s.checkMetadata(),
		s.history.checkRoles(&s.roles), s.bots.checkRoles(&s.roles),
	} {
		if err != nil {
			return err
		}
	}
	if s.linkPolicy.OnRequest && len(s.links.Links) > 1 {
		return fmt.Errorf("%w: there are %d", ErrJoinLinkCount, len(s.links.Links))
	}
	return nil
}

// checkPolicyList checks that policy_component_ids includes roles_list, and
// preauth_list if there is one (draft-ietf-mimi-room-policy-03, section 5).
func (s *State) checkPolicyList() error {
	for _, id := range []ComponentID{ComponentRolesList, ComponentPreauthList} {
		if _, ok := s.data[id]; ok && !slices.Contains(s.base.Policies, id) {
			return fmt.Errorf("%w: %v", ErrPolicyNotListed, id)
		}
	}
	return nil
}

// checkPreauth checks that preauthorized roles are those of roles_list: a
// joiner's capabilities are never other than the list shows.
func (s *State) checkPreauth() error {
	for i := range s.preauth.Entries {
		want := &s.preauth.Entries[i].Role
		have := s.roles.Role(want.Index)
		if have == nil {
			return fmt.Errorf("%w: preauthorized entry %d has role %d", ErrUnknownRole, i, want.Index)
		}
		a, errA := Encode(want)
		b, errB := Encode(have)
		if errA != nil || errB != nil || string(a) != string(b) {
			return fmt.Errorf("%w: entry %d, role %d", ErrPreauthRole, i, want.Index)
		}
	}
	return nil
}

// checkFixed checks that no role of a fixed-membership room but zero and banned
// may add participants (draft-ietf-mimi-room-policy-03, section 5).
func (s *State) checkFixed() error {
	for i := range s.roles.Roles {
		r := &s.roles.Roles[i]
		if s.base.FixedMembership && r.Index != RoleNone && !s.roles.Banned(r.Index) && r.Has(CanAddParticipant) {
			return fmt.Errorf("%w: role %d", ErrFixedMembershipRole, r.Index)
		}
	}
	return nil
}

// checkMetadata keeps names out of the hub's sight where the room promises it
// (mmr-profile.md, section 3).
func (s *State) checkMetadata() error {
	if s.MinimalMetadata() && !s.metadata.namesNothing() {
		return ErrPlainMetadata
	}
	return nil
}

// decodePresent decodes the data of a component, or returns the zero value if it
// is absent.
func decodePresent[T any, P interface {
	*T
	wire.Message
}](data []byte, present bool) (T, error) {
	if !present {
		var zero T
		return zero, nil
	}
	return Decode[T, P](data)
}

// Component returns a copy of the data of a component.
func (s *State) Component(id ComponentID) (data []byte, ok bool) {
	data, ok = s.data[id]
	return slices.Clone(data), ok
}

// Components returns a copy of the data of all components.
func (s *State) Components() Components {
	all := make(Components, len(s.data))
	for id, data := range s.data {
		all[id] = slices.Clone(data)
	}
	return all
}

// Participants returns a copy of the participant list, in its order.
func (s *State) Participants() []Participant { return slices.Clone(s.participants.Participants) }

// Find returns the position of a user in the participant list, which updates refer
// to.
func (s *State) Find(user mimi.URI) (index uint32, ok bool) { return s.participants.Find(user) }

// Role returns the role of a user: [RoleNone] for one who is not in the
// participant list.
func (s *State) Role(user mimi.URI) uint32 { return s.roleOf[user] }

// Definition returns the definition of a role. A role that roles_list does not
// have, such as role zero in many rooms, comes out without capabilities.
func (s *State) Definition(index uint32) Role {
	if r := s.roles.Role(index); r != nil {
		return *r
	}
	return Role{Index: index}
}

// Base returns the base policy.
func (s *State) Base() BasePolicy { return s.base }

// Clients returns how many clients a user has in the group.
func (s *State) Clients(user mimi.URI) int { return s.clients[user] }

// Banned reports whether a user is in the participant list as banned.
func (s *State) Banned(user mimi.URI) bool { return s.roles.Banned(s.roleOf[user]) }

// Holds reports whether the role of a user has a capability. For a user who is
// not in the participant list, role zero is asked.
func (s *State) Holds(user mimi.URI, capability Capability) bool {
	r := s.roles.Role(s.roleOf[user])
	return r != nil && r.Has(capability)
}

// MinimalMetadata reports whether the room is a minimal-metadata room of this
// project's profile: it has a minimal_metadata_policy.
func (s *State) MinimalMetadata() bool {
	_, ok := s.data[ComponentMinimalMetadataPolicy]
	return ok
}

// Metadata returns the room's metadata as everyone can see them: they name nothing
// in a minimal-metadata room.
func (s *State) Metadata() RoomMetadata { return s.metadata }

// CheckParent fails with [ErrParent] unless the participants of s are a strict
// subset of its parent's, as they must be in a parent-dependent room
// (draft-ietf-mimi-room-policy-03, section 5). Banned users of the parent count as
// having left it.
func (s *State) CheckParent(parent *State) error {
	others := 0
	for _, p := range parent.participants.Participants {
		if _, ok := s.roleOf[p.User]; !ok && !parent.roles.Banned(p.Role) {
			others++
		}
	}
	for i, p := range s.participants.Participants {
		if role := parent.roleOf[p.User]; role == RoleNone || parent.roles.Banned(role) {
			return fmt.Errorf("%w: participant %d is not in it", ErrParent, i)
		}
	}
	if others == 0 {
		return fmt.Errorf("%w: they are the same", ErrParent)
	}
	return nil
}
