package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The names of the provider's secrets in the store.
const (
	secretCA       = "identity-ca"
	secretQueue    = "queue-keys"
	secretMaterial = "keymaterial-keys"
	secretIssuer   = "upload-token-keys"
	secretHub      = "hub-key"
)

// How long a key of the provider is used for sealing, how long before its end the
// next one is made, and how long something that was sealed to it can matter
// (docs/mmr-profile.md, section 5).
const (
	keyPeriod   = 30 * 24 * time.Hour
	keyOverlap  = 15 * 24 * time.Hour
	queueLife   = 90 * 24 * time.Hour
	requestLife = time.Hour
)

// keys are those of the provider: its identity CA, the keys that others seal
// queue references and connection tokens to, those that issue upload tokens, the
// hub's signature key, and the one that former pseudonyms are hashed with.
type keys struct {
	cfg *Config

	mu        sync.RWMutex
	ca        *identity.CA
	authority *identity.Authority
	queues    identity.ProviderKeyRing
	tokens    identity.ProviderKeyRing
	issuers   keymaterial.IssuerKeyRing
	hub       suite.SignatureKey
	former    suite.Secret
}

func newKeys(cfg *Config) *keys { return &keys{cfg: cfg} }

// load reads the keys, or makes them at the first start.
func (k *keys) load(ctx context.Context) error {
	return k.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		// In this order: transactions of others read the keys.
		k.mu.Lock()
		defer k.mu.Unlock()
		if err := k.loadCA(ctx); err != nil {
			return fmt.Errorf("client: identity CA: %w", err)
		}
		if err := k.loadHub(ctx); err != nil {
			return fmt.Errorf("client: hub key: %w", err)
		}
		if err := k.loadRing(ctx, secretQueue, &k.queues, queueLife); err != nil {
			return fmt.Errorf("client: queue keys: %w", err)
		}
		if err := k.loadRing(ctx, secretMaterial, &k.tokens, requestLife); err != nil {
			return fmt.Errorf("client: keymaterial keys: %w", err)
		}
		if err := k.loadIssuer(ctx); err != nil {
			return fmt.Errorf("client: keys of upload tokens: %w", err)
		}
		if err := k.loadFormer(ctx); err != nil {
			return fmt.Errorf("client: key of former pseudonyms: %w", err)
		}
		return nil
	})
}

// storedCA is the identity CA at rest.
//
//	struct { opaque seed<V>; opaque certificate<V>; } storedCA;
type storedCA struct {
	seed        suite.Secret
	certificate []byte
}

// Wire implements [wire.Message].
func (x *storedCA) Wire(c *wire.Codec) {
	x.seed.Wire(c)
	wire.Opaque(c, &x.certificate)
}

func (k *keys) loadCA(ctx context.Context) error {
	cfg := identity.CAConfig{Suite: k.cfg.Suite, Domain: k.cfg.Domain, Clock: k.cfg.Clock, Random: k.cfg.Random}
	b, err := k.cfg.Store.Secret(ctx, secretCA)
	switch {
	case errors.Is(err, ErrNotFound):
		if k.ca, err = identity.NewCA(cfg); err != nil {
			return err
		}
		if b, err = wire.Marshal(&storedCA{k.ca.Key().Seed(), k.ca.Certificate()}); err != nil {
			return err
		}
		if err := k.cfg.Store.PutSecret(ctx, secretCA, b); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		var x storedCA
		if err := wire.Unmarshal(b, &x); err != nil {
			return err
		}
		key, err := k.cfg.Suite.ImportSignatureKey(x.seed)
		if err != nil {
			return err
		}
		if k.ca, err = identity.LoadCA(cfg, key, x.certificate); err != nil {
			return err
		}
	}
	k.authority, err = identity.ParseAuthority(k.cfg.Domain, k.ca.PEM())
	return err
}

func (k *keys) loadHub(ctx context.Context) error {
	b, err := k.cfg.Store.Secret(ctx, secretHub)
	if err == nil {
		k.hub, err = k.cfg.Suite.ImportSignatureKey(suite.NewSecret(b))
		return err
	}
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	if k.hub, err = k.cfg.Suite.GenerateSignatureKey(k.cfg.Random); err != nil {
		return err
	}
	return k.cfg.Store.PutSecret(ctx, secretHub, k.hub.Seed().Bytes())
}

