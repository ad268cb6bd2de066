package mapping

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.mau.fi/util/dbutil"
)

// driver is the one SQLite driver whose commits survive a power failure.
const driver = "sqlite3-fk-wal-fullsync"

// ErrInUse reports that another process has claimed the database.
var ErrInUse = errors.New("mapping: another process uses this database")

// A Claimed database belongs to this process until Release, or the end of the
// process.
//
// It holds a descriptor and not an [os.File]: that would be closed, and the lock
// given up, as soon as nobody refers to it any more.
type Claimed struct {
	lock int
	// empty says that the database had nothing in it when it was claimed.
	empty bool
}

// Claim prepares the database file that pool names, before anything opens it.
//
//   - It fails unless the settings are those that the gateway needs: PostgreSQL
//     ([ErrDialect]), a driver that may forget commits, a database in memory,
//     and transactions that do not take the write lock at once are refused.
//   - It fails with [ErrInUse] if another process has claimed the file. The lock
//     is on a file beside it with the suffix .lock, which stays: SQLite drops
//     its own locks when somebody else opens and closes the database file.
//   - It makes the file, if there is none, and closes it and SQLite's files
//     beside it (-wal, -shm) to all but their owner. SQLite gives new ones the
//     mode of the database file.
func Claim(pool dbutil.PoolConfig) (*Claimed, error) {
	path, err := databasePath(pool)
	if err != nil {
		return nil, err
	}
	// Two names of one file must lead to one lock.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	lock, err := syscall.Open(path+".lock", syscall.O_RDWR|syscall.O_CREAT|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("mapping: open %s.lock: %w", path, err)
	}
	err = syscall.Flock(lock, syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = fmt.Errorf("%w: stop it first, or give this one another database.uri than %s", ErrInUse, path)
	case err != nil:
		err = fmt.Errorf("mapping: lock %s.lock: %w", path, err)
	default:
		err = makePrivate(path)
	}
	if err != nil {
		return nil, errors.Join(err, syscall.Close(lock))
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("mapping: inspect database file: %w", err), syscall.Close(lock))
	}
	return &Claimed{lock, info.Size() == 0}, nil
}

// LoadKeyFile is the function [LoadKeyFile] for the database: it makes a key file
// only for a database that is new. What a lost key has sealed no new one opens.
func (c *Claimed) LoadKeyFile(path string) (Keys, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && !c.empty {
		return Keys{}, fmt.Errorf("%w: the key file %s is missing; put back the one that belongs to the database", ErrKey, path)
	}
	return LoadKeyFile(path)
}

// Release lets other processes claim the database. It must be closed by then.
func (c *Claimed) Release() error {
	if err := syscall.Close(c.lock); err != nil {
		return fmt.Errorf("mapping: release database: %w", err)
	}
	return nil
}

// makePrivate makes an empty database file if there is none, which SQLite takes
// for a new database, and gives all files of the database mode 0600.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = f.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("mapping: make database file: %w", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		err := os.Chmod(path+suffix, 0o600)
		if err != nil && (suffix == "" || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("mapping: make database file private: %w", err)
		}
	}
	return nil
}

// databasePath checks the settings and returns the file that they name.
func databasePath(pool dbutil.PoolConfig) (string, error) {
	dialect, err := dbutil.ParseDialect(pool.Type)
	if err != nil || dialect == dbutil.SQLite && pool.Type != driver {
		return "", fmt.Errorf("mapping: database.type is %q: set it to %s", pool.Type, driver)
	}
	if dialect != dbutil.SQLite || strings.HasPrefix(pool.URI, "postgres") {
		return "", ErrDialect
	}
	// The driver reads its own options behind the first question mark, whether
	// the rest is a URI or a path.
	path, query, _ := strings.Cut(pool.URI, "?")
	options, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("mapping: the options of database.uri are malformed")
	}
	if options.Get("_txlock") != "immediate" {
		return "", errors.New("mapping: database.uri must end in ?_txlock=immediate: otherwise transactions fail that read before they write")
	}
	if rest, ok := strings.CutPrefix(path, "file:"); ok {
		if rest, ok := strings.CutPrefix(rest, "//"); ok {
			path = strings.TrimPrefix(rest, "localhost")
		} else {
			path = rest
		}
		if path, err = url.PathUnescape(path); err != nil {
			return "", errors.New("mapping: the path of database.uri is malformed")
		}
	}
	if path == "" || path == ":memory:" || options.Get("mode") == "memory" || strings.HasSuffix(path, string(filepath.Separator)) {
		return "", errors.New("mapping: database.uri must name a file")
	}
	return path, nil
}
