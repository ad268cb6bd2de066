package provider_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
)

const (
	self = protocoltest.Hub   // the provider under test
	from = protocoltest.Local // the peer that asks
)

// fake is all services. It answers success, or err if that is set, and remembers
// what it was asked.
type fake struct {
	mu     sync.Mutex
	err    error
	calls  []string
	bodies [][]byte
	pkg    []byte
	during func(ctx context.Context) // called in each method
}

func (f *fake) called(ctx context.Context, name, from string) error {
	f.mu.Lock()
	f.calls = append(f.calls, name+" "+from)
	err, during := f.err, f.during
	f.mu.Unlock()
	if during != nil {
		during(ctx)
	}
	return err
}

func (f *fake) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func (f *fake) Update(ctx context.Context, from string, _ mimi.URI, _ *protocol.UpdateRequest) (*protocol.UpdateRoomResponse, error) {
	if err := f.called(ctx, "Update", from); err != nil {
		return nil, err
	}
	return &protocol.UpdateRoomResponse{Accepted: protocoltest.At}, nil
}

func (f *fake) SubmitMessage(ctx context.Context, from string, _ mimi.URI, _ *protocol.SubmitMessageRequest) (*protocol.SubmitMessageResponse, error) {
	if err := f.called(ctx, "SubmitMessage", from); err != nil {
		return nil, err
	}
	return &protocol.SubmitMessageResponse{Accepted: protocoltest.At}, nil
}

func (f *fake) GroupInfo(ctx context.Context, from string, room mimi.URI, _ *protocol.GroupInfoRequest) (*protocol.GroupInfoResponse, error) {
	if err := f.called(ctx, "GroupInfo", from); err != nil {
		return nil, err
	}
	return &protocol.GroupInfoResponse{Room: room, Status: protocol.GroupInfoSuccess, CipherSuite: suite.X25519AES128, Sealed: protocoltest.Ciphertext(100)}, nil
}

func (f *fake) JoinCode(ctx context.Context, from string, _ *protocol.JoinCodeRegistration) error {
	return f.called(ctx, "JoinCode", from)
}

func (f *fake) RelayKeyMaterial(ctx context.Context, from string, _ *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if err := f.called(ctx, "RelayKeyMaterial", from); err != nil {
		return nil, err
	}
	return &protocol.SealedKeyMaterial{Sealed: protocoltest.Ciphertext(4096)}, nil
}

func (f *fake) KeyMaterial(ctx context.Context, from string, _ *protocol.AnonymousKeyMaterialRequest) (*protocol.SealedKeyMaterial, error) {
	if err := f.called(ctx, "KeyMaterial", from); err != nil {
		return nil, err
	}
	return &protocol.SealedKeyMaterial{Sealed: protocoltest.Ciphertext(4096)}, nil
}

func (f *fake) RelayUserKeyMaterial(ctx context.Context, from string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	if err := f.called(ctx, "RelayUserKeyMaterial", from); err != nil {
		return nil, err
	}
	return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: req.TargetUser}, nil
}

func (f *fake) UserKeyMaterial(ctx context.Context, from string, req *protocol.KeyMaterialRequest) (*protocol.KeyMaterialResponse, error) {
	if err := f.called(ctx, "UserKeyMaterial", from); err != nil {
		return nil, err
	}
	return &protocol.KeyMaterialResponse{Status: protocol.KeyMaterialNoConsent, User: req.TargetUser}, nil
}

func (f *fake) Notify(ctx context.Context, from string, _ mimi.URI, body []byte) error {
	f.mu.Lock()
	f.bodies = append(f.bodies, body)
	f.mu.Unlock()
	return f.called(ctx, "Notify", from)
}

func (f *fake) ConnectionPackage(ctx context.Context, from string, _ mimi.URI) ([]byte, error) {
	return f.pkg, f.called(ctx, "ConnectionPackage", from)
}

func (f *fake) ConnectionRequest(ctx context.Context, from string, _ *protocol.ConnectionRequest) error {
	return f.called(ctx, "ConnectionRequest", from)
}

func (f *fake) Consent(ctx context.Context, from string, _ *protocol.ConsentEntry) error {
	return f.called(ctx, "Consent", from)
}

func (f *fake) Directory(ctx context.Context) (*protocol.Directory, error) {
	draft, profile, err := provider.Endpoints(self, 0)
	if err == nil {
		err = f.called(ctx, "Directory", "")
	}
	key := identity.ProviderKey{ID: 1, Suite: suite.X25519AES128, Public: make([]byte, 32), NotAfter: protocoltest.At}
	return &protocol.Directory{Endpoints: draft, Profile: &protocol.Profile{Endpoints: profile, KeyMaterialKeys: []identity.ProviderKey{key}}}, err
}

// A lab is a server on the loopback interface and the authority that its peers
// have their certificates from.
type lab struct {
	*fake
	ca     *protocoltest.CA
	addr   string
	server *provider.Server
	clock  *mimi.ManualClock

	stop   func() error  // ends the server; once
	closed chan struct{} // the listener is closed
}

// A noticedListener tells that it has been closed.
type noticedListener struct {
	net.Listener
	closed chan struct{}
	once   sync.Once
}

func (l *noticedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// start serves until the test ends. change may adapt the configuration.
func start(t *testing.T, change func(*provider.Config)) *lab {
	t.Helper()
	l := &lab{fake: &fake{}, ca: protocoltest.NewCA(t), clock: mimi.NewManualClock(protocoltest.At), closed: make(chan struct{})}
	cfg := provider.Config{
		Domain: self,
		TLS:    &tls.Config{Certificates: []tls.Certificate{*l.ca.Issue(self)}},
		Roots: func(domain string) (*x509.CertPool, error) {
			if domain == "barred.example" {
				return nil, errors.New("barred")
			}
			return l.ca.Pool(), nil
		},
		Hub: l, Inbox: l, People: l, KeyMaterial: l, Directory: l,
		Clock: l.clock, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if l.server, err = provider.New(cfg); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context())) // ends by stop
	done := make(chan error, 1)
	go func() { done <- l.server.Serve(ctx, &noticedListener{Listener: listener, closed: l.closed}) }()
	l.stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return l
}

// client returns an HTTP client with that certificate, or none.
func (l *lab) client(t *testing.T, cert *tls.Certificate) *http.Client {
	t.Helper()
	config := &tls.Config{RootCAs: l.ca.Pool(), ServerName: self, Time: l.clock.Now}
	if cert != nil {
		// As the certificate of a stranger: sent whatever the server asks for.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	transport := &http.Transport{
		TLSClientConfig: config, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, l.addr)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}
