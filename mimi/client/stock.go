package client

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
)

const (
	// lastResortRefresh is how long before it is no longer handed out something of
	// last resort is replaced, and singleRefresh the same for what is used once:
	// longer than schedule ticks are apart.
	lastResortRefresh = 7 * 24 * time.Hour
	singleRefresh     = 24 * time.Hour
)

// Metrics is told what an operator has to see of key material, of identity links, and of
// how many people there are. Nothing that it is given says who they are. Calls may be
// concurrent, and must not block.
type Metrics interface {
	// LastResort counts a set of KeyPackages of last resort that was handed out, and
	// says how often that set was before.
	LastResort(before uint64)
	// Stock says how much is there to be handed out, of all accounts together:
	// establishment packages, and sets of KeyPackages.
	Stock(packages, sets keymaterial.Stock)
	// Active says how many people of this provider there are, every hour.
	Active(crowd Crowd)
	// Link counts an identity link that was opened, or that did not open.
	Link(opened bool)
}

// noMetrics is who nobody asks.
type noMetrics struct{}

// LastResort implements [Metrics].
func (noMetrics) LastResort(uint64) {}

// Stock implements [Metrics].
func (noMetrics) Stock(_, _ keymaterial.Stock) {}

// Active implements [Metrics].
func (noMetrics) Active(Crowd) {}

// Link implements [Metrics].
func (noMetrics) Link(bool) {}

// lastResort is told by the provider that a set of last resort was handed out. The
// next schedule tick replaces it. Its owner is told if two rooms share it.
func (c *Client) lastResort(ctx context.Context, token keymaterial.TokenHash, before uint64) {
	c.cfg.Metrics.LastResort(before)
	if before == 0 {
		return
	}
	c.cfg.Log.WarnContext(ctx, "key material of last resort was handed out again; two rooms share a pseudonym", "times", before)
	owner, ok := c.tokens.owner(token)
	if !ok {
		return // no contact any more
	}
	if err := c.tellReuse(ctx, owner); err != nil {
		c.cfg.Log.WarnContext(ctx, "could not tell an account that its key material was used again", "err", err)
	}
}

// planRefill plans the next schedule tick: at a time that has nothing to do with
// what was handed out when (docs/mmr-profile.md, section 5).
func (c *Client) planRefill(earliest time.Duration) {
	var b [8]byte
	if _, err := io.ReadFull(c.cfg.Random, b[:]); err != nil {
		b = [8]byte{} // the tick is earlier then, and that is all
	}
	jitter := time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(c.cfg.Limits.Refill))
	c.timers.at(mimi.URI{Domain: c.cfg.Domain, Kind: mimi.KindClient, ID: "refill"}, func() func() bool {
		return c.cfg.Clock.AfterFunc(earliest+jitter, func() { c.spawn(c.refill) })
	})
}

// refill is a schedule tick: it brings everybody's stock back to what it should be,
// whether or not something was taken from it.
func (c *Client) refill(ctx context.Context) {
	c.expire(ctx)
	if err := c.refillAll(ctx); err != nil && ctx.Err() == nil {
		c.cfg.Log.WarnContext(ctx, "could not refill all key material", "err", err)
	}
	c.planRefill(c.cfg.Limits.Refill / 2)
}

func (c *Client) refillAll(ctx context.Context) error {
	accounts, err := c.cfg.Store.Accounts(ctx)
	if err != nil {
		return err
	}
	closing, err := c.closingAccounts(ctx)
	if err != nil {
		return err
	}
	var packages, sets keymaterial.Stock
	var errs []error
	for _, account := range accounts {
		if closing[account.User] {
			continue
		}
		errs = append(errs, c.stockPackages(ctx, account.User))
		have, err := c.packageStock(ctx, account.User)
		errs = append(errs, err)
		packages.Single, packages.LastResort = packages.Single+have.Single, packages.LastResort+have.LastResort
	}
	// The order of their ids is random: it does not go by accounts.
	contacts, err := c.cfg.Store.Contacts(ctx)
	errs = append(errs, err)
	for account := range connected(contacts) {
		errs = append(errs, c.stockWallet(ctx, account))
	}
	for _, contact := range contacts {
		if closing[contact.Account] {
			continue
		}
		have, err := c.stockContact(ctx, tokenOwner{contact.Account, contact.Peer})
		errs = append(errs, err)
		sets.Single, sets.LastResort = sets.Single+have.Single, sets.LastResort+have.LastResort
	}
	c.cfg.Metrics.Stock(packages, sets)
	return errors.Join(errs...)
}

// connected returns the accounts that have a contact elsewhere.
func connected(contacts []*Contact) map[mimi.URI]bool {
	accounts := map[mimi.URI]bool{}
	for _, contact := range contacts {
		if contact.State == ContactConnected {
			accounts[contact.Account] = true
		}
	}
	return accounts
}

// stockWallet gets an account upload tokens before it needs them, so that the
// moment in which they are issued is not that of an upload.
func (c *Client) stockWallet(ctx context.Context, account mimi.URI) error {
	w, err := c.wallet(ctx, account)
	if err != nil || w.Len(c.cfg.Clock.Now()) >= walletBatch {
		return err
	}
	err = c.withWallet(ctx, account, func(ctx context.Context, w *keymaterial.Wallet) error {
		return c.fillWallet(ctx, account, w, walletBatch)
	})
	return ignore(err, keymaterial.ErrQuota)
}

