package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/doorhub/doorhub/door"
)

func TestCursors(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	mustAppend(t, s, someRecords(5)...)
	wantCursor(t, s, "bus", 0)
	must(t, s.SetCursor(ctx, "bus", 5))
	must(t, s.SetCursor(ctx, "history", 2))
	must(t, s.SetCursor(ctx, "bus", 3))
	wantErr(t, s.SetCursor(ctx, "bus", 6), ErrAhead)
	wantErr(t, s.SetCursor(ctx, "bus", 1<<64-1), ErrAhead)
	mustClose(t, s)
	s = mustOpen(t, dir)
	wantCursor(t, s, "bus", 3)
	wantCursor(t, s, "history", 2)
	all, err := s.Cursors(ctx)
	if diff := cmp.Diff(map[string]uint64{"bus": 3, "history": 2}, all); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func wantCursor(tb testing.TB, s *Store, name string, want uint64) {
	tb.Helper()
	got, err := s.Cursor(context.Background(), name)
	if err != nil || got != want {
		tb.Errorf("cursor %s is %d, %v; want %d", name, got, err, want)
	}
}

func TestLockouts(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	long := door.Lockout{Wrong: 7, Remaining: 30*time.Second + 1, Quiet: 2 * time.Hour}
	must(t, s.KeepLockout(ctx, "reader:front/keypad", door.Lockout{Wrong: 1}))
	must(t, s.KeepLockout(ctx, "reader:front/keypad", long))
	must(t, s.KeepLockout(ctx, "person:p1", door.Lockout{Wrong: 2}))
	must(t, s.KeepLockout(ctx, "person:p1", door.Lockout{}))
	must(t, s.KeepLockout(ctx, "person:p2", door.Lockout{}))
	mustClose(t, s)
	got, err := mustOpen(t, dir).Lockouts(ctx)
	must(t, err)
	if diff := cmp.Diff(map[string]door.Lockout{"reader:front/keypad": long}, got); diff != "" {
		t.Errorf("lockouts (-want +got):\n%s", diff)
	}
}

func TestMeta(t *testing.T) {
	ctx, dir := context.Background(), newFolder(t)
	s := mustOpen(t, dir)
	must(t, s.SetMeta(ctx, "boot", "a"))
	must(t, s.SetMeta(ctx, "boot", "b\n'"))
	must(t, s.SetMeta(ctx, "gone", "a"))
	must(t, s.SetMeta(ctx, "gone", ""))
	mustClose(t, s)
	s = mustOpen(t, dir)
	for key, want := range map[string]string{"boot": "b\n'", "gone": "", "never": ""} {
		if got, err := s.Meta(ctx, key); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", key, got, err, want)
		}
	}
}
