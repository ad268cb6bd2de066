// Command mimi-gateway is the daemon: the application service of one Matrix
// homeserver, and the MIMI provider of its people.
//
//	mimi-gateway -e   writes an example configuration, to be edited
//	mimi-gateway -g   writes the registration for the homeserver
//	mimi-gateway      runs until SIGTERM
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "mimi-gateway: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// The exit codes that supervisors may tell apart. They are those of other
// bridges built on mautrix-go, where these have one.
const (
	exitFailed   = 1
	exitUsage    = 2
	exitConfig   = 10
	exitInvalid  = 11
	exitLog      = 12
	exitDatabase = 14
	exitRegister = 21
)

// An exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }

func (e *exitError) Unwrap() error { return e.err }

func fail(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

// exitCode returns the exit code for what run returned.
func exitCode(err error) int {
	switch coded, ok := errors.AsType[*exitError](err); {
	case err == nil:
		return 0
	case ok:
		return coded.code
	default:
		return exitFailed
	}
}
