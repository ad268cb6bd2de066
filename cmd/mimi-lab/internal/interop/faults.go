package interop

import (
	"fmt"
	"io"
	"slices"
)

// A fault is something that a peer does against RFC 9420, shown with that library
// alone: interop/README.md has the reproductions.
type fault struct {
	peer string
	// scenario fails because of it. It is empty if our peer program corrects the
	// fault, and nothing fails.
	scenario string
	text     string
	// scripted says that the implementation's reproduction shows it. Other faults
	// are shown by the scenario itself, which fails when the peer plays all the
	// roles, too.
	scripted bool
}

var faults = []fault{
	{peer: "openmls", scenario: "psks, mixed", text: "mixes in PSKs by value before those by reference, whatever the commit's order"},
	{peer: "openmls", scenario: "unrequired extensions", text: "demands that required_capabilities lists every extension of the GroupContext"},
	{peer: "ts-mls", text: "external_pub holds the key itself and not a vector (corrected in the peer program)", scripted: true},
	{peer: "ts-mls", text: "suite 2: signature keys are compressed (corrected in the peer program)", scripted: true},
	{peer: "ts-mls", scenario: "empty subtree", text: "another commit secret when half of the tree is empty", scripted: true},
	{peer: "ts-mls", scenario: "custom credential", text: "cannot decode credentials other than basic and X.509"},
	{peer: "ts-mls", scenario: "context extensions", text: "GroupContextExtensions: no path, path secrets for the old extensions, an empty list is ignored"},
	{peer: "ts-mls", scenario: "unrequired extensions", text: "the same"},
	{peer: "ts-mls", scenario: "external sender proposes", text: "external_senders holds one sender and not a vector"},
	{peer: "mls-go", scenario: "out of order", text: "refuses a message after a later one of the same sender"},
	{peer: "mls-go", scenario: "external commit", text: "external Commits have a confirmation tag that no member computes"},
	{peer: "mls-go", scenario: "add, remove by reference", text: "a proposal of its own is unknown when another member commits it"},
}

// hasFault reports whether a peer is known to fail in a scenario.
func hasFault(peer, scenario string) bool {
	return slices.ContainsFunc(faults, func(f fault) bool { return f.peer == peer && f.scenario == scenario })
}

// excused reports whether the failure is a known fault of the peer that was
// shown in this run.
func (c Cell) excused() bool {
	return c.Outcome == Failed && slices.ContainsFunc(faults, func(f fault) bool {
		shown := c.FailedAlone || (f.scripted && c.Reproduced)
		return f.peer == c.Peer && f.scenario == c.Scenario && shown
	})
}

// writeFaults lists the known faults of a peer.
func writeFaults(out io.Writer, peer string) {
	for _, f := range faults {
		if f.peer == peer {
			name := f.scenario
			if name == "" {
				name = "several scenarios"
			}
			fmt.Fprintf(out, "  known fault of %s (%s): %s\n", peer, name, f.text)
		}
	}
}
