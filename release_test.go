package gateway_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// faultWords are in the binaries of lab builds, and must not be in others. Those
// faults whose names are ordinary words (drop, duplicate, reorder) cannot be
// looked for.
var faultWords = []string{"plaintext-name", "reuse-pseudonym", "keep-removed", "answer-decline", "upload-at-once", "last-resort-twice"}

// watchSources looks at each source file and at the versions of the modules, for
// the test cache to notice when one of them changes: it does not know what the
// go command reads for a test.
func watchSources(t *testing.T) {
	t.Helper()
	stat := func(path string) error {
		_, err := os.Stat(path)
		return err
	}
	eachSource(t, stat)
	if err := errors.Join(stat("go.mod"), stat("go.sum")); err != nil {
		t.Fatal(err)
	}
}

// build compiles the binaries with these tags, and returns their paths.
func build(t *testing.T, tags string) []string {
	t.Helper()
	watchSources(t)
	dir := t.TempDir()
	args := append([]string{"build", "-buildvcs=false", "-tags", tags, "-o", dir + string(filepath.Separator)}, binaries...)
	if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var paths []string
	for _, pkg := range binaries {
		paths = append(paths, filepath.Join(dir, filepath.Base(pkg)))
	}
	return paths
}

func TestReleasesHaveNoFaults(t *testing.T) {
	for _, path := range build(t, "goolm") {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range faultWords {
			if bytes.Contains(data, []byte(word)) {
				t.Errorf("%s contains %q", name, word)
			}
		}
		if name == "mimi-lab" {
			continue // It has the flag --fault, but no fault.
		}
		for _, flag := range []string{"--fault=drop", "--faults"} {
			out, err := exec.CommandContext(t.Context(), path, flag).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "flag provided but not defined") {
				t.Errorf("%s knows the flag %s: %v\n%s", name, flag, err, out)
			}
		}
	}
}

// TestLabBuildsHaveFaults keeps honest the words that the releases are searched
// for.
func TestLabBuildsHaveFaults(t *testing.T) {
	for _, path := range build(t, "goolm,lab") {
		name := filepath.Base(path)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range faultWords {
			// What one does to a Matrix room, no engine can do.
			if name == "mimi-lab" && word == "keep-removed" {
				continue
			}
			if !bytes.Contains(data, []byte(word)) {
				t.Errorf("the lab build of %s does not contain %q", name, word)
			}
		}
	}
}