// stockPackages gives an account as many establishment packages as it should have,
// and deletes what nobody was given in time.
func (c *Client) stockPackages(ctx context.Context, user mimi.URI) error {
	missing, err := c.missingPackages(ctx, user)
	if err != nil || missing == (keymaterial.Stock{}) {
		return err
	}
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		missing, err := c.missingPackages(ctx, user)
		if err != nil {
			return err
		}
		if err := c.cfg.Packages.DropUnasked(ctx, user, identity.HandOutHorizon(c.cfg.Clock.Now())); err != nil {
			return err
		}
		for lastResort, n := range map[bool]int{false: missing.Single, true: missing.LastResort} {
			for range n {
				if err := c.newPackage(ctx, user, lastResort); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// missingPackages counts the establishment packages that an account should have and
// has not, or not for long.
func (c *Client) missingPackages(ctx context.Context, user mimi.URI) (missing keymaterial.Stock, err error) {
	count := func(refresh time.Duration) (single, last int) {
		if err == nil {
			horizon := identity.HandOutHorizon(c.cfg.Clock.Now()).Add(refresh)
			single, last, err = c.cfg.Packages.CountPackages(ctx, user, c.cfg.Suite.ID(), horizon)
		}
		return single, last
	}
	single, _ := count(singleRefresh)
	_, last := count(lastResortRefresh)
	return keymaterial.Stock{Single: max(0, c.cfg.Limits.Packages-single), LastResort: max(0, 1-last)}, err
}

// packageStock counts the establishment packages of an account that can be handed
// out.
func (c *Client) packageStock(ctx context.Context, user mimi.URI) (s keymaterial.Stock, err error) {
	s.Single, s.LastResort, err = c.cfg.Packages.CountPackages(ctx, user, c.cfg.Suite.ID(), identity.HandOutHorizon(c.cfg.Clock.Now()))
	return s, err
}

// stockContact gives a contact as many sets of KeyPackages as it should have, and
// returns how many there are then. Only who is connected has any. Sets that are used
// once are made when they are fetched; what is kept are those of last resort.
func (c *Client) stockContact(ctx context.Context, owner tokenOwner) (stock keymaterial.Stock, err error) {
	secret, held, plan, err := c.planContact(ctx, owner)
	if err != nil || plan.Empty() {
		return count(held), err
	}
	err = c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		if secret, held, plan, err = c.planContact(ctx, owner); err != nil {
			return err
		}
		if err := c.upload(ctx, owner, secret, plan); err != nil {
			return fmt.Errorf("key material of last resort: %w", err)
		}
		// A Welcome may still come for what was handed out.
		if err := c.dropPrivates(ctx, held, func(h *keymaterial.Holding) bool {
			return h.HandedOut == 0 && slices.Contains(plan.Drop, h.Set)
		}); err != nil {
			return err
		}
		_, held, _, err = c.planContact(ctx, owner)
		return err
	})
	return count(held), err
}

// planContact returns what is stored for a contact, and what has to be done about
// it: nothing, if there is no such contact or it is not connected.
func (c *Client) planContact(ctx context.Context, owner tokenOwner) (*contactSecret, []keymaterial.Holding, keymaterial.Plan, error) {
	none := keymaterial.Plan{}
	contact, secret, err := c.contact(ctx, owner.account, owner.peer)
	if errors.Is(err, ErrNotFound) {
		return nil, nil, none, nil
	} else if err != nil {
		return nil, nil, none, err
	}
	if contact.State != ContactConnected || secret.Ours == nil {
		return nil, nil, none, nil
	}
	held, err := c.cfg.KeyPackages.Holdings(ctx, keymaterial.HashToken(secret.Ours.Token))
	if err != nil {
		return nil, nil, none, err
	}
	horizon := identity.HandOutHorizon(c.cfg.Clock.Now())
	return secret, held, keymaterial.NewPlan(keymaterial.PlanConfig{
		Held: held, Slots: ownSlots, Own: ownSlot, Want: keymaterial.Stock{LastResort: c.cfg.Limits.LastResort},
		Usable: horizon, Fresh: horizon.Add(lastResortRefresh),
	}), nil
}

// count counts sets of one KeyPackage each.
func count(held []keymaterial.Holding) (s keymaterial.Stock) {
	for _, h := range held {
		if h.LastResort {
			s.LastResort++
		} else {
			s.Single++
		}
	}
	return s
}

// connectedNow gives a contact its first key material, in the transaction in which
// it becomes one.
func (c *Client) connectedNow(ctx context.Context, contact *Contact, secret *contactSecret) error {
	if contact.State != ContactConnected || secret.Ours == nil {
		return nil
	}
	_, err := c.cfg.Registrations.Registration(ctx, keymaterial.HashToken(secret.Ours.Token))
	if !errors.Is(err, keymaterial.ErrNoRegistration) {
		return err
	}
	_, err = c.stockContact(ctx, tokenOwner{contact.Account, contact.Peer})
	return ignore(err, keymaterial.ErrQuota) // the next schedule tick tries again
}

// handOut returns an establishment package: one that is used once, or else the one
// of last resort. What is taken is not replaced now: see [Client.planRefill].
func (c *Client) handOut(ctx context.Context, user mimi.URI) (*connection.StoredPackage, error) {
	take := func() (*connection.StoredPackage, error) {
		return c.cfg.Packages.HandOut(ctx, user, c.cfg.Suite.ID(), identity.HandOutHorizon(c.cfg.Clock.Now()))
	}
	stored, err := take()
	if errors.Is(err, connection.ErrNoPackage) {
		// The gateway was stopped for weeks: better now than not at all.
		if err = c.newPackage(ctx, user, true); err == nil {
			stored, err = take()
		}
	}
	if err == nil && c.cfg.Faults.uploadsAtOnce() {
		err = c.stockPackages(ctx, user)
	}
	return stored, err
}
