package provider_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
)

func TestRequestsUnderWayAreLimited(t *testing.T) {
	for _, x := range []struct {
		limits provider.Limits
		status int
		code   protocol.Code
	}{
		{provider.Limits{PerPeer: 2}, 429, protocol.CodeLimited},
		{provider.Limits{Total: 2}, 503, protocol.CodeUnavailable},
	} {
		l := start(t, func(c *provider.Config) { c.Limits = x.limits })
		entered, leave := make(chan struct{}), make(chan struct{})
		l.during = func(context.Context) { entered <- struct{}{}; <-leave }
		c := l.client(t, l.ca.Issue(from))
		req := request{path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/proposals")}
		results := make(chan response, 2)
		for range 2 {
			go func() { results <- send(t, c, req) }()
			<-entered
		}
		r := send(t, c, req)
		r.expect(t, x.status, x.code)
		if r.header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		close(leave)
		for range 2 {
			if r := <-results; r.status != 200 {
				t.Errorf("first requests: %d", r.status)
			}
		}
		go func() { <-entered }()
		if r := send(t, c, req); r.status != 200 {
			t.Errorf("afterwards: %d", r.status)
		}
	}
}

func TestBodiesInMemoryAreLimited(t *testing.T) {
	body := sampled(t, "UpdateRequest/proposals")
	l := start(t, func(c *provider.Config) { c.Limits = provider.Limits{BodyBytes: int64(len(body))} })
	c := l.client(t, l.ca.Issue(from))
	req := request{path: path(t, protocol.EndpointUpdate, room), body: body}
	for range 2 { // what is reserved is released
		if r := send(t, c, req); r.status != 200 {
			t.Fatalf("a body that fits: %d", r.status)
		}
	}
	req.chunked = true // could be as long as the endpoint allows
	send(t, c, req).expect(t, 503, protocol.CodeUnavailable)
}

// A body that is announced as too long is refused before any of it is read.
func TestOversizeIsRefusedUnread(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	body, end := io.Pipe()
	defer func() { _ = end.Close() }()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+self+path(t, protocol.EndpointUpdate, room), body)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = protocol.EndpointUpdate.MaxRequest() + 1
	req.Header.Set("From", protocol.FromHeader(from))
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestRatesAreLimited(t *testing.T) {
	clock := mimi.NewManualClock(protocoltest.At)
	limiter := provider.NewTokenBuckets(clock, map[protocol.Endpoint]provider.Rate{protocol.EndpointConnectionPackage: {Every: time.Minute, Burst: 2}})
	l := start(t, func(c *provider.Config) { c.Limiter = limiter })
	c := l.client(t, l.ca.Issue(from))
	req := request{path: path(t, protocol.EndpointConnectionPackage, ""), body: sampled(t, "ConnectionPackageRequest")}
	steps := []struct {
		after time.Duration
		ok    bool
		wait  string
	}{{0, true, ""}, {0, true, ""}, {0, false, "60"}, {59 * time.Second, false, "1"}, {time.Second, true, ""}, {0, false, "60"}, {time.Hour, true, ""}, {0, true, ""}, {0, false, "60"}}
	for i, s := range steps {
		clock.Advance(s.after)
		r := send(t, c, req)
		if (r.status == 200) != s.ok || r.header.Get("Retry-After") != s.wait {
			t.Errorf("step %d: %d, Retry-After %q", i, r.status, r.header.Get("Retry-After"))
		}
	}
	if _, ok := limiter.Allow("another.example", protocol.EndpointConnectionPackage); !ok {
		t.Error("one peer's requests count against another")
	}
	if _, ok := limiter.Allow(from, protocol.EndpointNotify); !ok {
		t.Error("an endpoint without a rate is limited")
	}
}

// The profile asks for a rate on both endpoints that are about real names.
func TestDefaultRatesCoverNames(t *testing.T) {
	limiter := provider.NewTokenBuckets(mimi.NewManualClock(protocoltest.At), provider.DefaultRates())
	for _, e := range []protocol.Endpoint{
		protocol.EndpointConnectionPackage, protocol.EndpointConnectionRequest, protocol.EndpointRequestConsent, protocol.EndpointUpdateConsent,
	} {
		allowed := 0
		for range 1000 {
			if _, ok := limiter.Allow(from, e); ok {
				allowed++
			}
		}
		if want := provider.DefaultRates()[e].Burst; allowed != want {
			t.Errorf("%s: %d requests at once, want %d", e, allowed, want)
		}
	}
}
