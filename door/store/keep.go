package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/doorhub/doorhub/door"
)

// ErrAhead says that a cursor would pass over records that are yet to come.
var ErrAhead = errors.New("the cursor is ahead of the journal")

// Cursor returns up to which record the named reader of the journal has read; 0 at first.
func (s *Store) Cursor(ctx context.Context, name string) (uint64, error) {
	var seq int64
	err := s.reader.QueryRowContext(ctx, `SELECT seq FROM cursors WHERE name = ?`, name).Scan(&seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, explain("read cursor "+name, err)
	}
	return uint64(seq), nil
}

// Cursors returns up to which record each reader of the journal has read, by its name.
func (s *Store) Cursors(ctx context.Context) (map[string]uint64, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT name, seq FROM cursors`)
	if err != nil {
		return nil, explain("read the cursors", err)
	}
	defer rows.Close()
	all := map[string]uint64{}
	for rows.Next() {
		var name string
		var seq int64
		if err := rows.Scan(&name, &seq); err != nil {
			return nil, explain("read the cursors", err)
		}
		all[name] = uint64(seq)
	}
	return all, explain("read the cursors", rows.Err())
}

// SetCursor keeps up to which record the named reader has read; back is allowed, to read
// again, ahead of the journal is not. It costs no fsync: a cursor survives a kill, and after
// a power cut may stand where it stood at the last append, so that a reader sees a few
// records twice and misses none.
func (s *Store) SetCursor(ctx context.Context, name string, seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if head := s.chain.head.Seq; seq > head {
		return fmt.Errorf("cursor %s: %w: %d, and the last record is %d", name, ErrAhead, seq, head)
	}
	return s.writeLocked(ctx, s.lazy, "keep cursor "+name, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO cursors (name, seq) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET seq = excluded.seq`, name, int64(seq))
		return err
	})
}

// KeepLockout keeps what remains of the lockout with the key; a zero one is forgotten.
func (s *Store) KeepLockout(ctx context.Context, key string, l door.Lockout) error {
	return s.write(ctx, "keep a lockout", func(tx *sql.Tx) (err error) {
		if l == (door.Lockout{}) {
			_, err = tx.Exec(`DELETE FROM lockouts WHERE key = ?`, key)
			return err
		}
		_, err = tx.Exec(`INSERT INTO lockouts (key, wrong, remaining, quiet) VALUES (?, ?, ?, ?)
			ON CONFLICT (key) DO UPDATE SET wrong = excluded.wrong, remaining = excluded.remaining, quiet = excluded.quiet`,
			key, l.Wrong, int64(l.Remaining), int64(l.Quiet))
		return err
	})
}

// Lockouts returns all lockouts that are kept, by key.
func (s *Store) Lockouts(ctx context.Context) (map[string]door.Lockout, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT key, wrong, remaining, quiet FROM lockouts`)
	if err != nil {
		return nil, explain("read the lockouts", err)
	}
	defer rows.Close()
	kept := map[string]door.Lockout{}
	for rows.Next() {
		var key string
		var l door.Lockout
		var remaining, quiet int64
		if err := rows.Scan(&key, &l.Wrong, &remaining, &quiet); err != nil {
			return nil, explain("read a lockout", err)
		}
		l.Remaining, l.Quiet = time.Duration(remaining), time.Duration(quiet)
		kept[key] = l
	}
	return kept, explain("read the lockouts", rows.Err())
}

// Meta returns the value kept under the key; "" when there is none.
func (s *Store) Meta(ctx context.Context, key string) (string, error) {
	var value string
	err := s.reader.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = ?`, key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, explain("read "+key, err)
}

// SetMeta keeps a small value under the key; "" forgets it.
func (s *Store) SetMeta(ctx context.Context, key, value string) error {
	return s.write(ctx, "keep "+key, func(tx *sql.Tx) (err error) {
		if value == "" {
			_, err = tx.Exec(`DELETE FROM meta WHERE key = ?`, key)
			return err
		}
		_, err = tx.Exec(`INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, value)
		return err
	})
}
