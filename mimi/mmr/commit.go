package mmr

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// joinCodes says whether the joiner with a credential has shown a valid joining
// code. A member leaves that to its hub and takes nil, which is always yes.
type joinCodes func(mls.Credential) bool

// Next checks a staged Commit against all rules that everyone can check, and
// returns the room after it (docs/mmr-profile.md, section 8). r is the room
// before.
//
// What the Commit does not touch is carried over and not read again; the work is
// that of copying the room, and of reading the leaves that are new.
func (r *Room) Next(view *mls.CommitView, codes joinCodes) (*Room, error) {
	next := &Room{plain: r.plain, suite: r.suite, uri: r.uri, groupID: r.groupID, newest: r.newest}
	context := view.After.Context()
	if err := next.loadContext(context); err != nil {
		return nil, err
	}
	if err := checkAuthenticated(view); err != nil {
		return nil, err
	}
	var err error
	if next.roster, err = r.nextRoster(view); err != nil {
		return nil, err
	}
	if next.state, err = r.nextState(next, view, codes); err != nil {
		return nil, err
	}
	if err := next.checkState(context); err != nil {
		return nil, err
	}
	if r.plain {
		return next, nil
	}
	keys, err := r.linkKeys(next, view)
	if err != nil {
		return nil, err
	}
	if next.table, err = r.table.Apply(tableChange(view, keys)); err != nil {
		return nil, err
	}
	if rotates(r.policy, view) {
		next.newest = identity.Generation(next.epoch)
		if live := len(identity.LiveGenerations(next.table, next.newest, next.metadata)); live > identity.MaxGenerations {
			return nil, mimi.Refuse("live-generations", fmt.Errorf("%w: %d", identity.ErrGenerations, live))
		}
	}
	return next, next.checkEntries()
}

// rotates reports whether a Commit begins a new generation of the wrapper key.
func rotates(policy identity.MinimalMetadataPolicy, view *mls.CommitView) bool {
	return len(view.Removed) > 0 && policy.Mode == identity.WrapperEpochRotated
}

// checkAuthenticated refuses in a member's Commit what belongs into external ones
// (docs/mmr-profile.md, section 3, table of components).
func checkAuthenticated(view *mls.CommitView) error {
	if view.External {
		return nil
	}
	for _, id := range []mls.ComponentID{identity.ComponentSiblingProof, identity.ComponentConnectionResponse} {
		if _, ok := view.AuthenticatedData.Safe.Get(id); ok {
			return mimi.Refuse("joiners-component", fmt.Errorf("%w: 0x%04x", ErrAuthenticated, uint16(id)))
		}
	}
	return nil
}

// nextState asks the room's policy.
func (r *Room) nextState(next *Room, view *mls.CommitView, codes joinCodes) (*room.State, error) {
	change, err := r.change(next, view, codes)
	if err != nil {
		return nil, err
	}
	state, err := room.Decide(r.state, change)
	if err != nil {
		return nil, err
	}
	if n := uint64(len(state.Participants())); n > uint64(next.policy.MaxUsers) && !r.plain {
		return nil, mimi.Refuse("max-users", fmt.Errorf("%w: %d participants", room.ErrMaxUsers, n))
	}
	return state, nil
}

// checkState compares the state that the policy has led to with the GroupContext,
// to which the same updates were applied.
func (r *Room) checkState(context *mls.GroupContext) error {
	components, err := componentsOf(context.Extensions)
	if err != nil {
		return err
	}
	for _, id := range room.KnownComponents() {
		want, had := components[id]
		got, has := r.state.Component(id)
		if had != has || !bytes.Equal(got, want) {
			return fmt.Errorf("mmr: internal error: %v is not what the policy made of it", id)
		}
	}
	return nil
}

// change describes a Commit in the terms of package room.
func (r *Room) change(next *Room, view *mls.CommitView, codes joinCodes) (room.Change, error) {
	committer, ok := next.roster.byLeaf[view.Committer]
	if !ok {
		return room.Change{}, fmt.Errorf("%w: the committer has no leaf after the Commit", ErrProposal)
	}
	change := room.Change{Committer: committer.UserPseudonym}
	joiner := room.Actor{User: committer.UserPseudonym, Kind: room.Joiner}
	if view.External {
		joiner.JoinCode = codes == nil || codes(view.CommitterLeaf.Credential)
		change.Actions = append(change.Actions, room.Action{Actor: joiner, Operation: room.AddClient{User: committer.UserPseudonym}})
	}
	for _, p := range view.Proposals {
		actor := joiner
		if p.Sender.Type == mls.SenderMember {
			tbs, ok := r.roster.byLeaf[p.Sender.Index]
			if !ok {
				return room.Change{}, fmt.Errorf("%w: from a leaf that is not there", ErrProposal)
			}
			actor = room.Actor{User: tbs.UserPseudonym}
		}
		op, err := r.operation(p.Proposal, p.Sender)
		if err != nil {
			return room.Change{}, err
		}
		if op != nil {
			change.Actions = append(change.Actions, room.Action{Actor: actor, Operation: op})
		}
	}
	return change, nil
}

