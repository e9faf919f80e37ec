package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Head names the last record of a journal. Kept outside the database, it tells when the
// journal's tail was cut off. Its text form is SEQ-HEX, as in "42-9f86d0…".
type Head struct {
	Seq  uint64            // 0: no record yet
	Hash [sha256.Size]byte // of that record
}

// ErrHead says that a text is no head.
var ErrHead = errors.New("no journal head")

// ParseHead reads the text form, with or without space around it.
func ParseHead(text string) (Head, error) {
	var h Head
	seq, sum, ok := strings.Cut(strings.TrimSpace(text), "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	raw, hexErr := hex.DecodeString(sum)
	if !ok || err != nil || hexErr != nil || len(raw) != len(h.Hash) {
		return h, fmt.Errorf("%.100q: %w: it is a number, a dash and 64 hex digits, as doorhub log verify prints it", text, ErrHead)
	}
	h.Seq = n
	copy(h.Hash[:], raw)
	return h, nil
}

// String returns the text form.
func (h Head) String() string { return fmt.Sprintf("%d-%x", h.Seq, h.Hash) }

// MarshalText returns the text form.
func (h Head) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what ParseHead reads.
func (h *Head) UnmarshalText(text []byte) (err error) {
	*h, err = ParseHead(string(text))
	return err
}

// headFile keeps the journal's head outside the database. Its first line, of fixed length
// so that it can be overwritten in one write, is the head after the last append. The lines
// below are heads that it once had and that the journal did not contain when it was opened:
// evidence, which only the owner may delete.
//
// The line is written after the record is durable and not synced each time: after a crash
// it may lag behind the database, never lead.
type headFile struct {
	path string
	fits func(Head) (bool, error)

	f       *os.File // nil: not open, to be opened with the next write
	lacking string   // what there was in place of a head when the journal, with records, was opened
	strange []Head   // the lines below
	made    bool     // the file is of this process's writing
	problem error    // of the last write
}

// headLine is the length of the first line: 20 digits, a dash, 64 digits, a line feed.
const headLine = 86

func (s *Store) headPath() string {
	if s.config.Head != "" {
		return s.config.Head
	}
	return filepath.Join(s.dir, headFileName)
}

// write keeps head; what goes wrong is kept for state.
func (h *headFile) write(head Head) {
	if h.f == nil {
		h.problem = h.open(head)
		return
	}
	_, err := h.f.WriteAt(padded(head), 0)
	if err != nil {
		err = errors.Join(explainFile("write the head file", h.path, err), h.f.Close())
		h.f = nil
	}
	h.problem = err
}

// open reads what the file knew, keeps what the journal has lost, and replaces the file.
func (h *headFile) open(head Head) error {
	known, err := readHeads(h.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(known) > 0 && !h.made { // a disk that came late
		h.lacking = ""
	}
	var strange []Head
	for _, k := range known {
		ok, err := h.fits(k)
		if err != nil {
			return err
		}
		if !ok {
			strange = append(strange, k)
		}
	}
	if err := replaceHeads(h.path, head, strange); err != nil {
		return explainFile("write the head file", h.path, err)
	}
	h.made = true
	f, err := os.OpenFile(h.path, os.O_WRONLY, 0)
	if err != nil {
		return explainFile("write the head file", h.path, err)
	}
	h.f, h.strange = f, strange
	return nil
}

// lookFor notes whether there is a head to hold a journal with records against.
func (h *headFile) lookFor() {
	known, err := readHeads(h.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.lacking = "no head file"
	case err == nil && len(known) == 0:
		h.lacking = "an empty head file"
	}
}

func (h *headFile) state() error {
	if h.problem != nil {
		return h.problem
	}
	if len(h.strange) > 0 {
		return fmt.Errorf("the head file knew of record %d, which the journal does not have so: run doorhub log verify; "+
			"if you restored a backup, delete all but the first line of %s", h.strange[0].Seq, h.path)
	}
	return nil
}

func (h *headFile) close() error {
	if h.f == nil {
		return nil
	}
	f := h.f
	h.f = nil
	return errors.Join(f.Sync(), f.Close())
}

func padded(head Head) []byte {
	return fmt.Appendf(nil, "%-*s\n", headLine-1, head)
}

// replaceHeads puts a whole new file in the old one's place, at once.
func replaceHeads(path string, head Head, strange []Head) error {
	text := padded(head)
	for _, s := range strange {
		text = fmt.Appendln(text, s)
	}
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return errors.Join(os.Rename(next, path), syncFolder(filepath.Dir(path)))
}

// readHeads returns every line's head. An empty file, as a crash may leave, has none.
func readHeads(path string) ([]Head, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the head file: %w", err)
	}
	var heads []Head
	for line := range bytes.Lines(text) {
		h, err := ParseHead(string(line))
		if err != nil {
			return nil, fmt.Errorf("head file %s: %w: move it away", path, err)
		}
		heads = append(heads, h)
	}
	return heads, nil
}
