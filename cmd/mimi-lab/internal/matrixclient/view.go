package matrixclient

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"
)

// A View is what a person has seen.
type View struct {
	// Rooms are all rooms the person was ever told of.
	Rooms map[id.RoomID]*Room
	// AccountData holds the content of account data by type.
	AccountData map[string]json.RawMessage
}

// A Room is what a person has seen of a room.
type Room struct {
	// ID is the room's.
	ID id.RoomID
	// Membership is the person's own.
	Membership event.Membership
	// State is the room's state, or the part that an invitation shows.
	State map[event.Type]map[string]*event.Event
	// Timeline holds message and state events in the order of their arrival,
	// from before and after.
	Timeline []*event.Event
}

// Messages returns the messages of the timeline that sender sent; those of all
// if sender is empty. Edits are among them.
func (r *Room) Messages(sender id.UserID) []*event.Event {
	if r == nil {
		return nil
	}
	var out []*event.Event
	for _, evt := range r.Timeline {
		if evt.Type == event.EventMessage && (sender == "" || evt.Sender == sender) {
			out = append(out, evt)
		}
	}
	return out
}

// Event returns an event of the timeline, or nil.
func (r *Room) Event(eventID id.EventID) *event.Event {
	if r == nil {
		return nil
	}
	for _, evt := range r.Timeline {
		if evt.ID == eventID {
			return evt
		}
	}
	return nil
}

// Member returns somebody's membership, with their name; it is never nil.
func (r *Room) Member(who id.UserID) *event.MemberEventContent {
	if r != nil {
		if evt := r.State[event.StateMember][string(who)]; evt != nil {
			return evt.Content.AsMember()
		}
	}
	return &event.MemberEventContent{}
}

// Name returns the name of the room.
func (r *Room) Name() string {
	if r != nil {
		if evt := r.State[event.StateRoomName][""]; evt != nil {
			return evt.Content.AsRoomName().Name
		}
	}
	return ""
}

// Level returns the power level of somebody in the room.
func (r *Room) Level(who id.UserID) int {
	if r != nil {
		if evt := r.State[event.StatePowerLevels][""]; evt != nil {
			return evt.Content.AsPowerLevels().GetUserLevel(who)
		}
	}
	return 0
}

// view is the View that sync responses are written to.
type view struct {
	mu      sync.Mutex
	seen    View
	changed chan struct{} // closed and replaced at every change
}

var _ mautrix.Syncer = (*view)(nil)

func newView() *view {
	return &view{
		seen:    View{Rooms: map[id.RoomID]*Room{}, AccountData: map[string]json.RawMessage{}},
		changed: make(chan struct{}),
	}
}

// check asks condition, and returns what is closed when the answer may change.
func (v *view) check(condition func(*View) bool) (bool, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return condition(&v.seen), v.changed
}

// ProcessResponse implements [mautrix.Syncer].
func (v *view) ProcessResponse(_ context.Context, resp *mautrix.RespSync, _ string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, evt := range resp.AccountData.Events {
		v.seen.AccountData[evt.Type.Type] = evt.Content.VeryRaw
	}
	for roomID, r := range resp.Rooms.Invite {
		room := v.room(roomID, event.MembershipInvite)
		room.apply(r.State.Events)
	}
	for roomID, r := range resp.Rooms.Join {
		room := v.room(roomID, event.MembershipJoin)
		room.apply(r.State.Events)
		room.extend(r.Timeline.Events)
	}
	for roomID, r := range resp.Rooms.Leave {
		room := v.room(roomID, event.MembershipLeave)
		room.apply(r.State.Events)
		room.extend(r.Timeline.Events)
	}
	close(v.changed)
	v.changed = make(chan struct{})
	return nil
}

// OnFailedSync implements [mautrix.Syncer]. A homeserver of the lab answers, or
// the run is over.
func (v *view) OnFailedSync(_ *mautrix.RespSync, err error) (time.Duration, error) { return 0, err }

// GetFilterJSON implements [mautrix.Syncer].
func (v *view) GetFilterJSON(id.UserID) *mautrix.Filter {
	return &mautrix.Filter{Room: &mautrix.RoomFilter{Timeline: &mautrix.FilterPart{Limit: syncTimelineLimit}}}
}

func (v *view) room(roomID id.RoomID, membership event.Membership) *Room {
	room := v.seen.Rooms[roomID]
	if room == nil {
		room = &Room{ID: roomID, State: map[event.Type]map[string]*event.Event{}}
		v.seen.Rooms[roomID] = room
	}
	room.Membership = membership
	return room
}

// apply writes state events into the state.
func (r *Room) apply(events []*event.Event) {
	for _, evt := range events {
		if evt.StateKey == nil {
			continue
		}
		evt.RoomID = r.ID
		evt.Type.Class = event.StateEventType
		parse(evt)
		if r.State[evt.Type] == nil {
			r.State[evt.Type] = map[string]*event.Event{}
		}
		r.State[evt.Type][*evt.StateKey] = evt
	}
}

// extend writes events into the timeline and the state.
func (r *Room) extend(events []*event.Event) {
	for _, evt := range events {
		evt.RoomID = r.ID
		if evt.StateKey == nil {
			evt.Type.Class = event.MessageEventType
			parse(evt)
		}
		r.Timeline = append(r.Timeline, evt)
	}
	r.apply(events)
}

// parse makes the content readable by type. Content that does not fit stays
// raw, for the expectations to notice.
func parse(evt *event.Event) {
	if err := evt.Content.ParseRaw(evt.Type); err != nil && !errors.Is(err, event.ErrContentAlreadyParsed) {
		evt.Content.Parsed = nil
	}
}
