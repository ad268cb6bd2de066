//go:build !lab

package bridge

// Faults are wrong behaviours of the lab build. This build has none.
type Faults struct{}

func (Faults) stays() bool { return false }

func (Faults) undisclosed() bool { return false }
