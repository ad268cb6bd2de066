// Package expect counts what a run of the lab promises. Each expectation has a
// name, is checked once or more, and ends the run when it breaks.
package expect

import (
	"fmt"
	"io"
)

// A List records the expectations of one run. It belongs to one goroutine.
type List struct {
	out  io.Writer
	held int
}

// New returns an empty list that writes to out.
func New(out io.Writer) *List { return &List{out: out} }

// A BrokenError names the expectation that did not hold.
type BrokenError struct {
	// Name is the expectation, as a sentence that should have been true.
	Name string
	// Cause says what was found in its place.
	Cause error
}

// Error returns the name and the cause.
func (e *BrokenError) Error() string {
	return fmt.Sprintf("expectation broken: %s: %v", e.Name, e.Cause)
}

// Unwrap returns the cause.
func (e *BrokenError) Unwrap() error { return e.Cause }

// Check records the outcome of an expectation: held if cause is nil. It
// returns a BrokenError otherwise.
func (l *List) Check(name string, cause error) error {
	if cause != nil {
		fmt.Fprintf(l.out, "  BROKEN  %s\n", name)
		return &BrokenError{Name: name, Cause: cause}
	}
	l.held++
	fmt.Fprintf(l.out, "  ok      %s\n", name)
	return nil
}

// That is Check for conditions; format and args say what was found if ok is
// false.
func (l *List) That(name string, ok bool, format string, args ...any) error {
	if ok {
		return l.Check(name, nil)
	}
	return l.Check(name, fmt.Errorf(format, args...))
}

// Held returns the number of expectations that held so far.
func (l *List) Held() int { return l.held }

// Finish prints the last line of a run in which every expectation held.
func (l *List) Finish() {
	fmt.Fprintf(l.out, "%d expectations held\n", l.held)
}
