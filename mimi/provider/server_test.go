package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// sampled returns the encoding of the named sample.
func sampled(tb testing.TB, name string) []byte {
	tb.Helper()
	for _, s := range protocoltest.Samples() {
		if s.Name == name {
			b, err := wire.Marshal(s.Message)
			if err != nil {
				tb.Fatal(err)
			}
			return b
		}
	}
	tb.Fatalf("no sample %s", name)
	return nil
}

// path returns the path of an endpoint.
func path(tb testing.TB, e protocol.Endpoint, value string) string {
	tb.Helper()
	draft, profile, err := provider.Endpoints(self, 0)
	if err != nil {
		tb.Fatal(err)
	}
	t, ok := draft[e]
	if !ok {
		t = profile[e]
	}
	return strings.TrimPrefix(t.Expand(value), "https://"+self)
}

// foreignRoom is hosted by the peer, room here.
var (
	room        = protocoltest.Room.String()
	foreignRoom = "mimi://" + from + "/r/elsewhere"
)

// A request as it is put on the wire; zero fields are what a good peer sends.
type request struct {
	method, host, path string
	header             map[string][]string
	body               []byte
	chunked            bool
}

type response struct {
	status  int
	header  http.Header
	body    []byte
	problem protocol.Problem
}

func send(t *testing.T, c *http.Client, r request) response {
	t.Helper()
	method, host := r.method, r.host
	if method == "" {
		method = http.MethodPost
	}
	if host == "" {
		host = self
	}
	var body io.Reader = bytes.NewReader(r.body)
	if r.chunked {
		body = io.MultiReader(body) // of unknown length
	}
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+self+r.path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	req.Header.Set("From", protocol.FromHeader(from))
	req.Header.Set("Content-Type", protocol.MediaType)
	for name, values := range r.header {
		req.Header[name] = values
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	out := response{status: resp.StatusCode, header: resp.Header}
	if out.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get("Content-Type") == protocol.ProblemMediaType {
		if err := json.Unmarshal(out.body, &out.problem); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// expect checks a refusal: status, code, and a body that says the same.
func (r response) expect(t *testing.T, status int, code protocol.Code) {
	t.Helper()
	if r.status != status || r.problem.Code != code || r.problem.Status != status || r.problem.Title != http.StatusText(status) {
		t.Errorf("got %d with %+v, want %d %s", r.status, r.problem, status, code)
	}
}

// Every endpoint, with a good request and with what a sender may get wrong.
func TestEndpoints(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	endpoints := []struct {
		endpoint      protocol.Endpoint
		value, sample string
		status        int
		asked         string
		answer        func() wire.Message
	}{
		{protocol.EndpointUpdate, room, "UpdateRequest/commit", 200, "Update", func() wire.Message { return &protocol.UpdateRoomResponse{} }},
		{protocol.EndpointUpdate, room, "UpdateRequest/proposals", 200, "Update", func() wire.Message { return &protocol.UpdateRoomResponse{} }},
		{protocol.EndpointSubmitMessage, room, "SubmitMessageRequest", 200, "SubmitMessage", func() wire.Message { return &protocol.SubmitMessageResponse{} }},
		{protocol.EndpointGroupInfo, room, "GroupInfoRequest/code", 200, "GroupInfo", func() wire.Message { return &protocol.GroupInfoResponse{} }},
		{protocol.EndpointJoinCode, "", "JoinCodeRegistration", 201, "JoinCode", nil},
		{protocol.EndpointNotify, foreignRoom, "MinimalMetadataFanout", 201, "Notify", nil},
		{protocol.EndpointKeyMaterialAnonymous, "", "AnonymousKeyMaterialRequest", 200, "RelayKeyMaterial", func() wire.Message { return &protocol.SealedKeyMaterial{} }},
		{protocol.EndpointConnectionPackage, "", "ConnectionPackageRequest", 200, "ConnectionPackage", func() wire.Message { return &protocol.ConnectionPackageResponse{} }},
		{protocol.EndpointConnectionRequest, "", "ConnectionRequest", 202, "ConnectionRequest", nil},
		{protocol.EndpointRequestConsent, "mimi://hub.example/u/cathy", "ConsentEntry/request", 201, "Consent", nil},
		{protocol.EndpointRequestConsent, "hub.example", "ConsentEntry/cancel", 201, "Consent", nil},
		{protocol.EndpointUpdateConsent, "mimi://hub.example/u/cathy", "ConsentEntry/grant with everything", 201, "Consent", nil},
		{protocol.EndpointUpdateConsent, "hub.example", "ConsentEntry/revoke", 201, "Consent", nil},
		{protocol.EndpointKeyMaterial, "mimi://other.example/u/cathy", "KeyMaterialRequest/room", 200, "RelayUserKeyMaterial", func() wire.Message { return &protocol.KeyMaterialResponse{} }},
	}
	for _, e := range endpoints {
		t.Run(string(e.endpoint), func(t *testing.T) {
			p, body := path(t, e.endpoint, e.value), sampled(t, e.sample)
			before := len(l.asked())
			post := func(b []byte) response { return send(t, c, request{path: p, body: b}) }

			post(body[:len(body)-1]).expect(t, 400, protocol.CodeMalformed)
			post(append(slices.Clone(body), 0)).expect(t, 400, protocol.CodeMalformed)
			post(nil).expect(t, 400, protocol.CodeMalformed)
			big := make([]byte, e.endpoint.MaxRequest()+1)
			post(big).expect(t, 413, protocol.CodeTooLarge)
			send(t, c, request{path: p, body: big, chunked: true}).expect(t, 413, protocol.CodeTooLarge)
			send(t, c, request{path: p, body: body, header: map[string][]string{"Content-Type": {"text/plain"}}}).expect(t, 415, protocol.CodeMediaType)
			send(t, c, request{path: p, body: body, header: map[string][]string{"Content-Encoding": {"gzip"}}}).expect(t, 415, protocol.CodeMediaType)
			get := send(t, c, request{method: http.MethodGet, path: p})
			get.expect(t, 405, protocol.CodeMethod)
			if allow := get.header.Get("Allow"); allow != http.MethodPost {
				t.Errorf("405 with Allow: %q", allow)
			}
			send(t, c, request{path: p + "/x", body: body}).expect(t, 404, protocol.CodeUnknownEndpoint)
			if e.endpoint.Variable() != "" {
				post := func(value string) response {
					return send(t, c, request{path: path(t, e.endpoint, value), body: body})
				}
				post("mimi://Hub.example/r/x").expect(t, 400, protocol.CodeMalformed)
				post("").expect(t, 400, protocol.CodeMalformed)
			}
			if asked := l.asked(); len(asked) != before {
				t.Fatalf("services were asked: %v", asked[before:])
			}

			r := post(body)
			if r.status != e.status {
				t.Fatalf("answer %d %+v", r.status, r.problem)
			}
			if e.answer == nil && len(r.body) > 0 {
				t.Errorf("a body of %d octets", len(r.body))
			}
			if e.answer != nil {
				if err := wire.Unmarshal(r.body, e.answer()); err != nil || r.header.Get("Content-Type") != protocol.MediaType {
					t.Errorf("answer of type %q: %v", r.header.Get("Content-Type"), err)
				}
			}
			if asked := l.asked()[before:]; e.asked != "" && !slices.Equal(asked, []string{e.asked + " " + from}) {
				t.Errorf("services were asked: %v", asked)
			}
		})
	}
}

func TestUnknownPaths(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	for _, p := range []string{"/", "/mimi/v1/", "/mimi/v1/reportAbuse/x", "/mimi/v1/update", "/mimi/v1/joinCode/", "/mimi/v2/update/x", protocol.DirectoryPath + "/", "/mimi/v1/../v1/joinCode", "//mimi/v1/joinCode"} {
		send(t, c, request{path: p}).expect(t, 404, protocol.CodeUnknownEndpoint)
	}
}

func TestUnknownEnumValues(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	body := sampled(t, "SubmitMessageRequest")
	body[0] = 2 // Protocol
	send(t, c, request{path: path(t, protocol.EndpointSubmitMessage, room), body: body}).expect(t, 400, protocol.CodeMalformed)
	body = sampled(t, "UpdateRequest/proposals")
	body[3] = 9 // WireFormat of the MLSMessage
	send(t, c, request{path: path(t, protocol.EndpointUpdate, room), body: body}).expect(t, 400, protocol.CodeMalformed)
}

func TestRoomsOfOthers(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	other := "mimi://other.example/r/x"
	send(t, c, request{path: path(t, protocol.EndpointUpdate, other), body: sampled(t, "UpdateRequest/commit")}).expect(t, 404, protocol.CodeNoSuchRoom)
	send(t, c, request{path: path(t, protocol.EndpointSubmitMessage, other), body: sampled(t, "SubmitMessageRequest")}).expect(t, 404, protocol.CodeNoSuchRoom)
	for _, r := range []string{room, other} {
		send(t, c, request{path: path(t, protocol.EndpointNotify, r), body: sampled(t, "MinimalMetadataFanout")}).expect(t, 403, protocol.CodeWrongHub)
	}
	r := send(t, c, request{path: path(t, protocol.EndpointGroupInfo, other), body: sampled(t, "GroupInfoRequest/code")})
	var info protocol.GroupInfoResponse
	if err := wire.Unmarshal(r.body, &info); r.status != 200 || err != nil || info.Status != protocol.GroupInfoNoSuchRoom || info.Room.String() != other {
		t.Errorf("groupInfo: %d %v %+v", r.status, err, info)
	}
	join := protocol.JoinCodeRegistration{Room: mimi.URI{Domain: "other.example", Kind: mimi.KindRoom, ID: "x"}, CodeHash: make([]byte, 32), NotAfter: protocoltest.At, Uses: 1}
	body, err := wire.Marshal(&join)
	if err != nil {
		t.Fatal(err)
	}
	send(t, c, request{path: path(t, protocol.EndpointJoinCode, ""), body: body}).expect(t, 404, protocol.CodeNoSuchRoom)
	if asked := l.asked(); len(asked) != 0 {
		t.Errorf("services were asked: %v", asked)
	}
}

// A request for key material comes to the room's hub to be relayed, or from it to
// be answered, and from nobody else.
func TestKeyMaterialComesThroughTheHub(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	for _, x := range []struct {
		room, target string
		asked        string
	}{
		{self, "other.example", "RelayKeyMaterial"},
		{self, self, "RelayKeyMaterial"},
		{from, self, "KeyMaterial"},
		{from, from, ""},
		{"other.example", self, ""},
		{"other.example", "other.example", ""},
	} {
		req := protocoltest.Anonymous()
		req.Room.Domain, req.Target.Domain, req.Token.Domain = x.room, x.target, x.target
		body, err := wire.Marshal(&req)
		if err != nil {
			t.Fatal(err)
		}
		before := len(l.asked())
		r := send(t, c, request{path: path(t, protocol.EndpointKeyMaterialAnonymous, ""), body: body})
		if x.asked == "" {
			r.expect(t, 403, protocol.CodeWrongHub)
		} else if r.status != 200 {
			t.Errorf("room at %s, target %s: %d", x.room, x.target, r.status)
		}
		if asked := strings.Join(l.asked()[before:], ""); asked != strings.TrimSpace(x.asked+" "+from) && x.asked != "" || x.asked == "" && asked != "" {
			t.Errorf("room at %s, target %s: asked %q", x.room, x.target, asked)
		}
	}
}

// TestUserKeyMaterialComesThroughTheHub: it is the same for plain rooms.
func TestUserKeyMaterialComesThroughTheHub(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	for _, x := range []struct {
		room, target string
		asked        string
	}{
		{self, "other.example", "RelayUserKeyMaterial"},
		{self, self, "RelayUserKeyMaterial"},
		{from, self, "UserKeyMaterial"},
		{from, from, ""},
		{"other.example", self, ""},
	} {
		var req protocol.KeyMaterialRequest
		if err := wire.Unmarshal(sampled(t, "KeyMaterialRequest/room"), &req); err != nil {
			t.Fatal(err)
		}
		req.Room.Domain, req.TargetUser.Domain = x.room, x.target
		body, err := wire.Marshal(&req)
		if err != nil {
			t.Fatal(err)
		}
		before := len(l.asked())
		r := send(t, c, request{path: path(t, protocol.EndpointKeyMaterial, req.TargetUser.String()), body: body})
		if x.asked == "" {
			r.expect(t, 403, protocol.CodeWrongHub)
		} else if r.status != 200 {
			t.Errorf("room at %s, target %s: %d", x.room, x.target, r.status)
		}
		if asked := strings.Join(l.asked()[before:], ""); asked != strings.TrimSpace(x.asked+" "+from) && x.asked != "" || x.asked == "" && asked != "" {
			t.Errorf("room at %s, target %s: asked %q", x.room, x.target, asked)
		}
	}
	// Without a room nobody has given their consent.
	var req protocol.KeyMaterialRequest
	if err := wire.Unmarshal(sampled(t, "KeyMaterialRequest/room"), &req); err != nil {
		t.Fatal(err)
	}
	req.Room = mimi.URI{}
	body, err := wire.Marshal(&req)
	if err != nil {
		t.Fatal(err)
	}
	before := len(l.asked())
	r := send(t, c, request{path: path(t, protocol.EndpointKeyMaterial, req.TargetUser.String()), body: body})
	var answer protocol.KeyMaterialResponse
	if err := wire.Unmarshal(r.body, &answer); err != nil || answer.Status != protocol.KeyMaterialNoConsent || len(l.asked()) != before {
		t.Errorf("the answer is %+v: %v", answer, err)
	}
}

// TestNotifyOfAPlainRoom: the body for a plain room, without targets, is stored as it
// is.
func TestNotifyOfAPlainRoom(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	body := sampled(t, "FanoutMessage/welcome")
	if r := send(t, c, request{path: path(t, protocol.EndpointNotify, foreignRoom), body: body}); r.status != http.StatusCreated {
		t.Errorf("status %d", r.status)
	}
	if len(l.bodies) != 1 || !bytes.Equal(l.bodies[0], body) {
		t.Error("the inbox does not see the octets that were sent")
	}
}

func TestRepeatedNotifyIsAcceptedAgain(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	body := sampled(t, "MinimalMetadataFanout")
	req := request{path: path(t, protocol.EndpointNotify, foreignRoom), body: body}
	l.err = errors.New("disk full")
	send(t, c, req).expect(t, 500, protocol.CodeInternal)
	l.err = nil
	for range 2 {
		if r := send(t, c, req); r.status != http.StatusCreated {
			t.Errorf("status %d", r.status)
		}
	}
	for _, b := range l.bodies {
		if !bytes.Equal(b, body) {
			t.Error("the inbox does not see the octets that were sent")
		}
	}
}

func TestErrorsOfServices(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	update := func() response {
		return send(t, c, request{path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/commit")})
	}
	for _, x := range []struct {
		err    error
		status int
		code   protocol.Code
		wait   string
	}{
		{protocol.ErrNoSuchRoom, 404, protocol.CodeNoSuchRoom, ""},
		{protocol.ErrMalformed, 400, protocol.CodeMalformed, ""},
		{&protocol.RetryLaterError{After: 1500 * time.Millisecond}, 503, protocol.CodeUnavailable, "2"},
		{&protocol.RetryLaterError{Limited: true}, 429, protocol.CodeLimited, "1"},
		{context.DeadlineExceeded, 503, protocol.CodeUnavailable, "1"},
		{errors.New("no space left for alice"), 500, protocol.CodeInternal, ""},
	} {
		l.err = x.err
		r := update()
		r.expect(t, x.status, x.code)
		if got := r.header.Get("Retry-After"); got != x.wait {
			t.Errorf("%v: Retry-After %q, want %q", x.err, got, x.wait)
		}
		if strings.Contains(string(r.body), "alice") {
			t.Errorf("the cause is told to the peer: %s", r.body)
		}
	}
	for _, err := range []error{&protocol.WrongEpochError{Current: 4}, &protocol.NotAllowedError{Reason: "x"}, &protocol.InvalidProposalError{}} {
		l.err = err
		r := update()
		var resp protocol.UpdateRoomResponse
		if e := wire.Unmarshal(r.body, &resp); r.status != 200 || e != nil || resp.Err() == nil || resp.Err().Error() != err.Error() {
			t.Errorf("%v: %d %v %+v", err, r.status, e, resp)
		}
	}
	l.err = &protocol.NotAllowedError{Reason: "no"}
	send(t, c, request{path: path(t, protocol.EndpointJoinCode, ""), body: sampled(t, "JoinCodeRegistration")}).expect(t, 403, protocol.CodeNotAllowed)
}

func TestUnknownUserHasTheSameAnswerSize(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	ask := func() response {
		return send(t, c, request{path: path(t, protocol.EndpointConnectionPackage, ""), body: sampled(t, "ConnectionPackageRequest")})
	}
	unknown := ask()
	l.pkg = bytes.Repeat([]byte{7}, 1200)
	known := ask()
	// The header, but for the date, and the size of the body are equal.
	unknown.header.Del("Date")
	known.header.Del("Date")
	if len(unknown.body) != len(known.body) || unknown.status != known.status {
		t.Errorf("%d octets and %d octets", len(unknown.body), len(known.body))
	}
	for name := range known.header {
		if unknown.header.Get(name) != known.header.Get(name) {
			t.Errorf("header %s differs", name)
		}
	}
}

func TestPanicIsAnsweredAndNotTold(t *testing.T) {
	var log bytes.Buffer
	l := start(t, func(c *provider.Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	c := l.client(t, l.ca.Issue(from))
	l.during = func(context.Context) { panic("the body was: hello") }
	req := request{path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/commit")}
	send(t, c, req).expect(t, 500, protocol.CodeInternal)
	l.during = nil
	if r := send(t, c, req); r.status != 200 {
		t.Errorf("after the panic: %d", r.status)
	}
	if s := log.String(); !strings.Contains(s, "panic in a request") || strings.Contains(s, "hello") {
		t.Errorf("log: %s", s)
	}
}

// No request that is refused or fails leaves a name or a body in the log.
func TestLogHasNoIdentifiers(t *testing.T) {
	var log bytes.Buffer
	l := start(t, func(c *provider.Config) {
		c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	c := l.client(t, l.ca.Issue(from))
	l.err = errors.New("broken")
	for _, r := range []request{
		{path: path(t, protocol.EndpointKeyMaterial, "mimi://hub.example/u/secretname")},
		{path: path(t, protocol.EndpointKeyMaterial, "secretname"), body: sampled(t, "KeyMaterialRequest/room")},
		{path: path(t, protocol.EndpointNotify, "mimi://local.example/r/secretname"), body: sampled(t, "MinimalMetadataFanout")},
		{path: path(t, protocol.EndpointUpdate, "mimi://hub.example/u/secretname")},
		{path: "/mimi/v1/secretname/secretname"},
		{path: path(t, protocol.EndpointConnectionPackage, ""), body: sampled(t, "ConnectionPackageRequest")},
	} {
		if resp := send(t, c, r); resp.status < 400 {
			t.Errorf("%s: %d", r.path, resp.status)
		} else if strings.Contains(string(resp.body), "secretname") {
			t.Errorf("%s: answer has the name: %s", r.path, resp.body)
		}
	}
	if s := log.String(); strings.Contains(s, "secretname") || strings.Contains(s, "cathy") || !strings.Contains(s, "err=broken") {
		t.Errorf("log:\n%s", s)
	}
}

func TestDirectoryIsServed(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	r := send(t, c, request{method: http.MethodGet, path: protocol.DirectoryPath})
	if r.status != 200 || r.header.Get("Content-Type") != protocol.DirectoryMediaType {
		t.Fatalf("%d %v", r.status, r.header)
	}
	d, err := protocol.ParseDirectory(r.body, self)
	if err != nil {
		t.Fatal(err)
	}
	u, err := d.URL(protocol.EndpointNotify, foreignRoom)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := url.Parse(u); err != nil || u != "https://"+self+path(t, protocol.EndpointNotify, foreignRoom) {
		t.Errorf("%s, %v", u, err)
	}
	send(t, c, request{path: protocol.DirectoryPath}).expect(t, 405, protocol.CodeMethod)
}

func TestServeLetsRequestsUnderWayFinish(t *testing.T) {
	l := start(t, nil)
	entered, leave := make(chan struct{}), make(chan struct{})
	l.during = func(context.Context) { close(entered); <-leave }
	c := l.client(t, l.ca.Issue(from))
	answers, ended := make(chan response, 1), make(chan error, 1)
	go func() {
		answers <- send(t, c, request{path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/proposals")})
	}()
	<-entered
	go func() { ended <- l.stop() }()
	<-l.closed // no new connections from now on
	close(leave)
	if r := <-answers; r.status != 200 {
		t.Errorf("status %d", r.status)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNewRefusesHalfAConfiguration(t *testing.T) {
	for _, c := range []provider.Config{{}, {Domain: "UPPER"}, {Domain: self}} {
		if _, err := provider.New(c); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// TestConsentGoesToItsEndpoint: a request is no answer, and the path names who it is for.
func TestConsentGoesToItsEndpoint(t *testing.T) {
	l := start(t, nil)
	c := l.client(t, l.ca.Issue(from))
	const cathy = "mimi://hub.example/u/cathy"
	for _, bad := range []struct {
		endpoint      protocol.Endpoint
		value, sample string
	}{
		{protocol.EndpointRequestConsent, cathy, "ConsentEntry/grant"},
		{protocol.EndpointRequestConsent, cathy, "ConsentEntry/revoke"},
		{protocol.EndpointUpdateConsent, cathy, "ConsentEntry/request"},
		{protocol.EndpointUpdateConsent, cathy, "ConsentEntry/cancel"},
		{protocol.EndpointRequestConsent, "mimi://hub.example/u/somebody", "ConsentEntry/request"},
		{protocol.EndpointRequestConsent, "other.example", "ConsentEntry/request"},
		{protocol.EndpointUpdateConsent, protocoltest.User.String(), "ConsentEntry/grant"},
	} {
		send(t, c, request{path: path(t, bad.endpoint, bad.value), body: sampled(t, bad.sample)}).expect(t, 400, protocol.CodeMalformed)
	}
	if asked := l.asked(); len(asked) > 0 {
		t.Errorf("services were asked: %v", asked)
	}
	l.err = &protocol.NotAllowedError{Reason: "of another provider"}
	send(t, c, request{path: path(t, protocol.EndpointRequestConsent, cathy), body: sampled(t, "ConsentEntry/request")}).expect(t, 403, protocol.CodeNotAllowed)
}
