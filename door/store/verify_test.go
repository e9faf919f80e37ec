package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// found is what Verify says of a journal: the first record and what is wrong.
func found(tb testing.TB, s *Store, heads ...Head) (got ChainError) {
	tb.Helper()
	_, err := s.Verify(context.Background(), heads, nil)
	var wrong *ChainError
	if !errors.As(err, &wrong) {
		tb.Fatalf("verify says %v, want a *ChainError", err)
	}
	if strings.Contains(err.Error(), "\n") {
		tb.Errorf("error is more than one line: %q", err)
	}
	return *wrong
}

func wantFound(tb testing.TB, s *Store, seq uint64, wrong Wrong, heads ...Head) {
	tb.Helper()
	got := found(tb, s, heads...)
	if diff := cmp.Diff(ChainError{Seq: seq, Wrong: wrong}, got, cmpopts.IgnoreFields(ChainError{}, "Detail")); diff != "" {
		tb.Errorf("found (-want +got):\n%s", diff)
	}
}

// swap exchanges two rows but for their numbers.
func swap(a, b int) []string {
	set := "UPDATE journal SET seq = %d WHERE seq = %d"
	return []string{fmt.Sprintf(set, 1_000_000, a), fmt.Sprintf(set, a, b), fmt.Sprintf(set, b, 1_000_000)}
}

func TestTampering(t *testing.T) {
	for _, c := range []struct {
		name  string
		do    []string
		seq   uint64
		wrong Wrong
	}{
		{"person", []string{`UPDATE journal SET person = 'p2' WHERE seq = 7`}, 7, Changed},
		{"time", []string{`UPDATE journal SET time = time + 1 WHERE seq = 7`}, 7, Changed},
		{"synced", []string{`UPDATE journal SET synced = 0 WHERE seq = 7`}, 7, Changed},
		{"synced, the same to Go", []string{`UPDATE journal SET synced = 2 WHERE seq = 7`}, 7, Changed},
		{"boot", []string{`UPDATE journal SET boot = '' WHERE seq = 7`}, 7, Changed},
		{"mono", []string{`UPDATE journal SET mono = mono - 1 WHERE seq = 7`}, 7, Changed},
		{"door", []string{`UPDATE journal SET door = 'back' WHERE seq = 7`}, 7, Changed},
		{"kind", []string{`UPDATE journal SET kind = 'denied' WHERE seq = 7`}, 7, Changed},
		{"side", []string{`UPDATE journal SET side = 'exit' WHERE seq = 7`}, 7, Changed},
		{"factors", []string{`UPDATE journal SET factors = 'pin' WHERE seq = 7`}, 7, Changed},
		{"factors, the same set", []string{`UPDATE journal SET factors = 'face+pin' WHERE seq = 7`}, 7, Changed},
		{"reason", []string{`UPDATE journal SET reason = 'x' WHERE seq = 7`}, 7, Changed},
		{"details", []string{`UPDATE journal SET details = '{"a":"b"}' WHERE seq = 7`}, 7, Changed},
		{"details, the same JSON", []string{`UPDATE journal SET details = replace(details, ':', ': ') WHERE seq = 8`}, 8, Changed},
		{"text moved to the next column", []string{`UPDATE journal SET door = door || kind, kind = '' WHERE seq = 7`}, 7, Changed},
		{"sealed", []string{`UPDATE journal SET sealed = x'' WHERE seq = 7`}, 7, Changed},
		{"prev", []string{`UPDATE journal SET prev = zeroblob(32) WHERE seq = 7`}, 7, Changed},
		{"hash", []string{`UPDATE journal SET hash = zeroblob(32) WHERE seq = 7`}, 7, Changed},
		{"hash gone", []string{`UPDATE journal SET hash = x'' WHERE seq = 7`}, 7, Changed},
		{"two records", []string{`UPDATE journal SET person = 'p2' WHERE seq IN (7, 11)`}, 7, Changed},
		{"first deleted", []string{`DELETE FROM journal WHERE seq = 1`}, 1, Missing},
		{"one deleted", []string{`DELETE FROM journal WHERE seq = 7`}, 7, Missing},
		{"one deleted, the gap closed", []string{`DELETE FROM journal WHERE seq = 7`, `UPDATE journal SET seq = seq - 1 WHERE seq > 7`}, 7, Reordered},
		{"two swapped", swap(7, 8), 7, Reordered},
		{"two swapped far apart", swap(3, 19), 3, Reordered},
		{"one written twice", []string{`UPDATE journal SET seq = seq + 1000 WHERE seq > 7`, `UPDATE journal SET seq = seq - 999 WHERE seq > 1000`,
			`INSERT INTO journal SELECT 8, time + 1, synced, boot, mono, door, kind, side, person, factors, reason, details, sealed, prev, hash FROM journal WHERE seq = 7`}, 8, Changed},
		{"one from nowhere at the front", []string{`PRAGMA ignore_check_constraints = 1; INSERT INTO journal SELECT 0, 1, synced, boot, mono, door, kind, side, person, factors, reason, details, sealed, prev, hash FROM journal WHERE seq = 7`}, 0, Changed},
		{"tail cut off", []string{`DELETE FROM journal WHERE seq > 15`}, 16, CutOff},
		{"all deleted", []string{`DELETE FROM journal`}, 1, CutOff},
		{"changed and cut off", []string{`DELETE FROM journal WHERE seq > 15`, `UPDATE journal SET person = 'p2' WHERE seq = 7`}, 7, Changed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Run("while open", func(t *testing.T) {
				s := newStore(t)
				mustAppend(t, s, someRecords(20)...)
				mustVerify(t, s)
				raw(t, s.dir, c.do...)
				wantFound(t, s, c.seq, c.wrong)
			})
			t.Run("while closed", func(t *testing.T) {
				dir := newFolder(t)
				s := mustOpen(t, dir)
				mustAppend(t, s, someRecords(20)...)
				mustClose(t, s)
				raw(t, dir, c.do...)
				wantFound(t, mustOpen(t, dir), c.seq, c.wrong)
			})
		})
	}
}

