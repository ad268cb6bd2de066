package hub

import (
	"context"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// SubmitMessage accepts an application message
// (draft-ietf-mimi-protocol-06, section 5.4). The answer to a repeated request is
// that to the first one.
func (h *Hub) SubmitMessage(ctx context.Context, from string, uri mimi.URI, req *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	if req.Message.PrivateMessage == nil {
		return nil, protocol.ErrMalformed
	}
	h.lanes.back(Lane{Room: uri, Domain: from})
	response := &protocol.SubmitMessageResponse{}
	err := h.answered(ctx, uri, requestHash("submitMessage", from, req), response, func(r *hosted, change *Change) error {
		response.Accepted = change.At
		if err := h.checkMessage(from, r, req); err != nil {
			return err
		}
		deliveries, err := r.messageDeliveries(from, &protocol.FanoutMessage{Accepted: change.At, Message: req.Message})
		change.Deliveries = deliveries
		return err
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
		return mimi.Refuse("message-domain", &protocol.NotAllowedError{Reason: "the sender is of another provider"})
	case string(message.GroupID) != string(r.group.GroupID()):
		return mimi.Refuse("message-group", &protocol.NotAllowedError{Reason: "the message is for another group"})
	case len(message.Ciphertext) > h.cfg.Limits.Message:
		return mimi.Refuse("message-size", &protocol.NotAllowedError{Reason: "the message is too long"})
	case message.Epoch < r.group.Epoch():
		return mimi.Refuse("message-epoch-past", &protocol.WrongEpochError{Current: r.group.Epoch()})
	case message.Epoch > r.group.Epoch():
		return mimi.Refuse("message-epoch-ahead", &protocol.NotAllowedError{Reason: "the epoch is not reached"})
	}
	state := r.room().State()
	if !state.Active(req.Sender) {
		return mimi.Refuse("message-member", &protocol.NotAllowedError{Reason: room.ErrNotMember.Error()})
	}
	if err := state.MaySendAnything(req.Sender); err != nil {
		return mimi.Refuse("message-role", &protocol.NotAllowedError{Reason: err.Error()})
	}
	departing, err := r.departing()
	if err != nil {
		return err
	}
	if departing[req.Sender] {
		return mimi.Refuse("message-departing", &protocol.NotAllowedError{Reason: reasonDeparting})
	}
	return nil
}
