package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"github.com/doorhub/doorhub/door"
)

// ErrNoPerson says that there is no such person, or no longer.
var ErrNoPerson = errors.New("no such person")

// ErrNameTaken says that somebody else has the name.
var ErrNameTaken = errors.New("this name is taken")

// ErrAmbiguous says that a word names two people.
var ErrAmbiguous = errors.New("this names two people")

// Person is somebody the doors may know, with the name and with what is enrolled.
type Person struct {
	door.Person
	Name   string    `json:"name"`
	Added  time.Time `json:"added"`
	PIN    bool      `json:"pin"`
	Remote bool      `json:"remote"`
	Faces  int       `json:"faces"`

	Consent  time.Time `json:"consent,omitzero"`   // when they agreed to the faces, to all of them; zero: nobody noted it for one, or there is none
	Pictures []string  `json:"pictures,omitempty"` // files kept of the faces
}

// AddPerson adds somebody and returns them with their new id, as "p7", which is never
// given to anybody else. The name is trimmed; it has 1 to 100 characters, none a control
// character, and differs from all others in more than case. Empty policies mean the
// house's. Errors to branch on: ErrName, ErrNameTaken.
func (s *Store) AddPerson(ctx context.Context, name string, policies, fallback []door.Set) (Person, error) {
	name, err := cleanName(name)
	if err != nil {
		return Person{}, err
	}
	p := Person{Person: door.Person{ID: "new", Policies: policies, Fallback: fallback}, Name: name, Added: time.Now().UTC().Round(0)}
	if err := p.Validate(); err != nil {
		return Person{}, err
	}
	err = s.write(ctx, "add a person", func(tx *sql.Tx) error {
		p.ID, err = insertPerson(tx, p)
		return err
	})
	if violates(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE) {
		return Person{}, fmt.Errorf("%w: choose one that tells them apart", ErrNameTaken)
	}
	if err != nil {
		return Person{}, err
	}
	return p, nil
}

func insertPerson(tx *sql.Tx, p Person) (id string, err error) {
	result, err := tx.Exec(`INSERT INTO people (name, folded, policies, fallback, added) VALUES (?, ?, ?, ?, ?)`,
		p.Name, fold(p.Name), setsText(p.Policies), setsText(p.Fallback), nanos(p.Added))
	if err != nil {
		return "", err
	}
	n, err := result.LastInsertId()
	return personID(n), err
}

const selectPeople = `SELECT id, name, policies, fallback, added,
	EXISTS (SELECT 1 FROM secrets WHERE person = people.id AND factor = 'pin'),
	EXISTS (SELECT 1 FROM secrets WHERE person = people.id AND factor = 'remote'),
	(SELECT count(*) FROM faces WHERE person = people.id),
	(SELECT CASE min(consent) WHEN 0 THEN 0 ELSE max(consent) END FROM faces WHERE person = people.id),
	(SELECT group_concat(picture, ' ' ORDER BY id) FROM faces WHERE person = people.id)
	FROM people `

// People returns everybody, in the order in which they were added.
func (s *Store) People(ctx context.Context) ([]Person, error) {
	return s.selectPeople(ctx, `ORDER BY id`)
}

// Person returns the person with the id, or ErrNoPerson.
func (s *Store) Person(ctx context.Context, id string) (Person, error) {
	n, err := personNumber(id)
	if err != nil {
		return Person{}, err
	}
	found, err := s.selectPeople(ctx, `WHERE id = ?`, n)
	if err != nil {
		return Person{}, err
	}
	if len(found) == 0 {
		return Person{}, noPerson(id)
	}
	return found[0], nil
}

// FindPerson returns whom an id or a name, in any case, names. ErrAmbiguous: it is the id
// of one and the name of another; ErrNoPerson: nobody's.
func (s *Store) FindPerson(ctx context.Context, nameOrID string) (Person, error) {
	n, _ := personNumber(nameOrID) // 0 is nobody's
	found, err := s.selectPeople(ctx, `WHERE folded = ? OR id = ?`, fold(nameOrID), n)
	switch {
	case err != nil:
		return Person{}, err
	case len(found) == 0:
		return Person{}, noPerson(nameOrID)
	case len(found) > 1:
		return Person{}, fmt.Errorf("%q: %w: %s and %s; give the name of the one or the id of the other",
			nameOrID, ErrAmbiguous, found[0].ID, found[1].ID)
	}
	return found[0], nil
}

