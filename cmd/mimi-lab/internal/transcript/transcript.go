// Package transcript prints what happens in a run of the lab as a story: who
// did or saw what, in which place.
package transcript

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// A Transcript writes one line for each event. Its methods may be called
// concurrently.
type Transcript struct {
	mu  sync.Mutex
	out io.Writer
}

// New returns a transcript on out.
func New(out io.Writer) *Transcript { return &Transcript{out: out} }

// Chapter begins a part of the story.
func (t *Transcript) Chapter(title string) {
	t.write("\n" + title + "\n" + strings.Repeat("-", len(title)) + "\n")
}

// Says tells what somebody did, for example Says("alice (alpha)", "wrote %q", s).
func (t *Transcript) Says(who, format string, args ...any) {
	t.write(fmt.Sprintf("  %-24s %s\n", who, fmt.Sprintf(format, args...)))
}

// Write passes text through, so that other reports fall into their place.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.out.Write(p)
}

func (t *Transcript) write(s string) { _, _ = t.Write([]byte(s)) }
