package bridge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/simplevent"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge"
)

// recorder is a homeserver that accepts everything and keeps the paths.
type recorder struct {
	mu    sync.Mutex
	paths []string
	fail  int // answer this many requests with 502 first
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.paths = append(r.paths, req.URL.EscapedPath())
	if r.fail > 0 {
		r.fail--
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	_, _ = io.WriteString(w, `{"event_id":"$1"}`)
}

// transactions returns the last elements of the paths that went by.
func (r *recorder) transactions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, path := range r.paths {
		out = append(out, path[strings.LastIndex(path, "/")+1:])
	}
	r.paths = nil
	return out
}

// newService returns an application service of the recorder.
func newService(t *testing.T, hs *recorder) *appservice.AppService {
	t.Helper()
	server := httptest.NewServer(hs)
	t.Cleanup(server.Close)
	as := appservice.Create()
	as.HomeserverDomain = "alpha.localhost"
	as.Registration = &appservice.Registration{SenderLocalpart: "bot", AppToken: "as", ServerToken: "hs"}
	as.DefaultHTTPRetries = 2
	as.Log = zerolog.Nop()
	if err := as.SetHomeserverURL(server.URL); err != nil {
		t.Fatal(err)
	}
	bridge.InstallTransactionIDs(as)
	return as
}

const room id.RoomID = "!room:alpha.localhost"

func send(t *testing.T, ctx context.Context, as *appservice.AppService, user, text string) {
	t.Helper()
	_, err := as.Client(id.NewUserID(user, "alpha.localhost")).SendMessageEvent(ctx, room, event.EventMessage,
		&event.MessageEventContent{MsgType: event.MsgText, Body: text})
	if err != nil {
		t.Fatal(err)
	}
}

// handling is what a message of two parts with a removal does.
func handling(t *testing.T, ctx context.Context, as *appservice.AppService) {
	t.Helper()
	send(t, ctx, as, "ghost", "first part")
	send(t, ctx, as, "ghost", "second part")
	if _, err := as.Client("@ghost:alpha.localhost").RedactEvent(ctx, room, "$old"); err != nil {
		t.Fatal(err)
	}
}

func TestReplayHasTheSameTransactionIDs(t *testing.T) {
	hs := &recorder{}
	as := newService(t, hs)
	handling(t, bridge.WithCause(t.Context(), bridge.NewCause("mimi://a/r/1", "m1")), as)
	first := hs.transactions()
	handling(t, bridge.WithCause(t.Context(), bridge.NewCause("mimi://a/r/1", "m1")), as)
	again := hs.transactions()
	if !slices.Equal(first, again) {
		t.Errorf("a replay has the transaction ids\n%q\nin place of\n%q", again, first)
	}
	if len(slices.Compact(slices.Sorted(slices.Values(first)))) != 3 {
		t.Errorf("parts share a transaction id: %q", first)
	}
	for _, other := range []*bridge.Cause{bridge.NewCause("mimi://a/r/2", "m1"), bridge.NewCause("mimi://a/r/1", "m2"), bridge.NewCause("mimi://a/r/1m", "1")} {
		handling(t, bridge.WithCause(t.Context(), other), as)
		for _, id := range hs.transactions() {
			if slices.Contains(first, id) {
				t.Errorf("another message has the transaction id %s too", id)
			}
		}
	}
}

func TestRetryOfARequestKeepsItsTransactionID(t *testing.T) {
	hs := &recorder{fail: 1}
	as := newService(t, hs)
	ctx := bridge.WithCause(t.Context(), bridge.NewCause("r", "m"))
	send(t, ctx, as, "ghost", "hello")
	ids := hs.transactions()
	if len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("a request and its repetition have the transaction ids %q", ids)
	}
}

func TestRequestsWithoutCauseAreLeftAlone(t *testing.T) {
	hs := &recorder{}
	as := newService(t, hs)
	send(t, t.Context(), as, "ghost", "hello")
	ctx := bridge.WithCause(t.Context(), bridge.NewCause("r", "m"))
	if _, err := as.BotClient().SendStateEvent(ctx, room, event.StateTopic, "", &event.TopicEventContent{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	if _, err := as.BotClient().SendToDevice(ctx, event.ToDeviceDummy, nil); err == nil {
		t.Log("sent to a device")
	}
	for _, id := range hs.transactions() {
		if strings.HasPrefix(id, "mimi_") {
			t.Errorf("a request that is no message of a cause has the transaction id %s", id)
		}
	}
}

// TestNoticeDoesNotTakeTheMessagesID: a message that could not be converted at
// first is shown when it can be, although a notice was sent in its place.
func TestNoticeDoesNotTakeTheMessagesID(t *testing.T) {
	hs := &recorder{}
	as := newService(t, hs)
	attempt := func(convertErr error) []string {
		evt := &simplevent.Message[string]{ConvertMessageFunc: func(context.Context, *bridgev2.Portal, bridgev2.MatrixAPI, string) (*bridgev2.ConvertedMessage, error) {
			return &bridgev2.ConvertedMessage{}, convertErr
		}}
		bridge.CauseMessage(evt, "r", "m")
		ctx := evt.MutateContext(t.Context())
		if _, err := evt.ConvertMessage(ctx, nil, nil); !errors.Is(err, convertErr) {
			t.Fatal(err)
		}
		send(t, ctx, as, "ghost", "notice or message")
		return hs.transactions()
	}
	notice, message := attempt(errors.New("upload failed")), attempt(nil)
	if notice[0] == message[0] {
		t.Error("the notice and the message have the same transaction id: the message would be lost")
	}
	if again := attempt(nil); again[0] != message[0] {
		t.Error("a replay of the message has another transaction id")
	}
}

// TestNothingOvertakesAFailure: when a part of a message could not be sent, the
// parts behind it wait for the next attempt.
func TestNothingOvertakesAFailure(t *testing.T) {
	hs := &recorder{fail: 100}
	as := newService(t, hs)
	ctx := bridge.WithCause(t.Context(), bridge.NewCause("r", "m"))
	if _, err := as.Client("@ghost:alpha.localhost").SendText(ctx, room, "first"); err == nil {
		t.Fatal("the first part was sent")
	}
	hs.transactions()
	if _, err := as.Client("@ghost:alpha.localhost").SendText(ctx, room, "second"); !errors.Is(err, bridge.ErrEarlier) {
		t.Errorf("the second part gave %v", err)
	}
	if sent := hs.transactions(); len(sent) != 0 {
		t.Errorf("%d requests were made", len(sent))
	}
}
