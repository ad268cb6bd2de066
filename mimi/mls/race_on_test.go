//go:build race

package mls_test

// raceFactor is how much more is allocated under the race detector, where the
// compiler leaves out some of what saves allocations.
const raceFactor = 2
