package peer_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/peer"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

func TestDirectoryIsCachedForItsLifetime(t *testing.T) {
	w := newWorld(t, func(c *peer.Config) { c.DirectoryLifetime = time.Minute })
	doc := document(t)
	var fetched atomic.Int32
	var gone atomic.Int32 // a status, or -1 for no answer
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if directory(rw, r, doc) {
			fetched.Add(1)
		} else if status := gone.Load(); status > 0 {
			rw.WriteHeader(int(status))
		} else if status < 0 {
			panic(http.ErrAbortHandler)
		} else {
			rw.WriteHeader(http.StatusCreated)
		}
	}))
	room := mimi.URI{Domain: own, Kind: mimi.KindRoom, ID: "r"}
	notify := func() error { return w.client.Notify(t.Context(), remote, room, []byte("body")) }
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := notify(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	steps := []struct {
		after time.Duration
		gone  int32
		want  int32
	}{
		{0, 0, 1}, {59 * time.Second, 0, 1}, {time.Second, 0, 2}, // its lifetime
		{0, 404, 2}, {0, 404, 3}, {0, 0, 4}, {0, 0, 4}, // the endpoint has moved
		{0, -1, 4}, {0, 0, 5}, {0, 503, 5}, {0, 0, 5},
	}
	for i, s := range steps {
		w.clock.Advance(s.after)
		gone.Store(s.gone)
		if err := notify(); (err != nil) != (s.gone != 0) {
			t.Errorf("step %d: %v", i, err)
		}
		if n := fetched.Load(); n != s.want {
			t.Errorf("step %d: fetched %d times, want %d", i, n, s.want)
		}
	}
}

func TestBadDirectories(t *testing.T) {
	for name, doc := range map[string]string{
		"no JSON":      "hello",
		"too long":     strings.Repeat(" ", protocol.MaxDirectory+1),
		"another host": strings.ReplaceAll(string(document(t)), "https://"+remote, "https://evil.example"),
	} {
		w := newWorld(t, nil)
		w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { directory(rw, r, []byte(doc)) }))
		_, err := update(t, w)
		if e, ok := errors.AsType[*peer.Error](err); !ok || e.Kind != peer.Permanent || !strings.Contains(err.Error(), "can't be read") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProviderWithoutTheProfile(t *testing.T) {
	w := newWorld(t, nil)
	d, err := (&services{}).Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.Profile = nil
	doc, err := d.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { directory(rw, r, doc) }))
	_, err = w.client.ConnectionPackage(t.Context(), mimi.URI{Domain: remote, Kind: mimi.KindUser, ID: "bob"})
	if !errors.Is(err, protocol.ErrNoProfile) || peer.IsTemporary(err) {
		t.Errorf("got %v", err)
	}
}
