package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// keyBytes is the length of the key-encryption key.
const keyBytes = 32

// loadKey reads the key-encryption key from the file at path, and makes both if
// there is none. The caller must make sure that a new key is not made for an
// old database.
func loadKey(path string) (key [keyBytes]byte, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createKey(path); err != nil {
			return key, fmt.Errorf("network.key_file: failed to make the key: %w", err)
		}
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return key, fmt.Errorf("network.key_file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return key, fmt.Errorf("network.key_file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return key, fmt.Errorf("network.key_file: %s has mode %#o, and must be closed to others: chmod 600", path, mode)
	}
	if len(data) != keyBytes {
		return key, fmt.Errorf("network.key_file: %s holds %d bytes in place of %d", path, len(data), keyBytes)
	}
	copy(key[:], data)
	clear(data)
	return key, nil
}

// createKey writes a new key. It is on the disk, name and all, before anything
// can be sealed with it.
func createKey(path string) error {
	var key [keyBytes]byte
	rand.Read(key[:])
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(key[:])
	clear(key[:])
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// Link refuses to replace a key that appeared in the meantime.
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
