package mapping

import (
	"context"
	"fmt"
	"strconv"

	"go.mau.fi/util/dbutil"
)

// intakeMemory is how many transaction ids are remembered. Homeservers repeat a
// transaction until it is answered, before they send the next; the rest is for
// those that are restored from a backup.
const intakeMemory = 10_000

// An Intake keeps what the homeserver has sent until it is handled. It is the
// IntakeStore of package bridge. Entries hold messages in the clear, and are
// sealed.
type Intake struct{ t *tables }

// PutTransaction stores the entries of a transaction in their order, after all
// that were stored before, and remembers txnID. It is atomic, and durable when
// it returns. A txnID that was stored before changes nothing and returns false.
func (i *Intake) PutTransaction(ctx context.Context, txnID string, entries [][]byte) (stored bool, err error) {
	err = i.t.atomically(ctx, func(ctx context.Context) error {
		var known bool
		err := i.t.db.QueryRow(ctx,
			`SELECT EXISTS (SELECT 1 FROM mimi_intake_transaction WHERE id = $1)`, txnID).Scan(&known)
		if err != nil {
			return fmt.Errorf("mapping: failed to look for transaction: %w", err)
		}
		if stored = !known; known {
			return nil
		}
		if err := i.remember(ctx, txnID); err != nil {
			return err
		}
		return i.add(ctx, entries)
	})
	return stored && err == nil, err
}

// remember keeps the id, and forgets the one that is the farthest back.
func (i *Intake) remember(ctx context.Context, txnID string) error {
	seq, err := i.t.take(ctx, seqTransaction, 1)
	if err != nil {
		return err
	}
	if err := i.t.exec(ctx, "remember transaction",
		`INSERT INTO mimi_intake_transaction (id, seq) VALUES ($1, $2)`, txnID, seq); err != nil {
		return err
	}
	return i.t.exec(ctx, "forget transactions",
		`DELETE FROM mimi_intake_transaction WHERE seq <= $1`, seq-intakeMemory)
}

func (i *Intake) add(ctx context.Context, entries [][]byte) error {
	if len(entries) == 0 {
		return nil
	}
	first, err := i.t.take(ctx, seqEntry, len(entries))
	if err != nil {
		return err
	}
	for n, entry := range entries {
		seq := first + int64(n)
		sealed, err := i.t.keys.seal(entry, "mimi_intake_entry", strconv.FormatInt(seq, 10))
		if err != nil {
			return err
		}
		if err := i.t.exec(ctx, "store Matrix event",
			`INSERT INTO mimi_intake_entry (seq, secret) VALUES ($1, $2)`, seq, sealed); err != nil {
			return err
		}
	}
	return nil
}

// PendingEntries returns up to limit entries with sequence numbers greater than
// after, in order. Sequence numbers are positive, grow in the order of storing,
// and are not used again.
func (i *Intake) PendingEntries(ctx context.Context, after int64, limit int) (seqs []int64, entries [][]byte, err error) {
	type pending struct {
		seq   int64
		entry []byte
	}
	rows, err := i.t.db.Query(ctx,
		`SELECT seq, secret FROM mimi_intake_entry WHERE seq > $1 ORDER BY seq LIMIT $2`, after, max(limit, 0))
	all, err := list("read Matrix events", func(row dbutil.Scannable) (p pending, err error) {
		if err = row.Scan(&p.seq, &p.entry); err == nil {
			p.entry, err = i.t.keys.open(p.entry, "mimi_intake_entry", strconv.FormatInt(p.seq, 10))
		}
		return p, err
	}, rows, err)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range all {
		seqs = append(seqs, p.seq)
		entries = append(entries, p.entry)
	}
	return seqs, entries, nil
}

// DeleteEntry forgets an entry, which may be gone already.
func (i *Intake) DeleteEntry(ctx context.Context, seq int64) error {
	return i.t.exec(ctx, "delete Matrix event", `DELETE FROM mimi_intake_entry WHERE seq = $1`, seq)
}
