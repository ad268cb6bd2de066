package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// An implementation is a peer that is built from the interop folder of the
// repository, and run as a process.
type implementation struct {
	name    string // with the version
	tool    string // the program that builds it
	install string // how to get that
	// build makes the peer in the cache folder and returns its command.
	build func(b builder, ctx context.Context) ([]string, error)
	// reproduce shows the faults of the library without us. It fails if one of them
	// does not show. It is nil if the scenarios show them.
	reproduce func(b builder, ctx context.Context) error
}

// implementations lists the peers that there are programs for.
var implementations = []implementation{
	{
		name: "openmls", tool: "cargo", install: installRust,
		build: func(b builder, ctx context.Context) ([]string, error) { return b.cargo(ctx, "openmls") },
	},
	{
		name: "mls-rs", tool: "cargo", install: installRust,
		build: func(b builder, ctx context.Context) ([]string, error) { return b.cargo(ctx, "mlsrs") },
	},
	{
		name: "ts-mls", tool: "npm", install: "Node.js 20 or later with npm: https://nodejs.org, or your distribution's packages nodejs and npm",
		build: builder.npm,
		reproduce: func(b builder, ctx context.Context) error {
			return b.run(ctx, b.cache, nil, "node", filepath.Join("tsmls", "faults.mjs"))
		},
	},
	{
		name: "mls-go", tool: "go", install: "Go: https://go.dev/dl/",
		build: builder.mlsGo,
	},
}

const installRust = "Rust 1.91 or later with cargo: https://rustup.rs (rustup toolchain install stable)"

// A builder makes peers.
type builder struct {
	source  string // the interop folder
	cache   string // where everything is made, outside of the repository
	release bool   // optimised, for measuring
}

// run runs a command and returns its output with an error only.
func (b builder) run(ctx context.Context, dir string, env []string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", strings.Join(command, " "), dir, err, out)
	}
	return nil
}

// cargo builds a crate. All share one folder, for the crates they share.
func (b builder) cargo(ctx context.Context, crate string) ([]string, error) {
	target := filepath.Join(b.cache, "rust")
	env := []string{"CARGO_TARGET_DIR=" + target}
	profile, options := "debug", []string{"-j", "1"}
	if b.release {
		profile, options = "release", []string{"-j", "2", "--release"}
	}
	command := append([]string{"cargo", "build", "--locked"}, options...)
	if err := b.run(ctx, filepath.Join(b.source, crate), env, command...); err != nil {
		return nil, err
	}
	return []string{filepath.Join(target, profile, "interop-"+crate)}, nil
}

// npm installs the dependencies of the peer beside a copy of it, so that nothing
// is written into the repository.
func (b builder) npm(ctx context.Context) ([]string, error) {
	if _, err := exec.LookPath("node"); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.cache, "tsmls")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	changed := false
	for _, name := range []string{"package.json", "package-lock.json", "peer.mjs", "faults.mjs"} {
		content, err := os.ReadFile(filepath.Join(b.source, "tsmls", name))
		if err != nil {
			return nil, err
		}
		old, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		changed = changed || (filepath.Ext(name) == ".json" && string(old) != string(content))
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "ts-mls")); changed || err != nil {
		if err := b.run(ctx, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
			return nil, err
		}
	}
	return []string{"node", filepath.Join(dir, "peer.mjs")}, nil
}

// mlsGo builds the peer of the module interop/mlsgo.
func (b builder) mlsGo(ctx context.Context) ([]string, error) {
	binary := filepath.Join(b.cache, "mlsgo")
	env := []string{"GOFLAGS=-mod=readonly", "GOWORK=off"}
	return []string{binary}, b.run(ctx, filepath.Join(b.source, "mlsgo"), env, "go", "build", "-o", binary, ".")
}

// cacheFolder returns where peers are built.
func cacheFolder() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		base = filepath.Join(home, ".cache")
	}
	dir := filepath.Join(base, "mimi-gateway", "interop")
	return dir, os.MkdirAll(dir, 0o755)
}

// sourceFolder finds the interop folder, in the working directory or above it.
func sourceFolder() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		found := filepath.Join(dir, "interop")
		if _, err := os.Stat(filepath.Join(found, "openmls", "Cargo.toml")); err == nil {
			return found, nil
		}
		if filepath.Dir(dir) == dir {
			return "", errors.New("there is no interop folder here or above: run this in a clone of the repository")
		}
		dir = filepath.Dir(dir)
	}
}
