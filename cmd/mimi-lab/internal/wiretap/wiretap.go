// Package wiretap records what providers say to each other. A tap stands in front
// of a provider, ends TLS with the provider's certificate and goes on with the
// caller's, so that both sides see what they would see without it. It may have a
// [Hand] that changes, repeats or drops what passes, as an active attacker would.
//
// It can do so only because the lab has made all keys.
package wiretap

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// An Exchange is one request and its answer.
type Exchange struct {
	// From and To are the domains of the providers.
	From, To       string
	Method, Target string
	Status         int
	RequestHeader  http.Header
	Request        []byte
	ResponseHeader http.Header
	Response       []byte
}

// A Log holds what taps have recorded, in the order of the answers. Its methods
// may be called concurrently.
type Log struct {
	mu        sync.Mutex
	exchanges []*Exchange
}

// All returns what was recorded so far.
func (l *Log) All() []*Exchange {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]*Exchange(nil), l.exchanges...)
}

func (l *Log) add(e *Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exchanges = append(l.exchanges, e)
}

// Write puts every exchange into files of a folder.
func (l *Log) Write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for i, e := range l.All() {
		var b bytes.Buffer
		fmt.Fprintf(&b, "%s -> %s\n%s %s\n", e.From, e.To, e.Method, e.Target)
		errs := []error{e.RequestHeader.Write(&b)}
		fmt.Fprintf(&b, "\n%d\n", e.Status)
		errs = append(errs, e.ResponseHeader.Write(&b))
		name := filepath.Join(dir, fmt.Sprintf("%04d", i))
		errs = append(errs,
			os.WriteFile(name+".head.txt", b.Bytes(), 0o644),
			os.WriteFile(name+".request.bin", e.Request, 0o644),
			os.WriteFile(name+".response.bin", e.Response, 0o644))
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// A Hand decides what becomes of a request at a tap. It may change the request in
// e, call pass any number of times, each of which sends the request as it then
// stands to the provider and puts the answer into e, and change the answer. If it
// never calls pass, the provider sees nothing and e is the answer that the hand has
// made. With an error the caller sees no answer. What is recorded is e at the end:
// what the provider was sent last, and what the caller was answered.
//
// A hand is called concurrently.
type Hand func(e *Exchange, pass func() error) error

// Config describes a tap.
type Config struct {
	// Domain of the provider behind the tap, Address where it listens.
	Domain, Address string
	// Certificates are those of all providers, by domain.
	Certificates map[string]tls.Certificate
	Roots        *x509.CertPool
	Log          *Log
}

// A Tap is one that listens.
type Tap struct {
	cfg      Config
	listener net.Listener
	server   *http.Server
	done     chan error

	mu      sync.Mutex
	hand    Hand                    // nil lets everything pass
	clients map[string]*http.Client // by caller
}

// Start listens on loopback.
func Start(ctx context.Context, cfg Config) (*Tap, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &Tap{cfg: cfg, listener: l, done: make(chan error, 1), clients: map[string]*http.Client{}}
	t.server = &http.Server{
		Handler:           t,
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig: &tls.Config{
			MinVersion:   tls.VersionTLS13,
			Certificates: []tls.Certificate{cfg.Certificates[cfg.Domain]},
			ClientAuth:   tls.RequireAndVerifyClientCert,
			ClientCAs:    cfg.Roots,
		},
	}
	go func() { t.done <- t.server.ServeTLS(l, "", "") }()
	return t, nil
}

// Address is where the tap listens.
func (t *Tap) Address() string { return t.listener.Addr().String() }

// Stop ends the tap.
func (t *Tap) Stop() error {
	err := t.server.Close()
	<-t.done
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.clients {
		c.CloseIdleConnections()
	}
	return err
}

// SetHand gives the tap a hand for the requests that come from now on, or takes
// it away with nil.
func (t *Tap) SetHand(h Hand) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hand = h
}

// ServeHTTP passes a request on and records it.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e, err := t.pass(r)
	if err != nil {
		http.Error(w, "the provider behind the tap does not answer", http.StatusBadGateway)
		return
	}
	t.cfg.Log.add(e)
	for name, values := range e.ResponseHeader {
		w.Header()[name] = values
	}
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Response)
}

func (t *Tap) pass(r *http.Request) (*Exchange, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	e := &Exchange{
		From: r.TLS.PeerCertificates[0].DNSNames[0], To: t.cfg.Domain, Method: r.Method, Target: r.RequestURI,
		RequestHeader: r.Header, Request: body,
	}
	send := func() error { return t.Send(r.Context(), e) }
	t.mu.Lock()
	hand := t.hand
	t.mu.Unlock()
	if hand == nil {
		return e, send()
	}
	return e, hand(e, send)
}

// Send sends the request of e to the provider behind the tap, with the certificate
// of e.From, and puts the answer into e. Nothing is recorded.
func (t *Tap) Send(ctx context.Context, e *Exchange) error {
	out, err := http.NewRequestWithContext(ctx, e.Method, "https://"+t.cfg.Domain+e.Target, bytes.NewReader(e.Request))
	if err != nil {
		return err
	}
	out.Header = e.RequestHeader.Clone()
	out.Header.Del("Content-Length") // a hand may have changed it
	answer, err := t.client(e.From).Do(out)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if e.Response, err = io.ReadAll(answer.Body); err != nil {
		return err
	}
	e.Status, e.ResponseHeader = answer.StatusCode, answer.Header
	e.ResponseHeader.Del("Content-Length")
	return nil
}

// client returns one that connects as caller.
func (t *Tap) client(caller string) *http.Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.clients[caller]; ok {
		return c
	}
	var dialer net.Dialer
	c := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, t.cfg.Address)
			},
			TLSClientConfig: &tls.Config{
				MinVersion: tls.VersionTLS13, RootCAs: t.cfg.Roots, ServerName: t.cfg.Domain,
				Certificates: []tls.Certificate{t.cfg.Certificates[caller]},
			},
			ForceAttemptHTTP2: true,
		},
	}
	t.clients[caller] = c
	return c
}
