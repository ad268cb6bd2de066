//go:build lab

package main

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// faultsOf returns the faults of engines that a name stands for.
func faultsOf(name string) (client.Faults, error) {
	if name == "" {
		return client.Faults{}, nil
	}
	f, ok := client.NamedFaults(name)
	if !ok {
		return f, fmt.Errorf("engines have no fault %q; %w", name, errUsage)
	}
	return f, nil
}
