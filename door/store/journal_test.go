package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/doorhub/doorhub/door"
)

func collect(tb testing.TB, s *Store, f Filter) []door.Record {
	tb.Helper()
	var recs []door.Record
	for rec, err := range s.Records(context.Background(), f) {
		must(tb, err)
		recs = append(recs, rec)
	}
	return recs
}

func seqs(recs []door.Record) []uint64 {
	var ns []uint64
	for _, r := range recs {
		ns = append(ns, r.Seq)
	}
	return ns
}

func mustVerify(tb testing.TB, s *Store, heads ...Head) {
	tb.Helper()
	got, err := s.Verify(context.Background(), heads, nil)
	must(tb, err)
	if got != s.Head() {
		tb.Errorf("verify returns head %v, want %v", got, s.Head())
	}
}

func TestAppendKeepsWhatItReturns(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	given := someRecords(4)
	given[3].Details = map[string]string{"name": "<script>\n\x00\"é\u2028", "": "empty key"}
	given[3].Time = noon.In(time.FixedZone("east", 3600)).Add(time.Hour)
	kept := mustAppend(t, s, given...)
	if diff := cmp.Diff(given, kept, cmpopts.IgnoreFields(door.Record{}, "Seq", "Sealed", "Prev", "Hash")); diff != "" {
		t.Errorf("records were changed (-given +kept):\n%s", diff)
	}
	kept = append(kept, mustAppend(t, s, someRecords(1)...)...)
	mustClose(t, s)
	s = mustOpen(t, dir)
	if diff := cmp.Diff(kept, collect(t, s, Filter{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("records read back (-kept +read):\n%s", diff)
	}
	prev := make([]byte, 32)
	for i, rec := range kept {
		if rec.Seq != uint64(i+1) || !bytes.Equal(rec.Prev, prev) || len(rec.Hash) != 32 || rec.Time.Location() != time.UTC {
			t.Errorf("record %d has seq %d, prev %x, hash %x, time %v", i, rec.Seq, rec.Prev, rec.Hash, rec.Time)
		}
		prev = rec.Hash
	}
	mustVerify(t, s)
}

func TestAppendNothing(t *testing.T) {
	s := newStore(t)
	if kept := mustAppend(t, s); len(kept) != 0 {
		t.Errorf("kept %v", kept)
	}
	if s.Head() != (Head{}) {
		t.Errorf("head is %v", s.Head())
	}
	mustVerify(t, s)
}

func TestTimesAreUnique(t *testing.T) {
	dir := newFolder(t)
	s := mustOpen(t, dir)
	at := func(ns ...int) (recs []door.Record) {
		for _, n := range ns {
			recs = append(recs, door.Record{Time: noon.Add(time.Duration(n)), Kind: door.KindREX})
		}
		return recs
	}
	mustAppend(t, s, at(5, 5, 5, 10, 6)...) // 5 6 7 10 8
	mustAppend(t, s, at(5, -3, 9)...)       // 9 -3 11: the clock went back
	mustClose(t, s)
	s = mustOpen(t, dir)
	mustAppend(t, s, at(-3, 5, 5, 20)...) // -2 12 13 20
	var got []int
	for _, rec := range collect(t, s, Filter{}) {
		got = append(got, int(rec.Time.Sub(noon)))
	}
	if diff := cmp.Diff([]int{5, 6, 7, 10, 8, 9, -3, 11, -2, 12, 13, 20}, got); diff != "" {
		t.Errorf("times (-want +got):\n%s", diff)
	}
	mustVerify(t, s)
}

func TestManyAtOneTime(t *testing.T) {
	s := newStore(t)
	recs := make([]door.Record, 2000)
	for i := range recs {
		recs[i] = door.Record{Time: noon, Kind: door.KindREX}
	}
	kept := mustAppend(t, s, recs...)
	if last := kept[len(kept)-1].Time.Sub(noon); last != time.Duration(len(recs)-1) {
		t.Errorf("the last of %d at one time is %v later", len(recs), last)
	}
	mustVerify(t, s)
}

func TestAppendAllOrNone(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, someRecords(2)...)
	before := s.Head()
	for _, bad := range []door.Record{
		{Kind: door.KindREX}, // no time
		{Kind: door.KindREX, Time: noon.AddDate(300, 0, 0)}, // beyond nanoseconds
		{Kind: door.KindREX, Time: noon, Sealed: []byte("x")},
		{Kind: door.KindGranted, Time: noon, Sealed: make([]byte, sealedRoom+1)},
	} {
		_, err := s.Append(context.Background(), append(someRecords(3), bad))
		if !errors.Is(err, ErrTime) && !errors.Is(err, ErrSealed) {
			t.Errorf("appended %+v: %v", bad, err)
		}
	}
	if s.Head() != before {
		t.Errorf("head moved from %v to %v", before, s.Head())
	}
	mustAppend(t, s, someRecords(1)...)
	if diff := cmp.Diff([]uint64{1, 2, 3}, seqs(collect(t, s, Filter{}))); diff != "" {
		t.Errorf("seqs (-want +got):\n%s", diff)
	}
	mustVerify(t, s)
}

func TestSealedTellsNothingByItsLook(t *testing.T) {
	s := newStore(t)
	says := [][]byte{nil, []byte("duress"), bytes.Repeat([]byte{0}, sealedRoom)}
	for _, kind := range []door.Kind{door.KindGranted, door.KindDenied, "disarmed"} {
		for _, plain := range says {
			rec := mustAppend(t, s, door.Record{Time: noon, Kind: kind, Sealed: plain})[0]
			if len(rec.Sealed) != sealedLen {
				t.Errorf("%s with %d bytes sealed has %d, want %d", kind, len(plain), len(rec.Sealed), sealedLen)
			}
			if got, err := s.OpenSealed(rec); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("opened %q, %v; want %q", got, err, plain)
			}
			rec.Seq++
			_, err := s.OpenSealed(rec)
			wantErr(t, err, ErrSealed)
		}
	}
	if rec := mustAppend(t, s, door.Record{Time: noon, Kind: door.KindEntry})[0]; len(rec.Sealed) != 0 {
		t.Errorf("an entry has %d bytes sealed", len(rec.Sealed))
	}
}

