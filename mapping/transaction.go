package mapping

import (
	"context"
	"errors"
	"fmt"

	"go.mau.fi/util/dbutil"
)

// transaction returns the one that ctx carries, whoever has begun it.
func (t *tables) transaction(ctx context.Context) (dbutil.Transaction, bool) {
	tx, ok := t.db.Execable(ctx).(dbutil.Transaction)
	return tx, ok
}

// lock waits until no other write of this process is under way.
func (t *tables) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case <-t.writer:
		return func() { t.writer <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("mapping: wait for another write: %w", ctx.Err())
	}
}

// atomically runs f in a transaction, or in a part of the one that ctx carries.
// All that f has written is undone unless it returns nil.
func (t *tables) atomically(ctx context.Context, f func(ctx context.Context) error) error {
	if tx, ok := t.transaction(ctx); ok {
		return t.nested(ctx, tx, f)
	}
	unlock, err := t.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	err = t.db.DoTxn(ctx, nil, func(ctx context.Context) error {
		// dbutil does not end the transaction of a function that panics. Left
		// open, it would keep all others from writing until the process ends.
		returned := false
		defer func() {
			if tx, ok := t.transaction(ctx); ok && !returned {
				_ = tx.Rollback()
			}
		}()
		err := f(ctx)
		returned = true
		return err
	})
	if errors.Is(err, dbutil.ErrTxn) {
		return fmt.Errorf("mapping: %w", err)
	}
	return err
}

// nested runs f so that its failure undoes what it did, and only that: whoever
// has begun the transaction may go on, and commit the rest.
func (t *tables) nested(ctx context.Context, tx dbutil.Transaction, f func(ctx context.Context) error) (err error) {
	if _, err := tx.ExecContext(ctx, `SAVEPOINT mimi`); err != nil {
		return fmt.Errorf("mapping: begin nested transaction: %w", err)
	}
	kept := false
	defer func() {
		if !kept {
			err = errors.Join(err, undo(context.WithoutCancel(ctx), tx))
		}
	}()
	if err := f(ctx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `RELEASE SAVEPOINT mimi`); err != nil {
		return fmt.Errorf("mapping: end nested transaction: %w", err)
	}
	kept = true
	return nil
}

// undo returns to the innermost savepoint. If that fails, the outer transaction
// must not commit half of the nested one; it cannot, once it is rolled back.
func undo(ctx context.Context, tx dbutil.Transaction) error {
	for _, statement := range []string{`ROLLBACK TO SAVEPOINT mimi`, `RELEASE SAVEPOINT mimi`} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			_ = tx.Rollback()
			return fmt.Errorf("mapping: undo nested transaction: %w", err)
		}
	}
	return nil
}

// exec runs one statement that writes. what completes the sentence "failed to".
func (t *tables) exec(ctx context.Context, what, query string, args ...any) error {
	_, err := t.execCount(ctx, what, query, args...)
	return err
}

// execCount is exec that tells how many rows the statement has met.
func (t *tables) execCount(ctx context.Context, what, query string, args ...any) (int64, error) {
	if _, ok := t.transaction(ctx); !ok {
		unlock, err := t.lock(ctx)
		if err != nil {
			return 0, err
		}
		defer unlock()
	}
	res, err := t.db.Exec(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("mapping: failed to %s: %w", what, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return 0, fmt.Errorf("mapping: failed to %s: %w", what, err)
	}
	return n, nil
}

// A sequence gives numbers to rows.
type sequence string

const (
	seqDelivery    sequence = "delivery"
	seqOutgoing    sequence = "outgoing"
	seqIncoming    sequence = "incoming"
	seqEvent       sequence = "event"
	seqTransaction sequence = "intake_transaction"
	seqEntry       sequence = "intake_entry"
)

// take returns the first of n new numbers, counted from 1. It must be called in
// the transaction that uses them.
func (t *tables) take(ctx context.Context, name sequence, n int) (first int64, err error) {
	var last int64
	err = t.db.QueryRow(ctx, `
		INSERT INTO mimi_sequence (name, last) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET last = mimi_sequence.last + excluded.last
		RETURNING last`, string(name), n).Scan(&last)
	if err != nil {
		return 0, fmt.Errorf("mapping: failed to take a sequence number: %w", err)
	}
	return last - int64(n) + 1, nil
}
