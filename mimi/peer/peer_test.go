package peer_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/peer"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

func TestEveryRequestReachesItsService(t *testing.T) {
	w := newWorld(t, nil)
	s := w.provide(t)
	ctx, room := t.Context(), protocoltest.Room

	if r, err := update(t, w); err != nil || !r.Accepted.Equal(protocoltest.At) {
		t.Errorf("Update: %+v, %v", r, err)
	}
	if r, err := w.client.SubmitMessage(ctx, room, message[*protocol.SubmitMessageRequest](t, "SubmitMessageRequest")); err != nil || !r.Accepted.Equal(protocoltest.At) {
		t.Errorf("SubmitMessage: %+v, %v", r, err)
	}
	if r, err := w.client.GroupInfo(ctx, room, message[*protocol.GroupInfoRequest](t, "GroupInfoRequest/code")); err != nil || r.Room != room {
		t.Errorf("GroupInfo: %+v, %v", r, err)
	}
	if err := w.client.JoinCode(ctx, message[*protocol.JoinCodeRegistration](t, "JoinCodeRegistration")); err != nil {
		t.Errorf("JoinCode: %v", err)
	}
	relay := message[*protocol.AnonymousKeyMaterialRequest](t, "AnonymousKeyMaterialRequest")
	if r, err := w.client.RelayKeyMaterial(ctx, relay); err != nil || len(r.Sealed.Ciphertext) != 17 {
		t.Errorf("RelayKeyMaterial: %+v, %v", r, err)
	}
	direct := protocoltest.Anonymous()
	direct.Room.Domain, direct.Target.Domain, direct.Token.Domain = own, remote, remote
	if r, err := w.client.KeyMaterial(ctx, &direct); err != nil || len(r.Sealed.Ciphertext) != 18 {
		t.Errorf("KeyMaterial: %+v, %v", r, err)
	}

	fanout := protocoltest.Fanout()
	body, err := protocol.MarshalFanout(&fanout)
	if err != nil {
		t.Fatal(err)
	}
	mine := mimi.URI{Domain: own, Kind: mimi.KindRoom, ID: "mine"}
	for range 2 {
		if err := w.client.Notify(ctx, remote, mine, body); err != nil {
			t.Errorf("Notify: %v", err)
		}
	}
	if n := s.stored[own+" "+mine.String()+" "+string(body)]; n != 2 || len(s.stored) != 1 {
		t.Errorf("the inbox got the body %d times, and %d bodies", n, len(s.stored))
	}

	user := mimi.URI{Domain: remote, Kind: mimi.KindUser, ID: "bob"}
	if pkg, err := w.client.ConnectionPackage(ctx, user); err != nil || pkg != nil {
		t.Errorf("ConnectionPackage of nobody: %v, %v", pkg, err)
	}
	s.pkg = []byte("a package")
	if pkg, err := w.client.ConnectionPackage(ctx, user); err != nil || string(pkg) != "a package" {
		t.Errorf("ConnectionPackage: %q, %v", pkg, err)
	}
	if err := w.client.ConnectionRequest(ctx, &protocol.ConnectionRequest{Target: user, PackageRef: []byte("ref"), Request: protocoltest.Ciphertext(9)}); err != nil {
		t.Errorf("ConnectionRequest: %v", err)
	}
}

// TestConsentArrives: both endpoints are reached, and what ends a request for good can be
// told from the rest.
func TestConsentArrives(t *testing.T) {
	w := newWorld(t, nil)
	s := w.provide(t)
	for _, operation := range []protocol.ConsentOperation{
		protocol.ConsentCancel, protocol.ConsentRequest, protocol.ConsentGrant, protocol.ConsentRevoke,
	} {
		e := protocoltest.Consent(operation)
		if err := w.client.Consent(t.Context(), &e); err != nil {
			t.Errorf("operation %d: %v", operation, err)
		}
	}
	e := protocoltest.Consent(protocol.ConsentRequest)
	s.err = &protocol.NotAllowedError{Reason: "no"}
	if _, ok := errors.AsType[*protocol.NotAllowedError](w.client.Consent(t.Context(), &e)); !ok {
		t.Error("a refusal was not told")
	}
}

