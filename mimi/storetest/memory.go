package storetest

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A database is what stores in memory share, so that one transaction can span
// them: the writers' turn, the faults, and the lock of what is committed.
type database struct {
	faults *Faults
	writer chan struct{} // holds a token while no transaction is under way
	mu     sync.RWMutex  // held for the moment in which a commit becomes visible
}

func newDatabase(faults *Faults) *database {
	db := &database{faults: faults, writer: make(chan struct{}, 1)}
	db.writer <- struct{}{}
	return db
}

// A memory keeps a state of tables. Transactions, one at a time, work on a copy
// that replaces the committed state at their end; reads outside of them see the
// committed one, which never changes.
type memory[S any] struct {
	db     *database
	faults *Faults
	state  *S // committed; the pointer is guarded by db.mu
	// disown makes the tables of a copied state be copied before their first
	// change.
	disown func(*S)
}

// newMemory returns a memory with a database of its own.
func newMemory[S any](faults *Faults, disown func(*S)) *memory[S] {
	return newMemoryIn(newDatabase(faults), disown)
}

func newMemoryIn[S any](db *database, disown func(*S)) *memory[S] {
	return &memory[S]{db: db, faults: db.faults, state: new(S), disown: disown}
}

// A part is a memory that takes part in a transaction.
type part interface {
	// copy returns a state that shares its tables with the given one until it
	// changes them.
	copy(state any) any
	// commit makes a state the committed one. The caller holds the lock.
	commit(state any)
}

func (m *memory[S]) copy(state any) any {
	c := *own[S](state)
	m.disown(&c)
	return &c
}

func (m *memory[S]) commit(state any) { m.state = own[S](state) }

// own returns what only a memory of that kind has put in.
func own[S any](state any) *S {
	s, ok := state.(*S)
	if !ok {
		panic("storetest: internal error: state of another store")
	}
	return s
}

// A transaction is carried by a context. It has the state of each store that
// has taken part so far.
type transaction struct {
	mu     sync.Mutex
	states map[part]any
}

type transactionKey struct{ db *database }

func (db *database) transaction(ctx context.Context) *transaction {
	tx, _ := ctx.Value(transactionKey{db}).(*transaction)
	return tx
}

// atomically is the Atomically of a store. A nested transaction that fails is
// undone, and the outer one may go on.
func (db *database) atomically(ctx context.Context, f func(ctx context.Context) error) error {
	if tx := db.transaction(ctx); tx != nil {
		return tx.nested(ctx, f)
	}
	if err := db.faults.reading(); err != nil {
		return err
	}
	select {
	case <-db.writer:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { db.writer <- struct{}{} }()
	tx := &transaction{states: map[part]any{}}
	if err := f(context.WithValue(ctx, transactionKey{db}, tx)); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := db.faults.committing(); err != nil {
		return err
	}
	db.mu.Lock()
	for p, state := range tx.states {
		p.commit(state)
	}
	db.mu.Unlock()
	return db.faults.committed()
}

func (tx *transaction) nested(ctx context.Context, f func(ctx context.Context) error) error {
	tx.mu.Lock()
	before := tx.states
	tx.states = make(map[part]any, len(before))
	for p, state := range before {
		tx.states[p] = p.copy(state)
	}
	tx.mu.Unlock()
	kept := false
	defer func() {
		if !kept {
			tx.mu.Lock()
			tx.states = before
			tx.mu.Unlock()
		}
	}()
	err := f(ctx)
	kept = err == nil
	return err
}

func (m *memory[S]) atomically(ctx context.Context, f func(ctx context.Context) error) error {
	return m.db.atomically(ctx, f)
}

// in returns the state of m in a transaction whose lock the caller holds.
func (m *memory[S]) in(tx *transaction) *S {
	state, ok := tx.states[m]
	if !ok {
		state = m.copy(m.committed())
		tx.states[m] = state
	}
	return own[S](state)
}

func (m *memory[S]) committed() *S {
	m.db.mu.RLock()
	defer m.db.mu.RUnlock()
	return m.state
}

// write runs f, which changes the state or fails and then changes nothing.
func (m *memory[S]) write(ctx context.Context, f func(s *S) error) error {
	return m.atomically(ctx, func(ctx context.Context) error {
		if err := m.faults.writing(); err != nil {
			return err
		}
		tx := m.db.transaction(ctx)
		tx.mu.Lock()
		defer tx.mu.Unlock()
		return f(m.in(tx))
	})
}

// read runs f, which must not change the state.
func (m *memory[S]) read(ctx context.Context, f func(s *S) error) error {
	if err := cmp.Or(m.faults.reading(), ctx.Err()); err != nil {
		return err
	}
	if tx := m.db.transaction(ctx); tx != nil {
		tx.mu.Lock()
		defer tx.mu.Unlock()
		return f(m.in(tx))
	}
	return f(m.committed())
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
