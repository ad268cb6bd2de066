package cache_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/internal/cache"
)

func TestOneAtATime(t *testing.T) {
	c := cache.New[string, int](2)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			_ = c.With("a", func(s *cache.Slot[int]) error {
				if s.Value == nil {
					s.Value = new(int)
				}
				*s.Value++
				return nil
			})
		})
	}
	wg.Wait()
	_ = c.With("a", func(s *cache.Slot[int]) error {
		if *s.Value != 100 {
			t.Errorf("counted %d of 100", *s.Value)
		}
		return nil
	})
}

func TestFailureDropsTheValue(t *testing.T) {
	c := cache.New[string, int](2)
	failed := errors.New("failed")
	if err := c.With("a", func(s *cache.Slot[int]) error { s.Value = new(int); return failed }); !errors.Is(err, failed) {
		t.Errorf("With = %v", err)
	}
	_ = c.With("a", func(s *cache.Slot[int]) error {
		if s.Value != nil {
			t.Error("a half-changed value was kept")
		}
		return nil
	})
}

func TestEvictsTheLeastRecentlyUsed(t *testing.T) {
	c := cache.New[string, int](2)
	load := func(key string) (loaded bool) {
		_ = c.With(key, func(s *cache.Slot[int]) error {
			loaded = s.Value == nil
			s.Value = new(int)
			return nil
		})
		return loaded
	}
	for i, step := range []struct {
		key  string
		load bool
	}{{"a", true}, {"b", true}, {"a", false}, {"c", true}, {"a", false}, {"b", true}} {
		if got := load(step.key); got != step.load {
			t.Errorf("step %d: %s loaded = %v", i, step.key, got)
		}
	}
}

func TestHeldValuesAreNotEvicted(t *testing.T) {
	c := cache.New[string, int](1)
	_ = c.With("a", func(a *cache.Slot[int]) error {
		a.Value = new(int)
		return c.With("b", func(*cache.Slot[int]) error { return nil })
	})
	_ = c.With("a", func(a *cache.Slot[int]) error {
		if a.Value == nil {
			t.Error("a was evicted while in use")
		}
		return nil
	})
}
