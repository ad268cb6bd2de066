//go:build !lab

package main

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// faultsOf fails for every fault: this build has none.
func faultsOf(name string) (client.Faults, error) {
	if name != "" {
		return client.Faults{}, fmt.Errorf("--fault with --no-matrix needs a mimi-lab that is built with the tag lab; %w", errUsage)
	}
	return client.Faults{}, nil
}
