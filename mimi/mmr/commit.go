package mmr

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// joinCodes says whether the joiner with a credential has shown a valid joining
// code. A member leaves that to its hub and takes nil, which is always yes.
type joinCodes func(*identity.PseudonymousCredentialTBS) bool

// Next checks a staged Commit against all rules that everyone can check, and
// returns the room after it (docs/mmr-profile.md, section 8). r is the room
// before.
func (r *Room) Next(view *mls.CommitView, codes joinCodes) (*Room, error) {
	next := &Room{suite: r.suite, uri: r.uri, groupID: r.groupID, newest: r.newest}
	if err := next.load(view.After); err != nil {
		return nil, err
	}
	if err := r.checkNewLeaves(view); err != nil {
		return nil, err
	}
	if err := r.checkParticipants(next, view, codes); err != nil {
		return nil, err
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
	}
	return next, next.checkEntries()
}

// rotates reports whether a Commit begins a new generation of the wrapper key.
func rotates(policy identity.MinimalMetadataPolicy, view *mls.CommitView) bool {
	return len(view.Removed) > 0 && policy.Mode == identity.WrapperEpochRotated
}

// checkNewLeaves checks the leaves that a Commit adds or changes
// (docs/mmr-profile.md, sections 1 and 2).
func (r *Room) checkNewLeaves(view *mls.CommitView) error {
	before := maps.Clone(r.roster)
	for _, added := range view.Added {
		cred, err := ParseLeaf(r.suite, added.Leaf)
		if err != nil {
			return fmt.Errorf("added leaf %d: %w", added.Index, err)
		}
		how, err := r.entry(view, added)
		if err != nil {
			return err
		}
		tbs := &cred.PseudonymousCredentialTBS
		if err := before.CheckNew(tbs, how, r.verifySibling); err != nil {
			return fmt.Errorf("added leaf %d: %w", added.Index, err)
		}
		if how.Replaces == nil { // else old and new would stand there at once
			before[added.Index] = tbs
		}
	}
	for _, changed := range view.Updated {
		cred, err := ParseLeaf(r.suite, changed.New)
		if err != nil {
			return fmt.Errorf("changed leaf %d: %w", changed.Index, err)
		}
		if changed.New.Credential.Equal(&changed.Old.Credential) {
			continue
		}
		leaf := changed.Index
		if err := r.roster.CheckNew(&cred.PseudonymousCredentialTBS, identity.Entry{Replaces: &leaf}, r.verifySibling); err != nil {
			return fmt.Errorf("changed leaf %d: %w", leaf, err)
		}
	}
	return nil
}

// entry says how an added leaf comes into the group.
func (r *Room) entry(view *mls.CommitView, added mls.Member) (identity.Entry, error) {
	if !view.External {
		return identity.Entry{Committer: &view.Committer}, nil
	}
	var how identity.Entry
	for _, removed := range view.Removed {
		how.Replaces = &removed.Index
	}
	data, ok := view.AuthenticatedData.Safe.Get(identity.ComponentSiblingProof)
	if !ok {
		return how, nil
	}
	if how.Replaces != nil {
		return how, fmt.Errorf("%w: leaf %d has a proof and replaces another", identity.ErrSibling, added.Index)
	}
	how.Proof = &identity.SiblingProof{}
	if err := wire.Unmarshal(data, how.Proof); err != nil {
		return how, fmt.Errorf("component sibling_proof: %w", err)
	}
	return how, nil
}

func (r *Room) verifySibling(p *identity.SiblingProof, sibling, newcomer *identity.PseudonymousCredentialTBS) error {
	return p.Verify(r.suite, r.groupID, sibling, newcomer)
}

// checkParticipants asks the room's policy, and keeps leaves and participant list
// together.
func (r *Room) checkParticipants(next *Room, view *mls.CommitView, codes joinCodes) error {
	change, err := r.change(next, view, codes)
	if err != nil {
		return err
	}
	if err := room.Authorize(r.state, change); err != nil {
		return err
	}
	for i, tbs := range next.roster {
		if next.state.Role(tbs.UserPseudonym) == room.RoleNone {
			return fmt.Errorf("%w: leaf %d", ErrParticipant, i)
		}
	}
	if n := len(next.state.Participants()); n > int(next.policy.MaxUsers) {
		return fmt.Errorf("%w: %d participants", room.ErrMaxUsers, n)
	}
	return nil
}

// change describes a Commit in the terms of package room.
func (r *Room) change(next *Room, view *mls.CommitView, codes joinCodes) (room.Change, error) {
	committer, ok := next.roster[view.Committer]
	if !ok {
		return room.Change{}, fmt.Errorf("%w: the committer has no leaf after the Commit", ErrProposal)
	}
	change := room.Change{Committer: committer.UserPseudonym}
	joiner := room.Actor{User: committer.UserPseudonym, Kind: room.Joiner}
	if view.External {
		joiner.JoinCode = codes == nil || codes(committer)
		change.Actions = append(change.Actions, room.Action{Actor: joiner, Operation: room.AddClient{User: committer.UserPseudonym}})
	}
	for _, p := range view.Proposals {
		actor := joiner
		if p.Sender.Type == mls.SenderMember {
			tbs, ok := r.roster[p.Sender.Index]
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
	tbs, ok := r.roster[leaf]
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
	tbs, ok := r.roster[leaf]
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
			return fmt.Errorf("%w: leaf %d", identity.ErrEntryRequired, e.Leaf)
		}
	}
	return nil
}

// A Proposed is a proposal that was sent by itself.
type Proposed struct {
	Proposal *mls.Proposal
	Sender   mls.Sender
}

// CheckProposals fails unless these proposals can be committed together with
// each other: all that are pending, with the ones that are new. A hub asks before
// it accepts them.
func (r *Room) CheckProposals(proposals []Proposed) error {
	var change room.Change
	for _, p := range proposals {
		tbs, ok := r.roster[p.Sender.Index]
		if !ok || p.Sender.Type != mls.SenderMember {
			return fmt.Errorf("%w: not from a member", ErrProposal)
		}
		op, err := r.operation(p.Proposal, p.Sender)
		if err != nil {
			return err
		}
		if op != nil {
			change.Actions = append(change.Actions, room.Action{Actor: room.Actor{User: tbs.UserPseudonym}, Operation: op})
		}
	}
	return room.Authorize(r.state, change)
}

// Leaving returns the leaves that the proposals remove, ascending.
func Leaving(proposals []Proposed) []mls.LeafIndex {
	var out []mls.LeafIndex
	for _, p := range proposals {
		switch body := p.Proposal.Body.(type) {
		case *mls.Remove:
			out = append(out, body.Removed)
		case *mls.SelfRemove:
			out = append(out, p.Sender.Index)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// RemovalPending fails with [ErrRemovalPending] if a Commit adds a leaf while the
// removal of another one is pending (docs/mmr-profile.md, section 3).
func RemovalPending(view *mls.CommitView, pending []Proposed) error {
	if len(view.Added) == 0 {
		return nil
	}
	for _, leaf := range Leaving(pending) {
		if _, still := view.After.Member(leaf); still {
			return ErrRemovalPending
		}
	}
	return nil
}

// Users returns the user pseudonyms of leaves, without repetition.
func (r *Room) Users(leaves ...mls.LeafIndex) []mimi.URI {
	var out []mimi.URI
	for _, i := range leaves {
		if tbs, ok := r.roster[i]; ok && !slices.Contains(out, tbs.UserPseudonym) {
			out = append(out, tbs.UserPseudonym)
		}
	}
	return out
}
