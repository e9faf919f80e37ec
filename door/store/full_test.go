package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/doorhub/doorhub/door"
)

// fillUp appends until the disk is full and returns what was acknowledged.
func fillUp(tb testing.TB, s *Store) (acknowledged []door.Record) {
	tb.Helper()
	for range 100_000 {
		kept, err := s.Append(context.Background(), someRecords(7))
		if err != nil {
			wantErr(tb, err, ErrFull)
			return acknowledged
		}
		acknowledged = append(acknowledged, kept...)
	}
	tb.Fatal("the disk never filled up")
	return nil
}

// wantJournal fails unless the journal holds just what was acknowledged.
func wantJournal(tb testing.TB, s *Store, acknowledged []door.Record) {
	tb.Helper()
	last := acknowledged[len(acknowledged)-1]
	if got := s.Head(); got.Seq != last.Seq || got.Seq != uint64(len(acknowledged)) || fmt.Sprintf("%x", got.Hash) != fmt.Sprintf("%x", last.Hash) {
		tb.Errorf("head is %v, the last acknowledged record %d %x", got, last.Seq, last.Hash)
	}
	mustVerify(tb, s)
}

func TestDatabaseFull(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	mustAppend(t, s, someRecords(1)...)
	limit := func(pages int) {
		var now int
		must(t, s.writer.QueryRow(fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)).Scan(&now))
	}
	limit(60)
	acknowledged := append(collect(t, s, Filter{}), fillUp(t, s)...)
	wantJournal(t, s, acknowledged)
	limit(10_000)
	acknowledged = append(acknowledged, mustAppend(t, s, someRecords(7)...)...)
	wantJournal(t, s, acknowledged)
	mustClose(t, s)
	wantJournal(t, mustOpen(t, dir), acknowledged)
}

// On a real full disk, whatever write it is that fails: the log's, the database's or the
// head file's.
func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a full disk; this user may not mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	dir, ballast := filepath.Join(disk, "data"), filepath.Join(disk, "ballast")
	must(t, CreateKey(dir))
	must(t, os.WriteFile(ballast, make([]byte, 512<<10), 0o600))
	s := mustOpen(t, dir)
	acknowledged := fillUp(t, s)
	wantErr(t, s.SetMeta(context.Background(), "big", strings.Repeat("x", 1<<20)), ErrFull)
	wantJournal(t, s, acknowledged)

	must(t, os.Remove(ballast))
	acknowledged = append(acknowledged, mustAppend(t, s, someRecords(7)...)...)
	wantJournal(t, s, acknowledged)
	must(t, s.HeadProblem())
	mustClose(t, s)
	wantJournal(t, mustOpen(t, dir), acknowledged)
}

func TestCreateOnFullDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: a full disk; this user may not mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(disk, syscall.MNT_DETACH)) })
	dir := filepath.Join(disk, "data")
	must(t, CreateKey(dir))
	must(t, os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 48<<10), 0o600))
	s, err := Open(dir)
	if err == nil {
		s.Close()
	}
	wantErr(t, err, ErrFull)
}
