// Package gateway builds, configures and runs mimi-gateway as an administrator
// would: by its command line and its files.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// modulePath names the module whose gateway is built.
const modulePath = "github.com/mimi-gateway/mimi-gateway"

// Build compiles the gateway of the checkout around the working directory into
// dir, with the tags of the lab if lab is set, and returns its path.
func Build(ctx context.Context, dir string, lab bool) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	tags := "goolm"
	if lab {
		tags += ",lab"
	}
	binary := filepath.Join(dir, "mimi-gateway")
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-mod=readonly", "-tags", tags, "-o", binary, "./cmd/mimi-gateway")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("failed to build the gateway: %w\n%s", err, out)
	}
	return binary, nil
}

// moduleRoot walks up from the working directory to the module's go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module "+modulePath+"\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run this inside a checkout of mimi-gateway, which builds the gateway from source")
		}
		dir = parent
	}
}