func TestTextIsMended(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, door.Record{Time: noon, Kind: door.KindProblem, Door: "a\xffb", Reason: "\xc3", Details: map[string]string{"k\xff": "v\xff"}})
	got := collect(t, s, Filter{})[0]
	want := door.Record{Kind: door.KindProblem, Door: "a\uFFFDb", Reason: "\uFFFD", Details: map[string]string{"k\uFFFD": "v\uFFFD"}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(door.Record{}, "Seq", "Time", "Prev", "Hash"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	mustVerify(t, s)
}

func TestManyAppendAtOnce(t *testing.T) {
	s := newStore(t)
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 25 {
				if _, err := s.Append(context.Background(), someRecords(2)); err != nil {
					t.Error(err)
				}
				if err := s.SetCursor(context.Background(), "bus", 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Go(func() {
		for range 5 {
			if _, err := s.Verify(context.Background(), []Head{s.Head()}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	wait.Wait()
	if n := s.Head().Seq; n != 400 {
		t.Errorf("%d records, want 400", n)
	}
	mustVerify(t, s)
}

func TestRecordsFilters(t *testing.T) {
	s := newStore(t)
	recs := make([]door.Record, 9)
	for i := range recs {
		recs[i] = door.Record{Time: noon.Add(time.Duration(i) * time.Hour), Kind: door.KindGranted, Person: "p1", Door: "front"}
	}
	recs[1].Kind, recs[4].Kind, recs[5].Kind = door.KindEntry, door.KindEntry, door.KindExit
	recs[2].Person, recs[4].Person, recs[6].Person = "p2", "p2", ""
	recs[3].Door, recs[4].Door = "back", "back"
	recs[7].Time = noon.Add(-time.Hour) // the clock went back
	mustAppend(t, s, recs...)
	for _, c := range []struct {
		name string
		f    Filter
		want []uint64
	}{
		{"all", Filter{}, []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{"person", Filter{Person: "p2"}, []uint64{3, 5}},
		{"nobody's id", Filter{Person: "p3' OR 1=1"}, nil},
		{"kinds", Filter{Kinds: []door.Kind{door.KindEntry, door.KindExit}}, []uint64{2, 5, 6}},
		{"door", Filter{Door: "back"}, []uint64{4, 5}},
		{"from", Filter{From: noon.Add(5 * time.Hour)}, []uint64{6, 7, 9}},
		{"from nowhere", Filter{From: noon.AddDate(1, 0, 0)}, nil},
		{"to", Filter{To: noon.Add(time.Hour)}, []uint64{1, 8}},
		{"from to", Filter{From: noon.Add(-time.Hour), To: noon.Add(2 * time.Hour)}, []uint64{1, 2, 8}},
		{"after", Filter{After: 7}, []uint64{8, 9}},
		{"far after", Filter{After: 1<<64 - 1}, nil},
		{"before", Filter{Before: 3}, []uint64{1, 2}},
		{"far before", Filter{Before: 1<<64 - 1, After: 8}, []uint64{9}},
		{"limit", Filter{Limit: 2}, []uint64{1, 2}},
		{"newest", Filter{Newest: true, Limit: 3}, []uint64{9, 8, 7}},
		{"all at once", Filter{Person: "p2", Door: "back", Kinds: []door.Kind{door.KindEntry}, From: noon, After: 1, Newest: true, Limit: 5}, []uint64{5}},
	} {
		if diff := cmp.Diff(c.want, seqs(collect(t, s, c.f))); diff != "" {
			t.Errorf("%s: seqs (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRecordsStream(t *testing.T) {
	ctx, s := context.Background(), newStore(t)
	const n = 3*pageSize + 7
	mustAppend(t, s, someRecords(n)...)
	next := uint64(1)
	for rec, err := range s.Records(ctx, Filter{}) {
		must(t, err)
		if rec.Seq != next {
			t.Fatalf("record %d comes where %d should", rec.Seq, next)
		}
		must(t, s.SetCursor(ctx, "bus", rec.Seq)) // whoever reads may write
		next++
	}
	if next != n+1 {
		t.Errorf("streamed up to %d, want %d", next-1, n)
	}
	newest := seqs(collect(t, s, Filter{Newest: true, Limit: pageSize + 1}))
	if len(newest) != pageSize+1 || newest[0] != n || newest[pageSize] != n-pageSize {
		t.Errorf("newest: %d records, from %d to %d", len(newest), newest[0], newest[len(newest)-1])
	}
}

func TestRecordsNamesWhatItCannotRead(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, someRecords(5)...)
	raw(t, s.dir, `UPDATE journal SET factors = 'nose' WHERE seq = 1`, `UPDATE journal SET details = '{' WHERE seq = 2`)
	var bad, good int
	for rec, err := range s.Records(context.Background(), Filter{}) {
		if err == nil {
			good++
			continue
		}
		bad++
		if !strings.Contains(err.Error(), "record "+string(rune('0'+rec.Seq))) {
			t.Errorf("error %q does not name record %d", err, rec.Seq)
		}
	}
	if bad != 2 || good != 3 {
		t.Errorf("%d records read and %d not, want 3 and 2", good, bad)
	}
}

func TestHeadText(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, someRecords(3)...)
	for _, h := range []Head{{}, s.Head(), {Seq: 1<<64 - 1}} {
		got, err := ParseHead(" " + h.String() + "\n")
		if err != nil || got != h {
			t.Errorf("%v comes back as %v, %v", h, got, err)
		}
	}
	for _, bad := range []string{"", "3", "3-", "3-ab", "-" + strings.Repeat("ab", 32), "x-" + strings.Repeat("ab", 32), "3-" + strings.Repeat("zz", 32), "3-" + strings.Repeat("ab", 33)} {
		_, err := ParseHead(bad)
		wantErr(t, err, ErrHead)
	}
}

func TestHeadFileFollows(t *testing.T) {
	other := filepath.Join(t.TempDir(), "elsewhere")
	c := Defaults()
	c.Head = other
	for name, opts := range map[string][]Option{"": nil, other: {With(c)}} {
		dir := newFolder(t)
		s := mustOpen(t, dir, opts...)
		path := name
		if path == "" {
			path = filepath.Join(dir, headFileName)
		}
		wantHeads(t, path, Head{})
		for range 3 {
			mustAppend(t, s, someRecords(2)...)
			wantHeads(t, path, s.Head())
		}
		must(t, s.HeadProblem())
	}
}

func wantHeads(tb testing.TB, path string, want ...Head) {
	tb.Helper()
	got, err := readHeads(path)
	must(tb, err)
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("head file (-want +got):\n%s", diff)
	}
}

// A head file that cannot be written stops nothing, is told of, and recovers by itself.
func TestHeadFileOutOfReach(t *testing.T) {
	c := Defaults()
	stick := filepath.Join(t.TempDir(), "stick")
	c.Head = filepath.Join(stick, "head")
	s := mustOpen(t, newFolder(t), With(c))
	mustAppend(t, s, someRecords(1)...)
	if s.HeadProblem() == nil {
		t.Error("no problem is told")
	}
	_, err := s.Verify(context.Background(), nil, nil)
	wantErr(t, err, ErrUnchecked)
	mustVerify(t, s, s.Head())
	must(t, os.Mkdir(stick, 0o700))
	mustAppend(t, s, someRecords(1)...)
	must(t, s.HeadProblem())
	wantHeads(t, c.Head, s.Head())
	mustVerify(t, s)
}

func TestHeadFileThatIsNone(t *testing.T) {
	c := Defaults()
	c.Head = filepath.Join(t.TempDir(), "hosts")
	must(t, os.WriteFile(c.Head, []byte("127.0.0.1 localhost\n"), 0o600))
	s := mustOpen(t, newFolder(t), With(c))
	mustAppend(t, s, someRecords(1)...)
	wantErr(t, s.HeadProblem(), ErrHead)
	if text, err := os.ReadFile(c.Head); err != nil || string(text) != "127.0.0.1 localhost\n" {
		t.Errorf("somebody else's file was written: %q, %v", text, err)
	}
}

// A bare record is the same without what proves it.
func TestBareRecords(t *testing.T) {
	s := newStore(t)
	mustAppend(t, s, someRecords(20)...)
	want := collect(t, s, Filter{})
	for i := range want {
		want[i].Sealed, want[i].Prev, want[i].Hash = nil, nil, nil
	}
	if diff := cmp.Diff(want, collect(t, s, Filter{Bare: true})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
