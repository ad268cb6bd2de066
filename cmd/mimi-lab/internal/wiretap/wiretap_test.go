package wiretap_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/pki"
	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
)

const hub, caller = "hub.localhost", "caller.localhost"

// world is a provider that answers with what it was sent, and a tap before it.
type world struct {
	tap    *wiretap.Tap
	log    *wiretap.Log
	client *http.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	authority, err := pki.NewAuthority(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificates := map[string]tls.Certificate{}
	for _, domain := range []string{hub, caller} {
		certFile, keyFile, err := authority.Issue(domain)
		if err == nil {
			certificates[domain], err = tls.LoadX509KeyPair(certFile, keyFile)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	pem, err := os.ReadFile(authority.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificates[hub]}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Caller", r.TLS.PeerCertificates[0].DNSNames[0])
			_, _ = w.Write(append([]byte("echo "), body...))
		}),
	}
	done := make(chan struct{})
	go func() { _ = server.ServeTLS(listener, "", ""); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	w := &world{log: &wiretap.Log{}}
	if w.tap, err = wiretap.Start(t.Context(), wiretap.Config{
		Domain: hub, Address: listener.Addr().String(), Certificates: certificates, Roots: roots, Log: w.log,
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.tap.Stop() })
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		RootCAs: roots, ServerName: hub, Certificates: []tls.Certificate{certificates[caller]},
	}}
	t.Cleanup(transport.CloseIdleConnections)
	w.client = &http.Client{Transport: transport}
	return w
}

func (w *world) post(t *testing.T, body string) (int, string, http.Header) {
	t.Helper()
	answer, err := w.client.Post("https://"+w.tap.Address()+"/update?x=1", "text/plain", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(got), answer.Header
}

func TestTapPassesAndRecords(t *testing.T) {
	w := newWorld(t)
	status, body, header := w.post(t, "hello")
	if status != http.StatusOK || body != "echo hello" || header.Get("X-Caller") != caller {
		t.Fatalf("answer %d %q from %q", status, body, header.Get("X-Caller"))
	}
	all := w.log.All()
	if len(all) != 1 || all[0].From != caller || all[0].To != hub || all[0].Target != "/update?x=1" ||
		string(all[0].Request) != "hello" || string(all[0].Response) != "echo hello" {
		t.Fatalf("recorded %+v", all)
	}
}

func TestHandChangesRequestAndAnswer(t *testing.T) {
	w := newWorld(t)
	w.tap.SetHand(func(e *wiretap.Exchange, pass func() error) error {
		e.Request = append(e.Request, " world"...)
		err := pass()
		e.Response = append(e.Response, '!')
		return err
	})
	if _, body, _ := w.post(t, "hello"); body != "echo hello world!" {
		t.Fatalf("answer %q", body)
	}
	w.tap.SetHand(nil)
	if _, body, _ := w.post(t, "hello"); body != "echo hello" {
		t.Fatalf("answer %q without a hand", body)
	}
}

func TestHandRepeatsAndAnswersItself(t *testing.T) {
	w := newWorld(t)
	w.tap.SetHand(func(e *wiretap.Exchange, pass func() error) error {
		if err := pass(); err != nil {
			return err
		}
		e.Request = e.Response
		return pass()
	})
	if _, body, _ := w.post(t, "hello"); body != "echo echo hello" {
		t.Fatalf("answer %q", body)
	}
	w.tap.SetHand(func(e *wiretap.Exchange, _ func() error) error {
		e.Status, e.Response = http.StatusTeapot, []byte("mine")
		return nil
	})
	if status, body, _ := w.post(t, "hello"); status != http.StatusTeapot || body != "mine" {
		t.Fatalf("answer %d %q", status, body)
	}
	w.tap.SetHand(func(*wiretap.Exchange, func() error) error { return errors.New("dropped") })
	if status, _, _ := w.post(t, "hello"); status != http.StatusBadGateway {
		t.Fatalf("answer %d to a request that was dropped", status)
	}
}
