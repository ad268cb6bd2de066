package mapping

import (
	"context"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
)

// Remember implements [connection.Replays].
func (p *People) Remember(ctx context.Context, hash connection.Ref, until time.Time) (fresh bool, err error) {
	n, err := p.t.execCount(ctx, "remember connection request", `
		INSERT INTO mimi_request_seen (hash, until) VALUES ($1, $2)
		ON CONFLICT (hash) DO NOTHING`, hash[:], until.UnixMilli())
	return n == 1, err
}

// ForgetReplays implements [connection.Replays].
func (p *People) ForgetReplays(ctx context.Context, before time.Time) error {
	return p.t.exec(ctx, "forget connection requests",
		`DELETE FROM mimi_request_seen WHERE until < $1`, before.UnixMilli())
}

// RememberNonce implements [keymaterial.Nonces].
func (p *People) RememberNonce(ctx context.Context, hash [32]byte, until time.Time) (fresh bool, err error) {
	n, err := p.t.execCount(ctx, "remember nonce", `
		INSERT INTO mimi_nonce (hash, until) VALUES ($1, $2)
		ON CONFLICT (hash) DO NOTHING`, hash[:], until.UnixMilli())
	return n == 1, err
}

// ForgetNonces implements [keymaterial.Nonces].
func (p *People) ForgetNonces(ctx context.Context, before time.Time) error {
	return p.t.exec(ctx, "forget nonces", `DELETE FROM mimi_nonce WHERE until < $1`, before.UnixMilli())
}

// NotePseudonym implements [keymaterial.Pseudonyms].
func (p *People) NotePseudonym(ctx context.Context, pseudonym mimi.URI, until time.Time) (before uint64, err error) {
	var times uint64
	err = p.t.atomically(ctx, func(ctx context.Context) error {
		return p.t.db.QueryRow(ctx, `
			INSERT INTO mimi_pseudonym (pseudonym, times, until) VALUES ($1, 1, $2)
			ON CONFLICT (pseudonym) DO UPDATE SET times = mimi_pseudonym.times + 1,
				until = CASE WHEN excluded.until > mimi_pseudonym.until THEN excluded.until ELSE mimi_pseudonym.until END
			RETURNING times`, pseudonym.String(), until.UnixMilli()).Scan(unsigned64{&times})
	})
	if err != nil {
		return 0, fmt.Errorf("mapping: failed to note pseudonym: %w", err)
	}
	return times - 1, nil
}

// ForgetPseudonyms implements [keymaterial.Pseudonyms].
func (p *People) ForgetPseudonyms(ctx context.Context, before time.Time) error {
	return p.t.exec(ctx, "forget pseudonyms", `DELETE FROM mimi_pseudonym WHERE until < $1`, before.UnixMilli())
}
