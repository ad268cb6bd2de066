package storetest

import (
	"errors"
	"sync"
)

var (
	// ErrInjected is the error of a fault that a test has asked for.
	ErrInjected = errors.New("storetest: injected fault")
	// ErrCrashed is the error of every call between a crash and
	// [Faults.Restart].
	ErrCrashed = errors.New("storetest: the process has crashed")
)

// Faults make a store in memory fail on purpose. The zero value makes none. All
// methods may be called concurrently.
//
// A write is one call of a method that writes. A commit is the end of the
// outermost transaction; a write outside of a transaction is followed by a
// commit of its own.
type Faults struct {
	mu              sync.Mutex
	writes, commits int
	points          int
	// The counts at which something happens; 0 is never.
	failWrite, failCommit, loseCommit, crash int
	crashed                                  bool
}

// FailWrite makes the nth write from now fail with [ErrInjected] and change
// nothing; 1 is the next one.
func (f *Faults) FailWrite(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failWrite = f.writes + n
}

// FailCommit makes the nth commit from now fail with [ErrInjected] and change
// nothing.
func (f *Faults) FailCommit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failCommit = f.commits + n
}

// LoseCommit makes the nth commit from now report [ErrInjected] although all of
// it was written: the acknowledgement was lost.
func (f *Faults) LoseCommit(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loseCommit = f.commits + n
}

// Crash makes the process crash, as far as the store can tell, at the nth point
// from now. Each write is a point; each commit is two, one before and one after
// the state is durable. From that point on every call fails with [ErrCrashed],
// until [Faults.Restart].
func (f *Faults) Crash(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.crash = f.points + n
}

// Restart ends a crash, and takes back the orders that were not yet carried
// out. It reports whether there was a crash: a loop over [Faults.Crash] with
// growing n has seen all points when there was none.
func (f *Faults) Restart() (crashed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	crashed = f.crashed
	f.failWrite, f.failCommit, f.loseCommit, f.crash, f.crashed = 0, 0, 0, 0, false
	return crashed
}

// Crashed reports whether the process has crashed and was not restarted.
func (f *Faults) Crashed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.crashed
}

// Counts returns the writes and commits that were tried so far.
func (f *Faults) Counts() (writes, commits int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes, f.commits
}

// reading is called before every read.
func (f *Faults) reading() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.crashed {
		return ErrCrashed
	}
	return nil
}

// writing is called before every write.
func (f *Faults) writing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if err := f.point(); err != nil {
		return err
	}
	if f.writes == f.failWrite {
		return ErrInjected
	}
	return nil
}

// committing is called before the state of a transaction becomes visible.
func (f *Faults) committing() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits++
	if err := f.point(); err != nil {
		return err
	}
	if f.commits == f.failCommit {
		return ErrInjected
	}
	return nil
}

// committed is called after that.
func (f *Faults) committed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.point(); err != nil {
		return err
	}
	if f.commits == f.loseCommit {
		return ErrInjected
	}
	return nil
}

// point counts a point at which a process can crash.
func (f *Faults) point() error {
	f.points++
	if f.points == f.crash {
		f.crashed = true
	}
	if f.crashed {
		return ErrCrashed
	}
	return nil
}
