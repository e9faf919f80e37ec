package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	sqlite3 "modernc.org/sqlite/lib"
)

// mostFaces is how many faces a person may have; each costs a comparison on every look.
const mostFaces = 50

// ErrTooManyFaces says that the person has as many faces as can be kept.
var ErrTooManyFaces = errors.New("too many faces")

// ErrFace says that a face cannot be kept or read back.
var ErrFace = errors.New("bad face")

// Face is one enrolled look of a person.
type Face struct {
	Descriptor [128]float32 // dlib's ResNet descriptor
	Quality    float64      // the enrolment's figure, for people
	Source     string       // where it came from, as a file's name
	Added      time.Time    // zero: now
	Consent    time.Time    // when the person agreed to it; zero: nobody noted that
	Picture    []byte       // JPEG or PNG to keep beside it; Faces does not read it back
}

// PersonFace is a face and whose it is.
type PersonFace struct {
	Person string
	Face
}

// AddFace keeps a face of the person, at most 50 each. The descriptor is sealed by
// XChaCha20-Poly1305 with person and row as associated data, so that it opens nowhere
// else; a picture is kept in a file of its own, as it is. Errors to branch on: ErrFace,
// ErrTooManyFaces, ErrNoPerson.
func (s *Store) AddFace(ctx context.Context, person string, f Face) error {
	n, err := personNumber(person)
	if err != nil {
		return err
	}
	if err := checkFace(f); err != nil {
		return err
	}
	if f.Added.IsZero() {
		f.Added = time.Now()
	}
	name, err := s.keepPicture(n, f.Picture) // before: nobody may write meanwhile to a database that is being written
	if err != nil {
		return err
	}
	err = s.write(ctx, "keep a face", func(tx *sql.Tx) error { return s.insertFace(tx, n, f, name) })
	if err != nil {
		err = errors.Join(err, s.dropPicture(n, name))
	}
	if violates(err, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY) {
		return noPerson(person)
	}
	return err
}

func (s *Store) insertFace(tx *sql.Tx, person int64, f Face, picture string) error {
	var have int
	if err := tx.QueryRow(`SELECT count(*) FROM faces WHERE person = ?`, person).Scan(&have); err != nil {
		return err
	}
	if have >= mostFaces {
		return fmt.Errorf("%w: %s has %d: remove the old ones first", ErrTooManyFaces, personID(person), have)
	}
	result, err := tx.Exec(`INSERT INTO faces (person, sealed, quality, source, added, consent, picture) VALUES (?, x'', ?, ?, ?, ?, ?)`,
		person, f.Quality, f.Source, nanos(f.Added), nanosOrZero(f.Consent), picture)
	if err != nil {
		return err
	}
	row, err := result.LastInsertId()
	if err != nil {
		return err
	}
	sealed, err := seal(s.keys.face, descriptorBytes(f.Descriptor), faceData(person, row))
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE faces SET sealed = ? WHERE id = ?`, sealed, row)
	return err
}

// Faces returns everybody's faces in the order in which they were added. A face that cannot
// be read back is left out and named in the error; the others are returned beside it.
func (s *Store) Faces(ctx context.Context) ([]PersonFace, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT id, person, sealed, quality, source, added, consent FROM faces ORDER BY id`)
	if err != nil {
		return nil, explain("read the faces", err)
	}
	defer rows.Close()
	var faces []PersonFace
	var bad []error
	for rows.Next() {
		f, err := s.scanFace(rows)
		if err != nil {
			bad = append(bad, err)
			continue
		}
		faces = append(faces, f)
	}
	return faces, errors.Join(append(bad, explain("read the faces", rows.Err()))...)
}

func (s *Store) scanFace(rows *sql.Rows) (PersonFace, error) {
	var f PersonFace
	var row, person, added, consent int64
	var sealed []byte
	if err := rows.Scan(&row, &person, &sealed, &f.Quality, &f.Source, &added, &consent); err != nil {
		return f, fmt.Errorf("a face: %w", err)
	}
	f.Person, f.Added, f.Consent = personID(person), fromNanos(added), fromNanosOrZero(consent)
	plain, err := unseal(s.keys.face, sealed, faceData(person, row))
	if err == nil {
		f.Descriptor, err = parseDescriptor(plain)
	}
	if err == nil {
		err = checkFace(f.Face)
	}
	if err != nil {
		return f, fmt.Errorf("face %d of %s: %w: take it away with doorhub people forget %s --faces, and enrol anew", row, f.Person, err, f.Person)
	}
	return f, nil
}

// RemoveFaces takes all faces of the person away, the pictures kept of them, and the looks from
// cameras that are or may be at their face; without any it does nothing. They are gone from the
// disk as after RemovePerson.
func (s *Store) RemoveFaces(ctx context.Context, person string) error {
	n, err := personNumber(person)
	if err != nil {
		return err
	}
	return s.erase(ctx, n, "take away the faces", func(tx *sql.Tx) error {
		_, err := tx.Exec(`DELETE FROM faces WHERE person = ?; DELETE FROM looks WHERE person = ? AND wrong = 0`, n, n)
		return errors.Join(err, removeLooksLike(tx, person))
	})
}

// checkFace refuses numbers that compare with nothing: one NaN, and a stranger's distance
// to this face is NaN, too.
func checkFace(f Face) error {
	for i, v := range f.Descriptor {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf("%w: descriptor value %d is no finite number", ErrFace, i)
		}
	}
	if math.IsNaN(f.Quality) || math.IsInf(f.Quality, 0) {
		return fmt.Errorf("%w: its quality is no finite number", ErrFace)
	}
	return nil
}

func faceData(person, row int64) string { return fmt.Sprintf("face %d of %s", row, personID(person)) }

func descriptorBytes(d [128]float32) []byte {
	b := make([]byte, 0, 4*len(d))
	for _, v := range d {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func parseDescriptor(b []byte) (d [128]float32, err error) {
	if len(b) != 4*len(d) {
		return d, fmt.Errorf("%w: its descriptor has %d bytes", ErrFace, len(b))
	}
	for i := range d {
		d[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return d, nil
}

// seal encrypts with XChaCha20-Poly1305 under a random nonce, which comes first.
func seal(key, plain []byte, data string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce) // never fails, by its documentation
	return aead.Seal(nonce, nonce, plain, []byte(data)), nil
}

func unseal(key, sealed []byte, data string) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, fmt.Errorf("unseal: %w", err)
	}
	if len(sealed) < aead.NonceSize() {
		return nil, fmt.Errorf("the sealed part has only %d bytes", len(sealed))
	}
	nonce, box := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, box, []byte(data))
	if err != nil {
		return nil, errors.New("the sealed part was changed, or sealed with another key")
	}
	return plain, nil
}
