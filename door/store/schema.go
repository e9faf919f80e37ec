package store

import (
	"context"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
)

// ErrNewer says that the database was written by a newer doorhub.
var ErrNewer = errors.New("the database is of a newer doorhub")

// applicationID marks a SQLite file as ours: "door".
const applicationID = 0x646f6f72

// migrations lists the steps from one schema version to the next; a database of version n
// has had the first n. One that has been released is never changed.
func migrations() []string { return []string{schema1, schema2, schema3} }

// A person's row goes when the person is erased; AUTOINCREMENT never gives the id again.
const schema1 = `
CREATE TABLE origin (
	only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
	key_check BLOB NOT NULL
) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE people (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	name     TEXT NOT NULL,
	folded   TEXT NOT NULL UNIQUE, -- the name without case, so that Ann is ANN
	policies TEXT NOT NULL,        -- JSON list of sets, or null
	fallback TEXT NOT NULL,
	added    INTEGER NOT NULL      -- Unix nanoseconds
) STRICT;
CREATE TABLE secrets (
	person INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
	factor TEXT NOT NULL,          -- pin, remote
	lookup BLOB NOT NULL,          -- keyed index
	salt   BLOB NOT NULL,
	hash   BLOB NOT NULL,          -- argon2id
	added  INTEGER NOT NULL,
	PRIMARY KEY (person, factor),
	UNIQUE (factor, lookup)
) STRICT;
CREATE TABLE faces (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	person  INTEGER NOT NULL REFERENCES people(id) ON DELETE CASCADE,
	sealed  BLOB NOT NULL,
	quality REAL NOT NULL,
	source  TEXT NOT NULL,
	added   INTEGER NOT NULL
) STRICT;
CREATE INDEX faces_person ON faces(person);
CREATE TABLE journal (
	seq     INTEGER PRIMARY KEY CHECK (seq > 0),
	time    INTEGER NOT NULL UNIQUE, -- Unix nanoseconds
	synced  INTEGER NOT NULL,
	boot    TEXT NOT NULL,
	mono    INTEGER NOT NULL,
	door    TEXT NOT NULL,
	kind    TEXT NOT NULL,
	side    TEXT NOT NULL,
	person  TEXT NOT NULL,
	factors TEXT NOT NULL,
	reason  TEXT NOT NULL,
	details TEXT NOT NULL,           -- JSON object, keys in order; '' when empty
	sealed  BLOB NOT NULL,
	prev    BLOB NOT NULL,
	hash    BLOB NOT NULL
) STRICT;
CREATE INDEX journal_person ON journal(person, seq) WHERE person <> '';
CREATE TABLE cursors (name TEXT PRIMARY KEY, seq INTEGER NOT NULL) STRICT;
CREATE TABLE lockouts (
	key       TEXT PRIMARY KEY,
	wrong     INTEGER NOT NULL,
	remaining INTEGER NOT NULL,      -- nanoseconds
	quiet     INTEGER NOT NULL
) STRICT;`

const schema2 = `
ALTER TABLE faces ADD COLUMN consent INTEGER NOT NULL DEFAULT 0;  -- Unix nanoseconds; 0: not noted
ALTER TABLE faces ADD COLUMN picture TEXT NOT NULL DEFAULT '';    -- file in the person's folder of pictures`

// A look goes with the person it was taken for.
const schema3 = `
CREATE TABLE looks (
	seq      INTEGER PRIMARY KEY CHECK (seq > 0), -- of the record in the journal
	time     INTEGER NOT NULL,                    -- Unix nanoseconds
	person   INTEGER REFERENCES people(id) ON DELETE CASCADE, -- NULL: nobody
	near     TEXT NOT NULL,                       -- JSON
	liveness TEXT NOT NULL,
	sealed   BLOB NOT NULL,
	wrong    INTEGER NOT NULL                     -- 1: the owner said that it was not the person
) STRICT;
CREATE INDEX looks_person ON looks(person);
CREATE INDEX looks_kept ON looks(seq) WHERE wrong = 0;
CREATE INDEX looks_time ON looks(time);`

// migrate brings the database to this version's schema and makes sure that the key is its.
func (s *Store) migrate(ctx context.Context) error {
	steps := migrations()
	version, err := s.version(ctx)
	if err != nil {
		return err
	}
	if version > len(steps) {
		return fmt.Errorf("%w (schema %d, this one knows %d): install the newer doorhub, or restore the backup made before it", ErrNewer, version, len(steps))
	}
	for ; version < len(steps); version++ {
		if err := s.step(ctx, version, steps[version]); err != nil {
			return err
		}
	}
	return s.checkKey(ctx)
}

// version returns the schema's version; 0 for a database with nothing in it.
func (s *Store) version(ctx context.Context) (int, error) {
	var version, app, tables int
	row := s.writer.QueryRowContext(ctx, `SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_user_version, pragma_application_id`)
	if err := row.Scan(&version, &app, &tables); err != nil {
		return 0, explain("read the database", err)
	}
	if app != applicationID && (tables > 0 || version != 0) {
		return 0, fmt.Errorf("%w: it is another program's: choose another data folder", ErrNotDatabase)
	}
	return version, nil
}

func (s *Store) step(ctx context.Context, from int, statements string) error {
	return s.write(ctx, fmt.Sprintf("bring the database to version %d", from+1), func(tx *sql.Tx) error {
		if _, err := tx.Exec(statements); err != nil {
			return err
		}
		if from == 0 {
			if _, err := tx.Exec(`INSERT INTO origin VALUES (1, ?)`, s.keys.check); err != nil {
				return err
			}
		}
		_, err := tx.Exec(fmt.Sprintf(`PRAGMA application_id = %d; PRAGMA user_version = %d`, applicationID, from+1))
		return err
	})
}

func (s *Store) checkKey(ctx context.Context) error {
	var check []byte
	err := s.writer.QueryRowContext(ctx, `SELECT key_check FROM origin`).Scan(&check)
	if err != nil {
		return explain("read the key's check value", err)
	}
	if subtle.ConstantTimeCompare(check, s.keys.check) != 1 {
		return fmt.Errorf("%w: restore the key file that was backed up with it", ErrWrongKey)
	}
	return nil
}
