package interop

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrProfile reports known answers of the minimal-metadata profile that the
// program in interop/mmrprofile does not get.
var ErrProfile = errors.New("the known answers of the profile differ")

const (
	installPython = "Python 3.11 or later with venv: https://www.python.org, or your distribution's packages python3 and python3-venv"
	// knownAnswers is beside the interop folder.
	knownAnswers = "mimi/identity/identitytest/testdata/MGP1/known-answers.json"
)

// Profile lets the program in interop/mmrprofile compute the known answers of
// the minimal-metadata profile from their inputs, and compare them. It fails
// with [ErrProfile] if they differ.
func Profile(ctx context.Context, out io.Writer) error {
	source, err := sourceFolder()
	if err != nil {
		return err
	}
	cache, err := cacheFolder()
	if err != nil {
		return err
	}
	python, err := builder{source: source, cache: cache}.python(ctx)
	if err != nil {
		return fmt.Errorf("the known answers of the profile cannot be checked: %w", err)
	}
	return runProfile(ctx, python, filepath.Join(source, "mmrprofile"), filepath.Join(filepath.Dir(source), knownAnswers), out)
}

// runProfile prints what the program in folder says of file.
func runProfile(ctx context.Context, python, folder, file string, out io.Writer) error {
	cmd := exec.CommandContext(ctx, python, "-B", folder, file)
	said, err := cmd.CombinedOutput()
	fmt.Fprintf(out, "profile: %s\n", strings.TrimSpace(string(said)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProfile, err)
	}
	return nil
}

// python returns the interpreter of an environment with what the program
// requires. It is made on first use, under a name that changes with that.
func (b builder) python(ctx context.Context) (string, error) {
	list := filepath.Join(b.source, "mmrprofile", "requirements.txt")
	requirements, err := os.ReadFile(list)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(requirements)
	env := filepath.Join(b.cache, "mmrprofile-"+hex.EncodeToString(sum[:6]))
	python := filepath.Join(env, "bin", "python")
	if _, err := os.Stat(python); err == nil {
		return python, nil
	}
	base, err := exec.LookPath("python3")
	if err != nil {
		return "", fmt.Errorf("python3 is missing. It comes with %s", installPython)
	}
	if err := b.run(ctx, b.cache, nil, base, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"); err != nil {
		return "", fmt.Errorf("python3 is too old, or its venv module is missing. It needs %s", installPython)
	}
	// Beside its place, and moved there when it is complete. It is only used as
	// bin/python, which does not mind.
	tmp, err := os.MkdirTemp(b.cache, "mmrprofile.tmp-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) // gone after the rename
	if err := b.run(ctx, b.cache, nil, base, "-m", "venv", tmp); err != nil {
		return "", err
	}
	err = b.run(ctx, b.cache, nil, filepath.Join(tmp, "bin", "python"), "-m", "pip", "install",
		"--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--prefer-binary", "-r", list)
	if err != nil {
		return "", err
	}
	return python, os.Rename(tmp, env)
}
