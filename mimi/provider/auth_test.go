package provider_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
)

func TestAuthentication(t *testing.T) {
	l := start(t, nil)
	stranger := protocoltest.NewCA(t)
	good := l.ca.Issue(from)
	fromHeader := func(values ...string) map[string][]string { return map[string][]string{"From": values} }
	update := func(header map[string][]string) request {
		return request{path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/commit"), header: header}
	}
	cases := []struct {
		name   string
		cert   *tls.Certificate
		req    request
		status int
		code   protocol.Code
	}{
		{"no client certificate", nil, update(nil), 401, protocol.CodeNoCertificate},
		{"no From header", good, update(fromHeader()), 400, protocol.CodeBadFrom},
		{"two From headers", good, update(fromHeader("mimi@"+from, "mimi@"+from)), 400, protocol.CodeBadFrom},
		{"From with a display name", good, update(fromHeader("M <mimi@" + from + ">")), 400, protocol.CodeBadFrom},
		{"From with another local part", good, update(fromHeader("alice@" + from)), 400, protocol.CodeBadFrom},
		{"From names another provider", good, update(fromHeader("mimi@other.example")), 403, protocol.CodeWrongFrom},
		{"From names the provider itself", good, update(fromHeader("mimi@" + self)), 403, protocol.CodeWrongFrom},
		{"From names a domain below the certificate's", good, update(fromHeader("mimi@a." + from)), 403, protocol.CodeWrongFrom},
		{"wildcard certificate", l.ca.Issue("*.example"), update(nil), 403, protocol.CodeWrongFrom},
		{"certificate of an unknown authority", stranger.Issue(from), update(nil), 403, protocol.CodeUntrusted},
		{"expired certificate", l.ca.IssueUntil(protocoltest.At.Add(-time.Minute), from), update(nil), 403, protocol.CodeUntrusted},
		{"barred peer", l.ca.Issue("barred.example"), update(fromHeader("mimi@barred.example")), 403, protocol.CodeUnknownPeer},
		{"another Host", good, request{host: "other.example", path: path(t, protocol.EndpointUpdate, room)}, 421, protocol.CodeWrongHost},
		{"directory without certificate", nil, request{method: http.MethodGet, path: protocol.DirectoryPath}, 401, protocol.CodeNoCertificate},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			send(t, l.client(t, c.cert), c.req).expect(t, c.status, c.code)
		})
	}
	if asked := l.asked(); len(asked) != 0 {
		t.Fatalf("services were asked: %v", asked)
	}
	for name, req := range map[string]request{
		"good":                    update(nil),
		"Host with a port":        {host: self + ":8443", path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/commit")},
		"Host in upper case":      {host: strings.ToUpper(self), path: path(t, protocol.EndpointUpdate, room), body: sampled(t, "UpdateRequest/commit")},
		"no Content-Type":         update(map[string][]string{"Content-Type": {}}),
		"Content-Type with param": update(map[string][]string{"Content-Type": {protocol.MediaType + "; v=1"}}),
	} {
		if r := send(t, l.client(t, l.ca.Issue("another.example", from)), req); r.status != http.StatusOK {
			t.Errorf("%s: %d %+v", name, r.status, r.problem)
		}
	}
	if asked := l.asked(); len(asked) != 5 || asked[0] != "Update "+from {
		t.Errorf("services were asked: %v", asked)
	}
}

func TestTLS12IsRefused(t *testing.T) {
	l := start(t, nil)
	conn, err := tls.Dial("tcp", l.addr, &tls.Config{ServerName: self, RootCAs: l.ca.Pool(), Time: l.clock.Now, MaxVersion: tls.VersionTLS12})
	if err == nil {
		_ = conn.Close()
		t.Error("accepted")
	}
}
