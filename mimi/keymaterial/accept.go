package keymaterial

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// MaxStored is the most KeyPackages that are stored under one token.
const MaxStored = 1024

// A Redeemer takes the tokens that an upload is paid with.
type Redeemer interface {
	// Redeem spends tokens, all or none. It fails with [ErrUploadToken] or
	// [ErrTokenSpent]. It takes part in the transaction of ctx.
	Redeem(ctx context.Context, tokens []UploadToken) error
}

// Upload stores the KeyPackages of an upload, and drops what it drops, all or
// nothing. In a gateway, whose client is in the same process, it is a call; nothing
// that it is given says whose it is. It fails with [ErrUpload],
// [ErrUploadSignature], [ErrUploadKey], [ErrUploadOrder], [ErrUploadToken],
// [ErrTokenSpent] or [ErrUploadLimit].
func (p *Provider) Upload(ctx context.Context, u *KeyMaterialUpload) error {
	if err := u.Verify(); err != nil {
		return err
	}
	rows, err := p.rows(u)
	if err != nil {
		return err
	}
	return p.cfg.Atomically(ctx, func(ctx context.Context) error {
		if err := p.admit(ctx, u); err != nil {
			return err
		}
		if len(u.Slots) == 0 {
			return p.cfg.Store.DeleteToken(ctx, u.Token)
		}
		if err := p.cfg.Tokens.Redeem(ctx, u.Tokens); err != nil {
			return err
		}
		if err := p.cfg.Registrations.PutRegistration(ctx, u.Token, &Registration{u.Suite, u.UploadKey, u.Sequence, u.Slots}); err != nil {
			return err
		}
		if err := p.dropFor(ctx, u); err != nil {
			return err
		}
		return p.cfg.Store.PutKeyPackages(ctx, rows)
	})
}

// admit checks that an upload is by the key that may change what is stored under
// its token, and that it is a new one.
func (p *Provider) admit(ctx context.Context, u *KeyMaterialUpload) error {
	r, err := p.cfg.Registrations.Registration(ctx, u.Token)
	switch {
	case errors.Is(err, ErrNoRegistration):
		return nil
	case err != nil:
		return err
	case r.Suite != u.Suite || subtle.ConstantTimeCompare(r.UploadKey, u.UploadKey) != 1:
		return ErrUploadKey
	case u.Sequence <= r.Sequence:
		return ErrUploadOrder
	default:
		return nil
	}
}

// dropFor drops the sets that the upload names, and those with KeyPackages of
// clients that the user has no more. It fails with [ErrUploadLimit] if what is left
// is too much, with the new KeyPackages.
func (p *Provider) dropFor(ctx context.Context, u *KeyMaterialUpload) error {
	held, err := p.cfg.Store.Holdings(ctx, u.Token)
	if err != nil {
		return err
	}
	dropped := map[mimi.URI]bool{}
	for _, set := range u.Drop {
		dropped[set] = true
	}
	for _, h := range held {
		dropped[h.Set] = dropped[h.Set] || !slices.Contains(u.Slots, h.Slot)
	}
	var drop []mimi.URI
	left := len(u.KeyPackages)
	for i, h := range held {
		switch {
		case !dropped[h.Set]:
			left++
		case i == 0 || held[i-1].Set != h.Set:
			drop = append(drop, h.Set)
		}
	}
	if left > MaxStored {
		return ErrUploadLimit
	}
	return p.cfg.Store.DropSets(ctx, u.Token, drop)
}

// rows checks all KeyPackages of an upload, and makes rows of them.
func (p *Provider) rows(u *KeyMaterialUpload) ([]Row, error) {
	seen, kinds := distinct{}, map[mimi.URI]Row{}
	var rows []Row
	for i := range u.KeyPackages {
		k := &u.KeyPackages[i]
		row, err := p.row(u, k, seen)
		if err != nil {
			return nil, fmt.Errorf("%w: KeyPackage %d: %w", ErrUpload, i, err)
		}
		if first, ok := kinds[k.Set]; ok && (first.LastResort != row.LastResort || first.Suite != row.Suite) {
			return nil, fmt.Errorf("%w: a set of several kinds or suites", ErrUpload)
		}
		kinds[k.Set] = *row
		rows = append(rows, *row)
	}
	return rows, nil
}

// row checks one KeyPackage: form and signatures are all that a provider can
// check, for it cannot open the credential.
func (p *Provider) row(u *KeyMaterialUpload, k *UploadedKeyPackage, seen distinct) (*Row, error) {
	kp := &k.KeyPackage
	if kp.Version != mls.MLS10 || kp.LeafNode.Source != mls.LeafNodeSourceKeyPackage {
		return nil, ErrKeyPackage
	}
	if k.Set.Domain != p.cfg.Domain || !slices.Contains(u.Slots, k.Slot) {
		return nil, fmt.Errorf("%w: of another provider or client", ErrSet)
	}
	s, err := suite.Lookup(kp.CipherSuite)
	if err != nil {
		return nil, err
	}
	if err := kp.VerifySignatures(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyPackage, err)
	}
	cred, err := mmr.ParseLeaf(s, &kp.LeafNode)
	if err != nil {
		return nil, err
	}
	if cred.UserPseudonym != k.Set {
		return nil, fmt.Errorf("%w: of another user pseudonym", ErrSet)
	}
	if err := seen.add(cred.ClientPseudonym.String(), string(kp.InitKey), string(kp.LeafNode.EncryptionKey), string(kp.LeafNode.SignatureKey)); err != nil {
		return nil, err
	}
	check := p.cfg.CheckLifetime
	if check == nil {
		check = func(kp *mls.KeyPackage) (time.Time, error) { return checkLifetime(kp, p.cfg.Clock.Now()) }
	}
	notAfter, err := check(kp)
	if err != nil {
		return nil, err
	}
	encoded, err := wire.Marshal(kp)
	if err != nil {
		return nil, err
	}
	return &Row{
		Token: u.Token, Set: k.Set, Slot: k.Slot, Suite: kp.CipherSuite, KeyPackage: encoded, LastResort: kp.LastResort(), NotAfter: notAfter,
	}, nil
}

// checkLifetime checks that a KeyPackage has the lifetime of everyone's
// KeyPackages that are made at this time, give or take a day.
func checkLifetime(kp *mls.KeyPackage, now time.Time) (notAfter time.Time, err error) {
	for _, days := range []int{0, -1, 1} {
		notBefore, notAfter := identity.KeyPackageLifetime(now.AddDate(0, 0, days))
		if kp.LeafNode.NotBefore == uint64(notBefore.Unix()) && kp.LeafNode.NotAfter == uint64(notAfter.Unix()) {
			return notAfter, nil
		}
	}
	return time.Time{}, fmt.Errorf("%w: another lifetime than that of everyone's", ErrLifetime)
}