// The seams between the chunks that are checked in parallel are checked as well.
func TestTamperingAtTheSeams(t *testing.T) {
	const chunk, n = 16, 3*16 + 5
	s := newStore(t)
	s.chunk = chunk
	mustAppend(t, s, someRecords(n)...)
	var told []uint64
	_, err := s.Verify(context.Background(), nil, func(done, total uint64) {
		if total != n {
			t.Errorf("total is %d, want %d", total, n)
		}
		told = append(told, done)
	})
	must(t, err)
	if len(told) == 0 || told[len(told)-1] != n {
		t.Errorf("progress told: %v", told)
	}
	for _, seq := range []uint64{n, 2*chunk + 1, 2 * chunk, chunk + 1, chunk, 1} {
		raw(t, s.dir, fmt.Sprintf(`UPDATE journal SET person = 'p9' WHERE seq = %d`, seq))
		wantFound(t, s, seq, Changed)
	}
	raw(t, s.dir, fmt.Sprintf(`DELETE FROM journal WHERE seq BETWEEN 1 AND %d`, chunk))
	wantFound(t, s, 1, Missing)
}

// Whoever has the key can make hashes that are right, and cannot make an old head fit.
func TestRewrittenWithTheKey(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustAppend(t, s, someRecords(10)...)
	paper := s.Head()
	mustAppend(t, s, someRecords(2)...)
	mustClose(t, s)
	raw(t, dir, `DELETE FROM journal WHERE seq > 8`)
	remove(t, dir, headFileName)
	s = mustOpen(t, dir)
	wantFound(t, s, 9, CutOff, paper)
	mustAppend(t, s, someRecords(5)...)
	wantFound(t, s, 10, Rewritten, paper)
	wantFound(t, s, 10, Rewritten, Head{Seq: 500}, paper, Head{})
	_, err := s.Verify(context.Background(), nil, nil)
	wantErr(t, err, ErrUnchecked)
}

