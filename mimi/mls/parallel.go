package mls

import (
	"runtime"
	"sync"
)

// fewest is how many calls are worth waking another processor, which takes about as
// long as half of an operation on a curve.
const fewest = 4

// inParallel calls f, which takes as long as an operation on a curve, for 0 to n-1,
// on all processors. It returns the error of the lowest number that failed: the same
// one as a loop would.
func inParallel(n int, f func(i int) error) error {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 || n < fewest {
		for i := range n {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	}
	var (
		mu     sync.Mutex // guards what follows
		next   int
		failed = n
		first  error
		wait   sync.WaitGroup
	)
	// Numbers are given out in order, and none after a failure. So all that are
	// lower than the one that failed are at work or done.
	take := func() (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == n || first != nil {
			return 0, false
		}
		next++
		return next - 1, true
	}
	for range workers {
		wait.Go(func() {
			for {
				i, ok := take()
				if !ok {
					return
				}
				if err := f(i); err != nil {
					mu.Lock()
					if i < failed {
						failed, first = i, err
					}
					mu.Unlock()
				}
			}
		})
	}
	wait.Wait()
	return first
}
