package bridge_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/event"

	"github.com/mimi-gateway/mimi-gateway/bridge"
	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// handler records the events it is given, and can be held up by room.
type handler struct {
	mu      sync.Mutex
	handled []string
	deleted int
	changed chan struct{}
	gates   map[string]chan struct{} // events of these rooms wait
}

func newHandler() *handler {
	return &handler{changed: make(chan struct{}), gates: map[string]chan struct{}{}}
}

func (h *handler) record(s string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handled = append(h.handled, s)
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *handler) Dispatch(_ context.Context, evt *event.Event) {
	if gate := h.gates[string(evt.RoomID)]; gate != nil {
		<-gate
	}
	h.record(string(evt.RoomID) + evt.Type.Class.Name() + string(evt.ID))
}

func (h *handler) DispatchOTK(_ context.Context, otk *mautrix.OTKCount) {
	h.record(fmt.Sprint("otk", otk.UserID, otk.DeviceID, otk.SignedCurve25519))
}

func (h *handler) DispatchDeviceList(_ context.Context, lists *mautrix.DeviceLists) {
	h.record(fmt.Sprint("devices", lists.Changed))
}

// IntakeStored and IntakeHandled make it a bridge.IntakeMetrics.
func (h *handler) IntakeStored(int) {}

func (h *handler) IntakeHandled() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deleted++
	close(h.changed)
	h.changed = make(chan struct{})
}

// awaitDeleted returns when n entries were deleted, handled or not.
func (h *handler) awaitDeleted(n int) {
	for {
		h.mu.Lock()
		deleted, changed := h.deleted, h.changed
		h.mu.Unlock()
		if deleted >= n {
			return
		}
		<-changed
	}
}

// await returns what was handled, once there are n events.
func (h *handler) await(n int) []string {
	for {
		h.mu.Lock()
		handled, changed := slices.Clone(h.handled), h.changed
		h.mu.Unlock()
		if len(handled) >= n {
			return handled
		}
		<-changed
	}
}

// failingStore refuses to store while fail is set.
type failingStore struct {
	*bridge.MemoryIntake
	fail bool
}

func (s *failingStore) PutTransaction(ctx context.Context, txnID string, entries [][]byte) (bool, error) {
	if s.fail {
		return false, errors.New("disk full")
	}
	return s.MemoryIntake.PutTransaction(ctx, txnID, entries)
}

// newIntake returns an intake and the handler of its listener.
func newIntake(h *handler) (*bridge.Intake, *appservice.AppService) {
	as := appservice.Create()
	as.Registration = &appservice.Registration{ServerToken: "hs_token", EphemeralEvents: true}
	in := bridge.NewIntake(bridge.IntakeConfig{
		AppService: as, Dispatcher: h, Clock: mimi.SystemClock{}, Log: slog.New(slog.DiscardHandler), Metrics: h,
	})
	return in, as
}

// push sends a transaction as the homeserver does, and returns the status.
func push(t *testing.T, as *appservice.AppService, txn, body string) int {
	t.Helper()
	return pushAs(t, as, "hs_token", txn, body)
}

func pushAs(t *testing.T, as *appservice.AppService, token, txn, body string) int {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/_matrix/app/v1/transactions/"+txn, strings.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	as.Router.ServeHTTP(w, req)
	return w.Code
}

// message is an event of a transaction.
func message(room, eventID string) string {
	return fmt.Sprintf(`{"type":"m.room.message","room_id":%q,"event_id":%q,"sender":"@a:x","content":{"msgtype":"m.text","body":"hi"}}`, room, eventID)
}

func events(evts ...string) string { return `{"events":[` + strings.Join(evts, ",") + `]}` }

// runIntake runs in until stop is called, which returns when no handler is left.
func runIntake(t *testing.T, in *bridge.Intake) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestIntakeAcknowledgesAfterStoring(t *testing.T) {
	h := newHandler()
	in, as := newIntake(h)
	store := &failingStore{MemoryIntake: bridge.NewMemoryIntake(), fail: true}
	in.Open(store)
	if status := push(t, as, "1", events(message("!a", "$1"))); status == http.StatusOK {
		t.Error("a transaction that could not be stored was acknowledged")
	}
	store.fail = false
	if status := push(t, as, "1", events(message("!a", "$1"))); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if store.Len() != 1 {
		t.Errorf("%d entries are stored, not 1", store.Len())
	}
	if len(h.handled) != 0 {
		t.Error("an event was handled before Run")
	}
	stop := runIntake(t, in)
	h.await(1)
	stop()
	if store.Len() != 0 {
		t.Error("a handled event is still stored")
	}
}

func TestIntakeRefusesStrangers(t *testing.T) {
	in, as := newIntake(newHandler())
	store := bridge.NewMemoryIntake()
	in.Open(store)
	if status := pushAs(t, as, "wrong", "1", events(message("!a", "$1"))); status != http.StatusUnauthorized && status != http.StatusForbidden {
		t.Errorf("status %d for a wrong token", status)
	}
	for name, body := range map[string]string{"no JSON": "{", "too large": events(message("!a", strings.Repeat("x", 33<<20)))} {
		if status := push(t, as, "1", body); status == http.StatusOK {
			t.Errorf("%s: acknowledged", name)
		}
	}
	if store.Len() != 0 {
		t.Errorf("%d entries were stored", store.Len())
	}
}

