package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// What a reader of the journal could not use is kept under meta keys of this form, whose digits
// sort as the numbers do.
func asideKey(reader string, seq uint64) string {
	return fmt.Sprintf("%s%019d", asidePrefix(reader), rowid(seq))
}

func asidePrefix(reader string) string { return "aside/" + reader + "/" }

// asideEnd sorts behind all keys of a reader.
func asideEnd(reader string) string { return asidePrefix(reader) + ":" }

// SetAside notes that the named reader of the journal has passed over a record, and why.
func (s *Store) SetAside(ctx context.Context, reader string, seq uint64, why string) error {
	if why = mend(why); why == "" {
		why = "unknown" // "" would forget it
	}
	return s.SetMeta(ctx, asideKey(reader, seq), why)
}

// Aside returns the records that the named reader has passed over, and why.
func (s *Store) Aside(ctx context.Context, reader string) (map[uint64]string, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT key, value FROM meta WHERE key >= ? AND key < ?`, asidePrefix(reader), asideEnd(reader))
	if err != nil {
		return nil, explain("read what was set aside", err)
	}
	defer rows.Close()
	aside := map[uint64]string{}
	for rows.Next() {
		var key, why string
		if err := rows.Scan(&key, &why); err != nil {
			return nil, explain("read what was set aside", err)
		}
		seq, err := strconv.ParseUint(strings.TrimPrefix(key, asidePrefix(reader)), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read what was set aside: %w", err)
		}
		aside[seq] = why
	}
	return aside, explain("read what was set aside", rows.Err())
}

// ForgetAside forgets that the named reader has passed over records from seq on.
func (s *Store) ForgetAside(ctx context.Context, reader string, seq uint64) error {
	return s.write(ctx, "forget what was set aside", func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM meta WHERE key >= ? AND key < ?`, asideKey(reader, seq), asideEnd(reader))
		return err
	})
}
