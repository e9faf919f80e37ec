package store

import (
	"context"
	"iter"
	"math"
	"strings"
	"time"

	"github.com/doorhub/doorhub/door"
)

// Filter chooses records; the zero value chooses all, oldest first.
type Filter struct {
	Person string      // id
	Kinds  []door.Kind // any of them
	Door   string      // id
	From   time.Time   // at or after
	To     time.Time   // before
	After  uint64      // Seq greater than it
	Before uint64      // Seq less than it; 0: no bound
	Limit  int         // at most so many; 0: all
	Newest bool        // newest first
	Bare   bool        // without Sealed, Prev and Hash, which cost a third of the time
}

// pageSize is how many records are read at once. Between pages no transaction is open, so
// that a slow reader does not keep the write-ahead log from being reused.
const pageSize = 512

// Records streams the records that f chooses, by Seq. A record that cannot be read comes as
// an error that names it, and the stream goes on to the next; an error of the database ends
// it. Whoever iterates may call any method meanwhile.
func (s *Store) Records(ctx context.Context, f Filter) iter.Seq2[door.Record, error] {
	return func(yield func(door.Record, error) bool) {
		if err := s.boundBelow(ctx, &f); err != nil {
			yield(door.Record{}, err)
			return
		}
		left := f.Limit
		for {
			size := pageSize
			if f.Limit > 0 {
				size = min(size, left)
			}
			page, err := s.page(ctx, f, size)
			if err != nil {
				yield(door.Record{}, err)
				return
			}
			for i := range page {
				if !yield(page[i].record()) {
					return
				}
			}
			if left -= len(page); len(page) < size || left == 0 {
				return
			}
			f.turn(page[len(page)-1].seq)
		}
	}
}

// turn moves the filter to the records after the page that ended with seq.
func (f *Filter) turn(seq int64) {
	if f.Newest {
		f.Before = uint64(seq)
		return
	}
	f.After = uint64(seq)
}

// boundBelow turns From into a bound on Seq by the index on time, so that the records of
// today are found without reading those of all years. The clock may have gone back, so From
// stays a condition as well.
func (s *Store) boundBelow(ctx context.Context, f *Filter) error {
	if f.From.IsZero() {
		return nil
	}
	var first *int64
	err := s.reader.QueryRowContext(ctx, `SELECT min(seq) FROM journal WHERE time >= ?`, nanos(f.From)).Scan(&first)
	switch {
	case err == nil && first != nil:
		f.After = max(f.After, uint64(*first)-1)
	case err == nil:
		f.After = math.MaxInt64
	}
	return explain("read the journal", err)
}

func (s *Store) page(ctx context.Context, f Filter, size int) ([]entry, error) {
	where, args := f.where()
	order := "ASC"
	if f.Newest {
		order = "DESC"
	}
	rows, err := s.reader.QueryContext(ctx, `SELECT `+f.columns()+` FROM journal WHERE `+where+` ORDER BY seq `+order+` LIMIT ?`, append(args, size)...)
	if err != nil {
		return nil, explain("read the journal", err)
	}
	defer rows.Close()
	page := make([]entry, 0, size)
	var e entry
	into := e.pointers()
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, explain("read the journal", err)
		}
		page = append(page, e)
	}
	return page, explain("read the journal", rows.Err())
}

func (f Filter) columns() string {
	if f.Bare {
		return bareColumns
	}
	return columns
}

// where is f as SQL. The plus keeps SQLite from walking the index on time, which would sort
// anew for every page.
func (f Filter) where() (string, []any) {
	terms, args := []string{"seq > ?"}, []any{rowid(f.After)}
	add := func(term string, values ...any) {
		terms, args = append(terms, term), append(args, values...)
	}
	if f.Before > 0 {
		add("seq < ?", rowid(f.Before))
	}
	if f.Person != "" {
		add("person = ? AND person <> ''", f.Person)
	}
	if f.Door != "" {
		add("door = ?", f.Door)
	}
	if !f.From.IsZero() {
		add("+time >= ?", nanos(f.From))
	}
	if !f.To.IsZero() {
		add("+time < ?", nanos(f.To))
	}
	if len(f.Kinds) > 0 {
		kinds := make([]any, len(f.Kinds))
		for i, k := range f.Kinds {
			kinds[i] = string(k)
		}
		add("kind IN (?"+strings.Repeat(", ?", len(kinds)-1)+")", kinds...)
	}
	return strings.Join(terms, " AND "), args
}

// rowid is seq as SQLite counts, whose numbers end earlier.
func rowid(seq uint64) int64 { return int64(min(seq, math.MaxInt64)) }