func (s *Store) selectPeople(ctx context.Context, where string, args ...any) (found []Person, err error) {
	rows, err := s.reader.QueryContext(ctx, selectPeople+where, args...)
	if err != nil {
		return nil, explain("read the people", err)
	}
	defer rows.Close()
	for rows.Next() {
		p, err := s.scanPerson(rows)
		if err != nil {
			return nil, err
		}
		found = append(found, p)
	}
	return found, explain("read the people", rows.Err())
}

func (s *Store) scanPerson(rows *sql.Rows) (Person, error) {
	var p Person
	var n, added int64
	var consent sql.NullInt64
	var policies, fallback string
	var pictures sql.NullString
	if err := rows.Scan(&n, &p.Name, &policies, &fallback, &added, &p.PIN, &p.Remote, &p.Faces, &consent, &pictures); err != nil {
		return Person{}, explain("read a person", err)
	}
	p.ID, p.Added, p.Consent = personID(n), fromNanos(added), fromNanosOrZero(consent.Int64)
	for name := range strings.FieldsSeq(pictures.String) {
		p.Pictures = append(p.Pictures, filepath.Join(s.pictureFolder(n), name))
	}
	if err := errors.Join(json.Unmarshal([]byte(policies), &p.Policies), json.Unmarshal([]byte(fallback), &p.Fallback)); err != nil {
		return Person{}, fmt.Errorf("policies of %s: %w: set them anew", p.ID, err)
	}
	return p, nil
}

// SetPolicies replaces the sets of factors that open for the person; empty means the house's.
func (s *Store) SetPolicies(ctx context.Context, id string, policies, fallback []door.Set) error {
	n, err := personNumber(id)
	if err != nil {
		return err
	}
	if err := (door.Person{ID: id, Policies: policies, Fallback: fallback}).Validate(); err != nil {
		return err
	}
	return s.write(ctx, "set the policies", func(tx *sql.Tx) error {
		return changesOne(id)(tx.Exec(`UPDATE people SET policies = ?, fallback = ? WHERE id = ?`, setsText(policies), setsText(fallback), n))
	})
}

// RemovePerson erases the person's name, the pictures kept of them (the system only unlinks
// those), the looks at their face, with those that may be at it, and all credentials, from the
// database's free pages as well, and from its write-ahead log at once unless some other program
// is reading there, else when the log is next reused. The journal keeps the id, which is never
// used again.
func (s *Store) RemovePerson(ctx context.Context, id string) error {
	n, err := personNumber(id)
	if err != nil {
		return err
	}
	return s.erase(ctx, n, "erase a person", func(tx *sql.Tx) error {
		if err := removeLooksLike(tx, id); err != nil {
			return err
		}
		return changesOne(id)(tx.Exec(`DELETE FROM people WHERE id = ?`, n))
	})
}

// erase takes away what is a person's, the pictures before it and, as some may have come
// meanwhile, after it.
func (s *Store) erase(ctx context.Context, person int64, doing string, do func(*sql.Tx) error) error {
	if err := s.removePictures(person); err != nil {
		return err
	}
	if err := s.write(ctx, doing, do); err != nil {
		return err
	}
	return errors.Join(s.removePictures(person), s.emptyLog(ctx))
}

// emptyLog moves the write-ahead log into the database and cuts the log to nothing. It
// waits for readers no longer than an append may be kept waiting.
func (s *Store) emptyLog(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.writer.ExecContext(ctx, `PRAGMA busy_timeout = 100; PRAGMA wal_checkpoint(TRUNCATE)`)
	_, after := s.writer.Exec(fmt.Sprintf(`PRAGMA busy_timeout = %d`, s.config.BusyTimeout.Milliseconds()))
	return explain("empty the database's log", errors.Join(err, after))
}

// changesOne turns a statement that found nobody to change into ErrNoPerson.
func changesOne(id string) func(sql.Result, error) error {
	return func(result sql.Result, err error) error {
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, noPerson(id))
		}
		return nil
	}
}

func noPerson(who string) error {
	return fmt.Errorf("%.40q: %w: doorhub people list shows who there is", who, ErrNoPerson)
}

func personID(n int64) string { return "p" + strconv.FormatInt(n, 10) }

// personNumber is the inverse of personID; "p07" and "p+7" are nobody's.
func personNumber(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "p")
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || n < 1 || personID(n) != id {
		return 0, noPerson(id)
	}
	return n, nil
}

func setsText(sets []door.Set) string {
	if len(sets) == 0 {
		return "null"
	}
	text, _ := json.Marshal(sets) // a set's text cannot fail
	return string(text)
}