// operation describes a proposal in the terms of package room. It is nil for
// proposals that are no matter of the room's policy.
func (r *Room) operation(p *mls.Proposal, sender mls.Sender) (room.Operation, error) {
	switch body := p.Body.(type) {
	case *mls.Add:
		tbs, err := ReadCredential(body.KeyPackage.LeafNode.Credential)
		if err != nil {
			return nil, err
		}
		return room.AddClient{User: tbs.UserPseudonym}, nil
	case *mls.Remove:
		return r.removal(body.Removed)
	case *mls.SelfRemove:
		return r.removal(sender.Index)
	case *mls.AppDataUpdate:
		id := room.ComponentID(body.Component)
		if body.Operation == mls.AppDataUpdateRemove {
			return room.RemoveComponent{ID: id}, nil
		}
		rekeyed, err := r.rekeyed(body)
		return room.UpdateComponent{ID: id, Data: body.Update, Rekeyed: rekeyed}, err
	default:
		return nil, nil
	}
}

func (r *Room) removal(leaf mls.LeafIndex) (room.Operation, error) {
	tbs, ok := r.roster.byLeaf[leaf]
	if !ok {
		return nil, fmt.Errorf("%w: removal of leaf %d, which is not there", ErrProposal, leaf)
	}
	return room.RemoveClient{User: tbs.UserPseudonym}, nil
}

// rekeyed reports whether an update of the encrypted metadata follows a rotation
// of the wrapper key.
func (r *Room) rekeyed(update *mls.AppDataUpdate) (bool, error) {
	if update.Component != identity.ComponentRoomMetadata {
		return false, nil
	}
	var m identity.EncryptedRoomMetadata
	if err := wire.Unmarshal(update.Update, &m); err != nil {
		return false, fmt.Errorf("component encrypted_room_metadata: %w", err)
	}
	return r.metadata != nil && m.Generation > r.metadata.Generation, nil
}

// linkKeys checks the AddAAD of a Commit, and what depends on the wrapper key's
// generation (docs/mmr-profile.md, section 3).
func (r *Room) linkKeys(next *Room, view *mls.CommitView) (*identity.NewLinkKeys, error) {
	aad, err := identity.AddAADFrom(view.AuthenticatedData.Safe)
	if err != nil {
		return nil, err
	}
	facts := identity.CommitFacts{
		Policy:   r.policy,
		Newest:   r.newest,
		External: view.External,
		Removes:  len(view.Removed) > 0,
		HasPath:  view.HasPath,
		OwnAdmin: next.admin(view.Committer),
	}
	for _, added := range view.Added {
		if !view.External {
			facts.AddedAdmins = append(facts.AddedAdmins, next.admin(added.Index))
		}
	}
	for _, u := range view.Updated {
		facts.ChangesCredential = facts.ChangesCredential || !u.New.Credential.Equal(&u.Old.Credential)
	}
	if r.metadata != nil {
		facts.Metadata = &r.metadata.Generation
	}
	for _, p := range view.Proposals {
		switch body := p.Proposal.Body.(type) {
		case *mls.PreSharedKey:
			facts.JoinPSKs = append(facts.JoinPSKs, body.PSK.ID)
		case *mls.AppDataUpdate:
			if body.Component == identity.ComponentRoomMetadata && next.metadata != nil {
				facts.NewMetadata = &next.metadata.Generation
			}
		}
	}
	return facts.Check(aad)
}

// admin reports whether the user of a leaf is an administrator.
func (r *Room) admin(leaf mls.LeafIndex) bool {
	tbs, ok := r.roster.byLeaf[leaf]
	return ok && r.state.Role(tbs.UserPseudonym) == room.RoleAdmin
}

// tableChange is what a Commit with these link keys does to the table.
func tableChange(view *mls.CommitView, keys *identity.NewLinkKeys) identity.TableChange {
	ch := identity.TableChange{Epoch: view.After.Context().Epoch}
	for _, removed := range view.Removed {
		ch.Removed = append(ch.Removed, removed.Index)
	}
	for i, added := range view.Added {
		entry := identity.IdentityLinkEntry{Leaf: added.Index}
		if view.External {
			entry.Key = keys.Own
		} else {
			entry.Key = keys.Added[i]
		}
		ch.Added = append(ch.Added, entry)
	}
	if keys.HasOwn && !view.External {
		ch.Renewed = &identity.IdentityLinkEntry{Leaf: view.Committer, Key: keys.Own}
	}
	return ch
}

// checkEntries fails unless every leaf has the entry that the policy asks for. It
// matters after a change of roles: a new administrator needs one
// (docs/mmr-profile.md, section 6).
func (r *Room) checkEntries() error {
	for _, e := range r.table.Entries {
		if e.Key == nil && r.policy.RequiresEntry(r.admin(e.Leaf)) {
			return mimi.Refuse("role-entry", fmt.Errorf("%w: leaf %d", identity.ErrEntryRequired, e.Leaf))
		}
	}
	return nil
}

// Users returns the user pseudonyms of leaves, without repetition.
func (r *Room) Users(leaves ...mls.LeafIndex) []mimi.URI {
	var out []mimi.URI
	for _, i := range leaves {
		if tbs, ok := r.roster.byLeaf[i]; ok && !slices.Contains(out, tbs.UserPseudonym) {
			out = append(out, tbs.UserPseudonym)
		}
	}
	return out
}
