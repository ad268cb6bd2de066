package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A memory keeps a state of tables. Transactions, one at a time, work on a copy
// that replaces the committed state at their end; reads outside of them see the
// committed one, which never changes.
type memory[S any] struct {
	faults *Faults
	writer chan struct{} // holds a token while no transaction is under way
	state  atomic.Pointer[S]
	// disown makes the tables of a copied state be copied before their first
	// change.
	disown func(*S)
}

func newMemory[S any](faults *Faults, disown func(*S)) *memory[S] {
	m := &memory[S]{faults: faults, writer: make(chan struct{}, 1), disown: disown}
	m.writer <- struct{}{}
	m.state.Store(new(S))
	return m
}

// A transaction is carried by a context.
type transaction[S any] struct {
	mu    sync.Mutex
	state *S
}

type transactionKey struct{ store any }

func (m *memory[S]) transaction(ctx context.Context) *transaction[S] {
	tx, _ := ctx.Value(transactionKey{m}).(*transaction[S])
	return tx
}

// copy returns a state that shares its tables with s until it changes them.
func (m *memory[S]) copy(s *S) *S {
	c := *s
	m.disown(&c)
	return &c
}

// atomically is the Atomically of a store. A nested transaction that fails is
// undone, and the outer one may go on.
func (m *memory[S]) atomically(ctx context.Context, f func(ctx context.Context) error) error {
	if tx := m.transaction(ctx); tx != nil {
		return m.nested(ctx, tx, f)
	}
	if err := m.faults.reading(); err != nil {
		return err
	}
	select {
	case <-m.writer:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { m.writer <- struct{}{} }()
	tx := &transaction[S]{state: m.copy(m.state.Load())}
	if err := f(context.WithValue(ctx, transactionKey{m}, tx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := m.faults.committing(); err != nil {
		return err
	}
	m.state.Store(tx.state)
	return m.faults.committed()
}

func (m *memory[S]) nested(ctx context.Context, tx *transaction[S], f func(ctx context.Context) error) error {
	tx.mu.Lock()
	before := tx.state
	tx.state = m.copy(before)
	tx.mu.Unlock()
	kept := false
	defer func() {
		if !kept {
			tx.mu.Lock()
			tx.state = before
			tx.mu.Unlock()
		}
	}()
	err := f(ctx)
	kept = err == nil
	return err
}

// write runs f, which changes the state or fails and then changes nothing.
func (m *memory[S]) write(ctx context.Context, f func(s *S) error) error {
	return m.atomically(ctx, func(ctx context.Context) error {
		if err := m.faults.writing(); err != nil {
			return err
		}
		tx := m.transaction(ctx)
		tx.mu.Lock()
		defer tx.mu.Unlock()
		return f(tx.state)
	})
}

// read runs f, which must not change the state.
func (m *memory[S]) read(ctx context.Context, f func(s *S) error) error {
	if err := cmp.Or(m.faults.reading(), ctx.Err()); err != nil {
		return err
	}
	if tx := m.transaction(ctx); tx != nil {
		tx.mu.Lock()
		defer tx.mu.Unlock()
		return f(tx.state)
	}
	return f(m.state.Load())
}

// A table is copied before its first change in a transaction.
type table[K comparable, V any] struct {
	rows  map[K]V
	owned bool
}

func (t *table[K, V]) own() {
	if !t.owned {
		t.rows, t.owned = maps.Clone(t.rows), true
	}
	if t.rows == nil {
		t.rows = map[K]V{}
	}
}

func (t *table[K, V]) disown() { t.owned = false }

func (t *table[K, V]) put(key K, row V) {
	t.own()
	t.rows[key] = row
}

func (t *table[K, V]) get(key K) (V, bool) {
	row, ok := t.rows[key]
	return row, ok
}

// delete removes the rows for which drop is true.
func (t *table[K, V]) delete(drop func(key K, row V) bool) {
	t.own()
	maps.DeleteFunc(t.rows, drop)
}

// list returns copies of the rows for which keep is true, in order.
func (t *table[K, V]) list(keep func(V) bool, order func(a, b V) int, clone func(V) V) []*V {
	var all []*V
	for _, row := range t.rows {
		if keep(row) {
			row = clone(row)
			all = append(all, &row)
		}
	}
	slices.SortFunc(all, func(a, b *V) int { return order(*a, *b) })
	return all
}

func always[V any](V) bool { return true }

// compareURIs orders URIs by their octets.
func compareURIs(a, b mimi.URI) int { return cmp.Compare(a.String(), b.String()) }

// milliseconds is what a store keeps of a time.
func milliseconds(t time.Time) time.Time { return time.UnixMilli(t.UnixMilli()).UTC() }
