package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

// newFolder returns a data folder with a key.
func newFolder(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "data")
	if err := CreateKey(dir); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// mustOpen opens dir until the test ends or the store is closed before.
func mustOpen(tb testing.TB, dir string, opts ...Option) *Store {
	tb.Helper()
	s, err := Open(dir, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s
}

func newStore(tb testing.TB) *Store {
	tb.Helper()
	return mustOpen(tb, newFolder(tb))
}

func mustClose(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// wantErr fails unless err is want and one line.
func wantErr(tb testing.TB, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("got error %v, want one that is %q", err, want)
	}
	for _, r := range err.Error() {
		if r == '\n' {
			tb.Fatalf("error is more than one line: %q", err)
		}
	}
}

var noon = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

// someRecords returns n records of several kinds, one a second.
func someRecords(n int) []door.Record {
	recs := make([]door.Record, n)
	for i := range recs {
		recs[i] = door.Record{
			Time:  noon.Add(time.Duration(i) * time.Second),
			Clock: door.Clock{Synced: true, Boot: "6f1c6c4e-5a0f-4a52-9f6c-9a3d1c1f5b77", Mono: time.Duration(i) * time.Second},
			Door:  "front", Kind: door.KindGranted, Side: door.Entry, Person: "p1", Factors: door.SetOf(door.PIN, door.FaceID),
		}
		if i%3 == 1 {
			recs[i].Kind, recs[i].Reason, recs[i].Details = door.KindEntry, "opened", map[string]string{"distance": "0.41", "after": "1.2s"}
		}
		if i%3 == 2 {
			recs[i].Kind, recs[i].Person, recs[i].Factors, recs[i].Door, recs[i].Side = door.KindSensorOpen, "", 0, "", ""
		}
	}
	return recs
}

func mustAppend(tb testing.TB, s *Store, recs ...door.Record) []door.Record {
	tb.Helper()
	kept, err := s.Append(context.Background(), recs)
	if err != nil {
		tb.Fatal(err)
	}
	return kept
}

func TestConnectionsAreDurable(t *testing.T) {
	s := newStore(t)
	type settings struct {
		Mode                    string
		Synchronous, Keys, Wait int
	}
	var got settings
	row := s.writer.QueryRow(`SELECT * FROM pragma_journal_mode, pragma_synchronous, pragma_foreign_keys, pragma_busy_timeout`)
	if err := row.Scan(&got.Mode, &got.Synchronous, &got.Keys, &got.Wait); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(settings{Mode: "wal", Synchronous: 2, Keys: 1, Wait: 5000}, got); diff != "" {
		t.Errorf("writer's settings (-want +got):\n%s", diff)
	}
	if n := s.writer.Stats().MaxOpenConnections; n != 1 {
		t.Errorf("%d writer connections, want 1", n)
	}
}

func TestFilesAreTheOwnersAlone(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustAppend(t, s, someRecords(1)...)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{".": mode(t, dir)}
	for _, e := range entries {
		got[e.Name()] = mode(t, filepath.Join(dir, e.Name()))
	}
	want := map[string]string{".": "drwx------", "doorhub.db": "-rw-------", "doorhub.db-wal": "-rw-------", "doorhub.db-shm": "-rw-------",
		"key": "-rw-------", "head": "-rw-------", "lock": "-rw-------"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func mode(tb testing.TB, path string) string {
	tb.Helper()
	info, err := os.Stat(path)
	if err != nil {
		tb.Fatal(err)
	}
	return info.Mode().String()
}
