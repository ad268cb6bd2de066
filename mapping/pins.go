package mapping

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
)

// People keeps what the packages identity, connection and keymaterial must know
// after a restart.
type People struct{ t *tables }

var (
	_ identity.PinStore      = (*People)(nil)
	_ connection.Packages    = (*People)(nil)
	_ connection.Replays     = (*People)(nil)
	_ keymaterial.Store      = (*People)(nil)
	_ keymaterial.Privates   = (*People)(nil)
	_ keymaterial.Nonces     = (*People)(nil)
	_ keymaterial.Pseudonyms = (*People)(nil)
)

// Atomically runs f in a transaction, like [Client.Atomically].
func (p *People) Atomically(ctx context.Context, f func(ctx context.Context) error) error {
	return p.t.atomically(ctx, f)
}

const pinColumns = `domain, version, pem, pinned, candidate, seen`

// Pin implements [identity.PinStore].
func (p *People) Pin(ctx context.Context, domain string) (identity.Pin, error) {
	pin, err := scanPin(p.t.db.QueryRow(ctx, `SELECT `+pinColumns+` FROM mimi_pin WHERE domain = $1`, domain))
	if errors.Is(err, sql.ErrNoRows) {
		return identity.Pin{}, identity.ErrNoPin
	} else if err != nil {
		return identity.Pin{}, fmt.Errorf("mapping: failed to read pin: %w", err)
	}
	return pin, nil
}

// PutPin implements [identity.PinStore].
func (p *People) PutPin(ctx context.Context, pin identity.Pin) error {
	candidate := pin.Candidate
	if len(candidate) == 0 {
		candidate = nil
	}
	query := `
		UPDATE mimi_pin SET version = $2, pem = $3, pinned = $4, candidate = $5, seen = $6
		WHERE domain = $1 AND version = $2 - 1`
	if pin.Version == 1 {
		query = `
			INSERT INTO mimi_pin (` + pinColumns + `) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (domain) DO NOTHING`
	}
	n, err := p.t.execCount(ctx, "write pin", query,
		pin.Domain, signed(pin.Version), pin.PEM, pin.Pinned.UnixMilli(), candidate, optionalTime(pin.Seen))
	if err == nil && n == 0 {
		err = identity.ErrPinConflict
	}
	return err
}

// Changed implements [identity.PinStore].
func (p *People) Changed(ctx context.Context) ([]identity.Pin, error) {
	rows, err := p.t.db.Query(ctx,
		`SELECT `+pinColumns+` FROM mimi_pin WHERE candidate IS NOT NULL ORDER BY domain`)
	return list("read changed pins", scanPin, rows, err)
}

func scanPin(row dbutil.Scannable) (pin identity.Pin, err error) {
	err = row.Scan(&pin.Domain, unsigned64{&pin.Version}, &pin.PEM, timeColumn{&pin.Pinned},
		&pin.Candidate, timeColumn{&pin.Seen})
	return pin, err
}