// TestConsentOfOtherProviders: what a provider that is not this program may answer.
func TestConsentOfOtherProviders(t *testing.T) {
	const document = `{"keyMaterial":"https://hub.example/k/{targetUser}","update":"https://hub.example/u/{roomId}",` +
		`"notify":"https://hub.example/n/{roomId}","submitMessage":"https://hub.example/s/{roomId}","groupInfo":"https://hub.example/g/{roomId}",` +
		`"requestConsent":"https://hub.example/c/{targetDomain}"}`
	w := newWorld(t, nil)
	status := http.StatusCreated
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case protocol.DirectoryPath:
			_, _ = rw.Write([]byte(document))
		case "/c/hub.example":
			rw.WriteHeader(status)
		default:
			rw.WriteHeader(http.StatusTeapot)
		}
	}))
	request, grant := protocoltest.Consent(protocol.ConsentRequest), protocoltest.Consent(protocol.ConsentGrant)
	for _, status = range []int{http.StatusCreated, http.StatusAccepted} {
		if err := w.client.Consent(t.Context(), &request); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
	status = http.StatusNotFound
	if err := w.client.Consent(t.Context(), &request); !errors.Is(err, protocol.ErrNoSuchUser) {
		t.Errorf("404: %v", err)
	}
	status = http.StatusServiceUnavailable
	if err := w.client.Consent(t.Context(), &request); !peer.IsTemporary(err) {
		t.Errorf("503: %v", err)
	}
	if err := w.client.Consent(t.Context(), &grant); !errors.Is(err, protocol.ErrNotOffered) {
		t.Errorf("an endpoint that is not there: %v", err)
	}
}

// A hub that is called and a hub that is reached over HTTPS give equal errors.
func TestErrorsOfTheHubArrive(t *testing.T) {
	w := newWorld(t, nil)
	s := w.provide(t)
	for _, want := range []error{
		&protocol.WrongEpochError{Current: 44},
		&protocol.NotAllowedError{Reason: protocol.ReasonRemovalPending},
		&protocol.InvalidProposalError{Refs: [][]byte{{1, 2}}, Reason: "gone"},
		protocol.ErrNoSuchRoom,
	} {
		s.err = want
		r, err := update(t, w)
		if r != nil || err == nil || err.Error() != want.Error() {
			t.Errorf("%v became %v, %v", want, r, err)
		}
		if peer.IsTemporary(err) {
			t.Errorf("%v is temporary", err)
		}
	}
	s.err = &protocol.WrongEpochError{Current: 44}
	_, err := w.client.SubmitMessage(t.Context(), protocoltest.Room, message[*protocol.SubmitMessageRequest](t, "SubmitMessageRequest"))
	if e, ok := errors.AsType[*protocol.WrongEpochError](err); !ok || e.Current != 44 {
		t.Errorf("SubmitMessage: %v", err)
	}
	for _, want := range []error{protocol.ErrNoSuchRoom, &protocol.NotAllowedError{}} {
		s.err = want
		_, err = w.client.GroupInfo(t.Context(), protocoltest.Room, message[*protocol.GroupInfoRequest](t, "GroupInfoRequest/code"))
		if err == nil || err.Error() != want.Error() {
			t.Errorf("GroupInfo: %v became %v", want, err)
		}
	}
	s.err = &protocol.NotAllowedError{Reason: "not your room"}
	if e, ok := errors.AsType[*protocol.NotAllowedError](w.client.JoinCode(t.Context(), message[*protocol.JoinCodeRegistration](t, "JoinCodeRegistration"))); !ok || e.Reason != "not your room" {
		t.Errorf("JoinCode: %v", e)
	}

	s.err = &protocol.RetryLaterError{After: 90 * time.Second, Limited: true}
	_, err = update(t, w)
	e, ok := errors.AsType[*peer.Error](err)
	if !ok || e.Kind != peer.Temporary || e.RetryAfter != 90*time.Second || e.Code != protocol.CodeLimited || !peer.IsTemporary(err) || !peer.IsTemporary(s.err) {
		t.Errorf("a rate limit became %+v", e)
	}
	s.err = errors.New("disk full")
	if _, err = update(t, w); !peer.IsTemporary(err) {
		t.Errorf("an internal error became %v", err)
	}
}

// directory is a handler's answer to the request for the directory document.
func directory(w http.ResponseWriter, r *http.Request, document []byte) bool {
	if r.URL.Path != protocol.DirectoryPath {
		return false
	}
	_, _ = w.Write(document)
	return true
}

