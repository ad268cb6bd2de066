package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockDatabase takes the lock of the database at path, which is a file beside
// it, so that nothing that opens the database itself disturbs it. Two processes
// with the same keys would use each of them twice. The lock ends with the
// process, however that ends.
func lockDatabase(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fail(exitDatabase, "failed to open the lock of the database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another process runs on it")
		}
		return nil, errors.Join(fail(exitDatabase, "failed to lock the database %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}

// secureDatabase makes the file, if there is none, and closes it to others.
// SQLite gives its journals the mode of the database.
func secureDatabase(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fail(exitDatabase, "failed to open the database: %w", err)
	}
	if err := f.Chmod(0o600); err != nil {
		return errors.Join(fmt.Errorf("failed to close the database to others: %w", err), f.Close())
	}
	return f.Close()
}
