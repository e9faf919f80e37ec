package store

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"runtime"
	"slices"
	"sync"
)

// Wrong is what is wrong with a record of the journal.
type Wrong string

// The ways in which a journal can be found tampered with.
const (
	Changed   Wrong = "changed"   // contents and keyed hash do not belong together
	Missing   Wrong = "missing"   // the records around it are there
	Reordered Wrong = "reordered" // it is whole, and was written elsewhere
	Unlinked  Wrong = "unlinked"  // it is whole, and does not follow the one before it
	CutOff    Wrong = "cut off"   // the journal ends before it; a head knows that it was there
	Rewritten Wrong = "rewritten" // it is whole, and a head knows it with another hash
)

// ChainError tells of the first record with which something is wrong.
type ChainError struct {
	Seq    uint64
	Wrong  Wrong
	Detail string // for people
}

// Error says which record, what and why.
func (e *ChainError) Error() string {
	return fmt.Sprintf("record %d is %s: %s", e.Seq, e.Wrong, e.Detail)
}

// ErrUnchecked says that all records are right, and that nothing could tell whether there
// were more.
var ErrUnchecked = errors.New("a cut-off tail could not be looked for; give --head")

// verifyChunk makes a chunk some 30 ms of work.
const verifyChunk = 8192

// Verify checks every record of the journal against its hash, its neighbours, the heads
// given and the head file, and returns the journal's head. The error is a *ChainError for
// the first record that was changed, is missing or out of order, or for a tail that was cut
// off. It is ErrUnchecked when no heads are given and the head file was missing or empty when
// the journal was opened, or is out of reach. progress, if not nil, is told how far it has come. Records may be appended meanwhile;
// what comes after the start is not looked at.
func (s *Store) Verify(ctx context.Context, heads []Head, progress func(done, total uint64)) (Head, error) {
	filed, fileErr := readHeads(s.headPath()) // before the end is read, which may move on
	given := len(heads) > 0
	heads = slices.Concat(heads, filed, []Head{s.Head()})
	last, err := s.lastSeq(ctx)
	if err != nil {
		return Head{}, err
	}
	head, err := s.verifyChain(ctx, last, progress)
	if err != nil {
		return head, err
	}
	if err := s.compareHeads(head, heads); err != nil {
		return head, err
	}
	return head, s.judgeHeadFile(fileErr, head.Seq > 0 && !given)
}

// judgeHeadFile says what the head file, read with err, was worth for a journal that is whole;
// needed is whether there is nothing else to find a cut-off tail by.
func (s *Store) judgeHeadFile(err error, needed bool) error {
	s.mu.Lock()
	lacking, problem := s.file.lacking, s.file.state()
	s.mu.Unlock()
	gone := errors.Is(err, fs.ErrNotExist)
	switch {
	case gone && problem == nil && lacking == "":
		return fmt.Errorf("the head file was deleted while in use: restart doorhub: %w", err)
	case err != nil && !gone:
		return err
	case gone && lacking == "":
		lacking = "no head file"
	}
	if lacking == "" || !needed {
		return nil
	}
	return fmt.Errorf("%s %s: %w", lacking, s.headPath(), ErrUnchecked)
}

func (s *Store) lastSeq(ctx context.Context) (uint64, error) {
	var first, last int64
	err := s.reader.QueryRowContext(ctx, `SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM journal`).Scan(&first, &last)
	if err == nil && first < 1 {
		return 0, &ChainError{Seq: 0, Wrong: Changed, Detail: "the journal begins with 1: somebody put it there"}
	}
	return uint64(last), explain("read the journal", err)
}

// verifyChain checks records 1 to last, a few chunks at a time in parallel.
func (s *Store) verifyChain(ctx context.Context, last uint64, progress func(done, total uint64)) (Head, error) {
	var head Head
	workers := max(1, min(runtime.GOMAXPROCS(0), 4))
	chunks := make([]chunk, workers)
	for head.Seq < last {
		var wait sync.WaitGroup
		from := head.Seq + 1
		for i := range chunks {
			chunks[i] = chunk{from: from, to: min(from+s.chunk-1, last)}
			from = chunks[i].to + 1
			wait.Go(func() { chunks[i].check(ctx, s) })
		}
		wait.Wait()
		for _, c := range chunks {
			if err := c.join(&head); err != nil {
				return head, err
			}
		}
		if progress != nil {
			progress(head.Seq, last)
		}
	}
	return head, nil
}

