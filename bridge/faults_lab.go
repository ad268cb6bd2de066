//go:build lab

package bridge

// Faults are wrong behaviours that the lab switches on, to see that its
// expectations notice them. Only a build with the tag lab has them.
type Faults struct {
	// KeepRemoved leaves people in the Matrix room of a group that they were
	// removed from.
	KeepRemoved bool
	// Undisclosed shows rooms without the disclosure.
	Undisclosed bool
}

func (f Faults) stays() bool { return f.KeepRemoved }

func (f Faults) undisclosed() bool { return f.Undisclosed }
