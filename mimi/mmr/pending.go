package mmr

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// A Proposed is a proposal that was sent by itself.
type Proposed struct {
	Proposal *mls.Proposal
	Sender   mls.Sender
}

// CheckProposals fails unless these proposals can be committed together with
// each other: all that are pending, with the ones that are new. A hub asks before
// it accepts them. A [room.ActionError] counts them as they are given here.
func (r *Room) CheckProposals(proposals []Proposed) error {
	_, err := r.with(proposals)
	return err
}

// with returns the state of the room as it will be when the proposals are
// committed.
func (r *Room) with(proposals []Proposed) (*room.State, error) {
	var change room.Change
	for i, p := range proposals {
		tbs, ok := r.roster.byLeaf[p.Sender.Index]
		if !ok || p.Sender.Type != mls.SenderMember {
			return nil, &room.ActionError{Index: i, Err: fmt.Errorf("%w: not from a member", ErrProposal)}
		}
		op, err := r.operation(p.Proposal, p.Sender)
		if err == nil && op == nil {
			err = fmt.Errorf("%w: %v", ErrProposal, p.Proposal.Type())
		}
		if err != nil {
			return nil, &room.ActionError{Index: i, Actor: tbs.UserPseudonym, Err: err}
		}
		change.Actions = append(change.Actions, room.Action{Actor: room.Actor{User: tbs.UserPseudonym}, Operation: op})
	}
	return room.Decide(r.state, change)
}

// Departing returns the users whom the pending proposals take out of the
// participant list, or ban. A hub treats them as gone before that is committed
// (draft-ietf-mimi-protocol-06, sections 5.3 and "Room state").
func (r *Room) Departing(pending []Proposed) (map[mimi.URI]bool, error) {
	if len(pending) == 0 {
		return nil, nil
	}
	after, err := r.with(pending)
	if err != nil {
		return nil, err
	}
	gone := map[mimi.URI]bool{}
	for user := range r.roster.byUser {
		if after.Role(user) == room.RoleNone || after.Banned(user) {
			gone[user] = true
		}
	}
	return gone, nil
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

// RemovalPending fails with [ErrRemovalPending] if a Commit brings a leaf in while
// the removal of another one is pending: the removed one would know the key under
// which the new entry stands (docs/mmr-profile.md, section 3). A resync may
// replace the leaf whose removal is pending. A hub asks before it looks at anything
// else in the Commit.
func RemovalPending(sender mls.Sender, commit *mls.Commit, pending []Proposed) error {
	enters := sender.Type == mls.SenderNewMemberCommit
	var replaced *mls.LeafIndex
	for _, p := range commit.Proposals {
		if p.Proposal == nil {
			continue
		}
		switch body := p.Proposal.Body.(type) {
		case *mls.Add:
			enters = true
		case *mls.Remove:
			if sender.Type == mls.SenderNewMemberCommit {
				replaced = &body.Removed
			}
		}
	}
	if !enters {
		return nil
	}
	for _, leaf := range Leaving(pending) {
		if replaced == nil || *replaced != leaf {
			return mimi.Refuse("removal-pending", ErrRemovalPending)
		}
	}
	return nil
}
