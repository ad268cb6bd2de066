package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A remote is one peer: its connections and its directory document.
type remote struct {
	domain string
	http   *http.Client
	used   uint64 // guarded by Client.mu

	// fetching has one element while the document is being fetched: a lock that can
	// be given up with a context.
	fetching chan struct{}

	mu      sync.Mutex
	doc     *protocol.Directory // guarded by mu
	expires time.Time           // guarded by mu
}

func (c *Client) newRemote(domain string) *remote {
	override := c.cfg.Peers[domain]
	roots := override.RootCAs
	if roots == nil {
		roots = c.cfg.RootCAs
	}
	certificate := c.cfg.Certificate
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	if override.Address == "" {
		dialer.Control = refusePrivate
	}
	transport := &http.Transport{
		Proxy: nil, // a proxy would have to be trusted with the peer's name
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if override.Address != "" {
				address = override.Address
			}
			return dialer.DialContext(ctx, network, address)
		},
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			ServerName: domain,
			RootCAs:    roots,
			Time:       c.cfg.Clock.Now,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return certificate()
			},
		},
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  c.cfg.Timeout,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    4,
		MaxConnsPerHost:        32,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true,
	}
	return &remote{
		domain:   domain,
		fetching: make(chan struct{}, 1),
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		},
	}
}

// refusePrivate keeps addresses that people write from reaching into the network
// that the gateway stands in.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return errPrivateAddress
	}
	ip := a.Addr().Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || carrierNAT.Contains(ip) {
		return errPrivateAddress
	}
	return nil
}

// carrierNAT is the shared address space of RFC 6598.
var carrierNAT = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)

// Directory returns the directory document of the provider at domain. It is
// fetched over authenticated TLS, at most once per Config.DirectoryLifetime unless
// an endpoint in it is gone.
func (c *Client) Directory(ctx context.Context, domain string) (*protocol.Directory, error) {
	r, err := c.peer(domain)
	if err != nil {
		return nil, err
	}
	return c.directory(ctx, r)
}

func (c *Client) directory(ctx context.Context, r *remote) (*protocol.Directory, error) {
	if d := r.cached(c.cfg.Clock.Now()); d != nil {
		return d, nil
	}
	select {
	case r.fetching <- struct{}{}:
		defer func() { <-r.fetching }()
	case <-ctx.Done():
		return nil, sendFailed(r.domain, "", ctx.Err())
	}
	if d := r.cached(c.cfg.Clock.Now()); d != nil {
		return d, nil // somebody else has fetched it meanwhile
	}
	d, err := c.fetchDirectory(ctx, r)
	if e, ok := errors.AsType[*Error](err); ok && e.Kind == Unreachable && ctx.Err() == nil {
		// A connection that was kept alive may have died; this request can be
		// repeated without harm.
		d, err = c.fetchDirectory(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc, r.expires = d, c.cfg.Clock.Now().Add(c.cfg.DirectoryLifetime)
	return d, nil
}

func (c *Client) fetchDirectory(ctx context.Context, r *remote) (*protocol.Directory, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.domain+protocol.DirectoryPath, nil)
	if err != nil {
		return nil, fmt.Errorf("peer: make a request: %w", err)
	}
	body, err := c.do(r, req, "", http.StatusOK, protocol.MaxDirectory)
	if err != nil {
		return nil, err
	}
	d, err := protocol.ParseDirectory(body, r.domain)
	if err != nil {
		return nil, answerFailed(r.domain, "", http.StatusOK, err)
	}
	return d, nil
}

func (r *remote) cached(now time.Time) *protocol.Directory {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doc != nil && now.Before(r.expires) {
		return r.doc
	}
	return nil
}

// forget drops the document d, unless it has been replaced.
func (r *remote) forget(d *protocol.Directory) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.doc == d {
		r.doc = nil
	}
}
