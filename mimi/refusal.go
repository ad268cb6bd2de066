package mimi

import "errors"

// A Refusal is the error of a check that a message from another party did not
// pass. It says which check that was, to logs and metrics, and is otherwise the
// error that it holds: its text is that one's.
//
// Checks that are asked of several structures, or at several places, have one
// code. docs/attacks.md lists the codes.
type Refusal struct {
	// Check is the code: a constant of the source, in lower case with hyphens.
	Check string
	Err   error
}

// Error implements error.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the error that the refusal holds.
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse returns err as the refusal of a check. The call stands where the check
// is: in the body of the if, or of the case, whose condition it is. The code is a
// literal, so that "mimi-lab attack --removed" can find the check and take it out.
func Refuse(check string, err error) error { return &Refusal{check, err} }

// CheckOf returns the code of the check that an error comes from, or "".
func CheckOf(err error) string {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r.Check
	}
	return ""
}

// RefusedAs returns to, an error in the terms of a caller, that also is from, so
// that the check which from comes from is known. Its text is that of to.
func RefusedAs(from, to error) error { return &translated{from, to} }

// translated is an error with its reason.
type translated struct{ from, to error }

// Error implements error.
func (t *translated) Error() string { return t.to.Error() }

// Unwrap returns both errors, the caller's first.
func (t *translated) Unwrap() []error { return []error{t.to, t.from} }
