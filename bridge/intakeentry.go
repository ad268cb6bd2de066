package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"
)

// An IntakeDispatcher runs the handlers of an event and returns after them.
// [appservice.EventProcessor] is one, with ExecMode Sync and without time
// limits.
type IntakeDispatcher interface {
	// Dispatch runs the handlers of a room, ephemeral or to-device event.
	Dispatch(ctx context.Context, evt *event.Event)
	// DispatchOTK runs the handlers of a count of one-time keys.
	DispatchOTK(ctx context.Context, otk *mautrix.OTKCount)
	// DispatchDeviceList runs the handlers of a change of devices.
	DispatchDeviceList(ctx context.Context, lists *mautrix.DeviceLists)
}

var _ IntakeDispatcher = (*appservice.EventProcessor)(nil)

// wireTransaction is the body of a transaction. The parts that Matrix has not
// adopted yet have two names: their future one, and that of their proposal.
type wireTransaction struct {
	Events      []json.RawMessage      `json:"events"`
	Ephemeral   []json.RawMessage      `json:"ephemeral"`
	ToDevice    []json.RawMessage      `json:"to_device"`
	DeviceLists *mautrix.DeviceLists   `json:"device_lists"`
	OTKCounts   appservice.OTKCountMap `json:"device_one_time_keys_count"`

	MSC2409Ephemeral   []json.RawMessage      `json:"de.sorunome.msc2409.ephemeral"`
	MSC2409ToDevice    []json.RawMessage      `json:"de.sorunome.msc2409.to_device"`
	MSC3202DeviceLists *mautrix.DeviceLists   `json:"org.matrix.msc3202.device_lists"`
	MSC3202OTKCounts   appservice.OTKCountMap `json:"org.matrix.msc3202.device_one_time_keys_count"`
}

// An intakeEntry is what the store keeps of one event. Exactly one of the
// fields beside Class is set.
type intakeEntry struct {
	Class       intakeClass            `json:"class"`
	Event       json.RawMessage        `json:"event,omitempty"`
	DeviceLists *mautrix.DeviceLists   `json:"device_lists,omitempty"`
	OTKCounts   appservice.OTKCountMap `json:"otk_counts,omitempty"`
}

type intakeClass string

const (
	classRoom      intakeClass = "room"
	classEphemeral intakeClass = "ephemeral"
	classToDevice  intakeClass = "to_device"
	classDevices   intakeClass = "devices"
	classOTK       intakeClass = "otk"
)

// entries returns what is to be stored, in the order of handling: keys before
// the events they open, room events before the receipts for them.
func (t *wireTransaction) entries(ephemeral bool) [][]byte {
	var out [][]byte
	add := func(e intakeEntry) {
		data, err := json.Marshal(e)
		if err == nil { // it was unmarshalled a moment ago
			out = append(out, data)
		}
	}
	if ephemeral {
		for _, evt := range firstOf(t.ToDevice, t.MSC2409ToDevice) {
			add(intakeEntry{Class: classToDevice, Event: evt})
		}
	}
	for _, lists := range []*mautrix.DeviceLists{t.DeviceLists, t.MSC3202DeviceLists} {
		if lists != nil && len(lists.Changed)+len(lists.Left) > 0 {
			add(intakeEntry{Class: classDevices, DeviceLists: lists})
			break
		}
	}
	for _, counts := range []appservice.OTKCountMap{t.OTKCounts, t.MSC3202OTKCounts} {
		if len(counts) > 0 {
			add(intakeEntry{Class: classOTK, OTKCounts: counts})
			break
		}
	}
	for _, evt := range t.Events {
		add(intakeEntry{Class: classRoom, Event: evt})
	}
	if ephemeral {
		for _, evt := range firstOf(t.Ephemeral, t.MSC2409Ephemeral) {
			// Typing and presence have no counterpart in MIMI, and are frequent.
			if eventHead(evt).Type == event.EphemeralEventReceipt.Type {
				add(intakeEntry{Class: classEphemeral, Event: evt})
			}
		}
	}
	return out
}

func firstOf(a, b []json.RawMessage) []json.RawMessage {
	if a != nil {
		return a
	}
	return b
}

type head struct {
	Type string `json:"type"`
	Room string `json:"room_id"`
}

// eventHead returns the fields that decide about queueing; those that cannot
// be read are empty.
func eventHead(data json.RawMessage) head {
	var h head
	_ = json.Unmarshal(data, &h)
	return h
}

// queueOf names the queue of a stored entry: its room, or "" for what concerns
// devices.
func queueOf(data []byte) string {
	var e intakeEntry
	_ = json.Unmarshal(data, &e)
	return eventHead(e.Event).Room
}

// dispatch does with an entry what the application service would have done
// with the event.
func (in *Intake) dispatch(ctx context.Context, data []byte) error {
	var e intakeEntry
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("bridge: stored entry: %w", err)
	}
	switch e.Class {
	case classDevices:
		in.dispatcher.DispatchDeviceList(ctx, e.DeviceLists)
		return nil
	case classOTK:
		for user, devices := range e.OTKCounts {
			for device, counts := range devices {
				counts.UserID, counts.DeviceID = user, device
				in.dispatcher.DispatchOTK(ctx, &counts)
			}
		}
		return nil
	case classRoom, classEphemeral, classToDevice:
	default:
		return fmt.Errorf("bridge: stored entry has the unknown class %q", e.Class)
	}
	evt, err := in.parseEvent(e)
	if err != nil {
		return err
	}
	if evt.Type.IsState() {
		mautrix.UpdateStateStore(ctx, in.as.StateStore, evt)
	}
	// bridgev2's commands add fields to the logger of their context for good, so
	// each event needs its own.
	log := zerolog.Ctx(ctx).With().Stringer("event_id", evt.ID).Logger()
	in.dispatcher.Dispatch(log.WithContext(ctx), evt)
	return nil
}

func (in *Intake) parseEvent(e intakeEntry) (*event.Event, error) {
	evt := &event.Event{}
	if err := json.Unmarshal(e.Event, evt); err != nil {
		return nil, fmt.Errorf("bridge: Matrix event: %w", err)
	}
	evt.Mautrix.ReceivedAt = in.clock.Now()
	switch {
	case e.Class == classEphemeral:
		evt.Type.Class = event.EphemeralEventType
		evt.Mautrix.EventSource = event.SourceEphemeral
	case e.Class == classToDevice:
		evt.Type.Class = event.ToDeviceEventType
		evt.Mautrix.EventSource = event.SourceToDevice
	case evt.StateKey != nil:
		evt.Type.Class = event.StateEventType
		evt.Mautrix.EventSource = event.SourceTimeline
	default:
		evt.Type.Class = event.MessageEventType
		evt.Mautrix.EventSource = event.SourceTimeline
	}
	// Handlers must cope with content they do not know, and do.
	if err := evt.Content.ParseRaw(evt.Type); err != nil && !errors.Is(err, event.ErrUnsupportedContentType) {
		in.log.Warn("content of a Matrix event does not fit its type", "type", evt.Type.Type, "err", err)
	}
	return evt, nil
}
