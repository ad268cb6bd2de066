package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// An Override replaces resolution and trust for one peer, for labs and private
// federations. The peer's certificate must still name its domain.
type Override struct {
	// Address is host:port to connect to, whatever the URLs say; empty to resolve
	// the domain.
	Address string
	// RootCAs may vouch for the peer; nil for Config.RootCAs.
	RootCAs *x509.CertPool
}

// A Config holds what a [Client] needs. Domain, Certificate, Clock and Log are
// mandatory.
type Config struct {
	// Domain of this provider.
	Domain string
	// Certificate returns the client certificate, which names Domain. It is called
	// for each new connection.
	Certificate func() (*tls.Certificate, error)
	// Peers has the overrides by domain.
	Peers map[string]Override
	// RootCAs may vouch for peers; nil for those of the system.
	RootCAs *x509.CertPool

	Clock mimi.Clock
	Log   *slog.Logger

	// Timeout bounds one request with its answer; zero for 60 s.
	Timeout time.Duration
	// DirectoryLifetime is how long a directory document is used; zero for one hour.
	DirectoryLifetime time.Duration
	// MaxPeers is the most peers whose directory documents and connections are kept;
	// zero for 1024.
	MaxPeers int
}

// A Client sends requests to other providers. It may be used by any number of
// goroutines.
type Client struct {
	cfg Config

	mu    sync.Mutex
	peers map[string]*remote // guarded by mu
	tick  uint64             // guarded by mu; orders the uses of peers
}

// New checks the configuration.
func New(cfg Config) (*Client, error) {
	if err := mimi.CheckDomain(cfg.Domain); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	if cfg.Certificate == nil || cfg.Clock == nil || cfg.Log == nil {
		return nil, errors.New("peer: Certificate, Clock and Log are needed")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.DirectoryLifetime <= 0 {
		cfg.DirectoryLifetime = time.Hour
	}
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = 1024
	}
	return &Client{cfg: cfg, peers: map[string]*remote{}}, nil
}

// Close closes idle connections. Requests under way are not disturbed.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for domain, r := range c.peers {
		r.http.CloseIdleConnections()
		delete(c.peers, domain)
	}
}

// peer returns what is kept about the provider at domain.
func (c *Client) peer(domain string) (*remote, error) {
	if err := mimi.CheckDomain(domain); err != nil {
		return nil, fmt.Errorf("peer: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	r, ok := c.peers[domain]
	if !ok {
		if len(c.peers) >= c.cfg.MaxPeers {
			c.evict()
		}
		r = c.newRemote(domain)
		c.peers[domain] = r
	}
	r.used = c.tick
	return r, nil
}

// evict forgets the peer that was not used for longest. The caller holds mu.
func (c *Client) evict() {
	oldest := ""
	for domain, r := range c.peers {
		if oldest == "" || r.used < c.peers[oldest].used {
			oldest = domain
		}
	}
	c.peers[oldest].http.CloseIdleConnections()
	delete(c.peers, oldest)
}

// A message is sent to an endpoint.
type message struct {
	peer     string
	endpoint protocol.Endpoint
	value    string // for the variable of the URL template
	body     []byte
	status   int // that says success
}

// post sends a message and returns the body of the answer. Failures of transport
// are logged with their cause, which the sentence of the error leaves out.
func (c *Client) post(ctx context.Context, m message) ([]byte, error) {
	body, err := c.try(ctx, m)
	if e, ok := errors.AsType[*Error](err); ok {
		level := slog.LevelDebug // senders try again and know when to complain
		if e.Kind == Permanent {
			level = slog.LevelWarn
		}
		c.cfg.Log.Log(ctx, level, "request to a peer failed", "peer", m.peer, "endpoint", m.endpoint,
			"kind", e.Kind, "status", e.Status, "code", codeText(e.Code), "err", e, "cause", e.err)
	}
	return body, err
}

func (c *Client) try(ctx context.Context, m message) ([]byte, error) {
	r, err := c.peer(m.peer)
	if err != nil {
		return nil, err
	}
	d, err := c.directory(ctx, r)
	if err != nil {
		return nil, err
	}
	url, err := d.URL(m.endpoint, m.value)
	if err != nil {
		return nil, &Error{Peer: m.peer, Endpoint: m.endpoint, Kind: Permanent, reason: "does not offer this: " + err.Error(), err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(m.body))
	if err != nil {
		return nil, fmt.Errorf("peer: make a request: %w", err)
	}
	req.Header.Set("Content-Type", protocol.MediaType)
	body, err := c.do(r, req, m.endpoint, m.status, m.endpoint.MaxResponse())
	if e, ok := errors.AsType[*Error](err); ok && e.stale() {
		r.forget(d)
	}
	return body, err
}

// do sends a request and reads at most limit octets of its answer.
func (c *Client) do(r *remote, req *http.Request, e protocol.Endpoint, status int, limit int64) ([]byte, error) {
	req.Header.Set("From", protocol.FromHeader(c.cfg.Domain))
	req.Header.Set("User-Agent", "") // says nothing that a peer needs to know
	resp, err := r.http.Do(req)
	if err != nil {
		return nil, sendFailed(r.domain, e, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != status && !accepted(e, resp.StatusCode) {
		return nil, c.refused(r, resp, e)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, sendFailed(r.domain, e, err)
	}
	if int64(len(body)) > limit {
		return nil, answerFailed(r.domain, e, resp.StatusCode, fmt.Errorf("it has more than %d octets", limit))
	}
	return body, nil
}

// accepted reports whether a status is another one that says success. The draft wants
// "201 Accepted" of the endpoints about consent; that may be read as either.
func accepted(e protocol.Endpoint, status int) bool {
	return status == http.StatusAccepted && (e == protocol.EndpointRequestConsent || e == protocol.EndpointUpdateConsent)
}

// maxProblem bounds an error answer in octets.
const maxProblem = 8 << 10

// refused turns an answer with another status than the one for success into an
// error.
func (c *Client) refused(r *remote, resp *http.Response, e protocol.Endpoint) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return answerFailed(r.domain, e, resp.StatusCode, fmt.Errorf("HTTP status %d is not the one of this endpoint", resp.StatusCode))
	}
	var p protocol.Problem
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && t == protocol.ProblemMediaType {
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem+1))
		if err != nil || len(body) > maxProblem || json.Unmarshal(body, &p) != nil {
			p = protocol.Problem{}
		}
	}
	if len(p.Detail) > protocol.MaxDescription {
		p.Detail = p.Detail[:protocol.MaxDescription]
	}
	return statusFailed(r.domain, e, resp, p, c.cfg.Clock.Now())
}
