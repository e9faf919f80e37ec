package store

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// ErrFull says that the disk is full. Nothing of what was to be written is kept; the same
// call succeeds once there is room again.
var ErrFull = errors.New("the disk is full")

// ErrReadOnly says that the data folder cannot be written.
var ErrReadOnly = errors.New("the data folder is read-only")

// ErrNotDatabase says that the file is no database, not doorhub's, or damaged.
var ErrNotDatabase = errors.New("not a sound doorhub database")

// explain adds to an error of SQLite what it means here and what to do.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	var fault *sqlite.Error
	if !errors.As(err, &fault) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	code := fault.Code() & 0xff // the rest tells SQLite's extended codes
	if fault.Code() == sqlite3.SQLITE_IOERR_SHMSIZE {
		code = sqlite3.SQLITE_FULL // no room for the log's index is not reported as such
	}
	switch code {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%s: %w: make room on it (%w)", doing, ErrFull, err)
	case sqlite3.SQLITE_READONLY:
		return fmt.Errorf("%s: %w: make it writable (%w)", doing, ErrReadOnly, err)
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%s: %w: move it away and restore your backup (%w)", doing, ErrNotDatabase, err)
	case sqlite3.SQLITE_BUSY:
		return fmt.Errorf("%s: another program holds the database: close it (%w)", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// violates reports whether err is the breach of a constraint with that extended code.
func violates(err error, code int) bool {
	var fault *sqlite.Error
	return errors.As(err, &fault) && fault.Code() == code
}

// explainFile adds to an error of the file system what to do.
func explainFile(doing, path string, err error) error {
	switch {
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%s: %w: make it writable or choose another (%w)", doing, ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%s: %w: make room on it (%w)", doing, ErrFull, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: run as the user who owns %s", doing, err, path)
	case errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s: %w: the data folder must be a folder", doing, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w: run doorhub init first", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
