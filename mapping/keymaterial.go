package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

const materialColumns = `token, set_uri, slot, suite, key_package, last_resort, not_after`

// completeSets are the sets of one kind that a query can be given: those whose
// rows that have not expired are one for each slot. A set ends with its first row.
// The slots are the arguments from $5 on.
func completeSets(slots []uint32) string {
	places := make([]string, len(slots))
	for i := range places {
		places[i] = "$" + strconv.Itoa(i+5)
	}
	n := strconv.Itoa(len(slots))
	return `
		SELECT set_uri, MIN(not_after) AS ends, MAX(reused) AS times FROM mimi_key_package
		WHERE token = $1 AND suite = $2 AND last_resort = $3 AND not_after >= $4
		GROUP BY set_uri
		HAVING COUNT(*) = ` + n + ` AND SUM(CASE WHEN slot IN (` + strings.Join(places, ", ") + `) THEN 1 ELSE 0 END) = ` + n
}

// setArguments are those of [completeSets].
func setArguments(q keymaterial.Query, s mls.CipherSuite, lastResort bool) []any {
	args := []any{q.Token[:], s, lastResort, q.Now.UnixMilli()}
	for _, slot := range q.Slots {
		args = append(args, slot)
	}
	return args
}

// PutKeyPackages implements [keymaterial.Store].
func (p *People) PutKeyPackages(ctx context.Context, rows []keymaterial.Row) error {
	return p.t.atomically(ctx, func(ctx context.Context) error {
		for i := range rows {
			if err := p.putKeyPackage(ctx, &rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *People) putKeyPackage(ctx context.Context, row *keymaterial.Row) error {
	var mixed bool
	err := p.t.db.QueryRow(ctx, `
		SELECT EXISTS (SELECT 1 FROM mimi_key_package
			WHERE token = $1 AND set_uri = $2 AND (suite <> $3 OR last_resort <> $4))`,
		row.Token[:], row.Set.String(), row.Suite, row.LastResort).Scan(&mixed)
	if err != nil {
		return fmt.Errorf("mapping: failed to read set of KeyPackages: %w", err)
	}
	if mixed {
		return errors.New("mapping: failed to add KeyPackage: its set has another suite or kind")
	}
	return p.t.exec(ctx, "add KeyPackage", `
		INSERT INTO mimi_key_package (`+materialColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		row.Token[:], row.Set.String(), row.Slot, row.Suite, row.KeyPackage, row.LastResort, wholeSeconds(row.NotAfter))
}

// TakeSingle implements [keymaterial.Store].
func (p *People) TakeSingle(ctx context.Context, q keymaterial.Query) (*keymaterial.Set, error) {
	return p.take(ctx, q, false, ` ORDER BY ends, set_uri LIMIT 1`,
		`DELETE FROM mimi_key_package WHERE token = $1 AND set_uri = $2`)
}

// TakeLastResort implements [keymaterial.Store].
func (p *People) TakeLastResort(ctx context.Context, q keymaterial.Query) (*keymaterial.Set, error) {
	return p.take(ctx, q, true, ` ORDER BY times, ends DESC, set_uri DESC LIMIT 1`,
		`UPDATE mimi_key_package SET reused = reused + 1 WHERE token = $1 AND set_uri = $2`)
}

// take reads the set that comes first, and then marks it as taken.
func (p *People) take(ctx context.Context, q keymaterial.Query, lastResort bool, first, mark string) (set *keymaterial.Set, err error) {
	if len(q.Slots) == 0 {
		return nil, keymaterial.ErrExhausted
	}
	err = p.t.atomically(ctx, func(ctx context.Context) error {
		for _, s := range q.Suites {
			var uri string
			var ends int64
			var reused uint64
			err := p.t.db.QueryRow(ctx, completeSets(q.Slots)+first, setArguments(q, s, lastResort)...).
				Scan(&uri, &ends, unsigned64{&reused})
			if errors.Is(err, sql.ErrNoRows) {
				continue
			} else if err != nil {
				return fmt.Errorf("mapping: failed to look for KeyPackages: %w", err)
			}
			rows, err := p.t.db.Query(ctx, `
				SELECT `+materialColumns+`, reused FROM mimi_key_package
				WHERE token = $1 AND set_uri = $2 AND not_after >= $3 ORDER BY slot`, q.Token[:], uri, q.Now.UnixMilli())
			taken, err := list("read KeyPackages", scanMaterial, rows, err)
			if err != nil {
				return err
			}
			set = &keymaterial.Set{Reused: reused}
			for _, h := range taken {
				set.Rows = append(set.Rows, h.Row)
			}
			return p.t.exec(ctx, "take KeyPackages", mark, q.Token[:], uri)
		}
		return keymaterial.ErrExhausted
	})
	if err != nil {
		return nil, err
	}
	return set, nil
}

// Holdings implements [keymaterial.Store].
func (p *People) Holdings(ctx context.Context, token keymaterial.TokenHash) ([]keymaterial.Holding, error) {
	rows, err := p.t.db.Query(ctx, `
		SELECT `+materialColumns+`, reused FROM mimi_key_package
		WHERE token = $1 ORDER BY set_uri, slot`, token[:])
	return list("read KeyPackages", scanMaterial, rows, err)
}

// DropSets implements [keymaterial.Store].
func (p *People) DropSets(ctx context.Context, token keymaterial.TokenHash, sets []mimi.URI) error {
	return p.t.atomically(ctx, func(ctx context.Context) error {
		for _, set := range sets {
			if err := p.t.exec(ctx, "drop set of KeyPackages",
				`DELETE FROM mimi_key_package WHERE token = $1 AND set_uri = $2`, token[:], set.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Registration implements [keymaterial.Registrations].
func (p *People) Registration(ctx context.Context, token keymaterial.TokenHash) (*keymaterial.Registration, error) {
	var encoded []byte
	err := p.t.db.QueryRow(ctx, `SELECT registration FROM mimi_key_token WHERE token = $1`, token[:]).Scan(&encoded)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, keymaterial.ErrNoRegistration
	}
	r := &keymaterial.Registration{}
	if err == nil {
		err = mls.Unmarshal(encoded, r)
	}
	if err != nil {
		return nil, fmt.Errorf("mapping: failed to read registration of token: %w", err)
	}
	return r, nil
}

// PutRegistration implements [keymaterial.Registrations].
func (p *People) PutRegistration(ctx context.Context, token keymaterial.TokenHash, r *keymaterial.Registration) error {
	encoded, err := mls.Marshal(r)
	if err != nil {
		return err
	}
	return p.t.exec(ctx, "write registration of token", `
		INSERT INTO mimi_key_token (token, registration) VALUES ($1, $2)
		ON CONFLICT (token) DO UPDATE SET registration = excluded.registration`, token[:], encoded)
}

// DeleteToken implements [keymaterial.Store].
func (p *People) DeleteToken(ctx context.Context, token keymaterial.TokenHash) error {
	return p.t.atomically(ctx, func(ctx context.Context) error {
		if err := p.t.exec(ctx, "delete KeyPackages of contact",
			`DELETE FROM mimi_key_package WHERE token = $1`, token[:]); err != nil {
			return err
		}
		return p.t.exec(ctx, "delete registration of contact", `DELETE FROM mimi_key_token WHERE token = $1`, token[:])
	})
}

// ForgetKeyPackages implements [keymaterial.Store].
func (p *People) ForgetKeyPackages(ctx context.Context, before time.Time) error {
	return p.t.exec(ctx, "forget KeyPackages",
		`DELETE FROM mimi_key_package WHERE not_after < $1`, before.UnixMilli())
}

func scanMaterial(row dbutil.Scannable) (h keymaterial.Holding, err error) {
	var token [32]byte
	err = row.Scan(hashColumn{&token}, uriColumn{&h.Set}, &h.Slot, &h.Suite, &h.KeyPackage, &h.LastResort, timeColumn{&h.NotAfter},
		unsigned64{&h.HandedOut})
	h.Token = token
	return h, err
}

// PutPrivate implements [keymaterial.Privates].
func (p *People) PutPrivate(ctx context.Context, private *keymaterial.Private) error {
	sealed, err := p.t.keys.seal(private.Secret, "mimi_key_private", string(private.Ref[:]))
	if err != nil {
		return err
	}
	return p.t.exec(ctx, "write private part of KeyPackage", `
		INSERT INTO mimi_key_private (ref, not_after, secret) VALUES ($1, $2, $3)
		ON CONFLICT (ref) DO UPDATE SET not_after = excluded.not_after, secret = excluded.secret`,
		private.Ref[:], wholeSeconds(private.NotAfter), sealed)
}

// Private implements [keymaterial.Privates].
func (p *People) Private(ctx context.Context, ref [32]byte) (*keymaterial.Private, error) {
	private := &keymaterial.Private{Ref: ref}
	var sealed []byte
	err := p.t.db.QueryRow(ctx, `SELECT not_after, secret FROM mimi_key_private WHERE ref = $1`, ref[:]).
		Scan(timeColumn{&private.NotAfter}, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, keymaterial.ErrNoPrivate
	} else if err != nil {
		return nil, fmt.Errorf("mapping: failed to read private part of KeyPackage: %w", err)
	}
	private.Secret, err = p.t.keys.open(sealed, "mimi_key_private", string(ref[:]))
	return private, err
}

// DeletePrivate implements [keymaterial.Privates].
func (p *People) DeletePrivate(ctx context.Context, ref [32]byte) error {
	return p.t.exec(ctx, "delete private part of KeyPackage", `DELETE FROM mimi_key_private WHERE ref = $1`, ref[:])
}

// ForgetPrivates implements [keymaterial.Privates].
func (p *People) ForgetPrivates(ctx context.Context, before time.Time) error {
	return p.t.exec(ctx, "forget private parts of KeyPackages",
		`DELETE FROM mimi_key_private WHERE not_after < $1`, before.UnixMilli())
}