func document(tb testing.TB) []byte {
	tb.Helper()
	d, err := (&services{}).Directory(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	b, err := d.MarshalJSON()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestBadAnswers(t *testing.T) {
	good, err := wire.Marshal(&protocol.UpdateRoomResponse{Accepted: protocoltest.At})
	if err != nil {
		t.Fatal(err)
	}
	header := func(name, value string, status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(name, value); w.WriteHeader(status) }
	}
	body := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(b) }
	}
	cases := []struct {
		name    string
		answer  http.HandlerFunc
		kind    peer.Kind
		wait    time.Duration
		sayings string
	}{
		{"truncated", body(good[:len(good)-1]), peer.Permanent, 0, "can't be read"},
		{"trailing", body(append(bytes.Clone(good), 0)), peer.Permanent, 0, "can't be read"},
		{"empty", body(nil), peer.Permanent, 0, "can't be read"},
		{"unknown response code", body([]byte{9, 0}), peer.Permanent, 0, "can't be read"},
		{"oversize", body(make([]byte, protocol.EndpointUpdate.MaxResponse()+1)), peer.Permanent, 0, "can't be read"},
		{"another success", header("X", "", http.StatusNoContent), peer.Permanent, 0, "can't be read"},
		{"redirect", header("Location", "https://evil.example/", http.StatusTemporaryRedirect), peer.Permanent, 0, "redirect"},
		{"redirect without location", header("X", "", http.StatusFound), peer.Permanent, 0, "redirect"},
		{"forbidden by something else", header("X", "", http.StatusForbidden), peer.Permanent, 0, "does not accept us"},
		{"bad gateway", header("Retry-After", "7", http.StatusBadGateway), peer.Temporary, 7 * time.Second, "problem at the moment"},
		{"Retry-After with a date", header("Retry-After", protocoltest.At.Add(time.Minute).Truncate(time.Second).Format(http.TimeFormat), 503), peer.Temporary, time.Minute - 535*time.Millisecond, "problem"},
		{"Retry-After in a year", header("Retry-After", "31536000", 429), peer.Temporary, peer.MaxRetryAfter, "slow down"},
		{"Retry-After in the past", header("Retry-After", "Mon, 02 Jan 2006 15:04:05 GMT", 503), peer.Temporary, 0, "problem"},
		{"Retry-After that is none", header("Retry-After", "-5", 503), peer.Temporary, 0, "problem"},
		{"connection cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(good)
			panic(http.ErrAbortHandler)
		}, peer.Unreachable, 0, "can't be reached"},
	}
	doc := document(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !directory(w, r, doc) {
					c.answer(w, r)
				}
			}))
			_, err := update(t, w)
			e, ok := errors.AsType[*peer.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Kind != c.kind || e.RetryAfter != c.wait || !strings.Contains(err.Error(), c.sayings) || !strings.HasPrefix(err.Error(), remote) {
				t.Errorf("got kind %v, wait %v: %v", e.Kind, e.RetryAfter, err)
			}
			if c.name == "oversize" && !strings.Contains(errors.Unwrap(err).Error(), "more than 65536 octets") {
				t.Errorf("it was read as far as: %v", errors.Unwrap(err))
			}
			if peer.IsTemporary(err) != (c.kind != peer.Permanent) {
				t.Error("IsTemporary says otherwise")
			}
		})
	}
}

func TestGroupInfoOfAnotherRoomIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	doc := document(t)
	other := mimi.URI{Domain: remote, Kind: mimi.KindRoom, ID: "other"}
	body, err := wire.Marshal(&protocol.GroupInfoResponse{Room: other, Status: protocol.GroupInfoNotAuthorized})
	if err != nil {
		t.Fatal(err)
	}
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !directory(rw, r, doc) {
			_, _ = rw.Write(body)
		}
	}))
	_, err = w.client.GroupInfo(t.Context(), protocoltest.Room, message[*protocol.GroupInfoRequest](t, "GroupInfoRequest/code"))
	if e, ok := errors.AsType[*peer.Error](err); !ok || e.Kind != peer.Permanent || !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

func TestRequestsSayWhoSendsThem(t *testing.T) {
	w := newWorld(t, nil)
	doc := document(t)
	var faults atomic.Value
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor != 2:
			faults.Store("it is not HTTP/2")
		case r.Host != remote:
			faults.Store("Host is " + r.Host)
		case r.Header.Get("From") != "mimi@"+own:
			faults.Store("From is " + r.Header.Get("From"))
		case len(r.TLS.PeerCertificates) != 1 || r.TLS.PeerCertificates[0].VerifyHostname(own) != nil:
			faults.Store("the client certificate is another")
		case r.TLS.ServerName != remote:
			faults.Store("SNI is " + r.TLS.ServerName)
		case r.UserAgent() != "" || r.Header.Get("Accept-Encoding") != "":
			faults.Store("it says more than it needs to")
		}
		if !directory(rw, r, doc) {
			rw.WriteHeader(http.StatusCreated)
		}
	}))
	if err := w.client.Notify(t.Context(), remote, mimi.URI{Domain: own, Kind: mimi.KindRoom, ID: "r"}, []byte("body")); err != nil {
		t.Fatal(err)
	}
	if f := faults.Load(); f != nil {
		t.Error(f)
	}
}

