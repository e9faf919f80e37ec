package store

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAside(t *testing.T) {
	dir := newFolder(t)
	s, ctx := mustOpen(t, dir), context.Background()
	for seq, why := range map[uint64]string{2: "two", 10: "ten\xff", 300: ""} {
		must(t, s.SetAside(ctx, "history", seq, why))
	}
	must(t, s.SetAside(ctx, "other", 7, "another's"))
	mustClose(t, s)

	s = mustOpen(t, dir)
	want := func(reader string, want map[uint64]string) {
		t.Helper()
		got, err := s.Aside(ctx, reader)
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", reader, diff)
		}
	}
	want("history", map[uint64]string{2: "two", 10: "ten\uFFFD", 300: "unknown"})
	must(t, s.ForgetAside(ctx, "history", 10))
	want("history", map[uint64]string{2: "two"})
	want("other", map[uint64]string{7: "another's"})
	want("nobody", map[uint64]string{})
}
