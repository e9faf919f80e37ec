// Package album keeps the pictures of events: a JPEG file for a record of the journal, in a
// folder that nobody else can read, for a time and up to a size.
//
// A file's name holds all that is known of it: the record's number, the door and the ids of
// the people whom record or picture name, as in 1207.front.p3.p8.jpg ("_" is the house). So
// a picture can be erased with any of them, and nothing else has to be kept in step.
package album

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/doorhub/doorhub/door"
)

// ErrNone says that there is no picture for a record.
var ErrNone = errors.New("no picture is kept")

// MostPeople is how many people one picture may name; their ids must fit into a file's name.
const MostPeople = 16

// Entry says what a picture is of.
type Entry struct {
	Seq    uint64    // of the record
	At     time.Time // by its age it is removed
	Door   string    // id; "" of the house: every door's
	People []string  // ids
	Size   int64     // bytes
}

// Album is a folder of pictures. Its methods may be called from any goroutine; one process has
// it open at a time.
type Album struct {
	dir string
	cfg Config

	mu    sync.Mutex
	known bool    // the folder has been read
	all   []Entry // by Seq
	size  int64   // bytes of all
}

const (
	ext     = ".jpg"
	house   = "_" // in place of a door's id, which cannot begin with it
	partial = ".part"
)

// Open reads the folder, which need not be there yet, and removes what a crash left half
// written. Files of other names are left alone. Where the folder cannot be read, the album is
// returned beside the error; it tries again when it is next to keep or remove something.
func Open(dir string, cfg Config) (*Album, error) {
	a := &Album{dir: dir, cfg: cfg}
	return a, a.read()
}

// read reads the folder once.
func (a *Album) read() error {
	if a.known {
		return nil
	}
	files, err := os.ReadDir(a.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read the pictures: %w", explain(err))
	}
	a.known = true
	for _, f := range files {
		if strings.HasSuffix(f.Name(), partial) {
			_ = os.Remove(filepath.Join(a.dir, f.Name())) // the next one of its number replaces it
			continue
		}
		e, ok := parseName(f.Name())
		info, err := f.Info()
		if !ok || err != nil || !info.Mode().IsRegular() {
			continue
		}
		e.At, e.Size = info.ModTime(), info.Size()
		a.add(e)
	}
	return nil
}

func (a *Album) add(e Entry) {
	i, _ := slices.BinarySearchFunc(a.all, e.Seq, func(e Entry, seq uint64) int { return cmp.Compare(e.Seq, seq) })
	a.all = slices.Insert(a.all, i, e)
	a.size += e.Size
}

func (e Entry) name() string {
	parts := append([]string{strconv.FormatUint(e.Seq, 10), cmp.Or(e.Door, house)}, e.People...)
	return strings.Join(parts, ".") + ext
}

func parseName(name string) (e Entry, ok bool) {
	text, ok := strings.CutSuffix(name, ext)
	parts := strings.Split(text, ".")
	if !ok || len(parts) < 2 {
		return e, false
	}
	e.Seq, _ = strconv.ParseUint(parts[0], 10, 64)
	if parts[1] != house {
		e.Door = parts[1]
	}
	if len(parts) > 2 {
		e.People = parts[2:]
	}
	return e, e.validate() == nil && e.name() == name
}

func (e Entry) validate() error {
	if e.Seq == 0 {
		return errors.New("a picture belongs to a record: 0 is none")
	}
	if len(e.People) > MostPeople {
		return fmt.Errorf("a picture names %d people: name at most %d", len(e.People), MostPeople)
	}
	if e.Door != "" {
		if err := door.ValidID(e.Door); err != nil {
			return fmt.Errorf("the picture of record %d: %w", e.Seq, err)
		}
	}
	for _, id := range e.People {
		if err := door.ValidID(id); err != nil {
			return fmt.Errorf("the picture of record %d: %w", e.Seq, err)
		}
	}
	return nil
}

