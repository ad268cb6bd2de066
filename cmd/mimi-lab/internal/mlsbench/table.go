package mlsbench

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
)

// A row whose wall time is over this many times its floor is marked, if the group is
// large enough for the floor to be most of what there is to do.
const (
	markRatio = 1.25
	markSize  = 100
)

// A result is one row.
type result struct {
	Suite    uint16        `json:"suite"`
	Size     int           `json:"size"`
	Tree     mlstest.Shape `json:"tree"`
	Profile  bool          `json:"profile,omitempty"`
	Own      int           `json:"own"`
	Op       string        `json:"op"`
	Peer     string        `json:"peer,omitempty"` // of another implementation, or "ours" beside it
	Runs     int           `json:"runs,omitempty"`
	Wall     float64       `json:"wall_ns,omitempty"`
	CPU      float64       `json:"cpu_ns,omitempty"`
	Allocs   float64       `json:"allocs,omitempty"`
	Octets   float64       `json:"octets,omitempty"`
	Written  float64       `json:"octets_written,omitempty"`
	Floor    float64       `json:"floor_ns,omitempty"`
	Heap     int           `json:"heap,omitempty"`
	required floor
}

func (r *result) set(f figures, required floor, all *prices) {
	r.Runs, r.Wall, r.CPU, r.Allocs, r.Octets = f.n, f.wall, f.cpu, f.allocs, f.octets
	if f.written >= 0 {
		r.Written = f.written
	}
	if required != nil {
		r.required = required
		r.Floor = required.cost(all)
	}
}

// group names the group of a row, for files.
func (r *result) group() string {
	name := fmt.Sprintf("suite%d-%d-%s", r.Suite, r.Size, r.Tree)
	if r.Profile {
		name += "-profile"
	}
	return name
}

// marked reports whether a row is far from its floor.
func (r *result) marked() bool {
	return r.Floor > 0 && r.Size >= markSize && r.Wall > markRatio*r.Floor
}

// ns writes a time with three digits.
func ns(v float64) string {
	switch {
	case v >= 999.5e6:
		return fmt.Sprintf("%.2f s", v/1e9)
	case v >= 99.95e6:
		return fmt.Sprintf("%.0f ms", v/1e6)
	case v >= 999.5e3:
		return fmt.Sprintf("%.2f ms", v/1e6)
	default:
		return fmt.Sprintf("%.1f µs", v/1e3)
	}
}

// octets writes a number of octets.
func octets(v float64) string {
	switch {
	case v >= 1<<20:
		return fmt.Sprintf("%.2f MiB", v/(1<<20))
	case v >= 1<<10:
		return fmt.Sprintf("%.1f KiB", v/(1<<10))
	default:
		return fmt.Sprintf("%.0f B", v)
	}
}

func (b *bench) writePrices() {
	fmt.Fprintf(b.out, "\n%-12s  %10s  %14s\n", "unit", "each", "and per KiB")
	for p, c := range b.prices {
		fmt.Fprintf(b.out, "%-12v  %10s  %14s\n", primitive(p), ns(c.call), ns(c.octet*1024))
	}
}

func (b *bench) writeHead(p mlstest.LargeParams, took time.Duration) {
	leaves := ""
	if p.Profile {
		leaves = ", leaves as large as those of the profile"
	}
	fmt.Fprintf(b.out, "\n%d members, %s tree%s (made in %.1f s)\n", p.Size, p.Shape, leaves, took.Seconds())
	fmt.Fprintf(b.out, "%-18s  %6s  %10s  %10s  %9s  %10s  %10s  %7s  %7s  %11s\n",
		"", "runs", "wall", "CPU", "allocs", "allocated", "floor", "wall/fl", "CPU/fl", "written")
}

func (b *bench) writeRow(r *result) {
	least, wall, cpu, written, mark := "-", "-", "-", "-", ""
	if r.Floor > 0 {
		least, wall, cpu = ns(r.Floor), fmt.Sprintf("%.2f", r.Wall/r.Floor), fmt.Sprintf("%.2f", r.CPU/r.Floor)
	}
	if r.Written > 0 {
		written = octets(r.Written)
	}
	if r.marked() {
		mark = " *"
	}
	fmt.Fprintf(b.out, "%-18s  %6d  %10s  %10s  %9.0f  %10s  %10s  %7s  %7s  %11s%s\n",
		r.Op, r.Runs, ns(r.Wall), ns(r.CPU), r.Allocs, octets(r.Octets), least, wall, cpu, written, mark)
	if b.Floor {
		for _, l := range r.required {
			cost := floor{l}.cost(b.prices)
			fmt.Fprintf(b.out, "    %6d %-11v  %10s  section %-8s  %s\n", l.count, l.primitive, ns(cost), l.section, l.what)
		}
	}
}

// writeOwn writes a line for each operation, and a column with the CPU time for each
// number of own leaves.
func (b *bench) writeOwn(l *mlstest.Large, names []string, table map[string][]result) {
	fmt.Fprintf(b.out, "\n%d members, %s tree: CPU time by own leaves in one group\n%-18s", l.Size, l.Shape, "")
	for _, own := range l.Own {
		fmt.Fprintf(b.out, "  %10d", own)
	}
	fmt.Fprintf(b.out, "  %12s\n", fmt.Sprintf("%d : %d", l.Own[len(l.Own)-1], l.Own[0]))
	for _, name := range names {
		row := table[name]
		fmt.Fprintf(b.out, "%-18s", name)
		for i := range row {
			fmt.Fprintf(b.out, "  %10s", ns(row[i].CPU))
		}
		last := &row[len(row)-1]
		fmt.Fprintf(b.out, "  %12.2f", last.CPU/row[0].CPU)
		if last.Written > 0 {
			fmt.Fprintf(b.out, "  written %s and %s", octets(row[0].Written), octets(last.Written))
		}
		fmt.Fprintln(b.out)
	}
}

func (b *bench) writeHeap(r *result) {
	mark := ""
	if r.Heap > memoryTarget {
		mark = " *"
	}
	fmt.Fprintf(b.out, "%-22s  %s (at most %s)%s\n", r.Op, octets(float64(r.Heap)), octets(memoryTarget), mark)
}

// progress shows the steps of building a group that take long.
func (b *bench) progress() func(step string, done, all int) {
	last := time.Now()
	return func(step string, done, all int) {
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			fmt.Fprintf(b.out, "  %s: %d of %d\n", step, done, all)
		}
	}
}

func (b *bench) writeJSON() error {
	if b.JSON == "" {
		return nil
	}
	encoded, err := json.MarshalIndent(b.results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(b.JSON, append(encoded, '\n'), 0o600)
}
