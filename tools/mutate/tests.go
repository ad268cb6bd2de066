package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A build is the module with switches.
type build struct {
	root, dir string
	overlay   map[string]string
	rapid     map[string]bool // packages whose tests use it
}

// instrument puts the switches of a package into the overlay.
func (b *build) instrument(pkg string) ([]check, error) {
	files, err := filepath.Glob(filepath.Join(b.root, filepath.FromSlash(pkg), "*.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("package %s: no files: %w", pkg, err)
	}
	var checks []check
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		found, src, err := find(b.root, pkg+"/"+filepath.Base(path))
		if err != nil {
			return nil, err
		}
		checks = append(checks, found...)
		if err := b.replace(path, src); err != nil {
			return nil, err
		}
	}
	extra := filepath.Join(b.root, filepath.FromSlash(pkg), "mutants_switches.go")
	return checks, b.replace(extra, switches(filepath.Base(pkg)))
}

func (b *build) replace(path string, src []byte) error {
	to := filepath.Join(b.dir, fmt.Sprintf("%d.go", len(b.overlay)))
	b.overlay[path] = to
	return os.WriteFile(to, src, 0o600)
}

// A test is one test function, with what it reaches.
type test struct {
	pkg, binary, name string
	time              time.Duration
	reaches           map[string]bool
}

// tests builds the binaries, and runs each test once with all checks in place.
func (b *build) tests(ctx context.Context, jobs int) ([]test, error) {
	list, err := json.Marshal(map[string]any{"Replace": b.overlay})
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(b.dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return nil, err
	}
	var tests []test
	for _, pkg := range packages {
		if b.rapid[pkg], err = b.usesRapid(pkg); err != nil {
			return nil, err
		}
		binary := filepath.Join(b.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "goolm", "-overlay", overlay, "-o", binary, "./"+pkg)
		cmd.Dir = b.root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, out)
		}
		out, err := b.command(ctx, pkg, binary, "-test.list", "^(Test|Fuzz)").Output()
		if err != nil {
			return nil, fmt.Errorf("tests of %s: %w", pkg, err)
		}
		for name := range strings.FieldsSeq(string(out)) {
			// It reads the sources, and tells nothing about what they do.
			if name != "TestConformance" {
				tests = append(tests, test{pkg: pkg, binary: binary, name: name})
			}
		}
	}
	return tests, b.measure(ctx, tests, jobs)
}

// measure notes what each test reaches and how long it takes.
func (b *build) measure(ctx context.Context, tests []test, jobs int) error {
	queue := make(chan int)
	errs := make([]error, len(tests))
	var workers sync.WaitGroup
	for range max(jobs, 1) {
		workers.Go(func() {
			for i := range queue {
				errs[i] = b.measureOne(ctx, &tests[i], filepath.Join(b.dir, fmt.Sprintf("reached-%d", i)))
			}
		})
	}
	for i := range tests {
		queue <- i
	}
	close(queue)
	workers.Wait()
	return errors.Join(errs...)
}

func (b *build) measureOne(ctx context.Context, t *test, log string) error {
	cmd := b.command(ctx, t.pkg, t.binary, "-test.run", "^"+t.name+"$")
	cmd.Env = append(cmd.Environ(), "MUTANT_LOG="+log)
	start := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s fails with all checks in place: %w\n%s", t.pkg, t.name, err, out)
	}
	t.time = time.Since(start)
	t.reaches = map[string]bool{}
	reached, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for id := range strings.FieldsSeq(string(reached)) {
		t.reaches[id] = true
	}
	return nil
}

func (b *build) command(ctx context.Context, pkg, binary string, args ...string) *exec.Cmd {
	all := []string{"-test.paniconexit0", "-test.timeout=3m"}
	if b.rapid[pkg] {
		// It is no finding that a test fails here, and nothing to keep.
		all = append(all, "-rapid.nofailfile")
	}
	cmd := exec.CommandContext(ctx, binary, append(all, args...)...)
	cmd.Dir = filepath.Join(b.root, filepath.FromSlash(pkg))
	return cmd
}

// usesRapid reports whether a test of a package imports rapid, and so has its
// flags.
func (b *build) usesRapid(pkg string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(b.root, filepath.FromSlash(pkg), "*_test.go"))
	if err != nil {
		return false, err
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		if bytes.Contains(text, []byte(`"pgregory.net/rapid"`)) {
			return true, nil
		}
	}
	return false, nil
}

// cheap is how long tests may take together that are tried first.
const cheap = 2 * time.Second

// try switches a check off and returns a test run that misses it, and how many
// tests reach it.
func (b *build) try(ctx context.Context, c check, tests []test) (by string, reached int) {
	byPackage := map[string][]test{}
	for _, t := range tests {
		if t.reaches[c.String()] {
			byPackage[t.pkg] = append(byPackage[t.pkg], t)
			reached++
		}
	}
	// The package of the check comes first, and in each the quick tests.
	order := slices.Clone(packages)
	slices.SortStableFunc(order, func(x, y string) int {
		own := func(p string) int {
			if p == filepath.ToSlash(filepath.Dir(c.file)) {
				return 0
			}
			return 1
		}
		return own(x) - own(y)
	})
	for _, pkg := range order {
		l := byPackage[pkg]
		slices.SortFunc(l, func(x, y test) int { return int(x.time - y.time) })
		for len(l) > 0 {
			n, sum := 1, l[0].time
			for n < len(l) && sum+l[n].time <= cheap {
				sum += l[n].time
				n++
			}
			if b.misses(ctx, c, l[:n]) {
				return l[0].name, reached
			}
			l = l[n:]
		}
	}
	return "", reached
}

// misses reports whether one of these tests of a package fails without the
// check.
func (b *build) misses(ctx context.Context, c check, tests []test) bool {
	names := make([]string, len(tests))
	for i, t := range tests {
		names[i] = regexp.QuoteMeta(t.name)
	}
	cmd := b.command(ctx, tests[0].pkg, tests[0].binary, "-test.failfast", "-test.run", "^("+strings.Join(names, "|")+")$")
	cmd.Env = append(cmd.Environ(), "MUTANT="+c.String())
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return err != nil && ctx.Err() == nil
}
