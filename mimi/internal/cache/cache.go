// Package cache keeps values in memory under a lock each, so that work on one of
// them waits for other work on it and for nothing else.
package cache

import (
	"sync"
)

// A Cache holds at most a number of values that nobody works on, least recently
// used ones being dropped first. The zero value is not usable.
type Cache[K comparable, V any] struct {
	mu    sync.Mutex
	limit int
	tick  uint64
	slots map[K]*Slot[V]
}

// A Slot is the place of one value. It belongs to whoever is in [Cache.With].
type Slot[V any] struct {
	// Value is nil until somebody loads it.
	Value *V

	mu   sync.Mutex
	used uint64 // guarded by the cache's lock, like held
	held int
}

// New returns a cache for limit values.
func New[K comparable, V any](limit int) *Cache[K, V] {
	return &Cache[K, V]{limit: limit, slots: map[K]*Slot[V]{}}
}

// With calls f while nobody else works on the value of key. If f fails, the value
// is dropped: it may be half changed, and the next one loads it again.
func (c *Cache[K, V]) With(key K, f func(*Slot[V]) error) error {
	s := c.hold(key)
	s.mu.Lock()
	err := f(s)
	if err != nil {
		s.Value = nil
	}
	s.mu.Unlock()
	c.release(s)
	return err
}

func (c *Cache[K, V]) hold(key K) *Slot[V] {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.slots[key]
	if !ok {
		c.evict()
		s = &Slot[V]{}
		c.slots[key] = s
	}
	c.tick++
	s.held++
	s.used = c.tick
	return s
}

func (c *Cache[K, V]) release(s *Slot[V]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.held--
}

// evict makes place for one more value, if there is one that nobody works on.
func (c *Cache[K, V]) evict() {
	if len(c.slots) < c.limit {
		return
	}
	var oldest *Slot[V]
	var name K
	for k, s := range c.slots {
		if s.held == 0 && (oldest == nil || s.used < oldest.used) {
			oldest, name = s, k
		}
	}
	if oldest != nil {
		delete(c.slots, name)
	}
}
