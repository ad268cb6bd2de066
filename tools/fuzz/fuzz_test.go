package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// module writes a module with one package, whose fuzz targets are given.
func module(t *testing.T, targets string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":         "module example.org/m\n\ngo 1.26\n",
		"p/p_test.go":    "package p\n\nimport \"testing\"\n\n" + targets,
		"q/go.mod":       "module example.org/q\n",
		"q/q_test.go":    "package q\n\nfunc FuzzOther(f *testing.F) {}\n",
		"testdata/a.txt": "",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	good = `func FuzzGood(f *testing.F) {
	f.Add(byte(1))
	f.Add(byte(2))
	f.Fuzz(func(t *testing.T, b byte) { if b%2 == 0 { t.Skip("refused") } })
}
`
	allRefused = `func FuzzAllRefused(f *testing.F) {
	f.Add(byte(1))
	f.Fuzz(func(t *testing.T, b byte) { t.Skip("refused") })
}
`
	noneRefused = `func FuzzNoneRefused(f *testing.F) {
	f.Add(byte(1))
	f.Fuzz(func(t *testing.T, b byte) { if b > 1 { return } })
}
`
	wrong = `func FuzzWrong(f *testing.F) {
	f.Add(byte(1))
	f.Add(byte(2))
	f.Fuzz(func(t *testing.T, b byte) { if b == 2 { t.Skip("refused") }; if b > 2 { t.Error("wrong") } })
}
`
)

// TestRun has one target of each kind: the good one is reported also after the
// others have failed, and each failure says why.
func TestRun(t *testing.T) {
	t.Setenv("GOFLAGS", "")
	var out bytes.Buffer
	opts := options{root: module(t, wrong+allRefused+noneRefused+good), fuzztime: time.Second, jobs: 2, only: regexp.MustCompile(""), out: &out}
	err := run(t.Context(), opts)
	if err == nil {
		t.Fatalf("no error:\n%s", &out)
	}
	for _, want := range []string{
		"3 of 4 targets failed",
		"p FuzzAllRefused: none of 1 seeds is accepted",
		"p FuzzNoneRefused: none of 1 seeds is refused",
		"p FuzzWrong: exit status",
		"Failing input written to testdata",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
	if !regexp.MustCompile(`p FuzzGood +\d+ executions  corpus +\d+ \(\d+ new\)  seeds 1 accepted, 1 refused`).Match(out.Bytes()) {
		t.Errorf("the good target is not reported:\n%s", &out)
	}
	opts.only = regexp.MustCompile("FuzzGood")
	if err := run(t.Context(), opts); err != nil {
		t.Errorf("the good target alone: %v", err)
	}
	opts.only = regexp.MustCompile("FuzzOther")
	if err := run(t.Context(), opts); err == nil {
		t.Error("a target of a module inside the module is found")
	}
}

// The end of the fuzzer's time is no failure, unless something was found.
func TestRaced(t *testing.T) {
	const raced1 = "fuzz: elapsed: 1s, execs: 9 (9/sec), new interesting: 0 (total: 2)\n--- FAIL: FuzzX (1.10s)\n    context deadline exceeded\nFAIL\n"
	const found = "fuzz: elapsed: 1s, execs: 9 (9/sec), new interesting: 0 (total: 2)\n--- FAIL: FuzzX (1.10s)\n    --- FAIL: FuzzX (0.00s)\n        x_test.go:1: context deadline exceeded\n    \n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\n"
	for text, want := range map[string]bool{raced1: true, found: false} {
		if got := raced.Match(notice.ReplaceAll([]byte(text), nil)); got != want {
			t.Errorf("%v for\n%s", got, text)
		}
	}
}
