package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
)

// CountIssued implements [keymaterial.Allowances].
func (p *People) CountIssued(ctx context.Context, account mimi.URI, day int64, n, limit int) error {
	return p.t.atomically(ctx, func(ctx context.Context) error {
		var counted, issued int64
		err := p.t.db.QueryRow(ctx, `SELECT day, issued FROM mimi_allowance WHERE account = $1`, account.String()).
			Scan(&counted, &issued)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("mapping: failed to read allowance: %w", err)
		}
		if counted != day {
			issued = 0
		}
		if issued += int64(n); issued > int64(limit) {
			return keymaterial.ErrQuota
		}
		return p.t.exec(ctx, "count upload tokens", `
			INSERT INTO mimi_allowance (account, day, issued) VALUES ($1, $2, $3)
			ON CONFLICT (account) DO UPDATE SET day = excluded.day, issued = excluded.issued`, account.String(), day, issued)
	})
}

// PutWallet implements [keymaterial.Allowances].
func (p *People) PutWallet(ctx context.Context, account mimi.URI, secret []byte) error {
	sealed, err := p.t.keys.seal(secret, "mimi_allowance", account.String())
	if err != nil {
		return err
	}
	return p.t.exec(ctx, "write upload tokens", `
		INSERT INTO mimi_allowance (account, secret) VALUES ($1, $2)
		ON CONFLICT (account) DO UPDATE SET secret = excluded.secret`, account.String(), sealed)
}

// Wallet implements [keymaterial.Allowances].
func (p *People) Wallet(ctx context.Context, account mimi.URI) ([]byte, error) {
	var sealed []byte
	err := p.t.db.QueryRow(ctx, `SELECT secret FROM mimi_allowance WHERE account = $1`, account.String()).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) || err == nil && sealed == nil {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("mapping: failed to read upload tokens: %w", err)
	}
	return p.t.keys.open(sealed, "mimi_allowance", account.String())
}

// DeleteAllowance implements [keymaterial.Allowances].
func (p *People) DeleteAllowance(ctx context.Context, account mimi.URI) error {
	return p.t.exec(ctx, "delete allowance", `DELETE FROM mimi_allowance WHERE account = $1`, account.String())
}
