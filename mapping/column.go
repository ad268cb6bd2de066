package mapping

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// uriColumn scans the text of a URI.
type uriColumn struct{ uri *mimi.URI }

var _ sql.Scanner = uriColumn{}

// Scan implements [sql.Scanner].
func (c uriColumn) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("mapping: %T where a URI was stored", value)
	}
	return c.uri.UnmarshalText([]byte(text))
}

// timeColumn scans milliseconds since 1970, and NULL as the zero time. The zero
// time in a column that is NOT NULL is a number like any other.
type timeColumn struct{ time *time.Time }

var _ sql.Scanner = timeColumn{}

// Scan implements [sql.Scanner].
func (c timeColumn) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.time = time.Time{}
	case int64:
		*c.time = time.UnixMilli(v).UTC()
	default:
		return fmt.Errorf("mapping: %T where a time was stored", value)
	}
	return nil
}

// optionalTime is the value of a column that is NULL for the zero time.
func optionalTime(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMilli(), Valid: !t.IsZero()}
}

// hashColumn scans 32 octets.
type hashColumn struct{ hash *[32]byte }

var _ sql.Scanner = hashColumn{}

// Scan implements [sql.Scanner].
func (c hashColumn) Scan(value any) error {
	b, ok := value.([]byte)
	if !ok || len(b) != len(c.hash) {
		return errors.New("mapping: malformed hash")
	}
	*c.hash = [32]byte(b)
	return nil
}

// unsigned64 scans what signed has written.
type unsigned64 struct{ n *uint64 }

var _ sql.Scanner = unsigned64{}

// Scan implements [sql.Scanner].
func (c unsigned64) Scan(value any) error {
	v, ok := value.(int64)
	if !ok {
		return fmt.Errorf("mapping: %T where a number was stored", value)
	}
	*c.n = uint64(v)
	return nil
}

// signed keeps all 64 bits of a number that is only tested for equality, such
// as an epoch that a peer has named: SQL has no unsigned integers.
func signed(n uint64) int64 { return int64(n) }

// bound is a sequence number in a comparison: what no row can reach means all.
func bound(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }

// list reads all rows of a query. what completes the sentence "failed to".
func list[T any](what string, scan func(row dbutil.Scannable) (T, error), rows dbutil.Rows, err error) ([]T, error) {
	all, err := dbutil.ConvertRowFn[T](scan).NewRowIter(rows, err).AsList()
	if err != nil {
		return nil, fmt.Errorf("mapping: failed to %s: %w", what, err)
	}
	return all, nil
}

// scanURI reads rows of one URI.
func scanURI(row dbutil.Scannable) (uri mimi.URI, err error) {
	err = row.Scan(uriColumn{&uri})
	return uri, err
}
