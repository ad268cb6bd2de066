package provider

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Config holds what a [Server] needs. All fields but Pace, Limits, Limiter and
// Refused are mandatory.
type Config struct {
	// Domain of this provider.
	Domain string
	// TLS has the server's certificates, as Certificates or GetCertificate. Client
	// authentication, versions and protocols are set by the server.
	TLS *tls.Config
	// Roots returns the certificate authorities that may vouch for the peer at
	// domain; nil stands for those of the system. An error bars the peer. It is
	// called for every request.
	Roots func(domain string) (*x509.CertPool, error)

	Hub         Hub
	Inbox       Inbox
	People      People
	KeyMaterial KeyMaterial
	Directory   Directory

	Clock mimi.Clock
	Log   *slog.Logger
	// Pace is the clock of Limits.AnswerStep; nil for the system's.
	Pace mimi.Clock

	Limits Limits
	// Limiter decides on rates; nil for none.
	Limiter Limiter
	// Refused is told why a request was refused, to count it; nil for nobody.
	Refused func(error)
}

// A Server serves this provider's endpoints. It is an [http.Handler]; requests
// that come to it otherwise than by [Server.Serve] must have come over TLS with
// client certificates requested.
type Server struct {
	cfg  Config
	gate *gate
}

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	if err := mimi.CheckDomain(cfg.Domain); err != nil {
		return nil, fmt.Errorf("provider: %w", err)
	}
	switch {
	case cfg.TLS == nil || cfg.Roots == nil:
		return nil, errors.New("provider: TLS and Roots are needed")
	case cfg.Hub == nil || cfg.Inbox == nil || cfg.People == nil || cfg.KeyMaterial == nil || cfg.Directory == nil:
		return nil, errors.New("provider: a service is missing")
	case cfg.Clock == nil || cfg.Log == nil:
		return nil, errors.New("provider: Clock and Log are needed")
	}
	cfg.Limits = cfg.Limits.withDefaults()
	if cfg.Refused == nil {
		cfg.Refused = func(error) {}
	}
	if cfg.Pace == nil {
		cfg.Pace = mimi.SystemClock{}
	}
	return &Server{cfg: cfg, gate: newGate(cfg.Limits)}, nil
}

// Serve serves connections of l until ctx ends, and then lets the requests under
// way finish for Limits.ShutdownTime. It closes l. The error is nil after an
// orderly end.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	config := s.cfg.TLS.Clone()
	// Certificates are requested here and verified with the request: only the From
	// header tells which peer's authorities are to be asked, and a peer with a bad
	// certificate gets an answer that says so.
	config.ClientAuth = tls.RequestClientCert
	config.ClientCAs = nil
	config.MinVersion = tls.VersionTLS13
	config.NextProtos = nil // set by net/http
	server := &http.Server{
		Handler:           s,
		TLSConfig:         config,
		ReadHeaderTimeout: min(10*time.Second, s.cfg.Limits.ReadTime),
		ReadTimeout:       s.cfg.Limits.ReadTime,
		WriteTimeout:      s.cfg.Limits.ReadTime + 2*s.cfg.Limits.RequestTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 2 * s.cfg.Limits.PerPeer},
		ErrorLog:          slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(limitListener(l, s.cfg.Limits.Connections), "", "") }()
	select {
	case err := <-ended:
		_ = server.Close()
		return fmt.Errorf("provider: serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	shutdown, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Limits.ShutdownTime)
	defer cancel()
	err := server.Shutdown(shutdown)
	if err != nil {
		err = errors.Join(fmt.Errorf("provider: requests were cut off: %w", err), server.Close())
	}
	<-ended
	return err
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	log := s.cfg.Log
	w = &statusWriter{ResponseWriter: w}
	defer func() {
		if p := recover(); p != nil {
			s.panicked(w.(*statusWriter), log, p)
		}
	}()
	peer, err := s.authenticate(r)
	if err != nil {
		s.writeError(w, log, false, err)
		return
	}
	log = log.With("peer", peer)
	leave, err := s.gate.enter(peer)
	if err != nil {
		s.writeError(w, log, true, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.Limits.RequestTime)
	defer cancel()
	a, err := s.serve(ctx, w, r, peer)
	if err != nil {
		s.writeError(w, log.With("endpoint", endpointName(r)), true, err)
		return
	}
	s.write(w, a)
}

// panicked ends a request that panicked: our fault, whatever was sent. A panic
// value may have the request in it, so that only its type is logged, or its text
// if it is the runtime's own.
func (s *Server) panicked(w *statusWriter, log *slog.Logger, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		panic(p)
	}
	what := fmt.Sprintf("%T", p)
	if e, ok := p.(runtime.Error); ok {
		what = e.Error()
	}
	log.Error("internal error: panic in a request", "panic", what, "stack", string(debug.Stack()))
	if w.written {
		panic(http.ErrAbortHandler) // cut the answer off, it is not whole
	}
	s.writeError(w, log, true, errors.New("internal error: panic"))
}

// A statusWriter knows whether an answer has begun.
type statusWriter struct {
	http.ResponseWriter
	written bool
}

func (w *statusWriter) WriteHeader(status int) {
	w.written = true
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController and http.MaxBytesReader.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// limitListener lets at most n accepted connections be open.
func limitListener(l net.Listener, n int) net.Listener {
	return &limitedListener{l, make(chan struct{}, n), make(chan struct{}), sync.Once{}}
}

type limitedListener struct {
	net.Listener
	slots  chan struct{} // one element per connection
	closed chan struct{}
	once   sync.Once
}

func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
}

func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}
