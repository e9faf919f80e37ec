package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/doorhub/doorhub/door"
)

// ErrNoLook says that no look is kept for a record.
var ErrNoLook = errors.New("no look at a face is kept")

// ErrNobody says that a look was taken for nobody, so that nothing of it can be taken back.
var ErrNobody = errors.New("the face was taken for nobody")

// ErrMarked says that a look is marked already, or is not.
var ErrMarked = errors.New("nothing to change")

// Look is the face that a record of the journal came of.
type Look struct {
	Seq        uint64       // of the record: seen, granted or denied
	Time       time.Time    // of the record
	Person     string       // id of whom the face was taken for; "" nobody
	Near       []door.Match // those enrolled then, nearest first; Person is among them
	Liveness   string       // how the face was judged, in the record's word
	Descriptor [128]float32 // dlib's ResNet descriptor
	Wrong      bool         // the owner said that it was not Person
}

// Best returns whom the face was taken for, or when that is nobody, who was nearest. It is
// false when nobody was enrolled.
func (l Look) Best() (door.Match, bool) {
	i := slices.IndexFunc(l.Near, func(m door.Match) bool { return l.Person == "" || m.Person == l.Person })
	if i < 0 {
		return door.Match{}, false
	}
	return l.Near[i], true
}

// RunnerUp returns the nearest of all others, and by how much farther they are than Best, which
// is negative where a claim was verified and somebody else was nearer. It is false when there
// was nobody else.
func (l Look) RunnerUp() (m door.Match, margin float64, ok bool) {
	best, ok := l.Best()
	if !ok {
		return m, 0, false
	}
	i := slices.IndexFunc(l.Near, func(m door.Match) bool { return m.Person != best.Person })
	if i < 0 {
		return m, 0, false
	}
	return l.Near[i], l.Near[i].Distance - best.Distance, true
}

// nearKept is how many of those near are kept with a look, besides whom it was taken for.
const nearKept = 8

// mostWrong is how many looks of one person can be marked as wrong; each costs a comparison on
// every look.
const mostWrong = 50

// KeepLook keeps the face that a record came of, as long and as many as the settings say. The
// descriptor is sealed as those that are enrolled, with record and person as associated data.
// It costs no fsync: a look survives a kill, but perhaps not a power cut. Errors to branch on:
// ErrFace, and ErrNoPerson where the face is, or may be, that of somebody who was erased
// meanwhile or whose faces were taken away.
func (s *Store) KeepLook(ctx context.Context, l Look) error {
	if s.config.KeepLooks == 0 {
		return nil
	}
	person, err := lookPerson(l.Person)
	if err != nil {
		return err
	}
	if err := checkFace(Face{Descriptor: l.Descriptor}); err != nil {
		return err
	}
	near, err := nearText(l)
	if err != nil {
		return err
	}
	sealed, err := seal(s.keys.face, descriptorBytes(l.Descriptor), lookData(l.Seq, l.Person))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.writeLocked(ctx, s.lazy, "keep a look", func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO looks (seq, time, person, near, liveness, sealed, wrong) VALUES (?, ?, ?, ?, ?, ?, 0)`,
			rowid(l.Seq), nanos(l.Time), person, near, mend(l.Liveness), sealed)
		if err = errors.Join(err, stillEnrolled(tx, l)); err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM looks WHERE wrong = 0 AND seq <=
			(SELECT seq FROM looks WHERE wrong = 0 ORDER BY seq DESC LIMIT 1 OFFSET ?)`, s.config.MostLooks)
		return err
	})
	if violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) {
		return noPerson(l.Person)
	}
	return err
}

// stillEnrolled refuses a look at somebody whose face was erased between the look and now.
func stillEnrolled(tx *sql.Tx, l Look) error {
	for _, m := range l.Near {
		if m.Person != l.Person && (l.Person != "" || m.Distance >= perhapsTheirs) {
			continue
		}
		n, err := personNumber(m.Person)
		if err != nil {
			return err
		}
		var enrolled bool
		if err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM faces WHERE person = ?)`, n).Scan(&enrolled); err != nil {
			return err
		}
		if !enrolled {
			return noPerson(m.Person)
		}
	}
	return nil
}

// lookPerson is the person's number, or NULL for nobody.
func lookPerson(id string) (sql.NullInt64, error) {
	if id == "" {
		return sql.NullInt64{}, nil
	}
	n, err := personNumber(id)
	return sql.NullInt64{Int64: n, Valid: true}, err
}

// nearEntry is somebody near, as the database holds it.
type nearEntry struct {
	Person   string  `json:"person"`
	Distance float64 `json:"distance"`
}

// nearText is the nearest, and whom the face was taken for, as JSON.
func nearText(l Look) (string, error) {
	best, _ := l.Best()
	entries := []nearEntry{}
	for i, m := range l.Near {
		if i < nearKept || m.Person == best.Person {
			entries = append(entries, nearEntry(m))
		}
	}
	text, err := json.Marshal(entries)
	if err != nil {
		return "", fmt.Errorf("%w: a distance is no number", ErrFace)
	}
	return string(text), nil
}

func parseNear(text string) (near []door.Match, err error) {
	var entries []nearEntry
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		return nil, fmt.Errorf("those near: %w", err)
	}
	for _, e := range entries {
		near = append(near, door.Match(e))
	}
	return near, nil
}

// PruneLooks erases the looks that are older at now than the settings allow. Those marked as
// wrong stay until that is undone or the person is erased: they still keep somebody else from
// being taken for that person.
func (s *Store) PruneLooks(ctx context.Context, now time.Time) error {
	return s.write(ctx, "erase old looks", func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM looks WHERE wrong = 0 AND time < ?`, nanos(now.Add(-s.config.KeepLooks)))
		return err
	})
}