// loadRing reads a key ring, and gives it a new key if the newest is about to
// end.
func (k *keys) loadRing(ctx context.Context, name string, ring *identity.ProviderKeyRing, lives time.Duration) error {
	b, err := k.cfg.Store.Secret(ctx, name)
	if err == nil {
		err = wire.Unmarshal(b, ring)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	now := k.cfg.Clock.Now()
	if newest, ok := ring.Newest(); ok && newest.NotAfter.Sub(now) > keyOverlap {
		return nil
	}
	if *ring, err = ring.Rotate(k.cfg.Suite, now, now.Add(keyPeriod).Truncate(time.Second), lives, k.cfg.Random); err != nil {
		return err
	}
	if b, err = wire.Marshal(ring); err != nil {
		return err
	}
	return k.cfg.Store.PutSecret(ctx, name, b)
}

// loadIssuer is loadRing for the keys that issue upload tokens.
func (k *keys) loadIssuer(ctx context.Context) error {
	b, err := k.cfg.Store.Secret(ctx, secretIssuer)
	if err == nil {
		err = wire.Unmarshal(b, &k.issuers)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	now := k.cfg.Clock.Now()
	if !k.issuers.Due(now) {
		return nil
	}
	if k.issuers, err = k.issuers.Rotate(now, k.cfg.Random); err != nil {
		return err
	}
	if b, err = wire.Marshal(&k.issuers); err != nil {
		return err
	}
	return k.cfg.Store.PutSecret(ctx, secretIssuer, b)
}

// identity returns the identity CA, and what others know of it.
func (k *keys) identity() (*identity.CA, *identity.Authority) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.ca, k.authority
}

func (k *keys) issuer() keymaterial.IssuerKeyRing {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.issuers
}

func (k *keys) material() identity.ProviderKeyRing {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.tokens
}

func (k *keys) queue() identity.ProviderKeyRing {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.queues
}

// HubKey returns the key that signs for this provider as a hub, for rooms of a
// cipher suite.
func (c *Client) HubKey(id suite.ID) (suite.SignatureKey, error) {
	c.keys.mu.RLock()
	defer c.keys.mu.RUnlock()
	if id != c.cfg.Suite.ID() || c.keys.hub.IsZero() {
		return suite.SignatureKey{}, fmt.Errorf("%w for the hub: 0x%04x", suite.ErrUnsupported, uint16(id))
	}
	return c.keys.hub, nil
}

// authority returns the identity CA of a domain: the own one, the pinned one, or
// the one in the domain's directory, which is pinned then.
func (c *Client) authority(ctx context.Context, domain string) (*identity.Authority, error) {
	if domain == c.cfg.Domain {
		c.keys.mu.RLock()
		defer c.keys.mu.RUnlock()
		return c.keys.authority, nil
	}
	a, err := c.pinner.Authority(ctx, domain)
	if !errors.Is(err, identity.ErrNoPin) {
		return a, err
	}
	return c.observe(ctx, domain)
}

// observe reads the directory of a domain and pins its identity CA.
func (c *Client) observe(ctx context.Context, domain string) (*identity.Authority, error) {
	call, cancel := c.call(ctx)
	defer cancel()
	directory, err := c.cfg.Peers.Directory(call, domain)
	if err != nil {
		return nil, unreachable(err)
	}
	if directory.IdentityCA == nil {
		return nil, fmt.Errorf("client: directory of %s: no identity CA", domain)
	}
	authority, err := c.pinner.Observe(ctx, domain, directory.IdentityCA.PEM())
	if errors.Is(err, identity.ErrPinChanged) {
		c.wakeEvents(ctx) // of those who are told
	}
	return authority, err
}

// known returns the identity CA of a domain if that needs no network: in a
// transaction.
func (c *Client) known(ctx context.Context, domain string) (*identity.Authority, error) {
	if domain == c.cfg.Domain {
		return c.authority(ctx, domain)
	}
	return c.pinner.Authority(ctx, domain)
}
