package interop

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProfileDifference: a program that finds a difference fails the run, and
// what it says is shown.
func TestProfileDifference(t *testing.T) {
	for status, want := range map[string]error{"0": nil, "1": ErrProfile} {
		program := filepath.Join(t.TempDir(), "python")
		if err := os.WriteFile(program, []byte("#!/bin/sh\necho said $3\nexit "+status+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := runProfile(t.Context(), program, "folder", "answers", &out); !errors.Is(err, want) {
			t.Errorf("status %s: %v", status, err)
		}
		if !strings.Contains(out.String(), "said answers") {
			t.Errorf("the output is %q", out.String())
		}
	}
}

// TestProfileWithoutPython says what is missing, and how to get it.
func TestProfileWithoutPython(t *testing.T) {
	t.Setenv("PATH", "")
	source, err := sourceFolder()
	if err != nil {
		t.Fatal(err)
	}
	_, err = builder{source: source, cache: t.TempDir()}.python(t.Context())
	if err == nil || !strings.Contains(err.Error(), installPython) {
		t.Errorf("the error is %v", err)
	}
}
