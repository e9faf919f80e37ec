package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/doorhub/doorhub/door"
)

// ErrTime says that a record's time cannot be kept: before 1678 or after 2262.
var ErrTime = errors.New("no time that can be kept")

// chain is the end of the journal, to which the next record is linked.
type chain struct {
	head   Head
	newest int64 // the latest time of any record: what lies after it is free
	asked  int64 // the last time that had to move,
	given  int64 // and where it went, so that many at one time cost no search
}

// openJournal reads the end of the journal and compares it with the head file.
func (s *Store) openJournal(ctx context.Context) (err error) {
	if s.chain, err = s.loadChain(ctx); err != nil {
		return err
	}
	s.insert, err = s.writer.PrepareContext(ctx, `INSERT INTO journal (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		return explain("open the journal", err)
	}
	if s.taken, err = s.writer.PrepareContext(ctx, `SELECT EXISTS (SELECT 1 FROM journal WHERE time = ?)`); err != nil {
		return explain("open the journal", err)
	}
	s.file = headFile{path: s.headPath(), fits: s.fits}
	if s.chain.head.Seq > 0 {
		s.file.lookFor()
	}
	s.file.write(s.chain.head)
	return nil
}

func (s *Store) loadChain(ctx context.Context) (chain, error) {
	c := chain{newest: math.MinInt64}
	var hash []byte
	row := s.writer.QueryRowContext(ctx, `SELECT seq, hash, (SELECT max(time) FROM journal) FROM journal ORDER BY seq DESC LIMIT 1`)
	err := row.Scan(&c.head.Seq, &hash, &c.newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return c, explain("read the end of the journal", err)
	}
	copy(c.head.Hash[:], hash)
	return c, nil
}

// Append makes the records durable, in order and all or none, and returns them as they are
// kept: with Seq, Prev and Hash, with Time in UTC and moved on by single nanoseconds until
// no other record has it, and with Sealed sealed. On the way in, Sealed is the plain text,
// at most 63 bytes, of a granted, denied or disarmed record.
//
// After an error nothing was kept and the same records may be given again. Errors to branch
// on: ErrFull, ErrReadOnly. The head file is written afterwards and fails nothing; see
// HeadProblem.
func (s *Store) Append(ctx context.Context, recs []door.Record) ([]door.Record, error) {
	if len(recs) == 0 {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, kept := s.chain, make([]door.Record, 0, len(recs))
	err := s.writeLocked(ctx, s.writer, "append to the journal", func(tx *sql.Tx) error {
		a := appender{keys: s.keys, chain: &next, insert: tx.Stmt(s.insert), taken: tx.Stmt(s.taken)}
		for _, rec := range recs {
			rec, err := a.append(rec)
			if err != nil {
				return err
			}
			kept = append(kept, rec)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.chain = next
	s.file.write(next.head)
	return kept, nil
}

// appender links records to a chain within one transaction.
type appender struct {
	keys          keys
	chain         *chain
	insert, taken *sql.Stmt
}

func (a appender) append(rec door.Record) (door.Record, error) {
	if y := rec.Time.UTC().Year(); y < 1678 || y > 2261 {
		return rec, fmt.Errorf("%w: %s", ErrTime, rec.Time.Format(time.RFC3339))
	}
	e, err := newEntry(rec)
	if err != nil {
		return rec, err
	}
	e.seq = int64(a.chain.head.Seq) + 1
	if e.time, err = a.freeTime(e.time); err != nil {
		return rec, err
	}
	if err := sealFor(a.keys.owner, &e, rec.Sealed); err != nil {
		return rec, err
	}
	prev := a.chain.head.Hash
	e.prev = prev[:]
	e.hash = keyed(a.keys.journal, string(e.appendCanonical(nil)))
	if _, err := a.insert.Exec(e.values()...); err != nil {
		return rec, err
	}
	a.chain.head = Head{Seq: uint64(e.seq), Hash: [sha256.Size]byte(e.hash)}
	return e.record()
}

// freeTime returns ns, or the first nanosecond after it that no record has.
func (a appender) freeTime(ns int64) (int64, error) {
	c := a.chain
	wanted := ns
	if ns == c.asked && c.given > ns {
		ns = c.given + 1
	}
	for ns <= c.newest {
		var taken bool
		if err := a.taken.QueryRow(ns).Scan(&taken); err != nil {
			return 0, err
		}
		if !taken {
			break
		}
		ns++
	}
	if ns != wanted {
		c.asked, c.given = wanted, ns
	}
	c.newest = max(c.newest, ns)
	return ns, nil
}

// Head returns the end of the journal: the last record's number and hash.
func (s *Store) Head() Head {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chain.head
}

// HeadProblem tells what is wrong with the head file: it cannot be written, or it knew of
// records that the journal does not have. nil when all is well.
func (s *Store) HeadProblem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.state()
}

// fits reports whether the record that h names is in the journal, with its hash.
func (s *Store) fits(h Head) (bool, error) {
	if h.Seq == 0 {
		return h == Head{}, nil
	}
	if h.Seq > math.MaxInt64 {
		return false, nil
	}
	var hash []byte
	err := s.reader.QueryRow(`SELECT hash FROM journal WHERE seq = ?`, int64(h.Seq)).Scan(&hash)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return hmac.Equal(hash, h.Hash[:]), explain("compare with the head", err)
}
