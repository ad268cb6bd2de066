package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

const packageColumns = `ref, user_uri, suite, last_resort, not_after, package, secret, used`

// wholeSeconds is the column of a time that is kept to the second.
func wholeSeconds(t time.Time) int64 { return t.Unix() * 1000 }

// PutPackage implements [connection.Packages].
func (p *People) PutPackage(ctx context.Context, pkg *connection.StoredPackage) error {
	sealed, err := p.t.keys.seal(pkg.Secret, "mimi_package", string(pkg.Ref[:]))
	if err != nil {
		return err
	}
	return p.t.exec(ctx, "add establishment package", `
		INSERT INTO mimi_package (`+packageColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		pkg.Ref[:], pkg.User.String(), pkg.Suite, pkg.LastResort, wholeSeconds(pkg.NotAfter),
		pkg.Package, sealed, pkg.Used)
}

// HandOut implements [connection.Packages].
func (p *People) HandOut(ctx context.Context, user mimi.URI, s mls.CipherSuite, now time.Time) (pkg *connection.StoredPackage, err error) {
	err = p.t.atomically(ctx, func(ctx context.Context) error {
		pkg, err = p.scanPackage(p.t.db.QueryRow(ctx, `
			UPDATE mimi_package SET handed_out = true WHERE ref = (
				SELECT ref FROM mimi_package
				WHERE user_uri = $1 AND suite = $2 AND last_resort = $3 AND not_after >= $4
					AND NOT used AND NOT handed_out
				ORDER BY not_after, ref LIMIT 1
			) RETURNING `+packageColumns, user.String(), s, false, now.UnixMilli()))
		if errors.Is(err, sql.ErrNoRows) {
			pkg, err = p.scanPackage(p.t.db.QueryRow(ctx, `
				SELECT `+packageColumns+` FROM mimi_package
				WHERE user_uri = $1 AND suite = $2 AND last_resort = $3 AND not_after >= $4
				ORDER BY not_after DESC, ref DESC LIMIT 1`, user.String(), s, true, now.UnixMilli()))
		}
		return err
	})
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, connection.ErrNoPackage
	case err != nil:
		return nil, fmt.Errorf("mapping: failed to hand out establishment package: %w", err)
	default:
		return pkg, nil
	}
}

// Package implements [connection.Packages].
func (p *People) Package(ctx context.Context, ref connection.Ref) (*connection.StoredPackage, error) {
	pkg, err := p.scanPackage(p.t.db.QueryRow(ctx,
		`SELECT `+packageColumns+` FROM mimi_package WHERE ref = $1`, ref[:]))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, connection.ErrUnknownPackage
	} else if err != nil {
		return nil, fmt.Errorf("mapping: failed to read establishment package: %w", err)
	}
	return pkg, nil
}

// UsePackage implements [connection.Packages].
func (p *People) UsePackage(ctx context.Context, ref connection.Ref) error {
	return p.t.atomically(ctx, func(ctx context.Context) error {
		n, err := p.t.execCount(ctx, "use establishment package",
			`UPDATE mimi_package SET used = true WHERE ref = $1 AND (last_resort OR NOT used)`, ref[:])
		if err != nil || n == 1 {
			return err
		}
		if _, err := p.Package(ctx, ref); err != nil {
			return err
		}
		return connection.ErrPackageUsed
	})
}

// CountPackages implements [connection.Packages].
func (p *People) CountPackages(ctx context.Context, user mimi.URI, s mls.CipherSuite, now time.Time) (single, lastResort int, err error) {
	err = p.t.db.QueryRow(ctx, `
		SELECT COUNT(CASE WHEN NOT last_resort AND NOT used AND NOT handed_out THEN 1 END),
			COUNT(CASE WHEN last_resort THEN 1 END)
		FROM mimi_package WHERE user_uri = $1 AND suite = $2 AND not_after >= $3`,
		user.String(), s, now.UnixMilli()).Scan(&single, &lastResort)
	if err != nil {
		return 0, 0, fmt.Errorf("mapping: failed to count establishment packages: %w", err)
	}
	return single, lastResort, nil
}

// DropUnasked implements [connection.Packages].
func (p *People) DropUnasked(ctx context.Context, user mimi.URI, before time.Time) error {
	return p.t.exec(ctx, "drop establishment packages", `
		DELETE FROM mimi_package
		WHERE user_uri = $1 AND last_resort = $2 AND NOT used AND NOT handed_out AND not_after < $3`,
		user.String(), false, before.UnixMilli())
}

// DropPackages implements [connection.Packages].
func (p *People) DropPackages(ctx context.Context, user mimi.URI) error {
	return p.t.exec(ctx, "delete establishment packages", `DELETE FROM mimi_package WHERE user_uri = $1`, user.String())
}

// ForgetPackages implements [connection.Packages].
func (p *People) ForgetPackages(ctx context.Context, before time.Time) error {
	return p.t.exec(ctx, "forget establishment packages",
		`DELETE FROM mimi_package WHERE not_after < $1`, before.UnixMilli())
}

func (p *People) scanPackage(row dbutil.Scannable) (*connection.StoredPackage, error) {
	var pkg connection.StoredPackage
	var ref [32]byte
	var sealed []byte
	err := row.Scan(hashColumn{&ref}, uriColumn{&pkg.User}, &pkg.Suite, &pkg.LastResort,
		timeColumn{&pkg.NotAfter}, &pkg.Package, &sealed, &pkg.Used)
	if err != nil {
		return nil, err
	}
	pkg.Ref = ref
	pkg.Secret, err = p.t.keys.open(sealed, "mimi_package", string(ref[:]))
	return &pkg, err
}
