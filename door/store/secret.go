package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/argon2"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/doorhub/doorhub/door"
)

// ErrPINTaken says that the PIN is somebody else's, and not whose.
var ErrPINTaken = errors.New("this PIN cannot be used: choose another PIN")

// ErrCodeTaken says that the remote code is somebody else's, and not whose.
var ErrCodeTaken = errors.New("this remote code cannot be used: choose another code")

// argon2id's costs, the OWASP cheat sheet's second choice: 19 MiB, two passes, one lane.
const (
	argonMemory = 19 * 1024 // KiB
	argonPasses = 2
	argonLanes  = 1
	saltLen     = 16 // bytes, RFC 9106 section 3.1
	hashLen     = 32
	argonAtOnce = 2 // so that a flood of tries takes 38 MiB and no more
)

// SetPIN gives the person a PIN, in place of any other: digits, from the least length that
// is set to 12, none that is guessed first. Errors to branch on: ErrRefused, ErrPINTaken,
// ErrNoPerson.
func (s *Store) SetPIN(ctx context.Context, person, pin string) error {
	if err := checkDigits("PIN", pin, s.config.MinPIN, longestPIN); err != nil {
		return err
	}
	return s.setSecret(ctx, person, door.PIN, pin, ErrPINTaken)
}

// LookupPIN returns the id of the person whose PIN it is, or "" when it is nobody's. It
// costs one argon2id in either case, so that the time it takes tells nothing.
func (s *Store) LookupPIN(ctx context.Context, pin string) (person string, err error) {
	return s.lookupSecret(ctx, door.PIN, pin)
}

// RemovePIN takes the person's PIN away; without one it does nothing.
func (s *Store) RemovePIN(ctx context.Context, person string) error {
	return s.removeSecret(ctx, person, door.PIN)
}

// SetRemoteCode gives the person a remote code, 8 to 32 digits, in place of any other. It
// is looked up on its own and never valid as a PIN. Errors to branch on: ErrRefused,
// ErrCodeTaken, ErrNoPerson.
func (s *Store) SetRemoteCode(ctx context.Context, person, code string) error {
	if err := checkDigits("remote code", code, shortestCode, longestCode); err != nil {
		return err
	}
	return s.setSecret(ctx, person, door.Remote, code, ErrCodeTaken)
}

// LookupRemoteCode returns the id of the person whose remote code it is, or "". It costs
// one argon2id in either case.
func (s *Store) LookupRemoteCode(ctx context.Context, code string) (person string, err error) {
	return s.lookupSecret(ctx, door.Remote, code)
}

// RemoveRemoteCode takes the person's remote code away; without one it does nothing.
func (s *Store) RemoveRemoteCode(ctx context.Context, person string) error {
	return s.removeSecret(ctx, person, door.Remote)
}

func (s *Store) setSecret(ctx context.Context, person string, f door.Factor, digits string, taken error) error {
	n, err := personNumber(person)
	if err != nil {
		return err
	}
	salt := newSalt()
	hash, err := s.hash(ctx, f, digits, salt)
	if err != nil {
		return err
	}
	err = s.write(ctx, "keep a "+string(f), func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO secrets (person, factor, lookup, salt, hash, added) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (person, factor) DO UPDATE SET lookup = excluded.lookup, salt = excluded.salt, hash = excluded.hash, added = excluded.added`,
			n, string(f), s.lookupKey(f, digits), salt, hash, nanos(time.Now()))
		return err
	})
	switch {
	case violates(err, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
		return taken
	case violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY):
		return noPerson(person)
	}
	return err
}

func (s *Store) lookupSecret(ctx context.Context, f door.Factor, digits string) (string, error) {
	var n int64
	var salt, want []byte
	row := s.reader.QueryRowContext(ctx, `SELECT person, salt, hash FROM secrets WHERE factor = ? AND lookup = ?`, string(f), s.lookupKey(f, digits))
	err := row.Scan(&n, &salt, &want)
	nobody := errors.Is(err, sql.ErrNoRows)
	if err != nil && !nobody {
		return "", explain("look up a "+string(f), err)
	}
	if nobody {
		salt, want = newSalt(), make([]byte, hashLen)
	}
	got, err := s.hash(ctx, f, digits, salt)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare(got, want) != 1 || nobody {
		return "", nil
	}
	return personID(n), nil
}

func (s *Store) removeSecret(ctx context.Context, person string, f door.Factor) error {
	n, err := personNumber(person)
	if err != nil {
		return err
	}
	return s.write(ctx, "take away a "+string(f), func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM secrets WHERE person = ? AND factor = ?`, n, string(f))
		return err
	})
}

// lookupKey finds a secret without trying everybody's hash; the factor keeps PINs and remote
// codes apart.
func (s *Store) lookupKey(f door.Factor, digits string) []byte {
	return keyed(s.keys.index, string(f), ":", digits)
}

// hash is argon2id over the peppered secret. It waits for one of argonAtOnce places.
func (s *Store) hash(ctx context.Context, f door.Factor, digits string, salt []byte) ([]byte, error) {
	select {
	case s.argon <- struct{}{}:
		defer func() { <-s.argon }()
	case <-ctx.Done():
		return nil, fmt.Errorf("check a %s: %w", f, ctx.Err())
	}
	peppered := keyed(s.keys.pepper, string(f), ":", digits)
	return argon2.IDKey(peppered, salt, argonPasses, argonMemory, argonLanes, hashLen), nil
}

func newSalt() []byte {
	salt := make([]byte, saltLen)
	rand.Read(salt) // never fails, by its documentation
	return salt
}