// chunk is a run of records, checked by itself.
type chunk struct {
	from, to uint64 // from > to: nothing to check
	prev     []byte // what the first record follows
	last     Head   // the last one that was found right
	err      error  // with the one after it
}

// join links the chunk to what was checked before it.
func (c chunk) join(head *Head) error {
	if c.from > c.to {
		return nil
	}
	if c.prev != nil && !hmac.Equal(c.prev, head.Hash[:]) {
		return unlinked(c.from)
	}
	if c.last.Seq > 0 {
		*head = c.last
	}
	return c.err
}

func (c *chunk) check(ctx context.Context, s *Store) {
	if c.from > c.to {
		return
	}
	rows, err := s.reader.QueryContext(ctx, `SELECT `+columns+` FROM journal WHERE seq BETWEEN ? AND ? ORDER BY seq`, int64(c.from), int64(c.to))
	if err != nil {
		c.err = explain("read the journal", err)
		return
	}
	defer rows.Close()
	c.err = c.checkRows(rows, &checker{mac: hmac.New(sha256.New, s.keys.journal)})
	if wrong := new(ChainError); errors.As(c.err, &wrong) && wrong.Wrong == Changed {
		c.err = s.whereFrom(ctx, wrong)
	}
}

func (c *chunk) checkRows(rows *sql.Rows, k *checker) error {
	var e entry
	into := e.pointers()
	next := c.from
	for ; rows.Next(); next++ {
		if err := rows.Scan(into...); err != nil {
			return &ChainError{Seq: next, Wrong: Changed, Detail: "it cannot be read: " + err.Error()}
		}
		if uint64(e.seq) != next {
			return missing(next)
		}
		if !hmac.Equal(k.sum(&e), e.hash) {
			return &ChainError{Seq: next, Wrong: Changed, Detail: "its contents do not belong to its hash"}
		}
		if next == c.from {
			c.prev = slices.Clone(e.prev)
		} else if !hmac.Equal(e.prev, c.last.Hash[:]) {
			return unlinked(next)
		}
		c.last = Head{Seq: next, Hash: [sha256.Size]byte(e.hash)}
	}
	if err := rows.Err(); err != nil {
		return explain(fmt.Sprintf("read record %d", next), err)
	}
	if next <= c.to {
		return missing(next)
	}
	return nil
}

// checker hashes entries without allocating.
type checker struct {
	mac      hash.Hash
	buf, out []byte
}

func (k *checker) sum(e *entry) []byte {
	k.buf = e.appendCanonical(k.buf[:0])
	k.mac.Reset()
	k.mac.Write(k.buf)
	k.out = k.mac.Sum(k.out[:0])
	return k.out
}

// whereFrom tells a changed record from a whole one that was moved: its hash is right for
// another place.
func (s *Store) whereFrom(ctx context.Context, wrong *ChainError) error {
	var e entry
	row := s.reader.QueryRowContext(ctx, `SELECT `+columns+` FROM journal WHERE seq = ?`, int64(wrong.Seq))
	if err := row.Scan(e.pointers()...); err != nil {
		return wrong
	}
	k := checker{mac: hmac.New(sha256.New, s.keys.journal)}
	last := s.Head().Seq
	for seq := uint64(1); seq <= last && ctx.Err() == nil; seq++ {
		e.seq = int64(seq)
		if hmac.Equal(k.sum(&e), e.hash) {
			return &ChainError{Seq: wrong.Seq, Wrong: Reordered, Detail: fmt.Sprintf("it was written as record %d", seq)}
		}
	}
	return wrong
}

func missing(seq uint64) error {
	return &ChainError{Seq: seq, Wrong: Missing, Detail: "there are records after it"}
}

func unlinked(seq uint64) error {
	return &ChainError{Seq: seq, Wrong: Unlinked, Detail: "it follows another record than the one before it"}
}

// compareHeads holds a chain that is whole up to head against heads kept elsewhere.
func (s *Store) compareHeads(head Head, heads []Head) error {
	for _, h := range slices.SortedFunc(slices.Values(heads), bySeq) {
		if h.Seq > head.Seq {
			return &ChainError{Seq: head.Seq + 1, Wrong: CutOff, Detail: fmt.Sprintf("the journal ends with %d and once went to %d at least", head.Seq, h.Seq)}
		}
		ok, err := s.fits(h)
		if err != nil {
			return err
		}
		if !ok {
			return &ChainError{Seq: h.Seq, Wrong: Rewritten, Detail: "a head kept outside the database has another hash for it"}
		}
	}
	return nil
}

func bySeq(a, b Head) int { return cmp.Compare(a.Seq, b.Seq) }
