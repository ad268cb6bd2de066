package node

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi/peer"
)

// trust is the certificate of this provider, and whom it believes.
type trust struct {
	certificate *certificate
	// roots are for all peers without an override; nil stands for the system's.
	roots     *x509.CertPool
	overrides map[string]peer.Override
}

func loadTrust(settings *config.Config) (*trust, error) {
	t := &trust{
		certificate: &certificate{certFile: settings.Listen.CertFile, keyFile: settings.Listen.KeyFile},
		overrides:   map[string]peer.Override{},
	}
	if _, err := t.certificate.get(); err != nil {
		return nil, err
	}
	var err error
	if t.roots, err = loadRoots("network.listen.ca_file", settings.Listen.CAFile); err != nil {
		return nil, err
	}
	for domain, p := range settings.Peers {
		roots, err := loadRoots("network.peers."+domain+".ca_file", p.CAFile)
		if err != nil {
			return nil, err
		}
		t.overrides[domain] = peer.Override{Address: p.Address, RootCAs: roots}
	}
	return t, nil
}

// loadRoots reads a PEM bundle; nil if there is none. key is the setting that
// names the file.
func loadRoots(key, path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // no bundle is no error
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in %s", key, path)
	}
	return pool, nil
}

// rootsOf implements the provider's question whom to believe about a peer.
func (t *trust) rootsOf(domain string) (*x509.CertPool, error) {
	if o, ok := t.overrides[domain]; ok && o.RootCAs != nil {
		return o.RootCAs, nil
	}
	return t.roots, nil
}

func (t *trust) server() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.certificate.get() },
	}
}

// A certificate is read again when its file changes, so that renewing it needs no
// restart.
type certificate struct {
	certFile, keyFile string

	mu       sync.Mutex
	loaded   *tls.Certificate
	modified time.Time
}

// get returns the certificate. If the files are not readable any more, the last
// one stays in use.
func (c *certificate) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certFile)
	if err == nil && c.loaded != nil && info.ModTime().Equal(c.modified) {
		return c.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	switch {
	case err == nil:
		c.loaded, c.modified = &pair, info.ModTime()
	case c.loaded == nil:
		return nil, fmt.Errorf("network.listen.cert_file and key_file: %w", err)
	}
	return c.loaded, nil
}
