package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// Create makes a room. It fails with [ErrRoomExists], or a
// *[protocol.NotAllowedError] if the room is not one as it begins.
func (h *Hub) Create(ctx context.Context, c *mmr.Creation) error {
	uri, err := identity.RoomOf(c.GroupInfo.GroupContext.GroupID)
	if err != nil {
		return fmt.Errorf("%w: %w", protocol.ErrMalformed, err)
	}
	if uri.Domain != h.cfg.Domain || !uri.HasRandomID() {
		return &protocol.NotAllowedError{Reason: "not a room of this hub"}
	}
	r := &hosted{uri: uri}
	if err := h.attach(r, func(cfg mls.Config) (*mls.PublicGroup, error) {
		return mls.NewPublicGroup(ctx, cfg, c.GroupInfo, c.Tree)
	}); err != nil {
		return refuse(err)
	}
	if err := h.checkNew(r, c); err != nil {
		return refuse(err)
	}
	if err := r.putRoom(nil, r.room()); err != nil {
		return err
	}
	if err := h.cfg.Store.Create(ctx, uri, append(r.group.Dirty(), r.rows...)); err != nil {
		return fmt.Errorf("hub: create a room: %w", err)
	}
	return nil
}

func (h *Hub) checkNew(r *hosted, c *mmr.Creation) error {
	opened, err := mmr.Open(r.suite, r.group.View(), 0, c.Table)
	if err != nil {
		return err
	}
	if err := opened.CheckNew(); err != nil {
		return err
	}
	senders, err := r.group.View().Context().Extensions.ExternalSenders()
	if err != nil {
		return err
	}
	self, err := h.ExternalSender(r.suite.ID())
	if err != nil {
		return err
	}
	if len(senders) != 1 || string(senders[0].SignatureKey) != string(self.SignatureKey) || !senders[0].Credential.Equal(&self.Credential) {
		return fmt.Errorf("%w: the external sender is not this hub", mmr.ErrGroup)
	}
	r.rules.Set(opened)
	return r.checkLinkState(c.GroupInfo, opened)
}

// checkLinkState checks what a public GroupInfo says of the identity links
// (docs/mmr-profile.md, section 3, "Two GroupInfos").
func (r *hosted) checkLinkState(gi *mls.GroupInfo, room *mmr.Room) error {
	state, err := identity.LinkStateFrom(gi.Extensions)
	if err != nil {
		return err
	}
	if state.NewestGeneration != room.Newest() {
		return fmt.Errorf("%w: newest generation %d, want %d", identity.ErrLinkState, state.NewestGeneration, room.Newest())
	}
	if pub, err := gi.Extensions.ExternalPub(); err != nil || pub == nil {
		return fmt.Errorf("%w: no external_pub", mls.ErrGroupInfo)
	}
	return state.CheckTable(r.suite, room.Table())
}