// perhapsTheirs is the distance up to which a face may be a person's: dlib's own limit.
const perhapsTheirs = 0.6

// removeLooksLike removes the looks that may be at a person's face and are not surely at
// somebody else's: they were taken for nobody, or for another whom the owner ruled out.
func removeLooksLike(tx *sql.Tx, id string) error {
	n, err := personNumber(id)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`DELETE FROM looks WHERE (person IS NULL OR wrong = 1 AND person <> ?) AND EXISTS (SELECT 1 FROM json_each(near)
		WHERE value ->> 'person' = ? AND value ->> 'distance' < ?)`, n, id, perhapsTheirs)
	return err
}

// MarkLook notes that the face of a record was not that of whom it was taken for, or with false
// that it was after all. At most 50 looks of a person can be marked. Errors to branch on:
// ErrNoLook, ErrNobody, ErrMarked, ErrTooManyFaces.
func (s *Store) MarkLook(ctx context.Context, seq uint64, wrong bool) (l Look, err error) {
	if l, err = s.Look(ctx, seq); err != nil {
		return l, err
	}
	if l.Person == "" {
		return l, fmt.Errorf("record %d: %w", seq, ErrNobody)
	}
	err = s.write(ctx, "mark a look", func(tx *sql.Tx) error { return markLook(tx, l, wrong) })
	l.Wrong = wrong
	return l, err
}

func markLook(tx *sql.Tx, l Look, wrong bool) error {
	var have int
	err := tx.QueryRow(`SELECT count(*) FROM looks WHERE wrong = 1 AND person = (SELECT person FROM looks WHERE seq = ?)`, rowid(l.Seq)).Scan(&have)
	if err != nil {
		return err
	}
	if wrong && have >= mostWrong {
		return fmt.Errorf("%w: %d looks are marked as not %s: enrol better pictures, and take marks back", ErrTooManyFaces, have, l.Person)
	}
	result, err := tx.Exec(`UPDATE looks SET wrong = ? WHERE seq = ? AND wrong <> ?`, wrong, rowid(l.Seq), wrong)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return err
	}
	if wrong {
		return fmt.Errorf("record %d: %w: it is marked as not %s already", l.Seq, ErrMarked, l.Person)
	}
	return fmt.Errorf("record %d: %w: it was never marked as not %s", l.Seq, ErrMarked, l.Person)
}

// LookFilter chooses looks; the zero value chooses all.
type LookFilter struct {
	Person string    // id of whom they were taken for
	From   time.Time // at or after
	Wrong  bool      // only those marked as wrong
}

const lookColumns = `SELECT seq, time, person, near, liveness, sealed, wrong FROM looks WHERE `

// Look returns the look that is kept for a record, or ErrNoLook.
func (s *Store) Look(ctx context.Context, seq uint64) (Look, error) {
	looks, err := s.selectLooks(ctx, `seq = ?`, rowid(seq))
	switch {
	case err != nil:
		return Look{}, err
	case len(looks) == 0:
		return Look{}, fmt.Errorf("record %d: %w", seq, ErrNoLook)
	}
	return looks[0], nil
}

// Looks returns the looks that f chooses, oldest first. One that cannot be read back is left
// out and named in the error; the others are returned beside it.
func (s *Store) Looks(ctx context.Context, f LookFilter) ([]Look, error) {
	terms, args := []string{"true"}, []any{}
	if f.Person != "" {
		n, err := personNumber(f.Person)
		if err != nil {
			return nil, err
		}
		terms, args = append(terms, "person = ?"), append(args, n)
	}
	if !f.From.IsZero() {
		terms, args = append(terms, "time >= ?"), append(args, nanos(f.From))
	}
	if f.Wrong {
		terms = append(terms, "wrong = 1")
	}
	return s.selectLooks(ctx, strings.Join(terms, " AND "), args...)
}

func (s *Store) selectLooks(ctx context.Context, where string, args ...any) ([]Look, error) {
	rows, err := s.reader.QueryContext(ctx, lookColumns+where+` ORDER BY seq`, args...)
	if err != nil {
		return nil, explain("read the looks", err)
	}
	defer rows.Close()
	var looks []Look
	var bad []error
	for rows.Next() {
		l, err := s.scanLook(rows)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		looks = append(looks, l)
	}
	return looks, errors.Join(append(bad, explain("read the looks", rows.Err()))...)
}

func (s *Store) scanLook(rows *sql.Rows) (Look, error) {
	var l Look
	var seq, at int64
	var person sql.NullInt64
	var near string
	var sealed []byte
	if err := rows.Scan(&seq, &at, &person, &near, &l.Liveness, &sealed, &l.Wrong); err != nil {
		return l, fmt.Errorf("a look: %w", err)
	}
	l.Seq, l.Time = uint64(seq), fromNanos(at)
	if person.Valid {
		l.Person = personID(person.Int64)
	}
	plain, err := unseal(s.keys.face, sealed, lookData(l.Seq, l.Person))
	if err == nil {
		l.Descriptor, err = parseDescriptor(plain)
	}
	if err == nil {
		err = checkFace(Face{Descriptor: l.Descriptor})
	}
	if err == nil {
		l.Near, err = parseNear(near)
	}
	if err != nil {
		return l, fmt.Errorf("the look of record %d: %w", l.Seq, err)
	}
	return l, nil
}

func lookData(seq uint64, person string) string {
	return fmt.Sprintf("look %d of %s", seq, person)
}
