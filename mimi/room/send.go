package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// MaySend fails with a [MissingCapability] unless the role of a user has every
// capability that a message needs, one for each of its aspects
// (draft-ietf-mimi-room-policy-03, sections 8.3 and 8.4): [CanSendMessage] for a
// message of its own, [CanReplyToMessage] for a reply, [CanReactToMessage] for a
// reaction, [CanEditOwnMessage], [CanDeleteOwnMessage] and so on, and beside it
// [CanStartTopic], [CanSendLink] or [CanUploadImage] for what it carries. A user
// who is not in the participant list, or is banned, sends nothing:
// [ErrNotMember], [ErrBanned]. A member checks this before it shows a
// message; the hub, which cannot see what a message is, asks
// [State.MaySendAnything].
func (s *State) MaySend(user mimi.URI, first Capability, others ...Capability) error {
	role, err := s.speaker(user)
	if err != nil {
		return err
	}
	for _, capability := range append([]Capability{first}, others...) {
		if !sends(capability) {
			return fmt.Errorf("%w: %v is not about sending", ErrOperation, capability)
		}
		if err := need(role, capability); err != nil {
			return err
		}
	}
	return nil
}

// MaySendAnything fails unless there is some message that the user may send, be
// it only a reaction. It is what a hub can enforce.
func (s *State) MaySendAnything(user mimi.URI) error {
	role, err := s.speaker(user)
	if err != nil {
		return err
	}
	return need(role, sendingCapabilities...)
}

// MayReceive fails unless the messages of the room may be delivered to the user.
func (s *State) MayReceive(user mimi.URI) error {
	role, err := s.speaker(user)
	if err != nil {
		return err
	}
	return need(role, CanReceiveMessage)
}

// speaker returns the role of a participant who is not banned.
func (s *State) speaker(user mimi.URI) (*Role, error) {
	switch index := s.roleOf[user]; {
	case index == RoleNone:
		return nil, ErrNotMember
	case s.roles.Banned(index):
		return nil, ErrBanned
	default:
		return s.roles.Role(index), nil
	}
}

// sendingCapabilities are those of which each is the essence of some message.
var sendingCapabilities = []Capability{
	CanSendMessage, CanReplyToMessage, CanReactToMessage, CanEditReaction, CanDeleteOwnReaction, CanDeleteOtherReaction,
	CanEditOwnMessage, CanDeleteOwnMessage, CanDeleteOtherMessage, CanReplyInTopic, CanEditOwnTopic, CanEditOtherTopic,
}

// aspects are capabilities for what a message carries.
var aspects = []Capability{
	CanStartTopic, CanSendLink, CanSendLinkPreview, CanUploadImage, CanUploadAudio, CanUploadVideo, CanUploadAttachment,
}

func sends(c Capability) bool {
	for _, list := range [][]Capability{sendingCapabilities, aspects} {
		for _, known := range list {
			if c == known {
				return true
			}
		}
	}
	return false
}
