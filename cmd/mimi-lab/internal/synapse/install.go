// Package synapse installs and runs Synapse, the reference homeserver, for the
// lab: pinned, on loopback, without federation.
package synapse

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

//go:embed requirements.txt
var requirements []byte

// minPython is the oldest Python that the pinned versions work with.
const minPython = "(3, 11)"

// Install returns the Python interpreter of a virtual environment with
// Synapse. It is made on first use, in the cache folder, under a name that
// changes with the requirements. Several processes may call it at once.
func Install(ctx context.Context, log io.Writer) (python string, err error) {
	sum := sha256.Sum256(requirements)
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	env := filepath.Join(cache, "synapse-"+hex.EncodeToString(sum[:6]))
	python = filepath.Join(env, "bin", "python")
	if _, err := os.Stat(python); err == nil {
		return python, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(env + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	// Another process may have made it while this one waited for the lock.
	if _, err := os.Stat(python); err == nil {
		return python, nil
	}
	fmt.Fprintf(log, "Installing Synapse into %s, once\n", env)
	if err := build(ctx, env); err != nil {
		return "", fmt.Errorf("synapse: failed to install: %w", err)
	}
	return python, nil
}

// CacheDir is the folder of everything that is downloaded on first use.
func CacheDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "mimi-gateway"), nil
}

// build makes the environment beside its place and moves it there when it is
// complete. It is only ever used through "python -m", which does not mind; the
// scripts in bin would.
func build(ctx context.Context, env string) error {
	base, err := exec.LookPath("python3")
	if err != nil {
		return errors.New("python3 is not installed")
	}
	if _, err := output(ctx, base, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < "+minPython+")"); err != nil {
		return fmt.Errorf("python3 must be at least %s, with its venv module: %w", minPython, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(env), filepath.Base(env)+".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp) // gone after the rename
	list := filepath.Join(tmp, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return err
	}
	if _, err := output(ctx, base, "-m", "venv", tmp); err != nil {
		return err
	}
	_, err = output(ctx, filepath.Join(tmp, "bin", "python"), "-m", "pip", "install",
		"--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--prefer-binary", "-r", list)
	if err != nil {
		return err
	}
	return os.Rename(tmp, env)
}

// output runs a command; its error shows what the command wrote.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = pythonEnv()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return out, nil
}

// lock waits for the exclusive lock of a file.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			if err != nil {
				return nil, errors.Join(&fs.PathError{Op: "flock", Path: path, Err: err}, f.Close())
			}
			return f.Close, nil
		}
	}
}
