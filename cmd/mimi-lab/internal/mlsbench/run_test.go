package mlsbench

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/mls/mlstest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// TestRun runs everything with small groups. Each row has to be there, with
// figures.
func TestRun(t *testing.T) {
	o := Options{
		Sizes: []int{2, 10}, Suites: []suite.ID{suite.X25519AES128}, Budget: time.Millisecond,
		JSON: filepath.Join(t.TempDir(), "figures"), Floor: true,
	}
	var out strings.Builder
	if err := Run(t.Context(), o, &out); err != nil {
		t.Fatal(err)
	}
	ops := []string{
		mlstest.OpAddCommit, mlstest.OpMerge, mlstest.OpProcess, mlstest.OpJoin, mlstest.OpExternalJoin, mlstest.OpProtect, mlstest.OpProtectFirst,
		mlstest.OpUnprotect, mlstest.OpUnprotectFirst, mlstest.OpHub, mlstest.OpSaveCommit, mlstest.OpSaveProtect, mlstest.OpLoad, mlstest.OpLoadHub,
	}
	encoded, err := os.ReadFile(o.JSON)
	if err != nil {
		t.Fatal(err)
	}
	var results []result
	if err := json.Unmarshal(encoded, &results); err != nil {
		t.Fatal(err)
	}
	if want := 2 * 2 * len(ops); len(results) != want {
		t.Errorf("%d results, want %d", len(results), want)
	}
	rows := map[string]int{}
	for line := range strings.Lines(out.String()) {
		for _, op := range ops {
			if strings.HasPrefix(line, op+"  ") {
				rows[op]++
			}
		}
	}
	for _, op := range ops {
		if rows[op] != 4 {
			t.Errorf("%d rows of %s", rows[op], op)
		}
	}
	for _, r := range results {
		saved := strings.HasPrefix(r.Op, "save")
		if r.Wall <= 0 || r.Runs <= 0 || r.Allocs <= 0 || (r.Written > 0) != saved {
			t.Errorf("%+v", r)
		}
		if none := saved || strings.HasPrefix(r.Op, "load"); (r.Floor > 0) == none {
			t.Errorf("%s: floor %v", r.Op, r.Floor)
		}
	}
}

// TestCPUProfile: each operation gets a profile of its own.
func TestCPUProfile(t *testing.T) {
	o := Options{
		Sizes: []int{2}, Suites: []suite.ID{suite.X25519AES128}, Budget: time.Millisecond,
		Operations: []string{mlstest.OpProtect, mlstest.OpProtectFirst}, CPUProfile: t.TempDir(),
	}
	if err := Run(t.Context(), o, io.Discard); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(o.CPUProfile, "suite1-2-*-own1-protect*.pprof"))
	if err != nil || len(files) != 4 {
		t.Errorf("profiles: %v, %v", files, err)
	}
}

func TestMarked(t *testing.T) {
	for _, test := range []struct {
		r    result
		want bool
	}{
		{result{Size: 100, Wall: 126, CPU: 100, Floor: 100}, true},
		{result{Size: 100, Wall: 100, CPU: 126, Floor: 100}, false},
		{result{Size: 100, Wall: 124, CPU: 124, Floor: 100}, false},
		{result{Size: 99, Wall: 200, CPU: 200, Floor: 100}, false},
		{result{Size: 100, Wall: 200, CPU: 200}, false},
	} {
		if got := test.r.marked(); got != test.want {
			t.Errorf("%+v: %v", test.r, got)
		}
	}
}

func TestOwnFor(t *testing.T) {
	for size, want := range map[int]int{2: 1, 49: 1, 50: 2, 1000: 2, 5000: 3, 10000: 3} {
		if got := ownFor(size); len(got) != want || got[0] != 1 {
			t.Errorf("%d members: %v", size, got)
		}
	}
}
