package bridge

import (
	"context"
	"slices"
	"sync"
)

// A MemoryIntake is an [IntakeStore] that ends with its process. It makes no
// promise over a crash: it is for tests, where two intakes on the same
// MemoryIntake are two processes on the same database.
type MemoryIntake struct {
	mu      sync.Mutex
	last    int64
	seen    map[string]struct{}
	seqs    []int64
	entries map[int64][]byte
}

// NewMemoryIntake returns an empty store.
func NewMemoryIntake() *MemoryIntake {
	return &MemoryIntake{seen: map[string]struct{}{}, entries: map[int64][]byte{}}
}

// PutTransaction implements [IntakeStore].
func (m *MemoryIntake) PutTransaction(_ context.Context, txnID string, entries [][]byte) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.seen[txnID]; ok {
		return false, nil
	}
	m.seen[txnID] = struct{}{}
	for _, entry := range entries {
		m.last++
		m.seqs = append(m.seqs, m.last)
		m.entries[m.last] = slices.Clone(entry)
	}
	return true, nil
}

// PendingEntries implements [IntakeStore].
func (m *MemoryIntake) PendingEntries(_ context.Context, after int64, limit int) (seqs []int64, entries [][]byte, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, _ := slices.BinarySearch(m.seqs, after+1)
	for _, seq := range m.seqs[from:min(from+limit, len(m.seqs))] {
		seqs = append(seqs, seq)
		entries = append(entries, slices.Clone(m.entries[seq]))
	}
	return seqs, entries, nil
}

// DeleteEntry implements [IntakeStore].
func (m *MemoryIntake) DeleteEntry(_ context.Context, seq int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := slices.BinarySearch(m.seqs, seq); ok {
		m.seqs = slices.Delete(m.seqs, at, at+1)
		delete(m.entries, seq)
	}
	return nil
}

// Len returns the number of entries that have not been handled.
func (m *MemoryIntake) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.seqs)
}