// A hash made with the key over a wrong link is found by the link.
func TestUnlinkedRecord(t *testing.T) {
	for _, seq := range []int64{1, 7, 17} {
		s := newStore(t)
		s.chunk = 16
		mustAppend(t, s, someRecords(18)...)
		var e entry
		must(t, s.reader.QueryRow(`SELECT `+columns+` FROM journal WHERE seq = ?`, seq).Scan(e.pointers()...))
		e.prev = make([]byte, 32)
		e.prev[0] = 1
		hash := keyed(s.keys.journal, string(e.appendCanonical(nil)))
		raw(t, s.dir, fmt.Sprintf(`UPDATE journal SET prev = x'%x', hash = x'%x' WHERE seq = %d`, e.prev, hash, seq))
		wantFound(t, s, uint64(seq), Unlinked)
	}
}

// The tail is cut off and forged by somebody without the key; the length fits.
func TestForgedTail(t *testing.T) {
	forger := newStore(t)
	mustAppend(t, forger, someRecords(20)...)
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustAppend(t, s, someRecords(20)...)
	paper := s.Head()
	mustClose(t, s)
	raw(t, dir, `DELETE FROM journal WHERE seq > 15`,
		`ATTACH '`+filepath.Join(forger.dir, databaseFile)+`' AS forged; INSERT INTO journal SELECT * FROM forged.journal WHERE seq > 15`)
	s = mustOpen(t, dir)
	wantFound(t, s, 16, Changed)
	wantFound(t, s, 16, Changed, paper)
	mustAppend(t, s, someRecords(3)...)
	wantFound(t, s, 16, Changed)
}

// The head file remembers a cut-off tail even when the journal has since grown beyond it,
// until the owner deletes the line.
func TestHeadFileRemembersACutTail(t *testing.T) {
	dir := newFolder(t)
	path := filepath.Join(dir, headFileName)
	s := mustOpen(t, dir)
	mustAppend(t, s, someRecords(20)...)
	old := s.Head()
	mustClose(t, s)
	raw(t, dir, `DELETE FROM journal WHERE seq > 15`)
	for range 2 {
		s = mustOpen(t, dir)
		if err := s.HeadProblem(); err == nil || !strings.Contains(err.Error(), "record 20") {
			t.Errorf("head problem is %v, want one that names record 20", err)
		}
		wantHeads(t, path, s.Head(), old)
		mustAppend(t, s, someRecords(10)...)
		wantHeads(t, path, s.Head(), old)
		wantFound(t, s, 20, Rewritten)
		mustClose(t, s)
	}
	text, err := os.ReadFile(path)
	must(t, err)
	replace(t, dir, headFileName, string(text[:headLine]))
	s = mustOpen(t, dir)
	must(t, s.HeadProblem())
	mustVerify(t, s)
}

// After a crash the head file may lag, be empty or gone; that is no sign of tampering, but
// without a head a cut-off tail goes unseen, and this is said.
func TestHeadFileLags(t *testing.T) {
	for _, text := range []string{"", "lag", "gone"} {
		dir := newFolder(t)
		s := mustOpen(t, dir)
		mustAppend(t, s, someRecords(5)...)
		lag := string(padded(s.Head()))
		mustAppend(t, s, someRecords(5)...)
		mustClose(t, s)
		switch text {
		case "gone":
			remove(t, dir, headFileName)
		case "lag":
			replace(t, dir, headFileName, lag)
		default:
			replace(t, dir, headFileName, text)
		}
		s = mustOpen(t, dir)
		must(t, s.HeadProblem())
		mustVerify(t, s, s.Head())
		if text == "lag" {
			mustVerify(t, s)
			continue
		}
		mustAppend(t, s, someRecords(1)...)
		_, err := s.Verify(context.Background(), nil, nil)
		wantErr(t, err, ErrUnchecked)
		if !strings.Contains(err.Error(), "head file "+filepath.Join(dir, headFileName)+": ") {
			t.Errorf("%q does not name the file", err)
		}
	}
}

func TestVerifyStopsWhenAsked(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, someRecords(10)...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Verify(ctx, nil, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("verify with a cancelled context: %v", err)
	}
}
