package room

import (
	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Change is one commit, or a bundle of proposals that are to be committed
// together, as far as it matters to the policy of a room. A hub and a member make
// equal Changes from the same handshake message, so that they decide alike.
type Change struct {
	// Committer is the user whose client commits: after the commit that user
	// still has a client in the group. It is zero for proposals, which anyone may
	// commit. Committing what others propose needs no capability.
	Committer mimi.URI
	// Actions are the proposals in the order of the commit, each with the user
	// who proposed it. An external commit has the joiner's own leaf as an action
	// [AddClient], before the others.
	Actions []Action
}

// An Action is one proposal and its sender.
type Action struct {
	Actor     Actor
	Operation Operation
}

// ActorKind says in which position a proposal was sent.
type ActorKind uint8

// The kinds of actor.
const (
	// Member sends with a client that is in the group.
	Member ActorKind = iota
	// Joiner sends an external commit, or an external proposal to be added: it
	// proves a user, and has no leaf yet.
	Joiner
	// ExternalSender is in the external_senders of the group: a provider.
	ExternalSender
)

// An Actor is the verified sender of a proposal.
type Actor struct {
	// User whose client sends, or the provider.
	User mimi.URI
	Kind ActorKind
	// JoinCode says, for a Joiner, that the hub has seen a valid join code. A
	// member cannot see codes; it sets JoinCode for every external join that its
	// hub has accepted, because checking codes is the hub's part.
	JoinCode bool
	// CodeRole is the role to which the code refers, or zero if the code leaves it
	// to the policy.
	CodeRole uint32
	// Claims of the verified credential. They count only where
	// draft-ietf-mimi-room-policy-03, section 4, says so.
	Claims []Claim
}

// An Operation is what a proposal does to a room: [AddClient], [RemoveClient],
// [UpdateComponent], [RemoveComponent], [ReInit] or [DestroyRoom].
type Operation interface{ operation() }

// AddClient is an Add proposal, or the leaf of an external commit.
type AddClient struct {
	// User of the client.
	User mimi.URI
}

// RemoveClient is a Remove or SelfRemove proposal. In an external commit it is
// the replacement of the joiner's own leaf.
type RemoveClient struct {
	// User of the client.
	User mimi.URI
}

// UpdateComponent is an AppDataUpdate proposal with the operation update.
type UpdateComponent struct {
	ID ComponentID
	// Data is the update field.
	Data []byte
	// Rekeyed says, of encrypted_room_metadata, that the new value stands under a
	// newer wrapper key than the old one: an update that every member may have to
	// make (mmr-profile.md, section 3).
	Rekeyed bool
}

// RemoveComponent is an AppDataUpdate proposal with the operation remove.
type RemoveComponent struct{ ID ComponentID }

// ReInit is a ReInit proposal.
type ReInit struct{}

// DestroyRoom is the end of the room, however the hub is asked for it.
type DestroyRoom struct{}

func (AddClient) operation()       {}
func (RemoveClient) operation()    {}
func (UpdateComponent) operation() {}
func (RemoveComponent) operation() {}
func (ReInit) operation()          {}
func (DestroyRoom) operation()     {}

// Operation returns the update of the participant list as an operation. It
// fails if a role or user in it is malformed.
func (u ParticipantListUpdate) Operation() (UpdateComponent, error) {
	data, err := Encode(&u)
	return UpdateComponent{ID: ComponentParticipantList, Data: data}, err
}