// requestHash recognises a repeat of an accepted request.
func requestHash(endpoint, from string, req wire.Message) [32]byte {
	body, err := wire.Marshal(req)
	if err != nil {
		return [32]byte{} // what was decoded encodes; nothing is accepted under this hash
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", endpoint, from)
	h.Write(body)
	return [32]byte(h.Sum(nil))
}

// Update changes a room by a Commit or proposals
// (draft-ietf-mimi-protocol-06, section 5.3).
func (h *Hub) Update(ctx context.Context, from string, uri mimi.URI, req *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	response := &protocol.UpdateRoomResponse{}
	hash := requestHash("update", from, req)
	err := h.withRoom(ctx, uri, func(r *hosted) error {
		answer, repeated, err := h.cfg.Store.Answer(ctx, uri, hash)
		if err != nil {
			return fmt.Errorf("hub: look up an answer: %w", err)
		}
		if repeated {
			return wire.Unmarshal(answer, response)
		}
		response.Accepted = h.now()
		change := &Change{Request: hash, At: response.Accepted}
		if change.Answer, err = wire.Marshal(response); err != nil {
			return err
		}
		if req.IsCommit() {
			err = h.commit(ctx, from, r, req, change)
		} else {
			err = h.propose(ctx, from, r, req, change)
		}
		if err != nil {
			return refuse(err)
		}
		return h.store(ctx, r, change)
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// now is the time of acceptance: the protocol has milliseconds.
func (h *Hub) now() time.Time { return h.cfg.Clock.Now().Truncate(time.Millisecond) }

// commit stages a Commit, checks it with all that comes with it, and applies it
// to the room in memory.
func (h *Hub) commit(ctx context.Context, from string, r *hosted, req *protocol.UpdateRequest, change *Change) error {
	message := req.ProposalOrCommit.PublicMessage
	if err := r.checkEpoch(message); err != nil {
		return err
	}
	staged, err := r.group.Stage(ctx, message)
	if err != nil {
		return err
	}
	view := staged.Commit()
	if err := r.checkPeer(from, view); err != nil {
		return err
	}
	if err := mmr.RemovalPending(view, r.proposals()); err != nil {
		return err
	}
	next, err := r.rules.Next(view)
	if err != nil {
		return err
	}
	if req.GroupInfo.Full == nil {
		return &protocol.NotAllowedError{Reason: "a full GroupInfo is needed"}
	}
	if err := r.checkLinkState(req.GroupInfo.Full, next); err != nil {
		return err
	}
	if err := checkWelcome(req.Welcome, view); err != nil {
		return err
	}
	if err := r.group.Apply(staged, req.GroupInfo.Full); err != nil {
		return err
	}
	return r.applied(from, view, next, req, change)
}

// applied brings the rest of the room behind its group, and makes the deliveries.
func (r *hosted) applied(from string, view *mls.CommitView, next *mmr.Room, req *protocol.UpdateRequest, change *Change) error {
	before := r.room()
	if err := r.putRoom(before, next); err != nil {
		return err
	}
	r.rules.Set(next)
	for name := range r.pending {
		r.put(rowPending+name, nil)
	}
	clear(r.pending)
	if view.External {
		if tbs, ok := next.Leaf(view.Committer); ok {
			if err := r.useCode(tbs); err != nil {
				return err
			}
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

// checkEpoch answers a stale message before any work is done on it.
func (r *hosted) checkEpoch(message *mls.PublicMessage) error {
	if string(message.Content.GroupID) != string(r.group.GroupID()) {
		return mls.ErrGroupID
	}
	if message.Content.Epoch != r.group.Epoch() {
		return &protocol.WrongEpochError{Current: r.group.Epoch()}
	}
	return nil
}

// checkPeer fails unless the committer's pseudonym is the peer's to speak for
// (docs/mmr-profile.md, section 1).
func (r *hosted) checkPeer(from string, view *mls.CommitView) error {
	cred, err := mmr.ParseLeaf(r.suite, view.CommitterLeaf)
	if err != nil {
		return err
	}
	if cred.Domain() != from {
		return &protocol.NotAllowedError{Reason: "the committer is of another provider"}
	}
	return nil
}

// checkWelcome fails unless there is a Welcome exactly if somebody is added.
func checkWelcome(w *mls.Welcome, view *mls.CommitView) error {
	adds := 0
	if !view.External {
		adds = len(view.Added)
	}
	n := 0
	if w != nil {
		n = len(w.Secrets)
	}
	if n != adds {
		return &protocol.NotAllowedError{Reason: "the Welcome does not fit the Adds"}
	}
	return nil
}

// propose accepts proposals that are sent by themselves: all of a request or none.
func (h *Hub) propose(ctx context.Context, from string, r *hosted, req *protocol.UpdateRequest, change *Change) error {
	proposed := r.proposals()
	var staged []*mls.Staged
	for _, m := range append([]mls.MLSMessage{req.ProposalOrCommit}, req.MoreProposals...) {
		if err := r.checkEpoch(m.PublicMessage); err != nil {
			return err
		}
		s, err := r.group.Stage(ctx, m.PublicMessage)
		if err != nil {
			return err
		}
		p := s.Proposal()
		tbs, ok := r.room().Leaf(p.Sender.Index)
		if !ok || p.Sender.Type != mls.SenderMember || tbs.Domain() != from {
			return &protocol.NotAllowedError{Reason: "the proposer is of another provider"}
		}
		staged = append(staged, s)
		proposed = append(proposed, mmr.Proposed{Proposal: p.Proposal, Sender: p.Sender})
	}
	if err := r.room().CheckProposals(proposed); err != nil {
		return err
	}
	accepted := binary.BigEndian.AppendUint64(nil, uint64(change.At.UnixMilli()))
	for _, s := range staged {
		if err := r.group.Apply(s, nil); err != nil {
			return err
		}
		name := rowName(s.Proposal().Ref)
		r.pending[name] = change.At
		r.put(rowPending+name, accepted)
	}
	var err error
	change.Deliveries, err = r.deliveries(from, &protocol.FanoutMessage{
		Accepted: change.At, Message: req.ProposalOrCommit, MoreProposals: req.MoreProposals,
	})
	return err
}

// refuse says in the protocol's terms why a request was refused. Errors of the
// hub itself are returned as they are.
func refuse(err error) error {
	for _, known := range []error{protocol.ErrNoSuchRoom, protocol.ErrMalformed} {
		if errors.Is(err, known) {
			return err
		}
	}
	if _, ok := errors.AsType[*protocol.WrongEpochError](err); ok {
		return err
	}
	if _, ok := errors.AsType[*protocol.NotAllowedError](err); ok {
		return err
	}
	if errors.Is(err, mmr.ErrRemovalPending) {
		return &protocol.NotAllowedError{Reason: protocol.ReasonRemovalPending}
	}
	return &protocol.NotAllowedError{Reason: err.Error()}
}

// SubmitMessage accepts an application message
// (draft-ietf-mimi-protocol-06, section 5.4).
func (h *Hub) SubmitMessage(ctx context.Context, from string, uri mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	response := &protocol.SubmitMessageResponse{}
	hash := requestHash("submitMessage", from, req)
	err := h.withRoom(ctx, uri, func(r *hosted) error {
		answer, repeated, err := h.cfg.Store.Answer(ctx, uri, hash)
		if err != nil {
			return fmt.Errorf("hub: look up an answer: %w", err)
		}
		if repeated {
			return wire.Unmarshal(answer, response)
		}
		if err := h.checkMessage(from, r, req); err != nil {
			return err
		}
		response.Accepted = h.now()
		change := &Change{Request: hash, At: response.Accepted}
		if change.Answer, err = wire.Marshal(response); err != nil {
			return err
		}
		if change.Deliveries, err = r.deliveries(from, &protocol.FanoutMessage{
			Accepted: response.Accepted, Message: req.Message,
		}); err != nil {
			return err
		}
		return h.store(ctx, r, change)
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// checkMessage applies the policy to a message that the hub cannot read.
func (h *Hub) checkMessage(from string, r *hosted, req *protocol.SubmitMessageRequest) error {
	message := req.Message.PrivateMessage
	switch {
	case req.Sender.Domain != from:
		return &protocol.NotAllowedError{Reason: "the sender is of another provider"}
	case string(message.GroupID) != string(r.group.GroupID()):
		return &protocol.NotAllowedError{Reason: "the message is for another group"}
	case len(message.Ciphertext) > h.cfg.Limits.Message:
		return &protocol.NotAllowedError{Reason: "the message is too long"}
	case message.Epoch < r.group.Epoch():
		return &protocol.WrongEpochError{Current: r.group.Epoch()}
	case message.Epoch > r.group.Epoch():
		return &protocol.NotAllowedError{Reason: "the epoch is not reached"}
	}
	state := r.room().State()
	if !state.Active(req.Sender) {
		return &protocol.NotAllowedError{Reason: room.ErrNotMember.Error()}
	}
	if err := state.MaySendAnything(req.Sender); err != nil {
		return &protocol.NotAllowedError{Reason: err.Error()}
	}
	return nil
}
