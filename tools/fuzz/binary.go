package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// binaries are the instrumented test binaries, one for each package: "go test
// -fuzz" would link one for each target.
type binaries struct {
	root, dir string
	// cache is where the go command keeps the inputs that fuzzing has found.
	cache, module string

	mu     sync.Mutex
	builds map[string]func() error // by package
}

func newBinaries(ctx context.Context, root, dir string) (*binaries, error) {
	b := &binaries{root: root, dir: dir, builds: map[string]func() error{}}
	for _, v := range []struct {
		value *string
		args  []string
	}{
		{&b.cache, []string{"env", "GOCACHE"}},
		{&b.module, []string{"list", "-m"}},
	} {
		out, err := b.command(ctx, ".", "go", v.args...).Output()
		if err != nil {
			return nil, fmt.Errorf("go %s: %w", strings.Join(v.args, " "), err)
		}
		*v.value = strings.TrimSpace(string(out))
	}
	return b, nil
}

// command returns a command that runs in the folder of a package.
func (b *binaries) command(ctx context.Context, pkg, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = filepath.Join(b.root, filepath.FromSlash(pkg))
	return cmd
}

// of returns the binary of a package, which it builds on first use.
func (b *binaries) of(ctx context.Context, pkg string) (string, error) {
	path := filepath.Join(b.dir, strings.ReplaceAll(pkg, "/", "-")+".test")
	b.mu.Lock()
	build, ok := b.builds[pkg]
	if !ok {
		build = sync.OnceValue(func() error {
			out, err := b.command(ctx, pkg, "go", "test", "-c", "-fuzz=^Fuzz", "-o", path, ".").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		})
		b.builds[pkg] = build
	}
	b.mu.Unlock()
	return path, build()
}

// run runs the test binary of a package as "go test" would, and returns all it
// says, also with an error.
func (b *binaries) run(ctx context.Context, pkg string, args ...string) ([]byte, error) {
	path, err := b.of(ctx, pkg)
	if err != nil {
		return nil, err
	}
	cmd := b.command(ctx, pkg, path, append([]string{"-test.paniconexit0"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	return out.Bytes(), err
}

// corpus is the folder in which the go command keeps the inputs that fuzzing has
// found for a package.
func (b *binaries) corpus(pkg string) string {
	return filepath.Join(b.cache, "fuzz", filepath.FromSlash(b.module), filepath.FromSlash(pkg))
}
