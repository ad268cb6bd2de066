// Command fuzz runs every fuzz target of the main module for a while.
//
// A decoder's target says which inputs its decoder refuses by skipping them
// (t.Skip). So the outcome of the seeds tells whether the corpus is worth
// anything: a corpus without an accepted seed explores the first check of the
// decoder and nothing behind it, and one without a refused seed comes from a
// target that does not tell. Both fail.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	root := flag.String("root", ".", "`folder` of the module")
	fuzztime := flag.String("fuzztime", "60s", "time for each target")
	flag.Parse()
	if err := run(*root, *fuzztime); err != nil {
		fmt.Fprintf(os.Stderr, "fuzz: %v\n", err)
		os.Exit(1)
	}
}

// A target is a fuzz function of a package, named by its folder.
type target struct{ pkg, name string }

func run(root, fuzztime string) error {
	targets, err := find(root)
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return errors.New("no fuzz targets found")
	}
	var failed []error
	for _, t := range targets {
		if err := t.run(root, fuzztime); err != nil {
			fmt.Printf("%-28s %-32s FAILED: %v\n", t.pkg, t.name, err)
			failed = append(failed, fmt.Errorf("%s %s failed", t.pkg, t.name))
		}
	}
	return errors.Join(failed...)
}

var declaration = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// find reads the test files of the module, not those of modules inside it.
func find(root string) ([]target, error) {
	var out []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, modErr := os.Stat(filepath.Join(path, "go.mod"))
			if path != root && (modErr == nil || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, m := range declaration.FindAllSubmatch(data, -1) {
			out = append(out, target{pkg: "./" + filepath.ToSlash(dir), name: string(m[1])})
		}
		return nil
	})
	return out, err
}

func (t target) run(root, fuzztime string) error {
	accepted, refused, err := t.seeds(root)
	if err != nil {
		return err
	}
	if accepted == 0 {
		return fmt.Errorf("none of %d seeds is accepted by the decoder", refused)
	}
	if refused == 0 {
		return fmt.Errorf("none of %d seeds is refused: the target must skip (t.Skip) what its decoder refuses, and needs such a seed", accepted)
	}
	execs, corpus, err := t.fuzz(root, fuzztime)
	if err != nil {
		return err
	}
	fmt.Printf("%-28s %-32s %10s executions, corpus %s, seeds %d accepted %d refused\n",
		t.pkg, t.name, execs, corpus, accepted, refused)
	return nil
}

// seeds runs the seeds alone, each of which is a subtest, and counts those that
// were accepted and those that were skipped.
func (t target) seeds(root string) (accepted, refused int, err error) {
	out, err := goTest(root, "-json", "-count=1", "-run", "^"+t.name+"$", t.pkg)
	if err != nil {
		return 0, 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var evt struct{ Action, Test string }
		if json.Unmarshal(lines.Bytes(), &evt) != nil || !strings.HasPrefix(evt.Test, t.name+"/") {
			continue
		}
		switch evt.Action {
		case "pass":
			accepted++
		case "skip":
			refused++
		}
	}
	return accepted, refused, lines.Err()
}

// progress is the line the fuzzer writes now and then, and at its end.
var progress = regexp.MustCompile(`execs: (\d+) .*\(total: (\d+)\)`)

func (t target) fuzz(root, fuzztime string) (execs, corpus string, err error) {
	out, err := goTest(root, "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzztime, t.pkg)
	if err != nil {
		return "", "", err
	}
	all := progress.FindAllSubmatch(out, -1)
	if len(all) == 0 {
		return "", "", errors.New("the fuzzer reported no executions")
	}
	last := all[len(all)-1]
	return string(last[1]), string(last[2]), nil
}

func goTest(root string, args ...string) ([]byte, error) {
	cmd := exec.Command("go", append([]string{"test"}, args...)...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return out, nil
}
