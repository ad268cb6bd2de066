package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// ownSlot is the one client that an account has, and ownSlots all of them.
const ownSlot = 0

var ownSlots = []uint32{ownSlot}

// walletBatch is how many upload tokens an account gets at a time.
const walletBatch = 32

// MakeSet implements [keymaterial.Maker]: it makes and uploads a set for the contact
// that was given a token.
func (c *Client) MakeSet(ctx context.Context, token keymaterial.TokenHash, s mls.CipherSuite) error {
	owner, ok := c.tokens.owner(token)
	if !ok {
		return keymaterial.ErrUnknownToken
	}
	_, secret, err := c.contact(ctx, owner.account, owner.peer)
	if errors.Is(err, ErrNotFound) {
		return keymaterial.ErrUnknownToken
	} else if err != nil {
		return err
	}
	// Key material is for those who are connected, both ways
	// (docs/mmr-profile.md, section 4).
	if s != c.cfg.Suite.ID() || secret.State != connection.Connected || secret.Ours == nil {
		return keymaterial.ErrUnknownToken
	}
	err = c.upload(ctx, owner, secret, keymaterial.Plan{Begin: keymaterial.Stock{Single: 1}})
	if errors.Is(err, ErrClosing) {
		return keymaterial.ErrUnknownToken
	}
	return err
}

// upload carries out a plan for the key material of a contact: it makes KeyPackages
// and stores their private parts, and uploads them, in one transaction. It fails
// with [keymaterial.ErrQuota].
func (c *Client) upload(ctx context.Context, owner tokenOwner, secret *contactSecret, plan keymaterial.Plan) error {
	if plan.Empty() {
		return nil
	}
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		n := len(plan.Complete) + plan.Begin.Single + plan.Begin.LastResort
		payment, err := c.payment(ctx, owner.account, n)
		if err != nil {
			return err
		}
		rows, err := c.makeSets(ctx, owner, secret, plan)
		if err != nil {
			return err
		}
		u, err := keymaterial.NewUpload(secret.Ours.Token, ownSlots, rows)
		if err != nil {
			return err
		}
		u.Drop, u.Tokens = plan.Drop, payment
		return c.send(ctx, secret, u)
	})
}

// send signs an upload and gives it to the provider, which is in this process.
func (c *Client) send(ctx context.Context, secret *contactSecret, u *keymaterial.KeyMaterialUpload) error {
	key, err := c.cfg.Suite.ImportSignatureKey(secret.uploadKey)
	if err != nil {
		return fmt.Errorf("client: stored upload key: %w", err)
	}
	last, err := c.cfg.Registrations.Registration(ctx, u.Token)
	if err == nil {
		u.Sequence = last.Sequence + 1
	} else if !errors.Is(err, keymaterial.ErrNoRegistration) {
		return err
	}
	if err := u.Sign(c.cfg.Suite, key); err != nil {
		return err
	}
	return c.provider.Upload(ctx, u)
}

// makeSets makes the KeyPackages of a plan, and stores their private parts.
func (c *Client) makeSets(ctx context.Context, owner tokenOwner, secret *contactSecret, plan keymaterial.Plan) ([]keymaterial.Row, error) {
	signer, account, err := c.signer(ctx, owner.account)
	if err != nil {
		return nil, err
	}
	queueKey, ok := c.keys.queue().Newest()
	if !ok {
		return nil, errors.New("client: internal error: no queue key")
	}
	cfg := keymaterial.SetConfig{
		Suite: c.cfg.Suite, Account: owner.account, Peer: owner.peer, Key: secret.Ours.Key, Token: secret.Ours.Token,
		Slots:    []keymaterial.Slot{{Number: ownSlot, Client: signer, Queue: c.queueID(account)}},
		QueueKey: queueKey, Clock: c.cfg.Clock, Random: c.cfg.Random, Lifetime: c.cfg.Faults.lifetime(),
	}
	var all []keymaterial.Row
	add := func(set mimi.URI, lastResort bool) error {
		cfg.Set, cfg.LastResort = set, lastResort
		rows, privates, err := keymaterial.NewSet(cfg)
		if err != nil {
			return err
		}
		for i := range privates {
			if err := c.cfg.Privates.PutPrivate(ctx, &privates[i]); err != nil {
				return err
			}
		}
		all = append(all, rows...)
		return nil
	}
	for _, begun := range plan.Complete {
		if err := add(begun.Set, begun.LastResort); err != nil {
			return nil, err
		}
	}
	for range plan.Begin.Single {
		if err := add(c.cfg.Faults.pseudonym(owner.account), false); err != nil {
			return nil, err
		}
	}
	for range plan.Begin.LastResort {
		if err := add(mimi.URI{}, true); err != nil {
			return nil, err
		}
	}
	c.cfg.Faults.made(ctx, c.cfg.Log, owner.account, all)
	return all, nil
}

