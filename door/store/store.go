// Package store keeps what must outlast a power cut: people and their credentials, the
// journal with its hash chain, the cursors of its readers, and lockouts. It is one SQLite
// database in a data folder that one process holds at a time.
//
// Secrets are kept as argon2id hashes behind a pepper, face descriptors are sealed; both
// hang on the key file beside the database. Whoever has database and key has them all.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Store is an open data folder. Its methods may be called by many goroutines at once.
type Store struct {
	dir    string
	config Config
	keys   keys
	lock   *os.File

	writer *sql.DB // one connection, every commit durable
	lazy   *sql.DB // one connection, commits survive a kill but perhaps not a power cut
	reader *sql.DB

	argon chan struct{} // a place for each argon2id that may run, for its memory
	chunk uint64        // how many records one goroutine verifies at a time

	mu     sync.Mutex // held by whoever writes
	insert *sql.Stmt
	taken  *sql.Stmt
	chain  chain
	file   headFile
}

// Open opens the data folder dir, whose key CreateKey has made, and holds it until Close.
// A database of an older version is brought up to date. Errors to branch on: ErrOwner,
// ErrInUse, ErrNoKey, ErrKeyMode, ErrWrongKey, ErrNewer, ErrNotDatabase, ErrReadOnly, ErrFull.
func Open(dir string, opts ...Option) (*Store, error) {
	config := Defaults()
	for _, o := range opts {
		o(&config)
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	s := &Store{dir: dir, config: config, argon: make(chan struct{}, argonAtOnce), chunk: verifyChunk}
	if err := s.open(context.Background()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := checkOwner(s.dir); err != nil {
		return err
	}
	key, err := loadKey(s.dir)
	if err != nil {
		return err
	}
	if s.keys, err = deriveKeys(key); err != nil {
		return err
	}
	if s.lock, err = lockFolder(s.dir); err != nil {
		return err
	}
	path := filepath.Join(s.dir, databaseFile)
	if err := createDatabase(path); err != nil {
		return err
	}
	if err := s.connect(path); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return s.openJournal(ctx)
}

// createDatabase makes an empty database file that nobody else can read; SQLite gives its
// side files the same mode.
func createDatabase(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return explainFile("make the database", path, err)
	}
	return errors.Join(f.Close(), syncFolder(filepath.Dir(path)))
}

func (s *Store) connect(path string) (err error) {
	if s.writer, err = s.pool(path, 1, "journal_mode(wal)", "synchronous(full)"); err != nil {
		return err
	}
	if s.lazy, err = s.pool(path, 1, "synchronous(normal)"); err != nil {
		return err
	}
	s.reader, err = s.pool(path, 4, "query_only(1)")
	return err
}

// pool opens up to size connections, each with the pragmas.
func (s *Store) pool(path string, size int, pragmas ...string) (*sql.DB, error) {
	busy := fmt.Sprintf("busy_timeout(%d)", s.config.BusyTimeout.Milliseconds())
	query := url.Values{
		"_txlock": {"immediate"},
		"_pragma": append([]string{busy, "foreign_keys(1)", "secure_delete(1)"}, pragmas...),
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, explain("open "+path, err)
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// write runs do in one transaction that is durable when write returns nil, and undone
// otherwise. Once begun it takes no notice of ctx: it is milliseconds, and a transaction
// that was given up half-way would leave open whether it happened.
func (s *Store) write(ctx context.Context, doing string, do func(*sql.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(ctx, s.writer, doing, do)
}

func (s *Store) writeLocked(ctx context.Context, db *sql.DB, doing string, do func(*sql.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return explain(doing, err)
	}
	if err := do(tx); err != nil {
		tx.Rollback() // SQLite may have done so itself, on a full disk for one
		return explain(doing, err)
	}
	return explain(doing, tx.Commit())
}

// Close gives the data folder back. What is called afterwards fails; Close again does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := []error{s.file.close()}
	for _, st := range []*sql.Stmt{s.insert, s.taken} {
		if st != nil {
			errs = append(errs, st.Close())
		}
	}
	for _, db := range []*sql.DB{s.reader, s.lazy, s.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.lock != nil {
		errs = append(errs, unlockFolder(s.lock))
		s.lock = nil
	}
	return errors.Join(errs...)
}

func nanos(t time.Time) int64 { return t.UTC().UnixNano() }

func fromNanos(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// nanosOrZero keeps a time that may be unknown.
func nanosOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return nanos(t)
}

func fromNanosOrZero(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return fromNanos(ns)
}
