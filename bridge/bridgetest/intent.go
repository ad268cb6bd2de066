package bridgetest

import (
	"context"
	"fmt"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
)

// An intent is the bridge acting as one account.
type intent struct {
	bridgev2.MatrixAPI // nil: what is not implemented panics

	matrix *Matrix
	user   id.UserID
	puppet bool
}

func (i *intent) GetMXID() id.UserID { return i.user }

func (i *intent) IsDoublePuppet() bool { return i.puppet }

func (i *intent) DownloadMedia(_ context.Context, uri id.ContentURIString, _ *event.EncryptedFileInfo) ([]byte, error) {
	data, ok := i.matrix.Media(uri)
	if !ok {
		return nil, mautrix.MNotFound
	}
	return data, nil
}

func (i *intent) UploadMedia(_ context.Context, _ id.RoomID, data []byte, _, _ string) (id.ContentURIString, *event.EncryptedFileInfo, error) {
	return i.matrix.Upload(data), nil, nil
}

// SendMessage gives requests with a cause its transaction id, as the transport
// does for a real homeserver.
func (i *intent) SendMessage(ctx context.Context, roomID id.RoomID, kind event.Type, content *event.Content, _ *bridgev2.MatrixSendExtra) (*mautrix.RespSendEvent, error) {
	// Ghosts and puppets join first, as those of a real homeserver do.
	if membership := i.matrix.Room(roomID).Members[i.user]; membership != event.MembershipJoin {
		if i.puppet || i.user == BotID {
			return nil, fmt.Errorf("bridgetest: %s is not in %s", i.user, roomID)
		}
		i.matrix.setMember(roomID, i.user, event.MembershipJoin)
	}
	var txn string
	cause := bridge.CauseFrom(ctx)
	if cause != nil {
		name := "send " + kind.Type
		if redaction, ok := content.Parsed.(*event.RedactionEventContent); ok {
			name = "redact " + string(redaction.Redacts)
		}
		i.matrix.mu.Lock()
		i.matrix.next++
		request := fmt.Sprint(i.matrix.next)
		i.matrix.mu.Unlock()
		txn = cause.TransactionID(name+" "+string(i.user), request)
		if err := cause.Check(request); err != nil {
			return nil, err
		}
		err := i.matrix.failure()
		cause.Answered(request, err == nil)
		if err != nil {
			return nil, err
		}
	} else if err := i.matrix.failure(); err != nil {
		return nil, err
	}
	return i.matrix.send(roomID, i.user, kind, content, txn), nil
}

func (i *intent) SendState(_ context.Context, roomID id.RoomID, kind event.Type, key string, content *event.Content, ts time.Time) (*mautrix.RespSendEvent, error) {
	if err := i.matrix.failure(); err != nil {
		return nil, err
	}
	room := i.matrix.Room(roomID)
	own := kind == event.StateMember && key == string(i.user)
	if room.Members[i.user] != event.MembershipJoin && !own {
		return nil, forbidden(fmt.Sprintf("%s is not in %s", i.user, roomID))
	}
	if member, ok := content.Parsed.(*event.MemberEventContent); ok && kind == event.StateMember && !own {
		power, err := i.matrix.GetPowerLevels(context.Background(), roomID)
		if err != nil {
			return nil, err
		}
		need := power.Kick()
		if member.Membership == event.MembershipInvite {
			need = power.Invite()
		}
		if power.GetUserLevel(i.user) < need {
			return nil, forbidden(fmt.Sprintf("%s may not do this to %s", i.user, key))
		}
		i.matrix.note(roomID, i.user, id.UserID(key), member)
	}
	i.matrix.setState(roomID, kind, key, content, ts)
	return &mautrix.RespSendEvent{EventID: i.matrix.eventID()}, nil
}

func (i *intent) MarkRead(context.Context, id.RoomID, id.EventID, time.Time) error { return nil }

func (i *intent) SetDisplayName(_ context.Context, name string) error {
	i.matrix.mu.Lock()
	defer i.matrix.mu.Unlock()
	i.matrix.names[i.user] = name
	i.matrix.notify()
	return nil
}

func (i *intent) SetAvatarURL(context.Context, id.ContentURIString) error { return nil }

func (i *intent) SetExtraProfileMeta(context.Context, any) error { return nil }

func (i *intent) CreateRoom(_ context.Context, req *mautrix.ReqCreateRoom) (id.RoomID, error) {
	if err := i.matrix.failure(); err != nil {
		return "", err
	}
	roomID := i.matrix.CreateRoomAs(i.user)
	power := req.PowerLevelOverride
	if power == nil {
		power = &event.PowerLevelsEventContent{}
	}
	power.EnsureUserLevel(i.user, 100)
	i.matrix.setState(roomID, event.StatePowerLevels, "", &event.Content{Parsed: power}, time.Time{})
	for _, evt := range req.InitialState {
		i.matrix.setState(roomID, evt.Type, evt.GetStateKey(), &evt.Content, time.Time{})
	}
	if req.Name != "" {
		i.matrix.setState(roomID, event.StateRoomName, "", &event.Content{Parsed: &event.RoomNameEventContent{Name: req.Name}}, time.Time{})
	}
	if req.Topic != "" {
		i.matrix.setState(roomID, event.StateTopic, "", &event.Content{Parsed: &event.TopicEventContent{Topic: req.Topic}}, time.Time{})
	}
	for _, user := range req.Invite {
		i.matrix.setMember(roomID, user, event.MembershipInvite)
	}
	return roomID, nil
}

func (i *intent) EnsureJoined(_ context.Context, roomID id.RoomID, _ ...bridgev2.EnsureJoinedParams) error {
	i.matrix.setMember(roomID, i.user, event.MembershipJoin)
	return nil
}

func (i *intent) EnsureInvited(_ context.Context, roomID id.RoomID, user id.UserID) error {
	if i.matrix.Room(roomID).Members[user] != event.MembershipJoin {
		i.matrix.setMember(roomID, user, event.MembershipInvite)
	}
	return nil
}

func (i *intent) DeleteRoom(_ context.Context, roomID id.RoomID, _ bool) error {
	i.matrix.mu.Lock()
	defer i.matrix.mu.Unlock()
	delete(i.matrix.rooms, roomID)
	i.matrix.notify()
	return nil
}

func (i *intent) TagRoom(context.Context, id.RoomID, event.RoomTag, bool) error { return nil }

func (i *intent) MuteRoom(context.Context, id.RoomID, time.Time) error { return nil }

// forbidden is what a homeserver answers to who may not do something.
func forbidden(why string) error { return mautrix.MForbidden.WithMessage("%s", why) }