func TestIntakeIgnoresRepeatedTransactions(t *testing.T) {
	h := newHandler()
	in, as := newIntake(h)
	in.Open(bridge.NewMemoryIntake())
	stop := runIntake(t, in)
	for _, txn := range []string{"1", "1", "2", "1"} {
		if status := push(t, as, txn, events(message("!a", "$"+txn))); status != http.StatusOK {
			t.Fatalf("status %d", status)
		}
	}
	got := h.await(2)
	stop()
	if want := []string{"!amessage$1", "!amessage$2"}; !slices.Equal(got, want) {
		t.Errorf("handled %q, want %q", got, want)
	}
}

func TestIntakeHandlesAgainAfterACrash(t *testing.T) {
	store := bridge.NewMemoryIntake()
	var want []string

	// The first process handles one event and dies in the second.
	first := newHandler()
	first.gates["!slow"] = make(chan struct{})
	in, as := newIntake(first)
	in.Open(store)
	stop := runIntake(t, in)
	push(t, as, "0", events(message("!quick", "$0")))
	first.await(1)
	for i := range 5 {
		push(t, as, fmt.Sprint(i+1), events(message("!slow", fmt.Sprintf("$%d", i))))
		want = append(want, fmt.Sprintf("!slowmessage$%d", i))
	}
	in.Abandon()
	close(first.gates["!slow"])
	first.await(2)
	stop()

	second := newHandler()
	in, _ = newIntake(second)
	in.Open(store)
	stop = runIntake(t, in)
	got := second.await(len(want))
	stop()
	if !slices.Equal(got, want) {
		t.Errorf("after the crash %q was handled, want %q", got, want)
	}
	if store.Len() != 0 {
		t.Errorf("%d entries are left", store.Len())
	}
}

func TestIntakeStuckRoomHoldsUpNoOther(t *testing.T) {
	h := newHandler()
	h.gates["!stuck"] = make(chan struct{})
	in, as := newIntake(h)
	in.Open(bridge.NewMemoryIntake())
	stop := runIntake(t, in)
	const n = 300
	for i := range n {
		push(t, as, fmt.Sprint(i), events(message("!stuck", fmt.Sprintf("$s%d", i)), message("!free", fmt.Sprintf("$%03d", i))))
	}
	got := h.await(n)
	if !slices.IsSorted(got) || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "!stuck") }) {
		t.Errorf("events of the free room came as %q", got)
	}
	close(h.gates["!stuck"])
	h.await(2 * n)
	stop()
}

func TestIntakeKeepsKeysBeforeMessages(t *testing.T) {
	h := newHandler()
	in, as := newIntake(h)
	in.Open(bridge.NewMemoryIntake())
	push(t, as, "1", `{
		"events":[{"type":"m.room.topic","room_id":"!a","event_id":"$1","sender":"@a:x","state_key":"","content":{"topic":"t"}}],
		"de.sorunome.msc2409.to_device":[{"type":"m.room.encrypted","sender":"@a:x","content":{}}],
		"ephemeral":[{"type":"m.typing","room_id":"!a","content":{"user_ids":["@a:x"]}},{"type":"m.receipt","room_id":"!a","content":{}}],
		"org.matrix.msc3202.device_lists":{"changed":["@a:x"]},
		"device_one_time_keys_count":{"@b:x":{"D":{"signed_curve25519":7}}}
	}`)
	stop := runIntake(t, in)
	got := h.await(5)
	stop()
	// The two queues are independent; each has its order.
	var room, device []string
	for _, s := range got {
		if strings.HasPrefix(s, "!a") {
			room = append(room, s)
		} else {
			device = append(device, s)
		}
	}
	if want := []string{"!astate$1", "!aephemeral"}; !slices.Equal(room, want) {
		t.Errorf("the room's events are %q, want %q", room, want)
	}
	if want := []string{"to-device", "devices[@a:x]", "otk@b:xD7"}; !slices.Equal(device, want) {
		t.Errorf("the devices' events are %q, want %q", device, want)
	}
}

func TestIntakeDropsWhatCannotBeRead(t *testing.T) {
	h := newHandler()
	in, as := newIntake(h)
	store := bridge.NewMemoryIntake()
	in.Open(store)
	push(t, as, "1", events(`"no event"`, `{"type":7,"room_id":"!a"}`, message("!a", "$1")))
	stop := runIntake(t, in)
	h.awaitDeleted(3)
	stop()
	if got := h.await(0); !slices.Equal(got, []string{"!amessage$1"}) {
		t.Errorf("handled %q", got)
	}
	if store.Len() != 0 {
		t.Errorf("%d entries are left", store.Len())
	}
}