// Keep keeps a picture, in place of any other of the record; Size is set by it. It appears
// whole or not at all, also in a power cut. The oldest go until all are within the size that
// is set. Where nothing is to be kept, it does nothing.
func (a *Album) Keep(e Entry, jpeg []byte) error {
	if a.cfg.Keep == 0 {
		return nil
	}
	if err := e.validate(); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.read(); err != nil {
		return err
	}
	if err := a.write(e, jpeg); err != nil {
		return explain(err)
	}
	e.Size = int64(len(jpeg))
	err := a.removeIf(func(o Entry) bool { return o.Seq == e.Seq && o.name() != e.name() })
	a.forget(func(o Entry) bool { return o.Seq == e.Seq })
	a.add(e)
	return errors.Join(err, a.shrink())
}

func (a *Album) write(e Entry, jpeg []byte) error {
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(a.dir, e.name())
	part := filepath.Join(a.dir, strconv.FormatUint(e.Seq, 10)+partial)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(jpeg)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = errors.Join(os.Chtimes(part, e.At, e.At), os.Rename(part, path))
	}
	if err != nil {
		_ = os.Remove(part) // what is wrong has been said
	}
	return err
}

// shrink removes the oldest until the rest is within the size that is set.
func (a *Album) shrink() error {
	over := a.size - int64(a.cfg.Most)*1_000_000
	return a.removeIf(func(e Entry) bool {
		old := over > 0
		over -= e.Size
		return old
	})
}

// Read returns the picture of a record, or ErrNone.
func (a *Album) Read(seq uint64) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.all, func(e Entry) bool { return e.Seq == seq })
	if i < 0 {
		return nil, fmt.Errorf("record %d: %w", seq, ErrNone)
	}
	jpeg, err := os.ReadFile(filepath.Join(a.dir, a.all[i].name()))
	if errors.Is(err, fs.ErrNotExist) { // somebody removed it by hand
		err = fmt.Errorf("record %d: %w", seq, ErrNone)
	}
	return jpeg, err
}

// Has reports whether there is a picture of a record.
func (a *Album) Has(seq uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.all, func(e Entry) bool { return e.Seq == seq })
}

// Newest returns the number of the newest picture of a door, or of the house; 0 for none.
func (a *Album) Newest(doorID string) uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range slices.Backward(a.all) {
		if e.Door == doorID || e.Door == "" {
			return e.Seq
		}
	}
	return 0
}

// Prune removes the pictures that are older at now than the settings allow.
func (a *Album) Prune(now time.Time) error {
	return a.remove(func(e Entry) bool { return a.cfg.Keep == 0 || now.Sub(e.At) > a.cfg.Keep })
}

// Erase removes the pictures that name a person.
func (a *Album) Erase(person string) error {
	return a.remove(func(e Entry) bool { return slices.Contains(e.People, person) })
}

// Retain removes the pictures that name anybody who is not known.
func (a *Album) Retain(known func(person string) bool) error {
	return a.remove(func(e Entry) bool {
		return slices.ContainsFunc(e.People, func(id string) bool { return !known(id) })
	})
}

func (a *Album) remove(over func(Entry) bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(a.read(), a.removeIf(over))
}

// removeIf removes the pictures for which over is true, asked once for each, the oldest first.
// What cannot be removed stays known.
func (a *Album) removeIf(over func(Entry) bool) error {
	var errs []error
	a.forget(func(e Entry) bool {
		if !over(e) {
			return false
		}
		err := os.Remove(filepath.Join(a.dir, e.name()))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			errs = append(errs, err)
		}
		return err == nil
	})
	if len(errs) > 0 {
		return explain(errs[0]) // the others are the like
	}
	return nil
}

// forget takes entries out of the list, not out of the folder.
func (a *Album) forget(gone func(Entry) bool) {
	a.all = slices.DeleteFunc(a.all, func(e Entry) bool {
		if !gone(e) {
			return false
		}
		a.size -= e.Size
		return true
	})
}
