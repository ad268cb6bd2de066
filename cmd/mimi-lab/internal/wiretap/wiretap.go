// Package wiretap records what providers say to each other. A tap stands in front
// of a provider, ends TLS with the provider's certificate and goes on with the
// caller's, so that both sides see what they would see without it.
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
	"net/url"
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
	caller := r.TLS.PeerCertificates[0].DNSNames[0]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, (&url.URL{
		Scheme: "https", Host: t.cfg.Domain, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery,
	}).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	answer, err := t.client(caller).Do(out)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	response, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	return &Exchange{
		From: caller, To: t.cfg.Domain, Method: r.Method, Target: r.RequestURI, Status: answer.StatusCode,
		RequestHeader: r.Header, Request: body, ResponseHeader: answer.Header, Response: response,
	}, nil
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