func TestServersMustProveTheirName(t *testing.T) {
	for name, cert := range map[string]func(*world) *tls.Certificate{
		"for another name":     func(w *world) *tls.Certificate { return w.ca.Issue("other.example") },
		"of another authority": func(*world) *tls.Certificate { return protocoltest.NewCA(t).Issue(remote) },
		"that has expired":     func(w *world) *tls.Certificate { return w.ca.IssueUntil(protocoltest.At.Add(-time.Second), remote) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.serve(t, cert(w), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") }))
			_, err := w.client.Directory(t.Context(), remote)
			if e, ok := errors.AsType[*peer.Error](err); !ok || e.Kind != peer.Unreachable || !strings.Contains(err.Error(), "can't prove who it is") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t, nil)
	_ = w.listener.Close()
	_, err := update(t, w)
	if e, ok := errors.AsType[*peer.Error](err); !ok || e.Kind != peer.Unreachable || !peer.IsTemporary(err) || err.Error() != remote+" can't be reached" {
		t.Errorf("got %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.client.Directory(ctx, remote); !errors.Is(err, context.Canceled) {
		t.Errorf("called off: %v", err)
	}
}

// The log says what failed, and names no room or user.
func TestLogHasNoIdentifiers(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(c *peer.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	doc := document(t)
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !directory(rw, r, doc) {
			panic(http.ErrAbortHandler)
		}
	}))
	room := mimi.URI{Domain: own, Kind: mimi.KindRoom, ID: "secretname"}
	err := w.client.Notify(t.Context(), remote, room, []byte("body"))
	if err == nil {
		t.Fatal("no error")
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), "secretname") {
			t.Errorf("error: %v", e)
		}
	}
	if s := log.String(); !strings.Contains(s, "kind=unreachable") || strings.Contains(s, "secretname") {
		t.Errorf("log: %s", s)
	}
}

func TestSlowPeerIsGivenUp(t *testing.T) {
	w := newWorld(t, func(c *peer.Config) { c.Timeout = time.Millisecond })
	w.serve(t, w.ca.Issue(remote), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	_, err := update(t, w)
	if e, ok := errors.AsType[*peer.Error](err); !ok || e.Kind != peer.Unreachable || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("got %v", err)
	}
}

// Domains come from what people write: they must not reach into the gateway's own
// network.
func TestPrivateAddressesAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	for _, domain := range []string{"127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"} {
		_, err := w.client.Directory(t.Context(), domain)
		if e, ok := errors.AsType[*peer.Error](err); !ok || e.Kind != peer.Permanent || !strings.Contains(err.Error(), "not in a public network") {
			t.Errorf("%s: %v", domain, err)
		}
	}
	for _, domain := range []string{"", "UPPER.example", "a/b", "[::1]", "a:443"} {
		if _, err := w.client.Directory(t.Context(), domain); !errors.Is(err, mimi.ErrURI) {
			t.Errorf("%q: %v", domain, err)
		}
	}
}

func TestFewPeersAreKept(t *testing.T) {
	w := newWorld(t, func(c *peer.Config) {
		c.MaxPeers = 2
		for _, d := range []string{"a.example", "b.example"} {
			c.Peers[d] = c.Peers[remote]
		}
	})
	var fetched sync.Map
	w.serve(t, w.ca.Issue("a.example", "b.example", remote), http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, _ := fetched.LoadOrStore(r.Host, new(atomic.Int32))
		n.(*atomic.Int32).Add(1)
		directory(rw, r, bytes.ReplaceAll(document(t), []byte(remote), []byte(r.Host)))
	}))
	for _, d := range []string{"a.example", "b.example", "a.example", remote, "a.example", "b.example"} {
		if _, err := w.client.Directory(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	for d, want := range map[string]int32{"a.example": 1, "b.example": 2, remote: 1} {
		n, _ := fetched.Load(d)
		if got := n.(*atomic.Int32).Load(); got != want {
			t.Errorf("%s was asked %d times, want %d", d, got, want)
		}
	}
}

func TestNewRefusesHalfAConfiguration(t *testing.T) {
	for _, c := range []peer.Config{{}, {Domain: own}, {Domain: "UPPER"}} {
		if _, err := peer.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
