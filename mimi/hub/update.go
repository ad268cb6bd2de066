package hub

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// reasonDeparting refuses what a user sends whose removal the hub has accepted
// (draft-ietf-mimi-protocol-06, section 5.3).
const reasonDeparting = "the participant is leaving the room"

// Update changes a room by a Commit or proposals
// (draft-ietf-mimi-protocol-06, section 5.3). The answer to a repeated request is
// that to the first one.
func (h *Hub) Update(ctx context.Context, from string, uri mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	if err := checkUpdate(req); err != nil {
		return nil, err
	}
	h.lanes.back(Lane{Room: uri, Domain: from})
	response := &protocol.UpdateRoomResponse{}
	err := h.answered(ctx, uri, requestHash("update", from, req), response, func(r *hosted, change *Change) error {
		response.Accepted = change.At
		if req.IsCommit() {
			return h.commit(ctx, from, r, req, change)
		}
		return h.propose(ctx, from, r, req, change)
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// checkUpdate checks the form of a request that has not come through a decoder.
func checkUpdate(req *protocol.UpdateRequest) error {
	if req.ProposalOrCommit.PublicMessage == nil {
		return fmt.Errorf("%w: an update is a PublicMessage", protocol.ErrMalformed)
	}
	if req.IsCommit() {
		return nil
	}
	for _, m := range proposalsOf(req) {
		if m.PublicMessage == nil || m.PublicMessage.Content.ContentType != mls.ContentProposal {
			return fmt.Errorf("%w: want proposals in PublicMessages", protocol.ErrMalformed)
		}
	}
	return nil
}

func proposalsOf(req *protocol.UpdateRequest) []mls.MLSMessage {
	return slices.Concat([]mls.MLSMessage{req.ProposalOrCommit}, req.MoreProposals)
}

// checkEpoch answers a stale message before any work is done on it.
func (r *hosted) checkEpoch(message *mls.PublicMessage) error {
	if !bytes.Equal(message.Content.GroupID, r.group.GroupID()) {
		return mimi.Refuse("update-group", &protocol.NotAllowedError{Reason: mls.ErrGroupID.Error()})
	}
	if message.Content.Epoch != r.group.Epoch() {
		return mimi.Refuse("update-epoch", &protocol.WrongEpochError{Current: r.group.Epoch()})
	}
	return nil
}

// checkSender fails unless the sender's pseudonym is the peer's to speak for
// (docs/mmr-profile.md, section 1), and its user is not on the way out. It is asked
// before the message is verified, which takes longer.
func (r *hosted) checkSender(from string, content *mls.FramedContent) error {
	user, err := r.sender(content)
	if err != nil {
		return err
	}
	if user.Domain != from {
		return mimi.Refuse("update-domain", &protocol.NotAllowedError{Reason: "the sender is of another provider"})
	}
	departing, err := r.departing()
	if err != nil {
		return err
	}
	if departing[user] && !r.leaves(user, content.Proposal) {
		return mimi.Refuse("update-departing", &protocol.NotAllowedError{Reason: reasonDeparting})
	}
	return nil
}

// leaves reports whether a proposal, which may be nil, removes a leaf of the user
// who sends it.
func (r *hosted) leaves(user mimi.URI, p *mls.Proposal) bool {
	if p == nil {
		return false
	}
	switch body := p.Body.(type) {
	case *mls.SelfRemove:
		return true
	case *mls.Remove:
		tbs, ok := r.room().Leaf(body.Removed)
		return ok && tbs.UserPseudonym == user
	}
	return false
}

// sender returns the user pseudonym for which a handshake message is sent.
func (r *hosted) sender(content *mls.FramedContent) (mimi.URI, error) {
	switch content.Sender.Type {
	case mls.SenderMember:
		if tbs, ok := r.room().Leaf(content.Sender.Index); ok {
			return tbs.UserPseudonym, nil
		}
		return mimi.URI{}, &protocol.NotAllowedError{Reason: mls.ErrNotMember.Error()}
	case mls.SenderNewMemberCommit:
		if content.Commit == nil || content.Commit.Path == nil {
			return mimi.URI{}, &protocol.NotAllowedError{Reason: mls.ErrPathMissing.Error()}
		}
		cred, err := r.room().ParseLeaf(&content.Commit.Path.LeafNode)
		if err != nil {
			return mimi.URI{}, refuse(err)
		}
		return cred.UserPseudonym, nil
	default:
		return mimi.URI{}, refuse(fmt.Errorf("%w: from outside the group", mmr.ErrProposal))
	}
}

// commit stages a Commit, checks it with all that comes with it, and applies it
// to the room in memory.
func (h *Hub) commit(ctx context.Context, from string, r *hosted, req *protocol.UpdateRequest, change *Change) error {
	message := req.ProposalOrCommit.PublicMessage
	if err := r.checkEpoch(message); err != nil {
		return err
	}
	if err := h.removalPending(r, message); err != nil {
		return refuse(err)
	}
	if err := r.checkSender(from, &message.Content); err != nil {
		return err
	}
	staged, next, info, err := h.stage(ctx, r, req)
	if err != nil {
		return r.refuseCommit(err, message.Content.Commit)
	}
	if err := r.group.Apply(staged, info); err != nil {
		return refuse(err)
	}
	r.touched = true
	return r.applied(from, staged.Commit(), next, req, change)
}

// removalPending is [mmr.RemovalPending]; a plain room has no keys that somebody who
// leaves could know. A removal that nobody has committed for [Limits.Removal] does not
// keep a member from joining anew any more: perhaps all who could commit it have lost
// track of the room, and need that (docs/mmr-profile.md, section 11, "Removals that
// nobody commits").
func (h *Hub) removalPending(r *hosted, message *mls.PublicMessage) error {
	if r.room().Plain() {
		return nil
	}
	pending := r.proposals()
	if replaces(message) {
		pending = r.proposalsSince(h.cfg.Clock.Now().Add(-h.cfg.Limits.Removal))
	}
	return mmr.RemovalPending(message.Content.Sender, message.Content.Commit, pending)
}

// replaces reports whether a Commit is a resync.
func replaces(message *mls.PublicMessage) bool {
	return message.Content.Sender.Type == mls.SenderNewMemberCommit &&
		slices.ContainsFunc(message.Content.Commit.Proposals, func(p mls.ProposalOrRef) bool {
			return p.Proposal != nil && p.Proposal.Type() == mls.ProposalRemove
		})
}

// stage verifies a Commit and what comes with it, and changes nothing. It returns
// the GroupInfo that the Commit leads to.
func (h *Hub) stage(ctx context.Context, r *hosted, req *protocol.UpdateRequest) (*mls.Staged, *mmr.Room, *mls.GroupInfo, error) {
	staged, err := r.group.Stage(ctx, req.ProposalOrCommit.PublicMessage)
	if err != nil {
		return nil, nil, nil, err
	}
	view := staged.Commit()
	next, err := r.rules.Next(view)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := h.cfg.Faults.staged(ctx, h, r, next); err != nil {
		return nil, nil, nil, err
	}
	info, err := r.groupInfo(staged, &req.GroupInfo)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := r.checkGroupInfo(info, next); err != nil {
		return nil, nil, nil, err
	}
	if err := checkTree(&req.RatchetTree, view); err != nil {
		return nil, nil, nil, err
	}
	return staged, next, info, checkWelcome(req.Welcome, view)
}

// groupInfo returns the GroupInfo that comes with a Commit, in full or in part: a
// request without either is not decoded.
func (r *hosted) groupInfo(staged *mls.Staged, option *protocol.GroupInfoOption) (*mls.GroupInfo, error) {
	if option.Partial != nil {
		return r.group.Complete(staged, option.Partial)
	}
	return option.Full, nil
}

// applied brings the rest of the room behind its group, and makes the deliveries.
// Its errors are the hub's own.
func (r *hosted) applied(from string, view *mls.CommitView, next *mmr.Room, req *protocol.UpdateRequest, change *Change) error {
	before := r.room()
	if err := r.putRoom(before, next); err != nil {
		return err
	}
	r.setRoom(next)
	for name := range r.pending {
		r.put(rowPending+name, nil)
	}
	clear(r.pending)
	if view.External {
		if err := r.useCode(view.CommitterLeaf.Credential); err != nil {
			return err
		}
	}
	if before.Newest() != next.Newest() { // join links die at rotation
		for hash := range r.codes {
			if err := r.putCode(hash, nil); err != nil {
				return err
			}
		}
	}
	var err error
	change.Deliveries, err = commitDeliveries(from, before, next, view, req, change.At)
	return err
}

// checkTree fails if a ratchet tree comes with a Commit and is not the one that it
// leads to. The hub needs none.
func checkTree(option *protocol.RatchetTreeOption, view *mls.CommitView) error {
	if r := option.Representation; r != protocol.TreeFull && r != protocol.TreeDistributionService {
		return mimi.Refuse("tree-option", &protocol.NotAllowedError{Reason: "the ratchet tree is to be sent, or left to the hub"})
	}
	if option.Representation != protocol.TreeFull {
		return nil
	}
	given, err := wire.Marshal(&option.Tree)
	if err != nil {
		return err
	}
	want, err := wire.Marshal(view.After.RatchetTree())
	if err != nil {
		return err
	}
	if !bytes.Equal(given, want) {
		return mimi.Refuse("tree-other", mls.ErrTreeHash)
	}
	return nil
}

// checkWelcome fails unless a Welcome is there exactly if somebody is added, for
// exactly those.
func checkWelcome(w *mls.Welcome, view *mls.CommitView) error {
	refused := &protocol.NotAllowedError{Reason: "the Welcome does not fit the Adds"}
	added := map[string]bool{}
	for _, p := range view.Proposals {
		if add, ok := p.Proposal.Body.(*mls.Add); ok {
			ref, err := add.KeyPackage.Ref()
			if err != nil {
				return err
			}
			added[string(ref)] = true
		}
	}
	if w == nil {
		if len(added) > 0 {
			return mimi.Refuse("welcome-missing", refused)
		}
		return nil
	}
	if len(added) == 0 || len(w.Secrets) != len(added) || w.CipherSuite != view.After.Context().CipherSuite {
		return mimi.Refuse("welcome-adds", refused)
	}
	for _, secret := range w.Secrets {
		if !added[string(secret.NewMember)] {
			return mimi.Refuse("welcome-key-package", refused)
		}
		delete(added, string(secret.NewMember))
	}
	return nil
}

// propose accepts proposals that are sent by themselves: all of a request or none.
// If nobody is left to commit them, because all leaves leave, the room is closed.
func (h *Hub) propose(ctx context.Context, from string, r *hosted, req *protocol.UpdateRequest, change *Change) error {
	messages := proposalsOf(req)
	for _, m := range messages {
		if err := r.checkEpoch(m.PublicMessage); err != nil {
			return err
		}
		if err := r.checkSender(from, &m.PublicMessage.Content); err != nil {
			return err
		}
	}
	proposed, err := r.addProposals(ctx, messages, change.At)
	if err != nil {
		return err
	}
	change.Closed = len(mmr.Leaving(proposed)) == len(r.room().Leaves())
	change.Deliveries, err = r.handshakeDeliveries(from, &protocol.FanoutMessage{
		Accepted: change.At, Message: req.ProposalOrCommit, MoreProposals: req.MoreProposals,
	})
	return err
}

// addProposals makes proposals pending in memory, beside those that are pending
// already, and returns all of them. They have to be good together: so each is
// verified with the ones before it pending, and the policy is asked last.
func (r *hosted) addProposals(ctx context.Context, messages []mls.MLSMessage, at time.Time) ([]mmr.Proposed, error) {
	proposed := r.proposals()
	var fresh []*mls.PublicMessage
	known := len(proposed)
	for _, m := range messages {
		staged, err := r.group.Stage(ctx, m.PublicMessage)
		if err != nil {
			return nil, r.refuseProposal(err, m.PublicMessage)
		}
		p := staged.Proposal()
		name := rowName(p.Ref)
		if _, pending := r.pending[name]; pending {
			continue
		}
		if err := r.group.Apply(staged, nil); err != nil {
			return nil, err
		}
		proposed, fresh = append(proposed, mmr.Proposed{Proposal: p.Proposal, Sender: p.Sender}), append(fresh, m.PublicMessage)
		r.pending[name] = at
		r.put(rowPending+name, binary.BigEndian.AppendUint64(nil, uint64(at.UnixMilli())))
	}
	r.gone = nil
	err := r.room().CheckProposals(proposed)
	if one, ok := errors.AsType[*room.ActionError](err); ok && one.Index >= known {
		return nil, r.refuseProposal(err, fresh[one.Index-known])
	} else if err != nil {
		return nil, refuse(err)
	}
	return proposed, nil
}
