package mlsbench

import (
	"context"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// figures are what one operation costs.
type figures struct {
	n       int     // how often it was done
	wall    float64 // ns
	cpu     float64 // ns, of all threads, in user and system mode
	allocs  float64
	octets  float64 // allocated
	written float64 // octets of rows; negative if there are none
}

// A meter is the clock of an operation.
type meter struct {
	label   bool // marks what is counted in CPU profiles
	counts  bool // counts allocations, which stops the world at both ends
	wall    time.Duration
	cpu     time.Duration
	allocs  uint64
	octets  uint64
	written float64

	began  time.Time
	cpuAt  time.Duration
	memory runtime.MemStats
}

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("internal error: getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

var timedLabel = pprof.WithLabels(context.Background(), pprof.Labels("timed", "yes"))

func (m *meter) StartTimer() {
	if m.counts {
		runtime.ReadMemStats(&m.memory)
	}
	if m.label {
		pprof.SetGoroutineLabels(timedLabel)
	}
	m.cpuAt, m.began = cpuTime(), time.Now()
}

func (m *meter) StopTimer() {
	m.wall += time.Since(m.began)
	m.cpu += cpuTime() - m.cpuAt
	if m.label {
		pprof.SetGoroutineLabels(context.Background())
	}
	if !m.counts {
		return
	}
	allocs, octets := m.memory.Mallocs, m.memory.TotalAlloc
	runtime.ReadMemStats(&m.memory)
	m.allocs += m.memory.Mallocs - allocs
	m.octets += m.memory.TotalAlloc - octets
}

func (m *meter) ReportMetric(n float64, unit string) {
	if unit == mlstest.Written {
		m.written = n
	}
}

// figures divides by the number of operations.
func (m *meter) figures(n int) figures {
	d := float64(n)
	return figures{n, float64(m.wall) / d, float64(m.cpu) / d, float64(m.allocs) / d, float64(m.octets) / d, m.written}
}

// The bounds of how often an operation is done in one round.
const (
	mostRuns = 10000
	// preparation is how much longer than what is counted the rest may take.
	preparation = 8
)

// runs says how often to repeat what took this long, on the clock and with its
// preparation, so that all rounds fill a budget.
func runs(budget, counted, all time.Duration) int {
	n := min(budget/max(1, counted), preparation*budget/max(1, all)) / rounds
	return int(max(1, min(n, mostRuns)))
}

// rounds is how often something is measured. The fastest round counts: anything
// else on the machine can only make the others slower. Allocations are counted in
// one more, shorter round.
const (
	rounds     = 3
	countsRuns = 32
)

// measure does an operation once for warming up, and then as often as fits into
// the budget.
func measure(ctx context.Context, o mlstest.Operation, budget time.Duration, label bool) (figures, error) {
	first, began := &meter{}, time.Now()
	if err := o.Run(ctx, first, 1); err != nil {
		return figures{}, err
	}
	all := first.wall
	if o.Prepared {
		all = time.Since(began)
	}
	n := runs(budget, first.wall, all)
	var best figures
	for round := range rounds {
		runtime.GC()
		m := &meter{label: label, written: -1}
		if err := o.Run(ctx, m, n); err != nil {
			return figures{}, err
		}
		if got := m.figures(n); round == 0 || got.wall < best.wall {
			best = got
		}
	}
	m, k := &meter{counts: true, written: -1}, min(n, countsRuns)
	if err := o.Run(ctx, m, k); err != nil {
		return figures{}, err
	}
	counted := m.figures(k)
	best.allocs, best.octets = counted.allocs, counted.octets
	return best, nil
}

// shortest is how long a round has to be for the CPU time to be exact.
const shortest = time.Millisecond

// steady measures something short that can be repeated at once, in more rounds.
func steady(budget time.Duration, f func() error) (figures, error) {
	const rounds = 8
	n := 1
	var best figures
	for round := 0; round < rounds; {
		m := &meter{}
		m.StartTimer()
		for range n {
			if err := f(); err != nil {
				return best, err
			}
		}
		m.StopTimer()
		if m.wall < max(shortest, budget/rounds) && n < 1<<24 {
			n *= 2
			continue
		}
		if got := m.figures(n); round == 0 || got.cpu < best.cpu {
			best = got
		}
		round++
	}
	return best, nil
}
