package provider_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
)

// waits is a clock that nobody waits for, and that notes how long they would.
type waits struct {
	*mimi.ManualClock
	mu    sync.Mutex
	noted []time.Duration
}

func (w *waits) AfterFunc(d time.Duration, f func()) func() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.noted = append(w.noted, d)
	go f()
	return func() bool { return false }
}

func (w *waits) taken() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.noted
	w.noted = nil
	return out
}

// TestAnswersTellNothingByTheirTime: where an answer does not tell whether there is such
// a person, it is held back until a step that does not either, whatever the work was.
func TestAnswersTellNothingByTheirTime(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		takes time.Duration
		err   error
		want  time.Duration
	}{
		{"nobody", 0, nil, 100 * ms},
		{"somebody", 30 * ms, nil, 70 * ms},
		{"somebody of whom the homeserver was asked", 230 * ms, nil, 70 * ms},
		{"an error", 99 * ms, errors.New("no answer"), 1 * ms},
		{"just a step", 100 * ms, nil, 100 * ms},
		{"a clock that was put back", -time.Hour, nil, 100 * ms},
	} {
		for _, e := range []struct {
			endpoint      protocol.Endpoint
			value, sample string
			telling       bool
		}{
			{protocol.EndpointConnectionPackage, "", "ConnectionPackageRequest", true},
			{protocol.EndpointConnectionRequest, "", "ConnectionRequest", true},
			{protocol.EndpointKeyMaterial, "mimi://other.example/u/cathy", "KeyMaterialRequest/room", true},
			{protocol.EndpointKeyMaterialAnonymous, "", "AnonymousKeyMaterialRequest", true},
			{protocol.EndpointRequestConsent, "hub.example", "ConsentEntry/request", true},
			{protocol.EndpointUpdateConsent, "hub.example", "ConsentEntry/grant", true},
			{protocol.EndpointUpdate, room, "UpdateRequest/commit", false},
			{protocol.EndpointNotify, foreignRoom, "MinimalMetadataFanout", false},
		} {
			t.Run(c.name+"/"+string(e.endpoint), func(t *testing.T) {
				pace := &waits{ManualClock: mimi.NewManualClock(protocoltest.At)}
				l := start(t, func(cfg *provider.Config) { cfg.Pace = pace })
				l.err = c.err
				l.during = func(context.Context) { pace.Advance(c.takes) }
				send(t, l.client(t, l.ca.Issue(from)), request{path: path(t, e.endpoint, e.value), body: sampled(t, e.sample)})
				want := []time.Duration{c.want}
				if !e.telling {
					want = nil
				}
				if got := pace.taken(); !slices.Equal(got, want) {
					t.Errorf("held back for %v, want %v", got, want)
				}
			})
		}
	}
}

// TestHeldAnswerEndsWithItsRequest: an answer is not held back longer than a request may
// take.
func TestHeldAnswerEndsWithItsRequest(t *testing.T) {
	l := start(t, func(cfg *provider.Config) {
		cfg.Pace = mimi.NewManualClock(protocoltest.At) // stands still
		cfg.Limits.RequestTime = time.Millisecond
	})
	r := send(t, l.client(t, l.ca.Issue(from)), request{
		path: path(t, protocol.EndpointConnectionPackage, ""), body: sampled(t, "ConnectionPackageRequest"),
	})
	if r.status != 200 {
		t.Errorf("answer %d", r.status)
	}
}