// payment takes upload tokens out of the wallet of an account, and has new ones
// issued if there are too few. It fails with [keymaterial.ErrQuota].
func (c *Client) payment(ctx context.Context, account mimi.URI, n int) (tokens []keymaterial.UploadToken, err error) {
	if n == 0 {
		return nil, nil
	}
	return tokens, c.withWallet(ctx, account, func(ctx context.Context, w *keymaterial.Wallet) error {
		if err := c.fillWallet(ctx, account, w, n); err != nil {
			return err
		}
		var ok bool
		if tokens, ok = w.Take(n, c.cfg.Clock.Now()); !ok {
			return keymaterial.ErrQuota
		}
		return nil
	})
}

// withWallet runs f on the unspent tokens of an account, and stores them again.
func (c *Client) withWallet(ctx context.Context, account mimi.URI, f func(ctx context.Context, w *keymaterial.Wallet) error) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		w, err := c.wallet(ctx, account)
		if err != nil {
			return err
		}
		// Also what was issued before the quota was used up is kept: it was counted.
		done := f(ctx, w)
		if done != nil && !errors.Is(done, keymaterial.ErrQuota) {
			return done
		}
		b, err := wire.Marshal(w)
		if err != nil {
			return err
		}
		return errors.Join(done, c.cfg.Allowances.PutWallet(ctx, account, b))
	})
}

// wallet reads the unspent tokens of an account.
func (c *Client) wallet(ctx context.Context, account mimi.URI) (*keymaterial.Wallet, error) {
	w := &keymaterial.Wallet{}
	b, err := c.cfg.Allowances.Wallet(ctx, account)
	if err == nil && b != nil {
		err = wire.Unmarshal(b, w)
	}
	if err != nil {
		return nil, fmt.Errorf("client: upload tokens: %w", err)
	}
	return w, nil
}

// fillWallet gets tokens until there are n, in batches, but at the end of a day's
// quota no more than are needed.
func (c *Client) fillWallet(ctx context.Context, account mimi.URI, w *keymaterial.Wallet, n int) error {
	for {
		missing := n - w.Len(c.cfg.Clock.Now())
		if missing <= 0 {
			return nil
		}
		missing = min(missing, keymaterial.MaxTokenBatch)
		err := c.issue(ctx, account, w, max(missing, walletBatch))
		if errors.Is(err, keymaterial.ErrQuota) && missing < walletBatch {
			err = c.issue(ctx, account, w, missing)
		}
		if err != nil {
			return err
		}
	}
}

// issue has n tokens issued to an account.
func (c *Client) issue(ctx context.Context, account mimi.URI, w *keymaterial.Wallet, n int) error {
	key, ok := c.keys.issuer().Newest()
	if !ok {
		return errors.New("client: internal error: no issuer key")
	}
	request, pending, err := keymaterial.RequestTokens(key, n, c.cfg.Random)
	if err != nil {
		return err
	}
	response, err := c.issuer.Issue(ctx, account, request)
	if err != nil {
		return err
	}
	tokens, err := pending.Finish(response)
	if err != nil {
		return err
	}
	w.Add(key, tokens)
	return nil
}

// endMaterial deletes all key material that was made for a contact, and what
// belongs to it.
func (c *Client) endMaterial(ctx context.Context, secret *contactSecret) error {
	if secret.Ours == nil {
		return nil
	}
	token := keymaterial.HashToken(secret.Ours.Token)
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		_, err := c.cfg.Registrations.Registration(ctx, token)
		if errors.Is(err, keymaterial.ErrNoRegistration) {
			return nil
		} else if err != nil {
			return err
		}
		held, err := c.cfg.KeyPackages.Holdings(ctx, token)
		if err != nil {
			return err
		}
		if err := c.dropPrivates(ctx, held, func(*keymaterial.Holding) bool { return true }); err != nil {
			return err
		}
		return c.send(ctx, secret, &keymaterial.KeyMaterialUpload{Token: token})
	})
}

// dropPrivates deletes the private parts of those KeyPackages that are chosen.
func (c *Client) dropPrivates(ctx context.Context, held []keymaterial.Holding, chosen func(*keymaterial.Holding) bool) error {
	for i := range held {
		if !chosen(&held[i]) {
			continue
		}
		var kp mls.KeyPackage
		if err := wire.Unmarshal(held[i].KeyPackage, &kp); err != nil {
			return fmt.Errorf("client: stored KeyPackage: %w", err)
		}
		ref, err := kp.Ref()
		if err != nil {
			return err
		}
		if err := c.cfg.Privates.DeletePrivate(ctx, [32]byte(ref)); err != nil {
			return err
		}
	}
	return nil
}

// newUploadKey makes the key that signs uploads for one contact and nothing else.
func (c *Client) newUploadKey() (suite.Secret, error) {
	key, err := c.cfg.Suite.GenerateSignatureKey(c.cfg.Random)
	if err != nil {
		return suite.Secret{}, fmt.Errorf("client: upload key: %w", err)
	}
	return key.Seed(), nil
}
