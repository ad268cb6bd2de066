package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/content"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// queueIDSize is the length of a queue id in octets.
const queueIDSize = 16

// accountSecret is an account's keys at rest.
//
//	struct {
//	    opaque seed<V>;          /* of the client's signature key */
//	    opaque certificate<V>;   /* of the client credential, DER */
//	    opaque queue_id<V>;
//	    uint64 name_sequence;    /* of the profile part */
//	    uint64 reuse_told;       /* UTC day, of the last [Client.tellReuse] */
//	} accountSecret;
type accountSecret struct {
	seed         suite.Secret
	certificate  []byte
	queue        []byte
	nameSequence uint64
	reuseTold    uint64
}

// Wire implements [wire.Message].
func (x *accountSecret) Wire(c *wire.Codec) {
	x.seed.Wire(c)
	wire.Opaque(c, &x.certificate)
	wire.Opaque(c, &x.queue)
	wire.Uint64(c, &x.nameSequence)
	wire.Uint64(c, &x.reuseTold)
}

func openAccount(a *Account) (*accountSecret, error) {
	x := &accountSecret{}
	if err := wire.Unmarshal(a.Secret, x); err != nil {
		return nil, fmt.Errorf("client: stored account: %w", err)
	}
	return x, nil
}

// Provision makes the person with that localpart an account, or does nothing if
// there is one. It fails with [mimi.ErrHandle] if the localpart can be no address, and
// with [ErrClosing] while an account is being deleted. Who has deleted their account
// gets a new one, with new keys: the caller asks [Client.Deletion] first where the person
// has not asked for it.
func (c *Client) Provision(ctx context.Context, localpart, name string) (mimi.URI, error) {
	user, err := mimi.UserURI(c.cfg.Domain, localpart)
	if err != nil {
		return mimi.URI{}, err
	}
	return user, c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if err := c.comeBack(ctx, user); err != nil {
			return err
		}
		if _, err := c.cfg.Store.Account(ctx, user); !errors.Is(err, ErrNotFound) {
			return err
		}
		return c.newAccount(ctx, user, name)
	})
}

func (c *Client) newAccount(ctx context.Context, user mimi.URI, name string) error {
	device, err := mimi.NewID(c.cfg.Domain, mimi.KindClient, c.cfg.Random)
	if err != nil {
		return err
	}
	key, err := c.cfg.Suite.GenerateSignatureKey(c.cfg.Random)
	if err != nil {
		return err
	}
	ca, _ := c.keys.identity()
	cert, err := ca.Issue(user, device, key.Public())
	if err != nil {
		return fmt.Errorf("client: certificate for a new account: %w", err)
	}
	x := accountSecret{seed: key.Seed(), certificate: cert.Credential().Certificate, queue: make([]byte, queueIDSize)}
	if _, err := io.ReadFull(c.cfg.Random, x.queue); err != nil {
		return fmt.Errorf("client: queue id: %w", err)
	}
	secret, err := wire.Marshal(&x)
	if err != nil {
		return err
	}
	c.cfg.Log.InfoContext(ctx, "account provisioned")
	if err := c.cfg.Store.PutAccount(ctx, &Account{User: user, Client: device, Name: content.CleanName(name), Secret: secret}); err != nil {
		return err
	}
	return c.stockPackages(ctx, user)
}

// signer returns what signs for an account's real client. It renews the
// certificate at half of its life (docs/mmr-profile.md, section 2). An account that is
// being deleted signs nothing new, and its certificate is not renewed: [ErrClosing].
func (c *Client) signer(ctx context.Context, user mimi.URI) (*identity.Client, *accountSecret, error) {
	if closing, err := c.closing(ctx, user); err != nil {
		return nil, nil, err
	} else if closing {
		return nil, nil, ErrClosing
	}
	account, err := c.cfg.Store.Account(ctx, user)
	if err != nil {
		return nil, nil, fmt.Errorf("client: account: %w", err)
	}
	x, err := openAccount(account)
	if err != nil {
		return nil, nil, err
	}
	key, err := c.cfg.Suite.ImportSignatureKey(x.seed)
	if err != nil {
		return nil, nil, fmt.Errorf("client: stored account: %w", err)
	}
	signer := &identity.Client{Suite: c.cfg.Suite, Key: key, Certificate: identity.ClientCredential{Certificate: x.certificate}}
	ca, authority := c.keys.identity()
	cert, err := authority.Verify(c.cfg.Suite, signer.Certificate)
	if err == nil && c.cfg.Clock.Now().Before(cert.RenewAt()) {
		return signer, x, nil
	}
	if cert, err = ca.Issue(user, account.Client, key.Public()); err != nil {
		return nil, nil, fmt.Errorf("client: renew a certificate: %w", err)
	}
	signer.Certificate = cert.Credential()
	x.certificate = signer.Certificate.Certificate
	if account.Secret, err = wire.Marshal(x); err != nil {
		return nil, nil, err
	}
	return signer, x, c.cfg.Store.PutAccount(ctx, account)
}

// newLeaf makes the identity of a leaf for an account that creates a room or enters
// one by itself: with a random link key, which no contact can derive. pseudonym is
// the user pseudonym that the account has in the room, or zero.
func (c *Client) newLeaf(ctx context.Context, user, pseudonym mimi.URI) (*leaf, error) {
	signer, x, err := c.signer(ctx, user)
	if err != nil {
		return nil, err
	}
	if pseudonym.IsZero() {
		pseudonym = c.cfg.Faults.pseudonym(user)
	}
	cfg := identity.LeafConfig{Suite: c.cfg.Suite, Domain: c.cfg.Domain, User: pseudonym, Client: signer, Random: c.cfg.Random}
	id, err := identity.NewLeafIdentity(cfg)
	if err != nil {
		return nil, err
	}
	l := &leaf{account: user, user: id.TBS().UserPseudonym, identity: id}
	queueKey, ok := c.keys.queue().Newest()
	if !ok {
		return nil, errors.New("client: internal error: no queue key")
	}
	l.params.Extensions, err = id.Extensions(queueKey, c.queueID(x))
	if err != nil {
		return nil, err
	}
	l.params.Extensions = c.cfg.Faults.leaf(user, l.params.Extensions)
	if l.params.Credential, err = id.Credential.Credential(); err != nil {
		return nil, err
	}
	l.params.Capabilities, l.params.SignatureKey = identity.Capabilities(), id.Key
	return l, nil
}
