package mapping

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// LoadKeyFile reads the key-encryption key from a file of 32 octets, and makes
// the file, with a random key and mode 0600, if there is none. It refuses a file
// that others than its owner can open, or that has another length. The key is
// never printed, and is written nowhere else.
func LoadKeyFile(path string) (Keys, error) {
	kek, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKeyFile(path); err != nil {
			return Keys{}, err
		}
		kek, err = readKeyFile(path)
	}
	if err != nil {
		return Keys{}, err
	}
	return newKeys(kek, path), nil
}

func readKeyFile(path string) (kek []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("mapping: open key file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("mapping: inspect key file: %w", err)
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, fmt.Errorf("mapping: key file %s is not a regular file", path)
	case mode.Perm()&0o077 != 0:
		return nil, fmt.Errorf("mapping: key file %s is open to others than its owner (mode %04o): run chmod 600 on it, and consider whether they have read it", path, mode.Perm())
	case info.Size() != kekSize:
		return nil, fmt.Errorf("mapping: key file %s has %d octets in place of %d: put back the file that belongs to the database, or, if there is no database yet, delete it", path, info.Size(), kekSize)
	}
	kek = make([]byte, kekSize)
	if _, err := io.ReadFull(f, kek); err != nil {
		return nil, fmt.Errorf("mapping: read key file: %w", err)
	}
	return kek, nil
}

// makeKeyFile makes the file appear with its whole content, and leaves one that
// another process has made in the meantime as it is: of two keys, the one that
// lost could have sealed something already. A file linked into place has both
// properties; a renamed one would replace the other.
func makeKeyFile(path string) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("mapping: make key file: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(randomKey())
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("mapping: write key file: %w", err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("mapping: make key file: %w", err)
	}
	return syncDir(dir)
}

func randomKey() []byte {
	kek := make([]byte, kekSize)
	_, _ = rand.Read(kek) // never fails
	return kek
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("mapping: sync folder: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("mapping: sync folder: %w", err)
	}
	return nil
}
