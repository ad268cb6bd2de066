package peer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/peer"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

const (
	remote = protocoltest.Hub   // the provider that is asked
	own    = protocoltest.Local // the client's domain
)

// A world is a client and the means to put a server at the address where it looks
// for the remote provider.
type world struct {
	ca       *protocoltest.CA
	clock    *mimi.ManualClock
	listener net.Listener
	client   *peer.Client
}

func newWorld(t *testing.T, change func(*peer.Config)) *world {
	t.Helper()
	w := &world{ca: protocoltest.NewCA(t), clock: mimi.NewManualClock(protocoltest.At)}
	var err error
	if w.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.listener.Close() })
	cert := w.ca.Issue(own)
	cfg := peer.Config{
		Domain:      own,
		Certificate: func() (*tls.Certificate, error) { return cert, nil },
		Peers:       map[string]peer.Override{remote: {Address: w.listener.Addr().String(), RootCAs: w.ca.Pool()}},
		Clock:       w.clock, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	if w.client, err = peer.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	return w
}

// serve puts a plain HTTPS server at the address until the test ends.
func (w *world) serve(t *testing.T, cert *tls.Certificate, h http.Handler) {
	t.Helper()
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert},
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(w.listener, "", "") }()
	t.Cleanup(func() { _ = server.Close(); <-done })
}

// A services is all services of a provider; a test sets what it needs.
type services struct {
	mu     sync.Mutex
	err    error
	pkg    []byte
	stored map[string]int
}

func (s *services) fail() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *services) Update(context.Context, string, mimi.URI, *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	return &protocol.UpdateRoomResponse{Accepted: protocoltest.At}, s.fail()
}

func (s *services) SubmitMessage(context.Context, string, mimi.URI, *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	return &protocol.SubmitMessageResponse{Accepted: protocoltest.At}, s.fail()
}

func (s *services) GroupInfo(_ context.Context, _ string, room mimi.URI, _ *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	return &protocol.GroupInfoResponse{Room: room, Status: protocol.GroupInfoSuccess, Sealed: protocoltest.Ciphertext(10)}, s.fail()
}

func (s *services) JoinCode(context.Context, string, *protocol.JoinCodeRegistration) error {
	return s.fail()
}

func (s *services) RelayKeyMaterial(context.Context, string, *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	return &protocol.SealedKeyMaterial{Sealed: protocoltest.Ciphertext(1)}, s.fail()
}

func (s *services) KeyMaterial(context.Context, string, *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	return &protocol.SealedKeyMaterial{Sealed: protocoltest.Ciphertext(2)}, s.fail()
}

func (s *services) RelayUserKeyMaterial(_ context.Context, _ string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: req.TargetUser}, s.fail()
}

func (s *services) UserKeyMaterial(_ context.Context, _ string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialUserUnknown, User: req.TargetUser}, s.fail()
}

func (s *services) Notify(_ context.Context, from string, room mimi.URI, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.stored[from+" "+room.String()+" "+string(body)]++
	}
	return s.err
}

func (s *services) ConnectionPackage(context.Context, string, mimi.URI) ([]byte, error) {
	return s.pkg, s.fail()
}

func (s *services) ConnectionRequest(context.Context, string, *protocol.ConnectionRequest) error {
	return s.fail()
}

func (s *services) Consent(context.Context, string, *protocol.ConsentEntry) error { return s.fail() }

func (s *services) Directory(context.Context) (*protocol.Directory, error) {
	draft, profile, err := provider.Endpoints(remote, 0)
	key := identity.ProviderKey{ID: 1, Suite: suite.X25519AES128, Public: make([]byte, 32), NotAfter: protocoltest.At}
	return &protocol.Directory{Endpoints: draft, Profile: &protocol.Profile{Endpoints: profile, KeyMaterialKeys: []identity.ProviderKey{key}}}, err
}

// provide puts a real provider at the address until the test ends.
func (w *world) provide(t *testing.T) *services {
	t.Helper()
	s := &services{stored: map[string]int{}}
	server, err := provider.New(provider.Config{
		Domain: remote,
		TLS:    &tls.Config{Certificates: []tls.Certificate{*w.ca.Issue(remote)}},
		Roots:  func(string) (*x509.CertPool, error) { return w.ca.Pool(), nil },
		Hub:    s, Inbox: s, People: s, KeyMaterial: s, Directory: s,
		Clock: w.clock, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, w.listener) }()
	t.Cleanup(func() {
		w.client.Close() // the server would wait for idle connections
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// message returns the named sample.
func message[T wire.Message](tb testing.TB, name string) T {
	tb.Helper()
	for _, s := range protocoltest.Samples() {
		if s.Name == name {
			return s.Message.(T)
		}
	}
	tb.Fatalf("no sample %s", name)
	panic("unreachable")
}

func update(t *testing.T, w *world) (*protocol.UpdateRoomResponse, error) {
	t.Helper()
	return w.client.Update(t.Context(), protocoltest.Room, message[*protocol.UpdateRequest](t, "UpdateRequest/commit"))
}
